/* lib/io/dpclient.c - see dpclient.h; the parts are listed in dpclient_priv.h.
 *
 *   IDLE -connect, HELLO-> GREETING -WELCOME-> READY -MANIFEST-> RECEIVING -all sections, prepare-> PREPARED
 *                                                ^------------ NACK ---------'       '--- ACTIVATE ---> READY
 *
 * Whatever the agent sends that does not fit closes the connection with a reason in the log; what is active keeps
 * serving, and we dial again with a growing, jittered delay. */
#include "lib/base.h"
#include "lib/core/frame.h"
#include "lib/io/dpclient_priv.h"
#include "lib/io/random.h"

#include <inttypes.h>
#include <stdarg.h>

#define SILENT_TICKS_MAX 3 /* ping intervals without a byte after which the agent is dead */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define PROTOCOL 1

static const struct {
        const char *word;
        unsigned next;
} states[DP_STATE_N] = {
#define B(id) (1u << DP_##id)
#define S(id, word, next) {word, next},
        DP_STATES(S)
#undef S
#undef B
};

void dpclient_state_set(struct dpclient *c, enum dp_state to)
{
        BUG_ON(to != DP_IDLE && !(states[c->state].next & 1u << to));
        log_debug("dp_state", "from=%s to=%s", states[c->state].word, states[to].word);
        c->state = to;
}

int dpclient_refuse(struct dpclient *c, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(c->reason, sizeof c->reason, fmt, ap);
        va_end(ap);
        return -EPROTO;
}

int dpclient_send(struct dpclient *c, enum frame_type type, const ProtobufCMessage *m)
{
        int r = frame_encode_msg(transport_out(c->t), type, ++c->seq, m);
        transport_flush(c->t); /* also after a failure: over its limit, the queue closes the connection when it is flushed */
        return r;
}

/* ---------------------------------------------------------------- connection */

static uint32_t random_below(uint32_t n)
{
        uint32_t v = 0;
        int r = random_fill(&v, sizeof v);
        (void)r; /* jitter only: without it all peers dial in step, nothing worse */
        return (uint32_t)((uint64_t)v * n >> 32);
}

static void redial_schedule(struct dpclient *c)
{
        uint32_t wait = BACKOFF_MIN_MS;
        c->dial_at = c->failures ? (c->dial_at + 1) % c->agents.n : 0;
        if (c->failures && c->dial_at == 0) { /* they were all tried; the wait between two of a round stays short */
                size_t rounds = c->failures / c->agents.n;
                wait = rounds < 7 ? MIN((uint32_t)BACKOFF_MIN_MS << (rounds ? rounds - 1 : 0), (uint32_t)BACKOFF_MAX_MS) : BACKOFF_MAX_MS;
        }
        timer_set(loop_timers(c->loop), &c->redial, loop_now_ms(c->loop) + wait / 2 + random_below(wait / 2 + 1));
}

static int hello_send(struct dpclient *c)
{
        Control__Hello h = CONTROL__HELLO__INIT;
        const struct manifest *m = dpclient_serving(c);
        h.protocol = PROTOCOL;
        h.name = c->name;
        h.role = c->role;
        h.pool = c->pool;
        h.limits = &c->limits;
        h.version = c->version;
        h.boot_id = c->boot_id;
        if (m) {
                h.active_hash = (ProtobufCBinaryData){SHA256_BYTES, (uint8_t *)m->hash.b};
                h.active_generation = m->generation;
        }
        return dpclient_send(c, FRAME_HELLO, &h.base);
}

/* The session is over; the transport is gone or going. */
static void session_end(struct dpclient *c)
{
        c->t = NULL;
        apply_forget(c);
        dpclient_state_set(c, DP_IDLE);
        timer_stop(&c->tick);
        timer_stop(&c->status);
        redial_schedule(c);
}

static void session_closed(void *arg, int err, const char *why)
{
        struct dpclient *c = arg;
        uint32_t suppressed;
        const char *reason = c->reason[0] ? c->reason : why;
        char text[CONTROL_ADDR_STR_MAX];
        if (log_permit(&c->dial_limit, 3, 60000, &suppressed))
                log_warn("agent_lost", "agent=%s state=%s errno=%d reason=%s action=keep_serving suppressed=%u",
                         LOG_ESC(control_addr_str(&c->agents.at[c->dial_at], text)), states[c->state].word, err, LOG_ESC(reason), suppressed);
        c->reason[0] = 0;
        session_end(c);
}

