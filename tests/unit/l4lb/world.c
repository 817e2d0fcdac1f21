/* tests/unit/l4lb/world.c - see world.h. */
#include "lib/base.h"
#include "tests/unit/l4lb/world.h"
#include "l4lb/core/wire.h"

const uint8_t world_router_mac[6] = { 2, 0xaa, 0, 0, 0, 1 };
const uint8_t world_app_macs[2][6] = { { 2, 0xee, 0, 0, 0, 1 }, { 2, 0xee, 0, 0, 0, 2 } };
const uint8_t world_shard_macs[2][6] = { { 2, 0xbb, 0, 0, 0, 1 }, { 2, 0xbb, 0, 0, 0, 2 } };

static struct ipaddr addr(const char *s)
{
        struct ipaddr a;
        BUG_ON(ipaddr_parse(span_str(s), &a) < 0);
        return a;
}

static struct ipprefix prefix(const char *s)
{
        struct ipprefix p;
        BUG_ON(ipprefix_parse(span_str(s), &p) < 0);
        return p;
}

/* ---------------------------------------------------------------- model */

static const struct {
        const char *id, *addr;
} vips[] = { { "192.0.2.1", "192.0.2.1" }, { "192.0.2.2", "192.0.2.2" }, { "2001:db8:10::1", "2001:db8:10::1" } };

static const struct {
        const char *id, *vip;
        uint32_t lo, hi;
        bool udp;
        const char *distribution;
        uint8_t way; /* enum way */
        const char *acl;
        uint32_t rates[4]; /* connections, packets, of a source: connections, packets */
} listeners[] = {
        { "192.0.2.1:80/tcp", "192.0.2.1", 80, 80, false, "shards" },
        { "192.0.2.1:81/tcp", "192.0.2.1", 81, 81, false, "drop" },
        { "192.0.2.1:82/tcp", "192.0.2.1", 82, 82, false, "empty" },
        { "192.0.2.1:1000/tcp", "192.0.2.1", 1000, 1999, false, "shards" },
        { "192.0.2.1:53/udp", "192.0.2.1", 53, 53, true, "shards" },
        { "192.0.2.2:80/tcp", "192.0.2.2", 80, 80, false, "drop" },
        { "192.0.2.2:any/tcp", "192.0.2.2", 0, 0, false, "shards" },
        { "[2001:db8:10::1]:80/tcp", "2001:db8:10::1", 80, 80, false, "shards" },
        { "[2001:db8:10::1]:53/udp", "2001:db8:10::1", 53, 53, true, "shards" },
        { "192.0.2.1:90/tcp", "192.0.2.1", 90, 90, false, "apps", WAY_NAT },
        { "192.0.2.1:90/udp", "192.0.2.1", 90, 90, true, "apps", WAY_NAT },
        { "192.0.2.1:91/tcp", "192.0.2.1", 91, 91, false, "app6", WAY_NAT },
        { "192.0.2.1:91/udp", "192.0.2.1", 91, 91, true, "app6", WAY_NAT },
        { "192.0.2.1:92/tcp", "192.0.2.1", 92, 92, false, "reject", WAY_NAT },
        { "192.0.2.1:92/udp", "192.0.2.1", 92, 92, true, "reject", WAY_NAT },
        { "[2001:db8:10::1]:90/tcp", "2001:db8:10::1", 90, 90, false, "apps", WAY_NAT },
        { "[2001:db8:10::1]:90/udp", "2001:db8:10::1", 90, 90, true, "apps", WAY_NAT },
        { "[2001:db8:10::1]:91/tcp", "2001:db8:10::1", 91, 91, false, "app4", WAY_NAT },
        { "[2001:db8:10::1]:91/udp", "2001:db8:10::1", 91, 91, true, "app4", WAY_NAT },
        { "192.0.2.1:95/tcp", "192.0.2.1", 95, 95, false, "far4", WAY_GUE },
        { "192.0.2.1:95/udp", "192.0.2.1", 95, 95, true, "far4", WAY_GUE },
        { "192.0.2.1:96/tcp", "192.0.2.1", 96, 96, false, "far6", WAY_IPIP },
        { "192.0.2.1:97/tcp", "192.0.2.1", 97, 97, false, "far6", WAY_GUE },
        { "192.0.2.1:98/tcp", "192.0.2.1", 98, 98, false, "far4", WAY_IPIP },
        { "[2001:db8:10::1]:95/tcp", "2001:db8:10::1", 95, 95, false, "far4", WAY_GUE },
        { "[2001:db8:10::1]:96/tcp", "2001:db8:10::1", 96, 96, false, "far6", WAY_IPIP },
        { "[2001:db8:10::1]:97/tcp", "2001:db8:10::1", 97, 97, false, "far6", WAY_GUE },
        { "[2001:db8:10::1]:98/tcp", "2001:db8:10::1", 98, 98, false, "far4", WAY_IPIP },
        { "192.0.2.1:84/tcp", "192.0.2.1", 84, 84, false, "shards", WAY_LINK, "some" },
        { "192.0.2.1:84/udp", "192.0.2.1", 84, 84, true, "shards", WAY_LINK, "others" },
        { "192.0.2.1:94/tcp", "192.0.2.1", 94, 94, false, "apps", WAY_NAT, "some" },
        { "[2001:db8:10::1]:84/tcp", "2001:db8:10::1", 84, 84, false, "shards", WAY_LINK, "some" },
        { "192.0.2.1:85/tcp", "192.0.2.1", 85, 85, false, "shards", WAY_LINK, NULL, { 3, 0, 2, 0 } },
        { "192.0.2.1:85/udp", "192.0.2.1", 85, 85, true, "shards", WAY_LINK, NULL, { 0, 4, 0, 3 } },
};

