/* agent/io/settings.c - see settings.h.  Strings are copied: the file is closed when this returns. */
#include "lib/base.h"
#include "agent/io/settings.h"
#include "agent/io/cert.h"
#include "agent/io/kube_limits.tbl.h"

#define SETTINGS_MAX_BYTES (16u * 1024 * 1024)

static void *take(struct settings *s, size_t n, size_t size)
{
        void *p = arena_calloc(&s->arena, n ? n : 1, size);
        BUG_ON(!p); /* boot: a configuration that does not fit in 16 MiB is not one */
        return p;
}

static const char *dup(struct settings *s, const char *v)
{
        size_t n = strlen(v) + 1;
        return memcpy(take(s, n, 1), v, n);
}

static const char *str(struct settings *s, const struct conf_group *g, const char *key) { return dup(s, conf_str(g, key)); }

static const char *str_or(struct settings *s, const struct conf_group *g, const char *key, const char *def)
{
        return dup(s, conf_str_or(g, key, def));
}

static void read_shards(struct settings *s, const struct conf_group *g, struct pool_conf *p)
{
        size_t n = conf_list_len(g, "shards");
        struct shard_conf *v = take(s, n, sizeof *v);
        if (n == 0)
                conf_error(g, "shards", "a pool needs at least one shard");
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *sg = conf_list_group(g, "shards", i);
                v[i].name = str(s, sg, "name");
                (void)conf_addr_or_unset(sg, "address", &v[i].addr4);  /* errors are sticky: conf_done reports them */
                (void)conf_addr_or_unset(sg, "address6", &v[i].addr6);
                if (p->tunnel == POOL_ON_LINK) /* through a tunnel probes go to the listeners, as clients do */
                        v[i].health_port = (uint16_t)conf_int(sg, "health_port", 1, 65535);
                if (v[i].addr4.af == 6)
                        conf_error(sg, "address", "must be an IPv4 address (IPv6: address6)");
                if (v[i].addr6.af == 4)
                        conf_error(sg, "address6", "must be an IPv6 address");
                if (v[i].addr4.af == 0 && v[i].addr6.af == 0)
                        conf_error(sg, "name", "a shard needs address or address6");
                if (v[i].health_port != v[0].health_port)
                        conf_error(sg, "health_port", "must be the same for all shards of a pool");
        }
        p->shards = v;
        p->n_shards = n;
}

static void read_tunnel(struct settings *s, const struct conf_group *g, struct pool_conf *p)
{
        const char *tunnel = conf_str_or(g, "tunnel", ""), *source = conf_str_or(g, "tunnel_source", "");
        struct ipaddr a;
        p->tunnel = strcmp(tunnel, "gue") == 0 ? POOL_GUE : strcmp(tunnel, "ipip") == 0 ? POOL_IPIP : POOL_ON_LINK;
        if (*tunnel && p->tunnel == POOL_ON_LINK)
                conf_error(g, "tunnel", "must be \"gue\" or \"ipip\", not \"%s\"", tunnel);
        if (*source && (p->tunnel == POOL_ON_LINK || ipaddr_parse(span_str(source), &a) < 0))
                conf_error(g, "tunnel_source", "must be an address, of a pool with tunnel");
        p->tunnel_source = dup(s, source);
}

/* select = [ "team=a" ] -> match labels. */
static void read_select(struct settings *s, const struct conf_group *g, struct pool_conf *p)
{
        size_t n = conf_list_len(g, "select");
        struct label *v = take(s, n, sizeof *v);
        for (size_t i = 0; i < n; i++) {
                char *text = (char *)(uintptr_t)dup(s, conf_list_str(g, "select", i));
                char *eq = strchr(text, '=');
                if (!eq || eq == text) {
                        conf_error(g, "select", "expected \"key=value\", got \"%s\"", text);
                        v[i] = (struct label){ "", "" };
                        continue;
                }
                *eq = '\0';
                v[i] = (struct label){ text, eq + 1 };
        }
        p->select.match_labels = (struct labels){ v, n };
        size_t ng = conf_list_len(g, "gateways");
        const char **names = take(s, ng, sizeof *names);
        for (size_t i = 0; i < ng; i++) {
                names[i] = dup(s, conf_list_str(g, "gateways", i));
                if (!strchr(names[i], '/'))
                        conf_error(g, "gateways", "expected \"namespace/name\", got \"%s\"", names[i]);
        }
        p->gateways = (struct strings){ names, ng };
}

