/* tests/unit/l7gw/h2_server_test.c - the server side of HTTP/2 against an nghttp2 client, both in memory. */
#include "lib/base.h"
#include "l7gw/core/h2_server.h"
#include "tests/unit/l7gw/loopback.h"
#include <nghttp2/nghttp2.h>

enum { MAX_STREAMS = 4096 };
struct client {
        struct loopback l;
        struct h2_server *h;
        nghttp2_session *session;
        struct buf to_server;
        unsigned status[MAX_STREAMS]; /* by stream id; final head */
        unsigned interim;
        size_t body[MAX_STREAMS];
        bool ended[MAX_STREAMS], closed[MAX_STREAMS];
        uint32_t code[MAX_STREAMS]; /* of the close */
        char trailer[64], length[32];
        int32_t goaway; /* last stream id of the newest GOAWAY, -1 = none */
        uint32_t goaway_code;
        size_t post_left;
        bool dead; /* the server side asked to close */
};

static ssize_t on_send(nghttp2_session *s, const uint8_t *p, size_t n, int flags, void *user)
{
        struct client *c = user;
        (void)s;
        (void)flags;
        buf_add(&c->to_server, p, n);
        return (ssize_t)n;
}
static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nn, const uint8_t *value,
                     size_t vn, uint8_t flags, void *user)
{
        struct client *c = user;
        (void)s;
        (void)flags;
        if (span_eq_str(SPAN(name, nn), ":status")) {
                unsigned v = (unsigned)strtoul((const char *)value, NULL, 10);
                if (v < 200)
                        c->interim = v;
                else
                        c->status[f->hd.stream_id] = v;
        } else if (span_eq_str(SPAN(name, nn), "x-sum")) {
                snprintf(c->trailer, sizeof c->trailer, "%.*s", (int)vn, value);
        } else if (span_eq_str(SPAN(name, nn), "content-length")) {
                snprintf(c->length, sizeof c->length, "%.*s", (int)vn, value);
        }
        return 0;
}
static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
        struct client *c = user;
        (void)s;
        (void)flags;
        (void)p;
        c->body[id] += n;
        return 0;
}
static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
        struct client *c = user;
        (void)s;
        if (f->hd.type == NGHTTP2_GOAWAY) {
                c->goaway = f->goaway.last_stream_id;
                c->goaway_code = f->goaway.error_code;
        } else if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) &&
                   f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
                c->ended[f->hd.stream_id] = true;
        }
        return 0;
}
static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *user)
{
        struct client *c = user;
        (void)s;
        c->closed[id] = true;
        c->code[id] = code;
        return 0;
}

/* auto_window: the client gives its windows back by itself. */
static void client_init(struct client *c, bool auto_window)
{
        nghttp2_session_callbacks *cb;
        nghttp2_option *opt;
        *c = (struct client){.goaway = -1};
        loopback_init(&c->l);
        buf_init(&c->to_server, 1u << 26);
        const struct h2_server_conf conf = {
                .engine = &loop_engine, .conn = &c->l, .pool = &c->l.pool, .buffer_bytes = LOOP_BUFFER};
        assert_int_equal(h2_server_new(&conf, &c->h), 0);
        assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
        assert_int_equal(nghttp2_option_new(&opt), 0);
        nghttp2_session_callbacks_set_send_callback(cb, on_send);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
        nghttp2_option_set_no_auto_window_update(opt, !auto_window);
        nghttp2_option_set_no_http_messaging(opt, 1); /* we also say what an honest client would not */
        assert_int_equal(nghttp2_session_client_new2(&c->session, cb, c, opt), 0);
        nghttp2_session_callbacks_del(cb);
        nghttp2_option_del(opt);
        assert_int_equal(nghttp2_submit_settings(c->session, 0, NULL, 0), 0);
}

