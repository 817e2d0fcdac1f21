/* l7gw/core/balance.c - see balance.h. */
#include "lib/base.h"
#include "l7gw/core/balance.h"

#define STRIDE (1ull << 32) /* divided by the weight: the distance between two turns */
#define GROWTH 1024u        /* slow start's fraction: GROWTH is a whole share */
#define DRAWS 4             /* at random, before looking at everybody */

static bool by_turns(const struct balance_plan *p)
{
        return p->lb == MODEL__CLUSTER__LOAD_BALANCER__ROUND_ROBIN || p->lb == MODEL__CLUSTER__LOAD_BALANCER__WEIGHTED;
}

/* ---- turns ---- */

static bool before(const struct balance *b, uint32_t x, uint32_t y)
{
        int64_t d = (int64_t)(b->state[x].turn - b->state[y].turn); /* turns wrap after some billion requests */
        return d < 0 || (d == 0 && x < y);
}

static void sift_down(struct balance *b, uint32_t i)
{
        for (;;) {
                uint32_t least = i, l = 2 * i + 1, r = l + 1;
                if (l < b->n_cand && before(b, b->cand[l], b->cand[least]))
                        least = l;
                if (r < b->n_cand && before(b, b->cand[r], b->cand[least]))
                        least = r;
                if (least == i)
                        return;
                uint32_t t = b->cand[i];
                b->cand[i] = b->cand[least];
                b->cand[least] = t;
                i = least;
        }
}

/* How much of its weight an endpoint has by now, of GROWTH. */
static uint32_t growth(struct balance *b, uint32_t i, uint64_t now_ms)
{
        struct balance_state *s = &b->state[i];
        if (s->grows_since_ms == 0)
                return GROWTH;
        uint64_t age = now_ms > s->grows_since_ms ? now_ms - s->grows_since_ms : 0;
        if (age >= b->plan->slow_start_ms) {
                s->grows_since_ms = 0;
                return GROWTH;
        }
        return MAX((uint32_t)(age * GROWTH / b->plan->slow_start_ms), GROWTH / 10);
}

static uint64_t stride(struct balance *b, uint32_t i, uint64_t now_ms)
{
        return MAX(STRIDE / b->plan->eps[i].weight, (uint64_t)1) * GROWTH / growth(b, i, now_ms);
}

/* ---- who may be chosen ---- */

static uint32_t tier_usable(const struct balance *b, const struct balance_tier *t)
{
        uint32_t n = 0;
        for (uint32_t i = 0; i < t->n; i++)
                n += b->state[b->plan->order[t->start + i]].bad == 0;
        return n;
}

static bool tier_choose(struct balance *b)
{
        const struct balance_plan *p = b->plan;
        b->panic = false;
        for (b->tier = 0; b->tier < p->n_tiers; b->tier++) {
                uint32_t usable = tier_usable(b, &p->tiers[b->tier]);
                if (usable > 0 && (uint64_t)usable * 100 >= (uint64_t)p->panic_pct * p->tiers[b->tier].n)
                        return true;
        }
        b->tier = 0;
        b->panic = p->panic_pct > 0;
        return b->panic && p->n_tiers > 0;
}

static void candidates(struct balance *b)
{
        const struct balance_plan *p = b->plan;
        uint64_t sum = 0;
        b->n_cand = 0;
        if (!tier_choose(b))
                return;
        const struct balance_tier *t = &p->tiers[b->tier];
        for (uint32_t k = 0; k < t->n; k++) {
                uint32_t i = p->order[t->start + k];
                if (b->state[i].bad && !b->panic)
                        continue;
                if ((int64_t)(b->state[i].turn - b->vtime) < 0)
                        b->state[i].turn = b->vtime; /* no arrears from the time it was out */
                sum += p->eps[i].weight;
                b->cum[b->n_cand] = sum;
                b->cand[b->n_cand++] = i;
        }
        for (uint32_t i = by_turns(p) ? b->n_cand / 2 : 0; i-- > 0;)
                sift_down(b, i);
}

