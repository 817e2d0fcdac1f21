/* image/io/nics_read.c - see nics_read.h. */
#include "lib/base.h"
#include "image/io/nics_read.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCI "/sys/bus/pci/devices"
#define NET "/sys/class/net"
#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define VIRTIO_F_ACCESS_PLATFORM 33 /* virtio 1.2, 6: bit of the feature string */

static ssize_t file_read(const struct host *h, const char *path, char *ret, size_t n)
{
        char full[HOST_PATH_MAX];
        int fd = open(host_path(h, full, "%s", path), O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, ret, n);
        if (fd >= 0)
                close(fd);
        return got;
}

void sysfs_line(const struct host *h, const char *path, char *ret, size_t n)
{
        ssize_t got = file_read(h, path, ret, n - 1);
        ret[got < 0 ? 0 : got] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

void sysfs_link(const struct host *h, const char *path, char *ret, size_t n)
{
        char full[HOST_PATH_MAX], to[512];
        ssize_t got = readlink(host_path(h, full, "%s", path), to, sizeof to - 1);
        to[got < 0 ? 0 : got] = '\0';
        const char *slash = strrchr(to, '/');
        snprintf(ret, n, "%s", slash ? slash + 1 : to); /* cut: names of the kernel are shorter */
}

static bool is_pci(const char *s)
{
        unsigned domain, bus, dev, fn;
        int end = 0;
        return sscanf(s, "%4x:%2x:%2x.%1x%n", &domain, &bus, &dev, &fn, &end) == 4 && s[end] == '\0' && end == 12;
}

/* The PCI device that the interface stands on: itself, or what its virtio device stands on. */
static void pci_of(const struct host *h, const char *ifname, char *ret, size_t n)
{
        char path[256], real[HOST_PATH_MAX + 512], full[HOST_PATH_MAX];
        snprintf(path, sizeof path, NET "/%s/device", ifname);
        ret[0] = '\0';
        char *resolved = realpath(host_path(h, full, "%s", path), NULL);
        snprintf(real, sizeof real, "%s", resolved ? resolved : "");
        free(resolved);
        for (char *slash; (slash = strrchr(real, '/')); *slash = '\0')
                if (is_pci(slash + 1)) {
                        snprintf(ret, n, "%s", slash + 1);
                        return;
                }
}

static void read_group(const struct host *h, struct nic *n)
{
        char path[256], full[HOST_PATH_MAX], text[32];
        snprintf(path, sizeof path, PCI "/%s/iommu_group", n->pci);
        sysfs_link(h, path, text, sizeof text);
        n->iommu_group = *text ? (int)strtol(text, NULL, 10) : -1;
        if (n->iommu_group < 0)
                return;
        DIR *d = opendir(host_path(h, full, "%s/devices", path));
        for (struct dirent *e; d && (e = readdir(d));) {
                char class[16], driver[32];
                if (!is_pci(e->d_name) || strcmp(e->d_name, n->pci) == 0)
                        continue;
                snprintf(path, sizeof path, PCI "/%.12s/class", e->d_name);
                sysfs_line(h, path, class, sizeof class);
                snprintf(path, sizeof path, PCI "/%.12s/driver", e->d_name);
                sysfs_link(h, path, driver, sizeof driver);
                /* bridges (class 06) and devices nobody drives do not stand in vfio's way */
                if (strncmp(class, "0x06", 4) != 0 && *driver && strcmp(driver, "vfio-pci") != 0)
                        snprintf(n->group_other, sizeof n->group_other, "%.12s", e->d_name);
        }
        if (d)
                closedir(d);
}

static void read_virtio(const struct host *h, struct nic *n)
{
        char path[300], full[HOST_PATH_MAX], features[80];
        DIR *d = opendir(host_path(h, full, PCI "/%s", n->pci));
        for (struct dirent *e; d && (e = readdir(d));) {
                if (strncmp(e->d_name, "virtio", 6) != 0)
                        continue;
                snprintf(path, sizeof path, PCI "/%s/%.32s/features", n->pci, e->d_name);
                sysfs_line(h, path, features, sizeof features);
                n->virtio_bypasses_iommu = strlen(features) <= VIRTIO_F_ACCESS_PLATFORM || features[VIRTIO_F_ACCESS_PLATFORM] != '1';
        }
        if (d)
                closedir(d);
}

static void read_pci(const struct host *h, struct nic *n)
{
        char path[256], text[32];
        snprintf(path, sizeof path, PCI "/%s/driver", n->pci);
        sysfs_link(h, path, n->driver, sizeof n->driver);
        snprintf(path, sizeof path, PCI "/%s/irq", n->pci);
        sysfs_line(h, path, text, sizeof text);
        n->has_intx = *text && strcmp(text, "0") != 0;
        read_group(h, n);
        read_virtio(h, n);
}

static struct nic *nic_add(struct nics *ns)
{
        if (ns->n == NICS_MAX)
                return NULL; /* nobody has as many; the rest is not seen */
        ns->v[ns->n] = (struct nic){ .iommu_group = -1 };
        return &ns->v[ns->n++];
}

/* Interfaces with a device behind them: no loopback, no bridge, no tap, no veth. */
static void read_interfaces(const struct host *h, struct nics *ns)
{
        char path[300], full[HOST_PATH_MAX];
        DIR *d = opendir(host_path(h, full, NET));
        for (struct dirent *e; d && (e = readdir(d));) {
                if (e->d_name[0] == '.' || strlen(e->d_name) >= 16)
                        continue;
                if (access(host_path(h, full, NET "/%s/device", e->d_name), F_OK) < 0)
                        continue;
                struct nic *n = nic_add(ns);
                if (!n)
                        break;
                snprintf(n->ifname, sizeof n->ifname, "%.15s", e->d_name);
                snprintf(path, sizeof path, NET "/%s/address", n->ifname);
                sysfs_line(h, path, n->mac, sizeof n->mac);
                pci_of(h, n->ifname, n->pci, sizeof n->pci);
                if (*n->pci) {
                        read_pci(h, n);
                } else {
                        snprintf(path, sizeof path, NET "/%s/device/driver", n->ifname);
                        sysfs_link(h, path, n->driver, sizeof n->driver);
                }
        }
        if (d)
                closedir(d);
}

/* Ethernet controllers (class 02 00) that no interface stands on. */
static void read_controllers(const struct host *h, struct nics *ns)
{
        char path[300], full[HOST_PATH_MAX], class[16];
        size_t with_interface = ns->n;
        DIR *d = opendir(host_path(h, full, PCI));
        for (struct dirent *e; d && (e = readdir(d));) {
                bool known = false;
                for (size_t i = 0; i < with_interface; i++)
                        known |= strcmp(ns->v[i].pci, e->d_name) == 0;
                if (known || !is_pci(e->d_name))
                        continue;
                snprintf(path, sizeof path, PCI "/%.12s/class", e->d_name);
                sysfs_line(h, path, class, sizeof class);
                if (strncmp(class, "0x0200", 6) != 0)
                        continue;
                struct nic *n = nic_add(ns);
                if (!n)
                        break;
                snprintf(n->pci, sizeof n->pci, "%.12s", e->d_name);
                read_pci(h, n);
        }
        if (d)
                closedir(d);
}

void nics_read(const struct host *h, struct nics *ret)
{
        ret->n = 0;
        read_interfaces(h, ret);
        read_controllers(h, ret);
        nics_sort(ret);
}

static bool exists(const struct host *h, const char *path)
{
        char full[HOST_PATH_MAX];
        return access(host_path(h, full, "%s", path), F_OK) == 0;
}

void box_read(const struct host *h, struct box *ret)
{
        char text[64];
        uint8_t var[5]; /* UEFI 2.10, 8.2 through efivarfs: four bytes of attributes, then the value */
        struct box b = { .lockdown = LOCKDOWN_NONE };
        b.secure_boot = file_read(h, SECURE_BOOT, (char *)var, sizeof var) == sizeof var && var[4] == 1;
        sysfs_line(h, "/sys/kernel/security/lockdown", text, sizeof text);
        if (strstr(text, "[integrity]"))
                b.lockdown = LOCKDOWN_INTEGRITY;
        else if (strstr(text, "[confidentiality]"))
                b.lockdown = LOCKDOWN_CONFIDENTIALITY;
        b.vfio = exists(h, "/sys/bus/pci/drivers/vfio-pci");
        b.uio = exists(h, "/sys/bus/pci/drivers/uio_pci_generic");
        b.vhost_net = exists(h, "/dev/vhost-net") && exists(h, "/dev/net/tun");
        int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
        b.af_xdp = fd >= 0 || errno != EAFNOSUPPORT; /* without the right to it: EPERM */
        if (fd >= 0)
                close(fd);
        *ret = b;
}
