/* l4lb/core/pkt.h - one packet on its way through the pipeline.  Layer: l4lb/core, pure.
 * Thread rule: belongs to one worker.  Not quite two cache lines; a burst of 32 lives in the worker's L1.
 * Ownership: borrows the frame; io owns the mbuf and acts on verdict, out_port and len afterwards. */
#pragma once
#include "l4lb/core/tuple.h"
#include "l4lb/core/verdict.h"

#define SERVICE_NONE 0xffff
#define BACKEND_NONE 0xffff

enum pkt_rx_flag {
        PKT_RX_IP_CKSUM_GOOD = 1, /* the NIC verified the IPv4 header checksum: do not do it again */
        PKT_DECAPSULATED = 2,     /* set by decap.c: came in a tunnel, and goes into none */
};
enum pkt_kind { /* what parse made of it; classify dispatches on it */
        PKT_DONE = 0, /* the verdict is already set */
        PKT_TCP,
        PKT_UDP,
        PKT_FRAGMENT, /* not the first */
        PKT_ICMP,     /* v4 or v6, not ND */
        PKT_OTHER,    /* another IP protocol: only shards may send it */
        PKT_ARP,      /* from here on: no IP packet to classify by its addresses */
        PKT_UNSUMMED, /* UDP over IPv6 without checksum: a tunnel's, else the verdict that is set */
        PKT_ND,       /* ICMPv6 133..137 */
        PKT_FOREIGN,  /* not ours: the kernel's where there is a kernel port, else the verdict that is set */
        PKT_SEND,     /* verdict and adjacency are set: rewrite sends it */
};
enum pkt_frag { PKT_WHOLE = 0, PKT_FRAG_FIRST = 1, PKT_FRAG_LATER = 2 };

struct pkt {
        /* filled by io before pipeline_run */
        uint8_t *p;        /* the frame, from the Ethernet header; NAT across families moves it */
        void *mbuf;        /* io's; core never looks */
        uint32_t len;      /* contiguous bytes at p; replies may change it (never beyond cap) */
        uint32_t wire_len; /* whole frame, all segments; replies may change it with len */
        uint32_t rx_len;   /* wire_len as received, for the byte counters; set by pipeline_run */
        uint32_t head;     /* writable bytes before p: a packet that becomes IPv6 grows there */
        uint32_t cap;      /* writable bytes at p (>= len): a neighbour advertisement is longer than its solicitation */
        uint8_t in_port;   /* index into net.ports */
        uint8_t rx_flags;
        uint8_t handed;    /* workers that had it before this one */
        /* results, read by io */
        uint8_t verdict;   /* enum l4_verdict */
        uint8_t out_port;  /* valid for VERDICT_KIND_TX */
        /* parse */
        uint8_t kind;      /* enum pkt_kind */
        uint8_t version;   /* 4, 6 or 0 */
        uint8_t proto;     /* transport protocol, after extension headers */
        uint8_t tcp_flags;
        uint8_t frag;      /* enum pkt_frag */
        uint16_t l3, l4;   /* offsets from p */
        uint16_t l3_len;   /* bytes of the IP packet as its header says */
        uint16_t l4_len;   /* bytes of it from l4 on */
        uint16_t frag_off; /* bytes */
        uint32_t frag_id;
        /* classify */
        uint16_t vip;      /* index, or VIP_NONE */
        uint16_t service;  /* index, or SERVICE_NONE */
        /* pick */
        uint16_t backend;  /* index, or BACKEND_NONE */
        uint16_t epoch;    /* of the backend */
        uint64_t hash;     /* of key, with the worker's secret */
        uint64_t adjacency; /* word of the next hop; neigh.h */
        struct tuple key;
};
#define VIP_NONE 0xffff

static inline void pkt_done(struct pkt *p, enum l4_verdict v)
{
        p->verdict = (uint8_t)v;
        p->kind = PKT_DONE;
}
static inline void pkt_foreign(struct pkt *p, enum l4_verdict otherwise)
{
        p->verdict = (uint8_t)otherwise;
        p->kind = PKT_FOREIGN;
}