static const char *const nat_sets[] = { "apps", "app4", "app6" };
static const char *const far_sets[] = { "far4", "far6" };
#define N_SETS 7 /* 2 of shards, then those */

static ProtobufCBinaryData bytes_of(struct arena *a, const char *text)
{
        struct ipaddr ip = addr(text);
        void *p = arena_dup(a, ip.b, ipaddr_len(&ip));
        BUG_ON(!p);
        return (ProtobufCBinaryData){ ipaddr_len(&ip), p };
}

#define NEW(a, type, init)                                                                                             \
        ({                                                                                                             \
                type *new_ = arena_alloc(a, sizeof(type));                                                             \
                BUG_ON(!new_);                                                                                         \
                init(new_);                                                                                            \
                new_;                                                                                                  \
        })
#define LIST(a, type, n) ((type **)arena_calloc(a, (n), sizeof(type *)))

static Model__Source *source(struct arena *a, const char *kind, const char *name)
{
        Model__Source *s = NEW(a, Model__Source, model__source__init);
        s->kind = (char *)(uintptr_t)kind;
        s->namespace_ = (char *)(uintptr_t) "default";
        s->name = (char *)(uintptr_t)name;
        return s;
}

static Model__L4Distribution *distribution(struct arena *a, const char *id, const char *pool, Model__L4Leg__Verdict v)
{
        Model__L4Distribution *d = NEW(a, Model__L4Distribution, model__l4_distribution__init);
        Model__L4Leg *leg = NEW(a, Model__L4Leg, model__l4_leg__init);
        d->id = (char *)(uintptr_t)id;
        d->source = source(a, "Gateway", "web");
        d->n_legs = 1;
        d->legs = LIST(a, Model__L4Leg, 1);
        d->legs[0] = leg;
        leg->pool = (char *)(uintptr_t)pool;
        leg->weight = 1;
        leg->verdict = v;
        return d;
}

static Model__Pool *pool(struct arena *a, const char *id, const char *set, bool checked)
{
        Model__Pool *p = NEW(a, Model__Pool, model__pool__init);
        p->id = (char *)(uintptr_t)id;
        p->endpoint_set = (char *)(uintptr_t)set;
        p->drain_ms = 60000;
        p->source = source(a, "ShardPool", id);
        if (checked) {
                Model__HealthCheck *h = NEW(a, Model__HealthCheck, model__health_check__init);
                h->type = MODEL__HEALTH_CHECK_TYPE__HC_TCP;
                h->interval_ms = h->timeout_ms = 200;
                h->rise = 1;
                h->fall = 2;
                h->port = 9000;
                p->health_check = h;
        }
        return p;
}

static Model__Prefix *prefix_of(struct arena *a, const char *text)
{
        struct ipprefix p = prefix(text);
        Model__Prefix *m = NEW(a, Model__Prefix, model__prefix__init);
        void *b = arena_dup(a, p.addr.b, ipaddr_len(&p.addr));
        BUG_ON(!b);
        m->addr = (ProtobufCBinaryData){ ipaddr_len(&p.addr), b };
        m->len = p.len;
        return m;
}

