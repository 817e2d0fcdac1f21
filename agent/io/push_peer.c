/* agent/io/push_peer.c - one connection on the control socket: frames in, frames out, liveness.  Layer: agent/io.
 * It knows who the peer is (after HELLO); what it should serve is push.c's business. */
#include "lib/base.h"
#include "agent/io/push_priv.h"
#include "lib/io/log.h"

#define CONTROL_PROTOCOL 1
#define PEERS_MAX 256 /* connections before HELLO included: a pool is a handful of shards */

struct push_peer {
        struct push *p;
        struct transport *t;
        struct member *m;         /* NULL until HELLO */
        struct push_peer *next, **pprev;
        struct timer ping;
        uint64_t last_rx_ms;
        uint32_t seq;
        uint64_t ping_seq;
};

static void peer_free(struct push_peer *peer)
{
        timer_stop(&peer->ping);
        *peer->pprev = peer->next;
        if (peer->next)
                peer->next->pprev = peer->pprev;
        free(peer);
}

void peer_detach(struct push_peer *peer, const char *why)
{
        log_info("peer_closed", "peer=%s name=%s why=%s", transport_peer(peer->t)->text, LOG_ESC(peer->m ? peer->m->name : "-"),
                 LOG_ESC(why));
        transport_close(peer->t);
        peer_free(peer);
}

const char *peer_text(const struct push_peer *peer) { return transport_peer(peer->t)->text; }

int peer_send(struct push_peer *peer, enum frame_type type, const ProtobufCMessage *m)
{
        int r = frame_encode_msg(transport_out(peer->t), type, ++peer->seq, m);
        if (r < 0)
                log_error("frame_not_sent", "peer=%s frame=%s errno=%d", peer_text(peer), frame_type_str(type), -r);
        transport_flush(peer->t); /* also after a failure: over its limit, the queue closes the connection when it is flushed */
        return r;
}

int peer_send_manifest(struct push_peer *peer, const struct manifest *m)
{
        int r = manifest_encode_frame(m, ++peer->seq, transport_out(peer->t));
        if (r < 0)
                log_error("frame_not_sent", "peer=%s frame=MANIFEST sections=%zu errno=%d", peer_text(peer), m->n, -r);
        transport_flush(peer->t); /* as in peer_send */
        return r;
}

static int send_section(struct push_peer *peer, const struct blob *b)
{
        size_t off = 0;
        do {
                size_t n = MIN(b->n - off, (size_t)SECTION_CHUNK_BYTES);
                Control__SectionChunk c = CONTROL__SECTION_CHUNK__INIT;
                c.sha256 = (ProtobufCBinaryData){ SHA256_BYTES, (uint8_t *)(uintptr_t)b->sha.b };
                c.offset = off;
                c.data = (ProtobufCBinaryData){ n, (uint8_t *)(uintptr_t)b->p + off };
                c.last = off + n == b->n;
                int r = peer_send(peer, FRAME_SECTION, &c.base);
                if (r < 0)
                        return r;
                off += n;
        } while (off < b->n);
        metric_add(&peer->p->counters[PUSH_SECTIONS], 1);
        metric_add(&peer->p->counters[PUSH_SECTION_BYTES], b->n);
        return 0;
}

static const struct blob *inflight_blob(const struct member *m, const ProtobufCBinaryData *sha)
{
        for (size_t i = 0; m->inflight.m && sha->len == SHA256_BYTES && i < m->inflight.m->n; i++)
                if (memcmp(m->inflight.m->entries[i].sha.b, sha->data, SHA256_BYTES) == 0)
                        return m->inflight.m->entries[i].blob;
        return NULL;
}

static int on_need(struct push_peer *peer, struct span body)
{
        Control__Need *n = control__need__unpack(NULL, body.n, body.p);
        int r = n ? 0 : -EBADMSG;
        for (size_t i = 0; r == 0 && i < n->n_sha256; i++) {
                const struct blob *b = inflight_blob(peer->m, &n->sha256[i]);
                if (b)
                        r = send_section(peer, b);
                else /* of a manifest that was replaced meanwhile: it will ask again for the new one */
                        log_debug("need_unknown", "name=%s", LOG_ESC(peer->m->name));
        }
        if (n)
                control__need__free_unpacked(n, NULL);
        return r;
}

static bool hash_of(const ProtobufCBinaryData *b, struct sha256 *ret)
{
        if (b->len != SHA256_BYTES)
                return false;
        memcpy(ret->b, b->data, SHA256_BYTES);
        return true;
}

static int on_prepared(struct push_peer *peer, struct span body)
{
        Control__Prepared *f = control__prepared__unpack(NULL, body.n, body.p);
        struct sha256 h;
        bool ok = f && hash_of(&f->hash, &h);
        if (f)
                control__prepared__free_unpacked(f, NULL);
        if (ok)
                member_prepared(peer->m, &h);
        return ok ? 0 : -EBADMSG;
}

