/* tests/unit/lib/model_test.c - model_load: what a good manifest becomes, one row for each way to be refused, and every
 * allocation failing in turn. */
#include "lib/base.h"
#include "tests/unit/lib/fixture.h"

#include "lib/control.pb-c.h"
#include "lib/core/map.h"

#define S(x) ((char *)(x))
#define DECODE CONTROL__NACK_STAGE__NACK_DECODE
#define CHECK CONTROL__NACK_STAGE__NACK_CHECK
#define LIMIT CONTROL__NACK_STAGE__NACK_LIMIT
#define UNSUPPORTED CONTROL__NACK_STAGE__NACK_UNSUPPORTED

/* ---------------------------------------------------------------- allocation failure, by the linker's --wrap */

static int fail_after = -1; /* allocations still allowed; -1 = all */
static size_t arena_cap;    /* 0 = as asked */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void __real_arena_init(struct arena *a, size_t chunk_bytes, size_t max_bytes);
void __wrap_arena_init(struct arena *a, size_t chunk_bytes, size_t max_bytes);

static bool may_allocate(void)
{
        return fail_after < 0 || fail_after-- > 0;
}
void *__wrap_malloc(size_t n)
{
        return may_allocate() ? __real_malloc(n) : NULL;
}
void *__wrap_calloc(size_t n, size_t size)
{
        return may_allocate() ? __real_calloc(n, size) : NULL;
}
void __wrap_arena_init(struct arena *a, size_t chunk_bytes, size_t max_bytes)
{
        __real_arena_init(a, chunk_bytes, arena_cap ? arena_cap : max_bytes);
}

/* ---------------------------------------------------------------- the good one */

static void test_good(void **state)
{
        struct world w;
        struct model *m = NULL;
        struct model_error e;
        (void)state;
        world_init(&w);
        struct manifest *from = world_manifest(&w);
        int r = model_load(from, &m, &e);
        if (r < 0)
                fail_msg("%s: %s", e.section, e.err.msg);
        assert_int_equal(m->generation, 7);
        assert_memory_equal(&m->hash, &from->hash, sizeof m->hash);
        assert_int_equal(m->n_gateways, 1);
        assert_int_equal(m->n_clusters, 2);
        assert_int_equal(m->n_endpoint_sets, 2);
        assert_int_equal(m->n_certificates, 1);
        assert_non_null(m->l4);
        manifest_put(from); /* the model holds copies */
        world_fini(&w);
        const Model__Cluster *c = model_cluster(m, m->gateways[0]->rules[0]->forward->legs[0]->cluster);
        assert_string_equal(c->id, "default/echo:8080/http");
        assert_string_equal(model_endpoint_set(m, c->endpoint_set)->id, "default/echo:8080");
        assert_string_equal(map_get(&m->endpoint_set_section, span_str(c->endpoint_set)), "endpoints/default");
        assert_int_equal(model_key(m, model_certificate(m, "default/cert")->key)->pem.len, 17);
        assert_non_null(model_trust(m, "default/ca"));
        assert_non_null(model_vip(m, "192.0.2.1"));
        assert_non_null(model_pool(m, model_distribution(m, "192.0.2.1:80/tcp")->legs[0]->pool));
        assert_null(model_cluster(m, "nope"));
        char text[128];
        assert_string_equal(source_str(m->gateways[0]->rules[0]->source, text, sizeof text),
                            "HTTPRoute default/echo rule 1");
        assert_string_equal(source_str(NULL, text, sizeof text), "-");
        model_free(m);
        model_free(NULL);
}

static void test_empty(void **state)
{
        struct manifest *from = manifest_new(1);
        struct model *m = NULL;
        struct model_error e;
        (void)state;
        assert_int_equal(manifest_seal(from, NULL), 0);
        assert_int_equal(model_load(from, &m, &e), 0);
        assert_int_equal(m->n_gateways, 0);
        assert_null(m->l4);
        model_free(m);
        manifest_put(from);
}

/* ---------------------------------------------------------------- refusals: each changes one thing */

