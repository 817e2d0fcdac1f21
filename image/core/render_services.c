/* image/core/render_services.c - time, BGP, names, remote log, and what systemd is told of units.  See render.h. */
#include "lib/base.h"
#include "image/core/render_parts.h"

static void chrony(const struct config *c, struct files *out)
{
        struct buf *b = &out->text;
        for (size_t i = 0; i < c->n_ntp; i++)
                buf_printf(b, "server %s iburst%s\n", c->ntp[i], c->nts ? " nts" : "");
        buf_str(b, "sourcedir /run/chrony-dhcp\n"
                   "driftfile /var/lib/chrony/chrony.drift\n"
                   "ntsdumpdir /var/lib/chrony\n"
                   "makestep 1.0 3\n"
                   "rtcsync\n"
                   "port 0\n"
                   "cmdport 0\n"
                   "user _chrony\n");
        files_end(out, 0644, NULL, RENDER_ETC "/chrony.conf");
}

/* One protocol for each prefix: advertise (image/io/command_advertise.c) enables it while somebody is there to serve it. */
static void bird_vips(const struct config *c, struct buf *b)
{
        char s[PREFIX_STR_MAX];
        for (size_t i = 0; i < c->n_vips; i++)
                buf_printf(b, "protocol static vips%zu_%u { disabled yes; ipv%u; route %s blackhole; }\n", i, c->vips[i].addr.af,
                           c->vips[i].addr.af, network_str(&c->vips[i], s));
}

static void advertise(const struct config *c, struct files *out)
{
        struct buf *b = &out->text;
        char s[PREFIX_STR_MAX];
        buf_str(b, "l4lb = \"/run/gatehouse/l4lb/admin.sock\";\nbird = \"/run/bird/bird.ctl\";\npools = (");
        for (size_t i = 0; i < c->n_vips; i++)
                buf_printf(b, "%s\n  { protocol = \"vips%zu_%u\"; prefix = \"%s\"; }", i ? "," : "", i, c->vips[i].addr.af,
                           network_str(&c->vips[i], s));
        buf_str(b, " );\n");
        files_end(out, 0644, NULL, RENDER_ETC "/advertise.cfg");
}

static void bird(const struct config *c, struct files *out)
{
        struct buf *b = &out->text;
        char s[IPADDR_STR_MAX];
        if (!c->n_neighbours)
                return;
        buf_printf(b, "log syslog all;\nrouter id %s;\nprotocol device { }\n", ipaddr_str(&c->bgp_router_id, s));
        bird_vips(c, b);
        for (size_t i = 0; i < c->n_neighbours; i++) {
                const struct bgp_neighbour *n = &c->neighbours[i];
                buf_printf(b, "protocol bgp router%zu {\n  local as %u;\n  neighbor %s as %u;\n  hold time %u;\n", i + 1, c->bgp_as,
                           ipaddr_str(&n->address, s), n->as, n->hold_s);
                if (n->multihop)
                        buf_str(b, "  multihop;\n");
                if (*n->password)
                        buf_printf(b, "  password \"%s\";\n", n->password);
                buf_printf(b, "  ipv%u { import none; export where proto ~ \"vips*_%u\"; next hop self; };\n}\n", n->address.af,
                           n->address.af);
        }
        files_end(out, 0640, "bird", RENDER_ETC "/bird.conf");
        advertise(c, out);
}

static void names(const struct config *c, struct files *out)
{
        struct buf *b = &out->text;
        char s[IPADDR_STR_MAX];
        buf_str(b, "[Resolve]\nLLMNR=no\nMulticastDNS=no\nFallbackDNS=\n");
        for (size_t i = 0; i < c->n_dns; i++)
                buf_printf(b, "DNS=%s\n", ipaddr_str(&c->dns[i], s));
        for (size_t i = 0; i < c->n_search; i++)
                buf_printf(b, "Domains=%s\n", c->search[i]);
        files_end(out, 0644, NULL, "/run/systemd/resolved.conf.d/50-gatehouse.conf");
}

