/* l4lb/core/tables_guard.c - see tables_guard.h. */
#include "lib/base.h"
#include "lib/control.pb-c.h"
#include "l4lb/core/tables_check.h"
#include "l4lb/core/tables_guard.h"

static const struct siphash_key identity = { 0x67756172, 0x64 }; /* not a defence */

static int entries_add(struct prefixmap_entry *e, size_t *n, Model__Prefix *const *p, size_t n_p, uint16_t value)
{
        for (size_t i = 0; i < n_p; i++, (*n)++) {
                e[*n].prefix.len = (uint8_t)p[i]->len;
                e[*n].value = value;
                if (ipaddr_from_bytes(p[i]->addr.data, p[i]->addr.len, &e[*n].prefix.addr) < 0)
                        return -EINVAL;
        }
        return 0;
}

static uint64_t content_hash(const struct acl *a)
{
        const struct prefixmap *m = &a->map;
        const uint64_t sums[] = { a->open, siphash13(&identity, m->start4, m->n4 * sizeof *m->start4), siphash13(&identity, m->value4, m->n4 * sizeof *m->value4),
                                  siphash13(&identity, m->start6, m->n6 * sizeof *m->start6), siphash13(&identity, m->value6, m->n6 * sizeof *m->value6) };
        return siphash13(&identity, sums, sizeof sums) | 1; /* 0 = no access list */
}

static int acl_build(struct tables *t, const Model__Acl *m, struct model_error *e)
{
        struct acl *a = &t->acls[t->n_acls];
        size_t n = 0, cap = m->n_allow + m->n_deny;
        CLEANUP(freep) struct prefixmap_entry *entries = calloc(MAX(cap, (size_t)1), sizeof *entries);
        a->id = arena_strdup(&t->arena, m->id);
        if (!entries || !a->id)
                return L4_FAIL(e, m->source, ENOMEM, "out of memory");
        if (entries_add(entries, &n, m->deny, m->n_deny, ACL_DENY) < 0 || entries_add(entries, &n, m->allow, m->n_allow, ACL_ALLOW) < 0)
                return L4_FAIL(e, m->source, EINVAL, "access list %s: prefix %zu has an address of another size", m->id, n + 1);
        a->open = m->n_allow == 0;
        if (prefixmap_build(&a->map, &t->arena, entries, n) < 0)
                return L4_FAIL(e, m->source, ENOMEM, "access list %s: no memory for %zu prefixes", m->id, n);
        a->hash = content_hash(a);
        t->n_acls++;
        return 0;
}

int acls_build(struct tables *t, const Model__L4 *l4, struct model_error *reterr)
{
        int r = 0;
        t->acls = arena_calloc(&t->arena, MAX(l4->n_acls, (size_t)1), sizeof *t->acls);
        t->guards = arena_calloc(&t->arena, MAX(l4->n_listeners, (size_t)1), sizeof *t->guards);
        if (!t->acls || !t->guards)
                return L4_FAIL(reterr, NULL, ENOMEM, "out of memory");
        for (size_t i = 0; r == 0 && i < l4->n_acls; i++)
                r = acl_build(t, l4->acls[i], reterr);
        return r;
}

static const struct acl *acl_named(const struct tables *t, const char *id)
{
        for (uint32_t i = 0; i < t->n_acls; i++)
                if (strcmp(t->acls[i].id, id) == 0)
                        return &t->acls[i];
        return NULL;
}

/* A service's rate is shared by the workers, since each sees its part of the flows. */
static uint32_t share(const struct tables *t, uint32_t per_s)
{
        uint32_t n = t->conf.n_workers ? t->conf.n_workers : 1;
        return (per_s + n - 1) / n;
}

void guard_build(struct tables *t, struct service *s, const Model__L4Listener *l)
{
        struct guard *g = &t->guards[s - t->services];
        g->id = siphash13(&identity, l->id, strlen(l->id)) >> 8; /* rates put their kind above it */
        g->acl = l->acl[0] ? acl_named(t, l->acl) : NULL;
        BUG_ON(l->acl[0] && !g->acl); /* model_load has resolved every reference */
        g->connections = share(t, l->max_connections_per_s);
        g->packets = share(t, l->packets_per_s);
        g->source_connections = l->source_connections_per_s;
        g->source_packets = l->source_packets_per_s;
        s->guarded = g->acl || g->connections || g->packets || g->source_connections || g->source_packets;
}

static uint64_t acl_hash(const struct guard *g) { return g->acl ? g->acl->hash : 0; }

static bool acls_equal(const struct tables *t, const struct tables *old)
{
        CLEANUP(map_fini) struct map before;
        bool equal = true;
        map_init(&before);
        for (uint32_t i = 0; equal && i < old->n_services; i++)
                equal = map_put(&before, span_str(old->service_ids[i]), &old->guards[i]) == 0; /* no memory: ask every packet */
        for (uint32_t i = 0; equal && i < t->n_services; i++) {
                const struct guard *g = map_get(&before, span_str(t->service_ids[i]));
                equal = !g || acl_hash(g) == acl_hash(&t->guards[i]);
        }
        return equal;
}

void guards_compare(struct tables *t, const struct tables *old)
{
        bool any = false;
        for (uint32_t i = 0; i < t->n_services; i++) {
                any |= t->guards[i].acl != NULL;
                t->per_packet |= t->guards[i].packets || t->guards[i].source_packets;
        }
        t->acl_changed = any && old && (old->acl_changed || !acls_equal(t, old));
        t->per_packet |= t->acl_changed;
}
