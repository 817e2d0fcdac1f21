/* tests/unit/agent/fake_dp.c - see fake_dp.h. */
#include "lib/base.h"
#include "tests/unit/agent/fake_dp.h"

static void trace(struct fake_dp *d, const char *fmt, ...) PRINTF(2, 3);
static void trace(struct fake_dp *d, const char *fmt, ...)
{
        size_t n = strlen(d->trace);
        va_list ap;
        va_start(ap, fmt);
        BUG_ON(n + 32 > sizeof d->trace);
        vsnprintf(d->trace + n, sizeof d->trace - n, fmt, ap);
        va_end(ap);
}

static void send_msg(struct fake_dp *d, enum frame_type type, const ProtobufCMessage *m)
{
        BUG_ON(frame_encode_msg(transport_out(d->t), type, ++d->seq, m) < 0);
        transport_flush(d->t);
}

static ProtobufCBinaryData hash_bytes(struct manifest *m) { return (ProtobufCBinaryData){ SHA256_BYTES, m->hash.b }; }

void fake_dp_prepare(struct fake_dp *d)
{
        Control__Prepared p = CONTROL__PREPARED__INIT;
        p.hash = hash_bytes(d->next);
        send_msg(d, FRAME_PREPARED, &p.base);
}

static bool objects(const struct fake_dp *d)
{
        if (!d->nack_section || !d->nack_section_is_content)
                return d->nack_section && manifest_find(d->next, d->nack_section);
        for (size_t i = 0; i < d->next->n; i++)
                if (memmem(d->next->entries[i].blob->p, d->next->entries[i].blob->n, d->nack_section, strlen(d->nack_section)))
                        return true;
        return false;
}

void fake_dp_refuse(struct fake_dp *d)
{
        Control__Nack n = CONTROL__NACK__INIT;
        n.hash = hash_bytes(d->next);
        n.section = (char *)(uintptr_t)(d->nack_section_is_content ? "" : d->nack_section);
        n.reason = (char *)(uintptr_t)"cannot do this";
        n.source = d->nack_has_source ? &d->nack_source : NULL;
        n.retryable = d->nack_retryable;
        send_msg(d, FRAME_NACK, &n.base);
        d->nack_source.rule += d->nack_count;
}

static void complete(struct fake_dp *d)
{
        if (objects(d))
                fake_dp_refuse(d);
        else if (!d->hold_prepared)
                fake_dp_prepare(d);
}

static void activate(struct fake_dp *d)
{
        manifest_put(d->active);
        d->active = TAKE_PTR(d->next);
        trace(d, "A%u ", (unsigned)d->active->generation);
        Control__Active f = CONTROL__ACTIVE__INIT;
        f.hash = hash_bytes(d->active);
        f.generation = d->active->generation;
        send_msg(d, FRAME_ACTIVE, &f.base);
}

static void on_manifest(struct fake_dp *d, struct span body)
{
        Control__Manifest *w = control__manifest__unpack(NULL, body.n, body.p);
        struct err e = { 0 };
        BUG_ON(!w);
        manifest_put(d->next);
        BUG_ON(manifest_from_wire(w, &d->next, &e) < 0);
        control__manifest__free_unpacked(w, NULL);
        trace(d, "M%u ", (unsigned)d->next->generation);
        if (d->silent)
                return;
        if (d->serves_already) {
                activate(d);
                return;
        }
        Control__Need need = CONTROL__NEED__INIT;
        need.sha256 = calloc(d->next->n + 1, sizeof *need.sha256);
        for (size_t i = 0; i < d->next->n; i++)
                need.sha256[need.n_sha256++] = (ProtobufCBinaryData){ SHA256_BYTES, d->next->entries[i].sha.b };
        if (need.n_sha256)
                send_msg(d, FRAME_NEED, &need.base);
        else
                complete(d);
        free(need.sha256);
}

static void on_section(struct fake_dp *d, struct span body)
{
        Control__SectionChunk *s = control__section_chunk__unpack(NULL, body.n, body.p);
        BUG_ON(!s || !s->last || s->offset != 0); /* test sections are small */
        for (size_t i = 0; d->next && i < d->next->n; i++) {
                struct manifest_entry *e = &d->next->entries[i];
                if (!e->blob && memcmp(e->sha.b, s->sha256.data, SHA256_BYTES) == 0) {
                        e->blob = blob_new(SPAN(s->data.data, s->data.len), false);
                        BUG_ON(memcmp(e->blob->sha.b, e->sha.b, SHA256_BYTES) != 0);
                }
        }
        control__section_chunk__free_unpacked(s, NULL);
        if (d->next && manifest_complete(d->next))
                complete(d);
}

