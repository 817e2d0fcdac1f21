/* tests/unit/image/ports_test.c - how a data NIC is driven, over a table of machines: each a small sysfs tree in a
 * scratch directory; whose NIC is whose; links and the rights they cost. */
#include "lib/base.h"
#include "image/core/port_links.h"
#include "image/io/config_load.h"
#include "image/io/nics_read.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PCI "/sys/bus/pci/devices/"
#define DEV "/sys/devices/pci0000:00/"

/* "path=text" is a file, "path>target" a link, "path/" a directory. */
struct tree {
        char root[64];
};

static void parents(char *path)
{
        for (char *p = path + 1; (p = strchr(p, '/')); p++) {
                *p = '\0';
                (void)mkdir(path, 0755);
                *p = '/';
        }
}

static void tree_add(struct tree *t, const char *line)
{
        char path[512];
        size_t at = strcspn(line, "=>");
        snprintf(path, sizeof path, "%s%.*s", t->root, (int)at, line);
        parents(path);
        if (line[at] == '>') {
                assert_int_equal(symlink(line + at + 1, path), 0);
        } else if (line[at] == '=') {
                FILE *f = fopen(path, "we");
                assert_non_null(f);
                assert_true(fputs(line + at + 1, f) >= 0);
                fclose(f);
        }
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

static void tree_open(struct tree *t, const char *const *lines)
{
        snprintf(t->root, sizeof t->root, "/tmp/gatehouse-ports-XXXXXX");
        assert_non_null(mkdtemp(t->root));
        for (; *lines; lines++)
                tree_add(t, *lines);
}

static void tree_close(struct tree *t)
{
        assert_int_equal(nftw(t->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Pieces of machines. */
#define E1000(slot, name, mac) \
        PCI slot ">../../../devices/pci0000:00/" slot, DEV slot "/class=0x020000\n", DEV slot "/irq=11\n", \
                DEV slot "/driver>../../../bus/pci/drivers/e1000e", DEV slot "/net/" name "/address=" mac "\n", \
                DEV slot "/net/" name "/device>../../../" slot, \
                "/sys/class/net/" name ">../../devices/pci0000:00/" slot "/net/" name
#define VIRTIO(slot, name, mac, features) \
        PCI slot ">../../../devices/pci0000:00/" slot, DEV slot "/class=0x020000\n", DEV slot "/irq=11\n", \
                DEV slot "/driver>../../../bus/pci/drivers/virtio-pci", DEV slot "/virtio0/features=" features "\n", \
                DEV slot "/virtio0/net/" name "/address=" mac "\n", DEV slot "/virtio0/net/" name "/device>../../../virtio0", \
                "/sys/class/net/" name ">../../devices/pci0000:00/" slot "/virtio0/net/" name
#define GROUP(slot, n) \
        DEV slot "/iommu_group>../../../kernel/iommu_groups/" n, "/sys/kernel/iommu_groups/" n "/devices/" slot ">../../../../devices/pci0000:00/" slot
#define VFIO "/sys/bus/pci/drivers/vfio-pci/"
#define UIO "/sys/bus/pci/drivers/uio_pci_generic/"
#define LOCKED "/sys/kernel/security/lockdown=none [integrity] confidentiality\n"
#define OPEN_KERNEL "/sys/kernel/security/lockdown=[none] integrity confidentiality\n"
#define SECURE "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c=\x06\x01\x01\x01\x01" /* no NULs in a text: the attributes are not looked at */
#define WITH_PLATFORM "0000000000000000000000000000000011000000"
#define NO_PLATFORM "0000000000000000000000000000000010000000"
#define NIC0 "0000:00:03.0"

static const struct {
        const char *name, *lines[24];
        enum port_driver wanted;
        const char *want; /* "driver", then what the reason must hold; NULL: refused */
        const char *words;
} machines[] = {
        { "IOMMU and Secure Boot", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), GROUP(NIC0, "4"), VFIO, LOCKED, SECURE, NULL },
          DRIVER_AUTO, "vfio", "vfio works" },
        { "virtio behind an IOMMU that the hypervisor offers to it", { VIRTIO(NIC0, "eth0", "52:54:00:00:00:01", WITH_PLATFORM), GROUP(NIC0, "4"), VFIO, NULL },
          DRIVER_AUTO, "vfio", "vfio works" },
        { "virtio that goes round the IOMMU", { VIRTIO(NIC0, "eth0", "52:54:00:00:00:01", NO_PLATFORM), GROUP(NIC0, "4"), VFIO, NULL },
          DRIVER_AUTO, "af_xdp", "goes round the IOMMU" },
        { "no IOMMU", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), VFIO, UIO, OPEN_KERNEL, NULL }, DRIVER_AUTO, "af_xdp", "no vfio: no IOMMU" },
        { "no vfio module", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), GROUP(NIC0, "4"), NULL }, DRIVER_AUTO, "af_xdp", "no vfio-pci in this kernel" },
        { "another device in the group", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), GROUP(NIC0, "4"), GROUP("0000:00:04.0", "4"), PCI "0000:00:04.0>../../../devices/pci0000:00/0000:00:04.0",
          DEV "0000:00:04.0/class=0x010000\n", DEV "0000:00:04.0/driver>../../../bus/pci/drivers/ahci", VFIO, NULL },
          DRIVER_AUTO, "af_xdp", "shares IOMMU group 4 with 0000:00:04.0" },
        { "a bridge in the group is none of ours", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), GROUP(NIC0, "4"), GROUP("0000:00:04.0", "4"), PCI "0000:00:04.0>../../../devices/pci0000:00/0000:00:04.0",
          DEV "0000:00:04.0/class=0x060400\n", DEV "0000:00:04.0/driver>../../../bus/pci/drivers/pcieport", VFIO, NULL },
          DRIVER_AUTO, "vfio", "vfio works" },
        { "a NIC DPDK cannot take from its driver", { PCI NIC0 ">../../../devices/pci0000:00/" NIC0, DEV NIC0 "/class=0x020000\n", DEV NIC0 "/driver>../../../bus/pci/drivers/mlx5_core",
          DEV NIC0 "/net/eth0/address=52:54:00:00:00:01\n", DEV NIC0 "/net/eth0/device>../../../" NIC0, "/sys/class/net/eth0>../../devices/pci0000:00/" NIC0 "/net/eth0",
          GROUP(NIC0, "4"), VFIO, NULL }, DRIVER_AUTO, "af_xdp", "cannot take over from driver mlx5_core" },
        { "taken already", { PCI NIC0 ">../../../devices/pci0000:00/" NIC0, DEV NIC0 "/class=0x020000\n", DEV NIC0 "/irq=11\n", DEV NIC0 "/driver>../../../bus/pci/drivers/vfio-pci",
          GROUP(NIC0, "4"), VFIO, NULL }, DRIVER_AUTO, "vfio", "vfio works" },
        { "uio asked for", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), UIO, OPEN_KERNEL, NULL }, DRIVER_UIO, "uio", "asked for" },
        { "uio asked for under lockdown", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), UIO, LOCKED, SECURE, NULL }, DRIVER_UIO, "af_xdp",
          "uio was asked for, but: the kernel is locked down (integrity, Secure Boot)" },
        { "vfio asked for without an IOMMU", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), VFIO, NULL }, DRIVER_VFIO, "af_xdp", "vfio was asked for, but: no IOMMU" },
        { "af_packet asked for", { E1000(NIC0, "eth0", "52:54:00:00:00:01"), GROUP(NIC0, "4"), VFIO, NULL }, DRIVER_AF_PACKET, "af_packet", "asked for" },
        { "a controller nobody drives, no IOMMU, kernel open", { PCI NIC0 ">../../../devices/pci0000:00/" NIC0, DEV NIC0 "/class=0x020000\n", DEV NIC0 "/irq=11\n",
          DEV NIC0 "/driver>../../../bus/pci/drivers/uio_pci_generic", UIO, OPEN_KERNEL, NULL }, DRIVER_AUTO, "uio", "no af_xdp: no interface of the kernel" },
        { "nothing works", { PCI NIC0 ">../../../devices/pci0000:00/" NIC0, DEV NIC0 "/class=0x020000\n", DEV NIC0 "/irq=0\n",
          DEV NIC0 "/driver>../../../bus/pci/drivers/uio_pci_generic", UIO, OPEN_KERNEL, NULL }, DRIVER_AUTO, NULL, "no legacy interrupt" },
        { "not on PCI (Hyper-V)", { "/sys/devices/vmbus/x/net/eth0/address=52:54:00:00:00:01\n", "/sys/devices/vmbus/x/driver>../drivers/hv_netvsc",
          "/sys/devices/vmbus/x/net/eth0/device>../../../x", "/sys/class/net/eth0>../../devices/vmbus/x/net/eth0", VFIO, NULL }, DRIVER_AUTO, "af_xdp", "no vfio: not a PCI device" },
};

