/* image/io/config_network.c - interfaces, addresses and routes of a gatehouse.cfg.  See config_read.h. */
#include "lib/base.h"
#include "image/io/config_read.h"

#define MTU_MIN 1280 /* RFC 8200 5: every IPv6 link */
#define MTU_MAX 9600

static bool host_bits_set(const struct ipprefix *p)
{
        size_t bytes = ipaddr_len(&p->addr);
        for (size_t bit = p->len; bit < bytes * 8; bit++)
                if (p->addr.b[bit / 8] & (0x80u >> (bit % 8)))
                        return true;
        return false;
}

void read_prefix(const struct conf_group *g, const char *key, const char *text, bool host_bits, struct ipprefix *ret)
{
        if (!strchr(text, '/') || ipprefix_parse(span_str(text), ret) < 0) {
                conf_error(g, key, "\"%s\" is not ADDRESS/LENGTH", text);
                *ret = (struct ipprefix){0};
        } else if (!host_bits && host_bits_set(ret)) {
                conf_error(g, key, "\"%s\" has bits behind its length: a network is meant", text);
        }
}

size_t read_prefixes(const struct conf_group *g, const char *key, struct ipprefix *ret, size_t max, bool host_bits)
{
        size_t n = conf_list_len(g, key);
        if (n > max) {
                conf_error(g, key, "more than %zu", max);
                return 0;
        }
        for (size_t i = 0; i < n; i++)
                read_prefix(g, key, conf_list_str(g, key, i), host_bits, &ret[i]);
        return n;
}

static const struct data_nic *data_by_name(const struct config *c, const char *name, unsigned *ret_i)
{
        for (unsigned i = 0; i < c->n_data; i++)
                if (strcmp(c->data[i].name, name) == 0) {
                        *ret_i = i;
                        return &c->data[i];
                }
        return NULL;
}

/* `nic`, or for a kernel interface `shared` with a data NIC instead. */
static void read_nic(struct config *c, const struct conf_group *g, bool may_share, struct nic_match *ret)
{
        const char *text = conf_str_or(g, "nic", ""), *shared = may_share ? conf_str_or(g, "shared_with", "") : "";
        *ret = (struct nic_match){0};
        if (*text && *shared)
                conf_error(g, "shared_with", "either nic or shared_with");
        if (*text && nic_match_parse(text, ret) < 0)
                conf_error(g, "nic", "\"%s\" is no MAC address (52:54:00:12:34:56), PCI address (0000:03:00.0) or interface name", text);
        if (!*shared)
                return;
        const struct data_nic *d = data_by_name(c, shared, &ret->shared);
        if (!d) {
                conf_error(g, "shared_with", "there is no data NIC \"%s\"", shared);
                return;
        }
        ret->by = NIC_SHARED;
        memcpy(ret->text, d->name, sizeof d->name);
}

static bool on_link(const struct ipprefix *addrs, size_t n, const struct ipaddr *a)
{
        for (size_t i = 0; i < n; i++)
                if (ipprefix_contains(&addrs[i], a))
                        return true;
        return false;
}

static void read_gateway(const struct conf_group *g, const char *key, unsigned af, const struct kernel_nic *k, struct ipaddr *ret)
{
        if (!conf_addr_or_unset(g, key, ret) || ret->af == 0)
                return;
        if (ret->af != af)
                conf_error(g, key, "must be an IPv%u address", af);
        else if (k->n_addresses && !on_link(k->addresses, k->n_addresses, ret) &&
                 !(af == 6 && ret->b[0] == 0xfe && (ret->b[1] & 0xc0) == 0x80)) /* RFC 4291 2.5.6: link-local */
                conf_error(g, key, "lies on the network of no address");
}

