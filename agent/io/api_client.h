/* agent/io/api_client.h - HTTP to one API server: libcurl's multi interface on our event loop.  Layer: agent/io.
 * Thread rule: the loop's thread.  Callbacks never run inside libcurl, so anything may be called from them, cancelling the
 * request itself included.  Connections are kept and shared (HTTP/2 where the server speaks it), so two clients are made
 * where one kind of traffic must not wait for another: reads and status writes.
 * A peer that is gone is noticed by TCP keepalive and TCP_USER_TIMEOUT, a server that answers nothing by the deadline. */
#pragma once
#include "agent/io/kubeconfig.h"
#include "lib/core/buf.h"
#include "lib/io/loop.h"

struct api_client;
/* name: for logs.  k is borrowed. */
int api_client_new(struct loop *l, const struct kubeconfig *k, const char *name, struct api_client **ret, struct err *reterr) MUST_USE;
void api_client_free(struct api_client *c); /* cancels what is under way; NULL is legal */

struct api_reply { /* borrowed for the call */
        int status;                /* of HTTP; 0 = none came */
        int error;                 /* 0; or -errno: no or no whole answer (-E2BIG: beyond max_body, -ETIMEDOUT: the deadline) */
        const char *why;           /* text for logs: libcurl's, or the message of the server's Status object; "" = fine */
        struct span body;          /* of a call without data() */
        uint32_t retry_after_ms;   /* 0 = the server asks for nothing */
};
struct api_call {
        const char *method;        /* "GET", "PATCH" */
        const char *path;          /* behind the server's URL, with the query */
        const char *accept;        /* NULL = application/json */
        const char *content_type;  /* of body */
        struct span body;          /* copied; empty = none */
        uint32_t deadline_ms;
        size_t max_body;           /* whole answer; with data(): what may be left unconsumed */
        bool secret;               /* wipe what was received */
        /* A stream of a 2xx answer: consumes a prefix and says how much (the rest is shown again with more behind it), or
         * < 0 to end the request with that error.  NULL: the body is collected for done(). */
        ptrdiff_t (*data)(void *arg, struct span in);
        /* Last callback: the request is gone when it returns.  Not called after api_request_cancel. */
        void (*done)(void *arg, const struct api_reply *r);
        void *arg;
};
struct api_request;
int api_call_start(struct api_client *c, const struct api_call *call, struct api_request **ret) MUST_USE; /* -ENOMEM, -EIO */
void api_request_cancel(struct api_request *r); /* NULL is legal */
/* Appends s to b as one component of a URL. */
void url_escape(struct buf *b, struct span s);
