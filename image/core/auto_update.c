/* image/core/auto_update.c - see auto_update.h. */
#include "lib/base.h"
#include "image/core/auto_update.h"
#include "lib/core/hash.h"

#define DAY_MIN (24 * 60)

static bool two(const char *s, unsigned below, unsigned *ret)
{
        if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
                return false;
        *ret = (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0');
        return *ret < below;
}

int auto_window_parse(const char *t, struct auto_window *ret)
{
        unsigned h1, m1, h2, m2;
        if (strlen(t) != 11 || t[2] != ':' || t[5] != '-' || t[8] != ':' || !two(t, 24, &h1) || !two(t + 3, 60, &m1) || !two(t + 6, 24, &h2) ||
            !two(t + 9, 60, &m2))
                return -EINVAL;
        unsigned from = h1 * 60 + m1, to = h2 * 60 + m2, len = (to + DAY_MIN - from) % DAY_MIN;
        if (len == 0) /* "00:00-00:00": always */
                len = DAY_MIN;
        if (len < AUTO_WINDOW_MIN)
                return -EINVAL;
        *ret = (struct auto_window){.from_min = (uint16_t)from, .len_min = (uint16_t)len};
        return 0;
}

uint16_t auto_moment(const struct auto_facts *f)
{
        const struct siphash_key key = {.k0 = f->box, .k1 = 0};
        return (uint16_t)(siphash13(&key, f->found.part, sizeof f->found.part) % (f->window.len_min - AUTO_LAST_CALL_MIN));
}

enum auto_verdict auto_decide(const struct auto_facts *f)
{
        if (version_cmp(&f->found, &f->running) <= 0)
                return AUTO_CURRENT;
        if (f->left.n && version_cmp(&f->found, &f->left) <= 0)
                return AUTO_REJECTED;
        if (f->on_trial)
                return AUTO_TRIAL;
        unsigned into = ((unsigned)f->now_min + DAY_MIN - f->window.from_min) % DAY_MIN;
        return into < f->window.len_min && into >= auto_moment(f) ? AUTO_INSTALL : AUTO_LATER;
}
