/* tests/unit/lib/scripted_agent.c - see scripted_agent.h. */
#include "lib/base.h"
#include "tests/unit/lib/scripted_agent.h"

#include "lib/io/log.h"

#include <ftw.h>
#include <unistd.h>

static void msg_put(void *m)
{
        if (m)
                protobuf_c_message_free_unpacked(m, NULL);
}

#define KEEP(field, type, d)                                                                                           \
        do {                                                                                                           \
                msg_put(b->field);                                                                                     \
                b->field = (type *)protobuf_c_message_unpack(&(d), NULL, f.body.n, f.body.p);                          \
                assert_non_null(b->field);                                                                             \
        } while (0)

static ptrdiff_t agent_input(void *arg, struct span in)
{
        struct bench *b = arg;
        struct frame f;
        size_t used;
        enum frame_rc rc = frame_decode(in, &f, &used);
        if (rc == FRAME_MORE)
                return 0;
        assert_int_equal(rc, FRAME_OK);
        b->n[f.type]++;
        if (f.type == FRAME_HELLO)
                KEEP(hello, Control__Hello, control__hello__descriptor);
        if (f.type == FRAME_NEED)
                KEEP(need, Control__Need, control__need__descriptor);
        if (f.type == FRAME_NACK)
                KEEP(nack, Control__Nack, control__nack__descriptor);
        if (f.type == FRAME_ACTIVE)
                KEEP(active, Control__Active, control__active__descriptor);
        if (f.type == FRAME_STATUS) {
                KEEP(status, Control__Status, control__status__descriptor);
                if (!b->status_more)
                        b->n_health_seen = b->n_down_seen = 0;
                b->status_more = b->status->more;
                b->n_health_seen += b->status->n_endpoints;
                for (size_t i = 0; i < b->status->n_endpoints; i++)
                        b->n_down_seen += b->status->endpoints[i]->n_down;
        }
        return (ptrdiff_t)used;
}

static void agent_closed(void *arg, int err, const char *why)
{
        struct bench *b = arg;
        (void)err;
        (void)why;
        b->agent = NULL;
        b->closed++;
}

static const struct transport_ops agent_ops = {agent_input, agent_closed};

static void agent_accepted(void *arg, const struct transport_conn *conn)
{
        struct bench *b = arg;
        assert_int_equal(conn->peer.uid, geteuid());
        assert_null(b->agent);
        assert_int_equal(transport_accept(b->loop, conn, &agent_ops, b, &b->agent), 0);
        b->connections++;
}

/* ---------------------------------------------------------------- the data plane's callbacks */

static int dp_prepare(void *arg, const struct model *m, struct model_error *e)
{
        struct bench *b = arg;
        assert_null(b->pending);
        if (b->refuse || m->generation == b->refuse_generation) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_BUILD, "gateway/default/web",
                                m->gateways[0]->rules[0]->source, "%s", b->refuse ? b->refuse : "not this generation");
                return -EINVAL;
        }
        b->prepared++;
        b->pending = m;
        return 0;
}

static void dp_activate(void *arg, const struct model *m)
{
        struct bench *b = arg;
        assert_ptr_equal(m, b->pending);
        assert_ptr_equal(m, dpclient_active(b->dp));
        if (b->current)
                dpclient_release(b->dp, b->current);
        b->current = m;
        b->pending = NULL;
        b->activated++;
}

static void dp_abort(void *arg)
{
        struct bench *b = arg;
        assert_non_null(b->pending);
        b->pending = NULL;
        b->aborted++;
}

static void dp_endpoints(void *arg, const Model__EndpointSet *set)
{
        struct bench *b = arg;
        assert_string_equal(set->id, "default/echo:8080");
        b->endpoints++;
        b->endpoints_version = set->version;
        b->n_endpoints = set->n_endpoints;
}

static void dp_status(void *arg, struct arena *a, Control__Status *st)
{
        const struct bench *b = arg;
        st->requests_total = 42;
        st->endpoints = arena_calloc(a, b->n_health + 1, sizeof *st->endpoints);
        for (; st->n_endpoints < b->n_health; st->n_endpoints++) {
                Control__EndpointHealth *h = arena_alloc(a, sizeof *h);
                control__endpoint_health__init(h);
                h->set = (char *)"default/a-name-as-long-as-they-are:8080";
                if (st->n_endpoints == 0 && b->n_down) {
                        h->down = arena_calloc(a, b->n_down, sizeof *h->down);
                        for (; h->n_down < b->n_down; h->n_down++)
                                h->down[h->n_down] = (char *)"[2001:db8::1234]:8080";
                }
                st->endpoints[st->n_endpoints] = h;
        }
}

const struct dpclient_ops dp_ops = {dp_prepare, dp_activate, dp_abort, dp_endpoints, dp_status};

/* ---------------------------------------------------------------- bench */

void dp_make(struct bench *b, bool boots)
{
        struct err e = {0};
        struct agents_conf agents = {0};
        const char *const paths[] = {b->first_sock, b->sock};
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                if (*paths[i])
                        snprintf(agents.at[agents.n++].path, CONTROL_PATH_MAX, "%s", paths[i]);
        struct dpclient_conf conf = {.agents = &agents,
                                     .state_dir = b->state,
                                     .name = "shard-1",
                                     .pool = "default",
                                     .role = CONTROL__ROLE__ROLE_L7,
                                     .version = "0",
                                     .limits = b->limits,
                                     .ping_ms = b->ping_ms,
                                     .trial_ms = b->trial_ms,
                                     .flush_ms = 20};
        b->current = b->pending = NULL;
        b->status_more = false;
        assert_int_equal(dpclient_new(b->loop, &conf, &dp_ops, b, &b->dp, &e), 0);
        int r = dpclient_boot(b->dp, &e);
        assert_int_equal(r, boots ? 0 : -ENOENT);
}

