/* l4lb/io/port.c - see port.h.  Virtual devices are probed one by one, so that an error names its port; PCI devices
 * were given to EAL.  All ports share one pool of mbufs, because L2 forwarding hands a received buffer to another port.
 */
#include "lib/base.h"
#include "l4lb/io/port.h"
#include "l4lb/io/eal.h"

#include <dirent.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#define POOL_CACHE 256
#define AF_XDP_RING 2048   /* the PMD's fill ring is this long whatever rx_desc says; so is its completion ring */
#define AF_XDP_FRAME 4096u /* see paged_pool_create */
#define POOL_SPARE 1024    /* frames of the control thread, rings towards it */
#define FRAME_OVERHEAD (14 + 4 + 8) /* Ethernet header, checksum, two VLAN tags */

/* Descriptors by which net_af_xdp and net_af_packet (sockets) and net_tap (/dev/net/tun) receive.  These PMDs give no rx
 * interrupts in DPDK 22.11, but the kernel makes their descriptors readable when packets wait, so an idle worker can block
 * on them: we note which ones appear while a port (or a queue) is opened. */
struct socket_set {
        int fd[4096];
        size_t n;
};

static bool receives(int dir, const char *name, int fd)
{
        static const char tun[] = "/dev/net/tun";
        int domain;
        socklen_t len = sizeof domain;
        char target[sizeof tun];
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0)
                return domain == AF_XDP || domain == AF_PACKET;
        return readlinkat(dir, name, target, sizeof target) == (ssize_t)strlen(tun) &&
               memcmp(target, tun, strlen(tun)) == 0;
}

static void socket_set_read(struct socket_set *ss)
{
        DIR *d = opendir("/proc/self/fd");
        ss->n = 0;
        for (struct dirent *e; d && (e = readdir(d));) {
                int fd = (int)strtol(e->d_name, NULL, 10);
                if (e->d_name[0] != '.' && receives(dirfd(d), e->d_name, fd) && ss->n < ARRAY_SIZE(ss->fd))
                        ss->fd[ss->n++] = fd;
        }
        if (d)
                closedir(d);
}

static bool socket_set_has(const struct socket_set *ss, int fd)
{
        for (size_t i = 0; i < ss->n; i++)
                if (ss->fd[i] == fd)
                        return true;
        return false;
}

/* Sockets that were not in `before` become the fds of queues `first`, first + 1, ...: PMDs open them in that order, and
 * /proc lists them in it. */
static void port_note_fds(struct port *p, unsigned first, const struct socket_set *before)
{
        static struct socket_set after; /* boot, main thread */
        int ignore = 1;
        if (strncmp(p->conf->device, "net_virtio_user", 15) == 0)
                return; /* its tap is read by vhost, not by us */
        socket_set_read(&after);
        for (size_t i = 0; i < after.n && first < SETTINGS_MAX_QUEUES; i++) {
                if (socket_set_has(before, after.fd[i]))
                        continue;
                p->fds[first++] = after.fd[i];
                /* What this host's own stack sends by the interface is not received traffic.  AF_XDP has no such
                 * option, a tap is no socket: fine. */
                (void)setsockopt(after.fd[i], SOL_PACKET, PACKET_IGNORE_OUTGOING, &ignore, sizeof ignore);
        }
}

