/* l4lb/core/verdicts.tbl.h - every way a packet can end.  Each packet ends in exactly one; their sum is packets received.
 * V(NAME, kind, help)
 *   kind  TX    the frame leaves by pkt.out_port (pkt.len may have changed for replies)
 *         HAND  the frame is given to the worker out_port
 *         PUNT  the frame is handed to the control thread, which frees it
 *         DROP  the frame is freed */
#pragma once
#define VERDICTS(V) \
        V(FORWARD_SHARD,         TX,   "sent to a shard, destination MAC rewritten") \
        V(FORWARD_TUNNEL,        TX,   "sent to a shard far away, inside IPIP or GUE") \
        V(FORWARD_RETURN,        TX,   "reply of a shard, routed to its next hop") \
        V(FORWARD_NAT,           TX,   "sent to an endpoint, addresses and ports rewritten") \
        V(FORWARD_NAT_RETURN,    TX,   "answer of an endpoint, sent to the client as from the VIP") \
        V(FORWARD_KERNEL,        TX,   "not ours: handed to this host's own stack by the uplink's kernel port") \
        V(FORWARD_WIRE,          TX,   "sent by this host's own stack, passed on to the uplink") \
        V(REPLY_ARP,             TX,   "ARP request answered") \
        V(REPLY_ND,              TX,   "neighbour solicitation answered") \
        V(REPLY_ECHO,            TX,   "ICMP or ICMPv6 echo answered") \
        V(REPLY_RST,             TX,   "TCP to a closed port, or without a connection where one is needed: reset") \
        V(REPLY_UNREACHABLE,     TX,   "UDP to a closed port: ICMP port unreachable") \
        V(REPLY_TOO_BIG,         TX,   "larger than the link it would leave by: ICMP fragmentation needed, packet too big") \
        V(REPLY_EXPIRED,         TX,   "came out of a tunnel with its last hop: ICMP time exceeded") \
        V(HAND_OVER,             HAND, "of another worker's NAT connection: given to it, which counts the packet again") \
        V(PUNT_NEIGH,            PUNT, "ARP reply, gratuitous ARP or neighbour advertisement for the neighbour table") \
        V(PUNT_CONFLICT,         PUNT, "another station claims one of our addresses: the control thread defends it") \
        V(PUNT_PROBE,            PUNT, "answer of a backend to one of our health probes") \
        V(PUNT_RESOLVE,          PUNT, "on-link destination without a neighbour: the control thread resolves it, the packet is lost") \
        V(PUNT_PATH_MTU,         PUNT, "a router on the way of a tunnel says what fits: the control thread notes it") \
        V(DROP_SHORT,            DROP, "frame or header cut short") \
        V(DROP_NOT_OUR_MAC,      DROP, "unicast frame for another station") \
        V(DROP_ETHERTYPE,        DROP, "ethertype that we do not speak: LLDP, 802.3 length, EAPOL") \
        V(DROP_VLAN,             DROP, "tagged frame: VLANs are not configured") \
        V(DROP_BAD_ARP,          DROP, "malformed or impossible ARP") \
        V(DROP_ARP_OTHER,        DROP, "ARP for somebody else") \
        V(DROP_BAD_ND,           DROP, "neighbour discovery that fails RFC 4861 7.1 validation") \
        V(DROP_ND_OTHER,         DROP, "neighbour discovery for somebody else") \
        V(DROP_BAD_IPV4_HEADER,  DROP, "version, IHL or total length impossible") \
        V(DROP_BAD_CHECKSUM,     DROP, "IPv4 header checksum wrong") \
        V(DROP_SOURCE_ROUTE,     DROP, "LSRR, SSRR or an IPv6 routing header") \
        V(DROP_BAD_OPTIONS,      DROP, "IPv4 option runs past the header") \
        V(DROP_BAD_IPV6_HEADER,  DROP, "version or payload length impossible, jumbogram") \
        V(DROP_EXTENSION_HEADERS,DROP, "IPv6 extension header chain too long, malformed or unknown") \
        V(DROP_TTL,              DROP, "TTL or hop limit 0") \
        V(DROP_LAND,             DROP, "source address equals destination address") \
        V(DROP_MARTIAN,          DROP, "source that cannot exist: loopback, multicast, reserved, ours, a VIP from outside") \
        V(DROP_MULTICAST,        DROP, "multicast or broadcast destination without a listener here") \
        V(DROP_BAD_TCP_HEADER,   DROP, "TCP data offset impossible") \
        V(DROP_BAD_TCP_FLAGS,    DROP, "SYN+FIN, SYN+RST, null, xmas, SYN+ACK towards a VIP") \
        V(DROP_UDP_LENGTH,       DROP, "UDP length below 8 or beyond the packet, checksum 0 over IPv6") \
        V(DROP_PORT_ZERO,        DROP, "TCP or UDP port 0") \
        V(DROP_FRAGMENT_TINY,    DROP, "first fragment without its whole transport header, or offset 1 (RFC 1858)") \
        V(DROP_FRAGMENT_OVERLAP, DROP, "fragment overlaps the first, or ends beyond 65535 bytes") \
        V(DROP_FRAGMENT_UNKNOWN, DROP, "later fragment whose first fragment was not seen") \
        V(DROP_PROTOCOL,         DROP, "IP protocol that no service can have") \
        V(DROP_ICMP_TYPE,        DROP, "ICMP that is neither echo nor an error we follow") \
        V(DROP_BAD_ICMP,         DROP, "ICMP error whose quotation is truncated, a later fragment, or not about a VIP") \
        V(DROP_ICMP_FRAGMENT,    DROP, "ICMP towards us in fragments") \
        V(DROP_ICMP_MTU,         DROP, "packet-too-big with an MTU below the protocol's minimum") \
        V(DROP_RATE_LIMITED,     DROP, "a reply or a punt over this worker's budget") \
        V(DROP_NO_FLOW,          DROP, "NAT: no connection has these addresses and ports") \
        V(DROP_NAT_PORTS,        DROP, "NAT: no free port of ours towards this endpoint") \
        V(DROP_FLOWS_FULL,       DROP, "NAT: no room for another connection") \
        V(DROP_NAT_FAMILY,       DROP, "NAT between IPv4 and IPv6: a fragment, an ICMP error, or no room for the larger header") \
        V(DROP_TUNNEL_SOURCE,    DROP, "IPIP or GUE to us from a source that may not") \
        V(DROP_TUNNEL_HEADER,    DROP, "GUE header malformed, with flags we do not know or a control message; or a tunnel's packet in fragments") \
        V(DROP_TUNNEL_INNER,     DROP, "out of a tunnel, but not for a VIP with shards here") \
        V(DROP_TUNNEL_ECN,       DROP, "congestion experienced in a tunnel by a packet that does not speak ECN (RFC 6040)") \
        V(DROP_TUNNEL_ROOM,      DROP, "no room before the frame for a tunnel's headers") \
        V(DROP_KERNEL_LIMIT,     DROP, "for this host's own stack, over the budget of limits.to_kernel_pps") \
        V(DROP_KERNEL_MAC,       DROP, "frame of the kernel port from another MAC address than its uplink's") \
        V(DROP_NO_SERVICE,       DROP, "no listener for this VIP, protocol and port, and no answer (limits.refusals_pps)") \
        V(DROP_ACL,              DROP, "source that the service's access list refuses") \
        V(DROP_SOURCE_RATE,      DROP, "over the service's connections or packets per second of one source") \
        V(DROP_SERVICE_RATE,     DROP, "over the service's connections or packets per second") \
        V(DROP_POLICY,           DROP, "the distribution's leg says drop") \
        V(DROP_NO_BACKEND,       DROP, "the pool has no backend") \
        V(DROP_NO_NEIGHBOUR,     DROP, "next hop's MAC address is not known (yet)") \
        V(DROP_NO_ROUTE,         DROP, "no route to the destination of a reply") \
        V(DROP_MTU,              DROP, "larger than the MTU of the port it would leave by") \
        V(DROP_NOT_OURS,         DROP, "neither for a VIP nor from one") \
        V(DROP_NO_TABLES,        DROP, "no configuration yet") \
        V(DROP_TX_FULL,          DROP, "transmit queue full (counted by io)") \
        V(DROP_PUNT_FULL,        DROP, "queue to the control thread full (counted by io)")
