/* agent/core/decode.c - which kind a document is, its metadata, and the digest of the result. */
#include "lib/base.h"

#include "agent/core/decode.h"
#include "agent/core/schema.h"
#include "lib/core/hash.h"

#define OBJECT_CHUNK_BYTES 2048 /* most objects fit one chunk */
#define NAMESPACE_LABEL "kubernetes.io/metadata.name"

static const struct kind_schema *const kind_schemas[OBJECT_KIND_N] = {
        [OBJECT_GATEWAY_CLASS] = &kind_gateway_class, [OBJECT_GATEWAY] = &kind_gateway,
        [OBJECT_LISTENER_SET] = &kind_listener_set,
        [OBJECT_HTTP_ROUTE] = &kind_http_route,       [OBJECT_GRPC_ROUTE] = &kind_grpc_route,
        [OBJECT_TCP_ROUTE] = &kind_l4_route,          [OBJECT_UDP_ROUTE] = &kind_l4_route,
        [OBJECT_REFERENCE_GRANT] = &kind_reference_grant,
        [OBJECT_TLS_ROUTE] = &kind_tls_route,
        [OBJECT_BACKEND_TLS_POLICY] = &kind_backend_tls_policy,
        [OBJECT_BACKEND_POLICY] = &kind_backend_policy, [OBJECT_CLIENT_POLICY] = &kind_client_policy,
        [OBJECT_SERVICE] = &kind_service,             [OBJECT_ENDPOINT_SLICE] = &kind_endpoint_slice,
        [OBJECT_SECRET] = &kind_secret,               [OBJECT_CONFIG_MAP] = &kind_config_map,
        [OBJECT_NAMESPACE] = &kind_namespace,
};

/* metadata: unknown fields (ownerReferences, managedFields, finalizers, ...) pass */
struct meta {
        struct object o;
        const char *created;
};
static const struct field meta_fields[] = {
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct meta, o.name), .min = 1, .max = 253 },
        { "namespace", FIELD_STRING, 0, offsetof(struct meta, o.namespace), .format = FORMAT_ANY },
        { "uid", FIELD_STRING, 0, offsetof(struct meta, o.uid) },
        { "generation", FIELD_INT, 0, offsetof(struct meta, o.generation), .width = sizeof(int64_t), .min = 0,
          .max = INT64_MAX },
        { "creationTimestamp", FIELD_STRING, 0, offsetof(struct meta, created) },
        { "resourceVersion", FIELD_STRING, 0, offsetof(struct meta, o.resource_version) },
        { "labels", FIELD_LABELS, 0, offsetof(struct meta, o.labels), .format = FORMAT_LABEL_VALUE,
          .key_format = FORMAT_LABEL_KEY },
        { "annotations", FIELD_LABELS, 0, offsetof(struct meta, o.annotations), .key_format = FORMAT_LABEL_KEY },
};
static const struct schema meta_schema = { sizeof(struct meta), SCHEMA_FIELDS(meta_fields) };

static bool split_api_version(struct span v, struct span *ret_group, struct span *ret_version)
{
        const uint8_t *slash = v.n ? memchr(v.p, '/', v.n) : NULL;
        *ret_group = slash ? SPAN(v.p, (size_t)(slash - v.p)) : SPAN("", 0);
        *ret_version = slash ? SPAN(slash + 1, v.n - ret_group->n - 1) : v;
        return ret_version->n > 0 && ret_version->n < 64 && ret_group->n < 254;
}

/* -1: none of ours.  The group of ReferenceGrant and the like decides, not the version. */
static int find_kind(struct span group, struct span kind)
{
        char g[256], k[64];
        if (group.n >= sizeof g || kind.n >= sizeof k)
                return -1;
        snprintf(g, sizeof g, "%.*s", SPAN_FMT(group));
        snprintf(k, sizeof k, "%.*s", SPAN_FMT(kind));
        return object_kind_find(g, k);
}

static int check_version(struct decoder *d, const struct node *at, const struct kind_schema *ks, struct span version)
{
        char list[64] = "";
        for (size_t i = 0, n = 0; i < ARRAY_SIZE(ks->versions) && ks->versions[i]; i++) {
                if (span_eq_str(version, ks->versions[i]))
                        return 0;
                n += (size_t)MAX(snprintf(list + n, sizeof list - n, "%s%s", n ? " or " : "", ks->versions[i]), 0);
        }
        (void)decoder_enter(d, "apiVersion");
        return decoder_fail(d, at, "version \"%.*s\" is not served, use %s", SPAN_FMT(version), list);
}

