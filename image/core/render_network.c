/* image/core/render_network.c - networkd files, the shards' links and addresses, the packet filter.  See render.h.
 * networkd manages management and backend only; data NICs are l4lb's, s<k> and b<k> are made by `ip -batch`. */
#include "lib/base.h"
#include "image/core/render_parts.h"

#define VIP_TABLE 100 /* routing table of replies, in a shard's namespace */

/* false: nothing to match (a data NIC that `ports` will choose). */
static bool match(const struct nic_match *m, struct buf *b)
{
        switch (m->by) {
        case NIC_MAC:
                buf_printf(b, "[Match]\nPermanentMACAddress=%s\nKind=!*\n", m->text);
                return true;
        case NIC_PCI:
                buf_printf(b, "[Match]\nPath=*pci-%s\n", m->text);
                return true;
        case NIC_NAME:
                buf_printf(b, "[Match]\nName=%s\n", m->text);
                return true;
        case NIC_SHARED: /* exception_nics */
        case NIC_ANY:
                break;
        }
        return false;
}

/* also: a data NIC whose addresses the host has as well, by its exception port; NULL = none. */
static void addresses(const struct config *c, const struct kernel_nic *k, const struct data_nic *also, struct buf *b)
{
        char s[PREFIX_STR_MAX];
        buf_printf(b,
                   "[Network]\nDHCP=%s\nIPv6AcceptRA=%s\nLinkLocalAddressing=ipv6\nIPForward=yes\nLLMNR=no\nMulticastDNS=no\n",
                   k->dhcp4 ? "ipv4" : "no", k->dhcp6_ra ? "yes" : "no");
        for (size_t i = 0; i < k->n_addresses; i++)
                buf_printf(b, "Address=%s\n", prefix_str(&k->addresses[i], s));
        for (size_t i = 0; also && i < also->n_addresses; i++)
                buf_printf(b, "Address=%s\n", prefix_str(&also->addresses[i], s));
        if (k->gateway4.af)
                buf_printf(b, "Gateway=%s\n", ipaddr_str(&k->gateway4, s));
        if (k->gateway6.af)
                buf_printf(b, "Gateway=%s\n", ipaddr_str(&k->gateway6, s));
        for (size_t i = 0; i < c->n_dns; i++)
                buf_printf(b, "DNS=%s\n", ipaddr_str(&c->dns[i], s));
        if (k->dhcp4)
                buf_str(b, "[DHCPv4]\nUseHostname=no\nClientIdentifier=mac\n");
}

static void kernel_nic(const struct config *c, const char *what, const struct kernel_nic *k, struct files *out)
{
        struct buf *b = &out->text;
        if (!k->present || k->nic.by == NIC_SHARED)
                return;
        if (!match(&k->nic, b)) /* any NIC: of the management side, when data NICs say which they are */
                buf_str(b, "[Match]\nType=ether\nKind=!*\n");
        buf_str(b, "[Link]\nRequiredForOnline=no\n");
        if (k->mtu)
                buf_printf(b, "MTUBytes=%u\n", k->mtu);
        if (k->vlan) {
                buf_printf(b, "[Network]\nVLAN=%s\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n", what);
                files_end(out, 0644, NULL, RENDER_NETWORK "/20-%s.network", what);
                buf_printf(b, "[NetDev]\nName=%s\nKind=vlan\n[VLAN]\nId=%u\n", what, k->vlan);
                files_end(out, 0644, NULL, RENDER_NETWORK "/21-%s.netdev", what);
                buf_printf(b, "[Match]\nName=%s\n[Link]\nRequiredForOnline=no\n", what);
                addresses(c, k, NULL, b);
                files_end(out, 0644, NULL, RENDER_NETWORK "/22-%s.network", what);
                return;
        }
        addresses(c, k, NULL, b);
        files_end(out, 0644, NULL, RENDER_NETWORK "/20-%s.network", what);
}

