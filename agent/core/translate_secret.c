/* agent/core/translate_secret.c - certificates with their keys (Secrets) and CA bundles (ConfigMaps): read once per pass,
 * whoever refers to them, and what is wrong with a reference.  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

static struct span data_get(const struct data_item *v, size_t n, const char *key)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(v[i].key, key) == 0)
                        return v[i].value;
        return SPAN_NULL;
}

static struct tx_cert *cert_load(struct tx *tx, const struct secret *s)
{
        const char *id = tx_printf(tx, "%s/%s", s->o.namespace, s->o.name);
        struct tx_cert *c = map_get(&tx->certs, span_str(id));
        if (c)
                return c;
        c = TX_NEW(tx, struct tx_cert);
        c->id = id;
        c->secret = s;
        c->chain = data_get(s->data, s->n_data, "tls.crt");
        c->key = data_get(s->data, s->n_data, "tls.key");
        c->ocsp = data_get(s->data, s->n_data, "tls.ocsp-staple");
        struct err e = { 0 };
        const struct quarantine *q = quarantine_find(tx, &s->o, "", 0);
        if (q) {
                c->error = -EINVAL;
                c->why = tx_printf(tx, "Secret %s: %s", id, q->reason);
        } else if (strcmp(s->type, "kubernetes.io/tls") != 0) {
                c->error = -EINVAL;
                c->why = tx_printf(tx, "Secret %s: type %s, expected kubernetes.io/tls", id, *s->type ? s->type : "Opaque");
        } else if (c->chain.n == 0 || c->key.n == 0) {
                c->error = -EINVAL;
                c->why = tx_printf(tx, "Secret %s: %s is missing", id, c->chain.n ? "tls.key" : "tls.crt");
        } else {
                c->error = tx->conf->cert_read(c->chain, c->key, c->ocsp, tx->a, &c->facts, &e);
                if (c->error == -ENOMEM)
                        tx_fail(tx, err_set(tx->err, ENOMEM, "translate", "out of memory"));
                if (c->error < 0)
                        c->why = tx_printf(tx, "Secret %s: %s", id, e.msg);
        }
        map_set(tx, &tx->certs, id, c);
        return c;
}

struct tx_cert *cert_ref(struct tx *tx, const struct object *from, const struct object_ref *ref, const char **ret_reason, const char **ret_why)
{
        const char *ns = *ref->namespace ? ref->namespace : from->namespace;
        *ret_reason = "InvalidCertificateRef";
        if (*ref->group != '\0' || strcmp(ref->kind, "Secret") != 0) {
                *ret_why = tx_printf(tx, "certificateRef %s: kind %s%s%s is not supported", ref->name, ref->group,
                                     *ref->group ? "/" : "", ref->kind);
                return NULL;
        }
        if (!store_granted(tx->s, GATEWAY_API_GROUP, object_kind_str(from->kind), from->namespace, "", "Secret", ns, ref->name)) {
                *ret_reason = "RefNotPermitted";
                *ret_why = tx_printf(tx, "Secret %s/%s: no ReferenceGrant allows it", ns, ref->name);
                return NULL;
        }
        const struct secret *s = (const struct secret *)store_get(tx->s, OBJECT_SECRET, ns, ref->name);
        if (!s) {
                *ret_why = tx_printf(tx, "Secret %s/%s does not exist", ns, ref->name);
                return NULL;
        }
        struct tx_cert *c = cert_load(tx, s);
        *ret_why = c->why;
        return c->error < 0 ? NULL : c;
}

/* ---- CA bundles */

