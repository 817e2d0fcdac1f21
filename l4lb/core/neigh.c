/* l4lb/core/neigh.c - see neigh.h.  RFC 826 and RFC 4861 7, as a host: we resolve, we verify what we use, we never guess. */
#include "lib/base.h"
#include <assert.h>
#include "l4lb/core/neigh.h"
#include "l4lb/core/net.h"
#include "l4lb/core/wire.h"

#define NEIGH_WINDOW 16    /* slots an address may sit in: bounds every lookup */
#define NEIGH_RETRY_MS 100 /* first retries while incomplete double from here */
#define NEIGH_RETRY_MAX_MS 1000
#define NEIGH_LEARNED_TRIES 4 /* then an unpinned address is given up */
#define NEIGH_REACHABLE_MS 30000
#define NEIGH_PROBE_MS 1000
#define NEIGH_PROBE_FIRST_MS 200
#define NEIGH_PROBES 4 /* to its MAC, then three to all: it may have another one now; then the word is withdrawn */
#define NEIGH_UNUSED_MS 300000 /* a learned neighbour that nobody sends to is given up, though it answers */

static_assert((L4_MAX_NEIGHBOURS & (L4_MAX_NEIGHBOURS - 1)) == 0, "masked");
static_assert(sizeof(struct neigh_slot) == 32, "two slots per cache line");

const char *neigh_state_str(enum neigh_state s)
{
        static const char *const names[NEIGH_STATE_N] = { "free", "incomplete", "reachable", "probe", "dying" };
        BUG_ON(s >= NEIGH_STATE_N);
        return names[s];
}

void neigh_init(struct neigh *n, const struct net *net, struct siphash_key key)
{
        memset(n, 0, sizeof *n);
        n->net = net;
        n->key = key;
}

static uint32_t home_of(const struct neigh *n, uint8_t port, uint8_t af, const uint8_t addr[16])
{
        uint8_t b[18];
        memcpy(b, addr, 16);
        b[16] = af;
        b[17] = port;
        return (uint32_t)siphash13(&n->key, b, sizeof b) & (L4_MAX_NEIGHBOURS - 1);
}

static bool slot_is(const struct neigh_slot *s, uint8_t port, uint8_t af, const uint8_t addr[16])
{
        return s->port == port && s->af == af && memcmp(s->addr, addr, 16) == 0;
}

/* Workers: the slot with a valid word, or NULL. */
static struct neigh_slot *resolved(const struct neigh *n, uint8_t port, uint8_t af, const uint8_t *addr, uint64_t *ret)
{
        uint8_t a[16] = { 0 };
        memcpy(a, addr, af == 4 ? 4 : 16);
        uint32_t home = home_of(n, port, af, a);
        for (uint32_t i = 0; i < NEIGH_WINDOW; i++) {
                uint32_t k = (home + i) & (L4_MAX_NEIGHBOURS - 1);
                *ret = neigh_word(n, (uint16_t)k); /* first: the key may be read only behind a valid word */
                if (*ret && slot_is(&n->slots[k], port, af, a))
                        return (struct neigh_slot *)&n->slots[k];
        }
        return NULL;
}

static void flag_set(_Atomic uint8_t *flag) /* relaxed: a hint; stored only when it changes, the line is shared */
{
        if (!atomic_load_explicit(flag, memory_order_relaxed))
                atomic_store_explicit(flag, 1, memory_order_relaxed);
}

static bool flag_take(_Atomic uint8_t *flag)
{
        return atomic_load_explicit(flag, memory_order_relaxed) &&
               atomic_exchange_explicit(flag, 0, memory_order_relaxed);
}

uint64_t neigh_lookup(const struct neigh *n, uint8_t port, uint8_t af, const uint8_t *addr)
{
        uint64_t word;
        struct neigh_slot *s = resolved(n, port, af, addr, &word);
        if (!s)
                return 0;
        flag_set(&s->used);
        return word;
}

void neigh_seen(const struct neigh *n, uint8_t port, uint8_t af, const uint8_t *addr, const uint8_t mac[6])
{
        uint64_t word;
        struct neigh_slot *s = resolved(n, port, af, addr, &word);
        if (s && word != adjacency_make(mac, port) && !(mac[0] & 1))
                flag_set(&s->doubted);
}

