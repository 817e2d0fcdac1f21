/* image/core/render_daemons.c - the daemons' own files.  See render.h.  Every setting they are given is here; the rest is
 * their default (configs/l4lb.cfg, l7gw.cfg, agent.cfg). */
#include "lib/base.h"
#include "image/core/render_parts.h"
#include "image/core/users.h"

#define HEAD "# Rendered from gatehouse.cfg at every boot and apply: edit that.\n"
#define AGENT_GROUP "gatehouse-agent"

/* What `gatehouse-system ports` decides is in files of its own: the device of each port, hugepages and memory. */
static void include(const struct render *r, const char *name, struct buf *b)
{
        buf_printf(b, "\n@include \"%s" RENDER_ETC "/ports/%s.cfg\"\n", r->root, name);
}

static void port(const struct render *r, const char *name, const char *role, const char *more, unsigned mtu, unsigned queues,
                 const struct ipprefix *addrs, size_t n, struct buf *b)
{
        buf_printf(b, "  { name = \"%s\"; role = \"%s\";%s mtu = %u; queues = %u; addresses = ", name, role, more, mtu, queues);
        cfg_prefixes(b, addrs, n);
        buf_str(b, ";");
        include(r, name, b);
        buf_str(b, "  }");
}

static void l4_ports(const struct render *r, struct buf *b)
{
        const struct config *c = r->c;
        buf_str(b, "ports = (\n");
        for (size_t i = 0; i < c->n_data; i++) {
                const struct data_nic *n = &c->data[i];
                char kernel[40] = "";
                if (render_has_exception(c, i))
                        snprintf(kernel, sizeof kernel, " kernel = \"k%zu\";", i);
                buf_str(b, i ? ",\n" : "");
                port(r, n->name, n->to_shards ? "shard" : "uplink", kernel, n->mtu, n->queues, n->addresses, n->n_addresses, b);
        }
        for (size_t i = 0; i < config_shards(c); i++) {
                struct shard_plan p;
                plan_shard(c, i, &p);
                buf_str(b, ",\n");
                port(r, p.link, "shard", "", c->data[0].mtu, 0, p.l4, 2, b);
        }
        for (size_t i = 0; i < c->n_data; i++) {
                char name[32];
                if (!render_has_exception(c, i))
                        continue;
                snprintf(name, sizeof name, "k%zu", i);
                buf_str(b, ",\n");
                port(r, name, "kernel", "", c->data[i].mtu, 0, NULL, 0, b);
        }
        buf_str(b, " );\n");
}

static void l4lb_cfg(const struct render *r, struct files *out)
{
        const struct config *c = r->c;
        struct buf *b = &out->text;
        char cores[PLAN_CPU_TEXT];
        buf_printf(b,
                   HEAD "name = \"l4lb\";\n"
                        "control = {\n"
                        "  agents = [ \"unix:%s/run/gatehouse/agent/agent.sock\" ];\n"
                        "  admin = \"%s/run/gatehouse/l4lb/admin.sock\";\n"
                        "  state_dir = \"%s/var/lib/gatehouse/l4lb\";\n"
                        "};\n",
                   r->root, r->root, r->root);
        plan_l4_cores(c, &r->machine, cores);
        buf_printf(b, "dpdk = { cores = \"%s\";", cores);
        include(r, "memory", b);
        buf_str(b, "};\n");
        l4_ports(r, b);
        buf_str(b, "routes = (");
        for (size_t i = 0; i < c->n_routes; i++) {
                char p[PREFIX_STR_MAX], via[IPADDR_STR_MAX];
                buf_printf(b, "%s\n  { prefix = \"%s\"; via = \"%s\"; }", i ? "," : "", prefix_str(&c->routes[i].prefix, p),
                           ipaddr_str(&c->routes[i].via, via));
        }
        buf_printf(b, " );\nflows = { table_entries = %u; };\n", c->l4_flows);
        files_end(out, 0644, NULL, RENDER_ETC "/l4lb.cfg");
}

