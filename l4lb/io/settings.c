/* l4lb/io/settings.c - see settings.h.  Each check names its file and line through lib/io/config. */
#include "lib/base.h"
#include "l4lb/core/probe.h"
#include "l4lb/core/tunnel.h"
#include "l4lb/io/settings.h"
#include "lib/io/config.h"

#define MTU_MIN 1280 /* RFC 8200 5: every IPv6 link */
#define MTU_MAX 9600

static void copy_str(const struct conf_group *g, const char *key, const char *from, char *to, size_t n)
{
        if (strlen(from) >= n)
                conf_error(g, key, "longer than %zu bytes", n - 1);
        else
                memcpy(to, from, strlen(from) + 1);
}

static bool is_name(const char *s)
{
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
        return n > 0 && s[n] == 0;
}

static void read_name(const struct conf_group *g, char *to, size_t n)
{
        const char *name = conf_str(g, "name");
        if (*name && !is_name(name))
                conf_error(g, "name", "may hold letters, digits, '-', '_' and '.' only");
        copy_str(g, "name", name, to, n);
}

/* "1", "1-3", "0,2-4": one worker per CPU. */
static void read_cores(const struct conf_group *g, struct settings *s)
{
        const char *text = conf_str(g, "cores"), *p = text;
        while (*p) {
                char *end;
                unsigned long lo = strtoul(p, &end, 10), hi = lo;
                bool ok = end != p && *p >= '0' && *p <= '9';
                if (ok && *end == '-') {
                        p = end + 1;
                        ok = *p >= '0' && *p <= '9';
                        hi = strtoul(p, &end, 10);
                }
                if (!ok || hi < lo || hi > 1023 || (*end && *end != ',') || (*end == ',' && !end[1])) {
                        conf_error(g, "cores", "\"%s\" is not a list of CPUs such as \"1\", \"1-3\" or \"0,2\"", text);
                        return;
                }
                for (; lo <= hi; lo++) {
                        for (size_t i = 0; i < s->n_cores; i++)
                                if (s->cores[i] == lo) {
                                        conf_error(g, "cores", "CPU %lu is listed twice", lo);
                                        return;
                                }
                        if (s->n_cores == SETTINGS_MAX_WORKERS) {
                                conf_error(g, "cores", "more than %d CPUs", SETTINGS_MAX_WORKERS);
                                return;
                        }
                        s->cores[s->n_cores++] = (unsigned)lo;
                }
                p = *end ? end + 1 : end;
        }
        if (!s->n_cores)
                conf_error(g, "cores", "at least one CPU is needed");
}

static void read_dpdk(const struct conf_group *g, struct settings *s)
{
        read_cores(g, s);
        s->hugepages = conf_bool_or(g, "hugepages", true);
        s->nice = (int)conf_int_or(g, "nice", -20, 19, -10);
        s->memory_mb = (unsigned)conf_int_or(g, "memory_mb", 32, 1 << 20, 256);
        s->n_eal = conf_list_len(g, "eal");
        if (s->n_eal > SETTINGS_MAX_EAL_ARGS) {
                conf_error(g, "eal", "more than %d arguments", SETTINGS_MAX_EAL_ARGS);
                s->n_eal = 0;
        }
        for (size_t i = 0; i < s->n_eal; i++)
                copy_str(g, "eal", conf_list_str(g, "eal", i), s->eal[i], sizeof s->eal[i]);
}

static void read_addrs(const struct conf_group *g, struct settings_port *p)
{
        size_t n = conf_list_len(g, "addresses");
        if (n > L4_MAX_PORT_ADDRESSES) {
                conf_error(g, "addresses", "more than %d", L4_MAX_PORT_ADDRESSES);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const char *text = conf_list_str(g, "addresses", i);
                if (ipprefix_parse(span_str(text), &p->addrs[i]) < 0)
                        conf_error(g, "addresses", "\"%s\" is not ADDRESS/LENGTH", text);
        }
        p->n_addrs = n;
}

