/* agent/core/translate.c - the pass itself: memory, order of the steps, sections.  Layer: agent/core, pure.
 * One thread.  All memory of a pass is one arena; running out of it unwinds to translate(), which answers -ENOMEM. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"
#include <stdarg.h>

#define TRANSLATION_MAX_BYTES ((size_t)2 * 1024 * 1024 * 1024) /* 100k routes take about 0.2 GiB: beyond it is a bug or an attack */

void tx_fail(struct tx *tx, int error)
{
        tx->failure = error;
        longjmp(tx->out, 1);
}

void *tx_alloc(struct tx *tx, size_t n, size_t size)
{
        void *p = arena_calloc(tx->a, n ? n : 1, size);
        if (!p)
                tx_fail(tx, err_set(tx->err, ENOMEM, "translate", "out of memory"));
        return p;
}

const char *tx_dup(struct tx *tx, const char *s)
{
        char *p = arena_strdup(tx->a, s);
        if (!p)
                tx_fail(tx, err_set(tx->err, ENOMEM, "translate", "out of memory"));
        return p;
}

const char *tx_printf(struct tx *tx, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        BUG_ON(n < 0);
        char *p = tx_alloc(tx, (size_t)n + 1, 1);
        va_start(ap, fmt);
        (void)vsnprintf(p, (size_t)n + 1, fmt, ap); /* length measured above */
        va_end(ap);
        return p;
}

void vec_add(struct tx *tx, struct vec *v, const void *p)
{
        if (v->n == v->cap) {
                size_t cap = v->cap ? v->cap * 2 : 8;
                void **nv = TX_ARRAY(tx, void *, cap);
                if (v->n)
                        memcpy(nv, v->v, v->n * sizeof *nv);
                v->v = nv;
                v->cap = cap;
        }
        v->v[v->n++] = (void *)(uintptr_t)p;
}

void map_set(struct tx *tx, struct map *m, const char *key, void *value)
{
        int r = map_put(m, span_str(key), value);
        if (r < 0)
                tx_fail(tx, err_set(tx->err, ENOMEM, "translate", "out of memory"));
}

void section_add(struct tx *tx, struct manifest *m, const char *key, const Model__Section *s, bool secret)
{
        size_t n = protobuf_c_message_get_packed_size(&s->base);
        if (n > SECTION_MAX_BYTES)
                tx_fail(tx, err_set(tx->err, E2BIG, key, "section of %zu bytes, limit %u", n, SECTION_MAX_BYTES));
        uint8_t *p = tx_alloc(tx, n, 1);
        size_t written = protobuf_c_message_pack(&s->base, p);
        BUG_ON(written != n);
        int r = manifest_add(m, key, SPAN(p, n), secret);
        if (secret)
                explicit_bzero(p, n); /* the arena is not wiped when it goes */
        if (r < 0)
                tx_fail(tx, err_set(tx->err, -r, key, "cannot add section"));
}

/* GatewayClass condition SupportedVersion: is the cluster's Gateway API the one our schema tables were written from? */
static void class_version(struct tx *tx, struct class_report *r)
{
        static const char known[] = "v1.6";
        const char *v = tx->conf->bundle_version;
        if (!v)
                return;
        bool ok = strncmp(v, known, sizeof known - 1) == 0 && (v[sizeof known - 1] == '.' || v[sizeof known - 1] == '\0');
        condition_set(r->conditions, &r->n_conditions, "SupportedVersion", ok, ok ? "SupportedVersion" : "UnsupportedVersion",
                      ok    ? "The Gateway API's CRDs are of a version this controller supports"
                      : *v  ? tx_printf(tx, "The Gateway API's CRDs are of %.64s, this controller supports %s: served as far as possible", v, known)
                            : "The version of the Gateway API's CRDs cannot be read: served as far as possible");
}