/* some: who is named, but not 198.51.100.64/26 of it, of which .66 again; others: all but who is named. */
static void make_acls(struct arena *a, Model__L4 *l4)
{
        static const char *const allow[] = { "198.51.100.0/24", "198.51.100.66/32", "2001:db8:99::/48" }, *const deny[] = { "198.51.100.64/26", "2001:db8:99:6600::/56" };
        l4->n_acls = 2;
        l4->acls = LIST(a, Model__Acl, 2);
        for (size_t i = 0; i < 2; i++) {
                Model__Acl *m = l4->acls[i] = NEW(a, Model__Acl, model__acl__init);
                m->id = (char *)(uintptr_t)(i ? "others" : "some");
                m->source = source(a, "Gateway", "web");
                m->allow = LIST(a, Model__Prefix, ARRAY_SIZE(allow));
                m->deny = LIST(a, Model__Prefix, ARRAY_SIZE(deny));
                for (size_t k = 0; i == 0 && k < ARRAY_SIZE(allow); k++)
                        m->allow[m->n_allow++] = prefix_of(a, allow[k]);
                for (size_t k = 0; k < ARRAY_SIZE(deny); k++)
                        m->deny[m->n_deny++] = prefix_of(a, deny[k]);
        }
}

static Model__L4 *make_l4(struct arena *a)
{
        Model__L4 *l4 = NEW(a, Model__L4, model__l4__init);
        l4->n_vips = ARRAY_SIZE(vips);
        l4->vips = LIST(a, Model__Vip, l4->n_vips);
        for (size_t i = 0; i < l4->n_vips; i++) {
                Model__Vip *v = l4->vips[i] = NEW(a, Model__Vip, model__vip__init);
                v->id = (char *)(uintptr_t)vips[i].id;
                v->addr = bytes_of(a, vips[i].addr);
                v->source = source(a, "Gateway", "web");
        }
        l4->n_listeners = ARRAY_SIZE(listeners);
        l4->listeners = LIST(a, Model__L4Listener, l4->n_listeners);
        for (size_t i = 0; i < l4->n_listeners; i++) {
                Model__L4Listener *l = l4->listeners[i] = NEW(a, Model__L4Listener, model__l4_listener__init);
                l->id = (char *)(uintptr_t)listeners[i].id;
                l->vip = (char *)(uintptr_t)listeners[i].vip;
                l->port_lo = listeners[i].lo;
                l->port_hi = listeners[i].hi;
                l->protocol = listeners[i].udp ? MODEL__L4_PROTOCOL__L4_UDP : MODEL__L4_PROTOCOL__L4_TCP;
                l->distribution = (char *)(uintptr_t)listeners[i].distribution;
                l->source = source(a, "Gateway", "web");
                static const Model__L4Listener__Forward forward[] = { [WAY_LINK] = MODEL__L4_LISTENER__FORWARD__L2,
                                                                      [WAY_NAT] = MODEL__L4_LISTENER__FORWARD__FULL_NAT,
                                                                      [WAY_IPIP] = MODEL__L4_LISTENER__FORWARD__IPIP,
                                                                      [WAY_GUE] = MODEL__L4_LISTENER__FORWARD__GUE };
                l->forward = forward[listeners[i].way];
                if (listeners[i].acl)
                        l->acl = (char *)(uintptr_t)listeners[i].acl;
                l->max_connections_per_s = listeners[i].rates[0];
                l->packets_per_s = listeners[i].rates[1];
                l->source_connections_per_s = listeners[i].rates[2];
                l->source_packets_per_s = listeners[i].rates[3];
                if (listeners[i].way == WAY_NAT)
                        l->target = MODEL__L4_LISTENER__TARGET__ENDPOINTS;
        }
        make_acls(a, l4);
        l4->n_distributions = 9;
        l4->distributions = LIST(a, Model__L4Distribution, 9);
        l4->distributions[0] = distribution(a, "drop", "", MODEL__L4_LEG__VERDICT__DROP);
        l4->distributions[1] = distribution(a, "empty", "shards/empty", MODEL__L4_LEG__VERDICT__FORWARD);
        l4->distributions[2] = distribution(a, "shards", "shards/default", MODEL__L4_LEG__VERDICT__FORWARD);
        l4->distributions[3] = distribution(a, "apps", "apps", MODEL__L4_LEG__VERDICT__FORWARD);
        l4->distributions[4] = distribution(a, "app4", "app4", MODEL__L4_LEG__VERDICT__FORWARD);
        l4->distributions[5] = distribution(a, "app6", "app6", MODEL__L4_LEG__VERDICT__FORWARD);
        l4->distributions[6] = distribution(a, "reject", "", MODEL__L4_LEG__VERDICT__REJECT);
        for (size_t i = 0; i < 2; i++)
                l4->distributions[7 + i] = distribution(a, far_sets[i], far_sets[i], MODEL__L4_LEG__VERDICT__FORWARD);
        l4->n_pools = N_SETS;
        l4->pools = LIST(a, Model__Pool, N_SETS);
        for (size_t i = 0; i < 2; i++) {
                l4->pools[5 + i] = pool(a, far_sets[i], far_sets[i], true);
                l4->pools[5 + i]->health_check->port = 0; /* of the first TCP listener */
        }
        for (size_t i = 0; i < 3; i++)
                l4->pools[2 + i] = pool(a, nat_sets[i], nat_sets[i], false);
        l4->pools[0] = pool(a, "shards/default", "shards/default", true);
        l4->pools[1] = pool(a, "shards/empty", "shards/empty", false);
        return l4;
}