/* clang-format off: one change, one line */
#define CASE(fn) static void fn(struct world *w)
CASE(leg_cluster)
{
        w->leg->cluster = S("default/gone:1/http");
}
CASE(leg_weights)
{
        Model__Leg *twin = arena_dup(&w->a, w->leg, sizeof *twin);
        w->leg->weight = twin->weight = UINT32_MAX;
        w->forward->forward->legs = (void *)world_append(w, w->forward->forward->legs, 1, twin);
        w->forward->forward->n_legs = 2;
}
CASE(leg_status)
{
        w->leg->fail_status = 404;
}
CASE(legs_many)
{
        for (size_t n = 1; n <= MODEL_MAX_LEGS; n++)
                w->forward->forward->legs = (void *)world_append(w, w->forward->forward->legs, n, w->leg);
        w->forward->forward->n_legs = MODEL_MAX_LEGS + 1;
}
CASE(mirror_cluster)
{
        w->mirror->mirror->cluster = S("gone");
}
CASE(mirror_none)
{
        w->mirror->mirror->cluster = S("");
}
CASE(mirror_fraction)
{
        w->mirror->mirror->fraction = arena_alloc(&w->a, sizeof(Model__Fraction));
        model__fraction__init(w->mirror->mirror->fraction);
        w->mirror->mirror->fraction->numerator = 2;
        w->mirror->mirror->fraction->denominator = 1;
}
CASE(filter_empty)
{
        w->filter->kind_case = MODEL__FILTER__KIND__NOT_SET;
}
CASE(header_injection)
{
        w->filter->request_headers->set[0]->value = S("a\r\nx: y");
}
CASE(header_name)
{
        w->filter->request_headers->set[0]->name = S("x y");
}
CASE(rule_empty)
{
        w->forward->action_case = MODEL__RULE__ACTION__NOT_SET;
}
CASE(rule_index)
{
        w->entry->rule = 2;
}
CASE(policy_gone)
{
        w->policies->rate_limit = S("p9");
}
CASE(policy_kind)
{
        w->policies->rate_limit = S("");
        w->policies->jwt = S("p1");
}
CASE(policy_empty)
{
        w->policies->rate_limit = S("");
        w->policy->kind_case = MODEL__POLICY__KIND__NOT_SET;
}
CASE(redirect_status)
{
        w->redirect->redirect->status = 200;
}
CASE(redirect_scheme)
{
        w->redirect->redirect->scheme = S("ftp");
}
CASE(redirect_port)
{
        w->redirect->redirect->port = 65536;
}
CASE(policy_no_rule)
{
        w->policy->rate_limit->n_rules = 0;
}
CASE(bind_policy_gone)
{
        w->bind->client_policy = S("p9");
}
CASE(bind_policy_kind)
{
        w->bind->client_policy = S("p1");
}
CASE(cluster_dns_port)
{
        w->cluster->endpoint_set = S("");
        w->cluster->dns_name = S("echo.example");
}
CASE(cluster_port_no_dns)
{
        w->cluster->dns_port = 80;
}
CASE(path_prefix_empty)
{
        w->entry->match->path_kind = MODEL__MATCH__PATH_KIND__PREFIX;
        w->entry->match->path = S("");
}
CASE(path_relative)
{
        w->entry->match->path = S("api");
}
CASE(method_token)
{
        w->entry->match->method = S("GET /");
}
CASE(vhost_upper)
{
        w->vhost->hostname = S("A.example");
}
CASE(vhost_star)
{
        w->vhost->hostname = S("*.");
}
CASE(vhost_twice)
{
        w->http->virtual_hosts = (void *)world_append(w, w->http->virtual_hosts, 1, w->vhost);
        w->http->n_virtual_hosts = 2;
}
CASE(listener_bind)
{
        w->http->binds[0] = 2;
}
CASE(listener_no_bind)
{
        w->http->n_binds = 0;
}
CASE(listener_ids)
{
        w->https->id = w->http->id;
}
CASE(listener_mixed)
{
        w->https->binds[0] = 0;
}
CASE(listener_same_host)
{
        Model__Listener *twin = arena_dup(&w->a, w->http, sizeof *twin);
        twin->id = S("default/web/http2");
        w->gateway->listeners = (void *)world_append(w, w->gateway->listeners, 2, twin);
        w->gateway->n_listeners = 3;
}
CASE(listener_udp)
{
        w->bind->l4 = MODEL__L4_PROTOCOL__L4_UDP;
}
CASE(tls_none)
{
        w->https->tls = NULL;
}
CASE(tls_cert)
{
        w->https->tls->certificates[0] = S("default/gone");
}
CASE(tls_trust)
{
        w->https->tls->client_mode = MODEL__TLS__CLIENT_MODE__VALID_ONLY;
}
CASE(tls_versions)
{
        w->https->tls->min_version = MODEL__TLS__VERSION__TLS_1_3;
        w->https->tls->max_version = MODEL__TLS__VERSION__TLS_1_2;
}
CASE(bind_addr)
{
        w->bind->addr.len = 3;
}
CASE(bind_port)
{
        w->bind->port = 0;
}
CASE(bind_twice)
{
        w->gateway->binds[1]->port = 80;
}
CASE(gateway_elsewhere)
{
        w->keys[0] = "gateway/default/other";
}
CASE(cluster_set)
{
        w->cluster->endpoint_set = S("gone");
}
CASE(cluster_no_set)
{
        w->cluster->endpoint_set = S("");
}
CASE(cluster_ids)
{
        w->cluster->id = w->cluster2->id;
}
CASE(cluster_id_space)
{
        w->cluster->id = S("a b");
}
CASE(cluster_tls)
{
        w->cluster->tls = arena_alloc(&w->a, sizeof(Model__UpstreamTls));
        model__upstream_tls__init(w->cluster->tls);
}
CASE(cluster_tls_trust)
{
        cluster_tls(w);
        w->cluster->tls->trust = S("default/nobody");
}
CASE(cert_key)
{
        w->certificate->key = S("gone");
}
CASE(cert_print)
{
        w->certificate->fingerprint = (ProtobufCBinaryData){5, (uint8_t *)S("abcde")};
}
CASE(key_empty)
{
        w->key->pem.len = 0;
}
CASE(endpoint_addr)
{
        w->endpoint->addr.len = 5, w->endpoint->addr.data = (uint8_t *)S("12345");
}
CASE(endpoint_port)
{
        w->endpoint->port = 65536;
}
CASE(endpoints_many)
{
        Model__Endpoint **list = arena_calloc(&w->a, MODEL_MAX_ENDPOINTS_PER_SET + 1, sizeof *list);
        for (size_t i = 0; i <= MODEL_MAX_ENDPOINTS_PER_SET; i++)
                list[i] = w->endpoint;
        w->set->endpoints = list;
        w->set->n_endpoints = MODEL_MAX_ENDPOINTS_PER_SET + 1;
}
CASE(health_interval)
{
        w->cluster->health_check = arena_alloc(&w->a, sizeof(Model__HealthCheck));
        model__health_check__init(w->cluster->health_check);
        w->cluster->health_check->type = MODEL__HEALTH_CHECK_TYPE__HC_TCP;
}
CASE(vip_addr)
{
        w->vip->addr.len = 0;
}
CASE(vip_prefix)
{
        w->vip->prefix_len = 33;
}
CASE(l4_vip)
{
        w->l4_listener->vip = S("192.0.2.9");
}
CASE(l4_distribution)
{
        w->l4_listener->distribution = S("x");
}
CASE(l4_acl)
{
        w->l4_listener->acl = S("x");
}
CASE(l4_ports)
{
        w->l4_listener->port_lo = 81;
}
CASE(l4_overlap)
{
        Model__L4Listener *twin = arena_dup(&w->a, w->l4_listener, sizeof *twin);
        twin->id = S("192.0.2.1:70-90/tcp");
        twin->port_lo = 70;
        twin->port_hi = 90;
        w->l4->listeners = (void *)world_append(w, w->l4->listeners, 1, twin);
        w->l4->n_listeners = 2;
}
CASE(l4_pool)
{
        w->l4_leg->pool = S("gone");
}
CASE(l4_drop_with_pool)
{
        w->l4_leg->verdict = MODEL__L4_LEG__VERDICT__DROP;
}
CASE(l4_forward_nowhere)
{
        w->l4_leg->pool = S("");
}
CASE(pool_set)
{
        w->pool->endpoint_set = S("gone");
}
CASE(pool_tunnel)
{
        w->pool->tunnel_source = S("here");
}
CASE(key_in_clear)
{
        w->secret[4] = false;
}
CASE(cert_as_secret)
{
        w->secret[3] = true;
}
CASE(section_kind)
{
        w->keys[1] = "trust/other";
}
CASE(section_unknown)
{
        w->keys[1] = "future/default";
}
CASE(section_empty)
{
        w->sections[6]->body_case = MODEL__SECTION__BODY__NOT_SET;
}
CASE(enum_unknown)
{
        w->http->protocol = (Model__Listener__Protocol)77;
}
CASE(not_utf8)
{
        w->forward->name = S("\xc3(");
}
CASE(control_character)
{
        w->forward->name = S("a\x01z");
}
CASE(long_string)
{
        char *s = arena_alloc(&w->a, MODEL_MAX_STRING_BYTES + 2);
        memset(s, 'a', MODEL_MAX_STRING_BYTES + 1);
        w->forward->name = s;
}
CASE(field_unknown)
{
        ProtobufCMessageUnknownField *u = arena_alloc(&w->a, sizeof *u);
        *u = (ProtobufCMessageUnknownField){
                .tag = 999, .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = 1, .data = (uint8_t *)S("\x01")};
        w->leg->base.n_unknown_fields = 1;
        w->leg->base.unknown_fields = u;
}

