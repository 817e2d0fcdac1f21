/* l7gw/io/proxy.c - see proxy.h. */
#include "lib/base.h"
#include "l7gw/io/proxy.h"
#include "l7gw/core/access_line.h"
#include "l7gw/core/grpc.h"
#include "l7gw/io/access_log.h"
#include "l7gw/io/mirror.h"
#include "l7gw/io/replay.h"
#include "l7gw/io/upstream.h"

static struct exchange *exchange_of(struct stream *s)
{
        return CONTAINER_OF(s, struct exchange, s);
}

static void exchange_timer(struct timer *t, uint64_t now_ms);
static size_t engine_req_room(const struct stream *s);

/* ---- open ---- */

void exchange_init(struct exchange *x, struct worker *w)
{
        struct arena arena = x->s.arena;
        *x = (struct exchange){.s.arena = arena, .w = w};
        stream_init(&x->s, &w->chunks);
        timer_init(&x->timer, exchange_timer);
        replay_init(x);
}

static struct stream *engine_open(void *conn)
{
        struct conn *c = conn;
        struct worker *w = c->w;
        struct exchange *x = w->exchanges_free;
        if (x) {
                w->exchanges_free = x->next_free;
                w->n_exchanges_free--;
        } else {
                x = calloc(1, sizeof *x);
                if (!x)
                        return NULL;
                arena_init(&x->s.arena, L7_STREAM_CHUNK_BYTES, L7_STREAM_ARENA_BYTES);
        }
        exchange_init(x, w);
        x->conn = c;
        x->s.conn = c;
        x->start_us = worker_mono_us(w);
        x->start_wall_us = worker_wall_us(w);
        w->n_exchanges++;
        metric_set(&w->counters.streams, w->n_exchanges);
        return &x->s;
}

void proxy_free_pools(struct worker *w)
{
        BUG_ON(w->n_exchanges != 0);
        while (w->exchanges_free) {
                struct exchange *x = w->exchanges_free;
                w->exchanges_free = x->next_free;
                arena_fini(&x->s.arena);
                free(x);
        }
        w->n_exchanges_free = 0;
}

/* ---- deadlines ---- */

void proxy_progress(struct exchange *x)
{
        x->progress_ms = loop_now_ms(x->w->loop); /* the timer looks at it when it fires: no re-arming per read */
}

/* The client owes us body bytes and nothing of ours holds it back. */
static bool body_owed(const struct exchange *x)
{
        bool waits_for_100 = x->expect && !x->s.continued && x->s.req_bytes == 0;
        return !x->s.req_done && !x->s.resp_head && !waits_for_100 && engine_req_room(&x->s) > 0;
}

static void rate_begin(struct exchange *x)
{
        x->rate.since_ms = loop_now_ms(x->w->loop);
        x->rate.bytes = x->s.req_bytes;
        x->rate.blocked = !body_owed(x);
}

static bool rate_is_low(struct exchange *x)
{
        uint64_t want = (uint64_t)x->w->options->body_rate * L7_BODY_WINDOW_MS / 1000;
        return !x->rate.blocked && body_owed(x) && x->s.req_bytes - x->rate.bytes < want;
}

/* What the client's window has taken since the last look counts as progress, if only now. */
static void reader_look(struct exchange *x, uint64_t now_ms)
{
        if (x->s.resp_sent != x->reader.sent)
                x->progress_ms = now_ms;
        if (x->s.resp_sent != x->reader.sent || x->s.resp_body.n == 0)
                x->reader.since_ms = now_ms;
        x->reader.sent = x->s.resp_sent;
}

/* Why the exchange is over at now_ms, REASON_NONE when it is not; *ret_next: when to look again. */
static enum reason exchange_overdue(struct exchange *x, uint64_t now_ms, uint64_t *ret_next)
{
        uint64_t reader_ms = MIN(x->idle_ms, x->w->options->idle_ms);
        reader_look(x, now_ms);
        if (x->total_deadline_ms && x->total_deadline_ms <= now_ms)
                return REASON_REQUEST_TIMEOUT;
        if (x->progress_ms + x->idle_ms <= now_ms)
                return body_owed(x) ? REASON_BODY_TIMEOUT : x->s.resp_body.n > 0 ? REASON_CLIENT_SLOW : REASON_IDLE_TIMEOUT;
        if (x->reader.since_ms + reader_ms <= now_ms)
                return REASON_CLIENT_SLOW;
        if (!x->rate.off && x->rate.since_ms + L7_BODY_WINDOW_MS <= now_ms) {
                if (rate_is_low(x))
                        return REASON_BODY_TIMEOUT;
                rate_begin(x);
        }
        x->rate.off |= x->s.req_done || x->s.resp_head;
        *ret_next = MIN(x->progress_ms + x->idle_ms, x->reader.since_ms + reader_ms);
        if (x->total_deadline_ms)
                *ret_next = MIN(*ret_next, x->total_deadline_ms);
        if (!x->rate.off)
                *ret_next = MIN(*ret_next, x->rate.since_ms + L7_BODY_WINDOW_MS);
        return REASON_NONE;
}

