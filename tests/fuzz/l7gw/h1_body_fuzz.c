/* tests/fuzz/l7gw/h1_body_fuzz.c (requirement 60) - chunked bodies and trailers.  Invariants: delivery does not change result, body or
 * trailers; trailers wanted or not does not change the verdict; nothing past the end is taken; re-encoded, it decodes
 * to the same. */
#include "lib/base.h"
#include "tests/fuzz/l7gw/h1_fuzz.h"

struct decoded {
        struct arena arena;
        struct msg trailers;
        struct buf data;
        enum h1_rc rc; /* H1_MORE = not complete */
        size_t used;
};

static void decoded_init(struct decoded *d, struct span in, size_t step, bool want_trailers)
{
        struct msg m = { .framing = BODY_CHUNKED };
        struct h1_body b;
        *d = (struct decoded){ .rc = H1_OK };
        arena_init(&d->arena, 4096, 1u << 20);
        msg_init(&d->trailers, &d->arena);
        buf_init(&d->data, 1u << 24);
        h1_body_init(&b, &m);
        while (!b.done && d->used < in.n) {
                struct span data;
                size_t used, n = step ? MIN(step, in.n - d->used) : in.n - d->used;
                d->rc = h1_body_feed(&b, SPAN(in.p + d->used, n), want_trailers ? &d->trailers : NULL, &data, &used);
                if (d->rc != H1_OK)
                        return;
                BUG_ON(used == 0 || used > n || data.n > used);
                buf_add(&d->data, data.p, data.n);
                d->used += used;
        }
        d->rc = b.done ? H1_OK : H1_MORE;
}

static void decoded_fini(struct decoded *d)
{
        buf_fini(&d->data);
        arena_fini(&d->arena);
}

static bool decoded_same(const struct decoded *a, const struct decoded *b)
{
        return a->rc == b->rc && span_eq(buf_span(&a->data), buf_span(&b->data)) && fields_same(&a->trailers, &b->trailers);
}

static void encode(const struct decoded *d, struct buf *out)
{
        char head[20];
        if (d->data.n) {
                buf_add(out, head, h1_chunk_head(head, d->data.n));
                buf_add(out, d->data.p, d->data.n);
                buf_str(out, "\r\n");
        }
        h1_write_last_chunk(out, &d->trailers);
        BUG_ON(out->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const size_t steps[] = { 1, 2, 5 };
        struct span in = SPAN(data, size);
        struct decoded whole, p;
        decoded_init(&whole, in, 0, true);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                decoded_init(&p, in, steps[i], true);
                BUG_ON(!decoded_same(&p, &whole) || (p.rc == H1_OK && p.used != whole.used));
                decoded_fini(&p);
        }
        decoded_init(&p, in, 0, false);
        BUG_ON(p.rc != whole.rc || !span_eq(buf_span(&p.data), buf_span(&whole.data)));
        decoded_fini(&p);
        if (whole.rc == H1_OK) {
                struct buf out;
                promises_check(&whole.trailers);
                buf_init(&out, 1u << 24);
                encode(&whole, &out);
                decoded_init(&p, buf_span(&out), 0, true);
                BUG_ON(!decoded_same(&p, &whole) || p.used != out.n);
                decoded_fini(&p);
                buf_fini(&out);
        }
        decoded_fini(&whole);
        return 0;
}