static void read_role(const struct conf_group *g, struct settings_port *p)
{
        const char *role = conf_str(g, "role");
        enum port_role r = PORT_UPLINK;
        while (r < PORT_ROLE_N && strcmp(role, port_role_str(r)) != 0)
                r++;
        if (r == PORT_ROLE_N)
                conf_error(g, "role", "must be \"uplink\", \"shard\" or \"kernel\", not \"%s\"", role);
        else
                p->role = r;
        copy_str(g, "kernel", conf_str_or(g, "kernel", ""), p->kernel, sizeof p->kernel);
        if (p->kernel[0] && p->role != PORT_UPLINK)
                conf_error(g, "kernel", "only an uplink has a kernel port");
}

static void read_port(const struct conf_group *g, struct settings *s, struct settings_port *p)
{
        read_name(g, p->name, sizeof p->name);
        for (const struct settings_port *q = s->ports; q < p; q++)
                if (strcmp(q->name, p->name) == 0)
                        conf_error(g, "name", "port \"%s\" is defined twice", p->name);
        const char *device = conf_str(g, "device");
        if (strpbrk(device, " \t\n"))
                conf_error(g, "device", "a device string holds no blanks");
        copy_str(g, "device", device, p->device, sizeof p->device);
        read_role(g, p);
        read_addrs(g, p);
        p->queues = (unsigned)conf_int_or(g, "queues", 0, SETTINGS_MAX_QUEUES, 0);
        p->mtu = (unsigned)conf_int_or(g, "mtu", MTU_MIN, MTU_MAX, 1500);
        /* A NIC's rings beyond 512 fall out of its share of the cache; a software port's ring must outlast the time for
         * which the kernel may give our core to somebody else. */
        unsigned desc = strncmp(device, "net_af_xdp", 10) == 0 ? 2048 : 512;
        p->rx_desc = (unsigned)conf_int_or(g, "rx_desc", 64, 4096, desc);
        p->tx_desc = (unsigned)conf_int_or(g, "tx_desc", 64, 4096, desc);
}

static uint8_t kernel_of(const struct settings *s, const struct settings_port *uplink)
{
        for (size_t i = 0; i < s->n_ports; i++)
                if (s->ports[i].role == PORT_KERNEL && strcmp(s->ports[i].name, uplink->kernel) == 0)
                        return (uint8_t)i;
        return PORT_NONE;
}

static void check_kernels(const struct conf_group *root, const struct settings *s)
{
        for (size_t i = 0; i < s->n_ports; i++) {
                const struct settings_port *p = &s->ports[i];
                const struct conf_group *g = conf_list_group(root, "ports", i);
                if (!p->kernel[0])
                        continue;
                if (kernel_of(s, p) == PORT_NONE)
                        conf_error(g, "kernel", "\"%s\" is no port of role \"kernel\"", p->kernel);
                for (size_t k = 0; k < i; k++)
                        if (strcmp(s->ports[k].kernel, p->kernel) == 0)
                                conf_error(g, "kernel", "kernel port \"%s\" has two uplinks", p->kernel);
        }
}

static void read_ports(const struct conf_group *root, struct settings *s)
{
        size_t n = conf_list_len(root, "ports");
        if (n == 0 || n > L4_MAX_PORTS) {
                conf_error(root, "ports", "1 to %d ports are needed, not %zu", L4_MAX_PORTS, n);
                return;
        }
        for (size_t i = 0; i < n; i++)
                read_port(conf_list_group(root, "ports", i), s, &s->ports[i]);
        s->n_ports = n;
        check_kernels(root, s);
}

static bool is_ours(const struct settings *s, const struct ipaddr *a)
{
        for (size_t i = 0; i < s->n_ports; i++)
                for (size_t k = 0; k < s->ports[i].n_addrs; k++)
                        if (ipaddr_eq(&s->ports[i].addrs[k].addr, a))
                                return true;
        return false;
}

static bool on_link(const struct settings *s, const struct ipaddr *a)
{
        for (size_t i = 0; i < s->n_ports; i++)
                for (size_t k = 0; k < s->ports[i].n_addrs; k++)
                        if (ipprefix_contains(&s->ports[i].addrs[k], a))
                                return true;
        return false;
}

