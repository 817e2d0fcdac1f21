/* tests/unit/l4lb/frame.h - frames from text: one line describes one frame, layers separated by " / ".
 *
 *   eth DST SRC [TYPE]         MAC addresses; without it: to the port's MAC, from 02:cc:00:00:00:01
 *   ip4 A > B [tos=N] [ttl=N] [id=N] [off=BYTES] [mf] [df] [proto=N] [len=N] [ihl=N] [ver=N] [sum=bad] [opt=HEX]
 *   ip6 A > B [tc=N] [hl=N] [nh=N] [plen=N] [ver=N]
 *   hbh | dopt [n=8*N] [nh=N]  extension headers; rh type=N left=N; fh [off=BYTES] [mf] [id=N]; fh is the fragment header
 *   tcp S > D FLAGS            of SARFPU or 0; [doff=N] [seq=N] [ack=N] [win=N] [sum=bad]
 *   udp S > D [len=N] [sum=N]
 *   gue [first=N] [proto=N] [flags=N] [hex=PRIVATE]; an ip4 or ip6 right behind another is IPIP
 *   icmp TYPE.CODE [rest=N] [sum=bad]        (ICMPv6 behind ip6)
 *   ns TARGET [sll=MAC] [code=N] [sum=bad] [opt=HEX]; na TARGET [flags=RSO] [tll=MAC] [sum=bad]
 *   arp request|reply SHA SPA THA TPA [hex=..: replaces the first bytes]
 *   data N [cut]               N bytes 0, 1, 2...; hex BYTES
 *   pad N                      zeros after the packet up to N bytes in all (last layer)
 *   cut N                      keeps the first N bytes of the frame (last layer)
 * Any layer: keep=N keeps N bytes of it and what follows (a truncated quotation).
 * Lengths and checksums are right unless a key says otherwise. */
#pragma once
#include "lib/base.h"

#define FRAME_MAX 4096
/* Aborts with the text on a mistake in the notation.  Returns the length. */
size_t frame_make(const char *text, const uint8_t port_mac[6], uint8_t ret[FRAME_MAX]);
/* Checks of emitted headers: the IPv4 header checksum, and the transport's over the whole packet when it is all there. */
bool frame_ip4_sum_ok(const uint8_t *frame, size_t len);
bool frame_icmp_sum_ok(const uint8_t *frame, size_t len);
void frame_hex(const uint8_t *p, size_t n, char *ret, size_t cap);