/* "ca.crt" of a ConfigMap, and its revocation lists in "ca.crl" if there are any.  false: *ret_why says what is wrong. */
static bool bundle_read(struct tx *tx, const struct config_map *m, struct span *ret_ca, struct span *ret_crl, const char **ret_why)
{
        struct err e = { 0 };
        *ret_ca = data_get(m->data, m->n_data, "ca.crt");
        *ret_crl = data_get(m->data, m->n_data, "ca.crl");
        const struct quarantine *q = quarantine_find(tx, &m->o, "", 0);
        const char *what = "ca.crt";
        int r = ret_ca->n ? tx->conf->bundle_check(*ret_ca, false, &e) : err_set(&e, EINVAL, "bundle", "is missing or empty");
        if (r == 0 && ret_crl->n) {
                what = "ca.crl";
                r = tx->conf->bundle_check(*ret_crl, true, &e);
        }
        if (r == -ENOMEM)
                tx_fail(tx, err_set(tx->err, ENOMEM, "translate", "out of memory"));
        if (r < 0)
                *ret_why = tx_printf(tx, "ConfigMap %s/%s: %s %s", m->o.namespace, m->o.name, what, e.msg);
        else if (q)
                *ret_why = tx_printf(tx, "ConfigMap %s/%s: %s", m->o.namespace, m->o.name, q->reason);
        return r == 0 && !q;
}

static struct span joined(struct tx *tx, struct span a, struct span b)
{
        if (a.n == 0 || b.n == 0)
                return a.n ? a : b;
        uint8_t *p = tx_alloc(tx, a.n + b.n + 1, 1);
        memcpy(p, a.p, a.n);
        p[a.n] = '\n'; /* the last line of a PEM file often lacks it */
        memcpy(p + a.n + 1, b.p, b.n);
        return SPAN(p, a.n + b.n + 1);
}

/* All valid references together are one trust, known by their names.  *ret_reason: of the first that is not, or NULL. */
struct tx_trust *trust_refs(struct tx *tx, const char *from_kind, const char *from_ns, const struct object_ref *refs, size_t n,
                            const char *bad_kind, const char **ret_reason, const char **ret_why)
{
        struct tx_trust sum = { .id = "" };
        *ret_reason = NULL;
        for (size_t i = 0; i < n; i++) {
                const struct object_ref *ref = &refs[i];
                const char *ns = *ref->namespace ? ref->namespace : from_ns, *reason = "InvalidCACertificateRef", *why = NULL;
                struct span ca, crl;
                const struct config_map *m = (const struct config_map *)store_get(tx->s, OBJECT_CONFIG_MAP, ns, ref->name);
                if (*ref->group != '\0' || strcmp(ref->kind, "ConfigMap") != 0) {
                        reason = bad_kind;
                        why = tx_printf(tx, "caCertificateRef %s: kind %s%s%s is not supported", ref->name, ref->group,
                                        *ref->group ? "/" : "", ref->kind);
                } else if (!store_granted(tx->s, GATEWAY_API_GROUP, from_kind, from_ns, "", "ConfigMap", ns, ref->name)) {
                        reason = "RefNotPermitted";
                        why = tx_printf(tx, "ConfigMap %s/%s: no ReferenceGrant allows it", ns, ref->name);
                } else if (!m) {
                        why = tx_printf(tx, "ConfigMap %s/%s does not exist", ns, ref->name);
                } else if (bundle_read(tx, m, &ca, &crl, &why)) {
                        sum.id = tx_printf(tx, "%s%s%s/%s", sum.id, *sum.id ? "+" : "", ns, ref->name);
                        sum.ca = joined(tx, sum.ca, ca);
                        sum.crl = joined(tx, sum.crl, crl);
                        sum.of = sum.of ? sum.of : &m->o;
                }
                if (why && !*ret_reason) {
                        *ret_reason = reason;
                        *ret_why = why;
                }
        }
        if (!sum.of)
                return NULL;
        struct tx_trust *t = map_get(&tx->trusts, span_str(sum.id));
        if (!t) {
                t = TX_NEW(tx, struct tx_trust);
                *t = sum;
                map_set(tx, &tx->trusts, t->id, t);
        }
        return t;
}