/* Control thread: the slot of this address, or NULL. */
static struct neigh_ctl *find(struct neigh *n, uint8_t port, uint8_t af, const uint8_t addr[16], uint16_t *ret)
{
        uint32_t home = home_of(n, port, af, addr);
        for (uint32_t i = 0; i < NEIGH_WINDOW; i++) {
                uint32_t k = (home + i) & (L4_MAX_NEIGHBOURS - 1);
                struct neigh_ctl *c = &n->ctl[k];
                if (c->state != NEIGH_FREE && c->state != NEIGH_DYING && slot_is(&n->slots[k], port, af, addr)) {
                        *ret = (uint16_t)k;
                        return c;
                }
        }
        return NULL;
}

static void publish(struct neigh *n, uint16_t k, uint64_t word)
{
        /* release: the slot's key, written before, is visible to whoever sees the word */
        atomic_store_explicit(&n->slots[k].word, word, memory_order_release);
}

static uint64_t published(const struct neigh *n, uint16_t k) /* the control thread's own last store */
{
        return atomic_load_explicit((_Atomic uint64_t *)&n->slots[k].word, memory_order_relaxed);
}

/* Nobody may find the slot any more.  Its key stays until a grace period is over, if workers could have seen it. */
static void slot_release(struct neigh *n, uint16_t k)
{
        static const uint8_t no_mac[6];
        struct neigh_ctl *c = &n->ctl[k];
        bool seen = memcmp(c->mac, no_mac, 6) != 0;
        publish(n, k, 0);
        *c = (struct neigh_ctl){ .state = seen ? NEIGH_DYING : NEIGH_FREE, .token = seen ? n->token + 1 : 0 };
}

/* Of two learned slots, the better one to give up: not resolved before resolved (a flood of addresses that nobody has must
 * not push out peers that are there), then the one wanted longest ago. */
static bool worse(const struct neigh_ctl *a, const struct neigh_ctl *b)
{
        bool a_open = a->state == NEIGH_INCOMPLETE, b_open = b->state == NEIGH_INCOMPLETE;
        return a_open != b_open ? a_open : a->used_ms < b->used_ms;
}

static struct neigh_ctl *make(struct neigh *n, uint8_t port, uint8_t af, const uint8_t addr[16], uint64_t now_ms,
                              uint16_t *ret)
{
        uint32_t home = home_of(n, port, af, addr);
        int victim = -1;
        for (uint32_t i = 0; i < NEIGH_WINDOW; i++) {
                uint16_t k = (uint16_t)((home + i) & (L4_MAX_NEIGHBOURS - 1));
                struct neigh_ctl *c = &n->ctl[k];
                if (c->state == NEIGH_FREE) {
                        struct neigh_slot *s = &n->slots[k];
                        memcpy(s->addr, addr, 16);
                        s->af = af;
                        s->port = port;
                        (void)flag_take(&s->used);
                        (void)flag_take(&s->doubted);
                        *c = (struct neigh_ctl){ .state = NEIGH_INCOMPLETE, .due_ms = now_ms, .used_ms = now_ms };
                        *ret = k;
                        return c;
                }
                if (c->refs == 0 && c->state != NEIGH_DYING && (victim < 0 || worse(c, &n->ctl[victim])))
                        victim = k;
        }
        if (victim < 0)
                return NULL;
        n->n_evicted++;
        slot_release(n, (uint16_t)victim);
        return n->ctl[victim].state == NEIGH_FREE ? make(n, port, af, addr, now_ms, ret) : NULL;
}

static void addr16(const struct ipaddr *a, uint8_t ret[16])
{
        memset(ret, 0, 16);
        memcpy(ret, a->b, ipaddr_len(a));
}

int neigh_pin(struct neigh *n, uint8_t port, const struct ipaddr *addr, uint64_t now_ms)
{
        uint8_t a[16];
        uint16_t k;
        addr16(addr, a);
        struct neigh_ctl *c = find(n, port, addr->af, a, &k);
        if (!c)
                c = make(n, port, addr->af, a, now_ms, &k);
        if (!c) /* a learned victim is dying: after its grace period there is room */
                return -ENOSPC;
        c->refs++;
        return k;
}

