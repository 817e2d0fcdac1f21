/* l7gw/core/reasons.tbl.h - why this gateway answered or cut a request itself: R(ID, "word in log and metrics", HTTP
 * status, "body text").  Status 0: the exchange was cut after its head, or nobody was left to answer. */
#pragma once
/* clang-format off */
#define REASONS(R) \
        R(NONE, "-", 0, "") \
        R(BAD_REQUEST, "bad_request", 400, "bad request") \
        R(HEADER_TIMEOUT, "header_timeout", 408, "request timeout") \
        R(BODY_TIMEOUT, "body_timeout", 408, "request timeout") \
        R(BODY_TOO_LARGE, "body_too_large", 413, "request body over the limit") \
        R(METHOD_REFUSED, "method_refused", 405, "method not allowed") \
        R(MAX_FORWARDS, "max_forwards", 204, "") \
        R(LOOP, "loop", 508, "the request came through here before") \
        R(NO_LISTENER, "no_listener", 404, "no listener serves this host") \
        R(NO_ROUTE, "no_route", 404, "no route") \
        R(MISDIRECTED, "misdirected", 421, "misdirected request") \
        R(REGEX_LIMIT, "regex_limit", 500, "a regular expression of the routes gave up") \
        R(REDIRECT, "redirect", 302, "") \
        R(CORS_PREFLIGHT, "cors_preflight", 204, "") \
        R(CORS_DENIED, "cors_denied", 403, "origin not allowed") \
        R(FIXED, "fixed", 200, "") \
        R(NO_BACKEND, "no_backend", 500, "no valid backend") \
        R(NO_ENDPOINT, "no_endpoint", 503, "no healthy endpoint") \
        R(BREAKER_REQUESTS, "breaker_requests", 503, "too many requests to this backend") \
        R(BREAKER_PENDING, "breaker_pending", 503, "too many requests wait for this backend") \
        R(QUEUE_TIMEOUT, "queue_timeout", 503, "no connection to this backend in time") \
        R(CONNECT_FAILED, "connect_failed", 503, "upstream connection failed") \
        R(CONNECT_TIMEOUT, "connect_timeout", 504, "upstream connection timeout") \
        R(UPSTREAM_TLS, "upstream_tls", 502, "upstream TLS handshake failed") \
        R(UPSTREAM_RESET, "upstream_reset", 502, "upstream closed without a response") \
        R(RETRIES_SPENT, "retries_spent", 503, "upstream failed, retries included") \
        R(UPSTREAM_BAD, "upstream_bad", 502, "invalid upstream response") \
        R(UPSTREAM_TRUNCATED, "upstream_truncated", 502, "upstream response cut short") \
        R(UPSTREAM_TIMEOUT, "upstream_timeout", 504, "upstream timeout") \
        R(REQUEST_TIMEOUT, "request_timeout", 504, "request timeout") \
        R(IDLE_TIMEOUT, "idle_timeout", 504, "stream idle timeout") \
        R(CLIENT_SLOW, "client_slow", 0, "") \
        R(CLIENT_GONE, "client_gone", 499, "") \
        R(OVERLOAD, "overload", 503, "overloaded") \
        R(DRAIN_CUT, "drain_cut", 503, "shutting down")
/* clang-format on */
enum reason {
#define R(id, word, status, text) REASON_##id,
        REASONS(R)
#undef R
        REASON_N
};
const char *reason_word(enum reason r);
unsigned reason_status(enum reason r);
const char *reason_text(enum reason r);
