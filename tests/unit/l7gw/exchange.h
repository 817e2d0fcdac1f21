/* tests/unit/l7gw/exchange.h - runs one HTTP/1.1 message (head and body) through the parser, delivered in a chosen way,
 * and writes what it understood as text, so that tables compare strings.  Header only; every test file is one program. */
#pragma once
#include "l7gw/core/h1.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum delivery { WHOLE, BYTEWISE, RANDOM, DELIVERY_N };
enum { EXCHANGE_TEXT = 8192 };

struct exchange {
        struct arena arena;
        struct msg msg, trailers;
        enum h1_rc rc;      /* H1_OK: head and body complete */
        size_t used;        /* bytes of the message */
        char body[4096];
        size_t body_n;
        char text[EXCHANGE_TEXT]; /* the message in words, see msg_dump */
};

static inline void text_add(char *text, const char *fmt, ...) PRINTF(2, 3);
static inline void text_add(char *text, const char *fmt, ...)
{
        size_t n = strlen(text);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text + n, EXCHANGE_TEXT - n, fmt, ap);
        va_end(ap);
}

/* "GET example.com /path?query 1.1 len=3 keep expect te up=websocket | name: value | ..." or "200 OK 1.1 ..." */
static inline void msg_dump(const struct msg *m, char *text)
{
        static const char *const framing[] = { "none", "len", "chunked", "close" };
        if (m->status)
                text_add(text, "%u %.*s", m->status, SPAN_FMT(m->reason));
        else
                text_add(text, "%.*s %.*s %.*s%s%.*s", SPAN_FMT(m->method), SPAN_FMT(m->authority), SPAN_FMT(m->path),
                         m->has_query ? "?" : "", SPAN_FMT(m->query));
        text_add(text, " 1.%u %s", m->minor, framing[m->framing]);
        if (m->framing == BODY_LENGTH || m->has_length)
                text_add(text, "=%llu", (unsigned long long)m->content_length);
        text_add(text, "%s%s%s", m->keep_alive ? " keep" : "", m->expect_continue ? " expect" : "", m->te_trailers ? " te" : "");
        if (m->upgrade.n)
                text_add(text, " up=%.*s", SPAN_FMT(m->upgrade));
        for (size_t i = 0; i < m->n_fields; i++)
                text_add(text, " | %.*s: %.*s", SPAN_FMT(m->fields[i].name), SPAN_FMT(m->fields[i].value));
}

static inline uint32_t test_random(uint32_t *seed) /* xorshift32: the same on every run */
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

static inline size_t next_step(enum delivery d, uint32_t *seed, size_t left)
{
        size_t step = d == WHOLE ? left : d == BYTEWISE ? 1 : 1 + test_random(seed) % 7;
        return MIN(step, left);
}

/* An exact-size copy of the front of in, so that ASan sees a read past what was delivered (only for small inputs). */
static inline struct span exact_copy(struct span in, size_t n, uint8_t **ret_mem)
{
        *ret_mem = NULL;
        if (in.n > 2048)
                return SPAN(in.p, n);
        *ret_mem = malloc(n ? n : 1);
        assert_non_null(*ret_mem);
        if (n)
                memcpy(*ret_mem, in.p, n);
        return SPAN(*ret_mem, n);
}

static inline enum h1_rc head_run(struct exchange *x, struct span in, const struct h1_limits *lim, const char *method,
                                  enum delivery d, uint32_t *seed)
{
        struct h1_scan scan = { 0 };
        enum h1_rc rc = H1_MORE;
        for (size_t n = 0; rc == H1_MORE && n < in.n;) {
                uint8_t *mem;
                n += next_step(d, seed, in.n - n);
                struct span part = exact_copy(in, n, &mem);
                rc = method ? h1_response(&scan, part, lim, span_str(method), &x->msg, &x->used)
                            : h1_request(&scan, part, lim, &x->msg, &x->used);
                if (mem)
                        memset(mem, 'X', n); /* the message must not point into the input */
                free(mem);
        }
        return rc;
}

