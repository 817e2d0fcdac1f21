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
                port(r, n->name, "uplink", kernel, n->mtu, n->queues, n->addresses, n->n_addresses, b);
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

static void l7gw_cfg(const struct render *r, size_t i, struct files *out)
{
        struct buf *b = &out->text;
        struct shard_plan p;
        char a4[IPADDR_STR_MAX], a6[IPADDR_STR_MAX];
        plan_shard(r->c, i, &p);
        buf_printf(b,
                   HEAD "name = \"%s\";\npool = \"%s\";\nthreads = %u;\n"
                        "control = {\n"
                        "  agents = [ \"unix:%s/run/gatehouse/agent/agent.sock\" ];\n"
                        "  admin = \"%s/run/gatehouse/l7gw/%s/admin.sock\";\n"
                        "  state_dir = \"%s/var/lib/gatehouse/l7gw/%s\";\n"
                        "};\n",
                   p.name, p.group->name, p.group->threads, r->root, r->root, p.name, r->root, p.name);
        buf_printf(b,
                   "access_log = \"%s\";\n"
                   "health = { addresses = [ \"%s\", \"%s\" ]; port = %u; };\n"
                   "limits = { max_connections = %u; };\n",
                   p.group->access_log ? "-" : "", ipaddr_str(&p.in[0].addr, a4), ipaddr_str(&p.in[1].addr, a6),
                   r->c->health_port, p.group->max_connections);
        files_end(out, 0644, NULL, RENDER_ETC "/l7gw/%s.cfg", p.name);
}

static void agent_pools(const struct render *r, struct buf *b)
{
        size_t k = 0;
        buf_str(b, "pools = (");
        for (size_t g = 0; g < r->c->n_groups; g++) {
                const struct shard_group *s = &r->c->groups[g];
                buf_printf(b, "%s\n  { name = \"%s\"; shards = (", g ? "," : "", s->name);
                for (unsigned i = 0; i < s->count; i++) {
                        struct shard_plan p;
                        char a4[IPADDR_STR_MAX], a6[IPADDR_STR_MAX];
                        plan_shard(r->c, k++, &p);
                        buf_printf(b, "%s\n      { name = \"%s\"; address = \"%s\"; address6 = \"%s\"; health_port = %u; }",
                                   i ? "," : "", p.name, ipaddr_str(&p.in[0].addr, a4), ipaddr_str(&p.in[1].addr, a6),
                                   r->c->health_port);
                }
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
        buf_str(b, " ];\n};\n");
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
        buf_printf(b, HEAD "hugepages=%d memory_mb=%u cores=%s links=", c->l4_hugepages, c->l4_memory_mb, c->l4_cores.text);
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
                buf_printf(b, "shard=%s link=%s\n", p.name, p.link);
        }
        files_end(out, 0644, NULL, RENDER_ETC "/ports.in");
}

int render_daemons(const struct render *r, struct files *out, struct err *reterr)
{
        l4lb_cfg(r, out);
        if (r->placeholders)
                placeholders(r, out);
        for (size_t i = 0; i < config_shards(r->c); i++)
                l7gw_cfg(r, i, out);
        agent_cfg(r, out);
        ports_input(r, out);
        return agent_source(r, out, reterr);
}