static void on_activate(struct fake_dp *d, struct span body)
{
        Control__Activate *a = control__activate__unpack(NULL, body.n, body.p);
        BUG_ON(!a || !d->next || memcmp(a->hash.data, d->next->hash.b, SHA256_BYTES) != 0);
        control__activate__free_unpacked(a, NULL);
        activate(d);
}

static void on_endpoints(struct fake_dp *d, struct span body)
{
        Control__Endpoints *e = control__endpoints__unpack(NULL, body.n, body.p);
        BUG_ON(!e);
        for (size_t i = 0; i < e->n_sets; i++) {
                size_t n = strlen(d->endpoints);
                (void)snprintf(d->endpoints + n, sizeof d->endpoints - n, "%s@%u%s ", e->sets[i]->id, (unsigned)e->sets[i]->version,
                               e->more ? "+" : "");
                d->n_endpoints += e->sets[i]->n_endpoints;
        }
        control__endpoints__free_unpacked(e, NULL);
        trace(d, "E ");
}

static ptrdiff_t input(void *arg, struct span in)
{
        struct fake_dp *d = arg;
        struct frame f;
        size_t used;
        enum frame_rc rc = frame_decode(in, &f, &used);
        if (rc == FRAME_MORE)
                return 0;
        BUG_ON(rc != FRAME_OK);
        if (f.type == FRAME_WELCOME)
                trace(d, "W ");
        else if (f.type == FRAME_MANIFEST)
                on_manifest(d, f.body);
        else if (f.type == FRAME_SECTION)
                on_section(d, f.body);
        else if (f.type == FRAME_ACTIVATE)
                on_activate(d, f.body);
        else if (f.type == FRAME_ABORT)
                trace(d, "X ");
        else if (f.type == FRAME_ENDPOINTS)
                on_endpoints(d, f.body);
        else if (f.type == FRAME_PING && !d->silent) {
                d->n_pings++;
                Control__Ping pong = CONTROL__PING__INIT; /* its seq is for the sender's eyes only */
                send_msg(d, FRAME_PONG, &pong.base);
        }
        return (ptrdiff_t)used;
}

static void closed(void *arg, int err, const char *why)
{
        struct fake_dp *d = arg;
        d->t = NULL;
        trace(d, "closed ");
}

static const struct transport_ops ops = { .input = input, .closed = closed };

static void hello(struct fake_dp *d, const char *name, Control__Role role, const char *pool, const struct manifest *active)
{
        Control__Hello h = CONTROL__HELLO__INIT;
        h.protocol = 1;
        h.name = (char *)(uintptr_t)name;
        h.role = role;
        h.pool = (char *)(uintptr_t)pool;
        if (active) {
                h.active_hash = (ProtobufCBinaryData){ SHA256_BYTES, (uint8_t *)(uintptr_t)active->hash.b };
                h.active_generation = active->generation;
        }
        send_msg(d, FRAME_HELLO, &h.base);
}

void fake_dp_dial(struct fake_dp *d, struct loop *l, const char *path, const char *name, Control__Role role, const char *pool,
                  const struct manifest *active)
{
        d->loop = l;
        BUG_ON(transport_connect(l, path, &ops, d, &d->t) < 0);
        hello(d, name, role, pool, active);
}

void fake_dp_dial_tls(struct fake_dp *d, struct loop *l, const struct control_addr *at, struct credentials *own, const char *name,
                      Control__Role role, const char *pool)
{
        struct err e = { 0 };
        d->loop = l;
        BUG_ON(tls_connect(l, at, own, &ops, d, &d->t, &e) < 0);
        hello(d, name, role, pool, NULL);
}

void fake_dp_status(struct fake_dp *d, const char *set, uint64_t requests_total, bool more)
{
        Control__Status st = CONTROL__STATUS__INIT;
        Control__EndpointHealth h = CONTROL__ENDPOINT_HEALTH__INIT, *v = &h;
        h.set = (char *)(uintptr_t)set;
        st.endpoints = &v;
        st.n_endpoints = 1;
        st.requests_total = requests_total;
        st.more = more;
        send_msg(d, FRAME_STATUS, &st.base);
}

void fake_dp_close(struct fake_dp *d)
{
        if (d->t)
                transport_close(TAKE_PTR(d->t));
}

void fake_dp_fini(struct fake_dp *d)
{
        fake_dp_close(d);
        manifest_put(d->next);
        manifest_put(d->active);
        *d = (struct fake_dp){ 0 };
}
