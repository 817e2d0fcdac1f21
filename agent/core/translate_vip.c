/* agent/core/translate_vip.c - which addresses each Gateway holds.  Layer: agent/core, pure, deterministic.
 * Older Gateways choose first (creation time, namespace, name).  Three rounds: grants that Gateways without an address of
 * their own choice hold, or naming an address would take it from whom it was given; addresses asked for by value; the
 * lowest free ones of the pools for who is still in want.  Gateways may share an address, when the later one names it and
 * their listeners do not clash: on one port all must have one protocol, one shard pool and distinct hostnames. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

struct holder { struct tx_gateway *g; struct ipaddr addr; };
struct vips {
        struct tx *tx;
        struct tx_gateway **order; /* by age */
        struct holder *holders; size_t n, cap;
        uint64_t *next; /* per pool: everything below is taken (addresses are never given back in a pass) */
};

static int age_cmp(const void *a, const void *b)
{
        const struct tx_gateway *x = *(struct tx_gateway *const *)a, *y = *(struct tx_gateway *const *)b;
        return object_age_cmp(&x->gw->o, &y->gw->o);
}

static bool in_pools(const struct translate_conf *conf, const struct ipaddr *a)
{
        for (size_t i = 0; i < conf->n_vip_pools; i++)
                if (ipprefix_contains(&conf->vip_pools[i], a))
                        return true;
        return false;
}

/* Is a an address for hosts in a pool?  Not those are the network's own (in IPv6 the subnet routers' anycast address) and
 * IPv4's broadcast, where the prefix is long enough to have them (RFC 3021, RFC 6164). */
static bool for_hosts(const struct ipprefix *p, const struct ipaddr *a)
{
        size_t len = ipaddr_len(a) * 8;
        bool zeros = true, ones = true;
        for (size_t i = p->len; i < len; i++) {
                bool bit = a->b[i / 8] >> (7 - i % 8) & 1;
                zeros &= !bit;
                ones &= bit;
        }
        return p->len >= len - 1 || !(zeros || (a->af == 4 && ones));
}

static bool usable(const struct translate_conf *conf, const struct ipaddr *a)
{
        for (size_t i = 0; i < conf->n_vip_pools; i++)
                if (ipprefix_contains(&conf->vip_pools[i], a) && for_hosts(&conf->vip_pools[i], a))
                        return true;
        return false;
}

static bool holds(const struct tx_gateway *g, const struct ipaddr *a)
{
        for (size_t i = 0; i < g->report->n_addresses; i++)
                if (ipaddr_eq(&g->report->addresses[i], a))
                        return true;
        return false;
}

static void refuse(struct tx_gateway *g, const char *reason, const char *why)
{
        if (g->report->stop_reason)
                return;
        g->report->stop_reason = reason;
        g->report->stop = why;
}

static const char *address_key(struct tx *tx, const struct ipaddr *a)
{
        char text[IPADDR_STR_MAX];
        return tx_dup(tx, ipaddr_str(a, text));
}

static void take(struct vips *v, struct tx_gateway *g, const struct ipaddr *a)
{
        if (v->n == v->cap) {
                size_t cap = v->cap ? v->cap * 2 : 64;
                struct holder *nv = TX_ARRAY(v->tx, struct holder, cap);
                if (v->n)
                        memcpy(nv, v->holders, v->n * sizeof *nv);
                v->holders = nv;
                v->cap = cap;
        }
        v->holders[v->n++] = (struct holder){ g, *a };
        map_set(v->tx, &v->tx->taken, address_key(v->tx, a), g);
        g->report->addresses[g->report->n_addresses++] = *a;
}

static bool taken(const struct vips *v, const struct ipaddr *a)
{
        char text[IPADDR_STR_MAX];
        return map_get(&v->tx->taken, span_str(ipaddr_str(a, text))) != NULL;
}

/* The listener of an older Gateway on one address:port that x cannot stand beside, or NULL. */
static const struct tx_listener *clash(const struct tx_gateway *older, const struct tx_gateway *g)
{
        for (size_t i = 0; i < older->n_listeners; i++) {
                const struct tx_listener *a = &older->listeners[i];
                for (size_t k = 0; a->report->serves && k < g->n_listeners; k++) {
                        const struct tx_listener *b = &g->listeners[k];
                        if (b->report->serves && a->l->port == b->l->port &&
                            (older->pool != g->pool || a->protocol != b->protocol || strcmp(a->l->hostname, b->l->hostname) == 0))
                                return a;
                }
        }
        return NULL;
}

/* Has g any listener of l's protocol on l's port?  (Which of its listeners clashed is not kept.) */
static bool same_protocol(const struct tx_listener *l, const struct tx_gateway *g)
{
        for (size_t i = 0; i < g->n_listeners; i++)
                if (g->listeners[i].report->serves && g->listeners[i].l->port == l->l->port &&
                    g->listeners[i].protocol == l->protocol)
                        return true;
        return false;
}

