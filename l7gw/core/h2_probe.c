/* l7gw/core/h2_probe.c - see h2_probe.h. */
#include "lib/base.h"
#include "l7gw/core/h2_probe.h"

#include <nghttp2/nghttp2.h>

#define MESSAGE_MAX 64 /* HealthCheckResponse has one enum */
struct h2_probe {
        nghttp2_session *h2;
        uint8_t request[5 + 2 + 255];
        size_t n_request, sent;
        uint8_t message[MESSAGE_MAX];
        size_t n_message;
        char status[4], grpc_status[12];
        bool closed, too_long;
        uint32_t error;
};

static ssize_t on_read(nghttp2_session *h2, int32_t id, uint8_t *to, size_t max, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
        struct h2_probe *p = arg;
        size_t n = MIN(max, p->n_request - p->sent);
        (void)h2;
        (void)id;
        (void)source;
        memcpy(to, p->request + p->sent, n);
        p->sent += n;
        if (p->sent == p->n_request)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

static void keep(char *to, size_t room, const uint8_t *v, size_t n)
{
        snprintf(to, room, "%.*s", (int)MIN(n, room - 1), (const char *)v);
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t n_name, const uint8_t *v, size_t n, uint8_t flags, void *arg)
{
        struct h2_probe *p = arg;
        (void)h2;
        (void)f;
        (void)flags;
        if (span_eq(SPAN(name, n_name), SPAN_LIT(":status")))
                keep(p->status, sizeof p->status, v, n);
        else if (span_eq(SPAN(name, n_name), SPAN_LIT("grpc-status")))
                keep(p->grpc_status, sizeof p->grpc_status, v, n);
        return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *d, size_t n, void *arg)
{
        struct h2_probe *p = arg;
        size_t room = sizeof p->message - p->n_message;
        (void)h2;
        (void)flags;
        (void)id;
        p->too_long |= n > room;
        memcpy(p->message + p->n_message, d, MIN(n, room));
        p->n_message += MIN(n, room);
        return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
        struct h2_probe *p = arg;
        (void)h2;
        (void)id;
        p->closed = true;
        p->error = code;
        return 0;
}

/* HealthCheckRequest{service}, behind the five bytes of a gRPC message. */
static void request_make(struct h2_probe *p, const char *service)
{
        size_t n = MIN(strlen(service), (size_t)127); /* the length stays one byte; the agent allows no longer names */
        size_t message = n ? n + 2 : 0;
        uint8_t *at = p->request;
        at[4] = (uint8_t)message;
        if (n) {
                at[5] = 1 << 3 | 2; /* field 1, bytes */
                at[6] = (uint8_t)n;
                memcpy(at + 7, service, n);
        }
        p->n_request = 5 + message;
}

static int session_output(struct h2_probe *p, struct buf *out)
{
        const uint8_t *d;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(p->h2, &d)) > 0)
                buf_add(out, d, (size_t)n);
        return n < 0 || out->failed ? -ENOMEM : 0;
}

#define NV(k, v, len) {(uint8_t *)(uintptr_t)(k), (uint8_t *)(uintptr_t)(v), sizeof(k) - 1, (len), NGHTTP2_NV_FLAG_NONE}

static int request_submit(struct h2_probe *p, const char *authority, bool tls)
{
        const char *scheme = tls ? "https" : "http";
        const nghttp2_nv nv[] = {
                NV(":method", "POST", 4),
                NV(":scheme", scheme, strlen(scheme)),
                NV(":path", "/grpc.health.v1.Health/Check", 28),
                NV(":authority", authority, strlen(authority)),
                NV("content-type", "application/grpc", 16),
                NV("te", "trailers", 8),
                NV("user-agent", "gatehouse-health", 16),
        };
        const nghttp2_data_provider body = {.read_callback = on_read};
        int r = nghttp2_submit_settings(p->h2, NGHTTP2_FLAG_NONE, NULL, 0);
        return r == 0 && nghttp2_submit_request(p->h2, NULL, nv, ARRAY_SIZE(nv), &body, NULL) > 0 ? 0 : -ENOMEM;
}

int h2_probe_new(const char *service, const char *authority, bool tls, struct buf *out, struct h2_probe **ret)
{
        struct h2_probe *p = calloc(1, sizeof *p);
        nghttp2_session_callbacks *cb = NULL;
        if (!p || nghttp2_session_callbacks_new(&cb) != 0) {
                free(p);
                return -ENOMEM;
        }
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
        int r = nghttp2_session_client_new(&p->h2, cb, p);
        nghttp2_session_callbacks_del(cb);
        request_make(p, service);
        if (r != 0 || request_submit(p, authority, tls) < 0 || session_output(p, out) < 0) {
                h2_probe_free(p);
                return -ENOMEM;
        }
        *ret = p;
        return 0;
}

void h2_probe_free(struct h2_probe *p)
{
        if (!p)
                return;
        nghttp2_session_del(p->h2);
        free(p);
}

/* HealthCheckResponse: field 1, an enum; SERVING is 1. */
static enum health_rc verdict(const struct h2_probe *p, char ret_why[64])
{
        const uint8_t *m = p->message;
        if (strcmp(p->status, "200") != 0)
                snprintf(ret_why, 64, "HTTP status %s", p->status[0] ? p->status : "none");
        else if (p->error != 0)
                snprintf(ret_why, 64, "stream error %u", p->error);
        else if (strcmp(p->grpc_status, "0") != 0)
                snprintf(ret_why, 64, "grpc-status %s", p->grpc_status[0] ? p->grpc_status : "none");
        else if (p->too_long || p->n_message < 5 || m[0] != 0 || m[1] || m[2] || m[3] || m[4] != p->n_message - 5)
                snprintf(ret_why, 64, "no HealthCheckResponse");
        else if (m[4] == 2 && m[5] == 1 << 3 && m[6] == 1)
                return HEALTH_OK;
        else
                snprintf(ret_why, 64, "not serving: %s", m[4] != 2 ? "unknown" : m[6] == 2 ? "NOT_SERVING" : m[6] == 3 ? "SERVICE_UNKNOWN" : "unknown");
        return HEALTH_BAD;
}

enum health_rc h2_probe_input(struct h2_probe *p, struct span in, struct buf *out, char ret_why[64])
{
        ssize_t n = nghttp2_session_mem_recv(p->h2, in.p, in.n);
        if (n < 0) {
                snprintf(ret_why, 64, "no HTTP/2 in its answer");
                return HEALTH_BAD;
        }
        if (p->closed)
                return verdict(p, ret_why);
        if (session_output(p, out) < 0 || !nghttp2_session_want_read(p->h2)) {
                snprintf(ret_why, 64, "ended without an answer");
                return HEALTH_BAD;
        }
        return HEALTH_MORE;
}