/* Endpoints under NAT: of both families, and of one. */
static Model__EndpointSet *make_nat_set(struct arena *a, const char *id)
{
        Model__EndpointSet *s = NEW(a, Model__EndpointSet, model__endpoint_set__init);
        s->id = (char *)(uintptr_t)id;
        s->version = 1;
        s->source = source(a, "Service", id);
        s->endpoints = LIST(a, Model__Endpoint, 2);
        for (unsigned v6 = 0; v6 < 2; v6++) {
                if (strcmp(id, v6 ? "app4" : "app6") == 0)
                        continue;
                Model__Endpoint *e = s->endpoints[s->n_endpoints++] = NEW(a, Model__Endpoint, model__endpoint__init);
                e->addr = bytes_of(a, v6 ? "fd00:40::104" : "10.40.0.101");
                e->port = 8080;
                e->name = (char *)(uintptr_t)(v6 ? "app-6" : "app-4");
        }
        return s;
}

/* An l4lb behind the router that has shards for our VIPs. */
static Model__EndpointSet *make_far_set(struct arena *a, const char *id)
{
        Model__EndpointSet *s = NEW(a, Model__EndpointSet, model__endpoint_set__init);
        Model__Endpoint *e = NEW(a, Model__Endpoint, model__endpoint__init);
        s->id = (char *)(uintptr_t)id;
        s->version = 1;
        s->source = source(a, "ShardPool", id);
        s->endpoints = LIST(a, Model__Endpoint, 1);
        s->endpoints[s->n_endpoints++] = e;
        e->addr = bytes_of(a, strcmp(id, "far6") == 0 ? "fd00:50::2" : "10.50.0.2");
        e->name = (char *)(uintptr_t) "far-1";
        return s;
}

static Model__EndpointSetList *make_sets(struct arena *a)
{
        static const char *const v4[] = { "10.30.1.2", "10.30.2.2" }, *const v6[] = { "fd00:30:1::2", "fd00:30:2::2" };
        static const char *const names[] = { "shard-1", "shard-2" };
        Model__EndpointSetList *sets = NEW(a, Model__EndpointSetList, model__endpoint_set_list__init);
        Model__EndpointSet *s = NEW(a, Model__EndpointSet, model__endpoint_set__init);
        Model__EndpointSet *empty = NEW(a, Model__EndpointSet, model__endpoint_set__init);
        sets->n_sets = N_SETS;
        sets->sets = LIST(a, Model__EndpointSet, N_SETS);
        for (size_t i = 0; i < 2; i++)
                sets->sets[5 + i] = make_far_set(a, far_sets[i]);
        for (size_t i = 0; i < 3; i++)
                sets->sets[2 + i] = make_nat_set(a, nat_sets[i]);
        sets->sets[0] = s;
        sets->sets[1] = empty;
        s->id = (char *)(uintptr_t) "shards/default";
        empty->id = (char *)(uintptr_t) "shards/empty";
        s->version = empty->version = 1;
        s->source = source(a, "ShardPool", "default");
        s->endpoints = LIST(a, Model__Endpoint, 4);
        for (uint32_t i = 0; i < 2; i++)
                for (unsigned k = 0; k < 2; k++) {
                        Model__Endpoint *e = s->endpoints[s->n_endpoints++] =
                                NEW(a, Model__Endpoint, model__endpoint__init);
                        e->addr = bytes_of(a, k ? v6[i] : v4[i]);
                        e->name = (char *)(uintptr_t)names[i];
                }
        return sets;
}