static void exchange_timer(struct timer *t, uint64_t now_ms)
{
        struct exchange *x = CONTAINER_OF(t, struct exchange, timer);
        uint64_t next;
        enum reason r = exchange_overdue(x, now_ms, &next);
        if (r == REASON_NONE) {
                timer_set(loop_timers(x->w->loop), t, next);
                return;
        }
        if (r == REASON_REQUEST_TIMEOUT || r == REASON_IDLE_TIMEOUT)
                upstream_overdue(x);
        proxy_fail(x, r);
}

void exchange_deadlines(struct exchange *x, uint32_t idle_ms)
{
        const Model__Rule *rule = x->d.rule ? x->d.rule->model : NULL;
        uint64_t now = loop_now_ms(x->w->loop), next;
        x->progress_ms = x->reader.since_ms = now;
        x->idle_ms = idle_ms ? idle_ms : rule && rule->idle_timeout_ms ? rule->idle_timeout_ms : x->w->options->stream_idle_ms;
        uint32_t total_ms = rule ? rule->request_timeout_ms : 0, call_ms = rule && rule->grpc ? grpc_timeout_ms(&x->s.req) : 0;
        x->d.grpc_deadline = call_ms && (total_ms == 0 || call_ms <= total_ms);
        if (x->d.grpc_deadline)
                total_ms = call_ms;
        x->total_deadline_ms = total_ms ? now + total_ms : 0;
        x->rate.off = x->w->options->body_rate == 0 || x->s.req_done || x->s.req.upgrade.n || grpc_is(&x->s.req); /* messages come when they come */
        rate_begin(x);
        if (exchange_overdue(x, now, &next) != REASON_NONE)
                next = now;
        timer_set(loop_timers(x->w->loop), &x->timer, next);
}

/* A tunnel lasts as long as something moves in it: neither the request's deadline nor its idle time is meant for it. */
static void tunnel_deadlines(struct exchange *x)
{
        const Model__Rule *rule = x->d.rule->model;
        x->idle_ms = MAX(rule->idle_timeout_ms, x->w->options->tunnel_idle_ms);
        x->total_deadline_ms = 0;
        proxy_progress(x);
        timer_set(loop_timers(x->w->loop), &x->timer, x->progress_ms + x->idle_ms);
}

/* ---- answers of our own ---- */

static void send_answer(struct exchange *x, struct span body)
{
        struct stream *s = &x->s;
        x->status = s->resp.status;
        int r = msg_set(&s->resp, SPAN_LIT("date"), arena_span(&s->arena, worker_date(x->w)));
        (void)r; /* out of memory: an answer without Date is better than none */
        stream_set(s, STREAM_LOCAL);
        s->resp_head = true;
        s->down->head(s);
        if (body.n)
                s->down->data(s, body);
        s->resp_done = true;
        s->down->end(s);
}

static void answer(struct exchange *x)
{
        struct stream *s = &x->s;
        struct span body = SPAN_NULL;
        x->reason = x->d.reason;
        chain_clear(&s->req_body);
        if (dispatch_reply(s, &x->d, &body) < 0) { /* the arena is full: the bare status */
                msg_init(&s->resp, &s->arena);
                s->resp.status = (uint16_t)x->d.status;
                s->resp.framing = BODY_LENGTH;
        }
        send_answer(x, body);
}

/* A call that fails after its head ends with the reason in trailers (requirement 58): a client of HTTP/2 can read them. */
static bool call_ended(struct exchange *x, enum reason r)
{
        struct stream *s = &x->s;
        bool ours = r == REASON_CLIENT_SLOW || r == REASON_BODY_TIMEOUT; /* it does not read, or not write */
        bool deadline = x->d.grpc_deadline && r == REASON_REQUEST_TIMEOUT;
        if (ours || s->resp_done || s->req.minor != 2 || s->resp.framing == BODY_LENGTH || !grpc_is(&s->resp))
                return false;
        msg_init(&s->resp_trailers, &s->arena);
        if (grpc_trailers(&s->resp_trailers, deadline ? GRPC_DEADLINE_EXCEEDED : GRPC_UNAVAILABLE, span_str(reason_text(r))) < 0)
                return false;
        s->resp_done = true;
        s->down->end(s);
        return true;
}