/* The host's side of exception ports: management or backend behind a data NIC, BGP from its addresses. */
static void exception_nics(const struct config *c, struct files *out)
{
        static const struct kernel_nic bgp_only;
        const struct kernel_nic *sides[] = {&c->management, &c->backend};
        for (size_t i = 0; i < c->n_data; i++) {
                const struct kernel_nic *k = &bgp_only;
                if (!render_has_exception(c, i))
                        continue;
                for (size_t j = 0; j < ARRAY_SIZE(sides); j++)
                        if (sides[j]->present && sides[j]->nic.by == NIC_SHARED && sides[j]->nic.shared == i)
                                k = sides[j];
                buf_printf(&out->text, "[Match]\nName=k%zu\n[Link]\nRequiredForOnline=no\n", i);
                addresses(c, k, &c->data[i], &out->text);
                files_end(out, 0644, NULL, RENDER_NETWORK "/20-k%zu.network", i);
        }
}

static void data_nics(const struct config *c, struct files *out)
{
        for (size_t i = 0; i < c->n_data; i++)
                if (match(&c->data[i].nic, &out->text)) {
                        buf_str(&out->text, "[Link]\nUnmanaged=yes\n");
                        files_end(out, 0644, NULL, RENDER_NETWORK "/10-%s.network", c->data[i].name);
                }
}

static void vip_rules(const struct config *c, unsigned af, struct buf *b)
{
        char s[PREFIX_STR_MAX];
        for (size_t i = 0; i < c->n_vips; i++)
                if (c->vips[i].addr.af == af)
                        buf_printf(b, "rule add from %s lookup %d priority 100\n", prefix_str(&c->vips[i], s), VIP_TABLE);
}

/* Where replies to clients go: to l4lb at the other end of the link, or in a box of shards alone as `routes` says. */
static void reply_routes(const struct config *c, const struct shard_plan *p, unsigned af, struct buf *b)
{
        char s[IPADDR_STR_MAX], net[PREFIX_STR_MAX];
        if (c->role != ROLE_SHARDS) {
                buf_printf(b, "route add default via %s dev eth0 table %d\n", ipaddr_str(&p->l4[af == 6].addr, s), VIP_TABLE);
                return;
        }
        for (size_t i = 0; i < c->n_routes; i++)
                if (c->routes[i].via.af == af && p->in[af == 6].addr.af)
                        buf_printf(b, "route add %s via %s dev eth0 table %d\n", network_str(&c->routes[i].prefix, net),
                                   ipaddr_str(&c->routes[i].via, s), VIP_TABLE);
}

/* Inside the shard's namespace, where `ports` has put eth0 and eth1: replies (from a VIP) by eth0, all else by eth1. */
static void shard_net(const struct config *c, size_t i, struct files *out)
{
        struct buf *b = &out->text;
        struct shard_plan p;
        char s[PREFIX_STR_MAX];
        plan_shard(c, i, &p);
        buf_printf(b, "link set lo up\nlink set eth0 mtu %u up\nlink set eth1 up\n", c->data[0].mtu);
        for (int f = 0; f < 2; f++) {
                const char *nodad = f ? " nodad" : "";
                if (p.in[f].addr.af)
                        buf_printf(b, "address add %s dev eth0%s\n", prefix_str(&p.in[f], s), nodad);
                buf_printf(b, "address add %s dev eth1%s\n", prefix_str(&p.out[f], s), nodad);
                reply_routes(c, &p, f ? 6 : 4, b);
                buf_printf(b, "route add default via %s dev eth1\n", ipaddr_str(&p.kernel[f].addr, s));
        }
        for (size_t k = 0; k < c->n_vips; k++)
                buf_printf(b, "route add local %s dev lo\n", prefix_str(&c->vips[k], s));
        vip_rules(c, 4, b);
        files_end(out, 0644, NULL, RENDER_ETC "/net/%s.batch", p.name);
        vip_rules(c, 6, b); /* `ip rule` does not see the family of an address: these are for `ip -6` */
        files_end(out, 0644, NULL, RENDER_ETC "/net/%s.batch6", p.name);
}

