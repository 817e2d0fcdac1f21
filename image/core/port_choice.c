/* image/core/port_choice.c - see port_choice.h. */
#include "lib/base.h"
#include "image/core/port_choice.h"

#include <stdarg.h>

/* Kernel drivers whose NICs DPDK 22.11 drives by itself over PCI; the image carries its driver for each.  The list is what
 * decides whether we dare to take a NIC from the kernel.  mlx4 and mlx5 are absent: their DPDK drivers work through the
 * kernel's, so AF_XDP it is. */
static const char *const dpdk_drives[] = {
        "virtio-pci", "e1000", "e1000e", "igb", "igc", "ixgbe", "ixgbevf", "i40e", "iavf", "ice", "ena", "gvnic", "gve", "vmxnet3",
        "bnxt_en",
        "vfio-pci", "uio_pci_generic", /* ours already: it was on this list when we took it */
};
/* Their virtual functions and cloud NICs have no legacy interrupt, and uio_pci_generic knows no other. */

static bool dpdk_can(const struct nic *n)
{
        for (size_t i = 0; i < ARRAY_SIZE(dpdk_drives); i++)
                if (strcmp(n->driver, dpdk_drives[i]) == 0)
                        return true;
        return false;
}

/* The three answers of each: NULL = it can work; text = why not.  buf is for texts with names in them. */
static const char *vfio_not(const struct nic *n, const struct box *b, char *buf, size_t size)
{
        if (!*n->pci)
                return "not a PCI device";
        if (!dpdk_can(n)) {
                snprintf(buf, size, "DPDK cannot take over from driver %s", *n->driver ? n->driver : "(none)");
                return buf;
        }
        if (n->iommu_group < 0)
                return "no IOMMU"; /* and Debian's kernels are built without VFIO_NOIOMMU */
        if (!b->vfio)
                return "no vfio-pci in this kernel";
        if (*n->group_other) {
                snprintf(buf, size, "shares IOMMU group %d with %s", n->iommu_group, n->group_other);
                return buf;
        }
        if (n->virtio_bypasses_iommu)
                return "this virtio NIC goes round the IOMMU (the hypervisor must offer it with iommu_platform=on)";
        return NULL;
}

static const char *kernel_not(const struct nic *n)
{
        return *n->ifname ? NULL : "no interface of the kernel";
}

static const char *af_xdp_not(const struct nic *n, const struct box *b, char *buf, size_t size)
{
        (void)buf;
        (void)size;
        return !b->af_xdp ? "no AF_XDP in this kernel" : kernel_not(n);
}

static const char *uio_not(const struct nic *n, const struct box *b, char *buf, size_t size)
{
        static const char *const lockdown[LOCKDOWN_N] = { "", "integrity", "confidentiality" };
        if (!*n->pci)
                return "not a PCI device";
        if (b->lockdown != LOCKDOWN_NONE) {
                snprintf(buf, size, "the kernel is locked down (%s%s)", lockdown[b->lockdown], b->secure_boot ? ", Secure Boot" : "");
                return buf;
        }
        if (!dpdk_can(n)) {
                snprintf(buf, size, "DPDK cannot take over from driver %s", *n->driver ? n->driver : "(none)");
                return buf;
        }
        if (!b->uio)
                return "no uio_pci_generic in this kernel";
        if (!n->has_intx)
                return "the NIC has no legacy interrupt";
        return NULL;
}

static const char *af_packet_not(const struct nic *n, const struct box *b, char *buf, size_t size)
{
        (void)b;
        (void)buf;
        (void)size;
        return kernel_not(n);
}

typedef const char *why_not_fn(const struct nic *n, const struct box *b, char *buf, size_t size);
static const struct {
        enum port_driver driver;
        why_not_fn *why_not;
} order[] = { { DRIVER_VFIO, vfio_not }, { DRIVER_AF_XDP, af_xdp_not }, { DRIVER_UIO, uio_not }, { DRIVER_AF_PACKET, af_packet_not } };

struct words {
        char *at;
        size_t left;
};
PRINTF(2, 3) static void say(struct words *w, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(w->at, w->left, fmt, ap);
        va_end(ap);
        size_t used = n < 0 ? 0 : MIN((size_t)n, w->left - 1); /* cut: it is for people */
        w->at += used;
        w->left -= used;
}

int port_choose(const struct nic *n, const struct box *b, enum port_driver wanted, struct port_choice *ret, struct err *reterr)
{
        struct port_choice c = { .driver = DRIVER_AUTO };
        struct words w = { c.reason, sizeof c.reason };
        char buf[96];
        for (size_t i = 0; wanted != DRIVER_AUTO && i < ARRAY_SIZE(order); i++) {
                if (order[i].driver != wanted)
                        continue;
                const char *why = order[i].why_not(n, b, buf, sizeof buf);
                if (!why) {
                        c.driver = wanted;
                        say(&w, "asked for");
                } else {
                        c.overruled = true;
                        say(&w, "%s was asked for, but: %s", port_driver_names[wanted], why);
                }
        }
        for (size_t i = 0; c.driver == DRIVER_AUTO && i < ARRAY_SIZE(order); i++) {
                if (order[i].driver == wanted)
                        continue; /* said above */
                const char *why = order[i].why_not(n, b, buf, sizeof buf), *sep = *c.reason ? "; " : "";
                if (!why) {
                        c.driver = order[i].driver;
                        say(&w, "%s%s works", sep, port_driver_names[c.driver]);
                } else {
                        say(&w, "%sno %s: %s", sep, port_driver_names[order[i].driver], why);
                }
        }
        if (c.driver == DRIVER_AUTO)
                return err_set(reterr, ENODEV, *n->pci ? n->pci : n->ifname, "%s", c.reason);
        *ret = c;
        return 0;
}