static void name_decoder(struct decoder *d, const char *kind, const char *ns, const char *name)
{
        snprintf(d->object, sizeof d->object, "%s%s%s%s%s", kind, name[0] ? " " : "", ns, ns[0] && name[0] ? "/" : "",
                 name);
}

static int check_meta(struct decoder *d, const struct node *map, const struct kind_schema *ks, struct meta *m,
                      const char *default_namespace)
{
        bool namespaced = object_namespaced(m->o.kind);
        if (!namespaced)
                m->o.namespace = ""; /* kubectl ignores it too */
        else if (!m->o.namespace[0]) {
                m->o.namespace = arena_strdup(d->arena, default_namespace);
                if (!m->o.namespace)
                        return decoder_nomem(d);
        }
        name_decoder(d, object_kind_str(m->o.kind), m->o.namespace, m->o.name);
        if (!format_ok(ks->name_format, span_str(m->o.name)))
                return decoder_fail(d, node_get(map, "name"), "name %s", format_str(ks->name_format));
        if (namespaced && !format_ok(FORMAT_LABEL, span_str(m->o.namespace)))
                return decoder_fail(d, node_get(map, "namespace"), "namespace %s", format_str(FORMAT_LABEL));
        if (m->created[0] && !text_time(span_str(m->created), &m->o.created_s))
                return decoder_fail(d, node_get(map, "creationTimestamp"),
                                    "creationTimestamp must look like \"2026-01-31T10:00:00Z\" (RFC 3339)");
        return 0;
}

static int decode_meta(struct decoder *d, const struct node *doc, const struct kind_schema *ks, struct object *o,
                       const char *default_namespace)
{
        const struct node *map = node_get(doc, "metadata");
        struct meta m = { .o = { .kind = o->kind } };
        size_t mark = decoder_enter(d, "metadata");
        if (!map || map->type == NODE_NULL)
                return decoder_fail(d, doc, "is required");
        const struct node *name = node_get(map, "name");
        if (name && name->type == NODE_SCALAR) /* so that errors before the check can say which object it is */
                snprintf(d->object, sizeof d->object, "%s %.*s", object_kind_str(o->kind),
                         (int)MIN(name->text.n, (size_t)253), (const char *)name->text.p);
        int r = schema_decode(d, &meta_schema, map, &m);
        if (r == 0)
                r = check_meta(d, map, ks, &m, default_namespace);
        if (r < 0)
                return r;
        decoder_leave(d, mark);
        m.o.arena = o->arena; /* o keeps its own, and its origin */
        m.o.origin = o->origin;
        *o = m.o;
        return 0;
}

static int add_namespace_label(struct arena *a, struct object *o)
{
        struct label *v = arena_calloc(a, o->labels.n + 1, sizeof *v);
        size_t n = 0;
        bool placed = false;
        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < o->labels.n; i++) { /* sorted in, replacing what the document says */
                int c = strcmp(o->labels.v[i].key, NAMESPACE_LABEL);
                if (c >= 0 && !placed) {
                        v[n++] = (struct label){ NAMESPACE_LABEL, o->name };
                        placed = true;
                }
                if (c != 0)
                        v[n++] = o->labels.v[i];
        }
        if (!placed)
                v[n++] = (struct label){ NAMESPACE_LABEL, o->name };
        o->labels = (struct labels){ v, n };
        return 0;
}

static int digest(struct object *o)
{
        struct buf b;
        struct sha256 sha;
        buf_init(&b, 2 * (size_t)SOURCE_MAX_OBJECT_BYTES);
        schema_digest(kind_schemas[o->kind]->body, o, &b);
        sha256_of(buf_span(&b), &sha);
        memcpy(o->spec_digest.b, sha.b, sizeof o->spec_digest.b);
        bool failed = b.failed;
        if (b.n)
                explicit_bzero(b.p, b.n); /* a Secret's values were in it */
        buf_reset(&b);

        struct meta m = { .o = *o, .created = "" };
        m.o.resource_version = ""; /* says that something was written, not that it differs */
        buf_printf(&b, "%s\n", object_kind_str(o->kind));
        schema_digest(&meta_schema, &m, &b);
        buf_printf(&b, "%lld\n", (long long)o->created_s);
        buf_add(&b, o->spec_digest.b, sizeof o->spec_digest.b);
        sha256_of(buf_span(&b), &sha);
        memcpy(o->digest.b, sha.b, sizeof o->digest.b);
        failed |= b.failed;
        buf_fini(&b);
        return failed ? -ENOMEM : 0;
}

