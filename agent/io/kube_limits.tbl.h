/* agent/io/kube_limits.tbl.h - what one API server may make us hold.  L(NAME, limit, why). */
#pragma once
#include "lib/base.h"

#define KUBE_LIMITS(L) \
        L(PAGE, 500, "objects asked for in one page of a list, as client-go does") \
        L(PAGE_BYTES, 64u << 20, "one page; a larger one is asked for again with half as many objects") \
        L(EVENT_BYTES, 8u << 20, "one line of a watch: etcd holds 1.5 MiB per object, escapes may double it") \
        L(REPLY_BYTES, 8u << 20, "any other answer: one object") \
        L(TREE_BYTES, 256u << 20, "arena of one object's tree: 30 times its text") \
        L(KUBECONFIG_BYTES, 4u << 20, "agent/io/yaml.h's own limit") \
        L(TOKEN_BYTES, 64u << 10, "a bearer token; API servers refuse headers over 1 MiB") \
        L(CERT_BYTES, 1u << 20, "a certificate, key or CA file named by a kubeconfig") \
        L(CONNECT_MS, 10000, "TCP and TLS handshakes") \
        L(LIST_MS, 60000, "one page of a list, the API server's own limit") \
        L(REPLY_MS, 30000, "any other answer") \
        L(WATCH_SLACK_MS, 30000, "how much longer than asked for a watch may live before we end it") \
        L(WATCH_MIN_S, 300, "watches end after this to twice this, at random, so that they do not come back together") \
        L(USER_TIMEOUT_MS, 45000, "unacknowledged data: the peer is dead") \
        L(RETRY_MAX_MS, 30000, "longest wait between two attempts") \
        L(STEADY_MS, 120000, "a watch that lived so long makes the next failure a first one") \
        L(TOKEN_REREAD_MS, 60000, "token files are rotated by the kubelet") \
        L(NOT_SERVED_MS, 30000, "a kind the server does not know is asked for again: its CRD may come") \
        L(VERSION_MS, 60000, "the CRDs' version is read again: they are upgraded once in months") \
        L(WRITES_AT_ONCE, 16, "status patches under way; each may hold one object") \
        L(MERGES_PER_TURN, 200, "statuses compared before the loop goes on: about 10 ms") \
        L(WAR_WRITES, 5, "equal writes of one status within WAR_MS: somebody else keeps changing it back") \
        L(WAR_MS, 60000, "... then it is written once in so long")
enum {
#define L(name, limit, why) KUBE_##name = limit,
        KUBE_LIMITS(L)
#undef L
};
