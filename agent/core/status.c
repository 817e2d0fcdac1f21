/* agent/core/status.c - acks into conditions, with memory of transitions.  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/status.h"
#include "lib/core/map.h"

struct remembered { char *key; bool status, used; int64_t generation, since_s; };
struct status_memory { struct map by_key; };

struct status_memory *status_memory_new(void)
{
        struct status_memory *m = calloc(1, sizeof *m);
        if (m)
                map_init(&m->by_key);
        return m;
}

void status_memory_free(struct status_memory *m)
{
        if (!m)
                return;
        void *v;
        struct span k;
        for (size_t i = 0; map_next(&m->by_key, &i, &k, &v);) {
                free(((struct remembered *)v)->key);
                free(v);
        }
        map_fini(&m->by_key);
        free(m);
}

static struct remembered *memory_add(struct status_memory *m, const char *key)
{
        struct remembered *r = calloc(1, sizeof *r);
        if (r)
                r->key = strdup(key);
        if (r && r->key && map_put(&m->by_key, span_str(r->key), r) == 0)
                return r;
        if (r)
                free(r->key);
        free(r);
        return NULL;
}

int status_memory_put(struct status_memory *m, const char *key, bool status, int64_t generation, int64_t since_s)
{
        struct remembered *r = map_get(&m->by_key, span_str(key));
        if (!r)
                r = memory_add(m, key);
        if (!r)
                return -ENOMEM;
        r->status = status;
        r->generation = generation;
        r->since_s = since_s;
        return 0;
}

static int memory_sweep(struct status_memory *m, struct arena *a)
{
        struct remembered **dead = arena_calloc(a, m->by_key.n ? m->by_key.n : 1, sizeof *dead);
        size_t n = 0;
        void *v;
        struct span k;
        if (!dead)
                return -ENOMEM;
        for (size_t i = 0; map_next(&m->by_key, &i, &k, &v);) {
                struct remembered *r = v;
                if (!r->used)
                        dead[n++] = r;
                r->used = false;
        }
        for (size_t i = 0; i < n; i++) {
                (void)map_del(&m->by_key, span_str(dead[i]->key)); /* the value is dead[i] */
                free(dead[i]->key);
                free(dead[i]);
        }
        return 0;
}

const char *status_key(struct arena *a, enum object_kind k, const char *ns, const char *name, const char *part, const char *type)
{
        return arena_printf(a, "%s %s/%s%s%s %s", object_kind_str(k), ns, name, *part ? " " : "", part, type);
}

const char *status_parent_part(struct arena *a, const char *route_ns, const struct parent_ref *p)
{
        return arena_printf(a, "parent %s%s/%s %s %u", strcmp(p->kind, "Gateway") == 0 ? "" : "set ", *p->namespace ? p->namespace : route_ns, p->name,
                            *p->section_name ? p->section_name : "*", p->port);
}

/* One build: what the steps share.  failed = out of memory, checked once at the end. */
struct build {
        struct status_memory *m;
        struct status_set *s;
        const struct translation *t;
        const struct dp_ack *acks; size_t n_acks;
        uint64_t now_ms;
        int64_t now_s;
        bool failed;
};

static struct remembered *remembered(struct build *b, const struct report_id *id, const char *part, const char *type)
{
        const char *key = status_key(&b->s->arena, id->kind, id->namespace, id->name, part, type);
        struct remembered *r = key ? map_get(&b->m->by_key, span_str(key)) : NULL;
        b->failed |= !key;
        return r;
}

static void finish(struct build *b, const struct report_id *id, const char *part, struct final_condition *v, size_t *n,
                   struct condition c)
{
        struct remembered *r = remembered(b, id, part, c.type);
        if (!r) {
                const char *key = status_key(&b->s->arena, id->kind, id->namespace, id->name, part, c.type);
                r = key ? memory_add(b->m, key) : NULL;
                if (!r) {
                        b->failed = true;
                        return;
                }
                r->status = !c.status; /* new: its time is now */
        }
        if (r->status != c.status)
                r->since_s = b->now_s;
        r->status = c.status;
        r->generation = id->generation;
        r->used = true;
        v[(*n)++] = (struct final_condition){ c.type, c.status, c.reason, c.message, id->generation, r->since_s };
}