static ptrdiff_t session_input(void *arg, struct span in);
static const struct transport_ops session_ops = {.input = session_input, .closed = session_closed};

static int dial_one(struct dpclient *c, const struct control_addr *at, struct err *reterr)
{
        if (at->kind == CONTROL_TLS)
                return tls_connect(c->loop, at, c->credentials, &session_ops, c, &c->t, reterr);
        int r = transport_connect(c->loop, at->path, &session_ops, c, &c->t);
        return r < 0 ? err_set(reterr, -r, at->path, "%s", strerror(-r)) : 0;
}

static void dial(struct timer *t, uint64_t now_ms)
{
        struct dpclient *c = CONTAINER_OF(t, struct dpclient, redial);
        const struct control_addr *at = &c->agents.at[c->dial_at];
        char text[CONTROL_ADDR_STR_MAX];
        uint32_t suppressed;
        struct err e = {0};
        c->failures++; /* until it turns out to be of use */
        int r = dial_one(c, at, &e);
        if (r < 0) {
                c->t = NULL;
                if (log_permit(&c->dial_limit, 3, 60000, &suppressed))
                        log_warn("agent_unreachable", "agent=%s place=%s reason=%s action=retry suppressed=%u",
                                 LOG_ESC(control_addr_str(at, text)), LOG_ESC(e.place), LOG_ESC(e.msg), suppressed);
                redial_schedule(c);
                return;
        }
        c->session++;
        c->silent_ticks = 0;
        c->reason[0] = 0;
        dpclient_state_set(c, DP_GREETING);
        timer_set(loop_timers(c->loop), &c->tick, now_ms + c->ping_ms);
        r = hello_send(c);
        if (r < 0) {
                log_error("hello_failed", "reason=%s", LOG_ESC(strerror(-r)));
                transport_close(c->t);
                session_end(c);
        }
}

static void tick(struct timer *t, uint64_t now_ms)
{
        struct dpclient *c = CONTAINER_OF(t, struct dpclient, tick);
        if (++c->silent_ticks >= SILENT_TICKS_MAX) {
                char text[CONTROL_ADDR_STR_MAX];
                log_warn("agent_silent", "agent=%s ms=%u action=reconnect", LOG_ESC(control_addr_str(&c->agents.at[c->dial_at], text)),
                         c->ping_ms * SILENT_TICKS_MAX);
                transport_close(c->t);
                session_end(c);
                return;
        }
        timer_set(loop_timers(c->loop), &c->tick, now_ms + c->ping_ms);
        if (c->state == DP_GREETING)
                return;
        Control__Ping p = CONTROL__PING__INIT;
        p.seq = c->seq;
        (void)dpclient_send(c, FRAME_PING, &p.base); /* a full queue closes the transport by itself */
}

/* ---------------------------------------------------------------- frames */

static int on_welcome(struct dpclient *c, struct span body)
{
        Control__Welcome *w = control__welcome__unpack(NULL, body.n, body.p);
        if (!w)
                return dpclient_refuse(c, "malformed WELCOME");
        int r = 0;
        if (c->state != DP_GREETING)
                r = dpclient_refuse(c, "WELCOME twice");
        else if (w->protocol != PROTOCOL)
                r = dpclient_refuse(c, "the agent speaks protocol %u, we speak %u", w->protocol, PROTOCOL);
        if (r == 0) {
                log_info("agent_connected", "agent=%s peer=%s", LOG_ESC(w->agent), LOG_ESC(transport_peer(c->t)->text));
                dpclient_state_set(c, DP_READY);
                timer_set(loop_timers(c->loop), &c->status, loop_now_ms(c->loop));
        }
        control__welcome__free_unpacked(w, NULL);
        return r;
}

static int on_ping(struct dpclient *c, struct span body)
{
        Control__Ping *p = control__ping__unpack(NULL, body.n, body.p);
        if (!p)
                return dpclient_refuse(c, "malformed PING");
        int r = dpclient_send(c, FRAME_PONG, &p->base);
        control__ping__free_unpacked(p, NULL);
        return r;
}

static int on_hash(struct dpclient *c, enum frame_type type, struct span body)
{
        Control__Activate *a = control__activate__unpack(NULL, body.n, body.p); /* Abort has the same form */
        if (!a || a->hash.len != SHA256_BYTES) {
                if (a)
                        control__activate__free_unpacked(a, NULL);
                return dpclient_refuse(c, "malformed %s", frame_type_str(type));
        }
        int r = type == FRAME_ACTIVATE ? apply_activate(c, a->hash) : apply_abort(c, a->hash);
        control__activate__free_unpacked(a, NULL);
        return r;
}