/* clang-format on */

static void test_refusals(void **state)
{
        static const struct {
                const char *name;
                void (*change)(struct world *w);
                unsigned stage;
                const char *section, *source, *msg; /* source: name of the blamed object, NULL = none */
        } cases[] = {
        /* clang-format off */
#define ROW(fn, stage, section, source, msg) { #fn, fn, stage, section, source, msg }
#define GW "gateway/default/web"
                ROW(leg_cluster, CHECK, GW, "echo", "no cluster default/gone:1/http"),
                ROW(leg_weights, LIMIT, GW, "echo", "weights"),
                ROW(leg_status, CHECK, GW, "echo", "404"),
                ROW(legs_many, LIMIT, GW, "echo", "65 legs, the limit is 64"),
                ROW(mirror_cluster, CHECK, GW, "echo", "no cluster gone"),
                ROW(mirror_none, CHECK, GW, "echo", "cluster is required"),
                ROW(mirror_fraction, CHECK, GW, "echo", "fraction 2/1"),
                ROW(filter_empty, CHECK, GW, "echo", "filter"),
                ROW(header_injection, CHECK, GW, "echo", "line end"),
                ROW(header_name, CHECK, GW, "echo", "token"),
                ROW(rule_empty, CHECK, GW, "echo", "action"),
                ROW(rule_index, CHECK, GW, "echo", "rule 2 of 2"),
                ROW(policy_gone, CHECK, GW, "echo", "no policy p9"),
                ROW(policy_kind, CHECK, GW, "echo", "not of kind jwt"),
                ROW(policy_empty, CHECK, "policies", NULL, "says nothing"),
                ROW(redirect_status, CHECK, GW, "old", "status 200"),
                ROW(redirect_scheme, CHECK, GW, "old", "ftp"),
                ROW(redirect_port, CHECK, GW, "old", "65536"),
                ROW(policy_no_rule, CHECK, "policies", NULL, "without a rule"),
                ROW(bind_policy_gone, CHECK, GW, "web", "no policy p9"),
                ROW(bind_policy_kind, CHECK, GW, "web", "not of kind client"),
                ROW(cluster_dns_port, CHECK, "clusters/default", "echo", "go together"),
                ROW(cluster_port_no_dns, CHECK, "clusters/default", "echo", "go together"),
                ROW(path_prefix_empty, CHECK, GW, "echo", "path is empty"),
                ROW(path_relative, CHECK, GW, "echo", "slash"),
                ROW(method_token, CHECK, GW, "echo", "token"),
                ROW(vhost_upper, CHECK, GW, "web", "hostname"),
                ROW(vhost_star, CHECK, GW, "web", "hostname"),
                ROW(vhost_twice, CHECK, GW, "web", "twice"),
                ROW(listener_bind, CHECK, GW, "web", "bind 2 of 2"),
                ROW(listener_no_bind, CHECK, GW, "web", "nothing to listen on"),
                ROW(listener_ids, CHECK, GW, "web", "share"),
                ROW(listener_mixed, CHECK, GW, "web", "another protocol"),
                ROW(listener_same_host, CHECK, GW, "web", "hostname and port 80"),
                ROW(listener_udp, CHECK, GW, "web", "cannot run"),
                ROW(tls_none, CHECK, GW, "web", "without a certificate"),
                ROW(tls_cert, CHECK, GW, "web", "no certificate default/gone"),
                ROW(tls_trust, CHECK, GW, "web", "trust is required"),
                ROW(tls_versions, CHECK, GW, "web", "upside down"),
                ROW(bind_addr, CHECK, GW, "web", "3 bytes"),
                ROW(bind_port, CHECK, GW, "web", "port 0"),
                ROW(bind_twice, CHECK, GW, "web", "twice"),
                ROW(gateway_elsewhere, CHECK, "gateway/default/other", "web", "section of another"),
                ROW(cluster_set, CHECK, "clusters/default", "echo", "no endpoint set gone"),
                ROW(cluster_no_set, CHECK, "clusters/default", "echo", "exactly one"),
                ROW(cluster_ids, CHECK, "clusters/default", "echo", "share"),
                ROW(cluster_id_space, CHECK, "clusters/default", "echo", "printable"),
                ROW(cluster_tls, CHECK, "clusters/default", "echo", "trust"),
                ROW(cluster_tls_trust, CHECK, "clusters/default", "echo", "no trust default/nobody"),
                ROW(cert_key, CHECK, "certs/default", "cert", "no key gone"),
                ROW(cert_print, CHECK, "certs/default", "cert", "5 bytes"),
                ROW(key_empty, CHECK, "keys/default", NULL, "empty"),
                ROW(endpoint_addr, CHECK, "endpoints/default", "echo", "5 bytes"),
                ROW(endpoint_port, CHECK, "endpoints/default", "echo", "65536"),
                ROW(endpoints_many, LIMIT, "endpoints/default", "echo", "16385 endpoints"),
                ROW(health_interval, CHECK, "clusters/default", "echo", "interval"),
                ROW(vip_addr, CHECK, "l4", "web", "0 bytes"),
                ROW(vip_prefix, CHECK, "l4", "web", "33 bits"),
                ROW(l4_vip, CHECK, "l4", "web", "no VIP 192.0.2.9"),
                ROW(l4_distribution, CHECK, "l4", "web", "no distribution x"),
                ROW(l4_acl, CHECK, "l4", "web", "no ACL x"),
                ROW(l4_ports, CHECK, "l4", "web", "81-80"),
                ROW(l4_overlap, CHECK, "l4", "web", "same ports"),
                ROW(l4_pool, CHECK, "l4", "web", "no pool gone"),
                ROW(l4_drop_with_pool, CHECK, "l4", "web", "does not forward"),
                ROW(l4_forward_nowhere, CHECK, "l4", "web", "pool is required"),
                ROW(pool_set, CHECK, "l4", "web", "no endpoint set gone"),
                ROW(pool_tunnel, CHECK, "l4", "web", "no address"),
                ROW(key_in_clear, CHECK, "keys/default", NULL, "must be secret"),
                ROW(cert_as_secret, CHECK, "certs/default", NULL, "must not be secret"),
                ROW(section_kind, CHECK, "trust/other", NULL, "what its key says"),
                ROW(section_unknown, UNSUPPORTED, "future/default", NULL, "unknown kind"),
                ROW(section_empty, CHECK, "policies", NULL, "what its key says"),
                ROW(enum_unknown, UNSUPPORTED, GW, "web", "protocol has the unknown value 77"),
                ROW(not_utf8, DECODE, GW, "echo", "not UTF-8"),
                ROW(control_character, CHECK, GW, "echo", "control character"),
                ROW(long_string, LIMIT, GW, "echo", "over 8192 bytes"),
                ROW(field_unknown, UNSUPPORTED, GW, "echo", "unknown field 999"),
                /* clang-format on */
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct world w;
                struct model *m = NULL;
                struct model_error e = {0};
                world_init(&w);
                cases[i].change(&w);
                struct manifest *from = world_manifest(&w);
                int r = model_load(from, &m, &e);
                const char *blamed = e.has_source ? e.name : NULL;
                if (r != -EINVAL || e.stage != cases[i].stage || strcmp(e.section, cases[i].section) != 0 ||
                    strcmp(e.err.place, e.section) != 0 || !strstr(e.err.msg, cases[i].msg) ||
                    !blamed != !cases[i].source || (blamed && strcmp(blamed, cases[i].source) != 0))
                        fail_msg("%s: %d stage %u %s (%s): %s", cases[i].name, r, e.stage, e.section,
                                 blamed ? blamed : "-", e.err.msg);
                manifest_put(from);
                world_fini(&w);
        }
}