static inline enum h1_rc body_run(struct exchange *x, struct span in, enum delivery d, uint32_t *seed)
{
        struct h1_body b;
        h1_body_init(&b, &x->msg);
        size_t given = 0;
        while (!b.done && given < in.n) {
                size_t step = next_step(d, seed, in.n - given);
                for (size_t at = 0; at < step && !b.done;) {
                        struct span data;
                        size_t used;
                        enum h1_rc rc = h1_body_feed(&b, SPAN(in.p + given + at, step - at), &x->trailers, &data, &used);
                        if (rc != H1_OK)
                                return rc;
                        assert_true(used > 0 && used <= step - at && data.n <= used);
                        if (x->body_n + data.n <= sizeof x->body && data.n)
                                memcpy(x->body + x->body_n, data.p, data.n);
                        x->body_n += data.n;
                        x->used += used;
                        at += used;
                }
                given += step;
        }
        return b.done || b.framing == BODY_CLOSE ? H1_OK : H1_MORE;
}

/* method NULL = request.  Call exchange_fini afterwards. */
static inline void exchange_run(struct exchange *x, struct span in, const struct h1_limits *lim, const char *method,
                                enum delivery d, size_t arena_max)
{
        uint32_t seed = 2463534242u + (uint32_t)in.n;
        memset(x, 0, sizeof *x);
        arena_init(&x->arena, 4096, arena_max);
        msg_init(&x->msg, &x->arena);
        msg_init(&x->trailers, &x->arena);
        if (!method)
                x->msg.scheme = SPAN_LIT("http");
        x->rc = head_run(x, in, lim, method, d, &seed);
        if (x->rc != H1_OK)
                return;
        msg_dump(&x->msg, x->text);
        x->rc = body_run(x, SPAN(in.p + x->used, in.n - x->used), d, &seed);
        if (x->body_n)
                text_add(x->text, " # %.*s", (int)MIN(x->body_n, sizeof x->body), x->body);
        for (size_t i = 0; i < x->trailers.n_fields; i++)
                text_add(x->text, " ^ %.*s: %.*s", SPAN_FMT(x->trailers.fields[i].name), SPAN_FMT(x->trailers.fields[i].value));
}

static inline void exchange_fini(struct exchange *x) { arena_fini(&x->arena); }

struct exchange_case {
        const char *name;
        struct span in;
        enum h1_rc want;
        const char *text; /* NULL = not compared; for H1_OK */
        size_t rest;      /* bytes after the message that belong to the next one */
};
#define IN(s) { (const uint8_t *)("" s), sizeof(s) - 1 }

/* Runs a row in all deliveries; prints its name when it fails. */
static inline void case_run(const struct exchange_case *c, const struct h1_limits *lim, const char *method)
{
        for (int d = 0; d < DELIVERY_N; d++) {
                static struct exchange x;
                exchange_run(&x, c->in, lim, method, (enum delivery)d, SIZE_MAX);
                bool ok = x.rc == c->want && (x.rc != H1_OK || x.used == c->in.n - c->rest) &&
                          (!c->text || strcmp(x.text, c->text) == 0);
                if (!ok)
                        print_error("%s (delivery %d): rc %d \"%s\" want %d \"%s\"; used %zu of %zu\n  got:  %s\n  want: %s\n",
                                    c->name, d, x.rc, h1_rc_str(x.rc), c->want, h1_rc_str(c->want), x.used, c->in.n, x.text,
                                    c->text ? c->text : "-");
                exchange_fini(&x);
                assert_true(ok);
        }
}

/* Every arena size from nothing to enough: NO_MEMORY until it fits, then the full result; never a crash or a lie. */
static inline void case_starve(const struct exchange_case *c, const struct h1_limits *lim, const char *method)
{
        static struct exchange x;
        exchange_run(&x, c->in, lim, method, WHOLE, SIZE_MAX);
        size_t need = x.arena.used_bytes;
        exchange_fini(&x);
        for (size_t max = 0; max <= need; max += 16) {
                exchange_run(&x, c->in, lim, method, WHOLE, max);
                bool ok = x.rc == c->want || x.rc == H1_NO_MEMORY;
                if (!ok || (x.rc == H1_OK && c->text && strcmp(x.text, c->text) != 0))
                        print_error("%s: with %zu bytes: rc %d, text %s\n", c->name, max, x.rc, x.text);
                exchange_fini(&x);
                assert_true(ok);
        }
        exchange_run(&x, c->in, lim, method, WHOLE, need);
        assert_int_equal(x.rc, c->want);
        exchange_fini(&x);
}