static void test_machines(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
                static struct nics ns;
                struct tree t;
                struct box b;
                struct port_choice c;
                struct err e = { 0 };
                tree_open(&t, machines[i].lines);
                struct host h = { .root = t.root, .systemctl = "" };
                nics_read(&h, &ns);
                box_read(&h, &b);
                b.af_xdp = true; /* of this machine's kernel, not of the tree's */
                tree_close(&t);
                if (ns.n != 1)
                        fail_msg("%s: %zu NICs", machines[i].name, ns.n);
                int r = port_choose(&ns.v[0], &b, machines[i].wanted, &c, &e);
                const char *reason = r < 0 ? e.msg : c.reason;
                if ((r == 0) != (machines[i].want != NULL) || (r == 0 && strcmp(port_driver_names[c.driver], machines[i].want) != 0) ||
                    !strstr(reason, machines[i].words))
                        fail_msg("%s: %s, %s", machines[i].name, r < 0 ? "refused" : port_driver_names[c.driver], reason);
                if (r == 0 && c.overruled != (strstr(reason, "was asked for, but") != NULL))
                        fail_msg("%s: overruled is %d", machines[i].name, c.overruled);
        }
}

static void test_order(void **state)
{
        (void)state;
        static const char *const lines[] = { E1000("0000:00:04.0", "eth1", "52:54:00:00:00:02"), E1000(NIC0, "eth0", "52:54:00:00:00:01"),
                                             "/sys/class/net/lo/address=00:00:00:00:00:00\n", NULL };
        static struct nics ns;
        struct tree t;
        tree_open(&t, lines);
        struct host h = { .root = t.root, .systemctl = "" };
        nics_read(&h, &ns);
        tree_close(&t);
        assert_int_equal(ns.n, 2); /* the loopback has no device */
        assert_string_equal(ns.v[0].ifname, "eth0");
        assert_string_equal(ns.v[1].mac, "52:54:00:00:00:02");
        assert_string_equal(ns.v[1].driver, "e1000e");
        assert_int_equal(ns.v[1].iommu_group, -1);
        assert_true(ns.v[0].has_intx);
}