#define UNPACK_AND(type, apply)                                                                                        \
        do {                                                                                                           \
                Control__##type *m_ = (Control__##type *)protobuf_c_message_unpack(&control_descriptor_##type, NULL,   \
                                                                                   f->body.n, f->body.p);              \
                if (!m_)                                                                                               \
                        return dpclient_refuse(c, "malformed " #type);                                                 \
                r = apply;                                                                                             \
                protobuf_c_message_free_unpacked(&m_->base, NULL);                                                     \
        } while (0)
#define control_descriptor_Manifest control__manifest__descriptor
#define control_descriptor_SectionChunk control__section_chunk__descriptor
#define control_descriptor_Endpoints control__endpoints__descriptor

static int on_frame(struct dpclient *c, const struct frame *f)
{
        int r = 0;
        if (c->state == DP_GREETING && f->type != FRAME_WELCOME && f->type != FRAME_PING && f->type != FRAME_TYPE_N)
                return dpclient_refuse(c, "%s before WELCOME", frame_type_str(f->type));
        switch (f->type) {
        case FRAME_WELCOME:
                return on_welcome(c, f->body);
        case FRAME_MANIFEST:
                UNPACK_AND(Manifest, apply_manifest(c, m_));
                return r;
        case FRAME_SECTION:
                UNPACK_AND(SectionChunk, apply_section(c, m_));
                return r;
        case FRAME_ACTIVATE:
        case FRAME_ABORT:
                return on_hash(c, f->type, f->body);
        case FRAME_ENDPOINTS:
                UNPACK_AND(Endpoints, apply_endpoints(c, m_, f->body.n));
                return r;
        case FRAME_PING:
                return on_ping(c, f->body);
        case FRAME_PONG:
                return 0; /* any byte resets silent_ticks */
        case FRAME_TYPE_N:
                return 0; /* unknown and not critical: a newer agent's */
        case FRAME_HELLO:
        case FRAME_NEED:
        case FRAME_PREPARED:
        case FRAME_NACK:
        case FRAME_ACTIVE:
        case FRAME_STATUS:
        case FRAME_QUERY:
        case FRAME_REPLY:
                break;
        }
        return dpclient_refuse(c, "%s from an agent", frame_type_str(f->type));
}

static ptrdiff_t session_input(void *arg, struct span in)
{
        struct dpclient *c = arg;
        struct frame f;
        size_t used;
        c->silent_ticks = 0;
        enum frame_rc rc = frame_decode(in, &f, &used);
        if (rc == FRAME_MORE)
                return 0;
        if (rc != FRAME_OK)
                return dpclient_refuse(c, "%s", frame_rc_str(rc));
        int r = on_frame(c, &f);
        if (r < 0 && !c->reason[0])
                (void)dpclient_refuse(c, "%s: %s", frame_type_str(f.type), strerror(-r));
        return r < 0 ? r : (ptrdiff_t)used;
}

/* ---------------------------------------------------------------- life */

static void save_due(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        apply_save(CONTAINER_OF(t, struct dpclient, save));
}

static void trial_due(struct timer *t, uint64_t now_ms)
{
        (void)now_ms;
        lkg_trial_end(CONTAINER_OF(t, struct dpclient, trial)->lkg); /* armed only with a store */
}

/* One that cannot be used is none, and dpclient_boot says why. */
static void store_open(struct dpclient *c)
{
        const char *role = c->role == CONTROL__ROLE__ROLE_L4 ? "l4" : c->role == CONTROL__ROLE__ROLE_L7 ? "l7" : "-";
        int r = lkg_open(c->state_dir, &c->lkg, &c->lkg_err);
        if (r == 0)
                r = lkg_own(c->lkg, role, c->pool, c->name, &c->lkg_err);
        if (r == 0)
                return;
        log_error("lkg_unusable", "dir=%s reason=%s action=serve_without_store", LOG_ESC(c->state_dir),
                  LOG_ESC(c->lkg_err.msg));
        lkg_close(c->lkg);
        c->lkg = NULL;
        c->lkg_errno = -r;
}

static void boot_id_make(struct dpclient *c)
{
        uint64_t v[2] = {0};
        int r = random_fill(v, sizeof v);
        (void)r; /* a label: zeros are as good */
        snprintf(c->boot_id, sizeof c->boot_id, "%016" PRIx64 "%016" PRIx64, v[0], v[1]);
}

