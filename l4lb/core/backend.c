/* l4lb/core/backend.c - see backend.h. */
#include "lib/base.h"
#include "l4lb/core/backend.h"
#include "l4lb/core/net.h"
#include "l4lb/core/wire.h"

const char *health_str(enum health h)
{
        static const char *const names[HEALTH_N] = { "unknown", "initial", "up", "down" };
        BUG_ON(h >= HEALTH_N);
        return names[h];
}

const char *backend_state_str(enum backend_state s)
{
        static const char *const names[BACKEND_STATE_N] = { "free", "reserved", "active", "lingering", "retired" };
        BUG_ON(s >= BACKEND_STATE_N);
        return names[s];
}

const char *way_str(uint8_t way)
{
        static const char *const names[WAY_N] = { "l2", "nat", "ipip", "gue" };
        BUG_ON(way >= WAY_N);
        return names[way];
}

uint64_t backend_id(const char *pool, const struct ipaddr *addr, uint16_t port)
{
        static const struct siphash_key key = { 0x6261636b656e64, 0x6964 }; /* an identity, not a defence */
        uint8_t b[19] = { addr->af };
        size_t n = 1 + ipaddr_len(addr);
        memcpy(b + 1, addr->b, n - 1);
        if (port) {
                set_u16(b + n, port);
                n += 2;
        }
        struct siphash_key second = { siphash24(&key, pool, strlen(pool)), key.k1 };
        return siphash24(&second, b, n);
}

void backends_init(struct backends *r, const struct net *net, struct neigh *n)
{
        memset(r, 0, sizeof *r);
        r->net = net;
        r->neigh = n;
}

void backends_fini(struct backends *r)
{
        for (size_t i = 0; i < r->n; i++) {
                free(r->b[i].pool);
                free(r->b[i].name);
        }
        memset(r, 0, sizeof *r);
}

static void publish(struct backends *r, uint16_t i)
{
        const struct backend *b = &r->b[i];
        uint64_t w = 0;
        if (b->state != BACKEND_FREE && b->state != BACKEND_RETIRED) {
                w = (uint64_t)b->adjacency | (uint64_t)b->epoch << 16 | BACKEND_USED;
                if (b->health != HEALTH_DOWN && !b->admin_down)
                        w |= BACKEND_ALIVE;
                if (way_tunnel(b->way))
                        w |= BACKEND_TUNNEL;
        }
        /* relaxed: see backend_word */
        atomic_store_explicit(&r->words[i], w, memory_order_relaxed);
}

static void drop(struct backends *r, uint16_t i, uint64_t now_ms) /* to FREE; the epoch survives */
{
        struct backend *b = &r->b[i];
        uint16_t epoch = b->epoch;
        neigh_unpin(r->neigh, b->adjacency, now_ms);
        free(b->pool);
        free(b->name);
        *b = (struct backend){ .state = BACKEND_FREE, .epoch = epoch };
        atomic_store_explicit(&r->mtus[i], 0, memory_order_relaxed); /* relaxed: see backend_mtu */
        publish(r, i);
}

static bool pool_works(const struct backends *r, const char *pool)
{
        for (size_t i = 0; i < r->n; i++)
                if (r->b[i].state == BACKEND_ACTIVE && strcmp(r->b[i].pool, pool) == 0)
                        return true;
        return false;
}

/* A pool that already works does not send new connections to a newcomer before it has proved itself. */
static enum health first_health(const struct backends *r, const char *pool)
{
        for (size_t i = 0; i < r->n; i++)
                if (r->b[i].state == BACKEND_ACTIVE && r->b[i].health == HEALTH_UP && strcmp(r->b[i].pool, pool) == 0)
                        return HEALTH_INITIAL;
        return HEALTH_UNKNOWN;
}

