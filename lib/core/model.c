/* lib/core/model.c - see model.h: decode every section, index ids, then check (model_check.h lists the parts). */
#include "lib/core/model.h"

#include "lib/core/model_check.h"

#include <stdarg.h>

/* Decoded messages are bigger than their bytes; a hostile section may aim at the ratio (an empty repeated message is
 * two bytes on the wire and about 150 in memory).  Honest sections stay under 15 bytes per byte. */
#define ARENA_PER_BYTE 48u
#define ARENA_FLOOR (1u << 20)
#define ARENA_CHUNK (64u * 1024)

struct loaded {
        const char *key;
        bool secret;
        Model__Section *s;
};

/* First word of a section key -> what its section must hold. */
static const struct {
        const char *kind;
        Model__Section__BodyCase body;
        bool secret;
} section_kinds[] = {
        {"gateway", MODEL__SECTION__BODY_GATEWAY, false},
        {"clusters", MODEL__SECTION__BODY_CLUSTERS, false},
        {"endpoints", MODEL__SECTION__BODY_ENDPOINT_SETS, false},
        {"certs", MODEL__SECTION__BODY_CERTIFICATES, false},
        {"keys", MODEL__SECTION__BODY_KEYS, true},
        {"trust", MODEL__SECTION__BODY_TRUSTS, false},
        {"policies", MODEL__SECTION__BODY_POLICIES, false},
        {"l4", MODEL__SECTION__BODY_L4, false},
};

void model_error_set(struct model_error *e, unsigned stage, const char *section, const Model__Source *src,
                     const char *fmt, ...)
{
        char msg[sizeof e->err.msg];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(msg, sizeof msg, fmt, ap);
        va_end(ap);
        struct model_error out = {.stage = stage, .has_source = src != NULL};
        snprintf(out.err.place, sizeof out.err.place, "%s", section ? section : "");
        snprintf(out.err.msg, sizeof out.err.msg, "%s", msg);
        snprintf(out.section, sizeof out.section, "%s", section ? section : "");
        if (src) {
                snprintf(out.kind, sizeof out.kind, "%s", src->kind);
                snprintf(out.ns, sizeof out.ns, "%s", src->namespace_);
                snprintf(out.name, sizeof out.name, "%s", src->name);
                snprintf(out.src_section, sizeof out.src_section, "%s", src->section);
                out.generation = src->generation;
                out.rule = src->rule;
                out.match = src->match;
        }
        *e = out;
}

static int index_put(struct model_check *c, struct map *by_id, const char *what, const char *id,
                     const Model__Source *src, void *obj)
{
        int r = check_id(c, src, what, id);
        if (r < 0)
                return r;
        if (map_get(by_id, span_str(id)))
                return check_fail(c, CHECK, src, "two objects share the %s id %s", what, id);
        return map_put(by_id, span_str(id), obj) < 0 ? check_oom(c) : 0;
}

#define INDEX_LIST(c, list, n, by_id, what, src)                                                                       \
        for (size_t i_ = 0; i_ < (n); i_++) {                                                                          \
                __typeof__((list)[0]) o = (list)[i_];                                                                  \
                int r_ = index_put((c), (by_id), (what), o->id, (src), o);                                             \
                if (r_ < 0)                                                                                            \
                        return r_;                                                                                     \
        }

static int index_l4(struct model_check *c, struct model *m, Model__L4 *l4)
{
        INDEX_LIST(c, l4->vips, l4->n_vips, &m->vip_by_id, "VIP", o->source);
        INDEX_LIST(c, l4->pools, l4->n_pools, &m->pool_by_id, "pool", o->source);
        INDEX_LIST(c, l4->distributions, l4->n_distributions, &m->distribution_by_id, "distribution", o->source);
        INDEX_LIST(c, l4->acls, l4->n_acls, &m->acl_by_id, "ACL", o->source);
        m->l4 = l4;
        return 0;
}

static int index_endpoint_sets(struct model_check *c, struct model *m, Model__EndpointSetList *l)
{
        char *key = arena_strdup(&m->arena, c->section);
        if (!key)
                return check_oom(c);
        for (size_t i = 0; i < l->n_sets; i++) {
                m->endpoint_sets[m->n_endpoint_sets++] = l->sets[i];
                if (map_put(&m->endpoint_set_section, span_str(l->sets[i]->id), key) < 0)
                        return check_oom(c);
        }
        return 0;
}

