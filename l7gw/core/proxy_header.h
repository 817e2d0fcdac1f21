/* l7gw/core/proxy_header.h - the PROXY protocol, versions 1 and 2: who the client of a relayed connection is.
 * Layer: l7gw/core, pure.  Any thread.  (haproxy.org, The PROXY protocol, versions 1 & 2, sections 2.1 and 2.2)
 *
 * Strict: one space, no leading zeros, no byte after the header is looked at.  What carries no TCP addresses (UNKNOWN,
 * LOCAL, UNSPEC, sockets of UNIX, datagrams) is a header all the same: the connection keeps its own addresses.  TLVs
 * have to lie within the length told and are passed over.  An IPv4 address in IPv6 form is told as IPv4. */
#pragma once
#include "lib/core/ipaddr.h"

#define PROXY_V1_MAX 107 /* section 2.1: the longest line, CRLF included */
#define PROXY_V2_MAX 4096 /* of ours: addresses take 52 bytes, certificates in TLVs some hundreds; over it BAD */
#define PROXY_WRITE_MAX PROXY_V1_MAX
struct proxy_addrs {
        bool known; /* else the rest means nothing */
        struct ipaddr src, dst; /* of one family */
        uint16_t src_port, dst_port;
};
enum proxy_rc {
        PROXY_HEADER,  /* a whole one: *ret, *ret_used */
        PROXY_MORE,    /* could still become one */
        PROXY_NONE,    /* begins with something else */
        PROXY_BAD      /* begins as a header and is none */
};
/* in: the connection's bytes from the first one on. */
enum proxy_rc proxy_header_parse(struct span in, struct proxy_addrs *ret, size_t *ret_used) NONNULL(2, 3) MUST_USE;
/* Writes a header of version 1 or 2 and returns its length; UNKNOWN or LOCAL when a is not known. */
size_t proxy_header_write(unsigned version, const struct proxy_addrs *a, uint8_t ret[PROXY_WRITE_MAX]) NONNULL(2, 3) MUST_USE;