static void placeholders(const struct render *r, struct files *out)
{
        struct buf *b = &out->text;
        size_t n = 0;
        buf_printf(b, "hugepages = %s; memory_mb = %u;\n", r->c->l4_hugepages ? "true" : "false", r->c->l4_memory_mb);
        files_end(out, 0644, NULL, RENDER_ETC "/ports/memory.cfg");
        for (size_t i = 0; i < r->c->n_data; i++) {
                buf_printf(b, "device = \"net_null%zu\";\n", n++);
                files_end(out, 0644, NULL, RENDER_ETC "/ports/%s.cfg", r->c->data[i].name);
                if (!render_has_exception(r->c, i))
                        continue;
                buf_printf(b, "device = \"net_null%zu\";\n", n++);
                files_end(out, 0644, NULL, RENDER_ETC "/ports/k%zu.cfg", i);
        }
        for (size_t i = 0; i < config_shards(r->c); i++) {
                struct shard_plan p;
                plan_shard(r->c, i, &p);
                buf_printf(b, "device = \"net_null%zu\";\n", n++);
                files_end(out, 0644, NULL, RENDER_ETC "/ports/%s.cfg", p.link);
        }
}

/* By user or group, so that nobody else reads the key: neither a shard of another pool. */
static void credential(const struct render *r, const struct control_credential *v, const char *group, struct files *out)
{
        files_bytes(out, 0644, NULL, span_str(v->certificate), RENDER_ETC "/tls/%s/certificate.pem", v->name);
        files_bytes(out, 0640, group, span_str(v->key), RENDER_ETC "/tls/%s/key.pem", v->name);
        files_bytes(out, 0644, NULL, span_str(r->c->control.ca), RENDER_ETC "/tls/%s/ca.pem", v->name);
}

/* The `tls` group of a daemon's settings, after what stands first in it. */
static void tls_group(const struct render *r, const struct control_credential *v, const char *first, struct buf *b)
{
        static const char *const files[] = {"certificate", "key", "ca"};
        buf_printf(b, "  tls = {%s", first);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                buf_printf(b, " %s = \"%s" RENDER_ETC "/tls/%s/%s.pem\";", files[i], r->root, v->name, files[i]);
        buf_str(b, " };\n");
}

static void places(const struct control_conf *k, const char *prefix, struct buf *b)
{
        char text[CONTROL_ADDR_STR_MAX];
        for (size_t i = 0; i < k->n_at; i++) /* control_addr_str begins with "tls:" */
                buf_printf(b, "%s\"%s%s\"", i ? ", " : " ", prefix, control_addr_str(&k->at[i], text) + 4);
}

static void l7gw_agents(const struct render *r, const struct shard_plan *p, struct files *out)
{
        struct buf *b = &out->text;
        if (r->c->role != ROLE_SHARDS || r->locked) { /* locked: nobody listens there, and nothing could be proven to an agent elsewhere */
                buf_printf(b, "  agents = [ \"unix:%s/run/gatehouse/agent/agent.sock\" ];\n", r->root);
                return;
        }
        const struct control_credential *v = config_credential(r->c, p->name);
        BUG_ON(!v); /* read_far has looked */
        buf_str(b, "  agents = [");
        places(&r->c->control, "tls:", b);
        buf_str(b, " ];\n");
        tls_group(r, v, "", b);
}

static void health(const struct shard_plan *p, struct buf *b)
{
        char a[IPADDR_STR_MAX];
        buf_str(b, "health = { addresses = [");
        for (int f = 0, n = 0; f < 2; f++)
                if (p->in[f].addr.af)
                        buf_printf(b, "%s\"%s\"", n++ ? ", " : " ", ipaddr_str(&p->in[f].addr, a));
}

