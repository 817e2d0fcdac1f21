/* l4lb/core/guard.c - see guard.h. */
#include "lib/base.h"
#include "l4lb/core/guard.h"

enum bucket { BUCKET_NEW = 1, BUCKET_PACKETS, BUCKET_SOURCE_NEW, BUCKET_SOURCE_PACKETS };

static bool deny(struct pkt *p, enum l4_verdict v)
{
        pkt_done(p, v);
        return false;
}

static bool listed(const struct acl *a, const struct pkt *p)
{
        const uint8_t *ip = p->p + p->l3;
        uint16_t v = p->version == 4 ? prefixmap4(&a->map, ip + 12) : prefixmap6(&a->map, ip + 8);
        return v == PREFIXMAP_NONE ? a->open : v == ACL_ALLOW;
}

/* A source is an IPv4 address or an IPv6 /64: that is what one customer or host has. */
static uint64_t key_of(const struct worker *w, const struct guard *g, enum bucket b, const struct pkt *p)
{
        uint64_t words[2] = { g->id ^ (uint64_t)b << 56, 0 };
        if (b >= BUCKET_SOURCE_NEW)
                memcpy(&words[1], p->p + p->l3 + (p->version == 4 ? 12 : 8), p->version == 4 ? 4 : 8);
        return tuple_hash_words(&w->key, words, 2);
}

static bool rate_ok(struct worker *w, const struct guard *g, enum bucket b, uint32_t per_s, const struct pkt *p)
{
        return per_s == 0 || rates_take(&w->rates, key_of(w, g, b, p), per_s, w->now_ms);
}

/* The source's own limit first: what it stops takes nothing from the others. */
static bool packets_ok(struct worker *w, const struct guard *g, struct pkt *p)
{
        if (!rate_ok(w, g, BUCKET_SOURCE_PACKETS, g->source_packets, p))
                return deny(p, DROP_SOURCE_RATE);
        return rate_ok(w, g, BUCKET_PACKETS, g->packets, p) || deny(p, DROP_SERVICE_RATE);
}

bool guard_new(struct worker *w, const struct tables *t, struct pkt *p, bool opens)
{
        const struct guard *g = &t->guards[p->service];
        if (g->acl && !listed(g->acl, p))
                return deny(p, DROP_ACL);
        if (!packets_ok(w, g, p))
                return false;
        if (!opens)
                return true;
        if (!rate_ok(w, g, BUCKET_SOURCE_NEW, g->source_connections, p))
                return deny(p, DROP_SOURCE_RATE);
        return rate_ok(w, g, BUCKET_NEW, g->connections, p) || deny(p, DROP_SERVICE_RATE);
}

bool guard_known(struct worker *w, const struct tables *t, struct pkt *p)
{
        if (p->service == SERVICE_NONE || !t->services[p->service].guarded) /* an answer of an endpoint under NAT */
                return true;
        const struct guard *g = &t->guards[p->service];
        if (g->acl && t->acl_changed && !listed(g->acl, p))
                return deny(p, DROP_ACL);
        return packets_ok(w, g, p);
}
