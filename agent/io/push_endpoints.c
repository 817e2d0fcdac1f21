/* agent/io/push_endpoints.c - endpoint sets beside manifests: sent to data planes as they are, and kept per group (the
 * overlay) for those whose manifest is older.  Layer: agent/io.  Versions are the translator's: a data plane drops a set
 * that is not newer than what it has, so sending one twice does no harm. */
#include "lib/base.h"
#include "agent/io/push_priv.h"
#include "lib/io/log.h"

#define PART_OVERHEAD_BYTES 64     /* tags and lengths around the set, `more` */
#define ENDPOINT_OVERHEAD_BYTES 8  /* tag and length of one endpoint */

/* How many of set's endpoints, from the one at `at`, go into one frame beside what every part repeats. */
static size_t part_fits(const Model__EndpointSet *set, size_t at)
{
        Model__EndpointSet bare = *set;
        bare.n_endpoints = 0;
        size_t left = FRAME_MAX_BODY - PART_OVERHEAD_BYTES, n = 0;
        size_t head = model__endpoint_set__get_packed_size(&bare);
        left -= MIN(head, left);
        for (; at + n < set->n_endpoints; n++) {
                size_t size = model__endpoint__get_packed_size(set->endpoints[at + n]) + ENDPOINT_OVERHEAD_BYTES;
                if (size > left)
                        break;
                left -= size;
        }
        return MAX(n, (size_t)1); /* one that is over a frame by itself: peer_send refuses it */
}

/* A set over one frame goes in parts. */
static int send_set(struct member *m, Model__EndpointSet *set)
{
        size_t at = 0;
        do {
                Model__EndpointSet part = *set, *parts = &part;
                Control__Endpoints e = CONTROL__ENDPOINTS__INIT;
                part.endpoints = set->endpoints ? set->endpoints + at : NULL;
                part.n_endpoints = MIN(part_fits(set, at), set->n_endpoints - at);
                at += part.n_endpoints;
                e.sets = &parts;
                e.n_sets = 1;
                e.more = at < set->n_endpoints;
                int r = peer_send(m->peer, FRAME_ENDPOINTS, &e.base);
                if (r < 0)
                        return r;
        } while (at < set->n_endpoints);
        return 0;
}

static void send_sets(struct member *m, struct overlay_set *const *v, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                Model__EndpointSet *set = model__endpoint_set__unpack(NULL, v[i]->packed->n, v[i]->packed->p);
                if (!set)
                        continue; /* out of memory: the next change or manifest brings it */
                if (send_set(m, set) == 0)
                        metric_add(&m->p->counters[PUSH_ENDPOINT_SETS], 1);
                model__endpoint_set__free_unpacked(set, NULL);
        }
}

/* What m's active manifest does not hold yet. */
void overlay_send(struct member *m)
{
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&m->g->overlay, &i, &k, &v);) {
                struct overlay_set *o = v;
                if (o->seq > m->active.stamp)
                        send_sets(m, &o, 1);
        }
}

static struct overlay_set *overlay_get(struct group *g, const char *id)
{
        struct overlay_set *o = map_get(&g->overlay, span_str(id));
        if (o)
                return o;
        o = calloc(1, sizeof *o);
        if (o)
                o->id = strdup(id);
        if (o && o->id && map_put(&g->overlay, span_str(o->id), o) == 0)
                return o;
        if (o)
                free(o->id);
        free(o);
        return NULL;
}

void overlay_free(struct overlay_set *o)
{
        free(o->id);
        blob_put(o->packed);
        free(o);
}

static struct overlay_set *overlay_put(struct push *p, struct group *g, const Model__EndpointSet *set)
{
        size_t n = model__endpoint_set__get_packed_size(set);
        uint8_t *bytes = malloc(n ? n : 1);
        struct overlay_set *o = overlay_get(g, set->id);
        struct blob *b = NULL;
        if (bytes && o) {
                (void)model__endpoint_set__pack(set, bytes); /* n bytes, as measured */
                b = blob_new(SPAN(bytes, n), false);
        }
        free(bytes);
        if (!b) {
                log_error("endpoints_dropped", "set=%s why=memory", LOG_ESC(set->id));
                return NULL;
        }
        blob_put(o->packed);
        o->packed = b;
        o->seq = ++p->endpoint_seq;
        return o;
}

void push_endpoints(struct push *p, const char *pool, Model__EndpointSet *const *sets, size_t n)
{
        for (size_t g = 0; g <= p->n_pools; g++) { /* the last is the front tier's, pool "" */
                if (strcmp(p->groups[g].pool, pool) != 0)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        struct overlay_set *o = overlay_put(p, &p->groups[g], sets[i]);
                        for (size_t k = 0; o && k < p->n_members; k++)
                                if (p->members[k].g == &p->groups[g] && p->members[k].peer)
                                        send_sets(&p->members[k], &o, 1);
                }
        }
}

/* Everything this manifest holds itself need not be sent beside it any more. */
void overlay_trim(struct group *g)
{
        size_t n = 0;
        void *v;
        struct span k;
        struct overlay_set **dead = calloc(g->overlay.n + 1, sizeof *dead);
        for (size_t i = 0; dead && map_next(&g->overlay, &i, &k, &v);)
                if (((struct overlay_set *)v)->seq <= g->good.stamp)
                        dead[n++] = v;
        for (size_t i = 0; i < n; i++) {
                (void)map_del(&g->overlay, span_str(dead[i]->id)); /* the value is dead[i] */
                overlay_free(dead[i]);
        }
        free(dead);
}

bool overlay_newer(const struct group *g, uint64_t stamp)
{
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&g->overlay, &i, &k, &v);)
                if (((struct overlay_set *)v)->seq > stamp)
                        return true;
        return false;
}