/* What we add to a device string that does not say it itself. */
static const char *device_default(const char *device)
{
        static const struct {
                const char *driver, *key, *add;
        } rows[] = {
                /* The kernel's softirq receives; the PMD's default (64) would make every empty poll a system call. */
                {"net_af_xdp", "busy_budget=", ",busy_budget=0"},
                /* 512 frames overflow whenever somebody else has our core for a moment; 4096 are 8 MiB each way. */
                {"net_af_packet", "framecnt=", ",framecnt=4096"},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (strncmp(device, rows[i].driver, strlen(rows[i].driver)) == 0 && !strstr(device, rows[i].key))
                        return rows[i].add;
        return "";
}

/* An interface that the driver itself makes gets the MAC address of the uplink it is paired with (core/kernel.h). */
static void device_mac(const struct port *p, const struct ports *ps, char ret[24])
{
        const char *d = p->conf->device;
        ret[0] = 0;
        if (p->conf->role != PORT_KERNEL || strstr(d, "mac=") ||
            (strncmp(d, "net_tap", 7) != 0 && strncmp(d, "net_virtio_user", 15) != 0))
                return;
        for (size_t i = 0; i < ps->n; i++)
                if (strcmp(ps->v[i].conf->kernel, p->conf->name) == 0) {
                        const uint8_t *m = ps->v[i].mac;
                        snprintf(ret, 24, ",mac=%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
                }
}

static int port_find(struct port *p, const struct ports *ps, struct err *reterr)
{
        char name[64], mac[24], device[sizeof p->conf->device + 64];
        device_mac(p, ps, mac);
        snprintf(device, sizeof device, "%s%s%s", p->conf->device, device_default(p->conf->device), mac);
        device_name(device, name);
        if (rte_eth_dev_get_port_by_name(name, &p->id) == 0)
                return 0; /* PCI: EAL probed it */
        int r = device_is_pci(device) ? -ENODEV : rte_dev_probe(device);
        if (r == 0)
                r = rte_eth_dev_get_port_by_name(name, &p->id);
        if (r < 0)
                return err_set(reterr, -r, p->conf->name, "cannot open device \"%s\"%s%s; the lines event=eal say more",
                               device, r == -1 ? "" : ": ",
                               r == -1 ? "" : rte_strerror(-r)); /* PMDs say -1 for anything */
        return 0;
}

static int port_probe(struct port *p, const struct ports *ps, struct err *reterr)
{
        struct rte_eth_dev_info info;
        struct rte_ether_addr mac;
        static struct socket_set before; /* boot, main thread */
        for (size_t q = 0; q < SETTINGS_MAX_QUEUES; q++)
                p->fds[q] = -1;
        socket_set_read(&before);
        int r = port_find(p, ps, reterr);
        if (r < 0)
                return r;
        p->probed = true;
        port_note_fds(p, 0, &before); /* net_af_packet opens its sockets here */
        r = rte_eth_dev_info_get(p->id, &info);
        if (r == 0)
                r = rte_eth_macaddr_get(p->id, &mac);
        if (r < 0)
                return err_set(reterr, -r, p->conf->name, "cannot ask the device: %s", rte_strerror(-r));
        p->max_queues = MIN(info.max_rx_queues, info.max_tx_queues);
        memcpy(p->mac, mac.addr_bytes, sizeof p->mac);
        p->ifindex = device_is_pci(p->conf->device) ? 0 : info.if_index;
        return 0;
}

/* Every worker needs its own queue pair on every port, so the port with the fewest queues decides. */
static void limit_workers(struct ports *ps, size_t n_cores)
{
        ps->n_workers = (unsigned)n_cores;
        for (size_t i = 0; i < ps->n; i++) {
                const struct port *p = &ps->v[i];
                unsigned queues = p->conf->queues ? MIN(p->conf->queues, p->max_queues) : p->max_queues;
                if (queues < ps->n_workers) {
                        log_warn("workers_limited", "port=%s queues=%u cores=%zu workers=%u reason=%s", p->conf->name,
                                 queues, n_cores, queues,
                                 LOG_ESC("one queue pair per worker and port; the other cores stay unused"));
                        ps->n_workers = queues;
                }
        }
}

/* net_af_xdp of DPDK 22.11 registers "number of objects x object size" bytes from the start of the pool as its frame
 * memory. That is right only when objects stand back to back; but an object never crosses a page, so with any other
 * size the pool has gaps, its end lies outside, and the kernel silently skips those frames: never sent, never received
 * into. Objects of exactly one small page leave no gaps, with 4 KiB pages and with huge ones. */
static struct rte_mempool *paged_pool_create(unsigned n, unsigned *ret_room)
{
        struct rte_mempool_objsz size;
        const unsigned flags = RTE_MEMPOOL_F_NO_SPREAD; /* else DPDK pads the size for the sake of memory channels */
        (void)rte_mempool_calc_obj_size(0, flags, &size);
        const unsigned elt = AF_XDP_FRAME - size.header_size - size.trailer_size;
        struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = (uint16_t)(elt - sizeof(struct rte_mbuf))};
        struct rte_mempool *mp =
                rte_mempool_create_empty("packets", n, elt, POOL_CACHE, sizeof priv, SOCKET_ID_ANY, flags);
        if (!mp)
                return NULL;
        int r = rte_mempool_set_ops_byname(mp, rte_mbuf_best_mempool_ops(), NULL);
        if (r == 0) {
                rte_pktmbuf_pool_init(mp, &priv);
                r = rte_mempool_populate_default(mp);
        }
        if (r < 0 || rte_mempool_calc_obj_size(elt, flags, NULL) != AF_XDP_FRAME || mp->nb_mem_chunks != 1) {
                rte_errno = r < 0 ? -r : ENOMEM; /* several chunks: memory is too fragmented to be one frame memory */
                rte_mempool_free(mp);
                return NULL;
        }
        (void)rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
        *ret_room = priv.mbuf_data_room_size;
        return mp;
}

static int pool_create(struct ports *ps, struct err *reterr)
{
        unsigned n = POOL_SPARE + ps->n_workers * (POOL_CACHE * 3 / 2 + 128), mtu = 1500;
        bool any_xdp = false;
        for (size_t i = 0; i < ps->n; i++) {
                const struct settings_port *c = ps->v[i].conf;
                bool xdp = strncmp(c->device, "net_af_xdp", 10) == 0;
                unsigned rx = xdp ? AF_XDP_RING : c->rx_desc, tx = xdp ? AF_XDP_RING : c->tx_desc;
                n += ps->n_workers * (rx + tx);
                mtu = MAX(mtu, c->mtu);
                any_xdp |= xdp;
        }
        unsigned need = RTE_PKTMBUF_HEADROOM + MAX(2048u, RTE_ALIGN_CEIL(mtu + FRAME_OVERHEAD, 64u)), room = need;
        ps->pool = any_xdp ? paged_pool_create(n, &room)
                           : rte_pktmbuf_pool_create("packets", n, POOL_CACHE, 0, (uint16_t)room, SOCKET_ID_ANY);
        if (!ps->pool)
                return err_set(reterr, rte_errno, "dpdk.memory_mb", "no room for %u packet buffers of %u bytes%s: %s", n,
                               any_xdp ? AF_XDP_FRAME : room,
                               any_xdp ? " in one piece (beside PCI ports that takes an IOMMU)" : "",
                               rte_strerror(rte_errno));
        if (room < need)
                return err_set(reterr, EINVAL, "ports",
                               "mtu %u is too large beside a net_af_xdp port: %u bytes at most", mtu,
                               room - RTE_PKTMBUF_HEADROOM - FRAME_OVERHEAD);
        log_info("packet_pool", "buffers=%u bytes=%u", n, room);
        return 0;
}

/* Interrupts only where there is nothing else to wait on, and where the driver and the way it is bound have them:
 * virtio, virtio-user and NICs on vfio do; it is tried, since no capability says so. */
static int port_configure(struct port *p, const struct ports *ps, bool interrupts)
{
        struct rte_eth_conf conf = {.intr_conf.rxq = interrupts};
        struct rte_eth_dev_info info;
        uint16_t rx_desc = (uint16_t)p->conf->rx_desc, tx_desc = (uint16_t)p->conf->tx_desc,
                 n = (uint16_t)ps->n_workers;
        int r = rte_eth_dev_info_get(p->id, &info);
        if (r < 0)
                return r;
        bool kernel = p->conf->role == PORT_KERNEL; /* one hop inside this host: nothing to check, spread or filter */
        if (n > 1 && !kernel) {
                conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
                conf.rx_adv_conf.rss_conf.rss_hf =
                        (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
        }
        conf.rxmode.offloads = kernel ? 0 : info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
        conf.txmode.offloads =
                info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE; /* one pool, one reference each */
        r = rte_eth_dev_configure(p->id, n, n, &conf);
        if (r == 0)
                r = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &rx_desc, &tx_desc);
        for (uint16_t q = 0; r == 0 && q < n; q++) {
                static struct socket_set before; /* boot, main thread */
                socket_set_read(&before);
                r = rte_eth_rx_queue_setup(p->id, q, rx_desc, SOCKET_ID_ANY, NULL, ps->pool);
                if (r == 0)
                        port_note_fds(p, q, &before); /* net_af_xdp opens its sockets here */
                if (r == 0)
                        r = rte_eth_tx_queue_setup(p->id, q, tx_desc, SOCKET_ID_ANY, NULL);
        }
        return r;
}

static int port_start(struct port *p, const struct ports *ps, struct err *reterr)
{
        const struct settings_port *c = p->conf;
        uint16_t mtu;
        p->interrupts = device_is_pci(c->device) || strncmp(c->device, "net_virtio_user", 15) == 0;
        int r = port_configure(p, ps, p->interrupts);
        if (r < 0 && p->interrupts)
                r = port_configure(p, ps, p->interrupts = false);
        if (r < 0)
                return err_set(reterr, -r, c->name, "cannot configure %u queue(s): %s", ps->n_workers,
                               rte_strerror(-r));
        if (rte_eth_dev_get_mtu(p->id, &mtu) < 0 || mtu != c->mtu) {
                r = rte_eth_dev_set_mtu(p->id, (uint16_t)c->mtu);
                if (r < 0 && r != -ENOTSUP) /* pcap, null, ring know no MTU: any frame that fits a buffer passes */
                        return err_set(reterr, -r, c->name, "cannot set MTU %u: %s", c->mtu, rte_strerror(-r));
        }
        r = rte_eth_dev_start(p->id);
        if (r < 0 && p->interrupts && port_configure(p, ps, p->interrupts = false) == 0)
                r = rte_eth_dev_start(p->id);
        if (r < 0)
                return err_set(reterr, -r, c->name, "cannot start: %s", rte_strerror(-r));
        p->started = true;
        /* ND is multicast, and a VIP may move to us with its MAC: the core filters by destination, not the device. */
        bool filters = c->role != PORT_KERNEL && strncmp(c->device, "net_virtio_user", 15) != 0; /* a tap has no filter */
        r = filters ? rte_eth_promiscuous_enable(p->id) : 0;
        if (r < 0 && rte_eth_allmulticast_enable(p->id) < 0)
                log_warn("port_filter", "port=%s reason=%s", c->name,
                         LOG_ESC("neither promiscuous nor allmulticast: IPv6 neighbour discovery may not work"));
        log_info("port_open", "port=%s device=%s mac=%02x:%02x:%02x:%02x:%02x:%02x queues=%u mtu=%u", c->name,
                 LOG_ESC(c->device), p->mac[0], p->mac[1], p->mac[2], p->mac[3], p->mac[4], p->mac[5], ps->n_workers,
                 c->mtu);
        return 0;
}

int ports_open(const struct settings *s, struct ports *ret, struct err *reterr)
{
        int r = 0;
        *ret = (struct ports){.n = s->n_ports};
        for (size_t i = 0; i < s->n_ports; i++)
                ret->v[i].conf = &s->ports[i];
        for (int kernel = 0; kernel < 2; kernel++) /* kernel ports last: they take the MAC address of their uplink */
                for (size_t i = 0; r == 0 && i < s->n_ports; i++)
                        if ((s->ports[i].role == PORT_KERNEL) == kernel)
                                r = port_probe(&ret->v[i], ret, reterr);
        if (r == 0) {
                limit_workers(ret, s->n_cores);
                r = pool_create(ret, reterr);
        }
        for (size_t i = 0; r == 0 && i < ret->n; i++)
                r = port_start(&ret->v[i], ret, reterr);
        if (r < 0)
                ports_close(ret);
        return r;
}

void ports_close(struct ports *ps)
{
        for (size_t i = 0; i < ps->n; i++) {
                if (!ps->v[i].probed)
                        continue;
                int r = ps->v[i].started ? rte_eth_dev_stop(ps->v[i].id) : 0;
                if (r == 0)
                        r = rte_eth_dev_close(ps->v[i].id);
                if (r < 0)
                        log_warn("port_close_failed", "port=%s error=%s", ps->v[i].conf->name,
                                 LOG_ESC(rte_strerror(-r)));
        }
        ps->n = 0;
        /* The pool is not freed: a PMD may return its last buffers only when EAL ends, and the process ends with it. */
}

void port_stats_get(const struct port *p, struct port_stats *ret)
{
        struct rte_eth_stats st;
        *ret = (struct port_stats){0};
        if (rte_eth_stats_get(p->id, &st) == 0)
                *ret = (struct port_stats){.rx_packets = st.ipackets,
                                           .rx_bytes = st.ibytes,
                                           .tx_packets = st.opackets,
                                           .tx_bytes = st.obytes,
                                           .rx_missed = st.imissed,
                                           .rx_errors = st.ierrors,
                                           .rx_no_mbuf = st.rx_nombuf,
                                           .tx_errors = st.oerrors};
}

/* The PMDs over kernel interfaces say "up" whatever happens: there the kernel is asked. */
static enum port_link kernel_link(unsigned ifindex)
{
        struct ifreq req = {0};
        if (!if_indextoname(ifindex, req.ifr_name))
                return errno == ENXIO ? PORT_LINK_GONE : PORT_LINK_DOWN;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &req) == 0 && req.ifr_flags & IFF_RUNNING;
        if (fd >= 0)
                close(fd);
        return up ? PORT_LINK_UP : PORT_LINK_DOWN;
}

enum port_link port_link_get(const struct port *p)
{
        struct rte_eth_link link;
        if (p->ifindex)
                return kernel_link(p->ifindex);
        if (rte_eth_link_get_nowait(p->id, &link) < 0)
                return PORT_LINK_DOWN;
        return link.link_status == RTE_ETH_LINK_UP ? PORT_LINK_UP : PORT_LINK_DOWN;
}

const char *port_link_str(enum port_link l)
{
        static const char *const names[PORT_LINK_N] = {"up", "down", "gone"};
        BUG_ON(l >= PORT_LINK_N);
        return names[l];
}