static int on_active(struct push_peer *peer, struct span body)
{
        Control__Active *f = control__active__unpack(NULL, body.n, body.p);
        struct sha256 h;
        bool ok = f && hash_of(&f->hash, &h);
        if (ok)
                member_active(peer->m, f, &h);
        if (f)
                control__active__free_unpacked(f, NULL);
        return ok ? 0 : -EBADMSG;
}

static int on_nack(struct push_peer *peer, struct span body)
{
        Control__Nack *f = control__nack__unpack(NULL, body.n, body.p);
        struct sha256 h;
        bool ok = f && hash_of(&f->hash, &h);
        if (ok)
                member_nack(peer->m, f, &h);
        if (f)
                control__nack__free_unpacked(f, NULL);
        return ok ? 0 : -EBADMSG;
}

static int on_status(struct push_peer *peer, struct span body)
{
        Control__Status *f = control__status__unpack(NULL, body.n, body.p);
        if (!f)
                return -EBADMSG;
        return member_status(peer->m, f, body.n);
}

static int on_ping(struct push_peer *peer, struct span body)
{
        Control__Ping *f = control__ping__unpack(NULL, body.n, body.p);
        if (!f)
                return -EBADMSG;
        int r = peer_send(peer, FRAME_PONG, &f->base);
        control__ping__free_unpacked(f, NULL);
        return r;
}

/* Over TLS a peer is who its certificate says, whatever it says itself. */
static const char *id_wrong(const struct identity *id, const Control__Hello *h)
{
        if (id->role != (h->role == CONTROL__ROLE__ROLE_L4 ? IDENTITY_L4 : h->role == CONTROL__ROLE__ROLE_L7 ? IDENTITY_L7 : IDENTITY_ROLE_N))
                return "role differs from its certificate";
        if (strcmp(id->pool, h->pool) != 0)
                return "pool differs from its certificate";
        return strcmp(id->name, h->name) != 0 ? "name differs from its certificate" : NULL;
}

/* Only those the configuration names, in the role and pool it gives them. */
static const char *hello_wrong(const struct push_peer *peer, const struct member *m, const Control__Hello *h)
{
        const struct transport_peer *who = transport_peer(peer->t);
        if (h->protocol != CONTROL_PROTOCOL)
                return "protocol version";
        const char *wrong = who->has_id ? id_wrong(&who->id, h) : NULL;
        if (wrong)
                return wrong;
        if (!m)
                return "name is not in the configuration";
        if (h->role != m->role)
                return "role differs from the configuration";
        if (strcmp(h->pool, m->g->pool) != 0)
                return "pool differs from the configuration";
        return NULL;
}

static int on_hello(struct push_peer *peer, struct span body)
{
        Control__Hello *h = control__hello__unpack(NULL, body.n, body.p);
        if (!h)
                return -EBADMSG;
        struct member *m = member_find(peer->p, h->name);
        const char *wrong = peer->m ? "second HELLO" : hello_wrong(peer, m, h);
        if (wrong) {
                log_warn("hello_refused", "peer=%s name=%s role=%d pool=%s protocol=%u why=%s", peer_text(peer), LOG_ESC(h->name),
                         (int)h->role, LOG_ESC(h->pool), h->protocol, LOG_ESC(wrong));
                metric_add(&peer->p->counters[PUSH_REFUSED_PEERS], 1);
                control__hello__free_unpacked(h, NULL);
                return -EPERM;
        }
        Control__Welcome w = CONTROL__WELCOME__INIT;
        w.agent = peer->p->agent_name;
        w.protocol = CONTROL_PROTOCOL;
        int r = peer_send(peer, FRAME_WELCOME, &w.base);
        if (r == 0) {
                if (m->peer) { /* it came back before we noticed that it went */
                        struct push_peer *old = m->peer;
                        member_gone(m, "replaced by a new connection");
                        peer_detach(old, "replaced by a new connection");
                }
                peer->m = m;
                metric_add(&peer->p->counters[PUSH_CONNECTIONS], 1);
                member_connected(m, peer, h);
        }
        control__hello__free_unpacked(h, NULL);
        return r;
}

