/* image/core/advertise.c - see advertise.h. */
#include "lib/base.h"
#include "image/core/advertise.h"

static bool takes_traffic(const struct advertise_backend *b)
{
        return strcmp(b->state, "up") == 0 || (!b->checked && strcmp(b->state, "unknown") == 0);
}

void advertise_judge(const struct advertise_service *s, size_t n_services, const struct advertise_backend *b, size_t n_backends,
                     struct advertise_pool *pools, size_t n_pools)
{
        for (size_t p = 0; p < n_pools; p++) {
                pools[p].wanted = false;
                for (size_t i = 0; i < n_services && !pools[p].wanted; i++)
                        for (size_t k = 0; k < n_backends && !pools[p].wanted; k++)
                                pools[p].wanted = ipprefix_contains(&pools[p].prefix, &s[i].vip) && strcmp(s[i].pool, b[k].pool) == 0 &&
                                                  takes_traffic(&b[k]);
        }
}

bool advertise_is_name(const char *s)
{
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        return n > 0 && n < ADVERTISE_NAME_MAX && !s[n] && !(*s >= '0' && *s <= '9');
}

enum bird_rc bird_answer(struct span in, size_t *ret_used)
{
        for (size_t at = 0; at < in.n;) {
                const uint8_t *line = in.p + at, *nl = memchr(line, '\n', in.n - at);
                if (!nl)
                        return BIRD_MORE;
                size_t n = (size_t)(nl - line);
                at += n + 1;
                if (n && line[0] == ' ')
                        continue;
                for (size_t i = 0; i < 4; i++)
                        if (i >= n || line[i] < '0' || line[i] > '9')
                                return BIRD_BAD;
                if (n < 5 || (line[4] != ' ' && line[4] != '-'))
                        return BIRD_BAD;
                if (line[4] == '-')
                        continue;
                *ret_used = at;
                return line[0] >= '8' ? BIRD_ERROR : BIRD_OK;
        }
        return BIRD_MORE;
}