static void ask_by_value(struct vips *v, struct tx_gateway *g, const struct gateway_address *ga)
{
        struct tx *tx = v->tx;
        struct ipaddr a;
        if (ipaddr_parse(span_str(ga->value), &a) < 0) {
                refuse(g, "AddressNotUsable", tx_printf(tx, "Address %s is not an IP address", ga->value));
                return;
        }
        if (holds(g, &a))
                return;
        if (!in_pools(tx->conf, &a)) {
                refuse(g, "AddressNotUsable", tx_printf(tx, "Address %s is outside the address pools", ga->value));
                return;
        }
        if (!usable(tx->conf, &a)) {
                refuse(g, "AddressNotUsable", tx_printf(tx, "Address %s is the network or broadcast address of its pool", ga->value));
                return;
        }
        for (size_t i = 0; i < v->n; i++) {
                const struct holder *h = &v->holders[i];
                if (!ipaddr_eq(&h->addr, &a))
                        continue;
                const struct object *o = &h->g->gw->o;
                const struct tx_listener *l = clash(h->g, g);
                if (!l)
                        continue;
                if (h->g->pool != g->pool)
                        refuse(g, "AddressNotUsable", tx_printf(tx, "Address %s port %u belongs to Gateway %s/%s in shard pool %s",
                                                                ga->value, l->l->port, o->namespace, o->name, h->g->report->pool));
                else if (!same_protocol(l, g))
                        refuse(g, "AddressNotUsable", tx_printf(tx, "Address %s port %u: listener %s of Gateway %s/%s has protocol %s",
                                                                ga->value, l->l->port, l->l->name, o->namespace, o->name,
                                                                l->l->protocol));
                else
                        refuse(g, "AddressNotUsable", tx_printf(tx, "Address %s port %u hostname \"%s\" belongs to listener %s of "
                                                                "Gateway %s/%s", ga->value, l->l->port, l->l->hostname, l->l->name,
                                                                o->namespace, o->name));
                return;
        }
        take(v, g, &a);
}

/* Adds n to an address inside a prefix; false when it leaves the prefix. */
static bool prefix_at(const struct ipprefix *p, uint64_t n, struct ipaddr *ret)
{
        *ret = p->addr;
        size_t len = ipaddr_len(&p->addr);
        for (size_t i = len; i-- > 0 && n;) {
                uint64_t sum = ret->b[i] + (n & 0xff);
                ret->b[i] = (uint8_t)sum;
                n = (n >> 8) + (sum >> 8);
        }
        return n == 0 && ipprefix_contains(p, ret);
}

/* The lowest address nobody holds. */
static bool choose_free(struct vips *v, uint8_t af, struct ipaddr *ret)
{
        for (size_t i = 0; i < v->tx->conf->n_vip_pools; i++) {
                const struct ipprefix *p = &v->tx->conf->vip_pools[i];
                if (p->addr.af != af)
                        continue;
                for (uint64_t n = v->next[i]; prefix_at(p, n, ret); n++) {
                        v->next[i] = n;
                        if (for_hosts(p, ret) && !taken(v, ret))
                                return true;
                }
        }
        return false;
}

static bool names(const struct gateway *gw, const struct ipaddr *a)
{
        struct ipaddr named;
        for (size_t i = 0; i < gw->n_addresses; i++)
                if (ipaddr_parse(span_str(gw->addresses[i].value), &named) == 0 && ipaddr_eq(&named, a))
                        return true;
        return false;
}

/* The grants that g comes with. */
static const struct vip_grant *grants_of(const struct tx *tx, const struct tx_gateway *g, size_t *ret_n)
{
        char id[512];
        (void)snprintf(id, sizeof id, "%s/%s", g->gw->o.namespace, g->gw->o.name); /* names are limited to 253 each */
        const struct vip_grant *first = map_get(&tx->held_by, span_str(id)), *h = first, *end = tx->held + tx->n_held;
        while (h && h < end && strcmp(h->gateway, id) == 0)
                h++;
        *ret_n = first ? (size_t)(h - first) : 0;
        return first;
}

/* A grant of g to fill an address without value: free, and not one that g names beside it. */
static const struct ipaddr *held_by(const struct vips *v, const struct tx_gateway *g, uint8_t af)
{
        size_t n;
        const struct vip_grant *h = grants_of(v->tx, g, &n);
        for (size_t i = 0; i < n; i++)
                if (h[i].addr.af == af && usable(v->tx->conf, &h[i].addr) && !taken(v, &h[i].addr) && !names(g->gw, &h[i].addr))
                        return &h[i].addr;
        return NULL;
}