static void add_section(struct manifest *m, const char *key, const Model__Section *s)
{
        size_t n = model__section__get_packed_size(s);
        uint8_t *p = malloc(n + 1);
        BUG_ON(!p);
        model__section__pack(s, p);
        BUG_ON(manifest_add(m, key, SPAN(p, n), false) < 0);
        free(p);
}

int world_model(const struct world_spec *spec, uint64_t generation, struct model **ret, struct model_error *reterr)
{
        static const struct world_spec plain;
        struct arena a;
        spec = spec ? spec : &plain;
        arena_init(&a, 65536, SIZE_MAX);
        Model__L4 *l4 = make_l4(&a);
        Model__EndpointSetList *sets = make_sets(&a);
        if (spec->edit)
                spec->edit(l4, sets->sets[0]);
        Model__Section sl4 = MODEL__SECTION__INIT, se = MODEL__SECTION__INIT;
        sl4.body_case = MODEL__SECTION__BODY_L4;
        sl4.l4 = l4;
        se.body_case = MODEL__SECTION__BODY_ENDPOINT_SETS;
        se.endpoint_sets = sets;
        struct manifest *m = manifest_new(generation);
        struct err e;
        BUG_ON(!m);
        add_section(m, "l4", &sl4);
        add_section(m, "endpoints/shards", &se);
        BUG_ON(manifest_seal(m, &e) < 0);
        int r = model_load(m, ret, reterr);
        manifest_put(m);
        arena_fini(&a);
        return r;
}

/* ---------------------------------------------------------------- world */

static void port(struct net *net, const char *name, enum port_role role, uint8_t mac_last, const char *a4,
                 const char *a6)
{
        struct net_port *p = &net->ports[net->n_ports++];
        snprintf(p->name, sizeof p->name, "%s", name);
        p->role = role;
        memcpy(p->mac, (uint8_t[]){ 2, 0, 0, 0, 0, mac_last }, 6);
        if (a4)
                p->addresses[p->n_addresses++] = prefix(a4);
        if (a6)
                p->addresses[p->n_addresses++] = prefix(a6);
}

static const uint8_t *mac_of(const struct world *w, const struct neigh_slot *s)
{
        if (s->port == WORLD_BACKENDS)
                return world_app_macs[s->af == 6];
        return w->net.ports[s->port].role == PORT_UPLINK ? world_router_mac : world_shard_macs[s->port - 1];
}

void world_resolve(struct world *w)
{
        struct frame_out f;
        while (neigh_next(&w->neigh, w->now_ms, &f)) {
                for (uint16_t i = 0; i < L4_MAX_NEIGHBOURS; i++) {
                        const struct neigh_slot *s = &w->neigh.slots[i];
                        uint8_t r[ETH_LEN + IPV6_LEN + ND_NS_LEN + 8] = { 0 };
                        if (w->neigh.ctl[i].state == NEIGH_FREE || neigh_word(&w->neigh, i))
                                continue;
                        eth_write(r, w->net.ports[s->port].mac, mac_of(w, s),
                                  s->af == 4 ? ETHERTYPE_ARP : ETHERTYPE_IPV6);
                        if (s->af == 4) {
                                memcpy(r + ETH_LEN, (uint8_t[]){ 0, 1, 8, 0, 6, 4, 0, 2 }, 8);
                                memcpy(r + ETH_LEN + 8, mac_of(w, s), 6);
                                memcpy(r + ETH_LEN + 14, s->addr, 4);
                        } else {
                                ip6_write(r + ETH_LEN, ND_NS_LEN + 8, PROTO_ICMPV6, 255, s->addr,
                                          w->net.ports[s->port].link_local);
                                uint8_t *na = r + ETH_LEN + IPV6_LEN;
                                na[0] = ICMPV6_NA;
                                na[4] = ND_SOLICITED | ND_OVERRIDE;
                                memcpy(na + 8, s->addr, 16);
                                na[24] = ND_OPT_TARGET_LL;
                                na[25] = 1;
                                memcpy(na + 26, mac_of(w, s), 6);
                        }
                        BUG_ON(!neigh_input(&w->neigh, s->port, r, sizeof r, w->now_ms));
                }
        }
}