/* ---------------------------------------------------------------- two Gateways on one address */

static struct manifest *two_gateways(struct world *a, struct world *b, void (*change)(struct world *w))
{
        world_init(a);
        world_init(b);
        b->gateway->id = S("default/web2");
        b->http->id = S("default/web2/http");
        b->https->id = S("default/web2/https");
        b->http->hostname = b->https->hostname = S("b.example");
        a->http->hostname = a->https->hostname = S("a.example");
        change(b);
        b->keys[0] = "gateway/default/web2";
        for (size_t i = 1; i < b->n_sections; i++)
                b->sections[i] = NULL;
        struct manifest *ma = world_manifest(a), *mb = world_manifest(b), *both = manifest_new(1);
        for (size_t i = 0; i < ma->n; i++)
                assert_int_equal(manifest_add_blob(both, ma->entries[i].key, ma->entries[i].blob), 0);
        for (size_t i = 0; i < mb->n; i++)
                assert_int_equal(manifest_add_blob(both, mb->entries[i].key, mb->entries[i].blob), 0);
        assert_int_equal(manifest_seal(both, NULL), 0);
        manifest_put(ma);
        manifest_put(mb);
        return both;
}

CASE(share_well)
{
        (void)w;
}
CASE(share_proxy)
{
        w->bind->proxy_protocol = MODEL__PROXY_PROTOCOL__PROXY_V2;
}
CASE(share_trusted)
{
        Model__Prefix *p = arena_alloc(&w->a, sizeof *p);
        model__prefix__init(p);
        p->addr = w->bind->addr;
        w->bind->forwarded_trusted = (void *)world_append(w, NULL, 0, p);
        w->bind->n_forwarded_trusted = 1;
}
CASE(share_protocol)
{
        w->http->binds[0] = 1;
        w->https->binds[0] = 0;
}
CASE(share_hostname)
{
        w->http->hostname = S("a.example");
}

