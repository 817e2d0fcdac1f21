/* l4lb/core/service.c - see service.h.  Open addressing at load <= 1/2 with Fibonacci hashing.  The tables hold only
 * configured keys, so nobody outside can make them long; a build that would probe far doubles the table. */
#include "lib/base.h"
#include "l4lb/core/service.h"

#define PROBES_MAX 8
#define SLOTS_MAX (1u << 22)

static uint32_t slots_for(uint32_t n)
{
        uint32_t slots = 8;
        while (slots < 2 * n + 1)
                slots *= 2;
        return slots;
}

static int vips4_fill(struct tables *t, uint32_t slots)
{
        t->vips4 = arena_calloc(&t->arena, slots, sizeof *t->vips4);
        if (!t->vips4)
                return -ENOMEM;
        t->mask4 = slots - 1;
        for (uint32_t i = 0; i < slots; i++)
                t->vips4[i].vip = VIP_NONE;
        for (uint16_t v = 0; v < t->n_vips; v++) {
                uint32_t a, i, probes = 0;
                if (t->vips[v].addr.af != 4)
                        continue;
                memcpy(&a, t->vips[v].addr.b, 4);
                for (i = tables_mix(a); t->vips4[i & t->mask4].vip != VIP_NONE; i++, probes++)
                        if (t->vips4[i & t->mask4].addr_be == a)
                                return -EEXIST;
                if (probes > PROBES_MAX && slots < SLOTS_MAX)
                        return -EAGAIN;
                t->vips4[i & t->mask4] = (struct addr_slot4){ a, v };
        }
        return 0;
}

static int vips6_fill(struct tables *t, uint32_t slots)
{
        t->vips6 = arena_calloc(&t->arena, slots, sizeof *t->vips6);
        if (!t->vips6)
                return -ENOMEM;
        t->mask6 = slots - 1;
        for (uint32_t i = 0; i < slots; i++)
                t->vips6[i].vip = VIP_NONE;
        for (uint16_t v = 0; v < t->n_vips; v++) {
                uint64_t a[2];
                uint32_t i, probes = 0;
                if (t->vips[v].addr.af != 6)
                        continue;
                memcpy(a, t->vips[v].addr.b, 16);
                for (i = tables_mix(a[0] ^ (a[1] << 1)); t->vips6[i & t->mask6].vip != VIP_NONE; i++, probes++)
                        if (memcmp(t->vips6[i & t->mask6].addr, a, 16) == 0)
                                return -EEXIST;
                if (probes > PROBES_MAX && slots < SLOTS_MAX)
                        return -EAGAIN;
                t->vips6[i & t->mask6] = (struct addr_slot6){ { a[0], a[1] }, v };
        }
        return 0;
}

int service_index_vips(struct tables *t)
{
        int r;
        uint32_t slots = slots_for(t->n_vips);
        while ((r = vips4_fill(t, slots)) == -EAGAIN)
                slots *= 2;
        if (r < 0)
                return r;
        slots = slots_for(t->n_vips);
        while ((r = vips6_fill(t, slots)) == -EAGAIN)
                slots *= 2;
        return r;
}

static int ports_fill(struct tables *t, uint32_t slots)
{
        t->ports = arena_calloc(&t->arena, slots, sizeof *t->ports);
        if (!t->ports)
                return -ENOMEM;
        t->port_mask = slots - 1;
        for (uint32_t i = 0; i < slots; i++)
                t->ports[i].service = SERVICE_NONE;
        for (uint16_t k = 0; k < t->n_services; k++) {
                const struct service *s = &t->services[k];
                uint32_t i, probes = 0, key = (uint32_t)s->vip << 17 | (uint32_t)s->udp << 16 | s->port_lo;
                if (s->port_lo == 0 || s->port_lo != s->port_hi)
                        continue;
                for (i = tables_mix(key); t->ports[i & t->port_mask].service != SERVICE_NONE; i++)
                        probes++;
                if (probes > PROBES_MAX && slots < SLOTS_MAX)
                        return -EAGAIN;
                t->ports[i & t->port_mask] = (struct port_slot){ key, k };
        }
        return 0;
}

static int range_cmp(const void *a, const void *b)
{
        const struct range *x = a, *y = b;
        return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Services with a real range, grouped by (vip, udp) and sorted; the model has refused overlaps. */
static int ranges_fill(struct tables *t)
{
        size_t n = 0;
        t->range_lists = arena_calloc(&t->arena, MAX(2 * t->n_vips, 1u), sizeof *t->range_lists);
        t->ranges = arena_calloc(&t->arena, MAX(t->n_services, 1u), sizeof *t->ranges);
        if (!t->range_lists || !t->ranges)
                return -ENOMEM;
        for (uint32_t l = 0; l < 2 * t->n_vips; l++)
                t->range_lists[l].any = SERVICE_NONE;
        for (uint16_t k = 0; k < t->n_services; k++) { /* count */
                const struct service *s = &t->services[k];
                struct range_list *l = &t->range_lists[2u * s->vip + s->udp];
                if (s->port_lo == 0)
                        l->any = k;
                else if (s->port_lo != s->port_hi)
                        l->n++;
        }
        for (uint32_t l = 0; l < 2 * t->n_vips; l++) {
                t->range_lists[l].first = (uint32_t)n;
                n += t->range_lists[l].n;
                t->range_lists[l].n = 0;
        }
        for (uint16_t k = 0; k < t->n_services; k++) { /* place */
                const struct service *s = &t->services[k];
                struct range_list *l = &t->range_lists[2u * s->vip + s->udp];
                if (s->port_lo != 0 && s->port_lo != s->port_hi)
                        t->ranges[l->first + l->n++] = (struct range){ s->port_lo, s->port_hi, k };
        }
        for (uint32_t l = 0; l < 2 * t->n_vips; l++)
                qsort(t->ranges + t->range_lists[l].first, t->range_lists[l].n, sizeof *t->ranges, range_cmp);
        return 0;
}

int service_index_ports(struct tables *t)
{
        uint32_t slots = slots_for(t->n_services);
        int r;
        while ((r = ports_fill(t, slots)) == -EAGAIN)
                slots *= 2;
        return r < 0 ? r : ranges_fill(t);
}

uint16_t tables_service_range(const struct tables *t, uint16_t vip, bool udp, uint16_t port)
{
        const struct range_list *l = &t->range_lists[2u * vip + udp];
        const struct range *r = t->ranges + l->first;
        for (uint32_t lo = 0, hi = l->n; lo < hi;) {
                uint32_t mid = (lo + hi) / 2;
                if (port < r[mid].lo)
                        hi = mid;
                else if (port > r[mid].hi)
                        lo = mid + 1;
                else
                        return r[mid].service;
        }
        return l->any;
}