static void read_routes(const struct conf_group *root, struct settings *s)
{
        size_t n = conf_list_len(root, "routes");
        if (n > L4_MAX_ROUTES) {
                conf_error(root, "routes", "more than %d", L4_MAX_ROUTES);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *g = conf_list_group(root, "routes", i);
                struct settings_route *r = &s->routes[i];
                const char *text = conf_str(g, "prefix");
                if (ipprefix_parse(span_str(text), &r->prefix) < 0)
                        conf_error(g, "prefix", "\"%s\" is not ADDRESS/LENGTH", text);
                if (!conf_addr(g, "via", &r->via))
                        continue;
                if (r->via.af != r->prefix.addr.af)
                        conf_error(g, "via", "is of the other address family than prefix");
                else if (is_ours(s, &r->via))
                        conf_error(g, "via", "\"%s\" is our own address", conf_str(g, "via"));
                else if (!on_link(s, &r->via))
                        conf_error(g, "via", "\"%s\" lies on the link of no port", conf_str(g, "via"));
        }
        s->n_routes = n;
}

static void read_tunnels(const struct conf_group *root, struct settings *s)
{
        struct net_decap *d = &s->decap;
        const struct conf_group *g = conf_sub_or_null(root, "tunnels");
        d->port = GUE_PORT;
        if (!g)
                return;
        d->port = (uint16_t)conf_int_or(g, "gue_port", 1, UINT16_MAX, GUE_PORT);
        d->n_to = conf_list_len(g, "open");
        d->n_from = conf_list_len(g, "from");
        if (d->n_to > ARRAY_SIZE(d->to) || d->n_from > ARRAY_SIZE(d->from)) {
                conf_error(g, "open", "more than %zu addresses or %zu prefixes", ARRAY_SIZE(d->to), ARRAY_SIZE(d->from));
                d->n_to = d->n_from = 0;
        }
        if (d->n_to && !d->n_from)
                conf_error(g, "from", "tunnels of anybody would be a way around every filter: name the other l4lb");
        for (size_t i = 0; i < d->n_to; i++) {
                const char *text = conf_list_str(g, "open", i);
                if (ipaddr_parse(span_str(text), &d->to[i]) < 0 || !is_ours(s, &d->to[i]))
                        conf_error(g, "open", "\"%s\" is no address of a port", text);
        }
        for (size_t i = 0; i < d->n_from; i++) {
                const char *text = conf_list_str(g, "from", i);
                if (ipprefix_parse(span_str(text), &d->from[i]) < 0)
                        conf_error(g, "from", "\"%s\" is not ADDRESS/LENGTH", text);
        }
}

static void read_control(const struct conf_group *g, struct settings *s)
{
        agents_conf_read(g, &s->agents);
        copy_str(g, "admin", conf_str_or(g, "admin", ""), s->admin, sizeof s->admin);
        copy_str(g, "state_dir", conf_str(g, "state_dir"), s->state_dir, sizeof s->state_dir);
        s->n_uids = conf_list_len(g, "uids");
        if (s->n_uids > SETTINGS_MAX_UIDS) {
                conf_error(g, "uids", "more than %d", SETTINGS_MAX_UIDS);
                s->n_uids = 0;
        }
        for (size_t i = 0; i < s->n_uids; i++) {
                const char *text = conf_list_str(g, "uids", i);
                char *end;
                unsigned long v = strtoul(text, &end, 10);
                if (*text < '0' || *text > '9' || *end || v >= UINT32_MAX)
                        conf_error(g, "uids", "\"%s\" is not a numeric user id", text);
                s->uids[i] = (uint32_t)v;
        }
}

static void read_level(const struct conf_group *root, struct settings *s)
{
        static const char *const names[LOG_LEVEL_N] = {"error", "warn", "info", "debug"};
        const char *level = conf_str_or(root, "log_level", "info");
        for (int i = 0; i < LOG_LEVEL_N; i++)
                if (strcmp(level, names[i]) == 0) {
                        s->log_level = (enum log_level)i;
                        return;
                }
        conf_error(root, "log_level", "must be error, warn, info or debug, not \"%s\"", level);
}