/* ---- life ---- */

static void state_begin(struct balance *b, const struct balance *old, uint32_t i, uint64_t now_ms, uint64_t seed)
{
        const struct balance_endpoint *e = &b->plan->eps[i];
        uint32_t was = old->plan ? balance_plan_by_token(old->plan, e->token) : BALANCE_NONE;
        if (was != BALANCE_NONE) {
                b->state[i] = old->state[was];
                if ((int64_t)(b->state[i].turn - b->vtime) >= 0 &&
                    (int64_t)(b->state[i].turn - b->vtime) <= (int64_t)STRIDE)
                        return;
        } else if (old->plan && old->plan->n > 0 && b->plan->slow_start_ms) {
                b->state[i].grows_since_ms = now_ms ? now_ms : 1;
        }
        b->state[i].turn = b->vtime + balance_mix(seed ^ i) % MAX(STRIDE / e->weight, (uint64_t)1);
}

int balance_adopt(struct balance *b, struct balance_plan *plan, uint64_t now_ms, uint64_t seed)
{
        struct balance next = {.plan = plan, .vtime = b->vtime};
        next.state = calloc(plan->n + 1, sizeof *next.state);
        next.cand = calloc(plan->n + 1, sizeof *next.cand);
        next.cum = calloc(plan->n + 1, sizeof *next.cum);
        if (!next.state || !next.cand || !next.cum) {
                free(next.state);
                free(next.cand);
                free(next.cum);
                return -ENOMEM;
        }
        for (uint32_t i = 0; i < plan->n; i++)
                state_begin(&next, b, i, now_ms, seed);
        balance_plan_get(plan);
        balance_fini(b);
        *b = next;
        candidates(b);
        return 0;
}

void balance_fini(struct balance *b)
{
        balance_plan_put(b->plan);
        free(b->state);
        free(b->cand);
        free(b->cum);
        *b = (struct balance){0};
}

struct balance_state *balance_state_of(struct balance *b, const struct ipaddr *addr, uint16_t port)
{
        uint32_t i = b->plan ? balance_plan_find(b->plan, addr, port) : BALANCE_NONE;
        return i == BALANCE_NONE ? NULL : &b->state[i];
}

const struct balance_endpoint *balance_by_token(const struct balance *b, uint64_t token)
{
        uint32_t i = b->plan ? balance_plan_by_token(b->plan, token) : BALANCE_NONE;
        return i == BALANCE_NONE || (b->state[i].bad && !b->panic) ? NULL : &b->plan->eps[i];
}

void balance_mark(struct balance *b, const struct ipaddr *addr, uint16_t port, uint8_t bad, uint64_t now_ms)
{
        struct balance_state *s = balance_state_of(b, addr, port); /* b may have no plan: its state is NULL then */
        if (!s || s->bad == bad)
                return;
        if (s->bad && !bad && b->plan->slow_start_ms)
                s->grows_since_ms = now_ms ? now_ms : 1;
        if (!bad)
                s->errors = s->gateway_errors = s->local_failures = 0;
        s->bad = bad;
        candidates(b);
}

bool balance_streak(struct balance_state *s, enum balance_result r, const Model__Outlier *o)
{
        bool local = r == BALANCE_LOCAL, gateway = local || r == BALANCE_GATEWAY, error = gateway || r == BALANCE_ERROR;
        s->errors = error ? s->errors + 1 : 0;
        s->gateway_errors = gateway ? s->gateway_errors + 1 : 0;
        s->local_failures = local ? s->local_failures + 1 : 0;
        bool full = (o->consecutive_5xx && s->errors >= o->consecutive_5xx) || (o->consecutive_gateway && s->gateway_errors >= o->consecutive_gateway) ||
                    (o->consecutive_local && s->local_failures >= o->consecutive_local);
        if (full)
                s->errors = s->gateway_errors = s->local_failures = 0;
        return full;
}

/* ---- choosing ---- */