static bool held(const struct vips *v, const struct tx_gateway *g, const char *value)
{
        size_t n;
        struct ipaddr a;
        const struct vip_grant *h = grants_of(v->tx, g, &n);
        bool found = false;
        for (size_t i = 0; i < n && ipaddr_parse(span_str(value), &a) == 0; i++)
                found |= ipaddr_eq(&h[i].addr, &a);
        return found;
}

static bool pools_have(const struct translate_conf *conf, uint8_t af)
{
        for (size_t i = 0; i < conf->n_vip_pools; i++)
                if (conf->vip_pools[i].addr.af == af)
                        return true;
        return false;
}

/* How many addresses of each family are to be chosen for g. */
static void wanted(const struct tx *tx, const struct tx_gateway *g, size_t *ret4, size_t *ret6)
{
        bool have4 = pools_have(tx->conf, 4), have6 = pools_have(tx->conf, 6);
        *ret4 = *ret6 = 0;
        if (g->gw->n_addresses == 0) {
                *ret4 = have4;
                *ret6 = have6;
                return;
        }
        size_t n = 0;
        for (size_t i = 0; i < g->gw->n_addresses; i++)
                n += *g->gw->addresses[i].value == '\0';
        *ret6 = have6 ? (have4 ? n / 2 : n) : 0; /* entries without a value: IPv4 first, then in turn */
        *ret4 = n - *ret6;
}

/* A Gateway that is not accepted just now keeps what it holds (mending it must not move it) but gets nothing new. */
static void ask_all(struct vips *v)
{
        for (size_t i = 0; i < v->tx->n_gateways; i++) {
                struct tx_gateway *g = v->order[i];
                for (size_t k = 0; k < g->gw->n_addresses; k++) {
                        const struct gateway_address *ga = &g->gw->addresses[k];
                        if (*ga->value && (g->accepted || held(v, g, ga->value)))
                                ask_by_value(v, g, ga);
                }
        }
}

static void choose_all(struct vips *v, bool held_only)
{
        for (size_t i = 0; i < v->tx->n_gateways; i++) {
                struct tx_gateway *g = v->order[i];
                for (size_t f = 0; (g->accepted || held_only) && f < 2; f++) {
                        uint8_t af = f ? 6 : 4;
                        for (; g->to_choose[f] > 0; g->to_choose[f]--) {
                                const struct ipaddr *h = held_only ? held_by(v, g, af) : NULL;
                                struct ipaddr a;
                                if (h) {
                                        a = *h;
                                } else if (held_only) {
                                        break;
                                } else if (!choose_free(v, af, &a)) {
                                        refuse(g, "AddressNotAssigned", tx_printf(v->tx, "No free IPv%u address in the pools", af));
                                        break;
                                }
                                take(v, g, &a);
                        }
                }
        }
}

static int addr_cmp(const void *a, const void *b) { return ipaddr_cmp(a, b); }

void translate_vips(struct tx *tx)
{
        struct vips v = { .tx = tx, .order = TX_ARRAY(tx, struct tx_gateway *, tx->n_gateways),
                          .next = TX_ARRAY(tx, uint64_t, tx->conf->n_vip_pools) };
        for (size_t i = 0; i < tx->n_gateways; i++) {
                struct tx_gateway *g = &tx->gateways[i];
                v.order[i] = g;
                wanted(tx, g, &g->to_choose[0], &g->to_choose[1]);
                g->report->addresses = TX_ARRAY(tx, struct ipaddr, g->gw->n_addresses + 2);
        }
        if (tx->n_gateways)
                qsort(v.order, tx->n_gateways, sizeof *v.order, age_cmp);
        for (size_t i = 0; i < tx->n_held; i++)
                if (!map_get(&tx->held_by, span_str(tx->held[i].gateway)))
                        map_set(tx, &tx->held_by, tx->held[i].gateway, (void *)(uintptr_t)&tx->held[i]);
        choose_all(&v, true);
        ask_all(&v);
        choose_all(&v, false);
        tx->t->vips = TX_ARRAY(tx, struct vip_grant, v.n);
        for (size_t i = 0; i < tx->n_gateways; i++) {
                struct tx_gateway *g = &tx->gateways[i];
                struct gateway_report *r = g->report;
                if (r->n_addresses)
                        qsort(r->addresses, r->n_addresses, sizeof *r->addresses, addr_cmp);
                else if (g->accepted)
                        refuse(g, "AddressNotAssigned", "No address pool is configured");
                const char *id = tx_printf(tx, "%s/%s", g->gw->o.namespace, g->gw->o.name);
                for (size_t k = 0; k < r->n_addresses; k++)
                        tx->t->vips[tx->t->n_vips++] = (struct vip_grant){ id, r->addresses[k] };
        }
}