/* Appends the section's objects to the model's lists (which have room for all) and to the id maps. */
static int index_section(struct model_check *c, struct model *m, Model__Section *s)
{
        switch (s->body_case) {
        case MODEL__SECTION__BODY_GATEWAY:
                INDEX_LIST(c, &s->gateway, 1, &m->gateway_by_id, "Gateway", o->source);
                m->gateways[m->n_gateways++] = s->gateway;
                break;
        case MODEL__SECTION__BODY_CLUSTERS:
                INDEX_LIST(c, s->clusters->clusters, s->clusters->n_clusters, &m->cluster_by_id, "cluster", o->source);
                for (size_t i = 0; i < s->clusters->n_clusters; i++)
                        m->clusters[m->n_clusters++] = s->clusters->clusters[i];
                break;
        case MODEL__SECTION__BODY_ENDPOINT_SETS:
                INDEX_LIST(c, s->endpoint_sets->sets, s->endpoint_sets->n_sets, &m->endpoint_set_by_id, "endpoint set",
                           o->source);
                return index_endpoint_sets(c, m, s->endpoint_sets);
        case MODEL__SECTION__BODY_CERTIFICATES:
                INDEX_LIST(c, s->certificates->certificates, s->certificates->n_certificates, &m->certificate_by_id,
                           "certificate", o->source);
                for (size_t i = 0; i < s->certificates->n_certificates; i++)
                        m->certificates[m->n_certificates++] = s->certificates->certificates[i];
                break;
        case MODEL__SECTION__BODY_KEYS:
                INDEX_LIST(c, s->keys->keys, s->keys->n_keys, &m->key_by_id, "key", NULL);
                break;
        case MODEL__SECTION__BODY_TRUSTS:
                INDEX_LIST(c, s->trusts->trusts, s->trusts->n_trusts, &m->trust_by_id, "trust", o->source);
                break;
        case MODEL__SECTION__BODY_POLICIES:
                INDEX_LIST(c, s->policies->policies, s->policies->n_policies, &m->policy_by_id, "policy", o->source);
                break;
        case MODEL__SECTION__BODY_L4:
                return index_l4(c, m, s->l4);
        case MODEL__SECTION__BODY__NOT_SET:
        case _MODEL__SECTION__BODY__CASE_IS_INT_SIZE:
                return check_fail(c, CONTROL__NACK_STAGE__NACK_DECODE, NULL, "the section is empty");
        }
        return 0;
}

static int section_kind_check(struct model_check *c, const struct loaded *l)
{
        size_t n = strcspn(l->key, "/");
        for (size_t i = 0; i < ARRAY_SIZE(section_kinds); i++) {
                if (!span_eq_str(SPAN(l->key, n), section_kinds[i].kind))
                        continue;
                if (l->s->body_case != section_kinds[i].body)
                        return check_fail(c, CHECK, NULL, "the section does not hold what its key says");
                if (l->secret != section_kinds[i].secret)
                        return check_fail(c, CHECK, NULL, "the section must%s be secret",
                                          section_kinds[i].secret ? "" : " not");
                return 0;
        }
        return check_fail(c, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, NULL, "unknown kind of section");
}

static int section_decode(struct model_check *c, struct model *m, const struct manifest_entry *e, struct loaded *ret)
{
        ProtobufCAllocator alloc;
        arena_protobuf_allocator(&m->arena, &alloc);
        c->section = e->key;
        BUG_ON(!e->blob);
        *ret = (struct loaded){.key = e->key, .secret = e->secret};
        m->has_secrets |= e->secret;
        ret->s = model__section__unpack(&alloc, e->blob->n, e->blob->p);
        if (!ret->s && m->arena.failed)
                return check_oom(c);
        if (!ret->s)
                return check_fail(c, CONTROL__NACK_STAGE__NACK_DECODE, NULL, "malformed section");
        int r = check_message(c, &ret->s->base);
        if (r < 0)
                return r;
        /* One content, one encoding.  This also catches a NUL inside a string, which protobuf-c would cut off silently.
         */
        if (model__section__get_packed_size(ret->s) != e->blob->n)
                return check_fail(c, CONTROL__NACK_STAGE__NACK_DECODE, NULL, "the section is not in canonical form");
        return section_kind_check(c, ret);
}

static int model_lists_alloc(struct model_check *c, struct model *m, const struct loaded *l, size_t n)
{
        size_t gateways = 0, clusters = 0, sets = 0, certificates = 0;
        for (size_t i = 0; i < n; i++) {
                gateways += l[i].s->body_case == MODEL__SECTION__BODY_GATEWAY;
                if (l[i].s->body_case == MODEL__SECTION__BODY_CLUSTERS)
                        clusters += l[i].s->clusters->n_clusters;
                if (l[i].s->body_case == MODEL__SECTION__BODY_ENDPOINT_SETS)
                        sets += l[i].s->endpoint_sets->n_sets;
                if (l[i].s->body_case == MODEL__SECTION__BODY_CERTIFICATES)
                        certificates += l[i].s->certificates->n_certificates;
        }
        c->section = "manifest";
        int r = check_limit(c, NULL, "Gateways", gateways, MODEL_MAX_GATEWAYS);
        if (r == 0)
                r = check_limit(c, NULL, "clusters", clusters, MODEL_MAX_CLUSTERS);
        if (r == 0)
                r = check_limit(c, NULL, "certificates", certificates, MODEL_MAX_CERTIFICATES);
        if (r < 0)
                return r;
        m->gateways = arena_calloc(&m->arena, gateways, sizeof *m->gateways);
        m->clusters = arena_calloc(&m->arena, clusters, sizeof *m->clusters);
        m->endpoint_sets = arena_calloc(&m->arena, sets, sizeof *m->endpoint_sets);
        m->certificates = arena_calloc(&m->arena, certificates, sizeof *m->certificates);
        return m->gateways && m->clusters && m->endpoint_sets && m->certificates ? 0 : check_oom(c);
}