static void test_shared_bind(void **state)
{
        static const struct {
                void (*change)(struct world *w);
                const char *msg; /* NULL = accepted */
        } cases[] = {{share_well, NULL},
                     {share_proxy, "PROXY mode"},
                     {share_trusted, "PROXY mode"},
                     {share_protocol, "speaks another protocol for Gateway default/web"},
                     {share_hostname, "listener default/web/http has this hostname"}};
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct world a, b;
                struct model *m = NULL;
                struct model_error e = {0};
                struct manifest *from = two_gateways(&a, &b, cases[i].change);
                int r = model_load(from, &m, &e);
                if ((r == 0) != (cases[i].msg == NULL) || (r < 0 && !strstr(e.err.msg, cases[i].msg)))
                        fail_msg("%zu: %d %s", i, r, e.err.msg);
                if (r < 0)
                        assert_string_equal(e.section, "gateway/default/web2");
                model_free(m);
                manifest_put(from);
                world_fini(&a);
                world_fini(&b);
        }
}

/* ---------------------------------------------------------------- hostile bytes */

static int load_section(const char *key, struct span bytes, bool secret, struct model_error *e)
{
        struct manifest *from = manifest_new(1);
        struct model *m = NULL;
        assert_int_equal(manifest_add(from, key, bytes, secret), 0);
        assert_int_equal(manifest_seal(from, NULL), 0);
        int r = model_load(from, &m, e);
        model_free(m);
        manifest_put(from);
        return r;
}

