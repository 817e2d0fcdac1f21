/* l7gw/core/h1_client.h - the client side of one HTTP/1.1 exchange with an origin: request out, response in.
 * Layer: l7gw/core, pure.  Thread rule: one worker.
 * Strict as towards clients: what is malformed ends the exchange with 502 and the connection with it (requirement 18).
 */
#pragma once
#include "l7gw/core/h1.h"
#include "l7gw/core/stream.h"

enum h1_client_rc {
        H1C_MORE,   /* all input taken, the response goes on */
        H1C_WINDOW, /* the client side has no room: show the rest again later */
        H1C_DONE,   /* response complete: ret_used bytes belong to it */
        H1C_BAD,    /* malformed; x->why says what */
        H1C_NO_MEMORY,
        H1C_AGAIN, /* the engine throws this response away and asks again elsewhere */
};
struct h1_client {
        struct h1_scan scan;
        struct h1_body resp;
        uint32_t interims;
        bool head;     /* the final response head has been handed on */
        bool chunked;  /* the request body is sent chunked */
        bool reusable; /* after H1C_DONE: the connection may serve another request */
        const char *why;
};
struct h1_client_ops { /* the engine's part */
        void (*interim)(struct stream *s, const struct msg *m);
        int (*head)(struct stream *s); /* s->resp is parsed: filters it and calls down->head; -EAGAIN: H1C_AGAIN; else -errno */
};
/* Writes the request head and prepares for its response. */
void h1_client_request(struct h1_client *x, struct stream *s, struct buf *scratch, struct chain *out)
        NONNULL(1, 2, 3, 4);
void h1_client_data(struct h1_client *x, struct span d, struct chain *out) NONNULL(1, 3);
void h1_client_end(struct h1_client *x, const struct stream *s, struct buf *scratch, struct chain *out)
        NONNULL(1, 2, 3, 4);
/* Takes response bytes.  Body bytes go to s->down->data at once, never more than s->down->room(). */
enum h1_client_rc h1_client_input(struct h1_client *x, struct stream *s, const struct h1_client_ops *ops,
                                  struct span in, size_t *ret_used) NONNULL(1, 2, 3, 5) MUST_USE;
/* The origin has closed: H1C_DONE when that ends a close-delimited body, else H1C_BAD (truncated). */
enum h1_client_rc h1_client_eof(struct h1_client *x) NONNULL(1) MUST_USE;