void proxy_fail(struct exchange *x, enum reason r)
{
        struct stream *s = &x->s;
        upstream_detach(x);
        replay_drop(x);
        if (s->resp_head) { /* too late for an answer, or a slow HTTP/2 client holds a finished one */
                x->reason = r;
                if (!call_ended(x, r))
                        s->down->cut(s);
        } else {
                x->d.reason = r;
                x->d.status = reason_status(r);
                x->d.fixed = NULL;
                answer(x);
        }
}

static void engine_refuse(struct stream *s, unsigned status, const char *why)
{
        struct exchange *x = exchange_of(s);
        upstream_detach(x);
        replay_drop(x);
        x->d.reason = status == 408 ? (s->state == STREAM_HEAD ? REASON_HEADER_TIMEOUT : REASON_BODY_TIMEOUT)
                                    : REASON_BAD_REQUEST;
        x->d.status = status;
        x->reason = x->d.reason;
        chain_clear(&s->req_body);
        msg_init(&s->resp, &s->arena);
        s->resp.status = (uint16_t)status;
        s->resp.framing = BODY_LENGTH;
        char *text = arena_printf(&s->arena, "%s\n", why);
        struct span body = span_str(text);
        if (body.n && msg_add(&s->resp, SPAN_LIT("content-type"), SPAN_LIT("text/plain; charset=utf-8")) < 0)
                body = SPAN_NULL;
        s->resp.content_length = body.n;
        if (!timer_armed(&x->timer))
                exchange_deadlines(x, 0); /* an HTTP/2 client that opens no window may not keep it for ever */
        send_answer(x, body);
}

/* ---- request ---- */

static void request_id_make(struct worker *w, char ret[33])
{
        static const char hex[] = "0123456789abcdef";
        uint64_t a = worker_random(w), b = worker_random(w);
        for (int i = 0; i < 16; i++) {
                ret[i] = hex[a >> (4 * i) & 15];
                ret[16 + i] = hex[b >> (4 * i) & 15];
        }
        ret[32] = '\0';
}

static bool peer_trusted(const struct gen_bind *b, const struct ipaddr *peer)
{
        for (size_t i = 0; b && i < b->n_forwarded_trusted; i++)
                if (ipprefix_contains(&b->forwarded_trusted[i], peer))
                        return true;
        return false;
}

static bool has_endpoint(void *arg, uint32_t cluster_index, uint64_t token)
{
        const struct exchange *x = arg;
        const struct gen_cluster *c = &x->wg->gen->clusters[cluster_index];
        return balance_by_token(&c->rt->balance[x->w->id], token) != NULL;
}

/* A body over the limit: told by its length before anything is sent, else when it has grown that far (requirement 16). */
static bool body_too_large(const struct exchange *x, uint64_t bytes)
{
        uint64_t max = x->w->options->body_max;
        return max > 0 && bytes > max && !x->s.tunnel && x->s.req.upgrade.n == 0;
}

static void engine_request(struct stream *s)
{
        struct exchange *x = exchange_of(s);
        struct conn *c = x->conn;
        stream_set(s, STREAM_ROUTE);
        x->wg = worker_gen_get(x->w);
        const struct gen_bind *b = conn_bind(c);
        struct dispatch_in in = {.self = &x->w->options->self,
                                 .bind = b ? b->route : NULL,
                                 .tls = c->tls != NULL,
                                 .sni = conn_sni(c),
                                 .peer = span_str(c->peer_text),
                                 .peer_trusted = peer_trusted(b, &c->peer),
                                 .now_s = worker_wall_us(x->w) / 1000000,
                                 .has_endpoint = has_endpoint,
                                 .arg = x,
                                 .client_cert = c->tls && c->tls->client_cert ? span_str(c->tls->client_cert) : SPAN_NULL,
                                 .rnd = worker_spread(x->w)};
        request_id_make(x->w, in.request_id);
        for (size_t i = 0; s->h2_connect && i < sizeof in.nonce; i++)
                in.nonce[i] = (uint8_t)worker_random(x->w);
        memcpy(x->request_id, in.request_id, sizeof x->request_id);
        x->expect = s->req.expect_continue;
        x->authority = s->req.authority; /* filters edit the request; the log tells what was asked */
        x->path = s->req.path;
        x->query = s->req.query;
        x->has_query = s->req.has_query;
        dispatch_request(s, &in, &x->d);
        if (x->d.reason == REASON_NONE && s->req.framing == BODY_LENGTH && body_too_large(x, s->req.content_length)) {
                x->d.reason = REASON_BODY_TOO_LARGE;
                x->d.status = reason_status(REASON_BODY_TOO_LARGE);
        }
        exchange_deadlines(x, 0);
        if (x->d.reason != REASON_NONE) {
                answer(x);
                return;
        }
        x->cluster = &x->wg->gen->clusters[x->d.leg->cluster_index];
        if (!upstream_admit(x, BREAKER_REQUESTS)) {
                proxy_fail(x, REASON_BREAKER_REQUESTS);
                return;
        }
        replay_begin(x);
        mirror_start(x);
        upstream_begin(x);
}

