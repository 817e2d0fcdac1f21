/* l7gw/io/counters.h - what a shard counts.  Layer: l7gw/io.  Each block has one writer, its worker; the control thread
 * reads. */
#pragma once
#include "l7gw/core/reasons.tbl.h"
#include "l7gw/core/retry.h"
#include "lib/core/metrics.h"

/* clang-format off */
#define WORKER_COUNTERS(C) \
        C(CONNECTIONS, "connections_total", "Connections accepted") \
        C(CONNECTIONS_REFUSED, "connections_refused_total", "Connections closed at once: over max_connections") \
        C(PROXY_REFUSED, "proxy_refused_total", "Connections closed: a bad PROXY header, none where one is required, or a peer that may not send it") \
        C(ACCEPT_PAUSES, "accept_pauses_total", "Times accepting paused because descriptors ran out") \
        C(TLS_HANDSHAKES, "tls_handshakes_total", "TLS handshakes completed") \
        C(TLS_FAILURES, "tls_failures_total", "TLS handshakes failed") \
        C(TLS_UNKNOWN_SNI, "tls_unknown_sni_total", "TLS connections closed: no listener serves the name") \
        C(H2_CONNECTIONS, "h2_connections_total", "HTTP/2 connections") \
        C(TUNNELS, "tunnels_total", "TLS connections passed through, or ended here and handed on as TCP") \
        C(REQUESTS, "requests_total", "Requests finished") \
        C(BODY_BYTES_IN, "request_body_bytes_total", "Request body bytes received") \
        C(BODY_BYTES_OUT, "response_body_bytes_total", "Response body bytes passed on") \
        C(SPLICED_BYTES, "spliced_bytes_total", "Bytes passed from socket to socket without a copy") \
        C(UPSTREAM_CONNECTS, "upstream_connects_total", "Upstream connections opened") \
        C(UPSTREAM_CONNECT_FAILURES, "upstream_connect_failures_total", "Upstream connections that failed") \
        C(UPSTREAM_TLS_HANDSHAKES, "upstream_tls_handshakes_total", "TLS handshakes with endpoints completed") \
        C(UPSTREAM_TLS_FAILURES, "upstream_tls_failures_total", "TLS handshakes with endpoints failed, or their certificates not accepted") \
        C(UPSTREAM_REUSES, "upstream_reuses_total", "Requests sent on a pooled connection") \
        C(UPSTREAM_RETRIES, "upstream_retries_total", "Requests sent again: the pooled connection was closed") \
        C(RETRIES, "retries_total", "Requests sent again by their route's retry policy") \
        C(RETRIES_REFUSED, "retries_refused_total", "Retries not made: the cluster's retry budget was used up, or its limit of retries reached") \
        C(MIRRORS, "mirrors_total", "Requests copied to mirror backends") \
        C(MIRRORS_DROPPED, "mirrors_dropped_total", "Copies not made or cut: too many, too slow for the body, or the request ended early") \
        C(PLANS_LOST, "endpoint_updates_lost_total", "Changes of endpoints that a worker had no memory for") \
        C(LOG_DROPPED, "access_log_dropped_total", "Access log lines dropped because the writer was behind")
/* clang-format on */
enum worker_counter {
#define C(id, name, help) WORKER_##id,
        WORKER_COUNTERS(C)
#undef C
        WORKER_COUNTER_N
};
#define LATENCY_BUCKETS(B) B(1) B(2) B(5) B(10) B(25) B(50) B(100) B(250) B(500) B(1000) B(2500) B(5000) B(10000)
enum {
#define B(ms) LATENCY_BUCKET_##ms,
        LATENCY_BUCKETS(B)
#undef B
        LATENCY_INF,
        LATENCY_N
};
struct worker_counters {
        metric_t v[WORKER_COUNTER_N];
        metric_t reasons[REASON_N];
        metric_t latency[LATENCY_N], latency_sum_us;
        metric_t connections, streams; /* gauges */
};
struct listener_counters {
        metric_t by_class[6]; /* 0: nothing answered; 1xx..5xx */
} CACHE_ALIGNED;
struct cluster_counters {
        metric_t by_class[6]; /* of upstream responses; 0: none came */
        metric_t active;      /* gauge */
        struct retry_budget retry; /* the worker's own */
} CACHE_ALIGNED;