static void translate_classes(struct tx *tx)
{
        size_t n;
        const struct object *const *all = store_all(tx->s, OBJECT_GATEWAY_CLASS, &n);
        tx->t->classes = TX_ARRAY(tx, struct class_report, n);
        for (size_t i = 0; i < n; i++) {
                const struct gateway_class *gc = (const struct gateway_class *)all[i];
                if (strcmp(gc->controller_name, tx->conf->controller_name) != 0)
                        continue;
                struct class_report *r = &tx->t->classes[tx->t->n_classes++];
                r->id = report_id_of(tx, &gc->o);
                if (gc->has_parameters_ref)
                        condition_set(r->conditions, &r->n_conditions, "Accepted", false, "InvalidParameters",
                                      tx_printf(tx, "parametersRef of kind %s is not supported", gc->parameters_ref.kind));
                else
                        condition_set(r->conditions, &r->n_conditions, "Accepted", true, "Accepted",
                                      "Handled by this controller");
                class_version(tx, r);
        }
}

static const struct class_report *class_find(const struct tx *tx, const char *name)
{
        for (size_t i = 0; i < tx->t->n_classes; i++)
                if (strcmp(tx->t->classes[i].id.name, name) == 0)
                        return &tx->t->classes[i];
        return NULL;
}

/* Which pool serves a Gateway: named > selected by label > the first. */
static size_t gateway_pool(const struct tx *tx, const struct gateway *gw)
{
        char id[512];
        (void)snprintf(id, sizeof id, "%s/%s", gw->o.namespace, gw->o.name); /* names are limited to 253 each */
        for (size_t i = 0; i < tx->conf->n_pools; i++)
                for (size_t k = 0; k < tx->conf->pools[i].gateways.n; k++)
                        if (strcmp(tx->conf->pools[i].gateways.v[k], id) == 0)
                                return i;
        for (size_t i = 0; i < tx->conf->n_pools; i++) {
                const struct label_selector *sel = &tx->conf->pools[i].select;
                if ((sel->match_labels.n || sel->n_exprs) && labels_match(sel, gw->o.labels))
                        return i;
        }
        return 0;
}

/* Why this Gateway as a whole cannot be served; false = it can.  Listeners are judged apart. */
static bool gateway_refused(struct tx *tx, const struct gateway *gw, const struct class_report *cls,
                            const char **ret_reason, const char **ret_why)
{
        if (!cls->conditions[0].status) {
                *ret_reason = "Pending";
                *ret_why = tx_printf(tx, "GatewayClass %s is not accepted", gw->class_name);
                return true;
        }
        if (gw->has_parameters_ref) {
                *ret_reason = "InvalidParameters";
                *ret_why = tx_printf(tx, "infrastructure.parametersRef: kind %s is not supported", gw->parameters_ref.kind);
                return true;
        }
        for (size_t i = 0; i < gw->n_addresses; i++)
                if (strcmp(gw->addresses[i].type, "IPAddress") != 0) {
                        *ret_reason = "UnsupportedAddress";
                        *ret_why = tx_printf(tx, "spec.addresses[%zu]: type %s is not supported, only IPAddress", i,
                                             gw->addresses[i].type);
                        return true;
                }
        return false;
}