void neigh_hold(struct neigh *n, uint16_t index)
{
        BUG_ON(n->ctl[index].refs == 0);
        n->ctl[index].refs++;
}

void neigh_unpin(struct neigh *n, uint16_t index, uint64_t now_ms)
{
        struct neigh_ctl *c = &n->ctl[index];
        BUG_ON(c->refs == 0);
        c->used_ms = now_ms;
        if (--c->refs == 0 && c->state == NEIGH_INCOMPLETE)
                c->tries = 0; /* a few tries are left to it */
}

void neigh_want(struct neigh *n, uint8_t port, const struct ipaddr *addr, uint64_t now_ms)
{
        uint8_t a[16];
        uint16_t k;
        addr16(addr, a);
        struct neigh_ctl *c = find(n, port, addr->af, a, &k);
        if (!c)
                c = make(n, port, addr->af, a, now_ms, &k);
        if (c)
                c->used_ms = now_ms;
}

void neigh_doubt(struct neigh *n, uint16_t index, uint64_t now_ms)
{
        struct neigh_ctl *c = &n->ctl[index];
        if (c->state == NEIGH_REACHABLE)
                c->due_ms = now_ms;
}

/* ---------------------------------------------------------------- learning */

static bool learn(struct neigh *n, uint8_t port, uint8_t af, const uint8_t addr[16], const uint8_t mac[6],
                  bool override, uint64_t now_ms)
{
        uint16_t k;
        struct neigh_ctl *c = find(n, port, af, addr, &k);
        if (!c || (mac[0] & 1))
                return false;
        uint64_t word = adjacency_make(mac, port), old = published(n, k);
        if (old != 0 && old != word && !override) { /* RFC 4861 7.2.5: somebody else claims it: verify, do not follow */
                c->state = NEIGH_PROBE;
                c->tries = 0;
                c->due_ms = now_ms;
                return false;
        }
        memcpy(c->mac, mac, 6);
        c->state = NEIGH_REACHABLE;
        c->tries = 0;
        c->due_ms = now_ms + NEIGH_REACHABLE_MS;
        if (old == word)
                return false;
        publish(n, k, word);
        if (old == 0)
                n->n_learned++;
        else
                n->n_changed++;
        return true;
}

static bool input_arp(struct neigh *n, uint8_t port, const uint8_t *p, size_t len, uint64_t now_ms)
{
        static const uint8_t head[6] = { 0, 1, 8, 0, 6, 4 }; /* Ethernet, IPv4, 6-byte and 4-byte addresses */
        uint8_t a[16] = { 0 };
        if (len < ETH_LEN + ARP_LEN || memcmp(p + ETH_LEN, head, sizeof head) != 0)
                return false;
        memcpy(a, p + ETH_LEN + 14, 4);
        return learn(n, port, 4, a, p + ETH_LEN + 8, true, now_ms);
}

/* The workers have validated the advertisement (RFC 4861 7.1.2); the layout is checked again, cheaply. */
static bool input_na(struct neigh *n, uint8_t port, const uint8_t *p, size_t len, uint64_t now_ms)
{
        const uint8_t *na = p + ETH_LEN + IPV6_LEN;
        size_t opts = ETH_LEN + IPV6_LEN + ND_NS_LEN, end = ETH_LEN + IPV6_LEN + (size_t)get_u16(p + ETH_LEN + 4);
        const uint8_t *mac = NULL;
        if (len < opts || end > len || p[ETH_LEN + 6] != PROTO_ICMPV6 || na[0] != ICMPV6_NA)
                return false;
        for (size_t o = opts; o + 8 <= end && p[o + 1] != 0; o += (size_t)p[o + 1] * 8)
                if (p[o] == ND_OPT_TARGET_LL && p[o + 1] == 1)
                        mac = p + o + 2;
        bool override = (na[4] & ND_OVERRIDE) != 0;
        if (!mac) { /* allowed in the answer to a unicast probe: it confirms what we know */
                if (!(na[4] & ND_SOLICITED))
                        return false;
                mac = p + 6;
                override = false;
        }
        return learn(n, port, 6, na + 8, mac, override, now_ms);
}