static void read_kernel_nic(struct config *c, const struct conf_group *root, const char *key, struct kernel_nic *k)
{
        const struct conf_group *g = conf_sub_or_null(root, key);
        if (!g)
                return;
        k->present = true;
        read_nic(c, g, true, &k->nic);
        k->n_addresses = read_prefixes(g, "addresses", k->addresses, IMAGE_MAX_ADDRESSES, true);
        k->dhcp4 = conf_bool_or(g, "dhcp", k->n_addresses == 0);
        k->dhcp6_ra = conf_bool_or(g, "ipv6_auto", k->n_addresses == 0);
        read_gateway(g, "gateway", 4, k, &k->gateway4);
        read_gateway(g, "gateway6", 6, k, &k->gateway6);
        k->vlan = (unsigned)conf_int_or(g, "vlan", 0, 4094, 0);
        k->mtu = (unsigned)conf_int_or(g, "mtu", 0, MTU_MAX, 0);
        if (k->mtu && k->mtu < MTU_MIN)
                conf_error(g, "mtu", "must be 0 or at least %d", MTU_MIN);
        if (k->nic.by == NIC_SHARED && k->vlan)
                conf_error(g, "vlan", "a NIC shared with the data plane carries no VLAN");
}

static void read_driver(const struct conf_group *g, struct data_nic *d)
{
        const char *text = conf_str_or(g, "driver", "auto");
        for (unsigned i = 0; i < DRIVER_N; i++)
                if (strcmp(text, port_driver_names[i]) == 0) {
                        d->driver = (enum port_driver)i;
                        return;
                }
        conf_error(g, "driver", "must be auto, vfio, af_xdp, uio or af_packet, not \"%s\"", text);
}

static void read_data_nic(struct config *c, const struct conf_group *g, struct data_nic *d)
{
        const char *name;
        unsigned i;
        read_name(c, g, "name", sizeof d->name - 1, &name);
        if (data_by_name(c, name, &i))
                conf_error(g, "name", "data NIC \"%s\" is there twice", name);
        /* s1, s2 ... and k0 are the names of links that we make ourselves */
        if ((name[0] == 's' || name[0] == 'k') && name[1] && strspn(name + 1, "0123456789") == strlen(name + 1))
                conf_error(g, "name", "\"%s\" is the name of a link of ours", name);
        snprintf(d->name, sizeof d->name, "%.*s", (int)sizeof d->name - 1, name);
        read_nic(c, g, false, &d->nic);
        d->mtu = (unsigned)conf_int_or(g, "mtu", MTU_MIN, MTU_MAX, 1500);
        if (c->role == ROLE_SHARDS) {
                if (conf_list_len(g, "addresses"))
                        conf_error(g, "addresses", "in a box of role \"shards\" each shard has its own: shards.addresses");
                return; /* it stays with the kernel */
        }
        read_driver(g, d);
        d->n_addresses = read_prefixes(g, "addresses", d->addresses, IMAGE_MAX_ADDRESSES, true);
        if (d->n_addresses == 0)
                conf_error(g, "addresses", "a data NIC needs at least one address");
        if (c->role == ROLE_L4) {
                const char *faces = conf_str_or(g, "faces", "clients");
                d->to_shards = strcmp(faces, "shards") == 0;
                if (!d->to_shards && strcmp(faces, "clients") != 0)
                        conf_error(g, "faces", "must be \"clients\" or \"shards\", not \"%s\"", faces);
        }
        d->queues = (unsigned)conf_int_or(g, "queues", 0, 32, 0);
}

static bool same_nic(const struct nic_match *a, const struct nic_match *b)
{
        return a->by == b->by && a->by != NIC_ANY && a->by != NIC_SHARED && strcmp(a->text, b->text) == 0;
}

static void read_data(struct config *c, const struct conf_group *root)
{
        size_t n = conf_list_len(root, "data");
        if (c->role == ROLE_SHARDS && n != 1) {
                conf_error(root, "data", "one data NIC is needed, that of the segment shared with the load balancer, not %zu", n);
                return;
        }
        if (n == 0 || n > IMAGE_MAX_DATA_NICS) {
                conf_error(root, "data", "1 to %d data NICs are needed, not %zu", IMAGE_MAX_DATA_NICS, n);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *g = conf_list_group(root, "data", i);
                read_data_nic(c, g, &c->data[i]);
                for (size_t k = 0; k < i; k++)
                        if (same_nic(&c->data[k].nic, &c->data[i].nic))
                                conf_error(g, "nic", "is data NIC \"%s\" already", c->data[k].name);
                c->n_data = i + 1;
        }
}

static void check_not_data(const struct config *c, const struct conf_group *root, const char *key, const struct kernel_nic *k)
{
        for (size_t i = 0; i < c->n_data; i++)
                if (same_nic(&c->data[i].nic, &k->nic))
                        conf_error(conf_sub(root, key), "nic", "is data NIC \"%s\" already; shared_with = \"%s\" shares it",
                                   c->data[i].name, c->data[i].name);
}

