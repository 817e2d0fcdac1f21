/* agent/core/status_text.c - final conditions -> one YAML document per object, and times as text.  Layer: agent/core, pure.
 * Strings are plain where YAML reads them back as the same string, else double-quoted with JSON's escapes. */
#include "lib/base.h"
#include "agent/core/features.tbl.h"
#include "agent/core/status.h"
#include "agent/core/status_merge.h"
#include "lib/core/buf.h"
#include <inttypes.h>

/* Days since 1970-01-01 <-> civil date, proleptic Gregorian (H. Hinnant's algorithm). */
static void civil(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
        days += 719468;
        int64_t era = (days >= 0 ? days : days - 146096) / 146097;
        unsigned doe = (unsigned)(days - era * 146097);
        unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
        *d = doy - (153 * mp + 2) / 5 + 1;
        *m = mp < 10 ? mp + 3 : mp - 9;
        *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
        y -= m <= 2;
        int64_t era = (y >= 0 ? y : y - 399) / 400;
        unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
        unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        return era * 146097 + (int64_t)doe - 719468;
}

const char *time_text(int64_t t, char ret[32])
{
        int64_t days = t / 86400, s = t % 86400, y;
        unsigned m, d;
        if (s < 0) {
                s += 86400;
                days--;
        }
        civil(days, &y, &m, &d);
        (void)snprintf(ret, 32, "%04d-%02u-%02uT%02u:%02u:%02uZ", (int)y, m, d, (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
                       (unsigned)(s % 60)); /* fits for years up to 9999; cut, never overrun, beyond */
        return ret;
}

int time_parse(const char *s, int64_t *ret_s)
{
        static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
        unsigned v[6] = { 0 }, k = 0;
        if (strlen(s) != sizeof form - 1)
                return -EINVAL;
        for (size_t i = 0; i < sizeof form - 1; i++) {
                if (form[i] != 'd') {
                        if (s[i] != form[i])
                                return -EINVAL;
                        k++;
                } else if (s[i] < '0' || s[i] > '9') {
                        return -EINVAL;
                } else {
                        v[k] = v[k] * 10 + (unsigned)(s[i] - '0');
                }
        }
        if (v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 23 || v[4] > 59 || v[5] > 60)
                return -EINVAL;
        *ret_s = days_of(v[0], v[1], v[2]) * 86400 + (int64_t)v[3] * 3600 + v[4] * 60 + v[5];
        return 0;
}

static bool is_plain(const char *s)
{
        if (!((*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z')))
                return false;
        static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strcasecmp(words[i], s) == 0)
                        return false;
        for (; *s; s++)
                if (!((*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || strchr("-._/", *s)))
                        return false;
        return true;
}

static void scalar(struct buf *b, const char *s)
{
        if (is_plain(s)) {
                buf_str(b, s);
                return;
        }
        buf_str(b, "\"");
        for (; *s; s++)
                if (*s == '"' || *s == '\\')
                        buf_printf(b, "\\%c", *s);
                else if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        buf_printf(b, "\\u%04x", (unsigned char)*s);
                else
                        buf_add(b, s, 1);
        buf_str(b, "\"");
}

static void line(struct buf *b, const char *indent, const char *key, const char *value)
{
        buf_printf(b, "%s%s: ", indent, key);
        scalar(b, value);
        buf_str(b, "\n");
}

static void conditions(struct buf *b, const char *in, const struct final_condition *v, size_t n)
{
        buf_printf(b, "%sconditions:%s\n", in, n ? "" : " []");
        for (size_t i = 0; i < n; i++) {
                char t[32];
                buf_printf(b, "%s- type: %s\n%s  status: \"%s\"\n%s  observedGeneration: %" PRId64 "\n", in, v[i].type, in,
                           v[i].status ? "True" : "False", in, v[i].generation);
                buf_printf(b, "%s  lastTransitionTime: \"%s\"\n%s  reason: %s\n%s  message: ", in, time_text(v[i].since_s, t), in,
                           v[i].reason, in);
                scalar(b, v[i].message);
                buf_str(b, "\n");
        }
}

static void head(struct buf *b, const struct report_id *id)
{
        buf_printf(b, "apiVersion: %s/%s\nkind: %s\nmetadata:\n", object_group_str(id->kind), object_version_str(id->kind),
                   object_kind_str(id->kind));
        line(b, "  ", "name", id->name);
        if (object_namespaced(id->kind))
                line(b, "  ", "namespace", id->namespace);
        buf_printf(b, "  generation: %" PRId64 "\nstatus:\n", id->generation);
}

/* Of the Gateway's listeners its own (0), or those of its ListenerSet number `set` - 1. */
static void listeners_text(struct buf *b, const struct gateway_status *g, size_t set)
{
        size_t n = 0;
        for (size_t i = 0; i < g->n_listeners; i++)
                n += g->listeners[i].report->set == set;
        buf_printf(b, "  listeners:%s\n", n ? "" : " []");
        for (size_t i = 0; i < g->n_listeners; i++) {
                const struct listener_report *l = g->listeners[i].report;
                if (l->set != set)
                        continue;
                line(b, "  - ", "name", l->name);
                buf_printf(b, "    supportedKinds:%s\n", l->n_supported_kinds ? "" : " []");
                for (size_t k = 0; k < l->n_supported_kinds; k++)
                        buf_printf(b, "    - group: %s\n      kind: %s\n", l->supported_kinds[k].group, l->supported_kinds[k].kind);
                buf_printf(b, "    attachedRoutes: %" PRIu32 "\n", l->attached_routes);
                conditions(b, "    ", g->listeners[i].v, g->listeners[i].n);
        }
}

static void gateway_text(struct buf *b, const struct gateway_status *g)
{
        const struct gateway_report *r = g->report;
        head(b, &r->id);
        buf_printf(b, "  addresses:%s\n", r->n_addresses ? "" : " []");
        for (size_t i = 0; i < r->n_addresses; i++) {
                char a[IPADDR_STR_MAX];
                buf_printf(b, "  - type: IPAddress\n    value: \"%s\"\n", ipaddr_str(&r->addresses[i], a));
        }
        conditions(b, "  ", g->v, g->n);
        if (r->allows_sets)
                buf_printf(b, "  attachedListenerSets: %" PRIu32 "\n", r->attached_sets);
        listeners_text(b, g, 0);
}

static void set_text(struct buf *b, const struct status_set *s, size_t i)
{
        head(b, &s->sets[i].report->id);
        conditions(b, "  ", s->sets[i].v, s->sets[i].n);
        listeners_text(b, &s->gateways[s->sets[i].report->gateway], i + 1);
}

static void route_text(struct buf *b, const struct route_status *r, const char *controller)
{
        const struct status_list *l = status_list_of(r->report->id.kind);
        head(b, &r->report->id);
        buf_printf(b, "  %s:%s\n", l->name, r->n_parents ? "" : " []");
        for (size_t i = 0; i < r->n_parents; i++) {
                const struct parent_ref *p = &r->parents[i].report->parent;
                buf_printf(b, "  - %s:\n", l->ref);
                line(b, "      ", "group", p->group);
                line(b, "      ", "kind", p->kind);
                if (*p->namespace)
                        line(b, "      ", "namespace", p->namespace);
                line(b, "      ", "name", p->name);
                if (*p->section_name)
                        line(b, "      ", "sectionName", p->section_name);
                if (p->port)
                        buf_printf(b, "      port: %u\n", p->port);
                line(b, "    ", "controllerName", controller);
                conditions(b, "    ", r->parents[i].v, r->parents[i].n);
        }
}

static const char features[] = "  supportedFeatures:\n"
#define F(name) "  - name: " name "\n"
        SUPPORTED_FEATURES(F);
#undef F

static int doc_take(struct arena *a, struct buf *b, const struct report_id *id, struct status_doc *ret)
{
        struct span text = arena_span(a, buf_span(b));
        if (b->failed || !text.p)
                return -ENOMEM;
        *ret = (struct status_doc){ id->kind, id->namespace, id->name, text };
        buf_reset(b);
        return 0;
}

int status_docs(const struct status_set *s, const char *controller_name, struct arena *a, struct status_doc **ret, size_t *ret_n)
{
        struct status_doc *v = arena_calloc(a, s->n_classes + s->n_gateways + s->n_sets + s->n_routes + s->n_policies + 1, sizeof *v);
        CLEANUP(buf_fini) struct buf b;
        size_t n = 0;
        int r = v ? 0 : -ENOMEM;
        buf_init(&b, SIZE_MAX);
        for (size_t i = 0; r == 0 && i < s->n_classes; i++) {
                head(&b, &s->classes[i].report->id);
                conditions(&b, "  ", s->classes[i].v, s->classes[i].n);
                buf_str(&b, features);
                r = doc_take(a, &b, &s->classes[i].report->id, &v[n++]);
        }
        for (size_t i = 0; r == 0 && i < s->n_gateways; i++) {
                gateway_text(&b, &s->gateways[i]);
                r = doc_take(a, &b, &s->gateways[i].report->id, &v[n++]);
        }
        for (size_t i = 0; r == 0 && i < s->n_sets; i++) {
                set_text(&b, s, i);
                r = doc_take(a, &b, &s->sets[i].report->id, &v[n++]);
        }
        for (size_t i = 0; r == 0 && i < s->n_routes; i++) {
                route_text(&b, &s->routes[i], controller_name);
                r = doc_take(a, &b, &s->routes[i].report->id, &v[n++]);
        }
        for (size_t i = 0; r == 0 && i < s->n_policies; i++) {
                route_text(&b, &s->policies[i], controller_name);
                r = doc_take(a, &b, &s->policies[i].report->id, &v[n++]);
        }
        if (r < 0)
                return r;
        *ret = v;
        *ret_n = n;
        return 0;
}