static struct config *load(const char *data, const char *more)
{
        char text[2048];
        struct config *c = NULL;
        struct err e = { 0 };
        snprintf(text, sizeof text,
                 "version = 1; name = \"e\"; data = ( %s );\n"
                 "vip_pools = [ \"198.51.100.0/26\" ]; agent = { source = \"directory\"; }; shards = ( { pool = \"a\"; count = 1; } ); %s",
                 data, more);
        if (config_load_text(span_str(text), "f", &c, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        return c;
}


static void test_whose(void **state)
{
        (void)state;
        static const struct {
                const char *name, *data, *more;
                int management, up; /* number of the NIC; -1 = none */
        } rows[] = {
                { "data by MAC: management takes the other", "nic = \"52:54:00:00:00:00\";", "", 1, 0 },
                { "management by PCI", "", "management = { nic = \"0000:00:01.0\"; dhcp = true; };", 1, 0 },
                { "both by name", "nic = \"eth2\";", "management = { nic = \"eth1\"; dhcp = true; };", 1, 2 },
                { "data by a MAC that is not there", "nic = \"52:54:00:00:00:99\";", "", 0, -1 },
                { "one NIC for both", "", "management = { shared_with = \"up\"; addresses = [ \"192.0.2.3/24\" ]; };", -1, 0 },
        };
        static struct nics ns = { .n = 3 };
        for (size_t i = 0; i < ns.n; i++) {
                ns.v[i] = (struct nic){ .iommu_group = -1 };
                snprintf(ns.v[i].pci, sizeof ns.v[i].pci, "0000:00:0%u.0", (unsigned)i % 10);
                snprintf(ns.v[i].ifname, sizeof ns.v[i].ifname, "eth%u", (unsigned)i % 10);
                snprintf(ns.v[i].mac, sizeof ns.v[i].mac, "52:54:00:00:00:0%u", (unsigned)i % 10);
        }
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct nic_assignment a;
                char up[256];
                snprintf(up, sizeof up, "{ name = \"up\"; %s addresses = [ \"192.0.2.2/24\" ]; }", rows[i].data);
                struct config *c = load(up, rows[i].more);
                nics_assign(c, &ns, &a);
                int management = a.management ? (int)(a.management - ns.v) : -1, data = a.data[0] ? (int)(a.data[0] - ns.v) : -1;
                if (management != rows[i].management || data != rows[i].up)
                        fail_msg("%s: management %d, up %d", rows[i].name, management, data);
                config_free(c);
        }
        struct err e;
        struct nic_match m;
        assert_int_equal(nic_match_parse("52:54:00:00:00:99", &m), 0);
        assert_int_equal(nic_missing("up", &m, &e), -ENODEV);
        assert_string_equal(e.place, "up");
        assert_non_null(strstr(e.msg, "MAC address \"52:54:00:00:00:99\""));
}

static void test_links(void **state)
{
        (void)state;
        char device[LINK_DEVICE_MAX], lower[16];
        struct buf b;
        struct shard_plan p;
        struct config *c = load("{ name = \"up\"; nic = \"eth0\"; addresses = [ \"192.0.2.2/24\" ]; }", "");
        plan_shard(c, 0, &p);
        buf_init(&b, 4096);
        assert_int_equal(link_choose(true, 1u << DRIVER_AF_XDP), LINK_VHOST);
        assert_int_equal(link_choose(false, 1u << DRIVER_AF_XDP), LINK_XDP);
        assert_int_equal(link_choose(false, 1u << DRIVER_VFIO), LINK_PACKET);
        link_device(LINK_VHOST, false, 1, 2, device);
        assert_string_equal(device, "net_virtio_user1,path=/dev/vhost-net,iface=s1,queues=2,queue_size=1024,mac=02:67:68:00:00:01");
        link_device(LINK_PACKET, true, 0, 1, device);
        assert_string_equal(device, "net_af_packet200,iface=h0,qpairs=1");
        link_unmake(1, false, &b);
        assert_string_equal(buf_cstr(&b), "link delete s1\n");
        buf_reset(&b);
        link_make(LINK_VHOST, 1, 1500, 2, &b);
        assert_non_null(strstr(buf_cstr(&b), "tuntap add dev s1 mode tap user 902 vnet_hdr multi_queue\n"));
        buf_reset(&b);
        link_batch(LINK_XDP, &p, 1500, &b);
        assert_non_null(strstr(buf_cstr(&b), "link add link v1 name eth0 netns a-1 mtu 1500 type macvlan mode passthru"));
        assert_string_equal(link_lower(LINK_VHOST, 1, lower), "s1");
        buf_reset(&b);
        p.in[0] = (struct ipprefix){{4, {10, 30, 0, 17}}, 24}; /* on the segment of an l4lb elsewhere */
        link_segment_batch(&p, "ens8", 9000, &b);
        assert_non_null(strstr(buf_cstr(&b), "link add link ens8 name eth0 netns a-1 mtu 9000 address 02:67:0a:1e:00:11 type macvlan mode bridge\n"));
        assert_non_null(strstr(buf_cstr(&b), "link add b1 type veth peer name eth1 netns a-1\n"));
        p.in[0].addr.af = 0;
        p.in[1] = (struct ipprefix){{6, {0xfd, [12] = 1, 2, 3, 4}}, 64};
        buf_reset(&b);
        link_segment_batch(&p, "ens8", 1500, &b);
        assert_non_null(strstr(buf_cstr(&b), " address 02:68:01:02:03:04 "));
        buf_reset(&b);
        assert_false(link_rights(LINK_VHOST, 1u << DRIVER_VFIO, &b)); /* the point of it all */
        assert_int_equal(b.n, 0);
        assert_true(link_rights(LINK_PACKET, 1u << DRIVER_VFIO, &b));
        assert_non_null(strstr(buf_cstr(&b), "CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN\n"));
        assert_null(strstr(buf_cstr(&b), "CAP_SYS_ADMIN"));
        buf_reset(&b);
        assert_true(link_rights(LINK_VHOST, 1u << DRIVER_AF_XDP, &b));
        assert_non_null(strstr(buf_cstr(&b), "CAP_BPF"));
        buf_fini(&b);
        config_free(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_machines), cmocka_unit_test(test_order), cmocka_unit_test(test_whose), cmocka_unit_test(test_links),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