/* Does the section of this Gateway in manifest m come from the Gateway's present generation? */
static bool l7_carries(const struct build *b, const struct manifest *m, const struct gateway_report *g)
{
        char key[600];
        (void)snprintf(key, sizeof key, "gateway/%s/%s", g->id.namespace, g->id.name); /* names are limited to 253 each */
        const struct manifest_entry *have = manifest_find(m, key);
        const struct pool_output *pool = translation_pool(b->t, g->pool);
        const struct manifest_entry *want = pool ? manifest_find(pool->manifest, key) : NULL;
        if (!have || !want)
                return false;
        if (memcmp(have->sha.b, want->sha.b, sizeof have->sha.b) == 0)
                return true;
        if (!have->blob)
                return false;
        Model__Section *s = model__section__unpack(NULL, have->blob->n, have->blob->p); /* routes differ: look inside */
        bool ok = s && s->body_case == MODEL__SECTION__BODY_GATEWAY && s->gateway->source &&
                  s->gateway->source->generation == (uint64_t)g->id.generation;
        if (s)
                model__section__free_unpacked(s, NULL);
        return ok;
}

static bool l4_has(const Model__L4 *l4, const struct ipaddr *a, const struct listener_report *r, const char *pool)
{
        for (size_t i = 0; i < l4->n_listeners; i++) {
                const Model__L4Listener *l = l4->listeners[i];
                struct ipaddr vip;
                bool udp = l->protocol != MODEL__L4_PROTOCOL__L4_TCP, direct = l->target == MODEL__L4_LISTENER__TARGET__ENDPOINTS;
                if (l->port_lo != r->port || udp != r->udp || direct != r->direct ||
                    ipaddr_parse(span_str(l->vip), &vip) < 0 || !ipaddr_eq(&vip, a))
                        continue;
                if (direct)
                        return true;
                for (size_t k = 0; k < l4->n_distributions; k++)
                        if (strcmp(l4->distributions[k]->id, l->distribution) == 0)
                                for (size_t n = 0; n < l4->distributions[k]->n_legs; n++)
                                        if (strncmp(l4->distributions[k]->legs[n]->pool, "shards/", 7) == 0 &&
                                            strcmp(l4->distributions[k]->legs[n]->pool + 7, pool) == 0)
                                                return true;
        }
        return false;
}

static bool l4_carries(const struct build *b, const struct manifest *m, const struct gateway_report *g)
{
        const struct manifest_entry *have = manifest_find(m, "l4"), *want = manifest_find(b->t->l4, "l4");
        if (!have || !want)
                return false;
        if (memcmp(have->sha.b, want->sha.b, sizeof have->sha.b) == 0)
                return true;
        Model__Section *s = have->blob ? model__section__unpack(NULL, have->blob->n, have->blob->p) : NULL;
        bool ok = s && s->body_case == MODEL__SECTION__BODY_L4;
        for (size_t i = 0; ok && i < g->n_listeners; i++)
                for (size_t k = 0; ok && g->listeners[i].serves && k < g->n_addresses; k++)
                        ok = l4_has(s->l4, &g->addresses[k], &g->listeners[i], g->pool);
        if (s)
                model__section__free_unpacked(s, NULL);
        return ok;
}

static bool is_named(const struct report_id *id, const char *ns, const char *name)
{
        return strcmp(id->name, name) == 0 && strcmp(id->namespace, ns) == 0;
}

static bool set_is_of(const struct build *b, const struct listener_set_report *s, const struct gateway_report *g)
{
        return &b->t->gateways[s->gateway] == g;
}

/* To the Gateway, or to a ListenerSet of it. */
static bool route_attached(const struct build *b, const struct route_report *r, const struct gateway_report *g)
{
        for (size_t i = 0; i < r->n_parents; i++) {
                const struct parent_ref *p = &r->parents[i].parent;
                const char *ns = *p->namespace ? p->namespace : r->id.namespace;
                if (strcmp(p->kind, "Gateway") == 0 && is_named(&g->id, ns, p->name))
                        return true;
                for (size_t k = 0; k < b->t->n_sets; k++)
                        if (strcmp(p->kind, "ListenerSet") == 0 && is_named(&b->t->sets[k].id, ns, p->name) &&
                            set_is_of(b, &b->t->sets[k], g))
                                return true;
        }
        return false;
}

/* Is text "KIND NAMESPACE/NAME" this object? */
static bool is_object(const char *text, const struct report_id *id)
{
        const char *const parts[] = { object_kind_str(id->kind), " ", id->namespace, "/", id->name };
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                size_t n = strlen(parts[i]);
                if (strncmp(text, parts[i], n) != 0)
                        return false;
                text += n;
        }
        return *text == '\0';
}

