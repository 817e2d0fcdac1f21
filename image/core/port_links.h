/* image/core/port_links.h - how l4lb reaches the shards and this host's own stack, and what rights its ports cost.
 * Layer: image/core, pure.  Thread rule: any.
 *
 *   LINK_VHOST  l4lb ═ /dev/vhost-net ═ tap s1 ─ macvlan (passthru) eth0 in the shard's namespace      no capability at all
 *   LINK_XDP, LINK_PACKET  l4lb ═ AF_XDP or AF_PACKET ═ veth s1, v1 ─ macvlan (passthru) eth0
 *
 * What l4lb opens stays in its namespace and outlives it (the tap is persistent, and l4lb's user owns it); the shard's eth0
 * with its addresses and routes does too.  So either of them restarts without the other. */
#pragma once
#include "image/core/plan.h"
#include "lib/core/buf.h"

enum link_kind { LINK_VHOST, LINK_XDP, LINK_PACKET, LINK_N };
extern const char *const link_kind_names[LINK_N];

/* uplinks: bit per enum port_driver in use. */
enum link_kind link_choose(bool vhost_net, unsigned uplinks);
#define LINK_DEVICE_MAX 192
/* DPDK device string of the link to shard k, or k = 0 .. for the way to the kernel behind data NIC k (kernel = true).
 * queues: l4lb's workers. */
void link_device(enum link_kind kind, bool kernel, unsigned k, unsigned queues, char ret[LINK_DEVICE_MAX]) NONNULL(5);
/* A line for `ip -force -batch`: what an earlier run made goes; a veth's other end with it.  l4lb must not run. */
void link_unmake(unsigned k, bool kernel, struct buf *out) NONNULL(3);
/* Lines for `ip -batch` that make l4lb's side: s<k>, and v<k> when it is a veth. */
void link_make(enum link_kind kind, unsigned k, unsigned mtu, unsigned queues, struct buf *out) NONNULL(5);
/* Of the way to the kernel behind data NIC k: the host's interface is k<k>, with the NIC's MAC address (mac "": a tap gets
 * it from l4lb) and the addresses networkd gives it; a veth's other end is h<k>. */
void link_make_kernel(enum link_kind kind, unsigned k, const char *mac, unsigned mtu, unsigned queues, struct buf *out) NONNULL(3, 6);
/* The interface that eth0 stands on: its superframes and unfinished checksums must be off. */
const char *link_lower(enum link_kind kind, unsigned k, char ret[16]) NONNULL(3);
/* Lines for `ip -batch` in the root namespace, when the shard's exists: eth0, b<k> and eth1. */
void link_batch(enum link_kind kind, const struct shard_plan *p, unsigned mtu, struct buf *out) NONNULL(2, 4);
/* In a box of shards alone: eth0 is a macvlan of the data NIC nic, with a hardware address that follows from the shard's own address
 * on the segment, so that l4lb's neighbour entry outlives a restart. */
void link_segment_batch(const struct shard_plan *p, const char *nic, unsigned mtu, struct buf *out) NONNULL(1, 2, 4);
/* The drop-in of l4lb.service: nothing for vfio and vhost, else the rights that these drivers and links need, each with
 * its reason.  False: none is needed. */
bool link_rights(enum link_kind kind, unsigned uplinks, struct buf *out) NONNULL(3);