void dp_kill(struct bench *b)
{
        dpclient_free(b->dp);
        b->dp = NULL;
}

void agent_listen(struct bench *b)
{
        struct err e = {0};
        int r = transport_listen(b->loop, b->sock, NULL, 0, agent_accepted, b, &b->listener, &e);
        if (r < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

void agent_kill(struct bench *b)
{
        if (b->agent)
                transport_close(b->agent);
        b->agent = NULL;
        transport_listener_free(b->listener);
        b->listener = NULL;
}

int bench_setup(void **state)
{
        struct bench *b = calloc(1, sizeof *b);
        snprintf(b->dir, sizeof b->dir, "%s/gh-dpclient-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        assert_non_null(mkdtemp(b->dir));
        snprintf(b->sock, sizeof b->sock, "%s/agent.sock", b->dir);
        snprintf(b->state, sizeof b->state, "%s/var/lib/dp", b->dir);
        b->loop = loop_new();
        assert_non_null(b->loop);
        log_init("test", LOG_ERROR); /* refusals are expected here */
        agent_listen(b);
        *state = b;
        return 0;
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

int bench_teardown(void **state)
{
        struct bench *b = *state;
        dp_kill(b);
        agent_kill(b);
        msg_put(b->hello);
        msg_put(b->need);
        msg_put(b->nack);
        msg_put(b->active);
        msg_put(b->status);
        loop_free(b->loop);
        nftw(b->dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
        free(b);
        return 0;
}

void agent_send(struct bench *b, enum frame_type type, const void *m)
{
        assert_non_null(b->agent);
        assert_int_equal(frame_encode_msg(transport_out(b->agent), type, 1, m), 0);
        transport_flush(b->agent);
}

/* Waits for HELLO of the newest connection and answers it. */
void agent_greet(struct bench *b)
{
        unsigned before = b->n[FRAME_HELLO];
        UNTIL(b, b->agent && b->n[FRAME_HELLO] > before);
        Control__Welcome w = CONTROL__WELCOME__INIT;
        w.agent = (char *)"test";
        w.protocol = 1;
        agent_send(b, FRAME_WELCOME, &w);
}

void agent_manifest(struct bench *b, const struct manifest *m)
{
        assert_int_equal(manifest_encode_frame(m, 1, transport_out(b->agent)), 0);
        transport_flush(b->agent);
}

void agent_chunk(struct bench *b, const struct blob *from, size_t at, size_t n)
{
        Control__SectionChunk s = CONTROL__SECTION_CHUNK__INIT;
        s.sha256 = (ProtobufCBinaryData){SHA256_BYTES, (uint8_t *)from->sha.b};
        s.offset = at;
        s.data = (ProtobufCBinaryData){n, (uint8_t *)from->p + at};
        s.last = at + n == from->n;
        agent_send(b, FRAME_SECTION, &s);
}

/* Everything the last NEED asked for, in chunks of a few bytes. */
void agent_sections(struct bench *b, const struct manifest *m)
{
        for (size_t i = 0; i < b->need->n_sha256; i++)
                for (size_t k = 0; k < m->n; k++) {
                        const struct blob *from = m->entries[k].blob;
                        if (memcmp(from->sha.b, b->need->sha256[i].data, SHA256_BYTES) != 0)
                                continue;
                        for (size_t at = 0; at < from->n; at += 50)
                                agent_chunk(b, from, at, MIN((size_t)50, from->n - at));
                        break;
                }
}

void agent_hash(struct bench *b, enum frame_type type, const struct manifest *m)
{
        Control__Activate a = CONTROL__ACTIVATE__INIT;
        a.hash = (ProtobufCBinaryData){SHA256_BYTES, (uint8_t *)m->hash.b};
        agent_send(b, type, &a);
}

void agent_push(struct bench *b, const struct manifest *m)
{
        unsigned need = b->n[FRAME_NEED], prepared = b->n[FRAME_PREPARED], active = b->n[FRAME_ACTIVE];
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_NEED] > need || b->n[FRAME_PREPARED] > prepared);
        if (b->n[FRAME_NEED] > need)
                agent_sections(b, m);
        UNTIL(b, b->n[FRAME_PREPARED] > prepared);
        agent_hash(b, FRAME_ACTIVATE, m);
        UNTIL(b, b->n[FRAME_ACTIVE] > active);
        assert_memory_equal(b->active->hash.data, m->hash.b, SHA256_BYTES);
        assert_int_equal(b->active->generation, m->generation);
}

void agent_endpoints(struct bench *b, struct world *w, uint64_t version, uint8_t last)
{
        Control__Endpoints m = CONTROL__ENDPOINTS__INIT;
        w->set->version = version;
        w->endpoint->addr.data[3] = last;
        m.n_sets = 1;
        m.sets = &w->set;
        agent_send(b, FRAME_ENDPOINTS, &m);
}

uint8_t bench_last_octet(struct bench *b)
{
        return model_endpoint_set(b->current, "default/echo:8080")->endpoints[0]->addr.data[3];
}

/* A full run: connected, one manifest active. */
struct manifest *bench_start(struct bench *b, struct world *w)
{
        world_init(w);
        dp_make(b, false);
        dpclient_start(b->dp);
        agent_greet(b);
        struct manifest *m = world_manifest(w);
        agent_push(b, m);
        return m;
}