static bool suits(const struct balance *b, uint32_t i, const struct balance_ask *ask)
{
        const struct balance_endpoint *e = &b->plan->eps[i];
        if (b->state[i].avoid_until_ms > ask->now_ms)
                return false;
        for (size_t k = 0; k < ask->n_tried; k++)
                if (ask->tried[k].port == e->port && ipaddr_eq(&ask->tried[k].addr, &e->addr))
                        return false;
        return true;
}

static bool was_tried(const struct balance *b, uint32_t i, const struct balance_ask *ask)
{
        struct balance_ask later = *ask;
        later.now_ms = UINT64_MAX;
        return !suits(b, i, &later);
}

/* Everybody is looked at: who suits, else who refused longest ago. */
static uint32_t whoever(const struct balance *b, const struct balance_ask *ask, uint64_t from)
{
        uint32_t avoided = BALANCE_NONE;
        for (uint32_t k = 0; k < b->n_cand; k++) {
                uint32_t i = b->cand[(from + k) % b->n_cand];
                if (suits(b, i, ask))
                        return i;
                if (!was_tried(b, i, ask) &&
                    (avoided == BALANCE_NONE || b->state[i].avoid_until_ms < b->state[avoided].avoid_until_ms))
                        avoided = i;
        }
        return avoided;
}

/* An unsuitable endpoint loses its turn.  n turns reach every endpoint unless weights differ; then whoever() finds him.
 */
static uint32_t pick_turn(struct balance *b, const struct balance_ask *ask)
{
        for (uint32_t k = 0; k < b->n_cand; k++) {
                uint32_t i = b->cand[0];
                b->vtime = b->state[i].turn;
                b->state[i].turn += stride(b, i, ask->now_ms);
                sift_down(b, 0);
                if (suits(b, i, ask))
                        return i;
        }
        return whoever(b, ask, 0);
}