static int on_frame(struct push_peer *peer, const struct frame *f)
{
        peer->last_rx_ms = loop_now_ms(peer->p->loop);
        if (!peer->m && f->type != FRAME_HELLO && f->type != FRAME_PING && f->type != FRAME_TYPE_N)
                return -EPROTO;
        switch (f->type) {
        case FRAME_HELLO:
                return on_hello(peer, f->body);
        case FRAME_NEED:
                return on_need(peer, f->body);
        case FRAME_PREPARED:
                return on_prepared(peer, f->body);
        case FRAME_NACK:
                return on_nack(peer, f->body);
        case FRAME_ACTIVE:
                return on_active(peer, f->body);
        case FRAME_STATUS:
                return on_status(peer, f->body);
        case FRAME_PING:
                return on_ping(peer, f->body);
        case FRAME_PONG:
        case FRAME_TYPE_N: /* skipped: a newer peer's */
                return 0;
        case FRAME_WELCOME:
        case FRAME_MANIFEST:
        case FRAME_SECTION:
        case FRAME_ACTIVATE:
        case FRAME_ABORT:
        case FRAME_ENDPOINTS:
        case FRAME_QUERY:
        case FRAME_REPLY:
                return -EPROTO; /* ours to send, or of another socket */
        }
        return -EPROTO;
}

static ptrdiff_t peer_input(void *arg, struct span in)
{
        struct push_peer *peer = arg;
        struct frame f;
        size_t used;
        enum frame_rc rc = frame_decode(in, &f, &used);
        if (rc == FRAME_MORE)
                return 0;
        int r = rc == FRAME_OK ? on_frame(peer, &f) : -EBADMSG;
        if (r < 0) {
                log_warn("peer_protocol", "peer=%s name=%s frame=%s rc=%s errno=%d", peer_text(peer),
                         LOG_ESC(peer->m ? peer->m->name : "-"), rc == FRAME_OK ? frame_type_str(f.type) : "-", frame_rc_str(rc), -r);
                return r;
        }
        return (ptrdiff_t)used;
}

static void peer_closed(void *arg, int err, const char *why)
{
        struct push_peer *peer = arg;
        log_info("peer_closed", "peer=%s name=%s errno=%d why=%s", peer_text(peer), LOG_ESC(peer->m ? peer->m->name : "-"), err,
                 LOG_ESC(why));
        if (peer->m)
                member_gone(peer->m, why);
        peer_free(peer);
}

static void peer_ping(struct timer *t, uint64_t now_ms)
{
        struct push_peer *peer = CONTAINER_OF(t, struct push_peer, ping);
        if (now_ms - peer->last_rx_ms >= (uint64_t)PUSH_DEAD_PINGS * peer->p->ping_ms) {
                metric_add(&peer->p->counters[PUSH_DEAD_PEERS], 1);
                if (peer->m)
                        member_gone(peer->m, "silent");
                peer_detach(peer, "silent");
                return;
        }
        Control__Ping ping = CONTROL__PING__INIT;
        ping.seq = ++peer->ping_seq;
        (void)peer_send(peer, FRAME_PING, &ping.base); /* a ping fits a frame */
        timer_set(loop_timers(peer->p->loop), t, now_ms + peer->p->ping_ms);
}

/* A peer with a certificate has one connection, and one more while it says HELLO: nobody known fills the table. */
static void peer_replaces(struct push *p, const struct transport_peer *who)
{
        for (struct push_peer *x = p->peers, *next; who->has_id && x; x = next) {
                const struct transport_peer *other = transport_peer(x->t);
                next = x->next;
                if (!x->m && other->has_id && identity_eq(&other->id, &who->id))
                        peer_detach(x, "replaced by a new connection");
        }
}

void peer_refused(void *arg)
{
        struct push *p = arg;
        metric_add(&p->counters[PUSH_REFUSED_HANDSHAKES], 1);
}

void peer_accept(void *arg, const struct transport_conn *conn)
{
        static const struct transport_ops ops = { .input = peer_input, .closed = peer_closed };
        struct push *p = arg;
        struct push_peer *peer = calloc(1, sizeof *peer);
        size_t n = 0;
        peer_replaces(p, &conn->peer);
        for (const struct push_peer *x = p->peers; x; x = x->next)
                n++;
        if (!peer || n >= PEERS_MAX) {
                log_warn("peer_refused", "peer=%s why=%s", conn->peer.text, peer ? "connections" : "memory");
                free(peer);
                transport_conn_drop(conn);
                return;
        }
        peer->p = p;
        peer->last_rx_ms = loop_now_ms(p->loop);
        timer_init(&peer->ping, peer_ping);
        int r = transport_accept(p->loop, conn, &ops, peer, &peer->t);
        if (r < 0) {
                log_warn("peer_refused", "peer=%s errno=%d", conn->peer.text, -r);
                free(peer);
                return;
        }
        peer->next = p->peers;
        if (peer->next)
                peer->next->pprev = &peer->next;
        peer->pprev = &p->peers;
        p->peers = peer;
        timer_set(loop_timers(p->loop), &peer->ping, peer->last_rx_ms + p->ping_ms);
}

void peers_free(struct push *p)
{
        while (p->peers)
                peer_detach(p->peers, "agent stops");
}