/* Exchanges bytes until both are silent; `step` bytes at a time towards the server. */
static void pump_by(struct client *c, size_t step)
{
        bool moved = true;
        while (moved && !c->dead) {
                moved = false;
                assert_int_equal(nghttp2_session_send(c->session), 0);
                while (c->to_server.n > 0 && !c->dead) {
                        size_t n = MIN(step, c->to_server.n);
                        c->dead = h2_server_input(c->h, SPAN(c->to_server.p, n)) < 0;
                        buf_consume(&c->to_server, n);
                        moved = true;
                }
                if (h2_server_output(c->h, 2 * LOOP_BUFFER) < 0)
                        c->dead = true;
                struct chain *out = h2_server_out(c->h);
                while (out->n > 0) {
                        struct span v = chain_front(out);
                        assert_int_equal(nghttp2_session_mem_recv(c->session, v.p, v.n), (ssize_t)v.n);
                        chain_consume(out, v.n);
                        moved = true;
                }
                if (c->l.last && c->l.last->to_send > 0 && c->l.last->s.resp_waits &&
                    c->l.last->s.down->room(&c->l.last->s) > 0) {
                        loop_big(&c->l.last->s);
                        moved = true;
                }
        }
}
static void pump(struct client *c)
{
        pump_by(c, 1u << 20);
}

static void client_fini(struct client *c)
{
        h2_server_gone(c->h);
        h2_server_free(c->h);
        nghttp2_session_del(c->session);
        buf_fini(&c->to_server);
        loopback_fini(&c->l);
}

#define NV(n, v)                                                                                                       \
        {                                                                                                              \
                (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v),                            \
                        NGHTTP2_NV_FLAG_NO_COPY_NAME                                                                   \
        } /* else nghttp2 would lower the names */