static void input_ip(struct neigh *n, const uint8_t *p, size_t len, uint64_t now_ms)
{
        struct ipaddr dst = { 0 };
        if (get_u16(p + 12) == ETHERTYPE_IPV4 && len >= ETH_LEN + IPV4_LEN) {
                dst.af = 4;
                memcpy(dst.b, p + ETH_LEN + 16, 4);
                const struct net_hop4 *h = net_route4(n->net, dst.b);
                if (h && h->adjacency == NEIGH_NONE)
                        neigh_want(n, h->port, &dst, now_ms);
        } else if (get_u16(p + 12) == ETHERTYPE_IPV6 && len >= ETH_LEN + IPV6_LEN) {
                dst.af = 6;
                memcpy(dst.b, p + ETH_LEN + 24, 16);
                const struct net_hop6 *h = net_route6(n->net, dst.b);
                if (h && h->adjacency == NEIGH_NONE)
                        neigh_want(n, h->port, &dst, now_ms);
        }
}

bool neigh_input(struct neigh *n, uint8_t in_port, const uint8_t *frame, size_t len, uint64_t now_ms)
{
        if (len < ETH_LEN)
                return false;
        if (get_u16(frame + 12) == ETHERTYPE_ARP)
                return input_arp(n, in_port, frame, len, now_ms);
        if (get_u16(frame + 12) == ETHERTYPE_IPV6 && len > ETH_LEN + IPV6_LEN && frame[ETH_LEN + 6] == PROTO_ICMPV6 &&
            frame[ETH_LEN + IPV6_LEN] == ICMPV6_NA && frame[ETH_LEN + 7] == 255)
                return input_na(n, in_port, frame, len, now_ms);
        input_ip(n, frame, len, now_ms);
        return false;
}

/* ---------------------------------------------------------------- requests and time */

static void write_arp(const struct neigh *n, uint16_t k, bool unicast, struct frame_out *ret)
{
        static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
        const struct neigh_slot *s = &n->slots[k];
        const struct net_port *port = &n->net->ports[s->port];
        struct ipaddr peer = { .af = 4 };
        memcpy(peer.b, s->addr, 4);
        const struct ipaddr *own = net_source_for(n->net, s->port, &peer);
        memset(ret, 0, sizeof *ret);
        ret->port = s->port;
        ret->len = ETH_MIN_FRAME;
        eth_write(ret->b, unicast ? n->ctl[k].mac : broadcast, port->mac, ETHERTYPE_ARP);
        uint8_t *a = ret->b + ETH_LEN;
        set_u16(a, 1);
        set_u16(a + 2, ETHERTYPE_IPV4);
        a[4] = 6;
        a[5] = 4;
        set_u16(a + 6, 1);
        memcpy(a + 8, port->mac, 6);
        if (own)
                memcpy(a + 14, own->b, 4);
        memcpy(a + 24, s->addr, 4);
}

static void write_ns(const struct neigh *n, uint16_t k, bool unicast, struct frame_out *ret)
{
        const struct neigh_slot *s = &n->slots[k];
        const struct net_port *port = &n->net->ports[s->port];
        struct ipaddr peer = { .af = 6 };
        memcpy(peer.b, s->addr, 16);
        const struct ipaddr *own = net_source_for(n->net, s->port, &peer);
        uint8_t dst[16] = { 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, s->addr[13], s->addr[14], s->addr[15] };
        uint8_t group[6] = { 0x33, 0x33, 0xff, s->addr[13], s->addr[14], s->addr[15] };
        memset(ret, 0, sizeof *ret);
        ret->port = s->port;
        ret->len = ETH_LEN + IPV6_LEN + ND_NS_LEN + 8;
        eth_write(ret->b, unicast ? n->ctl[k].mac : group, port->mac, ETHERTYPE_IPV6);
        uint8_t *ip = ret->b + ETH_LEN, *ns = ip + IPV6_LEN;
        ip6_write(ip, ND_NS_LEN + 8, PROTO_ICMPV6, 255, own ? own->b : port->link_local, unicast ? s->addr : dst);
        ns[0] = ICMPV6_NS;
        memcpy(ns + 8, s->addr, 16);
        ns[24] = ND_OPT_SOURCE_LL;
        ns[25] = 1;
        memcpy(ns + 26, port->mac, 6);
        uint32_t sum = cksum_pseudo(ip + 8, ip + 24, 16, ND_NS_LEN + 8, PROTO_ICMPV6);
        set_u16(ns + 2, cksum_fold(cksum_add(sum, ns, ND_NS_LEN + 8)));
}