static void gateway_accept(struct tx *tx, struct tx_gateway *g, const struct class_report *cls)
{
        struct gateway_report *r = g->report;
        const char *reason, *why;
        size_t n_ok = 0, n = g->gw->n_listeners; /* those of ListenerSets stand behind, and are judged there */
        for (size_t i = 0; i < n; i++)
                n_ok += g->listeners[i].accepted;
        if (gateway_refused(tx, g->gw, cls, &reason, &why)) {
                condition_set(r->conditions, &r->n_conditions, "Accepted", false, reason, why);
        } else if (n_ok == 0) {
                condition_set(r->conditions, &r->n_conditions, "Accepted", false, "ListenersNotValid", "No listener is valid");
        } else {
                g->accepted = true;
                if (n_ok < n)
                        condition_set(r->conditions, &r->n_conditions, "Accepted", true, "ListenersNotValid",
                                      tx_printf(tx, "%zu of %zu listeners are not valid", n - n_ok, n));
                else
                        condition_set(r->conditions, &r->n_conditions, "Accepted", true, "Accepted", "All listeners are valid");
        }
        bool insecure = false;
        for (size_t i = 0; i < g->n_listeners; i++)
                insecure |= g->listeners[i].insecure;
        if (insecure)
                condition_set(r->conditions, &r->n_conditions, "InsecureFrontendValidationMode", true, "ConfigurationChanged",
                              "tls.frontend: a listener serves clients whose certificate is missing or not valid");
        if (g->gw->has_client_certificate) {
                g->client_cert = cert_ref(tx, &g->gw->o, &g->gw->client_certificate, &reason, &why);
                if (!g->client_cert && strcmp(reason, "InvalidCertificateRef") == 0)
                        reason = "InvalidClientCertificateRef";
                condition_set(r->conditions, &r->n_conditions, "ResolvedRefs", g->client_cert != NULL,
                              g->client_cert ? "ResolvedRefs" : reason,
                              g->client_cert ? "" : tx_printf(tx, "tls.backend.clientCertificateRef: %s", why));
        }
        if (!g->accepted) {
                r->stop_reason = "Invalid";
                r->stop = "The Gateway is not accepted";
        }
        const struct quarantine *q = quarantine_find(tx, &g->gw->o, "", 0);
        if (q && g->accepted) {
                g->quarantined = true; /* out of the model; the spec itself is fine, so Accepted stays */
                r->stop_reason = "Invalid";
                r->stop = tx_dup(tx, q->reason);
        }
}

static void translate_gateways(struct tx *tx)
{
        size_t n;
        const struct object *const *all = store_all(tx->s, OBJECT_GATEWAY, &n);
        tx->t->gateways = TX_ARRAY(tx, struct gateway_report, n);
        tx->gateways = TX_ARRAY(tx, struct tx_gateway, n);
        for (size_t i = 0; i < n; i++) {
                const struct gateway *gw = (const struct gateway *)all[i];
                const struct class_report *cls = class_find(tx, gw->class_name);
                if (!cls)
                        continue;
                struct tx_gateway *g = &tx->gateways[tx->n_gateways++];
                struct gateway_report *r = &tx->t->gateways[tx->t->n_gateways++];
                g->gw = gw;
                g->report = r;
                g->pool = gateway_pool(tx, gw);
                r->id = report_id_of(tx, &gw->o);
                r->pool = tx_dup(tx, tx->conf->pools[g->pool].name);
                r->class_name = tx_dup(tx, gw->class_name);
                r->allows_sets = gw->sets_from != FROM_NONE;
        }
        translate_sets(tx);
        for (size_t i = 0; i < tx->n_gateways; i++) {
                struct tx_gateway *g = &tx->gateways[i];
                translate_listeners(tx, g);
                gateway_accept(tx, g, class_find(tx, g->gw->class_name));
        }
        translate_sets_accept(tx);
}

static void translate_routes(struct tx *tx)
{
        const struct object *const *all[OBJECT_KIND_N] = { NULL };
        size_t n[OBJECT_KIND_N] = { 0 }, total = 0;
        for (int k = 0; k < OBJECT_KIND_N; k++)
                if (object_is_route((enum object_kind)k)) {
                        all[k] = store_all(tx->s, (enum object_kind)k, &n[k]);
                        total += n[k];
                }
        tx->t->routes = TX_ARRAY(tx, struct route_report, total);
        tx->routes = TX_ARRAY(tx, struct tx_route, total);
        for (size_t i = 0, k = 0, at = 0; i < total; i++, at++) {
                while (at == n[k]) {
                        at = 0;
                        k++;
                }
                const struct http_route *route = (const struct http_route *)all[k][at];
                size_t ours = 0;
                const struct tx_set *set;
                for (size_t p = 0; p < route->n_parents; p++)
                        ours += parent_gateway(tx, route, &route->parents[p], &set) != NULL;
                if (!ours)
                        continue;
                struct tx_route *r = &tx->routes[tx->n_routes++];
                r->route = route;
                r->report = &tx->t->routes[tx->t->n_routes++];
                r->report->id = report_id_of(tx, &route->o);
                r->report->parents = TX_ARRAY(tx, struct route_parent_report, ours);
                translate_route(tx, r);
        }
}