static ssize_t post_read(nghttp2_session *s, int32_t id, uint8_t *p, size_t max, uint32_t *flags,
                         nghttp2_data_source *src, void *user)
{
        struct client *c = user;
        size_t n = MIN(max, c->post_left);
        (void)s;
        (void)id;
        (void)src;
        memset(p, 'p', n);
        c->post_left -= n;
        if (c->post_left == 0)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

static int32_t ask(struct client *c, const char *method, const char *path, size_t post)
{
        const nghttp2_nv nv[] = {NV(":method", method), NV(":scheme", "http"), NV(":authority", "a"),
                                 NV(":path", path)};
        nghttp2_data_provider body = {.read_callback = post_read};
        c->post_left = post;
        int32_t id = nghttp2_submit_request(c->session, NULL, nv, ARRAY_SIZE(nv), post ? &body : NULL, NULL);
        assert_true(id > 0);
        return id;
}

static void test_requests(void **state)
{
        (void)state;
        static const struct {
                const char *name, *method, *path;
                size_t post, body;
                unsigned status, interim;
                const char *length, *trailer;
                uint32_t code;
                bool ended;
        } cases[] = {
                {"get", "GET", "/echo", 0, 0, 200, 0, "0", "", 0, true},
                {"post", "POST", "/echo", 5000, 5000, 200, 0, "5000", "", 0, true},
                {"big", "GET", "/big/300000", 0, 300000, 200, 0, "300000", "", 0, true},
                {"head", "HEAD", "/big/300000", 0, 0, 200, 0, "300000", "", 0, true},
                {"no content", "GET", "/status/204", 0, 0, 204, 0, "", "", 0, true},
                {"53: trailers", "GET", "/chunked", 0, 5, 200, 0, "", "42", 0, true},
                {"interim", "GET", "/hints", 0, 4, 200, 103, "4", "", 0, true},
                {"40: early answer, then NO_ERROR (RFC 9113 8.1)", "POST", "/early", 60000, 2, 413, 0, "2", "",
                 NGHTTP2_NO_ERROR, true},
                {"a cut response is reset", "GET", "/cut", 0, 0, 0, 0, "", "", NGHTTP2_INTERNAL_ERROR, false},
                {"bad path", "GET", "/../x", 0, 0, 400, 0, "0", "", 0, true},
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (size_t step = 1; step <= 1u << 20; step = step == 1 ? 7 : step == 7 ? 1u << 20 : step * 2) {
                        struct client c;
                        client_init(&c, true);
                        int32_t id = ask(&c, cases[i].method, cases[i].path, cases[i].post);
                        pump_by(&c, step);
                        bool ok = c.status[id] == cases[i].status && c.interim == cases[i].interim &&
                                  c.ended[id] == cases[i].ended && c.closed[id] && c.code[id] == cases[i].code &&
                                  strcmp(c.length, cases[i].length) == 0 && strcmp(c.trailer, cases[i].trailer) == 0 &&
                                  !c.dead;
                        if (!ok || (cases[i].ended && c.body[id] != cases[i].body))
                                fail_msg("%s, step %zu: status %u interim %u body %zu ended %d closed %d code %u "
                                         "length %s trailer %s",
                                         cases[i].name, step, c.status[id], c.interim, c.body[id], c.ended[id],
                                         c.closed[id], c.code[id], c.length, c.trailer);
                        client_fini(&c);
                }
}

static void test_refused_heads(void **state)
{
        (void)state;
        static char long_value[40000];
        memset(long_value, 'v', sizeof long_value - 1);
        const nghttp2_nv base[] = {NV(":method", "GET"), NV(":scheme", "http"), NV(":authority", "a"),
                                   NV(":path", "/echo")};
        const struct {
                const char *name;
                nghttp2_nv extra, first; /* first replaces base[k] */
                int replace;
                unsigned status; /* 0: the stream is reset */
        } cases[] = {
                {"24: Host differs from :authority (RFC 9113 8.3.1)", NV("host", "b"), {0}, -1, 400},
                {"24: Host equal to :authority", NV("host", "A"), {0}, -1, 200},
                {"46: upper case name (RFC 9113 8.2.1)", NV("X-Up", "1"), {0}, -1, 0},
                {"46: connection field (RFC 9113 8.2.2)", NV("connection", "close"), {0}, -1, 0},
                {"46: te other than trailers", NV("te", "gzip"), {0}, -1, 0},
                {"te trailers", NV("te", "trailers"), {0}, -1, 200},
                {"31: a twin of ours", NV("x_forwarded_for", "192.0.2.1"), {0}, -1, 400},
                {"an underscore elsewhere", NV("x_other", "1"), {0}, -1, 200},
                {"proxy credentials are not for the endpoint", NV("proxy-authorization", "Basic eDp5"), {0}, -1, 200},
                {"42: unknown expectation", NV("expect", "wonders"), {0}, -1, 417},
                {"16: header list too large (RFC 6585 5)", NV("x-long", long_value), {0}, -1, 431},
                {"24: scheme of the other transport", NV("x", "y"), NV(":scheme", "https"), 1, 400},
                {"46: empty path", NV("x", "y"), NV(":path", ""), 3, 0},
                {"userinfo", NV("x", "y"), NV(":authority", "u@a"), 2, 400},
                {"46: response pseudo-header", NV("x", "y"), NV(":status", "200"), 0, 0},
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct client c;
                nghttp2_nv nv[5];
                client_init(&c, true);
                memcpy(nv, base, sizeof base);
                nv[4] = cases[i].extra;
                if (cases[i].replace >= 0)
                        nv[cases[i].replace] = cases[i].first;
                int32_t id = nghttp2_submit_request(c.session, NULL, nv, 5, NULL, NULL);
                pump(&c);
                if (c.status[id] != cases[i].status || c.dead || !c.closed[id])
                        fail_msg("%s: status %u closed %d code %u", cases[i].name, c.status[id], c.closed[id],
                                 c.code[id]);
                client_fini(&c);
        }
}

static void test_repeats(void **state)
{
        (void)state;
        static const struct {
                const char *name, *first, *second;
                unsigned status;
        } cases[] = {
                {"content-type", "a/b", "a/c", 400},
                {"authorization", "x", "y", 400},
                {"accept", "a/b", "a/c", 200},
                {"proxy-authorization", "x", "y", 200},
                {"cookie", "a=1", "b=2 ", 0}, /* outer white space: nghttp2 resets the stream */
                {"cookie", "a=1", "b=2", 200},
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct client c;
                const nghttp2_nv nv[] = {NV(":method", "GET"),
                                         NV(":scheme", "http"),
                                         NV(":authority", "a"),
                                         NV(":path", "/echo"),
                                         NV(cases[i].name, cases[i].first),
                                         NV(cases[i].name, cases[i].second)};
                client_init(&c, true);
                int32_t id = nghttp2_submit_request(c.session, NULL, nv, ARRAY_SIZE(nv), NULL, NULL);
                pump(&c);
                if (c.status[id] != cases[i].status)
                        fail_msg("%s: %s, %s: %u", cases[i].name, cases[i].first, cases[i].second, c.status[id]);
                client_fini(&c);
        }
}

static void test_dropped_fields(void **state)
{
        (void)state;
        struct client c;
        const nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "http"),    NV(":authority", "a"),
                                 NV(":path", "/hold"), NV("host", "a"), NV("proxy-authorization", "x"),
                                 NV("x", "y")};
        client_init(&c, true);
        assert_true(nghttp2_submit_request(c.session, NULL, nv, ARRAY_SIZE(nv), NULL, NULL) > 0);
        pump(&c);
        assert_int_equal(c.l.last->s.req.n_fields, 1);
        client_fini(&c);
}

