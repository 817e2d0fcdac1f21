/* l4lb/core/limits.tbl.h - every bound of the layer-4 core.  L(NAME, value, reason) */
#pragma once
#define L4_LIMITS(L) \
        L(PORTS, 64, "port index fits the adjacency word; one box has few NICs and a link per local shard") \
        L(PORT_ADDRESSES, 8, "v4 + v6, some spare") \
        L(ROUTES, 256, "static routes, scanned linearly longest first") \
        L(TUNNEL_SOURCES, 64, "prefixes whose tunnels we open: other l4lb, scanned linearly") \
        L(NEIGHBOURS, 1024, "next hops, shards and on-link peers; power of two") \
        L(BACKENDS, 4096, "2-byte index, 64 KiB of published words; power of two") \
        L(POOLS, 1024, "shard pools") \
        L(SERVICES, 16384, "as MODEL_MAX_L4_LISTENERS") \
        L(ACL_PREFIXES, 200000, "of one access list: some 5 MB") \
        L(BURST, 64, "packets of one pipeline run") \
        L(REPLIES_PER_S, 1000, "echo replies per worker; ARP and ND have as many of their own") \
        L(PUNTS_PER_S, 2000, "ARP, ND and packets without neighbour to the control thread per worker: anyone can cause them") \
        L(PROBES_PER_S, 20000, "probe answers to it, on their own: five a second of each backend") \
        L(REFUSALS_PER_S, 1000, "RST and ICMP errors of ours per worker, unless limits.refusals_pps says otherwise") \
        L(TO_KERNEL_PER_S, 50000, "packets to this host's own stack per worker, unless limits.to_kernel_pps says otherwise") \
        L(EXTENSION_HEADERS, 8, "IPv6 extension headers walked") \
        L(EXTENSION_BYTES, 256, "bytes of them")
enum {
#define L(id, n, why) L4_MAX_##id = n,
        L4_LIMITS(L)
#undef L
};
