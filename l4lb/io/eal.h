/* l4lb/io/eal.h - starts and ends DPDK's environment from our settings.  Layer: l4lb/io.
 * Thread rule: main thread, once per process.  Afterwards the main thread is lcore 0 (the control thread, free to run
 * on any CPU no worker owns) and worker i is lcore i + 1, pinned to settings.cores[i]. Coexistence: every instance has
 * its own EAL file prefix, made of its name and state directory, so several may run on one host; eal_fini removes what
 * the prefix left in the runtime directory. */
#pragma once
#include "l4lb/io/settings.h"

/* Signals must be blocked before (loop_signals): EAL starts threads. */
int eal_init(const struct settings *s, struct err *reterr) NONNULL(1, 2) MUST_USE;
void eal_fini(void);
/* The name part of a device string ("net_af_xdp0" of "net_af_xdp0,iface=up0"), and whether it is a PCI address. */
void device_name(const char *device, char ret[64]) NONNULL(1, 2);
bool device_is_pci(const char *device) NONNULL(1);
