/* lib/base.h - what every .c file includes first: attributes, assertions, ownership helpers, spans.
 * Layer: lowest; includes only freestanding-ish C headers.  Thread rule: macros and value types only. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))
#define NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define CACHE_ALIGNED __attribute__((aligned(64)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* BUG_ON is for our own bugs, never for input; it stays on in release builds.  DBG_ON is for per-packet loops. */
NORETURN void bug_abort(const char *file, int line, const char *what);
#define BUG_ON(cond)                                             \
        do {                                                     \
                if (unlikely(cond))                              \
                        bug_abort(__FILE__, __LINE__, #cond);    \
        } while (0)
#ifdef GH_DEBUG
#define DBG_ON(cond) BUG_ON(cond)
#else
#define DBG_ON(cond) ((void)sizeof(cond))
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ({ __typeof__(a) min_a_ = (a); __typeof__(b) min_b_ = (b); min_a_ < min_b_ ? min_a_ : min_b_; })
#define MAX(a, b) ({ __typeof__(a) max_a_ = (a); __typeof__(b) max_b_ = (b); max_a_ > max_b_ ? max_a_ : max_b_; })

/* CLEANUP(fn) calls fn(&var) when the variable leaves its scope; TAKE_PTR hands ownership over and leaves NULL. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define TAKE_PTR(p) ({ __typeof__(p) *take_p_ = &(p); __typeof__(p) take_v_ = *take_p_; *take_p_ = NULL; take_v_; })
static inline void freep(void *p)
{
        void *v;
        memcpy(&v, p, sizeof v);
        free(v);
}

/* A byte range by value.  It borrows; whoever hands it out says for how long.  Never NUL-terminated wire data. */
struct span {
        const uint8_t *p;
        size_t n;
};
#define SPAN_NULL ((struct span){ NULL, 0 })
#define SPAN(p_, n_) ((struct span){ (const uint8_t *)(p_), (n_) })
#define SPAN_LIT(s) ((struct span){ (const uint8_t *)("" s), sizeof(s) - 1 })
static inline struct span span_str(const char *s) { return SPAN(s, s ? strlen(s) : 0); }
static inline bool span_eq(struct span a, struct span b)
{
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool span_eq_str(struct span a, const char *s) { return span_eq(a, span_str(s)); }
bool span_ieq(struct span a, struct span b);            /* ASCII case-insensitive */
int span_cmp(struct span a, struct span b);             /* memcmp order, shorter first */
/* "%.*s" arguments for a span. */
#define SPAN_FMT(s) (int)(s).n, (const char *)((s).n ? (const void *)(s).p : (const void *)"")

/* Why a control operation failed and where: `place` names the object, file:line or frame.  Filled only on failure. */
struct err {
        char place[192];
        char msg[320];
};
/* Fills e (may be NULL) and returns -errno_value, so `return err_set(e, EINVAL, "f:3", "bad %s", x);` reads well. */
int err_set(struct err *e, int errno_value, const char *place, const char *fmt, ...) PRINTF(4, 5);

#include "lib/banned.h"
