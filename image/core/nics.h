/* image/core/nics.h - the NICs a box has, and which of them is whose.  Layer: image/core, pure: io/nics_read.h fills it from
 * sysfs.  Thread rule: any.  Ownership: values; an assignment borrows from its struct nics. */
#pragma once
#include "image/core/config.h"

#define NICS_MAX 64
struct nic {
        char pci[16];    /* "0000:00:03.0"; "" = not on PCI */
        char ifname[16]; /* the kernel's interface; "" = none, it was taken away or nobody drives it */
        char mac[18];    /* "" = unknown: there is no interface */
        char driver[24]; /* of the PCI device, or of the interface's device; "" = none */
        int iommu_group; /* -1 = none */
        char group_other[16]; /* another device of that group which a driver of the kernel holds; "" = none */
        bool virtio_bypasses_iommu; /* a virtio NIC without VIRTIO_F_ACCESS_PLATFORM: it takes physical addresses */
        bool has_intx;              /* a legacy interrupt line */
};
struct nics {
        struct nic v[NICS_MAX]; /* by PCI address, then by name: same machine, same order */
        size_t n;
};
struct nic_assignment {
        const struct nic *management, *backend, *data[IMAGE_MAX_DATA_NICS]; /* NULL: shared, absent from the file, or not found */
};

void nics_sort(struct nics *ns) NONNULL(1);
/* Named ones first; then management, backend and data NICs that named none take what is left, in that order.  Never fails:
 * what is not found stays NULL (nic_missing says it in words). */
void nics_assign(const struct config *c, const struct nics *ns, struct nic_assignment *ret) NONNULL(1, 2, 3);
int nic_missing(const char *what, const struct nic_match *m, struct err *reterr) NONNULL(1, 2, 3); /* -ENODEV */
