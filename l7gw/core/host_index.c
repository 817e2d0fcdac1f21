/* l7gw/core/host_index.c - see host_index.h. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/host_index.h"

int host_index_init(struct host_index *h, struct arena *a, const struct siphash_key *k, size_t max)
{
        *h = (struct host_index){ 0 };
        int r = strindex_init(&h->exact, a, k, max);
        return r < 0 ? r : strindex_init(&h->wild, a, k, max);
}

int host_index_put(struct host_index *h, struct arena *a, const char *pattern, void *value)
{
        struct span s = span_str(pattern);
        if (s.n == 0) {
                if (h->any)
                        return -EEXIST;
                h->any = value;
                return 0;
        }
        bool wild = s.n > 2 && s.p[0] == '*' && s.p[1] == '.';
        if (wild)
                s = SPAN(s.p + 1, s.n - 1);
        if (!chars_all(s, CH_HOST))
                return -EINVAL;
        uint8_t *lower = arena_dup(a, s.p, s.n);
        if (!lower)
                return -ENOMEM;
        for (size_t i = 0; i < s.n; i++)
                lower[i] = char_lower[lower[i]];
        if (strindex_put(wild ? &h->wild : &h->exact, 0, SPAN(lower, s.n), value))
                return -EEXIST;
        if (wild && s.n > h->wild_max)
                h->wild_max = s.n;
        return 0;
}

/* pos: 0 = exact is next; i in 1..n = wildcards from byte i on; n + 1 = any; n + 2 = end. */
void *host_index_next(const struct host_index *h, struct span host, size_t *pos)
{
        void *v;
        if (*pos == 0) {
                /* a suffix longer than every wildcard cannot be one: a long host of many labels costs nothing */
                *pos = host.n > h->wild_max + 1 ? host.n - h->wild_max : 1;
                if (host.n && (v = strindex_get(&h->exact, 0, host)))
                        return v;
        }
        while (*pos < host.n) {
                size_t i = (*pos)++;
                if (host.p[i] == '.' && (v = strindex_get(&h->wild, 0, SPAN(host.p + i, host.n - i))))
                        return v;
        }
        if (*pos <= host.n + 1) {
                *pos = host.n + 2;
                return h->any;
        }
        return NULL;
}
