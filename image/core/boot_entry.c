/* image/core/boot_entry.c - see boot_entry.h. */
#include "lib/base.h"
#include "image/core/boot_entry.h"

static const char prefix[] = "gatehouse_", suffix[] = ".efi";

static bool counter(struct span s, uint32_t *ret)
{
        uint32_t v = 0;
        if (s.n == 0 || s.n > 6)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return false;
                v = v * 10 + (uint32_t)(s.p[i] - '0');
        }
        *ret = v;
        return true;
}

bool boot_entry_parse(struct span name, struct boot_entry *ret)
{
        struct boot_entry e = {0};
        const size_t head = sizeof prefix - 1, tail = sizeof suffix - 1;
        if (name.n <= head + tail || memcmp(name.p, prefix, head) != 0 || memcmp(name.p + name.n - tail, suffix, tail) != 0)
                return false;
        struct span s = SPAN(name.p + head, name.n - head - tail);
        const uint8_t *plus = memchr(s.p, '+', s.n);
        if (plus) {
                struct span count = SPAN(plus + 1, s.n - (size_t)(plus + 1 - s.p));
                const uint8_t *dash = count.n ? memchr(count.p, '-', count.n) : NULL;
                e.counted = true;
                s.n = (size_t)(plus - s.p);
                if (dash) {
                        if (!counter(SPAN(dash + 1, count.n - (size_t)(dash + 1 - count.p)), &e.done))
                                return false;
                        count.n = (size_t)(dash - count.p);
                }
                if (!counter(count, &e.left))
                        return false;
        }
        if (!version_parse(s, &e.version))
                return false;
        *ret = e;
        return true;
}

const char *boot_entry_name(const struct boot_entry *e, char buf[BOOT_ENTRY_NAME_MAX])
{
        char v[VERSION_STR_MAX];
        version_str(&e->version, v);
        if (!e->counted)
                snprintf(buf, BOOT_ENTRY_NAME_MAX, "%s%s%s", prefix, v, suffix);
        else if (e->done == 0)
                snprintf(buf, BOOT_ENTRY_NAME_MAX, "%s%s+%u%s", prefix, v, (unsigned)e->left, suffix);
        else
                snprintf(buf, BOOT_ENTRY_NAME_MAX, "%s%s+%u-%u%s", prefix, v, (unsigned)e->left, (unsigned)e->done, suffix);
        return buf;
}

int boot_entry_cmp(const struct boot_entry *a, const struct boot_entry *b)
{
        if (boot_entry_failed(a) != boot_entry_failed(b))
                return boot_entry_failed(a) ? 1 : -1;
        return -version_cmp(&a->version, &b->version);
}
