/* tests/unit/agent/fake_api.h - a scripted API server: HTTP/1.1 on a loopback socket, in the loop of the code under test.
 * The test's function sees every request and answers it, streams to it, cuts it, or leaves it waiting. */
#pragma once
#include "lib/base.h"
#include "lib/core/buf.h"
#include "lib/io/loop.h"

#define FAKE_API_CONNS 64
struct fake_api;
struct fake_conn {
        struct fake_api *api;
        struct loop_fd f;      /* fd -1 = free slot */
        struct buf in;
        bool streaming, waiting; /* waiting: a request without an answer yet */
        char method[8], target[512], authorization[128], content_type[64];
        char body[65536];
};
typedef void fake_api_fn(void *arg, struct fake_conn *c);
struct fake_api {
        struct loop *loop;
        struct loop_fd listener;
        unsigned port, n_requests;
        fake_api_fn *fn;
        void *arg;
        struct fake_conn conns[FAKE_API_CONNS];
        char trace[16384];     /* "GET /path?query\n", ... */
};
void fake_api_init(struct fake_api *a, struct loop *l, fake_api_fn *fn, void *arg);
void fake_api_fini(struct fake_api *a);
/* The connection that waits for an answer, or streams, to a request whose "METHOD target" contains text; NULL = none. */
struct fake_conn *fake_api_find(struct fake_api *a, const char *text);
unsigned fake_api_count(const struct fake_api *a, const char *text); /* requests whose trace line contains text */

/* headers: "" or whole lines with \r\n. */
void fake_answer(struct fake_conn *c, int status, const char *headers, const char *body);
void fake_stream(struct fake_conn *c);                  /* 200, chunked, no body yet */
void fake_chunk(struct fake_conn *c, const char *text);
void fake_end(struct fake_conn *c);                     /* the stream ends in order */
void fake_cut(struct fake_conn *c);                     /* the connection is closed as it is */
