/* l4lb/core/net.c - see net.h. */
#include "lib/base.h"
#include "l4lb/core/neigh.h"
#include "l4lb/core/net.h"
#include "l4lb/core/wire.h"

static void link_local_of(struct net_port *p) /* RFC 4291 appendix A: EUI-64 */
{
        uint8_t *a = p->link_local;
        memset(a, 0, 16);
        a[0] = 0xfe;
        a[1] = 0x80;
        a[8] = p->mac[0] ^ 2;
        a[9] = p->mac[1];
        a[10] = p->mac[2];
        a[11] = 0xff;
        a[12] = 0xfe;
        memcpy(a + 13, p->mac + 3, 3);
}

static int own_add(struct net *net, uint8_t port, const struct ipaddr *a, struct err *reterr)
{
        bool v4 = a->af == 4;
        struct net_own *own = v4 ? net->own4 : net->own6;
        size_t *n = v4 ? &net->n_own4 : &net->n_own6;
        char text[IPADDR_STR_MAX];
        for (size_t i = 0; i < *n; i++)
                if (memcmp(own[i].addr, a->b, ipaddr_len(a)) == 0)
                        return err_set(reterr, EINVAL, net->ports[port].name, "address %s is already on port %s",
                                       ipaddr_str(a, text), net->ports[own[i].port].name);
        memcpy(own[*n].addr, a->b, sizeof own[*n].addr);
        own[(*n)++].port = port;
        return 0;
}

static int route_add(struct net *net, struct net_route r, struct err *reterr)
{
        if (net->n_routes == L4_MAX_ROUTES)
                return err_set(reterr, ENOSPC, "routes", "more than %d routes", L4_MAX_ROUTES);
        net->routes[net->n_routes++] = r;
        return 0;
}

const char *port_role_str(enum port_role r)
{
        static const char *const names[PORT_ROLE_N] = { "uplink", "shard", "kernel" };
        BUG_ON(r >= PORT_ROLE_N);
        return names[r];
}

static int kernels_init(struct net *net, struct err *reterr)
{
        for (uint8_t i = 0; i < net->n_ports; i++)
                net->ports[i].kernel = PORT_NONE;
        for (uint8_t i = 0; i < net->n_ports; i++) {
                struct net_port *p = &net->ports[i];
                if (p->role != PORT_KERNEL)
                        continue;
                if (p->n_addresses)
                        return err_set(reterr, EINVAL, p->name, "a kernel port has no addresses: its interface has them");
                if (p->uplink >= net->n_ports || net->ports[p->uplink].role != PORT_UPLINK)
                        return err_set(reterr, EINVAL, p->name, "no uplink names this kernel port");
                net->ports[p->uplink].kernel = i;
                memset(p->mac, 0xff, sizeof p->mac); /* nothing is sent to it: parse tells its frames by this */
        }
        return 0;
}

static int ports_init(struct net *net, struct err *reterr)
{
        if (net->n_ports == 0 || net->n_ports > L4_MAX_PORTS)
                return err_set(reterr, EINVAL, "ports", "%zu ports: there must be 1 to %d", net->n_ports, L4_MAX_PORTS);
        for (uint8_t i = 0; i < net->n_ports; i++) {
                struct net_port *p = &net->ports[i];
                if (p->mtu == 0)
                        p->mtu = 1500;
                if (p->n_addresses > L4_MAX_PORT_ADDRESSES)
                        return err_set(reterr, ENOSPC, p->name, "more than %d addresses", L4_MAX_PORT_ADDRESSES);
                link_local_of(p);
                memset(p->own4, 0, sizeof p->own4);
                memcpy(p->own6, p->link_local, sizeof p->own6);
                for (size_t k = 0; k < p->n_addresses; k++) {
                        const struct ipprefix *a = &p->addresses[k];
                        if (ipaddr_len(&a->addr) == 0 || a->len == 0 || a->len > 8 * ipaddr_len(&a->addr))
                                return err_set(reterr, EINVAL, p->name, "address %zu needs a prefix length", k + 1);
                        bool first = a->addr.af == 4 ? raw_u32(p->own4) == 0 : p->own6[0] == 0xfe;
                        if (first)
                                memcpy(a->addr.af == 4 ? p->own4 : p->own6, a->addr.b, ipaddr_len(&a->addr));
                        int r = own_add(net, i, &a->addr, reterr);
                        if (r == 0)
                                r = route_add(net, (struct net_route){ .prefix = *a, .port = i }, reterr);
                        if (r < 0)
                                return r;
                }
        }
        return kernels_init(net, reterr);
}

/* Longest first; then IPv4 first and by address, so that equal configurations give equal tables. */
static int route_cmp(const void *a, const void *b)
{
        const struct net_route *x = a, *y = b;
        if (x->prefix.len != y->prefix.len)
                return x->prefix.len > y->prefix.len ? -1 : 1;
        return ipaddr_cmp(&x->prefix.addr, &y->prefix.addr);
}

static void mask_of(unsigned len, uint8_t *mask, size_t n)
{
        for (size_t i = 0; i < n; i++, len -= MIN(len, 8u))
                mask[i] = (uint8_t)(len >= 8 ? 0xff : 0xff00 >> len);
}

