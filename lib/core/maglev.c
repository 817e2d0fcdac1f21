/* lib/core/maglev.c - see maglev.h.  Division is fine here: tables are built on the control thread. */
#include "lib/base.h"
#include "lib/core/maglev.h"
#include "lib/core/hash.h"

static const uint32_t maglev_primes[] = { 251, 509, 1021, 4093, 16381, MAGLEV_SLOTS_MAX };
#define CELL_EMPTY 0xffff

uint32_t maglev_slots_for(size_t n_backends)
{
        for (size_t i = 0; i < ARRAY_SIZE(maglev_primes); i++)
                if (maglev_primes[i] >= 100 * n_backends)
                        return maglev_primes[i];
        return MAGLEV_SLOTS_MAX;
}

struct maglev_row { /* one backend while filling */
        uint64_t id;
        uint64_t credit;
        uint32_t weight, next, skip;
        uint16_t index;
};

static int row_cmp(const void *a, const void *b)
{
        const struct maglev_row *x = a, *y = b;
        return x->id < y->id ? -1 : x->id > y->id;
}

/* The next free cell in the row's permutation of the slots. */
static uint32_t row_advance(struct maglev_row *r, const uint16_t *cells, uint32_t n_slots)
{
        while (cells[r->next] != CELL_EMPTY) {
                r->next += r->skip;
                if (r->next >= n_slots)
                        r->next -= n_slots;
        }
        return r->next;
}

/* Rounds: in each, every backend gains its weight in credit and takes one cell per max_weight of credit.  With equal
 * weights this is the paper's algorithm; the order of turns is the order of ids, so input order does not matter. */
static void maglev_fill(struct maglev *m, struct maglev_row *rows, size_t n, uint32_t max_weight)
{
        for (uint32_t filled = 0;;) {
                for (size_t i = 0; i < n; i++) {
                        rows[i].credit += rows[i].weight;
                        if (rows[i].credit < max_weight)
                                continue;
                        rows[i].credit -= max_weight;
                        m->cells[row_advance(&rows[i], m->cells, m->n_slots)] = rows[i].index;
                        if (++filled == m->n_slots)
                                return;
                }
        }
}

int maglev_new(const struct maglev_backend *be, size_t n, uint64_t seed, struct maglev **ret)
{
        if (n == 0)
                return -EINVAL;
        if (n > UINT16_MAX)
                return -E2BIG;
        uint32_t n_slots = maglev_slots_for(n), max_weight = 0;
        CLEANUP(freep) struct maglev_row *rows = calloc(n, sizeof *rows);
        CLEANUP(freep) struct maglev *m = malloc(sizeof *m + n_slots * sizeof m->cells[0]);
        if (!rows || !m)
                return -ENOMEM;
        struct siphash_key offset_key = { seed, 0x6f6666736574 }, skip_key = { seed, 0x736b6970 };
        for (size_t i = 0; i < n; i++) {
                BUG_ON(be[i].index == CELL_EMPTY || be[i].weight == 0);
                rows[i] = (struct maglev_row){
                        .id = be[i].id,
                        .weight = be[i].weight,
                        .index = be[i].index,
                        .next = (uint32_t)(siphash24(&offset_key, &be[i].id, sizeof be[i].id) % n_slots),
                        .skip = (uint32_t)(siphash24(&skip_key, &be[i].id, sizeof be[i].id) % (n_slots - 1)) + 1,
                };
                max_weight = MAX(max_weight, be[i].weight);
        }
        qsort(rows, n, sizeof *rows, row_cmp);
        for (size_t i = 1; i < n; i++)
                if (rows[i].id == rows[i - 1].id)
                        return -EINVAL;
        *m = (struct maglev){ .refs = 1, .n_slots = n_slots, .n_backends = (uint32_t)n };
        memset(m->cells, 0xff, n_slots * sizeof m->cells[0]);
        maglev_fill(m, rows, n, max_weight);
        *ret = TAKE_PTR(m);
        return 0;
}

struct maglev *maglev_get(struct maglev *m)
{
        if (m)
                m->refs++;
        return m;
}

void maglev_put(struct maglev *m)
{
        if (!m)
                return;
        BUG_ON(m->refs == 0);
        if (--m->refs == 0)
                free(m);
}

bool maglev_equal(const struct maglev *a, const struct maglev *b)
{
        if (!a || !b)
                return a == b;
        return a->n_slots == b->n_slots && memcmp(a->cells, b->cells, a->n_slots * sizeof a->cells[0]) == 0;
}
