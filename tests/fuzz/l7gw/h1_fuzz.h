/* tests/fuzz/l7gw/h1_fuzz.h - shared by the HTTP/1.1 targets: deliver the same bytes in pieces, compare two messages.
 * A broken invariant is BUG_ON: the engine sees a crash. */
#pragma once
#include "l7gw/core/h1.h"

struct parsed {
        struct arena arena;
        struct msg msg;
        enum h1_rc rc;
        size_t used;
};

/* step 0 = whole; else growing by step bytes.  method NULL = request. */
static inline void parsed_init(struct parsed *p, struct span in, size_t step, const struct span *method)
{
        struct h1_scan scan = { 0 };
        *p = (struct parsed){ .rc = H1_MORE };
        arena_init(&p->arena, 4096, 1u << 20);
        msg_init(&p->msg, &p->arena);
        if (!method)
                p->msg.scheme = SPAN_LIT("http");
        size_t n = 0;
        do {
                n = step && in.n - n > step ? n + step : in.n;
                p->rc = method ? h1_response(&scan, SPAN(in.p, n), &h1_default_limits, *method, &p->msg, &p->used)
                               : h1_request(&scan, SPAN(in.p, n), &h1_default_limits, &p->msg, &p->used);
        } while (p->rc == H1_MORE && n < in.n);
        BUG_ON(p->rc == H1_OK && p->used > in.n);
}
static inline void parsed_fini(struct parsed *p) { arena_fini(&p->arena); }

static inline bool fields_same(const struct msg *a, const struct msg *b)
{
        bool same = a->n_fields == b->n_fields;
        for (size_t i = 0; same && i < a->n_fields; i++)
                same = span_eq(a->fields[i].name, b->fields[i].name) && span_eq(a->fields[i].value, b->fields[i].value) &&
                       a->fields[i].id == b->fields[i].id;
        return same;
}

/* Same meaning for the next hop: all but minor version, persistence and reason phrase. */
static inline bool meaning_same(const struct msg *a, const struct msg *b)
{
        return span_eq(a->method, b->method) && span_eq(a->authority, b->authority) && span_eq(a->host, b->host) &&
               a->port == b->port && span_eq(a->path, b->path) && span_eq(a->query, b->query) && a->has_query == b->has_query &&
               a->status == b->status && a->framing == b->framing && a->content_length == b->content_length &&
               a->has_length == b->has_length && a->expect_continue == b->expect_continue && a->te_trailers == b->te_trailers &&
               span_eq(a->upgrade, b->upgrade) && fields_same(a, b);
}

/* What every accepted message promises (l7gw/core/msg.h). */
static inline void promises_check(const struct msg *m)
{
        for (size_t i = 0; i < m->n_fields; i++) {
                const struct field *f = &m->fields[i];
                BUG_ON(!name_is_token(f->name) || !value_is_valid(f->value) || f->id != field_id_of(f->name));
                BUG_ON(f->id == FIELD_HOST || f->id == FIELD_CONTENT_LENGTH || f->id == FIELD_TRANSFER_ENCODING ||
                       f->id == FIELD_CONNECTION || f->id == FIELD_UPGRADE || f->id == FIELD_TE || f->id == FIELD_KEEP_ALIVE);
        }
}