/* Bytes accepted from the client and not yet sent to the endpoint (framing included: an upper bound of body bytes). */
static size_t request_queued(const struct exchange *x)
{
        return x->s.req_body.n + upstream_queued(x);
}

static void engine_req_data(struct stream *s, struct span d)
{
        struct exchange *x = exchange_of(s);
        proxy_progress(x);
        if (s->state != STREAM_LOCAL && !s->resp_done && body_too_large(x, s->req_bytes))
                proxy_fail(x, REASON_BODY_TOO_LARGE);
        else
                mirror_data(x, d);
        if (s->state == STREAM_LOCAL || s->resp_done) {
                s->down->drained(s, d.n); /* answered already: nobody wants it */
                return;
        }
        bool held = s->req.upgrade.n && !s->tunnel; /* early bytes of a tunnel that may never stand */
        if (x->up && s->state != STREAM_CONNECT && !held)
                upstream_data(x, d);
        else
                chain_span(&s->req_body, d);
        x->rate.blocked |= engine_req_room(s) == 0;
}

static void engine_req_end(struct stream *s)
{
        struct exchange *x = exchange_of(s);
        mirror_end(x);
        if (x->up && (s->state == STREAM_SEND || s->state == STREAM_RELAY))
                upstream_request_end(x);
}

static size_t engine_req_room(const struct stream *s)
{
        const struct exchange *x = CONTAINER_OF(s, const struct exchange, s);
        size_t queued = request_queued(x), max = x->w->options->buffer_bytes;
        return queued >= max ? 0 : max - queued;
}

void proxy_drained(struct exchange *x)
{
        struct stream *s = &x->s;
        size_t queued = request_queued(x);
        uint64_t left = s->req_bytes > queued ? s->req_bytes - queued : 0;
        if (left > s->req_drained)
                s->down->drained(s, (size_t)(left - s->req_drained));
        else if (queued == 0)
                s->down->drained(s, 0); /* framing only: reading may still resume */
}

static void engine_resp_room(struct stream *s)
{
        struct exchange *x = exchange_of(s);
        proxy_progress(x);
        if (x->up)
                upstream_resume(x);
}

/* ---- response ---- */

void proxy_interim(struct stream *s, const struct msg *m)
{
        if (m->status != 100) /* 100 was answered by us, when the endpoint was connected */
                s->down->interim(s, m);
}

int proxy_response_head(struct stream *s)
{
        struct exchange *x = exchange_of(s);
        upstream_answered(x, s->resp.status);
        if (replay_wants(x, s->resp.status))
                return -EAGAIN;
        replay_drop(x);
        int r = dispatch_response(s, &x->d);
        if (r == 0 && !msg_find_id(&s->resp, FIELD_DATE)) {
                struct span date = arena_span(&s->arena, worker_date(x->w));
                r = date.p ? msg_add(&s->resp, SPAN_LIT("date"), date) : -ENOMEM; /* RFC 9110 6.6.1 */
        }
        if (r < 0)
                return r;
        x->status = s->resp.status;
        stream_set(s, STREAM_RELAY);
        s->resp_head = true;
        if (s->tunnel)
                tunnel_deadlines(x);
        s->down->head(s);
        return 0;
}

void proxy_response_end(struct exchange *x)
{
        struct stream *s = &x->s;
        s->resp_done = true;
        s->down->end(s);
}

/* ---- the end ---- */