static char *dup_or_empty(const char *s)
{
        return strdup(s ? s : "");
}

int dpclient_new(struct loop *l, const struct dpclient_conf *conf, const struct dpclient_ops *ops, void *arg,
                 struct dpclient **ret, struct err *reterr)
{
        struct dpclient *c = calloc(1, sizeof *c);
        BUG_ON(!c); /* boot-time allocations abort */
        BUG_ON(!ops->prepare || !ops->activate || !ops->abort || !ops->endpoints);
        c->loop = l;
        c->ops = *ops;
        c->arg = arg;
        if (conf->agents)
                c->agents = *conf->agents;
        c->state_dir = dup_or_empty(conf->state_dir);
        c->name = dup_or_empty(conf->name);
        c->pool = dup_or_empty(conf->pool);
        c->version = dup_or_empty(conf->version);
        c->fresh = fresh_new();
        BUG_ON(!c->state_dir || !c->name || !c->pool || !c->version || !c->fresh);
        c->role = conf->role;
        c->limits = conf->limits;
        c->limits.base =
                (ProtobufCMessage)PROTOBUF_C_MESSAGE_INIT(&control__limits__descriptor); /* whether or not conf did */
        c->status_interval_ms = conf->status_interval_ms ? conf->status_interval_ms : 1000;
        c->flush_ms = conf->flush_ms ? conf->flush_ms : 5000;
        c->trial_ms = conf->trial_ms ? conf->trial_ms : 30000;
        c->ping_ms = conf->ping_ms ? conf->ping_ms : 2000;
        boot_id_make(c);
        map_init(&c->missing);
        timer_init(&c->redial, dial);
        timer_init(&c->tick, tick);
        timer_init(&c->status, dpclient_status_due);
        timer_init(&c->save, save_due);
        timer_init(&c->trial, trial_due);
        if (c->name[0] == 0) {
                dpclient_free(c);
                return err_set(reterr, EINVAL, "name", "a data plane needs a name");
        }
        if (c->agents.tls) {
                struct identity self;
                int r = agents_identity(c->role == CONTROL__ROLE__ROLE_L4 ? IDENTITY_L4 : IDENTITY_L7, c->pool, c->name, &self, reterr);
                if (r < 0) {
                        dpclient_free(c);
                        return r;
                }
                c->credentials = credentials_new(&c->agents.credentials, &self); /* read when dialling: without them we serve too */
                BUG_ON(!c->credentials);
        }
        if (c->state_dir[0])
                store_open(c);
        *ret = c;
        return 0;
}

void dpclient_start(struct dpclient *c)
{
        if (c->agents.n && c->state == DP_IDLE && !timer_armed(&c->redial))
                timer_set(loop_timers(c->loop), &c->redial, loop_now_ms(c->loop));
}

bool dpclient_connected(const struct dpclient *c)
{
        return c->state >= DP_READY;
}

const struct model *dpclient_active(const struct dpclient *c)
{
        return c->active ? c->active->m : NULL;
}

static void held_free(struct held *h)
{
        if (!h)
                return;
        model_free(h->m);
        free(h);
}

void dpclient_release(struct dpclient *c, const struct model *old)
{
        BUG_ON(c->active && c->active->m == old);
        for (struct held **at = &c->old; *at; at = &(*at)->next) {
                if ((*at)->m != old)
                        continue;
                struct held *h = *at;
                *at = h->next;
                held_free(h);
                return;
        }
        BUG_ON(old != NULL); /* released twice, or not ours */
}

void dpclient_flush(struct dpclient *c)
{
        if (timer_armed(&c->save))
                apply_save(c);
}

void dpclient_free(struct dpclient *c)
{
        if (!c)
                return;
        dpclient_flush(c);
        timer_stop(&c->redial);
        timer_stop(&c->tick);
        timer_stop(&c->status);
        timer_stop(&c->save);
        if (timer_armed(&c->trial))
                lkg_trial_end(c->lkg); /* an orderly end is no crash */
        timer_stop(&c->trial);
        if (c->t)
                transport_close(c->t);
        apply_forget(c);
        held_free(c->active);
        while (c->old) {
                struct held *h = c->old;
                c->old = h->next;
                held_free(h);
        }
        manifest_put(c->base);
        manifest_put(c->serving);
        fresh_free(c->fresh);
        map_fini(&c->missing);
        lkg_close(c->lkg);
        credentials_free(c->credentials);
        free(c->state_dir);
        free(c->name);
        free(c->pool);
        free(c->version);
        free(c);
}
