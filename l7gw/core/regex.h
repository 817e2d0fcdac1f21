/* l7gw/core/regex.h - regular expressions of routes, compiled once per configuration generation.  Layer: l7gw/core, pure.
 * Dialect: Perl's (PCRE2), over bytes, and always of the whole subject, as if written ^(?:...)$.
 * Bounded: backtracking of one test ends at L7_REGEX_STEPS and says so; the caller answers an error, because taking it
 * for "no match" could lead a request around the rule that protects it.
 * Thread rule: built by one thread, immutable afterwards, any thread may test.  Ownership: a set and its expressions live
 * in the arena given to new; machine code does not, so a set must be closed before its arena. */
#pragma once
#include "lib/core/arena.h"

struct regex;
struct regex_set;
enum regex_rc { REGEX_NO, REGEX_YES, REGEX_LIMIT };
int regex_set_new(struct arena *a, struct regex_set **ret) NONNULL(1, 2) MUST_USE; /* -ENOMEM */
void regex_set_close(struct regex_set *s);                                         /* NULL is legal */
/* -EINVAL: `why` holds what is wrong with it, and where.  -ENOMEM. */
int regex_compile(struct regex_set *s, struct span pattern, const struct regex **ret, char *why, size_t why_n)
        NONNULL(1, 3, 4) MUST_USE;
enum regex_rc regex_test(const struct regex *r, struct span subject) NONNULL(1);