static void test_hostile_bytes(void **state)
{
        struct model_error e;
        (void)state;
        assert_int_equal(load_section("policies", SPAN_LIT("\xff\xff\xff"), false, &e), -EINVAL);
        assert_int_equal(e.stage, DECODE);
        /* A NUL inside an id: protobuf-c would read "a". */
        assert_int_equal(load_section("trust/x",
                                      SPAN_LIT("\x42\x0a\x0a\x08\x0a\x03"
                                               "a\0b"
                                               "\x12\x01"
                                               "c"),
                                      false, &e),
                         -EINVAL);
        assert_non_null(strstr(e.err.msg, "canonical"));
        assert_int_equal(load_section("trust/x",
                                      SPAN_LIT("\x42\x0a\x0a\x08\x0a\x03"
                                               "aXb"
                                               "\x12\x01"
                                               "c"),
                                      false, &e),
                         0);
        /* The same content in a longer encoding: a length in two bytes. */
        assert_int_equal(load_section("trust/x",
                                      SPAN_LIT("\x42\x8a\x00\x0a\x08\x0a\x03"
                                               "aXb"
                                               "\x12\x01"
                                               "c"),
                                      false, &e),
                         -EINVAL);
        assert_non_null(strstr(e.err.msg, "canonical"));
}

