/* tests/packet/l4_state.c - makes a last-known-good store for l4lb out of a few lines of text, so that a test can run
 * the real binary with no agent.  Usage: l4_state STATE_DIR < LINES
 *
 *   generation 7
 *   vip 192.0.2.10
 *   pool default [PROBE_PORT]                     with a port: probed by TCP, 200 ms, fall 2
 *   shard default shard-1 10.30.1.2 [ready|draining|down]
 *   endpoint apps app-1 10.40.0.101 8080          of a pool that listeners with `nat` use
 *   listener 192.0.2.10 80 tcp default [nat]      or a range, 8000-8099; nat: straight to the pool's endpoints; gue, ipip: its shards
 *                                                 are behind a tunnel (a pool for both has PROBE_PORT 0: the listener's) */
#include "lib/base.h"
#include "lib/core/arena.h"
#include "lib/core/ipaddr.h"
#include "lib/core/model.h"
#include "lib/io/lkg.h"

#define MAX_ITEMS 256
#define MAX_WORDS 8

struct builder {
        struct arena arena;
        uint64_t generation;
        Model__Vip *vips[MAX_ITEMS];
        Model__Pool *pools[MAX_ITEMS];
        Model__EndpointSet *sets[MAX_ITEMS]; /* one per pool, same index */
        Model__L4Listener *listeners[MAX_ITEMS];
        Model__L4Distribution *dists[MAX_ITEMS];
        size_t n_vips, n_pools, n_listeners, n_dists;
};

NORETURN static void die(const char *line, const char *why)
{
        fprintf(stderr, "l4_state: %s: %s\n", line, why);
        exit(1);
}

static void *need(void *p)
{
        BUG_ON(!p);
        return p;
}
#define NEW(b, type, init)                                                                                             \
        ({                                                                                                             \
                type *new_ = need(arena_alloc(&(b)->arena, sizeof *new_));                                             \
                init(new_);                                                                                            \
                new_;                                                                                                  \
        })

static ProtobufCBinaryData addr_bytes(struct builder *b, const char *text, const char *line)
{
        struct ipaddr a;
        if (ipaddr_parse(span_str(text), &a) < 0)
                die(line, "not an address");
        return (ProtobufCBinaryData){ipaddr_len(&a), need(arena_dup(&b->arena, a.b, ipaddr_len(&a)))};
}

static size_t pool_index(const struct builder *b, const char *name, const char *line)
{
        for (size_t i = 0; i < b->n_pools; i++)
                if (strcmp(b->pools[i]->id + strlen("shards/"), name) == 0)
                        return i;
        die(line, "no such pool");
}

static void add_vip(struct builder *b, char **w, const char *line)
{
        Model__Vip *v = NEW(b, Model__Vip, model__vip__init);
        v->id = need(arena_strdup(&b->arena, w[1]));
        v->addr = addr_bytes(b, w[1], line);
        b->vips[b->n_vips++] = v;
}

static void add_pool(struct builder *b, char **w, size_t n)
{
        Model__Pool *p = NEW(b, Model__Pool, model__pool__init);
        Model__EndpointSet *set = NEW(b, Model__EndpointSet, model__endpoint_set__init);
        p->id = set->id = p->endpoint_set = need(arena_printf(&b->arena, "shards/%s", w[1]));
        set->version = 1;
        set->endpoints = need(arena_calloc(&b->arena, MAX_ITEMS, sizeof *set->endpoints));
        if (n > 2) {
                Model__HealthCheck *hc = NEW(b, Model__HealthCheck, model__health_check__init);
                hc->type = MODEL__HEALTH_CHECK_TYPE__HC_TCP;
                hc->interval_ms = hc->timeout_ms = 200;
                hc->rise = 1;
                hc->fall = 2;
                hc->port = (uint32_t)strtoul(w[2], NULL, 10);
                p->health_check = hc;
        }
        b->sets[b->n_pools] = set;
        b->pools[b->n_pools++] = p;
}

static void add_shard(struct builder *b, char **w, size_t n, const char *line)
{
        Model__EndpointSet *set = b->sets[pool_index(b, w[1], line)];
        Model__Endpoint *e = NEW(b, Model__Endpoint, model__endpoint__init);
        e->name = need(arena_strdup(&b->arena, w[2]));
        e->addr = addr_bytes(b, w[3], line);
        if (n > 4 && strcmp(w[4], "draining") == 0)
                e->state = MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING;
        else if (n > 4 && strcmp(w[4], "down") == 0)
                e->state = MODEL__ENDPOINT_STATE__ENDPOINT_DOWN;
        if (set->n_endpoints == MAX_ITEMS)
                die(line, "too many shards");
        set->endpoints[set->n_endpoints++] = e;
}

static void add_endpoint(struct builder *b, char **w, const char *line)
{
        char *shard[] = {w[0], w[1], w[2], w[3]};
        add_shard(b, shard, 4, line);
        Model__EndpointSet *set = b->sets[pool_index(b, w[1], line)];
        set->endpoints[set->n_endpoints - 1]->port = (uint32_t)strtoul(w[4], NULL, 10);
}