static int rules_limit(struct model_check *c, const struct model *m)
{
        size_t rules = 0;
        for (size_t i = 0; i < m->n_gateways; i++)
                rules += m->gateways[i]->n_rules;
        c->section = "manifest";
        return check_limit(c, NULL, "rules", rules, MODEL_MAX_RULES);
}

static int model_build(struct model_check *c, struct model *m, const struct manifest *from)
{
        struct loaded *l = arena_calloc(&m->arena, from->n, sizeof *l);
        c->section = "manifest";
        if (!l)
                return check_oom(c);
        int r = 0;
        for (size_t i = 0; r == 0 && i < from->n; i++)
                r = section_decode(c, m, &from->entries[i], &l[i]);
        if (r == 0)
                r = model_lists_alloc(c, m, l, from->n);
        for (size_t i = 0; r == 0 && i < from->n; i++) {
                c->section = l[i].key;
                r = index_section(c, m, l[i].s);
        }
        if (r == 0)
                r = rules_limit(c, m);
        for (size_t i = 0; r == 0 && i < from->n; i++) {
                c->section = l[i].key;
                r = check_section(c, l[i].s);
        }
        return r;
}

static struct map *model_maps(struct model *m, size_t i)
{
        struct map *const all[] = {&m->gateway_by_id,      &m->cluster_by_id, &m->endpoint_set_by_id,
                                   &m->certificate_by_id,  &m->key_by_id,     &m->trust_by_id,
                                   &m->policy_by_id,       &m->vip_by_id,     &m->pool_by_id,
                                   &m->distribution_by_id, &m->acl_by_id,     &m->endpoint_set_section};
        return i < ARRAY_SIZE(all) ? all[i] : NULL;
}

void model_free(struct model *m)
{
        if (!m)
                return;
        for (size_t i = 0; model_maps(m, i); i++)
                map_fini(model_maps(m, i));
        if (m->has_secrets)
                arena_wipe(&m->arena);
        arena_fini(&m->arena);
        free(m);
}

int model_load(const struct manifest *from, struct model **ret, struct model_error *reterr)
{
        struct model *m = calloc(1, sizeof *m);
        if (!m) {
                model_error_set(reterr, CONTROL__NACK_STAGE__NACK_INTERNAL, "manifest", NULL, "out of memory");
                return -ENOMEM;
        }
        arena_init(&m->arena, ARENA_CHUNK,
                   ARENA_FLOOR + from->total_bytes * ARENA_PER_BYTE + from->n * sizeof(struct loaded));
        for (size_t i = 0; model_maps(m, i); i++)
                map_init(model_maps(m, i));
        m->generation = from->generation;
        m->hash = from->hash;
        m->locked = from->locked;
        struct model_check c = {.m = m, .e = reterr, .scratch = &m->arena};
        map_init(&c.binds);
        map_init(&c.hosts);
        map_init(&c.listener_ids);
        int r = model_build(&c, m, from);
        map_fini(&c.binds);
        map_fini(&c.hosts);
        map_fini(&c.listener_ids);
        if (r < 0) {
                model_free(m);
                return r;
        }
        *ret = m;
        return 0;
}

const Model__Cluster *model_cluster(const struct model *m, const char *id)
{
        return map_get(&m->cluster_by_id, span_str(id));
}
const Model__EndpointSet *model_endpoint_set(const struct model *m, const char *id)
{
        return map_get(&m->endpoint_set_by_id, span_str(id));
}
const Model__Certificate *model_certificate(const struct model *m, const char *id)
{
        return map_get(&m->certificate_by_id, span_str(id));
}
const Model__Key *model_key(const struct model *m, const char *id)
{
        return map_get(&m->key_by_id, span_str(id));
}
const Model__Trust *model_trust(const struct model *m, const char *id)
{
        return map_get(&m->trust_by_id, span_str(id));
}
const Model__Pool *model_pool(const struct model *m, const char *id)
{
        return map_get(&m->pool_by_id, span_str(id));
}
const Model__Vip *model_vip(const struct model *m, const char *id)
{
        return map_get(&m->vip_by_id, span_str(id));
}
const Model__L4Distribution *model_distribution(const struct model *m, const char *id)
{
        return map_get(&m->distribution_by_id, span_str(id));
}

const char *source_str(const Model__Source *s, char *buf, size_t n)
{
        if (!s) {
                snprintf(buf, n, "-");
                return buf;
        }
        char rule[32] = "", match[32] = "";
        if (s->rule)
                snprintf(rule, sizeof rule, " rule %u", s->rule);
        if (s->match)
                snprintf(match, sizeof match, " match %u", s->match);
        snprintf(buf, n, "%s %s/%s%s%s%s%s", s->kind, s->namespace_, s->name, s->section[0] ? " section " : "",
                 s->section, rule, match);
        return buf;
}
