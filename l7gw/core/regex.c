/* l7gw/core/regex.c - see regex.h.  PCRE2 with its memory in our arena; a test takes what it needs from the stack. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/base.h"
#include "l7gw/core/engine_limits.tbl.h"
#include "l7gw/core/regex.h"
#include <pcre2.h>

#define PATTERN_MAX 4096 /* the API's longest: HTTPHeaderMatch.value */
#define WORK_BYTES 1024  /* one pair of offsets, and PCRE2's own head */

struct regex {
        pcre2_code *code;
        struct regex_set *set;
        struct regex *next;
};
struct regex_set {
        struct arena *a;
        pcre2_compile_context *compile;
        pcre2_match_context *match; /* the limits; only read by tests */
        struct regex *all;
};

static void *arena_take(PCRE2_SIZE n, void *a) { return arena_alloc(a, n); }
static void arena_keep(void *p, void *a)
{
        (void)p;
        (void)a;
}

int regex_set_new(struct arena *a, struct regex_set **ret)
{
        struct regex_set *s = arena_calloc(a, 1, sizeof *s);
        pcre2_general_context *g = pcre2_general_context_create(arena_take, arena_keep, a);
        if (!s || !g || !(s->compile = pcre2_compile_context_create(g)) || !(s->match = pcre2_match_context_create(g)))
                return -ENOMEM;
        s->a = a;
        (void)pcre2_set_max_pattern_length(s->compile, PATTERN_MAX); /* these report nothing */
        (void)pcre2_set_match_limit(s->match, L7_REGEX_STEPS);
        (void)pcre2_set_heap_limit(s->match, L7_REGEX_KIB);
        *ret = s;
        return 0;
}

void regex_set_close(struct regex_set *s)
{
        for (struct regex *r = s ? s->all : NULL; r; r = r->next)
                pcre2_code_free(r->code);
}

int regex_compile(struct regex_set *s, struct span pattern, const struct regex **ret, char *why, size_t why_n)
{
        int code;
        PCRE2_SIZE at = 0;
        struct regex *r = arena_calloc(s->a, 1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->code = pcre2_compile(pattern.n ? pattern.p : (PCRE2_SPTR) "", pattern.n,
                                PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C |
                                        PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NO_AUTO_CAPTURE,
                                &code, &at, s->compile);
        if (!r->code && s->a->failed)
                return -ENOMEM;
        if (!r->code) {
                PCRE2_UCHAR text[128] = "";
                (void)pcre2_get_error_message(code, text, sizeof text); /* cut off is good enough */
                snprintf(why, why_n, "%s at byte %zu", (const char *)text, (size_t)at);
                return -EINVAL;
        }
        (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* where no machine code may be made, it is interpreted */
        r->set = s;
        r->next = s->all;
        s->all = r;
        *ret = r;
        return 0;
}

/* Working memory of one test: the stack first; the interpreter, which keeps its frames there too, takes the heap. */
struct work {
        _Alignas(max_align_t) uint8_t b[WORK_BYTES];
        size_t used;
};
static void *work_take(PCRE2_SIZE n, void *data)
{
        struct work *w = data;
        size_t size = (n + 15) & ~(size_t)15;
        if (size < n || size > sizeof w->b - w->used)
                return malloc(n);
        w->used += size;
        return w->b + (w->used - size);
}
static void work_give(void *p, void *data)
{
        const struct work *w = data;
        if ((uintptr_t)p < (uintptr_t)w->b || (uintptr_t)p >= (uintptr_t)w->b + sizeof w->b)
                free(p);
}

enum regex_rc regex_test(const struct regex *r, struct span subject)
{
        struct work w;
        w.used = 0;
        pcre2_general_context *g = pcre2_general_context_create(work_take, work_give, &w);
        pcre2_match_data *md = g ? pcre2_match_data_create(1, g) : NULL;
        if (!md)
                return REGEX_LIMIT;
        int rc = pcre2_match(r->code, subject.n ? subject.p : (PCRE2_SPTR) "", subject.n, 0, 0, md, r->set->match);
        pcre2_match_data_free(md);
        pcre2_general_context_free(g);
        return rc >= 0 ? REGEX_YES : rc == PCRE2_ERROR_NOMATCH ? REGEX_NO : REGEX_LIMIT;
}