static void read_pools(struct settings *s, const struct conf_group *root)
{
        size_t n = conf_list_len(root, "pools");
        struct pool_conf *v = take(s, n, sizeof *v);
        if (n == 0)
                conf_error(root, "pools", "at least one pool is needed");
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *g = conf_list_group(root, "pools", i);
                v[i].name = str(s, g, "name");
                if (*v[i].name == '\0')
                        conf_error(g, "name", "must not be empty");
                for (size_t k = 0; k < i; k++)
                        if (strcmp(v[k].name, v[i].name) == 0)
                                conf_error(g, "name", "pool %s is there twice", v[i].name);
                read_tunnel(s, g, &v[i]);
                read_shards(s, g, &v[i]);
                read_select(s, g, &v[i]);
        }
        s->translate.pools = v;
        s->translate.n_pools = n;
        size_t nv = conf_list_len(root, "vip_pools");
        struct ipprefix *pv = take(s, nv, sizeof *pv);
        for (size_t i = 0; i < nv; i++)
                if (ipprefix_parse(span_str(conf_list_str(root, "vip_pools", i)), &pv[i]) < 0)
                        conf_error(root, "vip_pools", "%s is not a prefix", conf_list_str(root, "vip_pools", i));
        s->translate.vip_pools = pv;
        s->translate.n_vip_pools = nv;
}

static void read_members(struct settings *s, const struct conf_group *root)
{
        const struct conf_group *l4 = conf_sub(root, "l4");
        size_t n4 = conf_list_len(l4, "members"), n = n4;
        for (size_t i = 0; i < s->translate.n_pools; i++)
                n += s->translate.pools[i].n_shards;
        struct push_member_conf *v = take(s, n, sizeof *v);
        size_t k = 0;
        for (size_t i = 0; i < n4; i++)
                v[k++] = (struct push_member_conf){ dup(s, conf_list_str(l4, "members", i)), CONTROL__ROLE__ROLE_L4, "" };
        for (size_t i = 0; i < s->translate.n_pools; i++)
                for (size_t j = 0; j < s->translate.pools[i].n_shards; j++)
                        v[k++] = (struct push_member_conf){ s->translate.pools[i].shards[j].name, CONTROL__ROLE__ROLE_L7,
                                                            s->translate.pools[i].name };
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        if (strcmp(v[i].name, v[j].name) == 0)
                                conf_error(root, "pools", "data plane %s is there twice", v[i].name);
        s->push.members = v;
        s->push.n_members = n;
}

static void read_tls(struct settings *s, const struct conf_group *g)
{
        size_t n = conf_list_len(g, "addresses");
        struct control_addr *v = take(s, n, sizeof *v);
        if (n == 0)
                conf_error(g, "addresses", "at least one is needed");
        for (size_t i = 0; i < n; i++) {
                const char *text = conf_list_str(g, "addresses", i), *why;
                if (control_addr_parse_ip(span_str(text), &v[i], &why) < 0)
                        conf_error(g, "addresses", "\"%s\": %s", text, why);
        }
        credentials_conf_read(g, &s->push.credentials);
        s->push.tls = v;
        s->push.n_tls = n;
}