static void remote_log(const struct config *c, struct files *out)
{
        struct buf *b = &out->text;
        char s[IPADDR_STR_MAX];
        if (!c->syslog.af)
                return;
        buf_printf(b, "address = \"%s\";\nport = %u;\nprotocol = \"%s\";\nname = \"%s\";\n", ipaddr_str(&c->syslog, s),
                   c->syslog_port, c->syslog_tcp ? "tcp" : "udp", c->name);
        files_end(out, 0644, NULL, RENDER_ETC "/syslog.cfg");
}

static void update_keys(const struct config *c, struct files *out)
{
        for (size_t i = 0; i < c->update.n_keys; i++) {
                buf_printf(&out->text, "%s\n", c->update.keys[i]);
                files_end(out, 0644, NULL, RENDER_ETC "/update-keys/%zu.pem", i);
        }
}

static void ssh_keys(const struct config *c, struct files *out)
{
        if (!c->n_ssh_keys)
                return;
        for (size_t i = 0; i < c->n_ssh_keys; i++)
                buf_printf(&out->text, "%s\n", c->ssh_keys[i]);
        files_end(out, 0644, NULL, RENDER_ETC "/authorized_keys");
}

static void start(struct files *out, const char *unit, const char *file)
{
        char to[128];
        snprintf(to, sizeof to, "/usr/lib/systemd/system/%s", file);
        files_link(out, to, RENDER_WANTS "/%s", unit);
}

/* Cores and memory of each shard; everything that is not packets or requests keeps off l4lb's cores. */
static void units(const struct render *r, struct files *out)
{
        static const char *const others[] = {"system.slice", "gatehouse-control.slice", "user.slice", "init.scope"};
        const struct config *c = r->c;
        struct buf *b = &out->text;
        char cores[PLAN_CPU_TEXT], unit[80];
        const struct shard_group rest = {.cores = {.text = ""}};
        for (size_t i = 0; i < config_shards(c); i++) {
                struct shard_plan p;
                plan_shard(c, i, &p);
                plan_group_cores(c, p.group, &r->machine, cores);
                buf_printf(b, "[Service]\nUser=shard%u\nAllowedCPUs=%s\nMemoryMax=%uM\nMemorySwapMax=0\n%s\n", p.index, cores,
                           p.group->memory_mb,
                           r->locked ? "SetCredential=host.key:locked" : "LoadCredential=host.key:/run/gatehouse/keys/daemon.key");
                files_end(out, 0644, NULL, RENDER_UNITS "/l7gw@%s.service.d/50-gatehouse.conf", p.name);
                snprintf(unit, sizeof unit, "l7gw@%s.service", p.name);
                start(out, unit, "l7gw@.service");
        }
        plan_group_cores(c, &rest, &r->machine, cores);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                buf_printf(b, "[%s]\nAllowedCPUs=%s\n", strstr(others[i], ".scope") ? "Scope" : "Slice", cores);
                files_end(out, 0644, NULL, RENDER_UNITS "/%s.d/50-gatehouse.conf", others[i]);
        }
        if (c->role != ROLE_SHARDS) {
                start(out, "l4lb.service", "l4lb.service");
                if (!r->locked)
                        start(out, "gatehouse-agent.service", "gatehouse-agent.service");
        }
        if (c->syslog.af)
                start(out, "gatehouse-syslog.service", "gatehouse-syslog.service");
        if (c->update.automatic)
                start(out, "gatehouse-auto-update.timer", "gatehouse-auto-update.timer");
        if (c->n_neighbours) {
                start(out, "gatehouse-bird.service", "gatehouse-bird.service");
                start(out, "gatehouse-advertise.service", "gatehouse-advertise.service");
        }
}

/* Where gatectl looks: /run/gatehouse/NAME.sock, though each daemon may write in its own directory only;
 * those that every box has are in tmpfiles.d. */
static void sockets(const struct config *c, struct files *out)
{
        for (size_t i = 0; i < config_shards(c); i++) {
                struct shard_plan p;
                char to[80];
                plan_shard(c, i, &p);
                snprintf(to, sizeof to, "l7gw/%s/admin.sock", p.name);
                files_link(out, to, "/run/gatehouse/%s.sock", p.name);
        }
}

void render_services(const struct render *r, struct files *out)
{
        chrony(r->c, out);
        bird(r->c, out);
        names(r->c, out);
        remote_log(r->c, out);
        ssh_keys(r->c, out);
        update_keys(r->c, out);
        units(r, out);
        sockets(r->c, out);
}
