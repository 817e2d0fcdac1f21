/* image/io/ports_apply.c - see ports_apply.h. */
#include "lib/base.h"
#include "image/io/ports_apply.h"
#include "image/core/users.h"
#include "image/io/nics_read.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCI "/sys/bus/pci"
#define STATE "/run/gatehouse/ports.state"
#define HUGE "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define RUN_MS 20000

/* ---- small things ---- */

static int file_write(const struct host *h, const char *path, const char *text, struct err *reterr)
{
        char full[HOST_PATH_MAX];
        int fd = open(host_path(h, full, "%s", path), O_WRONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
        int e = errno;
        if (fd >= 0)
                close(fd);
        return n < 0 ? err_set(reterr, e, path, "cannot write \"%s\": %s", text, strerror(e)) : 0;
}

static int run(const char *const *argv, struct err *reterr)
{
        char said[300];
        int r = host_run(argv, RUN_MS, said, sizeof said);
        if (r == 0)
                return 0;
        said[strcspn(said, "\n")] = '\0';
        return r < 0 ? err_set(reterr, -r, argv[0], "%s", strerror(-r)) : err_set(reterr, EIO, argv[0], "status %d: %s", r, said);
}

void modules_load(const struct host *h, const char *const *names, size_t n)
{
        struct err ignored;
        for (size_t i = 0; !*h->root && i < n; i++) {
                const char *argv[] = { "/usr/sbin/modprobe", "-q", names[i], NULL };
                (void)run(argv, &ignored); /* not built, or not allowed: the choice goes on without it and says so */
        }
}

int ip_batch(const struct host *h, const char *text, bool force, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        if (*h->root || !*text)
                return 0;
        FILE *f = fopen(host_path(h, path, "/run/gatehouse/ports.batch"), "we");
        bool bad = !f || fputs(text, f) == EOF;
        if (f)
                bad |= fclose(f) == EOF;
        if (bad)
                return err_set(reterr, errno, path, "cannot write: %s", strerror(errno));
        const char *argv[] = { "/usr/sbin/ip", force ? "-force" : "-batch", force ? "-batch" : path, force ? path : NULL, NULL };
        int r = run(argv, reterr);
        unlink(path);
        return force ? 0 : r;
}

/* ---- what we took ---- */

void taken_read(const struct host *h, struct taken *ret)
{
        char path[HOST_PATH_MAX], line[128];
        ret->n = 0;
        FILE *f = fopen(host_path(h, path, STATE), "re");
        while (f && ret->n < NICS_MAX && fgets(line, sizeof line, f)) {
                struct nic n = { .iommu_group = -1 };
                if (sscanf(line, "%15s %17s %23s", n.pci, n.mac, n.driver) == 3)
                        ret->v[ret->n++] = n;
        }
        if (f)
                fclose(f);
}

int taken_write(const struct host *h, const struct taken *t, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        FILE *f = fopen(host_path(h, path, STATE), "we");
        bool bad = !f;
        for (size_t i = 0; f && i < t->n; i++)
                bad |= fprintf(f, "%s %s %s\n", t->v[i].pci, t->v[i].mac, t->v[i].driver) < 0;
        if (f)
                bad |= fclose(f) == EOF;
        return bad ? err_set(reterr, errno, path, "cannot write: %s", strerror(errno)) : 0;
}

void taken_fill(const struct taken *t, struct nics *ns)
{
        for (size_t i = 0; i < ns->n; i++)
                for (size_t k = 0; k < t->n; k++)
                        if (!*ns->v[i].mac && strcmp(ns->v[i].pci, t->v[k].pci) == 0)
                                memcpy(ns->v[i].mac, t->v[k].mac, sizeof ns->v[i].mac);
}

/* ---- drivers ---- */

/* driver "" = the one the kernel would choose. */
static int rebind(const struct host *h, const char *pci, const char *driver, struct err *reterr)
{
        char path[256], now[32];
        struct err ignored;
        snprintf(path, sizeof path, PCI "/devices/%s/driver", pci);
        sysfs_link(h, path, now, sizeof now);
        if (*driver && strcmp(now, driver) == 0)
                return 0;
        snprintf(path, sizeof path, PCI "/devices/%s/driver_override", pci);
        int r = file_write(h, path, *driver ? driver : "\n", reterr);
        if (r < 0)
                return r;
        if (*now) {
                snprintf(path, sizeof path, PCI "/devices/%s/driver/unbind", pci);
                r = file_write(h, path, pci, reterr);
                if (r < 0)
                        return r;
        }
        r = file_write(h, PCI "/drivers_probe", pci, reterr);
        snprintf(path, sizeof path, PCI "/devices/%s/driver", pci);
        sysfs_link(h, path, now, sizeof now);
        if (!*driver || strcmp(now, driver) == 0)
                return 0;
        if (r == 0)
                (void)err_set(reterr, EIO, pci, "driver %s does not take it", driver); /* r says it below */
        /* it must not be left without any */
        snprintf(path, sizeof path, PCI "/devices/%s/driver_override", pci);
        (void)file_write(h, path, "\n", &ignored);
        (void)file_write(h, PCI "/drivers_probe", pci, &ignored);
        return -EIO;
}

static int own(const struct host *h, const char *path, struct err *reterr)
{
        char full[HOST_PATH_MAX];
        if (*h->root)
                return 0;
        host_path(h, full, "%s", path);
        if (chown(full, UID_L4LB, (gid_t)-1) < 0 || chmod(full, 0600) < 0)
                return err_set(reterr, errno, path, "cannot give it to l4lb: %s", strerror(errno));
        return 0;
}

static int own_uio(const struct host *h, const struct nic *n, struct err *reterr)
{
        char path[256], full[HOST_PATH_MAX], name[32] = "";
        for (int i = 0; i < 64 && !*name; i++) {
                snprintf(path, sizeof path, PCI "/devices/%s/uio/uio%d", n->pci, i);
                if (access(host_path(h, full, "%s", path), F_OK) == 0)
                        snprintf(name, sizeof name, "/dev/uio%d", i);
        }
        if (!*name)
                return err_set(reterr, ENODEV, n->pci, "uio_pci_generic made no device for it");
        return own(h, name, reterr);
}

int port_take(const struct host *h, const struct nic *n, enum port_driver d, struct err *reterr)
{
        char path[64];
        int r = rebind(h, n->pci, d == DRIVER_VFIO ? "vfio-pci" : "uio_pci_generic", reterr);
        if (r < 0)
                return r;
        if (d == DRIVER_UIO)
                return own_uio(h, n, reterr);
        snprintf(path, sizeof path, "/dev/vfio/%d", n->iommu_group);
        return own(h, path, reterr);
}

int port_give_back(const struct host *h, const struct nic *n, struct err *reterr)
{
        return rebind(h, n->pci, "", reterr);
}

/* ---- interfaces ---- */

static void offload_off(int fd, const char *ifname, uint32_t command)
{
        struct ethtool_value v = { .cmd = command };
        struct ifreq req = { .ifr_data = (void *)&v };
        snprintf(req.ifr_name, sizeof req.ifr_name, "%.15s", ifname);
        (void)ioctl(fd, SIOCETHTOOL, &req); /* a driver without it has nothing to turn off */
}

int port_quiet(const struct host *h, const struct nic *n, unsigned mtu, struct err *reterr)
{
        static const struct {
                const char *path, *value;
        } settings[] = {
                { "/proc/sys/net/ipv6/conf/%s/disable_ipv6", "1" }, /* the addresses on this wire are l4lb's */
                { "/proc/sys/net/ipv4/conf/%s/arp_ignore", "8" },   /* never answer */
                { "/proc/sys/net/ipv4/conf/%s/rp_filter", "1" },    /* nothing is routed by it: AF_PACKET's copies end here */
        };
        char text[160];
        if (*h->root)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
                char path[128];
                struct err ignored;
                size_t before = strcspn(settings[i].path, "%");
                snprintf(path, sizeof path, "%.*s%s%s", (int)before, settings[i].path, n->ifname, settings[i].path + before + 2);
                (void)file_write(h, path, settings[i].value, &ignored); /* a kernel without IPv6 has not the first */
        }
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0) {
                struct ethtool_value flags = { .cmd = ETHTOOL_SFLAGS }; /* large receive off, VLAN tags stay in the frame */
                struct ifreq req = { .ifr_data = (void *)&flags };
                snprintf(req.ifr_name, sizeof req.ifr_name, "%.15s", n->ifname);
                (void)ioctl(fd, SIOCETHTOOL, &req);
                offload_off(fd, n->ifname, ETHTOOL_SGRO); /* superframes do not fit a packet buffer */
                close(fd);
        }
        snprintf(text, sizeof text, "address flush dev %s\nlink set %s mtu %u up\n", n->ifname, n->ifname, mtu);
        return ip_batch(h, text, false, reterr);
}