/* Millions of empty messages: two bytes each on the wire, far more in memory. */
static void test_amplification(void **state)
{
        struct model_error e;
        size_t n = 4u << 20;
        uint8_t *p = malloc(n + 10);
        (void)state;
        p[0] = 0x3a; /* Section.l4 */
        size_t at = 1;
        for (size_t v = n;; v >>= 7) {
                p[at++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
                if (v <= 0x7f)
                        break;
        }
        for (size_t i = 0; i < n; i += 2) { /* L4.listeners, empty */
                p[at + i] = 0x12;
                p[at + i + 1] = 0;
        }
        int r = load_section("l4", SPAN(p, at + n), false, &e);
        assert_true(r == -ENOMEM || r == -EINVAL);
        assert_int_equal(e.stage, LIMIT);
        free(p);
}

static void test_every_byte_cut_and_flipped(void **state)
{
        struct world w;
        (void)state;
        world_init(&w);
        struct manifest *from = world_manifest(&w);
        for (size_t i = 0; i < from->n; i++) {
                struct blob *b = from->entries[i].blob;
                struct model_error e;
                for (size_t cut = 0; cut < b->n; cut++)
                        (void)load_section(from->entries[i].key, SPAN(b->p, cut), b->secret, &e);
                for (size_t at = 0; at < b->n; at++) {
                        b->p[at] ^= 0x11;
                        (void)load_section(from->entries[i].key, SPAN(b->p, b->n), b->secret, &e);
                        b->p[at] ^= 0x11;
                }
        }
        manifest_put(from);
        world_fini(&w);
}

/* ---------------------------------------------------------------- the n-th allocation fails */

static void test_allocation_failures(void **state)
{
        struct world w;
        bool done = false;
        unsigned failures = 0;
        (void)state;
        world_init(&w);
        struct manifest *from = world_manifest(&w);
        for (int n = 0; !done; n++) { /* malloc: arena chunks, maps, the model itself */
                struct model *m = NULL;
                struct model_error e = {0};
                fail_after = n;
                int r = model_load(from, &m, &e);
                fail_after = -1;
                done = r == 0;
                failures += r < 0;
                if (r < 0) {
                        assert_int_equal(r, -ENOMEM);
                        assert_true(e.err.msg[0]);
                }
                model_free(m);
                assert_true(n < 10000);
        }
        assert_true(failures > 10);
        done = false;
        for (arena_cap = 16; !done; arena_cap += 16) { /* the bounded arena: each of its allocations in turn */
                struct model *m = NULL;
                struct model_error e = {0};
                int r = model_load(from, &m, &e);
                done = r == 0;
                if (r < 0) {
                        assert_int_equal(r, -ENOMEM);
                        assert_int_equal(e.stage, LIMIT);
                }
                model_free(m);
                assert_true(arena_cap < 1 << 20);
        }
        assert_true(arena_cap > 4096);
        arena_cap = 0;
        manifest_put(from);
        world_fini(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_shared_bind),
                cmocka_unit_test(test_hostile_bytes),
                cmocka_unit_test(test_amplification),
                cmocka_unit_test(test_every_byte_cut_and_flipped),
                cmocka_unit_test(test_allocation_failures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