/* Is a's refusal one of this Gateway, or of a route of its?  One that names nothing is everybody's. */
static bool refusal_concerns(const struct build *b, const struct dp_ack *a, const struct gateway_report *g)
{
        if (!a->refused_of || !*a->refused_of || is_object(a->refused_of, &g->id))
                return true;
        for (size_t i = 0; i < b->t->n_routes; i++)
                if (is_object(a->refused_of, &b->t->routes[i].id))
                        return route_attached(b, &b->t->routes[i], g);
        for (size_t i = 0; i < b->t->n_sets; i++)
                if (is_object(a->refused_of, &b->t->sets[i].id))
                        return set_is_of(b, &b->t->sets[i], g);
        return false;
}

struct tier { unsigned n, ok, waiting; };
struct verdict { bool acked; const char *reason, *text; };

static void tier_add(struct build *b, struct tier *t, const struct dp_ack *a, const struct gateway_report *g, bool carries,
                     const char **refused)
{
        t->n++;
        if (carries && a->connected) {
                t->ok++;
        } else if (a->connected) {
                t->waiting++;
                if (a->refused && !*refused && refusal_concerns(b, a, g))
                        *refused = a->refused;
        } else if (b->now_ms - a->gone_ms < STATUS_GONE_MS) {
                t->waiting++;
                uint64_t at = a->gone_ms + STATUS_GONE_MS;
                if (!b->s->recheck_ms || at < b->s->recheck_ms)
                        b->s->recheck_ms = at;
        }
}

static struct verdict gateway_acks(struct build *b, const struct gateway_report *g)
{
        struct tier l7 = { 0 }, l4 = { 0 };
        const char *refused = NULL;
        for (size_t i = 0; i < b->n_acks; i++) {
                const struct dp_ack *a = &b->acks[i];
                if (*a->pool == '\0')
                        tier_add(b, &l4, a, g, a->active && l4_carries(b, a->active, g), &refused);
                else if (strcmp(a->pool, g->pool) == 0)
                        tier_add(b, &l7, a, g, a->active && l7_carries(b, a->active, g), &refused);
        }
        struct verdict v = { .text = arena_printf(&b->s->arena, "%u/%u shards, %u/%u front ends", l7.ok, l7.n, l4.ok, l4.n) };
        v.acked = l7.ok > 0 && (l4.n == 0 || l4.ok > 0) && l7.waiting == 0 && l4.waiting == 0;
        v.reason = v.acked ? "Programmed" : refused ? "Invalid" : "Pending";
        if (!v.acked && refused)
                v.text = arena_printf(&b->s->arena, "%s", refused);
        if (!v.text) {
                b->failed = true;
                v.text = "";
        }
        return v;
}

/* Waiting for acks never takes back a True of the same generation; a refusal of it does. */
static void hold(struct build *b, const struct report_id *id, const char *part, struct condition *c)
{
        const struct remembered *r = remembered(b, id, part, "Programmed");
        if (!c->status && strcmp(c->reason, "Pending") == 0 && r && r->status && r->generation == id->generation) {
                c->status = true;
                c->reason = "Programmed";
        }
}

/* A ListenerSet is programmed as its best listener is. */
static void set_programmed(struct listener_set_status *s, const struct condition *of_listener)
{
        if (!s->programmed.type || of_listener->status)
                s->programmed = *of_listener;
}

static void set_build(struct build *b, struct listener_set_status *s)
{
        const struct listener_set_report *r = s->report;
        struct condition c = s->programmed;
        if (!r->accepted.status || !c.type)
                c = (struct condition){ "Programmed", false, r->accepted.reason, r->accepted.message };
        finish(b, &r->id, "", s->v, &s->n, r->accepted);
        finish(b, &r->id, "", s->v, &s->n, c);
}