static void record_fill(struct exchange *x, struct access_record *r)
{
        const struct stream *s = &x->s;
        const struct conn *c = x->conn;
        const struct field *id = x->d.leg ? msg_find_id(&s->req, FIELD_X_REQUEST_ID) : NULL;
        *r = (struct access_record){
                .time_us = x->start_wall_us,
                .client = c->peer,
                .client_port = c->peer_port,
                .local = c->local,
                .local_port = c->local_port,
                .upstream = x->up_addr,
                .upstream_port = x->up_port,
                .listener = x->d.listener ? x->d.listener->model->id : NULL,
                .tls_version = c->tls ? tls_version(c->tls) : NULL,
                .sni = conn_sni(c),
                .method = s->req.method,
                .authority = x->authority,
                .path = x->path,
                .query = x->query,
                .has_query = x->has_query,
                .request_id = id ? id->value : span_str(x->request_id),
                .http_minor = s->req.minor,
                .status = x->status,
                .reason = x->reason,
                .complete = s->complete,
                .bytes_in = s->req_bytes,
                .bytes_out = s->resp_bytes,
                .duration_us = worker_mono_us(x->w) - x->start_us,
                .upstream_us = x->up_us,
                .tries = x->tries,
        };
}

static void account(struct exchange *x, uint64_t duration_us)
{
        static const uint32_t bounds[] = {
#define B(ms) ms,
                LATENCY_BUCKETS(B)
#undef B
        };
        struct worker_counters *c = &x->w->counters;
        unsigned i = 0;
        worker_count(x->w, WORKER_REQUESTS);
        metric_add(&c->v[WORKER_BODY_BYTES_IN], x->s.req_bytes);
        metric_add(&c->v[WORKER_BODY_BYTES_OUT], x->s.resp_bytes);
        metric_add(&c->reasons[x->reason], 1);
        while (i < ARRAY_SIZE(bounds) && duration_us > bounds[i] * 1000ull)
                i++;
        metric_add(&c->latency[i], 1);
        metric_add(&c->latency_sum_us, duration_us);
        unsigned class = MIN(x->status / 100, 5u);
        if (x->d.listener)
                metric_add(&x->wg->gen->listeners[x->d.listener->index].rt->counters[x->w->id].by_class[class], 1);
        if (x->cluster) /* what the upstream said; our own answers count as none */
                metric_add(&x->cluster->rt->counters[x->w->id].by_class[x->s.state == STREAM_RELAY ? class : 0], 1);
}

static void log_request(struct exchange *x)
{
        struct worker *w = x->w;
        struct access_record r;
        record_fill(x, &r);
        const Model__Source *src = !x->d.rule                         ? NULL
                                   : x->d.entry && x->d.entry->source ? x->d.entry->source
                                                                      : x->d.rule->model->source;
        if (src)
                r.route = (struct access_route){src->kind, src->namespace_, src->name, src->rule, src->match};
        account(x, r.duration_us);
        if (!w->shared->log)
                return;
        buf_reset(&w->line);
        access_line_write(&w->line, &r);
        if (w->line.failed || !access_log_put(w->shared->log, w->id, buf_span(&w->line)))
                worker_count(w, WORKER_LOG_DROPPED);
}

static void engine_close(struct stream *s)
{
        struct exchange *x = exchange_of(s);
        struct worker *w = x->w;
        upstream_detach(x);
        replay_drop(x);
        mirror_leave(x);
        timer_stop(&x->timer);
        if (!s->complete && x->reason == REASON_NONE) {
                x->reason = REASON_CLIENT_GONE;
                if (!s->resp_head)
                        x->status = reason_status(REASON_CLIENT_GONE); /* logged only: nobody is left to read it */
        }
        if (s->req.method.n > 0 ||
            x->reason != REASON_CLIENT_GONE) /* a connection closed inside a head is no request */
                log_request(x);
        stream_set(s, STREAM_CLOSED);
        stream_reset(s);
        upstream_release(x);
        if (x->wg)
                worker_gen_put(w, x->wg);
        w->n_exchanges--;
        metric_set(&w->counters.streams, w->n_exchanges);
        if (w->n_exchanges_free >= L7_STREAMS_KEPT) {
                arena_fini(&s->arena);
                free(x);
                return;
        }
        x->next_free = w->exchanges_free;
        w->exchanges_free = x;
        w->n_exchanges_free++;
}

const struct stream_engine proxy_engine = {
        .open = engine_open,
        .request = engine_request,
        .refuse = engine_refuse,
        .req_data = engine_req_data,
        .req_end = engine_req_end,
        .req_room = engine_req_room,
        .resp_room = engine_resp_room,
        .close = engine_close,
        .output = conn_output,
};