static void read_routes(struct config *c, const struct conf_group *root)
{
        size_t n = conf_list_len(root, "routes");
        if (n > IMAGE_MAX_ROUTES) {
                conf_error(root, "routes", "more than %d", IMAGE_MAX_ROUTES);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *g = conf_list_group(root, "routes", i);
                struct static_route *r = &c->routes[i];
                bool linked = false;
                read_prefix(g, "prefix", conf_str(g, "prefix"), false, &r->prefix);
                if (!conf_addr(g, "via", &r->via))
                        continue;
                for (size_t k = 0; k < c->n_data; k++)
                        linked |= on_link(c->data[k].addresses, c->data[k].n_addresses, &r->via);
                if (r->via.af != r->prefix.addr.af)
                        conf_error(g, "via", "is of the other address family than prefix");
                else if (!linked && c->role != ROLE_SHARDS) /* there the shards' addresses say it: read_far */
                        conf_error(g, "via", "lies on the network of no data NIC");
        }
        c->n_routes = n;
}

static bool overlap(const struct ipprefix *a, const struct ipprefix *b)
{
        return ipprefix_contains(a, &b->addr) || ipprefix_contains(b, &a->addr);
}

static void read_links(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "links");
        read_prefix(root, "links", g ? conf_str_or(g, "v4", "198.18.0.0/16") : "198.18.0.0/16", false, &c->links4);
        read_prefix(root, "links", g ? conf_str_or(g, "v6", "fd67:6174:6500::/48") : "fd67:6174:6500::/48", false, &c->links6);
        if (c->links4.addr.af != 4 || c->links4.len > 22)
                conf_error(g ? g : root, g ? "v4" : "links", "an IPv4 network of length 22 or less is needed");
        if (c->links6.addr.af != 6 || c->links6.len > 48)
                conf_error(g ? g : root, g ? "v6" : "links", "an IPv6 network of length 48 or less is needed");
        for (size_t i = 0; i < c->n_vips; i++)
                if (overlap(&c->vips[i], &c->links4) || overlap(&c->vips[i], &c->links6))
                        conf_error(root, "vip_pools", "overlap with the addresses of our own links: set links");
        for (size_t i = 0; i < c->n_data; i++)
                for (size_t k = 0; k < c->data[i].n_addresses; k++)
                        if (overlap(&c->data[i].addresses[k], &c->links4) || overlap(&c->data[i].addresses[k], &c->links6))
                                conf_error(root, "data", "the addresses of \"%s\" overlap with those of our own links: set links", c->data[i].name);
}

void read_network(struct config *c, const struct conf_group *root)
{
        read_data(c, root);
        read_kernel_nic(c, root, "management", &c->management);
        read_kernel_nic(c, root, "backend", &c->backend);
        if (!c->management.present)
                c->management = (struct kernel_nic){.present = true, .dhcp4 = true, .dhcp6_ra = true};
        for (size_t i = 0; i < c->n_data; i++)
                if (c->data[i].nic.by == NIC_ANY && (c->management.nic.by == NIC_ANY || c->n_data > 1))
                        conf_error(conf_list_group(root, "data", i), "nic", "is missing, and nothing else tells which NIC is meant");
        check_not_data(c, root, "management", &c->management);
        check_not_data(c, root, "backend", &c->backend);
        if (c->backend.present && c->backend.nic.by == NIC_ANY)
                conf_error(conf_sub(root, "backend"), "nic", "is missing");
        if (c->backend.present && (same_nic(&c->backend.nic, &c->management.nic) ||
                                   (c->backend.nic.by == NIC_SHARED && c->management.nic.by == NIC_SHARED)))
                conf_error(conf_sub(root, "backend"), "nic", "is the management NIC already: leave backend out");
        c->n_allow = read_prefixes(root, "allow", c->allow, IMAGE_MAX_PREFIXES, false);
        read_routes(c, root);
        c->n_vips = read_prefixes(root, "vip_pools", c->vips, IMAGE_MAX_VIP_POOLS, false);
        if (c->n_vips == 0)
                conf_error(root, "vip_pools", "at least one prefix of virtual addresses is needed");
        read_links(c, root);
}