/* The way to a backend: a shard is on a shard port's link, everybody else wherever the routes say.  Pins its neighbour. */
static int way(struct backends *r, const struct backend_spec *spec, uint64_t now_ms, uint8_t *ret_port)
{
        uint16_t adjacency = NEIGH_NONE;
        const struct ipaddr *addr = &spec->addr;
        *ret_port = PORT_NONE;
        if (spec->way == WAY_LINK) {
                *ret_port = net_port_for(r->net, addr, PORT_SHARD);
        } else if (addr->af == 4) {
                const struct net_hop4 *h = net_route4(r->net, addr->b);
                *ret_port = h ? h->port : PORT_NONE;
                adjacency = h ? h->adjacency : NEIGH_NONE;
        } else {
                const struct net_hop6 *h = net_route6(r->net, addr->b);
                *ret_port = h ? h->port : PORT_NONE;
                adjacency = h ? h->adjacency : NEIGH_NONE;
        }
        if (*ret_port == PORT_NONE)
                return -ENETUNREACH;
        if (spec->way != WAY_LINK && spec->source.af == 0 && !net_source_for(r->net, *ret_port, addr))
                return -ENETUNREACH;
        if (adjacency == NEIGH_NONE)
                return neigh_pin(r->neigh, *ret_port, addr, now_ms);
        neigh_hold(r->neigh, adjacency);
        return adjacency;
}

static void reply_set(struct backend_target *t, const struct ipaddr *addr, uint16_t nat_port, const struct ipaddr *own)
{
        uint8_t ports[4] = { 0 };
        set_u16(ports, nat_port);
        if (addr->af == 4)
                tuple_set4(&t->reply, 0, addr->b, own->b, raw_u32(ports));
        else
                tuple_set6(&t->reply, 0, addr->b, own->b, raw_u32(ports));
}

static void target_set(struct backend_target *t, const struct backend_spec *spec, const struct ipaddr *source)
{
        if (spec->way == WAY_NAT) {
                reply_set(t, &spec->addr, spec->port, source);
        } else if (way_tunnel(spec->way)) {
                t->tunnel = (struct tunnel){ .af = spec->addr.af, .gue = spec->way == WAY_GUE, .port = spec->port ? spec->port : GUE_PORT };
                memcpy(t->tunnel.src, source->b, sizeof t->tunnel.src);
                memcpy(t->tunnel.dst, spec->addr.b, sizeof t->tunnel.dst);
        }
}

static int make(struct backends *r, uint16_t i, const struct backend_spec *spec, uint64_t now_ms)
{
        uint8_t port;
        CLEANUP(freep) char *pool_copy = strdup(spec->pool);
        if (!pool_copy)
                return -ENOMEM;
        enum health health = first_health(r, spec->pool);
        int adjacency = way(r, spec, now_ms, &port);
        if (adjacency < 0)
                return adjacency;
        struct ipaddr source = spec->source;
        if (spec->way != WAY_LINK && source.af == 0)
                source = *net_source_for(r->net, port, &spec->addr);
        target_set(&r->targets[i], spec, &source);
        struct backend *b = &r->b[i];
        *b = (struct backend){ .state = BACKEND_RESERVED,
                               .health = health,
                               .adjacency = (uint16_t)adjacency,
                               .epoch = (uint16_t)(b->epoch + 1),
                               .port = port,
                               .addr = spec->addr,
                               .fresh = pool_works(r, spec->pool),
                               .way = spec->way,
                               .inner = spec->inner,
                               .target_port = spec->port,
                               .source = source,
                               .source_given = spec->source.af != 0,
                               .id = backend_id(spec->pool, &spec->addr, spec->port),
                               .pool = TAKE_PTR(pool_copy) };
        r->n = MAX(r->n, (size_t)i + 1);
        publish(r, i);
        return 0;
}

static bool is_spec(const struct backend *b, const struct backend_spec *s)
{
        return ipaddr_eq(&b->addr, &s->addr) && b->way == s->way && b->inner == s->inner && b->target_port == s->port &&
               b->source_given == (s->source.af != 0) && (!b->source_given || ipaddr_eq(&b->source, &s->source)) &&
               strcmp(b->pool, s->pool) == 0;
}

int backends_reserve(struct backends *r, const struct backend_spec *spec, uint64_t now_ms)
{
        int unused = -1;
        for (size_t i = 0; i < L4_MAX_BACKENDS; i++) {
                struct backend *b = &r->b[i];
                if (b->state == BACKEND_FREE) {
                        if (unused < 0)
                                unused = (int)i;
                        if (i >= r->n)
                                break;
                } else if (b->state != BACKEND_RETIRED && is_spec(b, spec)) {
                        b->refs++;
                        return (int)i;
                }
        }
        if (unused < 0)
                return -ENOSPC;
        int rc = make(r, (uint16_t)unused, spec, now_ms);
        if (rc < 0)
                return rc;
        r->b[unused].refs = 1;
        return unused;
}

