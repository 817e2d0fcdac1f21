/* agent/core/schema_policy.c - BackendTLSPolicy of Gateway API v1.6: table, and the rules its CRD states in CEL. */
#include "lib/base.h"

#include "agent/core/schema_refs.h"

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static const struct field target_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct policy_target, group), .max = 253, .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct policy_target, kind), .format = FORMAT_KIND },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct policy_target, name), .min = 1, .max = 253 },
        { "sectionName", FIELD_STRING, 0, offsetof(struct policy_target, section_name), .min = 1, .max = 253,
          .format = FORMAT_SUBDOMAIN },
};
const struct schema schema_policy_target = { sizeof(struct policy_target), SCHEMA_FIELDS(target_fields), .strict = true };

static const struct field ca_ref_fields[] = {
        { "group", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, group), .max = 253, .format = FORMAT_GROUP },
        { "kind", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, kind), .format = FORMAT_KIND },
        { "name", FIELD_STRING, FIELD_REQUIRED, offsetof(struct object_ref, name), .min = 1, .max = 253 },
};
static int ca_ref_check(struct decoder *d, const struct node *map, void *obj)
{
        ((struct object_ref *)obj)->namespace = ""; /* not a field of this reference, and a string is never NULL */
        return 0;
}
static const struct schema ca_ref = { sizeof(struct object_ref), SCHEMA_FIELDS(ca_ref_fields), .strict = true,
                                      .check = ca_ref_check };

static const struct choice san_choices[] = { { "Hostname", 0 }, { "URI", 0 }, { NULL, 0 } };
static const struct field san_fields[] = {
        { "type", FIELD_STRING, FIELD_REQUIRED, offsetof(struct subject_alt_name, type), .choices = san_choices },
        { "hostname", FIELD_STRING, 0, offsetof(struct subject_alt_name, hostname), .min = 1, .max = 253,
          .format = FORMAT_HOSTNAME },
        { "uri", FIELD_STRING, 0, offsetof(struct subject_alt_name, uri), .min = 1, .max = 253,
          .format = FORMAT_ABSOLUTE_URI },
};
static int san_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct subject_alt_name *s = obj;
        bool host = is(s->type, "Hostname");
        /* self.type == "Hostname" exactly when hostname is there, self.type == "URI" exactly when uri is */
        if (host != (s->hostname[0] != '\0') || host == (s->uri[0] != '\0'))
                return decoder_fail(d, map, "%s, and nothing else, must be given when type is %s", host ? "hostname" : "uri", s->type);
        return 0;
}
static const struct schema san = { sizeof(struct subject_alt_name), SCHEMA_FIELDS(san_fields), .strict = true, .check = san_check };

static const struct field validation_fields[] = {
        { "caCertificateRefs", FIELD_LIST, 0, offsetof(struct backend_tls_policy, ca_refs),
          offsetof(struct backend_tls_policy, n_ca_refs), .items_max = 8, .sub = &ca_ref },
        { "wellKnownCACertificates", FIELD_STRING, 0, offsetof(struct backend_tls_policy, well_known), .min = 1, .max = 253,
          .format = FORMAT_WELL_KNOWN_CA },
        { "hostname", FIELD_STRING, FIELD_REQUIRED, offsetof(struct backend_tls_policy, hostname), .min = 1, .max = 253,
          .format = FORMAT_SUBDOMAIN },
        { "subjectAltNames", FIELD_LIST, 0, offsetof(struct backend_tls_policy, sans),
          offsetof(struct backend_tls_policy, n_sans), .items_max = 5, .sub = &san },
};
static int validation_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_tls_policy *p = obj;
        /* !(size(caCertificateRefs) > 0 && wellKnownCACertificates != ""), and one of them */
        if ((p->n_ca_refs > 0) == (p->well_known[0] != '\0'))
                return decoder_fail(d, map, "caCertificateRefs or wellKnownCACertificates must be given, and not both");
        return 0;
}
static const struct schema validation = { SCHEMA_FIELDS(validation_fields), .strict = true, .check = validation_check };

static const struct field spec_fields[] = {
        { "targetRefs", FIELD_LIST, FIELD_REQUIRED, offsetof(struct backend_tls_policy, targets),
          offsetof(struct backend_tls_policy, n_targets), .items_min = 1, .items_max = 16, .sub = &schema_policy_target },
        { "validation", FIELD_OBJECT, FIELD_REQUIRED, 0, .sub = &validation },
        { "options", FIELD_LABELS, 0, offsetof(struct backend_tls_policy, options), .max = 4096, .items_max = 16,
          .key_format = FORMAT_LABEL_KEY },
};
static int spec_check(struct decoder *d, const struct node *map, void *obj)
{
        const struct backend_tls_policy *p = obj;
        for (size_t i = 0; i < p->n_targets; i++)
                for (size_t k = 0; k < i; k++) {
                        const struct policy_target *a = &p->targets[i], *b = &p->targets[k];
                        if (!is(a->group, b->group) || !is(a->kind, b->kind) || !is(a->name, b->name))
                                continue;
                        /* of two references to one target both have a sectionName, and not the same */
                        if (!a->section_name[0] || !b->section_name[0] || is(a->section_name, b->section_name))
                                return decoder_fail(d, decoder_item(d, "targetRefs", node_get(map, "targetRefs"), i),
                                                    "sectionName must be given, and differ from that of item %zu, which is the same target", k);
                }
        return 0;
}
static const struct schema spec = { SCHEMA_FIELDS(spec_fields), .strict = true, .check = spec_check };
static const struct field policy_fields[] = { BODY_FIELDS, { "spec", FIELD_OBJECT, FIELD_REQUIRED, .sub = &spec } };
static const struct schema policy_body = { SCHEMA_FIELDS(policy_fields), .strict = true };
const struct kind_schema kind_backend_tls_policy = { sizeof(struct backend_tls_policy), &policy_body, { "v1", "v1alpha3" },
                                                     FORMAT_SUBDOMAIN };
