/* lib/io/dpclient_status.c - STATUS: what the data plane says of itself, in as many frames as it takes.
 * See dpclient_priv.h. */
#include "lib/base.h"
#include "lib/io/dpclient_priv.h"

#define STATUS_MIN_GAP_MS 100
#define STATUS_ARENA_MAX (8u << 20)
#define STATUS_PART_BYTES (FRAME_MAX_BODY - 256) /* beside the numbers, which every frame repeats */
#define ITEM_OVERHEAD_BYTES 8                    /* tag and length of one entry */

/* A set so large that its endpoints that are down do not fit one frame: the counts say how many, the names are the first. */
static void down_cut(Control__EndpointHealth *h)
{
        while (h->n_down && control__endpoint_health__get_packed_size(h) > STATUS_PART_BYTES - ITEM_OVERHEAD_BYTES)
                h->n_down /= 2;
}

/* How many of v[0..n) fit in *left, which they use up.  Lists of a message are arrays of pointers to messages. */
static size_t items_fit(void *list, size_t n, size_t *left)
{
        ProtobufCMessage *const *v = list;
        for (size_t i = 0; i < n; i++) {
                size_t size = protobuf_c_message_get_packed_size(v[i]) + ITEM_OVERHEAD_BYTES;
                if (size > *left)
                        return i;
                *left -= size;
        }
        return n;
}

static int parts_send(struct dpclient *c, const Control__Status *st)
{
        Control__Status rest = *st, part;
        int r;
        do {
                size_t left = STATUS_PART_BYTES;
                part = rest;
                part.n_endpoints = items_fit(rest.endpoints, rest.n_endpoints, &left);
                part.n_listeners = items_fit(rest.listeners, rest.n_listeners, &left);
                part.n_certificates = items_fit(rest.certificates, rest.n_certificates, &left);
                rest.n_endpoints -= part.n_endpoints;
                rest.n_listeners -= part.n_listeners;
                rest.n_certificates -= part.n_certificates;
                rest.endpoints += part.n_endpoints;
                rest.listeners += part.n_listeners;
                rest.certificates += part.n_certificates;
                part.more = rest.n_endpoints + rest.n_listeners + rest.n_certificates > 0;
                BUG_ON(part.more && left == STATUS_PART_BYTES); /* an entry that no frame takes: down_cut and our own texts */
                r = dpclient_send(c, FRAME_STATUS, &part.base);
        } while (r == 0 && part.more);
        return r;
}

void dpclient_status_due(struct timer *t, uint64_t now_ms)
{
        struct dpclient *c = CONTAINER_OF(t, struct dpclient, status);
        uint32_t suppressed;
        struct arena a;
        Control__Status st = CONTROL__STATUS__INIT;
        timer_set(loop_timers(c->loop), &c->status, now_ms + c->status_interval_ms);
        c->status_sent_ms = now_ms;
        if (!c->ops.fill_status)
                return;
        arena_init(&a, 16 * 1024, STATUS_ARENA_MAX);
        c->ops.fill_status(c->arg, &a, &st);
        for (size_t i = 0; i < st.n_endpoints; i++)
                down_cut(st.endpoints[i]);
        int r = parts_send(c, &st);
        if (r < 0 && log_permit(&c->status_limit, 1, 60000, &suppressed))
                log_warn("status_not_sent", "reason=%s suppressed=%u", LOG_ESC(strerror(-r)), suppressed);
        arena_fini(&a);
}

void dpclient_status_changed(struct dpclient *c)
{
        if (c->state < DP_READY)
                return;
        timer_set(loop_timers(c->loop), &c->status, MAX(loop_now_ms(c->loop), c->status_sent_ms + STATUS_MIN_GAP_MS));
}
