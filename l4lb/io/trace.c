/* l4lb/io/trace.c - the admin query `trace VIP PORT [SOURCE]`: every worker runs a SYN of a client through its own pipeline, with the
 * tables, neighbours and backends' health it has now, and says how it would end.  For operators ("where does this go?") and for the
 * appliance's health gate: a worker that hangs, or tables that lead nowhere, are seen without a packet from outside.
 * Layer: l4lb/io.  Thread rule: control thread; it waits for the workers' next turn, at most TRACE_MS. */
#include "lib/base.h"
#include "l4lb/core/segment.h"
#include "l4lb/core/wire.h"
#include "l4lb/io/control.h"

#include <time.h>

#define TRACE_MS 50
#define TRACE_STEP_NS 100000
#define TRACE_PORT 50000 /* the client's: below those of probes */
#define TRACE_WINDOW 1024
#define CLIENT4 "198.18.0.1" /* RFC 2544, RFC 5180: for tests of networks */
#define CLIENT6 "2001:2::1"

static const uint8_t client_mac[6] = {0x02, 0, 0, 0, 0, 1}; /* locally administered */

static int read_args(char *const *argv, size_t argc, struct ipaddr *vip, uint16_t *port, struct ipaddr *client, struct err *reterr)
{
        char *end;
        if (argc < 2 || argc > 3)
                return err_set(reterr, EINVAL, "trace", "takes VIP PORT [SOURCE]");
        if (ipaddr_parse(span_str(argv[0]), vip) < 0)
                return err_set(reterr, EINVAL, argv[0], "no address");
        unsigned long n = strtoul(argv[1], &end, 10);
        if (*end || n == 0 || n > UINT16_MAX)
                return err_set(reterr, EINVAL, argv[1], "no port");
        const char *from = argc == 3 ? argv[2] : vip->af == 4 ? CLIENT4 : CLIENT6;
        if (ipaddr_parse(span_str(from), client) < 0 || client->af != vip->af)
                return err_set(reterr, EINVAL, from, "no address of the VIP's family");
        *port = (uint16_t)n;
        return 0;
}

static int uplink_of(const struct control *c, struct err *reterr)
{
        for (size_t i = 0; i < c->ports.n; i++)
                if (c->ports.v[i].conf->role == PORT_UPLINK)
                        return (int)i;
        return err_set(reterr, ENODEV, "trace", "there is no uplink");
}

static bool idle(const struct io_worker *w)
{
        /* acquire: pairs with the release in worker_trace */
        return atomic_load_explicit(&w->trace.state, memory_order_acquire) == TRACE_IDLE;
}

/* Workers turn at once, also from their rest; one that does not in time keeps what it was asked, and the next try says so. */
static int wait_for(const struct workers *ws, struct err *reterr)
{
        const struct timespec step = {.tv_nsec = TRACE_STEP_NS};
        for (unsigned turn = 0;; turn++) {
                unsigned late = ws->n;
                for (unsigned i = 0; i < ws->n; i++)
                        if (!idle(ws->w[i]))
                                late = i;
                if (late == ws->n)
                        return 0;
                if (turn == TRACE_MS * 1000000 / TRACE_STEP_NS)
                        return err_set(reterr, ETIMEDOUT, "trace", "worker %u does not turn within %d ms", late, TRACE_MS);
                clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
        }
}

static void write_answer(const struct control *c, unsigned i, struct json *j)
{
        const struct trace *t = &c->workers.w[i]->trace;
        const struct tables *tables = c->active ? c->active->tables : NULL;
        bool sent = verdict_kind(t->verdict) == VERDICT_KIND_TX;
        json_obj(j);
        json_key(j, "worker");
        json_u64(j, i);
        json_key(j, "verdict");
        json_str(j, verdict_name((enum l4_verdict)t->verdict));
        json_key(j, "why");
        json_str(j, verdict_help((enum l4_verdict)t->verdict));
        json_key(j, "service");
        json_str(j, tables && t->service < tables->n_services ? tables->service_ids[t->service] : NULL);
        json_key(j, "backend");
        json_str(j, t->backend < c->backends->n ? c->backends->b[t->backend].name : NULL);
        if (t->verdict == FORWARD_TUNNEL) {
                const struct backend *b = &c->backends->b[t->backend];
                char outer[2 * IPADDR_STR_MAX + 16], src[IPADDR_STR_MAX], dst[IPADDR_STR_MAX];
                snprintf(outer, sizeof outer, "%s %s > %s", way_str(b->way), ipaddr_str(&b->source, src), ipaddr_str(&b->addr, dst));
                json_key(j, "tunnel");
                json_str(j, outer);
        }
        json_key(j, "port");
        json_str(j, sent && t->out_port < c->ports.n ? c->ports.v[t->out_port].conf->name : NULL);
        json_end(j);
}

int query_trace(void *arg, char *const *argv, size_t argc, struct json *j, struct err *reterr)
{
        struct control *c = arg;
        struct ipaddr vip, client;
        struct frame_out f;
        uint16_t port = 0;
        int r = read_args(argv, argc, &vip, &port, &client, reterr);
        int uplink = r < 0 ? r : uplink_of(c, reterr);
        if (uplink < 0)
                return uplink;
        if ((r = wait_for(&c->workers, reterr)) < 0) /* of an earlier question */
                return r;
        const struct segment s = {.src_mac = client_mac,
                                  .dst_mac = c->net->ports[uplink].mac,
                                  .src = &client,
                                  .dst = &vip,
                                  .sport = TRACE_PORT,
                                  .dport = port,
                                  .seq = 1,
                                  .flags = TCP_SYN,
                                  .window = TRACE_WINDOW};
        segment_write(&s, &f);
        for (unsigned i = 0; i < c->workers.n; i++) {
                struct trace *t = &c->workers.w[i]->trace;
                BUG_ON(f.len > sizeof t->frame);
                memcpy(t->frame, f.b, f.len);
                t->len = f.len;
                t->in_port = (uint8_t)uplink;
                workers_trace(c->workers.w[i]);
        }
        if ((r = wait_for(&c->workers, reterr)) < 0)
                return r;
        json_arr(j);
        for (unsigned i = 0; i < c->workers.n; i++)
                write_answer(c, i, j);
        json_end(j);
        return 0;
}
