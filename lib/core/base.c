/* lib/core/base.c - see lib/base.h. */
#include "lib/base.h"

#include <stdarg.h>

NORETURN void bug_abort(const char *file, int line, const char *what)
{
        fprintf(stderr, "BUG at %s:%d: %s\n", file, line, what); /* the process ends here: nobody is left to log it */
        abort();
}

static uint8_t ascii_lower(uint8_t c)
{
        return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool span_ieq(struct span a, struct span b)
{
        if (a.n != b.n)
                return false;
        for (size_t i = 0; i < a.n; i++)
                if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
                        return false;
        return true;
}

int span_cmp(struct span a, struct span b)
{
        size_t n = MIN(a.n, b.n);
        int r = n ? memcmp(a.p, b.p, n) : 0;
        return r ? r : (a.n > b.n) - (a.n < b.n);
}

int err_set(struct err *e, int errno_value, const char *place, const char *fmt, ...)
{
        BUG_ON(errno_value <= 0);
        if (!e)
                return -errno_value;
        char msg[sizeof e->msg]; /* the arguments may point into *e */
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(msg, sizeof msg, fmt, ap);
        va_end(ap);
        char where[sizeof e->place];
        snprintf(where, sizeof where, "%s", place ? place : "");
        memcpy(e->place, where, sizeof where);
        memcpy(e->msg, msg, sizeof msg);
        return -errno_value;
}
