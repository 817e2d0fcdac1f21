/* image/io/ports_apply.h - carries out what core/port_choice.h chose: drivers, devices' owners, hugepages.  Layer: image/io.
 * Thread rule: main thread of `gatehouse-system ports`.  All of it may be done again: what is so already stays. */
#pragma once
#include "image/core/port_choice.h"
#include "image/io/host.h"

#define PORTS_HUGE_DIR "/run/gatehouse/huge"

/* NICs that we took from the kernel: what sysfs no longer says about them is remembered until the next boot.  Fills mac of
 * those in ns; "driver" is theirs before us. */
struct taken {
        struct nic v[NICS_MAX];
        size_t n;
};
void taken_read(const struct host *h, struct taken *ret) NONNULL(1, 2);
int taken_write(const struct host *h, const struct taken *t, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
void taken_fill(const struct taken *t, struct nics *ns) NONNULL(1, 2);

/* Gives the NIC to vfio-pci or uio_pci_generic, and its device node to l4lb. */
int port_take(const struct host *h, const struct nic *n, enum port_driver d, struct err *reterr) NONNULL(1, 2, 4) MUST_USE;
/* Back to the kernel's driver. */
int port_give_back(const struct host *h, const struct nic *n, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* An interface that l4lb reads by AF_XDP or AF_PACKET: up, without addresses, without superframes. */
int port_quiet(const struct host *h, const struct nic *n, unsigned mtu, struct err *reterr) NONNULL(1, 2, 4) MUST_USE;
/* A veth end that l4lb's peer sends by: whole frames with finished checksums from here on. */
void link_quiet(const struct host *h, const char *ifname) NONNULL(1, 2);
/* 2 MiB pages for so much memory, in a hugetlbfs of l4lb's own.  -ENOMEM: the kernel has no room for them. */
int hugepages_take(const struct host *h, unsigned memory_mb, struct err *reterr) NONNULL(1, 3) MUST_USE;
/* Loads modules; those that do not exist are no error: box_read says what is there. */
void modules_load(const struct host *h, const char *const *names, size_t n) NONNULL(1, 2);
/* Runs `ip -batch` over text; force: every line is tried, and a failure of some is none. */
int ip_batch(const struct host *h, const char *text, bool force, struct err *reterr) NONNULL(1, 2, 4) MUST_USE;
