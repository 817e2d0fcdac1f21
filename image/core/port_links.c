/* image/core/port_links.c - see port_links.h. */
#include "lib/base.h"
#include "image/core/port_links.h"
#include "image/core/users.h"

const char *const link_kind_names[LINK_N] = { "vhost_net", "af_xdp", "af_packet" };

enum link_kind link_choose(bool vhost_net, unsigned uplinks)
{
        if (vhost_net)
                return LINK_VHOST;
        return uplinks & 1u << DRIVER_AF_XDP ? LINK_XDP : LINK_PACKET; /* no right more than the uplinks cost anyhow */
}

/* Locally administered, the same after every restart: the shard's neighbour entries stay good. */
static void link_mac(bool kernel, unsigned k, char ret[18])
{
        snprintf(ret, 18, "02:67:68:%02x:00:%02x", kernel, k & 0xff);
}

void link_device(enum link_kind kind, bool kernel, unsigned k, unsigned queues, char ret[LINK_DEVICE_MAX])
{
        unsigned number = kernel ? 200 + k : k; /* of the device; data NICs count from 100 */
        const char *tap_name = kernel ? "k" : "s", *veth_name = kernel ? "h" : "s";
        char mac[18];
        link_mac(kernel, k, mac);
        switch (kind) {
        case LINK_VHOST:
                if (kernel) /* its MAC address is the uplink's: l4lb says which */
                        snprintf(ret, LINK_DEVICE_MAX, "net_virtio_user%u,path=/dev/vhost-net,iface=%s%u,queues=%u,queue_size=1024", number,
                                 tap_name, k, queues);
                else
                        snprintf(ret, LINK_DEVICE_MAX, "net_virtio_user%u,path=/dev/vhost-net,iface=%s%u,queues=%u,queue_size=1024,mac=%s",
                                 number, tap_name, k, queues, mac);
                return;
        case LINK_XDP:
                snprintf(ret, LINK_DEVICE_MAX, "net_af_xdp%u,iface=%s%u", number, veth_name, k);
                return;
        case LINK_PACKET:
                snprintf(ret, LINK_DEVICE_MAX, "net_af_packet%u,iface=%s%u,qpairs=%u", number, veth_name, k, queues);
                return;
        case LINK_N:
                break;
        }
        BUG_ON(true);
}

static void tap(const char *prefix, unsigned k, unsigned queues, struct buf *out)
{
        buf_printf(out, "tuntap add dev %s%u mode tap user %d vnet_hdr%s\n", prefix, k, UID_L4LB, queues > 1 ? " multi_queue" : "");
}

/* One queue each way: AF_XDP on veth has no more. */
static void veth(const char *ours, const char *theirs, unsigned k, unsigned mtu, struct buf *out)
{
        buf_printf(out, "link add %s%u mtu %u numtxqueues 1 numrxqueues 1 type veth peer name %s%u mtu %u numtxqueues 1 numrxqueues 1\n",
                   ours, k, mtu, theirs, k, mtu);
        buf_printf(out, "link set %s%u addrgenmode none up\n", ours, k);
}

void link_unmake(unsigned k, bool kernel, struct buf *out)
{
        buf_printf(out, "link delete %s%u\n", kernel ? "k" : "s", k);
}

const char *link_lower(enum link_kind kind, unsigned k, char ret[16])
{
        snprintf(ret, 16, "%s%u", kind == LINK_VHOST ? "s" : "v", k & 0xffff);
        return ret;
}

void link_make(enum link_kind kind, unsigned k, unsigned mtu, unsigned queues, struct buf *out)
{
        char lower[16], mac[18];
        link_mac(false, k, mac);
        if (kind == LINK_VHOST)
                tap("s", k, queues, out);
        else
                veth("s", "v", k, mtu, out);
        buf_printf(out, "link set %s address %s mtu %u addrgenmode none up\n", link_lower(kind, k, lower), mac, mtu);
}