static void hops_fill(struct net *net)
{
        for (size_t i = 0; i < net->n_routes; i++) {
                const struct net_route *r = &net->routes[i];
                uint8_t mask[16];
                mask_of(r->prefix.len, mask, sizeof mask);
                if (r->prefix.addr.af == 4) {
                        struct net_hop4 *h = &net->hops4[net->n_hops4++];
                        h->mask_be = raw_u32(mask);
                        h->net_be = raw_u32(r->prefix.addr.b) & h->mask_be;
                        h->port = r->port;
                        h->adjacency = r->adjacency;
                } else {
                        struct net_hop6 *h = &net->hops6[net->n_hops6++];
                        memcpy(h->mask, mask, 16);
                        memcpy(h->net, r->prefix.addr.b, 16);
                        h->net[0] &= h->mask[0];
                        h->net[1] &= h->mask[1];
                        h->port = r->port;
                        h->adjacency = r->adjacency;
                }
        }
}

int net_init(struct net *net, struct neigh *n, struct err *reterr)
{
        size_t n_static = net->n_routes;
        net->n_own4 = net->n_own6 = net->n_hops4 = net->n_hops6 = 0;
        int r = ports_init(net, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_static; i++) {
                struct net_route *rt = &net->routes[i];
                char text[IPADDR_STR_MAX];
                if (rt->via.af != rt->prefix.addr.af)
                        return err_set(reterr, EINVAL, ipaddr_str(&rt->prefix.addr, text),
                                       "route and next hop differ in family");
                rt->port = net_port_for(net, &rt->via, -1);
                if (rt->port == PORT_NONE)
                        return err_set(reterr, EINVAL, ipaddr_str(&rt->via, text), "next hop is on no port's network");
        }
        for (size_t i = 0; i < net->n_routes; i++) {
                struct net_route *rt = &net->routes[i];
                int a = rt->via.af ? neigh_pin(n, rt->port, &rt->via, 0) : NEIGH_NONE;
                if (a < 0)
                        return err_set(reterr, -a, "routes", "too many next hops");
                rt->adjacency = (uint16_t)a;
        }
        for (size_t i = 0; i < net->decap.n_to; i++) {
                const struct ipaddr *a = &net->decap.to[i];
                char text[IPADDR_STR_MAX];
                uint8_t owner = a->af == 4 ? net_owner4(net, a->b) : a->af == 6 ? net_owner6(net, a->b, 0) : PORT_NONE;
                if (owner == PORT_NONE)
                        return err_set(reterr, EINVAL, ipaddr_str(a, text), "tunnels can end at an address of a port only");
        }
        qsort(net->routes, net->n_routes, sizeof net->routes[0], route_cmp);
        hops_fill(net);
        return 0;
}

uint8_t net_port_for(const struct net *net, const struct ipaddr *a, int role)
{
        uint8_t best = PORT_NONE;
        unsigned best_len = 0;
        for (uint8_t i = 0; i < net->n_ports; i++) {
                const struct net_port *p = &net->ports[i];
                if (role >= 0 && p->role != (enum port_role)role)
                        continue;
                for (size_t k = 0; k < p->n_addresses; k++)
                        if (p->addresses[k].len > best_len && ipprefix_contains(&p->addresses[k], a)) {
                                best = i;
                                best_len = p->addresses[k].len;
                        }
        }
        return best;
}

const struct ipaddr *net_source_for(const struct net *net, uint8_t port, const struct ipaddr *peer)
{
        const struct net_port *p = &net->ports[port];
        const struct ipaddr *found = NULL;
        for (size_t k = 0; k < p->n_addresses; k++) {
                if (ipprefix_contains(&p->addresses[k], peer))
                        return &p->addresses[k].addr;
                if (!found && p->addresses[k].addr.af == peer->af)
                        found = &p->addresses[k].addr;
        }
        return found;
}

const struct net_hop4 *net_route4(const struct net *net, const uint8_t addr[4])
{
        uint32_t a = raw_u32(addr);
        for (size_t i = 0; i < net->n_hops4; i++)
                if ((a & net->hops4[i].mask_be) == net->hops4[i].net_be)
                        return &net->hops4[i];
        return NULL;
}

const struct net_hop6 *net_route6(const struct net *net, const uint8_t addr[16])
{
        uint64_t a[2];
        memcpy(a, addr, 16);
        for (size_t i = 0; i < net->n_hops6; i++) {
                const struct net_hop6 *h = &net->hops6[i];
                if ((((a[0] & h->mask[0]) ^ h->net[0]) | ((a[1] & h->mask[1]) ^ h->net[1])) == 0)
                        return h;
        }
        return NULL;
}

uint8_t net_owner4(const struct net *net, const uint8_t addr[4])
{
        for (size_t i = 0; i < net->n_own4; i++)
                if (raw_u32(net->own4[i].addr) == raw_u32(addr))
                        return net->own4[i].port;
        return PORT_NONE;
}

uint8_t net_owner6(const struct net *net, const uint8_t addr[16], uint8_t in_port)
{
        for (size_t i = 0; i < net->n_own6; i++)
                if (memcmp(net->own6[i].addr, addr, 16) == 0)
                        return net->own6[i].port;
        return memcmp(net->ports[in_port].link_local, addr, 16) == 0 ? in_port : PORT_NONE;
}