static void test_cookies(void **state)
{
        (void)state;
        struct client c;
        const nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "http"), NV(":authority", "a"),
                                 NV(":path", "/hold"), NV("cookie", "a=1"),   NV("x", "y"),
                                 NV("cookie", "b=2"),  NV("cookie", "c=3")};
        client_init(&c, true);
        assert_true(nghttp2_submit_request(c.session, NULL, nv, ARRAY_SIZE(nv), NULL, NULL) > 0);
        pump(&c);
        const struct msg *m = &c.l.last->s.req;
        assert_int_equal(m->n_fields, 2); /* requirement 33 (RFC 9113 8.2.3) */
        const struct field *f = msg_find(m, SPAN_LIT("cookie"));
        assert_non_null(f);
        assert_true(span_eq_str(f->value, "a=1; b=2; c=3"));
        client_fini(&c);
}

static void test_response_window(void **state)
{
        (void)state;
        struct client c;
        client_init(&c, false);
        int32_t id = ask(&c, "GET", "/big/1000000", 0);
        pump(&c);
        assert_int_equal(c.body[id], 65535); /* requirement 49: exactly the client's window */
        assert_true(c.l.last->s.resp_body.n <= LOOP_BUFFER);
        assert_true(c.l.last->to_send >= 1000000 - 65535 - LOOP_BUFFER - 1024);
        for (int i = 0; i < 2000 && !c.ended[id]; i++) { /* RFC 9113 5.2: small windows, no more than they say */
                size_t before = c.body[id];
                assert_int_equal(nghttp2_submit_window_update(c.session, 0, id, 1000), 0);
                assert_int_equal(nghttp2_submit_window_update(c.session, 0, 0, 1000), 0);
                pump(&c);
                assert_true(c.body[id] - before <= 1000);
                assert_true(!c.l.last || c.l.last->s.resp_body.n <= LOOP_BUFFER);
        }
        assert_int_equal(c.body[id], 1000000);
        assert_true(c.ended[id]);
        client_fini(&c);
}

static void test_request_window(void **state)
{
        (void)state;
        struct client c;
        client_init(&c, true);
        pump(&c);        /* before it has our SETTINGS, a client may send 65535 (RFC 9113 6.9.2) */
        c.l.park = true; /* a deaf upstream */
        int32_t id = ask(&c, "POST", "/echo", 500000);
        pump(&c);
        assert_int_equal(c.l.body_max, LOOP_BUFFER); /* the window is what we promised to store, and no more */
        assert_false(c.ended[id]);
        for (int i = 0; i < 1000 && c.l.last; i++) {
                struct stream *s = &c.l.last->s;
                size_t parked = (size_t)(s->req_bytes - s->req_drained);
                assert_true(parked <= LOOP_BUFFER);
                if (parked)
                        s->down->drained(s, MIN(parked, (size_t)3000));
                pump(&c);
        }
        assert_int_equal(c.body[id], 500000);
        client_fini(&c);
}