void backends_put(struct backends *r, uint16_t index, uint64_t now_ms)
{
        struct backend *b = &r->b[index];
        BUG_ON(b->refs == 0);
        if (--b->refs == 0 && b->state == BACKEND_RESERVED)
                drop(r, index, now_ms); /* never published: no worker has seen it */
}

static void set_name(struct backend *b, const char *name)
{
        if (b->name && strcmp(b->name, name) == 0)
                return;
        char *copy = strdup(name);
        if (!copy)
                return; /* a name is for humans: the old one stays */
        free(b->name);
        b->name = copy;
}

void backends_commit(struct backends *r, uint16_t index, const char *name, const struct health_check *hc,
                     bool admin_down)
{
        struct backend *b = &r->b[index];
        BUG_ON(b->state == BACKEND_FREE || b->state == BACKEND_RETIRED);
        set_name(b, name);
        b->state = BACKEND_ACTIVE;
        b->check = *hc;
        b->admin_down = admin_down;
        b->linger_until_ms = 0;
        if (!hc->tcp)
                b->health = HEALTH_UNKNOWN; /* unchecked counts as up */
        publish(r, index);
}

void backends_linger(struct backends *r, uint16_t index, uint32_t drain_ms, uint64_t now_ms)
{
        struct backend *b = &r->b[index];
        BUG_ON(b->state != BACKEND_ACTIVE);
        b->state = BACKEND_LINGER;
        b->linger_until_ms = now_ms + drain_ms;
}

bool backends_set_health(struct backends *r, uint16_t index, bool up)
{
        struct backend *b = &r->b[index];
        enum health want = up ? HEALTH_UP : HEALTH_DOWN;
        if (b->state == BACKEND_FREE || b->state == BACKEND_RETIRED || b->health == want)
                return false;
        b->fresh = up && b->health != HEALTH_UNKNOWN; /* at boot everybody comes at once: nobody waits */
        b->health = want;
        b->transitions++;
        publish(r, index);
        return true;
}

uint32_t backends_retire(struct backends *r, uint64_t now_ms)
{
        bool any = false;
        for (size_t i = 0; i < r->n; i++) {
                struct backend *b = &r->b[i];
                if (b->state != BACKEND_LINGER || b->refs != 0 || now_ms < b->linger_until_ms)
                        continue;
                b->state = BACKEND_RETIRED;
                b->token = r->token + 1;
                publish(r, (uint16_t)i);
                any = true;
        }
        return any ? ++r->token : 0;
}

void backends_reclaim(struct backends *r, uint32_t token)
{
        for (size_t i = 0; i < r->n; i++)
                if (r->b[i].state == BACKEND_RETIRED && r->b[i].token <= token)
                        drop(r, (uint16_t)i, 0);
}

/* ---------------------------------------------------------------- the MTU of a tunnel's path */

#define MTU_MS 600000 /* RFC 1191 6.3, RFC 8201 5.3 */

static void mtu_set(struct backends *r, size_t i, uint16_t mtu)
{
        /* relaxed: see backend_mtu */
        atomic_store_explicit(&r->mtus[i], mtu, memory_order_relaxed);
}

unsigned backends_path_mtu(struct backends *r, const uint8_t *frame, size_t len, uint64_t now_ms)
{
        struct tunnel t;
        uint16_t mtu;
        unsigned n = 0;
        if (!tunnel_quoted(frame, len, &t, &mtu))
                return 0;
        for (size_t i = 0; i < r->n; i++) {
                struct backend *b = &r->b[i];
                if (b->state == BACKEND_FREE || !way_tunnel(b->way) || !tunnel_eq(&r->targets[i].tunnel, &t))
                        continue;
                mtu_set(r, i, mtu < TUNNEL_MTU_MIN ? TUNNEL_MTU_MIN : mtu);
                b->mtu_until_ms = now_ms + MTU_MS;
                n++;
        }
        return n;
}

uint64_t backends_mtu_expire(struct backends *r, uint64_t now_ms)
{
        uint64_t next = UINT64_MAX;
        for (size_t i = 0; i < r->n; i++) {
                if (!backend_mtu(r, (uint16_t)i))
                        continue;
                if (now_ms >= r->b[i].mtu_until_ms)
                        mtu_set(r, i, 0);
                else
                        next = MIN(next, r->b[i].mtu_until_ms - now_ms);
        }
        return next;
}