/* The object lives in the arena it owns. */
static struct object *object_new(enum object_kind kind, const char *file, uint32_t line)
{
        struct arena a;
        arena_init(&a, OBJECT_CHUNK_BYTES, SOURCE_MAX_OBJECT_BYTES);
        struct object *o = arena_alloc(&a, kind_schemas[kind]->size);
        char *origin = o ? line ? arena_printf(&a, "%s:%u", file, line) : arena_strdup(&a, file) : NULL;
        if (!origin) {
                arena_fini(&a);
                return NULL;
        }
        *o = (struct object){ .arena = a, .kind = kind, .namespace = "", .name = "", .uid = "", .resource_version = "",
                              .origin = origin };
        return o;
}

static int decode_into(struct decoder *d, const struct node *doc, struct object *o, const char *default_namespace)
{
        const struct kind_schema *ks = kind_schemas[o->kind];
        int r = decode_meta(d, doc, ks, o, default_namespace);
        if (r == 0)
                r = schema_decode(d, ks->body, doc, o);
        if (r < 0)
                return r;
        if ((o->kind == OBJECT_NAMESPACE && add_namespace_label(&o->arena, o) < 0) || digest(o) < 0)
                return decoder_nomem(d);
        if (o->kind == OBJECT_ENDPOINT_SLICE) {
                const char *service = labels_get(&o->labels, "kubernetes.io/service-name");
                ((struct endpoint_slice *)o)->service = service ? service : "";
        }
        return 0;
}

int object_decode(const struct node *doc, const char *file, const char *default_namespace, struct object **ret,
                  struct err *reterr)
{
        struct decoder d = { .file = file, .object = "document", .err = reterr };
        struct span group, version;
        const struct node *api = node_get(doc, "apiVersion"), *kind = node_get(doc, "kind");
        if (doc->type != NODE_MAP)
                return decoder_fail(&d, doc, "must be a map with apiVersion and kind");
        if (!api || api->type != NODE_SCALAR || !split_api_version(api->text, &group, &version))
                return decoder_fail(&d, api ? api : doc, "apiVersion must be given, such as \"v1\"");
        if (!kind || kind->type != NODE_SCALAR || !kind->text.n)
                return decoder_fail(&d, kind ? kind : doc, "kind must be given, such as \"Service\"");
        int k = find_kind(group, kind->text);
        if (k < 0) {
                *ret = NULL;
                return 0;
        }
        name_decoder(&d, object_kind_str((enum object_kind)k), "", "");
        int r = check_version(&d, api, kind_schemas[k], version);
        if (r < 0)
                return r;
        struct object *o = object_new((enum object_kind)k, file, doc->line);
        if (!o)
                return decoder_nomem(&d);
        d.arena = &o->arena;
        r = decode_into(&d, doc, o, default_namespace);
        if (r < 0) {
                object_free(o);
                return r;
        }
        *ret = o;
        return 0;
}

int object_decode_served(enum object_kind kind, const struct node *doc, const char *origin, struct object **ret,
                         struct err *reterr)
{
        struct decoder d = { .file = origin, .lenient = true, .err = reterr };
        name_decoder(&d, object_kind_str(kind), "", "");
        if (doc->type != NODE_MAP)
                return decoder_fail(&d, doc, "must be a map");
        struct object *o = object_new(kind, origin, 0);
        if (!o)
                return decoder_nomem(&d);
        d.arena = &o->arena;
        int r = decode_into(&d, doc, o, "");
        if (r < 0) {
                object_free(o);
                return r;
        }
        *ret = o;
        return 0;
}

struct object *namespace_new(const char *name)
{
        struct object *o = object_new(OBJECT_NAMESPACE, "implied", 0);
        if (!o)
                return NULL;
        o->name = arena_strdup(&o->arena, name);
        if (!o->name || add_namespace_label(&o->arena, o) < 0 || digest(o) < 0) {
                object_free(o);
                return NULL;
        }
        return o;
}