static void test_connection_window_comes_back(void **state)
{
        (void)state;
        struct client c;
        client_init(&c, true);
        pump(&c);
        c.l.park = true;
        for (int i = 0; i < 100;
             i++) { /* each parks a window of body and is given up: 1.6 MB in all, over the connection's 1 MB */
                int32_t id = ask(&c, "POST", "/hold", 100000);
                pump(&c);
                assert_int_equal(c.l.body_max, LOOP_BUFFER);
                assert_int_equal(nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL), 0);
                pump(&c);
                assert_false(c.dead);
        }
        c.l.park = false;
        int32_t id = ask(&c, "POST", "/echo", 100000);
        pump(&c);
        assert_int_equal(c.body[id], 100000);
        client_fini(&c);
}

static void test_cancel_and_drain(void **state)
{
        (void)state;
        struct client c;
        client_init(&c, true);
        int32_t a = ask(&c, "GET", "/hold", 0);
        pump(&c);
        assert_int_equal(h2_server_streams(c.h), 1);
        assert_int_equal(nghttp2_submit_rst_stream(c.session, 0, a, NGHTTP2_CANCEL), 0);
        pump(&c);
        assert_int_equal(h2_server_streams(c.h), 0);
        assert_string_equal(c.l.log, "GET:/hold gone ");
        ask(&c, "GET", "/hold", 0);
        pump(&c);
        h2_server_drain(c.h, false);
        pump(&c);
        assert_int_equal(c.goaway, INT32_MAX); /* requirement 51 (RFC 9113 6.8): first the notice */
        h2_server_drain(c.h, true);
        pump(&c);
        assert_int_equal(c.goaway, 3);
        assert_false(h2_server_finished(c.h)); /* a stream is open */
        loop_answer(&c.l.last->s, 200, "bye");
        pump(&c);
        assert_int_equal(c.status[3], 200);
        assert_true(h2_server_finished(c.h));
        client_fini(&c);
}

