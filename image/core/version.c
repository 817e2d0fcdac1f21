/* image/core/version.c - see version.h. */
#include "lib/base.h"
#include "image/core/version.h"

/* One number at *at: no sign, no leading zero, at most VERSION_PART_MAX. */
static bool number(struct span s, size_t *at, uint32_t *ret)
{
        size_t i = *at;
        uint32_t v = 0;
        for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
                v = v * 10 + (uint32_t)(s.p[i] - '0');
                if (v > VERSION_PART_MAX)
                        return false;
        }
        if (i == *at || (s.p[*at] == '0' && i - *at > 1))
                return false;
        *at = i;
        *ret = v;
        return true;
}

bool version_parse(struct span s, struct version *ret)
{
        struct version v = {0};
        for (size_t at = 0;;) {
                if (v.n == VERSION_PARTS || !number(s, &at, &v.part[v.n]))
                        return false;
                v.n++;
                if (at == s.n)
                        break;
                if (s.p[at++] != '.')
                        return false;
        }
        *ret = v;
        return true;
}

int version_cmp(const struct version *a, const struct version *b)
{
        for (unsigned i = 0; i < a->n && i < b->n; i++)
                if (a->part[i] != b->part[i])
                        return a->part[i] < b->part[i] ? -1 : 1;
        return (int)a->n - (int)b->n;
}

const char *version_str(const struct version *v, char buf[VERSION_STR_MAX])
{
        size_t at = 0;
        buf[0] = '\0';
        for (unsigned i = 0; i < v->n && i < VERSION_PARTS; i++)
                at += (size_t)snprintf(buf + at, VERSION_STR_MAX - at, i ? ".%u" : "%u", (unsigned)v->part[i]);
        return buf;
}
