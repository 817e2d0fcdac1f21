/* l7gw/io/registry.c - see registry.h. */
#include "lib/base.h"
#include "l7gw/io/registry.h"
#include "l7gw/io/socket.h"

#include <unistd.h>

void registry_init(struct registry *r, unsigned n_workers)
{
        *r = (struct registry){.n_workers = n_workers};
        map_init(&r->listeners);
        map_init(&r->clusters);
        map_init(&r->sets);
        map_init(&r->binds);
        tls_upstreams_init(&r->tls);
        tls_certs_init(&r->certs);
}

void registry_fini(struct registry *r)
{
        BUG_ON(r->listeners.n || r->clusters.n || r->sets.n || r->binds.n);
        map_fini(&r->listeners);
        map_fini(&r->clusters);
        map_fini(&r->sets);
        map_fini(&r->binds);
        tls_upstreams_fini(&r->tls);
        tls_certs_fini(&r->certs);
}

static void *blocks_new(unsigned n, size_t size)
{
        void *p = aligned_alloc(64, (n * size + 63) & ~(size_t)63);
        return p ? memset(p, 0, n * size) : NULL;
}

/* ---- objects with an id: each begins with a struct rt ---- */

/* Finds or makes; a new one (refs 0) has only its name. */
static void *rt_get(struct map *of, const char *id, size_t size)
{
        struct rt *o = map_get(of, span_str(id));
        if (o)
                return o;
        o = calloc(1, size);
        if (!o)
                return NULL;
        o->id = strdup(id);
        if (o->id && map_put(of, span_str(o->id), o) == 0)
                return o;
        free(o->id);
        free(o);
        return NULL;
}

static void rt_free(struct map *of, struct rt *o)
{
        map_del(of, span_str(o->id));
        free(o->id);
        free(o);
}

/* Takes a reference; an object whose memory could not be had goes again. */
static void *rt_take(struct map *of, struct rt *o, const void *memory)
{
        if (memory) {
                o->refs++;
                return o;
        }
        rt_free(of, o);
        return NULL;
}

struct listener_rt *registry_listener(struct registry *r, const char *id)
{
        struct listener_rt *o = rt_get(&r->listeners, id, sizeof *o);
        if (!o)
                return NULL;
        if (o->rt.refs == 0)
                o->counters = blocks_new(r->n_workers, sizeof *o->counters);
        return rt_take(&r->listeners, &o->rt, o->counters);
}

void registry_listener_put(struct registry *r, struct listener_rt *o)
{
        if (!o || --o->rt.refs > 0)
                return;
        free(o->counters);
        rt_free(&r->listeners, &o->rt);
}

struct cluster_rt *registry_cluster(struct registry *r, const char *id)
{
        struct cluster_rt *o = rt_get(&r->clusters, id, sizeof *o);
        if (!o)
                return NULL;
        if (o->rt.refs == 0) {
                o->counters = blocks_new(r->n_workers, sizeof *o->counters);
                o->balance = calloc(r->n_workers, sizeof *o->balance);
                o->breaker = breaker_new();
                if (!o->counters || !o->balance || !o->breaker) {
                        free(TAKE_PTR(o->counters));
                        free(TAKE_PTR(o->balance));
                        breaker_put(TAKE_PTR(o->breaker));
                }
        }
        return rt_take(&r->clusters, &o->rt, o->counters);
}

void registry_cluster_put(struct registry *r, struct cluster_rt *o)
{
        if (!o || --o->rt.refs > 0)
                return;
        for (unsigned i = 0; i < r->n_workers; i++)
                balance_fini(&o->balance[i]); /* no worker holds a generation with this cluster any more */
        free(o->balance);
        balance_plan_put(o->plan);
        breaker_put(o->breaker);
        free(o->counters);
        rt_free(&r->clusters, &o->rt);
}

struct set_rt *registry_set_find(struct registry *r, const char *id)
{
        return map_get(&r->sets, span_str(id));
}

struct set_rt *registry_set(struct registry *r, const char *id)
{
        struct set_rt *o = rt_get(&r->sets, id, sizeof *o);
        return o ? rt_take(&r->sets, &o->rt, o) : NULL;
}

void registry_set_put(struct registry *r, struct set_rt *o)
{
        if (!o || --o->rt.refs > 0)
                return;
        rt_free(&r->sets, &o->rt);
}

/* ---- binds ---- */

struct bind_key bind_key_of(const struct ipaddr *addr, uint16_t port)
{
        struct bind_key k = {{addr->af}};
        memcpy(k.b + 1, addr->b, ipaddr_len(addr));
        k.b[17] = (uint8_t)(port >> 8);
        k.b[18] = (uint8_t)port;
        return k;
}

static void bind_free(struct registry *r, struct bind_rt *b)
{
        if (b->fds && !b->listening)
                for (unsigned i = 0; i < r->n_workers; i++)
                        if (b->fds[i] >= 0)
                                close(b->fds[i]);
        free(b->fds);
        free(b);
}

int registry_bind(struct registry *r, const struct ipaddr *addr, uint16_t port, struct bind_rt **ret,
                  struct err *reterr)
{
        struct bind_key key = bind_key_of(addr, port);
        struct bind_rt *b = map_get(&r->binds, SPAN(key.b, sizeof key.b));
        if (b) {
                b->refs++;
                *ret = b;
                return 0;
        }
        b = calloc(1, sizeof *b);
        int *fds = calloc(r->n_workers, sizeof *fds);
        if (!b || !fds) {
                free(b);
                free(fds);
                return err_set(reterr, ENOMEM, "bind", "out of memory");
        }
        *b = (struct bind_rt){.key = key, .addr = *addr, .port = port, .refs = 1, .fds = fds};
        int e = 0;
        for (unsigned i = 0; i < r->n_workers; i++) {
                fds[i] = socket_bind(addr, port);
                if (fds[i] < 0 && e == 0)
                        e = -fds[i];
        }
        if (e == 0 && map_put(&r->binds, SPAN(b->key.b, sizeof b->key.b), b) < 0)
                e = ENOMEM;
        if (e) {
                char text[IPADDR_STR_MAX];
                bind_free(r, b);
                return err_set(reterr, e, "bind", "cannot bind %s port %u: %s", ipaddr_str(addr, text), port,
                               strerror(e));
        }
        *ret = b;
        return 0;
}

void registry_bind_retire(struct registry *r, struct bind_rt *b)
{
        if (map_get(&r->binds, SPAN(b->key.b, sizeof b->key.b)) == b)
                map_del(&r->binds, SPAN(b->key.b, sizeof b->key.b));
}

void registry_bind_put(struct registry *r, struct bind_rt *b)
{
        if (!b || --b->refs > 0)
                return;
        registry_bind_retire(r, b);
        bind_free(r, b);
}