/* The shard's way to the endpoints: b<k> here, eth1 there. */
static void kernel_side(const struct shard_plan *p, struct buf *out)
{
        char s[IPADDR_STR_MAX];
        buf_printf(out, "link add %s type veth peer name eth1 netns %s\n", p->kernel_link, p->name);
        for (int f = 0; f < 2; f++)
                buf_printf(out, "address add %s/%u dev %s%s\n", ipaddr_str(&p->kernel[f].addr, s), p->kernel[f].len, p->kernel_link,
                           f ? " nodad" : "");
        buf_printf(out, "link set %s up\n", p->kernel_link);
}

void link_batch(enum link_kind kind, const struct shard_plan *p, unsigned mtu, struct buf *out)
{
        char lower[16];
        buf_printf(out, "link add link %s name eth0 netns %s mtu %u type macvlan mode passthru nopromisc\n",
                   link_lower(kind, p->index, lower), p->name, mtu);
        kernel_side(p, out);
}

void link_segment_batch(const struct shard_plan *p, const char *nic, unsigned mtu, struct buf *out)
{
        const struct ipaddr *a = &p->in[p->in[0].addr.af == 0].addr;
        const uint8_t *b = a->b + ipaddr_len(a) - 4; /* locally administered, and as unique on the segment as the address */
        buf_printf(out, "link add link %s name eth0 netns %s mtu %u address 02:%02x:%02x:%02x:%02x:%02x type macvlan mode bridge\n", nic,
                   p->name, mtu, a->af == 4 ? 0x67 : 0x68, b[0], b[1], b[2], b[3]);
        kernel_side(p, out);
}

void link_make_kernel(enum link_kind kind, unsigned k, const char *mac, unsigned mtu, unsigned queues, struct buf *out)
{
        if (kind == LINK_VHOST)
                tap("k", k, queues, out);
        else
                veth("h", "k", k, mtu, out);
        buf_printf(out, "link set k%u%s%s mtu %u up\n", k, *mac ? " address " : "", mac, mtu);
}

/* R(driver, capabilities, more lines, why) */
static const struct {
        enum port_driver driver;
        const char *capabilities, *more, *why;
} rights[] = {
        { DRIVER_AF_PACKET, "CAP_NET_RAW CAP_NET_ADMIN", "RestrictAddressFamilies=AF_PACKET AF_NETLINK\n",
          "AF_PACKET: opens packet sockets, sets MTU and promiscuous mode" },
        { DRIVER_AF_XDP, "CAP_NET_RAW CAP_NET_ADMIN CAP_BPF CAP_SYS_ADMIN",
          "RestrictAddressFamilies=AF_XDP AF_NETLINK\nSystemCallFilter=bpf\n",
          "AF_XDP: loads an XDP program; libxdp finds it again by its number, which is CAP_SYS_ADMIN's" },
        { DRIVER_UIO, "CAP_SYS_RAWIO CAP_SYS_ADMIN CAP_DAC_OVERRIDE",
          "DeviceAllow=char-uio rw\nProtectKernelTunables=no\nReadWritePaths=/sys/bus/pci /sys/devices\nSystemCallFilter=iopl ioperm\n",
          "uio: reads physical addresses, writes PCI configuration space and I/O ports: as good as root" },
};

bool link_rights(enum link_kind kind, unsigned uplinks, struct buf *out)
{
        unsigned in_use = uplinks;
        bool any = false;
        if (kind == LINK_XDP)
                in_use |= 1u << DRIVER_AF_XDP;
        if (kind == LINK_PACKET)
                in_use |= 1u << DRIVER_AF_PACKET;
        for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
                if (!(in_use & 1u << rights[i].driver))
                        continue;
                if (!any)
                        buf_str(out, "# Written by gatehouse-ports: what l4lb's ports need beyond nothing.\n[Service]\n"
                                     "# capabilities count in the host's user namespace only\nPrivateUsers=no\n");
                any = true;
                buf_printf(out, "# %s\nCapabilityBoundingSet=%s\nAmbientCapabilities=%s\n%s", rights[i].why, rights[i].capabilities,
                           rights[i].capabilities, rights[i].more);
        }
        return any;
}