static void read_all(struct conf *c, struct settings *s)
{
        const struct conf_group *root = conf_root(c), *g;
        read_name(root, s->name, sizeof s->name);
        read_level(root, s);
        read_control(conf_sub(root, "control"), s);
        read_dpdk(conf_sub(root, "dpdk"), s);
        read_ports(root, s);
        read_routes(root, s);
        s->flow_entries = 1048576;
        s->tcp_idle_s = 350;
        s->udp_idle_s = 120;
        g = conf_sub_or_null(root, "flows");
        if (g) {
                s->flow_entries = (unsigned)conf_int_or(g, "table_entries", 1024, 1 << 26, s->flow_entries);
                s->tcp_idle_s = (unsigned)conf_int_or(g, "tcp_idle_s", 10, 6000, s->tcp_idle_s);
                s->udp_idle_s = (unsigned)conf_int_or(g, "udp_idle_s", 5, 6000, s->udp_idle_s);
        }
        s->nat_lo = 1024;
        s->nat_hi = 32767;
        g = conf_sub_or_null(root, "nat");
        if (g) {
                s->nat_lo = (unsigned)conf_int_or(g, "port_min", 1, PROBE_PORT_LO - 1, s->nat_lo);
                s->nat_hi = (unsigned)conf_int_or(g, "port_max", 1, PROBE_PORT_LO - 1, s->nat_hi);
                if (s->nat_hi < s->nat_lo + SETTINGS_MAX_WORKERS - 1)
                        conf_error(g, "port_max", "port_min to port_max must hold at least %d ports", SETTINGS_MAX_WORKERS);
        }
        read_tunnels(root, s);
        s->refusals_pps = L4_MAX_REFUSALS_PER_S;
        s->to_kernel_pps = L4_MAX_TO_KERNEL_PER_S;
        g = conf_sub_or_null(root, "limits");
        if (g) {
                s->to_kernel_pps = (unsigned)conf_int_or(g, "to_kernel_pps", 100, 10000000, s->to_kernel_pps);
                s->refusals_pps = (unsigned)conf_int_or(g, "refusals_pps", 0, 1000000, s->refusals_pps);
        }
        s->spin_polls = 64;
        s->pause_polls = 256;
        s->sleep_us_max = 1000;
        g = conf_sub_or_null(root, "idle");
        if (g) {
                s->spin_polls = (unsigned)conf_int_or(g, "spin_polls", 0, 1 << 30, s->spin_polls);
                s->pause_polls = (unsigned)conf_int_or(g, "pause_polls", 0, 1 << 30, s->pause_polls);
                s->sleep_us_max = (unsigned)conf_int_or(g, "sleep_us_max", 0, 100000, s->sleep_us_max);
        }
}

int settings_load(const char *path, struct settings *ret, struct err *reterr)
{
        struct conf *c = NULL;
        int r = conf_open(path, &c, reterr);
        if (r < 0)
                return r;
        memset(ret, 0, sizeof *ret);
        read_all(c, ret);
        r = conf_done(c, reterr);
        conf_close(c);
        return r;
}

void settings_net(const struct settings *s, struct net *ret)
{
        memset(ret, 0, sizeof *ret);
        for (size_t i = 0; i < s->n_ports; i++) {
                const struct settings_port *c = &s->ports[i];
                struct net_port *p = &ret->ports[i];
                memcpy(p->name, c->name, sizeof p->name);
                p->role = c->role;
                p->mtu = (uint16_t)c->mtu;
                memcpy(p->addresses, c->addrs, sizeof p->addresses);
                p->n_addresses = c->n_addrs;
                p->uplink = PORT_NONE;
        }
        for (size_t i = 0; i < s->n_ports; i++) {
                uint8_t k = s->ports[i].kernel[0] ? kernel_of(s, &s->ports[i]) : PORT_NONE;
                if (k != PORT_NONE)
                        ret->ports[k].uplink = (uint8_t)i;
        }
        ret->n_ports = s->n_ports;
        ret->to_kernel_pps = s->to_kernel_pps;
        ret->refusals_pps = s->refusals_pps;
        ret->decap = s->decap;
        for (size_t i = 0; i < s->n_routes; i++)
                ret->routes[i] = (struct net_route){.prefix = s->routes[i].prefix, .via = s->routes[i].via};
        ret->n_routes = s->n_routes;
}
