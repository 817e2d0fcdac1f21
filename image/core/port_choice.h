/* image/core/port_choice.h - how l4lb drives a data NIC: vfio > AF_XDP > uio > AF_PACKET, the first that can work here.
 * Layer: image/core, pure.  Thread rule: any.  Facts in, choice and its reason out; io/ports_apply.h carries it out. */
#pragma once
#include "image/core/nics.h"

enum lockdown { LOCKDOWN_NONE, LOCKDOWN_INTEGRITY, LOCKDOWN_CONFIDENTIALITY, LOCKDOWN_N };
struct box { /* what the kernel offers */
        bool secure_boot;
        enum lockdown lockdown;
        bool vfio, uio; /* their PCI drivers are there (module loaded) */
        bool af_xdp;    /* the kernel knows such sockets */
        bool vhost_net; /* /dev/vhost-net and /dev/net/tun */
};
struct port_choice {
        enum port_driver driver; /* never AUTO */
        bool overruled;          /* the one asked for cannot work */
        char reason[320];        /* what was passed over and why; one line */
};

/* wanted: AUTO, or the operator's word, which counts if it can work at all.  -ENODEV and *reterr when nothing can. */
int port_choose(const struct nic *n, const struct box *b, enum port_driver wanted, struct port_choice *ret, struct err *reterr)
        NONNULL(1, 2, 4, 5) MUST_USE;