static void l7gw_cfg(const struct render *r, size_t i, struct files *out)
{
        struct buf *b = &out->text;
        struct shard_plan p;
        plan_shard(r->c, i, &p);
        buf_printf(b, HEAD "name = \"%s\";\npool = \"%s\";\nthreads = %u;\ncontrol = {\n", p.name, p.group->name, p.group->threads);
        l7gw_agents(r, &p, out);
        buf_printf(b,
                   "  admin = \"%s/run/gatehouse/l7gw/%s/admin.sock\";\n"
                   "  state_dir = \"%s/var/lib/gatehouse/l7gw/%s\";\n"
                   "};\n"
                   "access_log = \"%s\";\n",
                   r->root, p.name, r->root, p.name, p.group->access_log ? "-" : "");
        health(&p, b);
        buf_printf(b, " ]; port = %u; };\nlimits = { max_connections = %u; };\n", r->c->health_port, p.group->max_connections);
        files_end(out, 0644, NULL, RENDER_ETC "/l7gw/%s.cfg", p.name);
        if (r->c->role != ROLE_SHARDS || r->locked)
                return;
        const char *group = arena_printf(out->a, "shard%u", p.index);
        out->failed |= !group;
        credential(r, config_credential(r->c, p.name), group, out);
}

/* The shards of a group as l4lb reaches them. */
static void agent_shard(const struct render *r, const struct shard_group *g, unsigned i, size_t k, struct buf *b)
{
        struct shard_plan p;
        const struct ipprefix *at[2] = {&g->at[0][i], &g->at[1][i]};
        char name[48], a[IPADDR_STR_MAX];
        plan_shard_name(g, i, name);
        if (r->c->role != ROLE_L4) {
                plan_shard(r->c, k, &p);
                at[0] = &p.in[0];
                at[1] = &p.in[1];
        }
        buf_printf(b, "%s\n      { name = \"%s\";", i ? "," : "", name);
        if (at[0]->addr.af)
                buf_printf(b, " address = \"%s\";", ipaddr_str(&at[0]->addr, a));
        if (at[1]->addr.af)
                buf_printf(b, " address6 = \"%s\";", ipaddr_str(&at[1]->addr, a));
        buf_printf(b, " health_port = %u; }", r->c->health_port);
}

static void agent_pools(const struct render *r, struct buf *b)
{
        size_t k = 0;
        buf_str(b, "pools = (");
        for (size_t g = 0; g < r->c->n_groups; g++) {
                const struct shard_group *s = &r->c->groups[g];
                buf_printf(b, "%s\n  { name = \"%s\"; shards = (", g ? "," : "", s->name);
                for (unsigned i = 0; i < s->count; i++)
                        agent_shard(r, s, i, k++, b);
                buf_str(b, " );\n    gateways = ");
                cfg_strings(b, s->gateways, s->n_gateways);
                buf_str(b, "; select = ");
                cfg_strings(b, s->select, s->n_select);
                buf_str(b, "; }");
        }
        buf_str(b, " );\nvip_pools = ");
        cfg_prefixes(b, r->c->vips, r->c->n_vips);
        buf_str(b, ";\n");
}

static void agent_cfg(const struct render *r, struct files *out)
{
        const struct config *c = r->c;
        struct buf *b = &out->text;
        buf_printf(b,
                   HEAD "name = \"%s\";\ncontroller_name = \"gatehouse.dev/gateway\";\n"
                        "listen = {\n"
                        "  socket = \"%s/run/gatehouse/agent/agent.sock\";\n"
                        "  admin = \"%s/run/gatehouse/agent/admin.sock\";\n"
                        "  uids = [ \"%u\"",
                   c->name, r->root, r->root, (unsigned)UID_L4LB);
        for (size_t i = 0; i < config_shards(c); i++) {
                struct shard_plan p;
                plan_shard(c, i, &p);
                buf_printf(b, ", \"%u\"", p.uid);
        }
        buf_str(b, " ];\n");
        if (c->role == ROLE_L4) {
                struct buf listen;
                buf_init(&listen, 4096);
                buf_str(&listen, " addresses = [");
                places(&c->control, "", &listen);
                buf_str(&listen, " ];");
                out->failed |= listen.failed;
                tls_group(r, &c->control.credentials[0], buf_cstr(&listen), b);
                buf_fini(&listen);
        }
        buf_str(b, "};\n");
        if (c->agent.source == SOURCE_KUBERNETES) {
                buf_printf(b, "source = \"kubernetes\";\nkubernetes = { kubeconfig = \"%s" RENDER_ETC "/kubeconfig\"; context = ", r->root);
                cfg_str(b, c->agent.context);
                buf_str(b, "; };\n");
        } else {
                buf_printf(b,
                           "source = \"directory\";\ndirectory = { path = \"%s" RENDER_ETC "/manifests\"; };\n"
                           "status_dir = \"%s/var/lib/gatehouse/agent/status\";\n",
                           r->root, r->root);
        }
        buf_str(b, "l4 = { members = [ \"l4lb\" ]; };\n");
        agent_pools(r, b);
        files_end(out, 0644, NULL, RENDER_ETC "/agent.cfg");
        if (c->role == ROLE_L4)
                credential(r, &c->control.credentials[0], AGENT_GROUP, out);
}