/* One candidate by weight: position in cand. */
static uint32_t draw(const struct balance *b, uint64_t rnd)
{
        uint64_t total = b->cum[b->n_cand - 1];
        uint64_t at = (uint64_t)((unsigned __int128)rnd * total >> 64);
        uint32_t lo = 0, hi = b->n_cand - 1;
        if (total == b->n_cand) /* equal weights */
                return (uint32_t)at;
        while (lo < hi) {
                uint32_t mid = lo + (hi - lo) / 2;
                if (b->cum[mid] <= at)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

static uint32_t pick_random(struct balance *b, const struct balance_ask *ask)
{
        uint64_t rnd = ask->rnd;
        for (unsigned k = 0; k < DRAWS; k++, rnd = balance_mix(rnd)) {
                uint32_t i = b->cand[draw(b, rnd)];
                bool grown = (uint32_t)(balance_mix(~rnd) % GROWTH) < growth(b, i, ask->now_ms);
                if (suits(b, i, ask) && (grown || k == DRAWS - 1))
                        return i;
        }
        return whoever(b, ask, rnd % b->n_cand);
}

/* Is x less loaded than y, by requests per weight?  (The one that would come counts, so that weights matter when idle.)
 */
static bool less_loaded(struct balance *b, uint32_t x, uint32_t y, uint64_t now_ms)
{
        uint64_t wx = (uint64_t)b->plan->eps[x].weight * growth(b, x, now_ms),
                 wy = (uint64_t)b->plan->eps[y].weight * growth(b, y, now_ms);
        return (unsigned __int128)(b->state[x].active + 1) * wy < (unsigned __int128)(b->state[y].active + 1) * wx;
}

/* Two different ones, else a crowded one could be compared with itself. */
static uint32_t pick_least(struct balance *b, const struct balance_ask *ask)
{
        uint64_t rnd = ask->rnd;
        for (unsigned k = 0; k < DRAWS; k++, rnd = balance_mix(rnd)) {
                uint32_t at = draw(b, rnd), other = draw(b, balance_mix(~rnd));
                if (other == at)
                        other = at + 1 < b->n_cand ? at + 1 : 0;
                uint32_t x = b->cand[at], y = b->cand[other];
                bool x_suits = suits(b, x, ask), y_suits = suits(b, y, ask);
                if (x_suits && y_suits)
                        return less_loaded(b, y, x, ask->now_ms) ? y : x;
                if (x_suits || y_suits)
                        return x_suits ? x : y;
        }
        return whoever(b, ask, rnd % b->n_cand);
}

static bool usable(const struct balance *b, uint32_t i, const struct balance_ask *ask)
{
        return (b->state[i].bad == 0 || b->panic) && suits(b, i, ask);
}

static uint32_t pick_ring(const struct balance *b, const struct balance_ask *ask)
{
        const struct balance_plan *p = b->plan;
        uint32_t lo = 0, hi = p->n_ring;
        while (lo < hi) {
                uint32_t mid = lo + (hi - lo) / 2;
                if (p->ring[mid].at < ask->hash)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        for (uint32_t k = 0; k < p->n_ring; k++) {
                uint32_t at = lo + k;
                uint32_t i = p->ring[at >= p->n_ring ? at - p->n_ring : at].index;
                if (usable(b, i, ask))
                        return i;
        }
        return BALANCE_NONE;
}

static uint32_t pick_maglev(const struct balance *b, const struct balance_ask *ask)
{
        uint64_t h = ask->hash;
        for (uint32_t k = 0; k < 2 * b->plan->tiers[0].n + DRAWS; k++, h = balance_mix(h)) {
                uint32_t i = maglev_pick(b->plan->maglev, h);
                if (usable(b, i, ask))
                        return i;
        }
        return BALANCE_NONE;
}

/* Without a table for this tier: the highest of all hashes wins (rendezvous), O(n), as stable as the others. */
static uint32_t pick_highest(const struct balance *b, const struct balance_ask *ask)
{
        uint32_t best = BALANCE_NONE;
        uint64_t most = 0;
        for (uint32_t k = 0; k < b->n_cand; k++) {
                uint64_t h = balance_mix(ask->hash ^ b->plan->eps[b->cand[k]].token);
                if (suits(b, b->cand[k], ask) && (best == BALANCE_NONE || h > most)) {
                        best = b->cand[k];
                        most = h;
                }
        }
        return best;
}

static uint32_t pick_hash(struct balance *b, const struct balance_ask *ask)
{
        uint32_t i = BALANCE_NONE;
        if (ask->hash == 0)
                return pick_random(b, ask);
        if (b->tier == 0 && b->plan->maglev)
                i = pick_maglev(b, ask);
        else if (b->tier == 0 && b->plan->n_ring)
                i = pick_ring(b, ask);
        if (i == BALANCE_NONE)
                i = pick_highest(b, ask);
        return i != BALANCE_NONE ? i : whoever(b, ask, ask->hash % b->n_cand);
}

const struct balance_endpoint *balance_pick(struct balance *b, const struct balance_ask *ask)
{
        uint32_t i = BALANCE_NONE;
        if (b->n_cand == 0)
                return NULL;
        switch (b->plan->lb) {
        case MODEL__CLUSTER__LOAD_BALANCER__ROUND_ROBIN:
        case MODEL__CLUSTER__LOAD_BALANCER__WEIGHTED:
                i = pick_turn(b, ask);
                break;
        case MODEL__CLUSTER__LOAD_BALANCER__LEAST_REQUEST:
                i = pick_least(b, ask);
                break;
        case MODEL__CLUSTER__LOAD_BALANCER__RANDOM:
                i = pick_random(b, ask);
                break;
        case MODEL__CLUSTER__LOAD_BALANCER__RING_HASH:
        case MODEL__CLUSTER__LOAD_BALANCER__MAGLEV:
                i = pick_hash(b, ask);
                break;
        case _MODEL__CLUSTER__LOAD_BALANCER_IS_INT_SIZE:
                BUG_ON(true);
        }
        return i == BALANCE_NONE ? NULL : &b->plan->eps[i];
}