static void add_listener(struct builder *b, char **w, const char *way, const char *line)
{
        Model__L4Listener *l = NEW(b, Model__L4Listener, model__l4_listener__init);
        Model__L4Distribution *d = NEW(b, Model__L4Distribution, model__l4_distribution__init);
        Model__L4Leg *leg = NEW(b, Model__L4Leg, model__l4_leg__init);
        char *dash = strchr(w[2], '-');
        l->id = l->distribution = d->id = need(arena_printf(&b->arena, "%s:%s/%s", w[1], w[2], w[3]));
        l->vip = need(arena_strdup(&b->arena, w[1]));
        l->port_lo = (uint32_t)strtoul(w[2], NULL, 10);
        l->port_hi = dash ? (uint32_t)strtoul(dash + 1, NULL, 10) : l->port_lo;
        l->protocol = strcmp(w[3], "udp") == 0 ? MODEL__L4_PROTOCOL__L4_UDP : MODEL__L4_PROTOCOL__L4_TCP;
        if (strcmp(way, "nat") == 0) {
                l->target = MODEL__L4_LISTENER__TARGET__ENDPOINTS;
                l->forward = MODEL__L4_LISTENER__FORWARD__FULL_NAT;
        } else if (strcmp(way, "gue") == 0) {
                l->forward = MODEL__L4_LISTENER__FORWARD__GUE;
        } else if (strcmp(way, "ipip") == 0) {
                l->forward = MODEL__L4_LISTENER__FORWARD__IPIP;
        } else if (*way) {
                die(line, "neither nat nor gue nor ipip");
        }
        leg->pool = b->pools[pool_index(b, w[4], line)]->id;
        leg->weight = 1;
        d->legs = need(arena_dup(&b->arena, &leg, sizeof leg));
        d->n_legs = 1;
        b->listeners[b->n_listeners++] = l;
        b->dists[b->n_dists++] = d;
}

static void read_line(struct builder *b, char *line)
{
        char *w[MAX_WORDS], *save = NULL, *copy = need(arena_strdup(&b->arena, line));
        size_t n = 0;
        for (char *p = strtok_r(copy, " \t\n", &save); p && n < MAX_WORDS; p = strtok_r(NULL, " \t\n", &save))
                w[n++] = p;
        if (n == 0 || w[0][0] == '#')
                return;
        if (b->n_vips == MAX_ITEMS || b->n_pools == MAX_ITEMS || b->n_listeners == MAX_ITEMS)
                die(line, "too many");
        if (strcmp(w[0], "generation") == 0 && n == 2)
                b->generation = strtoull(w[1], NULL, 10);
        else if (strcmp(w[0], "vip") == 0 && n == 2)
                add_vip(b, w, line);
        else if (strcmp(w[0], "pool") == 0 && n >= 2)
                add_pool(b, w, n);
        else if (strcmp(w[0], "shard") == 0 && n >= 4)
                add_shard(b, w, n, line);
        else if (strcmp(w[0], "endpoint") == 0 && n == 5)
                add_endpoint(b, w, line);
        else if (strcmp(w[0], "listener") == 0 && (n == 5 || n == 6))
                add_listener(b, w, n == 6 ? w[5] : "", line);
        else
                die(line, "not understood");
}

static void add_section(struct manifest *m, const char *key, const Model__Section *s)
{
        size_t n = model__section__get_packed_size(s);
        uint8_t *p = need(malloc(n ? n : 1));
        model__section__pack(s, p);
        int r = manifest_add(m, key, SPAN(p, n), false);
        BUG_ON(r < 0);
        free(p);
}

static struct manifest *build(struct builder *b)
{
        struct manifest *m = need(manifest_new(b->generation));
        Model__L4 l4 = MODEL__L4__INIT;
        Model__EndpointSetList list = MODEL__ENDPOINT_SET_LIST__INIT;
        Model__Section sl4 = MODEL__SECTION__INIT, ssets = MODEL__SECTION__INIT;
        l4.vips = b->vips;
        l4.n_vips = b->n_vips;
        l4.pools = b->pools;
        l4.n_pools = b->n_pools;
        l4.listeners = b->listeners;
        l4.n_listeners = b->n_listeners;
        l4.distributions = b->dists;
        l4.n_distributions = b->n_dists;
        list.sets = b->sets;
        list.n_sets = b->n_pools;
        sl4.body_case = MODEL__SECTION__BODY_L4;
        sl4.l4 = &l4;
        ssets.body_case = MODEL__SECTION__BODY_ENDPOINT_SETS;
        ssets.endpoint_sets = &list;
        add_section(m, "l4", &sl4);
        add_section(m, "endpoints/shards", &ssets);
        struct err e;
        if (manifest_seal(m, &e) < 0)
                die(e.place, e.msg);
        return m;
}

int main(int argc, char **argv)
{
        static struct builder b;
        char line[512];
        struct err e;
        struct lkg *k = NULL;
        if (argc != 2)
                die("usage", "l4_state STATE_DIR < LINES");
        arena_init(&b.arena, 65536, SIZE_MAX);
        b.generation = 1;
        while (fgets(line, sizeof line, stdin))
                read_line(&b, line);
        struct manifest *m = build(&b);
        struct model *model = NULL;
        struct model_error me;
        if (model_load(m, &model, &me) < 0) /* never store what a data plane would refuse */
                die(me.err.place, me.err.msg);
        model_free(model);
        if (lkg_open(argv[1], &k, &e) < 0 || lkg_save(k, m, &e) < 0)
                die(e.place, e.msg);
        lkg_close(k);
        manifest_put(m);
        arena_fini(&b.arena);
        return 0;
}