static void allowed(const struct ipprefix *v, size_t n, unsigned af, struct buf *b)
{
        char s[PREFIX_STR_MAX];
        for (size_t i = 0; i < n; i++)
                if (v[i].addr.af == af)
                        buf_printf(b, "                %s saddr %s accept\n", af == 4 ? "ip" : "ip6", prefix_str(&v[i], s));
}

static void nft_input(const struct config *c, struct buf *b)
{
        char s[IPADDR_STR_MAX];
        buf_str(b, "        chain input {\n"
                   "                type filter hook input priority filter; policy drop;\n"
                   "                iif lo accept\n"
                   "                ct state established,related accept\n"
                   "                ct state invalid drop\n"
                   "                meta l4proto ipv6-icmp icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept\n"
                   "                udp sport 67 udp dport 68 accept\n"
                   "                ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept\n"
                   "                icmp type echo-request limit rate 50/second accept\n"
                   "                icmpv6 type echo-request limit rate 50/second accept\n"
                   "                iifname \"b*\" drop comment \"a shard has no business with the box\"\n");
        for (size_t i = 0; i < c->n_neighbours; i++) {
                const struct ipaddr *a = &c->neighbours[i].address;
                buf_printf(b, "                %s saddr %s tcp dport 179 accept\n", a->af == 4 ? "ip" : "ip6", ipaddr_str(a, s));
        }
        allowed(c->allow, c->n_allow, 4, b);
        allowed(c->allow, c->n_allow, 6, b);
        buf_str(b, "        }\n");
}

static void nftables(const struct config *c, struct files *out)
{
        struct buf *b = &out->text;
        char s4[PREFIX_STR_MAX], s6[PREFIX_STR_MAX];
        buf_str(b, "flush ruleset\ntable inet gatehouse {\n");
        nft_input(c, b);
        buf_printf(b,
                   "        chain forward {\n"
                   "                type filter hook forward priority filter; policy drop;\n"
                   "                ct state established,related accept\n"
                   "                iifname \"b*\" oifname \"b*\" drop comment \"shards do not meet\"\n"
                   "                iifname \"b*\" accept comment \"a shard to its endpoints\"\n"
                   "        }\n"
                   "        chain postrouting {\n"
                   "                type nat hook postrouting priority srcnat;\n"
                   "                ip saddr %s oifname != \"b*\" masquerade\n"
                   "                ip6 saddr %s oifname != \"b*\" masquerade\n"
                   "        }\n"
                   "}\n",
                   network_str(&c->links4, s4), network_str(&c->links6, s6));
        files_end(out, 0600, NULL, RENDER_ETC "/nftables.conf");
}

void render_network(const struct render *r, struct files *out)
{
        const struct config *c = r->c;
        data_nics(c, out);
        kernel_nic(c, "management", &c->management, out);
        kernel_nic(c, "backend", &c->backend, out);
        exception_nics(c, out);
        for (size_t i = 0; i < config_shards(c); i++)
                shard_net(c, i, out);
        nftables(c, out);
}

void render_unconfigured(struct files *out)
{
        /* a link-local address, too: a metadata service may be all there is on the link */
        buf_str(&out->text, "[Match]\nType=ether\nKind=!*\n[Link]\nRequiredForOnline=no\n"
                            "[Network]\nDHCP=ipv4\nIPv6AcceptRA=yes\nLinkLocalAddressing=yes\nLLMNR=no\nMulticastDNS=no\n"
                            "[DHCPv4]\nUseHostname=no\nClientIdentifier=mac\n");
        files_end(out, 0644, NULL, RENDER_NETWORK "/20-management.network");
}