void link_quiet(const struct host *h, const char *ifname)
{
        static const uint32_t commands[] = { ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO };
        int fd = *h->root ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(commands); i++)
                offload_off(fd, ifname, commands[i]);
        if (fd >= 0)
                close(fd);
}

/* ---- memory ---- */

static int huge_mount(const struct host *h, struct err *reterr)
{
        char path[HOST_PATH_MAX], options[96];
        struct stat above, at;
        host_path(h, path, PORTS_HUGE_DIR);
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return err_set(reterr, errno, path, "cannot make it: %s", strerror(errno));
        char parent[HOST_PATH_MAX];
        if (stat(host_path(h, parent, "/run/gatehouse"), &above) == 0 && stat(path, &at) == 0 && above.st_dev != at.st_dev)
                return 0; /* mounted by an earlier run */
        snprintf(options, sizeof options, "uid=%d,gid=%d,mode=0700,pagesize=2M", UID_L4LB, UID_L4LB);
        if (mount("hugetlbfs", path, "hugetlbfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
                return err_set(reterr, errno, path, "cannot mount hugetlbfs: %s", strerror(errno));
        return 0;
}

int hugepages_take(const struct host *h, unsigned memory_mb, struct err *reterr)
{
        char text[32];
        unsigned long wanted = (memory_mb + 1) / 2, have;
        sysfs_line(h, HUGE, text, sizeof text);
        have = strtoul(text, NULL, 10);
        if (have < wanted) {
                snprintf(text, sizeof text, "%lu", wanted);
                int r = file_write(h, HUGE, text, reterr);
                if (r < 0)
                        return r;
                sysfs_line(h, HUGE, text, sizeof text);
                have = strtoul(text, NULL, 10);
        }
        if (have < wanted)
                return err_set(reterr, ENOMEM, "hugepages", "the kernel found room for %lu of %lu", have, wanted);
        return *h->root ? 0 : huge_mount(h, reterr);
}