static void read_listen(struct settings *s, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub(root, "listen");
        size_t n = conf_list_len(g, "uids");
        uint32_t *uids = take(s, n, sizeof *uids);
        s->push.socket = str(s, g, "socket");
        s->admin = str(s, g, "admin");
        for (size_t i = 0; i < n; i++) {
                const char *text = conf_list_str(g, "uids", i);
                char *end;
                unsigned long u = strtoul(text, &end, 10);
                if (*text < '0' || *text > '9' || *end || u > UINT32_MAX - 1)
                        conf_error(g, "uids", "%s is not a user id", text);
                uids[i] = (uint32_t)u;
        }
        s->push.uids = uids;
        s->push.n_uids = n;
        const struct conf_group *tls = conf_sub_or_null(g, "tls");
        if (tls)
                read_tls(s, tls);
        s->push.agent_name = str_or(s, root, "name", "agent");
        const struct conf_group *p = conf_sub_or_null(root, "push");
        s->push.prepare_timeout_ms = p ? (uint32_t)conf_int_or(p, "prepare_timeout_ms", 100, 600000, 10000) : 10000;
        s->push.drain_ms = p ? (uint32_t)conf_int_or(p, "drain_ms", 0, 600000, 2000) : 2000;
        s->fold_ms = p ? (unsigned)conf_int_or(p, "fold_ms", 10, 600000, 5000) : 5000;
        s->push.ping_ms = p ? (uint32_t)conf_int_or(p, "ping_ms", 10, 60000, 2000) : 2000;
}

/* Both groups may be there, the one that is not the source is only checked. */
static void read_source(struct settings *s, const struct conf_group *root)
{
        const char *source = conf_str(root, "source");
        s->kubernetes = strcmp(source, "kubernetes") == 0;
        if (!s->kubernetes && strcmp(source, "directory") != 0)
                conf_error(root, "source", "expected \"directory\" or \"kubernetes\"");
        const struct conf_group *d = s->kubernetes ? conf_sub_or_null(root, "directory") : conf_sub(root, "directory");
        s->directory = d ? str(s, d, "path") : "";
        s->settle_ms = d ? (unsigned)conf_int_or(d, "settle_ms", 0, 60000, 200) : 0;
        s->default_namespace = d ? str_or(s, d, "default_namespace", "default") : "default";
        s->status_dir = s->kubernetes ? str_or(s, root, "status_dir", "") : str(s, root, "status_dir");
        const struct conf_group *k = s->kubernetes ? conf_sub(root, "kubernetes") : conf_sub_or_null(root, "kubernetes");
        if (!k)
                return;
        s->kube.kubeconfig = str_or(s, k, "kubeconfig", "");
        s->kube.context = str_or(s, k, "context", "");
        s->kube.qps = (unsigned)conf_int_or(k, "status_qps", 1, 1000, 50);
        s->kube.burst = (unsigned)conf_int_or(k, "status_burst", 1, 10000, 100);
        s->kube.page = (unsigned)conf_int_or(k, "page", 1, 5000, KUBE_PAGE);
        s->kube.retry_ms = (unsigned)conf_int_or(k, "retry_ms", 1, KUBE_RETRY_MAX_MS, 800);
}

static void read_all(struct settings *s, const struct conf_group *root)
{
        static const char *const levels[LOG_LEVEL_N] = { "error", "warn", "info", "debug" };
        const char *level = conf_str_or(root, "log_level", "info");
        s->log_level = LOG_LEVEL_N;
        for (int i = 0; i < LOG_LEVEL_N; i++)
                if (strcmp(levels[i], level) == 0)
                        s->log_level = (enum log_level)i;
        if (s->log_level == LOG_LEVEL_N)
                conf_error(root, "log_level", "expected error, warn, info or debug");
        s->translate.controller_name = str(s, root, "controller_name");
        s->translate.cert_read = cert_read;
        s->translate.bundle_check = bundle_check;
        read_source(s, root);
        read_listen(s, root);
        read_pools(s, root);
        read_members(s, root);
}

int settings_load(const char *path, struct settings **ret, struct err *reterr)
{
        struct conf *c;
        int r = conf_open(path, &c, reterr);
        if (r < 0)
                return r;
        struct settings *s = calloc(1, sizeof *s);
        BUG_ON(!s); /* boot */
        arena_init(&s->arena, 16 * 1024, SETTINGS_MAX_BYTES);
        read_all(s, conf_root(c));
        r = conf_done(c, reterr);
        conf_close(c);
        if (r < 0) {
                settings_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

void settings_free(struct settings *s)
{
        if (!s)
                return;
        arena_fini(&s->arena);
        free(s);
}