/* One slot whose time has come; true when *ret holds a request. */
static bool slot_step(struct neigh *n, uint16_t k, uint64_t now_ms, struct frame_out *ret)
{
        struct neigh_ctl *c = &n->ctl[k];
        if (flag_take(&n->slots[k].used))
                c->used_ms = now_ms;
        if (c->state == NEIGH_REACHABLE && c->refs == 0 && now_ms - c->used_ms >= NEIGH_UNUSED_MS) {
                slot_release(n, k);
                return false;
        }
        if (c->state == NEIGH_REACHABLE) {
                c->state = NEIGH_PROBE;
                c->tries = 0;
        }
        if (c->state == NEIGH_PROBE && c->tries == NEIGH_PROBES) {
                n->n_failed++;
                publish(n, k, 0);
                if (c->refs == 0) {
                        slot_release(n, k);
                        return false;
                }
                c->state = NEIGH_INCOMPLETE;
                c->tries = 0;
        }
        if (c->state == NEIGH_INCOMPLETE && c->refs == 0 && c->tries == NEIGH_LEARNED_TRIES) {
                slot_release(n, k);
                return false;
        }
        bool probe = c->state == NEIGH_PROBE, unicast = probe && c->tries == 0;
        if (n->slots[k].af == 4)
                write_arp(n, k, unicast, ret);
        else
                write_ns(n, k, unicast, ret);
        n->n_requests++;
        uint64_t backoff = c->tries < 4 ? (uint64_t)NEIGH_RETRY_MS << c->tries : NEIGH_RETRY_MAX_MS;
        backoff = MIN(backoff, (uint64_t)NEIGH_RETRY_MAX_MS);
        c->due_ms = now_ms + (!probe ? backoff : unicast ? (uint64_t)NEIGH_PROBE_FIRST_MS : (uint64_t)NEIGH_PROBE_MS);
        c->tries++;
        return true;
}

bool neigh_next(struct neigh *n, uint64_t now_ms, struct frame_out *ret)
{
        for (size_t i = 0; i < L4_MAX_NEIGHBOURS; i++) {
                uint16_t k = (uint16_t)((n->scan + i) & (L4_MAX_NEIGHBOURS - 1));
                struct neigh_ctl *c = &n->ctl[k];
                if (c->state == NEIGH_FREE || c->state == NEIGH_DYING)
                        continue;
                if (flag_take(&n->slots[k].doubted))
                        neigh_doubt(n, k, now_ms);
                if (c->due_ms > now_ms)
                        continue;
                if (slot_step(n, k, now_ms, ret)) {
                        n->scan = k + 1u;
                        return true;
                }
        }
        return false;
}

uint64_t neigh_due_ms(const struct neigh *n, uint64_t now_ms, uint64_t max_ms)
{
        uint64_t due = max_ms;
        for (size_t k = 0; k < L4_MAX_NEIGHBOURS; k++) {
                const struct neigh_ctl *c = &n->ctl[k];
                if (c->state == NEIGH_FREE || c->state == NEIGH_DYING)
                        continue;
                due = MIN(due, c->due_ms > now_ms ? c->due_ms - now_ms : 0);
        }
        return due;
}

uint32_t neigh_retired(struct neigh *n)
{
        for (size_t k = 0; k < L4_MAX_NEIGHBOURS; k++)
                if (n->ctl[k].state == NEIGH_DYING && n->ctl[k].token == n->token + 1)
                        return ++n->token;
        return 0;
}

void neigh_reclaim(struct neigh *n, uint32_t token)
{
        for (size_t k = 0; k < L4_MAX_NEIGHBOURS; k++)
                if (n->ctl[k].state == NEIGH_DYING && n->ctl[k].token <= token)
                        n->ctl[k] = (struct neigh_ctl){ .state = NEIGH_FREE };
}
