/* image/core/plan.c - see plan.h. */
#include "lib/base.h"
#include "image/core/plan.h"
#include "image/core/users.h"

#define KERNEL_SIDE 512  /* offset of the kernel links in the IPv4 network of links */
#define KERNEL_SIDE6 0x100

static struct ipprefix v4(const struct config *c, uint32_t offset, unsigned host)
{
        struct ipprefix p = {.addr = c->links4.addr, .len = 30};
        const uint8_t *b = c->links4.addr.b;
        uint32_t base = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        base += offset + host;
        for (int i = 0; i < 4; i++)
                p.addr.b[i] = (uint8_t)(base >> (24 - 8 * i));
        return p;
}

static struct ipprefix v6(const struct config *c, unsigned subnet, unsigned host)
{
        struct ipprefix p = {.addr = c->links6.addr, .len = 64};
        p.addr.b[6] = (uint8_t)(subnet >> 8);
        p.addr.b[7] = (uint8_t)subnet;
        p.addr.b[15] = (uint8_t)host;
        return p;
}

void plan_shard_name(const struct shard_group *g, unsigned i, char ret[48])
{
        snprintf(ret, 48, "%.40s-%u", g->name, (g->first + i) % 10000);
}

void plan_shard(const struct config *c, size_t i, struct shard_plan *ret)
{
        size_t before = 0, g = 0;
        while (g < c->n_groups && i >= before + c->groups[g].count)
                before += c->groups[g++].count;
        BUG_ON(g == c->n_groups);
        struct shard_plan p = {.index = (unsigned)i + 1, .uid = UID_SHARD + (unsigned)i + 1, .group = &c->groups[g]};
        uint32_t at = 4u * p.index;
        plan_shard_name(p.group, (unsigned)(i - before), p.name);
        snprintf(p.link, sizeof p.link, "s%u", p.index & 0xff);
        snprintf(p.kernel_link, sizeof p.kernel_link, "b%u", p.index & 0xff);
        p.kernel[0] = v4(c, KERNEL_SIDE + at, 1);
        p.out[0] = v4(c, KERNEL_SIDE + at, 2);
        p.kernel[1] = v6(c, KERNEL_SIDE6 + p.index, 1);
        p.out[1] = v6(c, KERNEL_SIDE6 + p.index, 2);
        if (c->role == ROLE_SHARDS) {
                p.in[0] = p.group->at[0][i - before];
                p.in[1] = p.group->at[1][i - before];
        } else {
                p.l4[0] = v4(c, at, 1);
                p.in[0] = v4(c, at, 2);
                p.l4[1] = v6(c, p.index, 1);
                p.in[1] = v6(c, p.index, 2);
        }
        *ret = p;
}

void plan_l4_cores(const struct config *c, const struct machine *m, char ret[PLAN_CPU_TEXT])
{
        if (c->l4_cores.n)
                snprintf(ret, PLAN_CPU_TEXT, "%s", c->l4_cores.text);
        else
                snprintf(ret, PLAN_CPU_TEXT, "%u", m->cpus > 1 ? 1 : 0);
}

static bool l4_takes(const struct config *c, const struct machine *m, unsigned cpu)
{
        if (c->role == ROLE_SHARDS)
                return false; /* there is none */
        if (c->l4_cores.n == 0)
                return m->cpus > 1 && cpu == 1;
        for (size_t i = 0; i < c->l4_cores.n; i++)
                if (c->l4_cores.cpu[i] == cpu)
                        return true;
        return false;
}

void plan_group_cores(const struct config *c, const struct shard_group *g, const struct machine *m, char ret[PLAN_CPU_TEXT])
{
        size_t n = 0;
        ret[0] = '\0';
        if (g->cores.n) {
                snprintf(ret, PLAN_CPU_TEXT, "%s", g->cores.text);
                return;
        }
        for (unsigned lo = 0; lo < m->cpus && n < PLAN_CPU_TEXT - 16; lo++) {
                unsigned hi = lo;
                if (l4_takes(c, m, lo))
                        continue;
                while (hi + 1 < m->cpus && !l4_takes(c, m, hi + 1))
                        hi++;
                int w = hi > lo ? snprintf(ret + n, PLAN_CPU_TEXT - n, "%s%u-%u", n ? "," : "", lo, hi)
                                : snprintf(ret + n, PLAN_CPU_TEXT - n, "%s%u", n ? "," : "", lo);
                n += (size_t)w;
                lo = hi;
        }
        if (n == 0) /* l4lb takes them all: they share */
                snprintf(ret, PLAN_CPU_TEXT, m->cpus > 1 ? "0-%u" : "%u", m->cpus ? m->cpus - 1 : 0);
}