static uint64_t highest_set_version(const struct translation *t)
{
        uint64_t v = t->set_versions;
        for (size_t i = 0; i < t->n_pools; i++)
                for (size_t k = 0; k < t->pools[i].n_sets; k++)
                        v = MAX(v, t->pools[i].sets[k].version);
        for (size_t k = 0; k < t->l4_sets.n_sets; k++)
                v = MAX(v, t->l4_sets.sets[k].version);
        return v;
}

static struct manifest *manifest_begin(struct tx *tx)
{
        struct manifest *m = manifest_new(tx->generation);
        if (!m)
                tx_fail(tx, err_set(tx->err, ENOMEM, "translate", "out of memory"));
        return m;
}

static void manifest_end(struct tx *tx, struct manifest *m)
{
        int r = manifest_seal(m, tx->err);
        if (r < 0)
                tx_fail(tx, r);
}

static int translate_pass(struct tx *tx)
{
        if (setjmp(tx->out) != 0)
                return tx->failure;
        struct translation *t = tx->t;
        translate_classes(tx);
        translate_policies(tx);
        translate_backend_policies(tx);
        translate_gateways(tx);
        translate_routes(tx);
        translate_attach(tx);
        translate_client_policies(tx);
        report_policies(tx);
        translate_vips(tx);
        t->pools = TX_ARRAY(tx, struct pool_output, tx->conf->n_pools);
        for (size_t i = 0; i < tx->conf->n_pools; i++) {
                struct pool_output *out = &t->pools[t->n_pools++];
                out->pool = tx_dup(tx, tx->conf->pools[i].name);
                out->manifest = manifest_begin(tx);
                translate_l7(tx, out, i);
                manifest_end(tx, out->manifest);
        }
        t->l4 = manifest_begin(tx);
        translate_l4(tx);
        manifest_end(tx, t->l4);
        return 0;
}

int translate(const struct store *s, const struct translate_conf *conf, const struct vip_grant *held, size_t n_held,
              const struct quarantine *q, size_t n_q, uint64_t generation, const struct translation *prev,
              struct translation **ret, struct err *reterr)
{
        BUG_ON(conf->n_pools == 0);
        struct translation *t = calloc(1, sizeof *t);
        struct tx *tx = calloc(1, sizeof *tx);
        if (!t || !tx) {
                free(t);
                free(tx);
                return err_set(reterr, ENOMEM, "translate", "out of memory");
        }
        arena_init(&t->arena, 64 * 1024, TRANSLATION_MAX_BYTES);
        *tx = (struct tx){ .a = &t->arena, .t = t, .s = s, .conf = conf, .held = held, .n_held = n_held, .q = q, .n_q = n_q,
                           .generation = generation, .prev = prev, .err = reterr };
        t->set_versions = prev ? highest_set_version(prev) : 0;
        map_init(&tx->clusters);
        map_init(&tx->direct);
        map_init(&tx->certs);
        map_init(&tx->trusts);
        map_init(&tx->targets);
        map_init(&tx->traffic_targets);
        map_init(&tx->taken);
        map_init(&tx->held_by);
        int r = translate_pass(tx);
        map_fini(&tx->clusters);
        map_fini(&tx->direct);
        map_fini(&tx->certs);
        map_fini(&tx->trusts);
        map_fini(&tx->targets);
        map_fini(&tx->traffic_targets);
        map_fini(&tx->taken);
        map_fini(&tx->held_by);
        free(tx);
        if (r < 0) {
                translation_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

void translation_free(struct translation *t)
{
        if (!t)
                return;
        for (size_t i = 0; i < t->n_pools; i++)
                manifest_put(t->pools[i].manifest);
        manifest_put(t->l4);
        arena_fini(&t->arena);
        free(t);
}

const struct pool_output *translation_pool(const struct translation *t, const char *pool)
{
        for (size_t i = 0; i < t->n_pools; i++)
                if (strcmp(t->pools[i].pool, pool) == 0)
                        return &t->pools[i];
        return NULL;
}
