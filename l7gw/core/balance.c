/* l7gw/core/balance.c - see balance.h. */
#include "lib/base.h"
#include "l7gw/core/balance.h"
#include "l7gw/core/session.h"

#define STRIDE (1ull << 32) /* divided by the weight: the distance between two turns */

static uint64_t mix(uint64_t x) /* splitmix64, Steele 2014 */
{
        x += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return x ^ (x >> 31);
}

static bool before(const struct balance *b, uint32_t x, uint32_t y)
{
        uint64_t tx = b->eps[x].turn, ty = b->eps[y].turn;
        return tx < ty || (tx == ty && x < y);
}

static void sift_down(struct balance *b, size_t i)
{
        for (;;) {
                size_t least = i, l = 2 * i + 1, r = l + 1;
                if (l < b->n_heap && before(b, b->heap[l], b->heap[least]))
                        least = l;
                if (r < b->n_heap && before(b, b->heap[r], b->heap[least]))
                        least = r;
                if (least == i)
                        return;
                uint32_t t = b->heap[i];
                b->heap[i] = b->heap[least];
                b->heap[least] = t;
                i = least;
        }
}

static uint64_t stride(const struct balance_endpoint *e)
{
        return STRIDE / e->weight;
}

static void heap_build(struct balance *b, uint64_t seed)
{
        Model__EndpointState want = MODEL__ENDPOINT_STATE__ENDPOINT_DRAINING;
        uint32_t priority = UINT32_MAX;
        for (size_t i = 0; i < b->n; i++)
                if (b->eps[i].state == MODEL__ENDPOINT_STATE__ENDPOINT_READY)
                        want = MODEL__ENDPOINT_STATE__ENDPOINT_READY;
        for (size_t i = 0; i < b->n; i++)
                if (b->eps[i].state == want)
                        priority = MIN(priority, b->eps[i].priority);
        b->n_heap = 0;
        for (size_t i = 0; i < b->n; i++) {
                struct balance_endpoint *e = &b->eps[i];
                if (e->state != want || e->priority != priority)
                        continue;
                e->turn = stride(e) ? mix(seed ^ i) % stride(e) : 0;
                b->heap[b->n_heap++] = (uint32_t)i;
        }
        for (size_t i = b->n_heap / 2; i-- > 0;)
                sift_down(b, i);
}

int balance_build(struct balance *b, const Model__EndpointSet *set, uint64_t seed)
{
        struct balance next = {.version = set->version, .n = 0};
        next.eps = calloc(set->n_endpoints + 1, sizeof *next.eps);
        next.heap = calloc(set->n_endpoints + 1, sizeof *next.heap);
        if (!next.eps || !next.heap) {
                free(next.eps);
                free(next.heap);
                return -ENOMEM;
        }
        for (size_t i = 0; i < set->n_endpoints; i++) {
                const Model__Endpoint *m = set->endpoints[i];
                struct balance_endpoint *e = &next.eps[next.n];
                if (m->state == MODEL__ENDPOINT_STATE__ENDPOINT_DOWN || m->port == 0 || m->port > UINT16_MAX ||
                    ipaddr_from_bytes(m->addr.data, m->addr.len, &e->addr) < 0)
                        continue; /* the model's check refuses bad addresses and ports; DOWN is never chosen */
                e->port = (uint16_t)m->port;
                e->state = m->state;
                e->token = session_token(&e->addr, e->port);
                e->weight = m->weight ? m->weight : 1;
                e->priority = m->priority;
                const struct balance_endpoint *old = balance_find(b, &e->addr, e->port);
                e->avoid_until_ms = old ? old->avoid_until_ms : 0;
                next.n++;
        }
        heap_build(&next, seed);
        balance_fini(b);
        *b = next;
        return 0;
}

void balance_fini(struct balance *b)
{
        free(b->eps);
        free(b->heap);
        *b = (struct balance){0};
}

struct balance_endpoint *balance_by_token(struct balance *b, uint64_t token)
{
        for (size_t i = 0; i < b->n; i++)
                if (b->eps[i].token == token)
                        return &b->eps[i];
        return NULL;
}

struct balance_endpoint *balance_find(struct balance *b, const struct ipaddr *addr, uint16_t port)
{
        for (size_t i = 0; i < b->n; i++)
                if (b->eps[i].port == port && ipaddr_eq(&b->eps[i].addr, addr))
                        return &b->eps[i];
        return NULL;
}

static bool was_tried(const struct balance_endpoint *e, const struct balance_tried *tried, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (tried[i].port == e->port && ipaddr_eq(&tried[i].addr, &e->addr))
                        return true;
        return false;
}

struct balance_endpoint *balance_pick(struct balance *b, uint64_t now_ms, const struct balance_tried *tried,
                                      size_t n_tried)
{
        /* An unsuitable endpoint loses its turn.  n turns reach every endpoint unless weights differ; the scan below
         * then finds what the turns did not. */
        for (size_t i = 0; i < b->n_heap; i++) {
                struct balance_endpoint *e = &b->eps[b->heap[0]];
                e->turn += MAX(stride(e), (uint64_t)1);
                sift_down(b, 0);
                if (e->avoid_until_ms <= now_ms && !was_tried(e, tried, n_tried))
                        return e;
        }
        struct balance_endpoint *avoided = NULL;
        for (size_t i = 0; i < b->n_heap; i++) {
                struct balance_endpoint *e = &b->eps[b->heap[i]];
                if (was_tried(e, tried, n_tried))
                        continue;
                if (e->avoid_until_ms <= now_ms)
                        return e;
                if (!avoided || e->avoid_until_ms < avoided->avoid_until_ms)
                        avoided = e;
        }
        return avoided;
}