static void test_floods(void **state)
{
        (void)state;
        struct client c;
        client_init(&c, true);
        for (int i = 0; i < 3 * L7_H2_GLITCHES && !c.dead && c.goaway_code == 0;
             i++) { /* PING flood; each is answered in time */
                assert_int_equal(nghttp2_submit_ping(c.session, 0, NULL), 0);
                pump(&c);
        }
        assert_int_equal(c.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        client_fini(&c);
        client_init(&c, true);
        int made = 0;
        for (; made < 4 * L7_H2_FAULTS && !c.dead && c.goaway_code == 0;
             made++) { /* MadeYouReset: the client makes us reset */
                int32_t id = ask(&c, "GET", "/hold", 0);
                assert_int_equal(nghttp2_session_send(c.session), 0);
                const uint8_t overflow[13] = {0,           0,    4,    8,    0,   0, 0, (uint8_t)(id >> 8),
                                              (uint8_t)id, 0x7f, 0xff, 0xff, 0xff};
                buf_add(&c.to_server, overflow, sizeof overflow); /* WINDOW_UPDATE beyond 2^31-1: RFC 9113 6.9.1 */
                pump(&c);
        }
        assert_int_equal(c.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_true(made >= L7_H2_FAULTS / 2);
        assert_true(made <= 2 * L7_H2_FAULTS);
        client_fini(&c);
        client_init(&c, true);
        for (int i = 0; i < 1000; i++) { /* an honest client with ten PINGs per request lives on */
                ask(&c, "GET", "/echo", 0);
                for (int k = 0; k < 10; k++)
                        assert_int_equal(nghttp2_submit_ping(c.session, 0, NULL), 0);
                pump(&c);
        }
        assert_int_equal(c.goaway, -1);
        client_fini(&c);
}

/* requirement 52: what our SETTINGS say, that they must be acknowledged, and that the client's act on streams already open. */
static void test_settings(void **state)
{
        (void)state;
        struct client c;
        client_init(&c, false);
        assert_int_equal(h2_server_output(c.h, 2 * LOOP_BUFFER), 0);
        struct span first = chain_front(h2_server_out(c.h));
        assert_true(first.n >= 9 && first.p[3] == NGHTTP2_SETTINGS);
        size_t n = (size_t)first.p[1] << 8 | first.p[2];
        for (size_t i = 9; i < 9 + n; i += 6) {
                unsigned key = (unsigned)first.p[i] << 8 | first.p[i + 1];
                uint32_t v = (uint32_t)first.p[i + 2] << 24 | (uint32_t)first.p[i + 3] << 16 | (uint32_t)first.p[i + 4] << 8 | first.p[i + 5];
                assert_true(key != NGHTTP2_SETTINGS_MAX_FRAME_SIZE); /* 16 KiB, the default */
                assert_true(key != NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS || v == L7_H2_STREAMS);
                assert_true(key != NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES || v == 1);
        }
        assert_false(h2_server_acknowledged(c.h));
        pump(&c);
        assert_true(h2_server_acknowledged(c.h));

        int32_t id = ask(&c, "GET", "/big/300000", 0);
        pump(&c);
        assert_int_equal(c.body[id], 65535);
        nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000}; /* the stream's window is -64535 now */
        assert_int_equal(nghttp2_submit_settings(c.session, 0, &window, 1), 0);
        assert_int_equal(nghttp2_submit_window_update(c.session, 0, 0, 1000000), 0);
        assert_int_equal(nghttp2_submit_window_update(c.session, 0, id, 64000), 0);
        pump(&c);
        assert_int_equal(c.body[id], 65535); /* RFC 9113 6.9.2: it stays negative, nothing may be sent */
        assert_int_equal(nghttp2_submit_window_update(c.session, 0, id, 600), 0);
        pump(&c);
        assert_int_equal(c.body[id], 65600);
        window.value = 1000000;
        assert_int_equal(nghttp2_submit_settings(c.session, 0, &window, 1), 0);
        pump(&c);
        assert_int_equal(c.body[id], 300000);
        assert_true(c.ended[id]);
        client_fini(&c);

        client_init(&c, true);
        static const uint8_t push[] = {0, 0, 5, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 0, 0, 0, 1, 0, 0, 0, 2, 0x82};
        pump(&c);
        ask(&c, "GET", "/hold", 0);
        pump(&c);
        c.dead = h2_server_input(c.h, SPAN(push, sizeof push)) < 0; /* RFC 9113 8.4: no client pushes */
        pump(&c);
        assert_true(c.dead || c.goaway_code == NGHTTP2_PROTOCOL_ERROR);
        client_fini(&c);

        client_init(&c, true);
        h2_server_unacknowledged(c.h); /* the deadline is io's */
        pump(&c);
        assert_int_equal(c.goaway_code, NGHTTP2_SETTINGS_TIMEOUT);
        assert_true(h2_server_finished(c.h));
        client_fini(&c);
}

static void test_garbage(void **state)
{
        (void)state;
        struct client c;
        client_init(&c, true);
        assert_true(h2_server_input(c.h, SPAN_LIT("GET / HTTP/1.1\r\n\r\n")) < 0); /* no preface */
        client_fini(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),         cmocka_unit_test(test_refused_heads),
                cmocka_unit_test(test_repeats),          cmocka_unit_test(test_dropped_fields),
                cmocka_unit_test(test_cookies),          cmocka_unit_test(test_response_window),
                cmocka_unit_test(test_request_window),   cmocka_unit_test(test_connection_window_comes_back),
                cmocka_unit_test(test_cancel_and_drain), cmocka_unit_test(test_floods),
                cmocka_unit_test(test_settings),         cmocka_unit_test(test_garbage),
        };
        return cmocka_run_group_tests_name("h2_server", tests, NULL, NULL);
}