/* Credentials and Secrets: for the agent's group only. */
static int agent_source(const struct render *r, struct files *out, struct err *reterr)
{
        const struct agent_conf *a = &r->c->agent;
        if (a->source == SOURCE_KUBERNETES) {
                struct span text = *a->kubeconfig ? span_str(a->kubeconfig) : r->seed->kubeconfig;
                if (text.n == 0)
                        return err_set(reterr, EINVAL, "agent", "kubeconfig: is neither in the file nor beside it");
                files_bytes(out, 0640, AGENT_GROUP, text, RENDER_ETC "/kubeconfig");
                return 0;
        }
        if (*a->manifests)
                files_bytes(out, 0640, AGENT_GROUP, span_str(a->manifests), RENDER_ETC "/manifests/gatehouse.yaml");
        for (size_t i = 0; i < r->seed->n_manifests; i++)
                files_bytes(out, 0640, AGENT_GROUP, r->seed->manifests[i].bytes, RENDER_ETC "/manifests/%s", r->seed->manifests[i].name);
        files_bytes(out, 0640, AGENT_GROUP, SPAN_LIT("\n"), RENDER_ETC "/manifests/.gatehouse"); /* the folder is there, empty or not */
        return 0;
}

/* What `gatehouse-system ports` and the links depend on, in words: when this file changes, they are made anew. */
static void ports_input(const struct render *r, struct files *out)
{
        const struct config *c = r->c;
        struct buf *b = &out->text;
        buf_printf(b, HEAD "role=%s hugepages=%d memory_mb=%u cores=%s links=", config_role_names[c->role], c->l4_hugepages, c->l4_memory_mb,
                   c->l4_cores.text);
        cfg_prefixes(b, (const struct ipprefix[]){c->links4, c->links6}, 2);
        buf_str(b, "\n");
        for (size_t i = 0; i < c->n_data; i++) {
                const struct data_nic *n = &c->data[i];
                buf_printf(b, "nic=%s by=%u %s driver=%s mtu=%u queues=%u kernel=%d\n", n->name, n->nic.by, n->nic.text,
                           port_driver_names[n->driver], n->mtu, n->queues, render_has_exception(c, i));
        }
        for (size_t i = 0; i < config_shards(c); i++) {
                struct shard_plan p;
                plan_shard(c, i, &p);
                buf_printf(b, "shard=%s link=%s", p.name, p.link);
                if (c->role == ROLE_SHARDS) { /* its link's hardware address comes of its own */
                        buf_str(b, " at=");
                        cfg_prefixes(b, p.in, 2);
                }
                buf_str(b, "\n");
        }
        files_end(out, 0644, NULL, RENDER_ETC "/ports.in");
}

int render_daemons(const struct render *r, struct files *out, struct err *reterr)
{
        if (r->c->role != ROLE_SHARDS) {
                l4lb_cfg(r, out);
                if (r->placeholders)
                        placeholders(r, out);
        }
        for (size_t i = 0; i < config_shards(r->c); i++)
                l7gw_cfg(r, i, out);
        ports_input(r, out);
        if (r->c->role == ROLE_SHARDS || r->locked) /* locked: the agent could ask nobody; what runs goes on from its last known good */
                return 0;
        agent_cfg(r, out);
        return agent_source(r, out, reterr);
}