static void gateway_build(struct build *b, const struct gateway_report *g, struct gateway_status *s)
{
        struct verdict v = gateway_acks(b, g);
        struct condition c = { "Programmed", v.acked, v.reason, v.text };
        s->report = g;
        for (size_t i = 0; i < g->n_conditions; i++)
                finish(b, &g->id, "", s->v, &s->n, g->conditions[i]);
        if (g->stop_reason)
                c = (struct condition){ "Programmed", false, g->stop_reason, g->stop };
        else if (!g->serves)
                c = (struct condition){ "Programmed", false, "Invalid", "No listener can be programmed" };
        else
                hold(b, &g->id, "", &c);
        finish(b, &g->id, "", s->v, &s->n, c);
        s->listeners = arena_calloc(&b->s->arena, g->n_listeners ? g->n_listeners : 1, sizeof *s->listeners);
        if (!s->listeners) {
                b->failed = true;
                return;
        }
        s->n_listeners = g->n_listeners;
        for (size_t i = 0; i < g->n_listeners; i++) {
                const struct listener_report *l = &g->listeners[i];
                struct listener_status *ls = &s->listeners[i];
                const char *part = arena_printf(&b->s->arena, "listener %s", l->name);
                const struct report_id *id = l->set ? &b->t->sets[l->set - 1].id : &g->id;
                if (!part) {
                        b->failed = true;
                        return;
                }
                ls->report = l;
                for (size_t k = 0; k < l->n_conditions; k++)
                        finish(b, id, part, ls->v, &ls->n, l->conditions[k]);
                struct condition lc = { "Programmed", v.acked, v.reason, v.acked ? "" : v.text };
                if (l->stop_reason)
                        lc = (struct condition){ "Programmed", false, l->stop_reason, l->stop };
                else if (!g->serves)
                        lc = (struct condition){ "Programmed", false, g->stop_reason ? g->stop_reason : "Invalid",
                                                 g->stop ? g->stop : "The Gateway cannot be programmed" };
                else
                        hold(b, id, part, &lc);
                finish(b, id, part, ls->v, &ls->n, lc);
                if (l->set)
                        set_programmed(&b->s->sets[l->set - 1], &lc);
        }
}

static void route_build(struct build *b, const struct route_report *r, struct route_status *s)
{
        s->report = r;
        s->parents = arena_calloc(&b->s->arena, r->n_parents ? r->n_parents : 1, sizeof *s->parents);
        if (!s->parents) {
                b->failed = true;
                return;
        }
        for (size_t i = 0; i < r->n_parents; i++) {
                struct parent_status *p = &s->parents[s->n_parents++];
                const char *part = status_parent_part(&b->s->arena, r->id.namespace, &r->parents[i].parent);
                p->report = &r->parents[i];
                for (size_t k = 0; part && k < r->parents[i].n_conditions; k++)
                        finish(b, &r->id, part, p->v, &p->n, r->parents[i].conditions[k]);
                b->failed |= !part;
        }
}

static void build_all(struct build *b)
{
        struct status_set *s = b->s;
        const struct translation *t = b->t;
        s->classes = arena_calloc(&s->arena, t->n_classes + 1, sizeof *s->classes);
        s->gateways = arena_calloc(&s->arena, t->n_gateways + 1, sizeof *s->gateways);
        s->routes = arena_calloc(&s->arena, t->n_routes + 1, sizeof *s->routes);
        s->policies = arena_calloc(&s->arena, t->n_policies + 1, sizeof *s->policies);
        s->sets = arena_calloc(&s->arena, t->n_sets + 1, sizeof *s->sets);
        if (!s->classes || !s->gateways || !s->routes || !s->policies || !s->sets) {
                b->failed = true;
                return;
        }
        for (size_t i = 0; i < t->n_sets; i++)
                s->sets[s->n_sets++].report = &t->sets[i];
        for (size_t i = 0; i < t->n_classes; i++) {
                struct class_status *c = &s->classes[s->n_classes++];
                c->report = &t->classes[i];
                for (size_t k = 0; k < t->classes[i].n_conditions; k++)
                        finish(b, &t->classes[i].id, "", c->v, &c->n, t->classes[i].conditions[k]);
        }
        for (size_t i = 0; i < t->n_gateways; i++)
                gateway_build(b, &t->gateways[i], &s->gateways[s->n_gateways++]);
        for (size_t i = 0; i < s->n_sets; i++)
                set_build(b, &s->sets[i]);
        for (size_t i = 0; i < t->n_routes; i++)
                route_build(b, &t->routes[i], &s->routes[s->n_routes++]);
        for (size_t i = 0; i < t->n_policies; i++)
                route_build(b, &t->policies[i], &s->policies[s->n_policies++]);
}

int status_build(struct status_memory *m, const struct translation *t, const struct dp_ack *acks, size_t n_acks,
                 uint64_t now_ms, int64_t now_s, struct status_set **ret)
{
        struct status_set *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        arena_init(&s->arena, 64 * 1024, SIZE_MAX); /* bounded by the translation it comes from */
        struct build b = { .m = m, .s = s, .t = t, .acks = acks, .n_acks = n_acks, .now_ms = now_ms, .now_s = now_s };
        build_all(&b);
        if (b.failed || memory_sweep(m, &s->arena) < 0) {
                status_free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

void status_free(struct status_set *s)
{
        if (!s)
                return;
        arena_fini(&s->arena);
        free(s);
}
