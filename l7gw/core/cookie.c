/* l7gw/core/cookie.c - see cookie.h. */
#include "lib/base.h"
#include "l7gw/core/cookie.h"

static bool is_blank(uint8_t c)
{
        return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
        while (s.n && is_blank(s.p[0]))
                s = SPAN(s.p + 1, s.n - 1);
        while (s.n && is_blank(s.p[s.n - 1]))
                s.n--;
        return s;
}

bool cookie_next(struct span *line, struct span name, struct span *ret)
{
        while (line->n) {
                const uint8_t *semi = memchr(line->p, ';', line->n);
                struct span pair = SPAN(line->p, semi ? (size_t)(semi - line->p) : line->n);
                size_t skip = semi ? pair.n + 1 : pair.n;
                *line = SPAN(line->p + skip, line->n - skip);
                const uint8_t *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
                if (!eq || !span_eq(trim(SPAN(pair.p, (size_t)(eq - pair.p))), name))
                        continue;
                size_t at = (size_t)(eq - pair.p) + 1;
                *ret = trim(SPAN(pair.p + at, pair.n - at));
                return true;
        }
        return false;
}