void world_retire(void *arg, struct maglev *m)
{
        struct world *w = arg;
        w->n_retired++;
        maglev_put(m);
}

void world_reset_worker(struct world *w, uint32_t flow_entries)
{
        free(w->flow_mem);
        w->flow_mem = aligned_alloc(64, flow_table_bytes(flow_entries));
        BUG_ON(!w->flow_mem);
        worker_init(&w->worker, w->flow_mem, flow_entries, (struct siphash_key){ 11, 12 }, &w->net, &w->neigh,
                    &w->backends, w->now_ms);
        worker_nat_ports(&w->worker, 1024, 32767, 0, 1);
}

struct world *world_new(uint32_t flow_entries)
{
        struct world *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
        struct err e;
        struct model_error me;
        struct model *m;
        BUG_ON(!w);
        memset(w, 0, sizeof *w);
        w->now_ms = 1000000;
        neigh_init(&w->neigh, &w->net, (struct siphash_key){ 1, 2 });
        port(&w->net, "up", PORT_UPLINK, 0x01, "10.20.0.2/24", "fd00:20::2/64");
        port(&w->net, "s1", PORT_SHARD, 0x11, "10.30.1.1/30", "fd00:30:1::1/64");
        port(&w->net, "s2", PORT_SHARD, 0x12, "10.30.2.1/30", "fd00:30:2::1/64");
        port(&w->net, "mg", PORT_UPLINK, 0x21, "10.21.0.2/24", "fd00:21::2/64");
        port(&w->net, "k", PORT_KERNEL, 0x31, NULL, NULL);
        w->net.ports[4].uplink = 3;
        port(&w->net, "bk", PORT_SHARD, 0x51, "10.40.0.3/24", "fd00:40::3/64");
        w->net.refusals_pps = L4_MAX_REFUSALS_PER_S;
        w->net.decap = (struct net_decap){ .port = GUE_PORT };
        w->net.decap.to[w->net.decap.n_to++] = addr("10.20.0.2");
        w->net.decap.to[w->net.decap.n_to++] = addr("fd00:20::2");
        w->net.decap.from[w->net.decap.n_from++] = prefix("10.60.0.0/24");
        w->net.decap.from[w->net.decap.n_from++] = prefix("fd00:60::/64");
        w->net.routes[w->net.n_routes++] =
                (struct net_route){ .prefix = prefix("0.0.0.0/0"), .via = addr("10.20.0.1") };
        w->net.routes[w->net.n_routes++] = (struct net_route){ .prefix = prefix("::/0"), .via = addr("fd00:20::1") };
        BUG_ON(net_init(&w->net, &w->neigh, &e) < 0);
        backends_init(&w->backends, &w->net, &w->neigh);
        prober_init(&w->prober, &w->backends, (struct siphash_key){ 5, 6 });
        w->conf = (struct tables_conf){ .tcp_idle_s = 350, .udp_idle_s = 120, .cluster_key = L4_CLUSTER_KEY };
        BUG_ON(world_model(NULL, 1, &m, &me) < 0);
        BUG_ON(tables_build(m, &w->net, &w->backends, &w->conf, w->now_ms, &w->tables, &me) < 0);
        model_free(m);
        tables_commit(w->tables, NULL, w->now_ms);
        world_resolve(w);
        for (uint16_t i = 0; i < w->backends.n; i++)
                if (backends_set_health(&w->backends, i, true))
                        BUG_ON(tables_health_changed(w->tables, i, w->now_ms, world_retire, w) < 0);
        world_reset_worker(w, flow_entries);
        return w;
}

void world_free(struct world *w)
{
        tables_free(w->tables, w->now_ms);
        backends_fini(&w->backends);
        free(w->flow_mem);
        free(w);
}

void world_run(struct world *w, uint8_t in_port, uint8_t *frame, size_t len, size_t wire_len, size_t cap,
               struct pkt *ret)
{
        *ret = (struct pkt){ .p = frame,
                             .len = (uint32_t)len,
                             .wire_len = (uint32_t)wire_len,
                             .head = w->head,
                             .cap = (uint32_t)cap,
                             .in_port = in_port };
        pipeline_run(&w->worker, w->tables, w->now_ms, ret, 1);
        verdicts_count(&w->worker.verdicts, ret, 1);
}
