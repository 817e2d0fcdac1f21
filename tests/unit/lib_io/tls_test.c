/* tests/unit/lib_io/tls_test.c - the control socket between boxes: lib/io/tls_listen and tls_wire over loopback TCP, in one
 * loop with whoever is on the other side: our own client, or OpenSSL used by hand where ours would not do such a thing.
 * Nothing sleeps: a test turns the loop until what it waits for has happened, or fails after WAIT_MS. */
#include "lib/base.h"
#include "lib/io/log.h"
#include "lib/io/tls_listen.h"
#include "tests/unit/lib_io/tls_lab.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 30000
#define AGENT "gatehouse://agent/a"
#define SHARD "gatehouse://l7/default/shard-1"
#define PORT 7443

struct end {
        struct transport *t;
        struct buf got;
        bool closed;
        int err;
        char why[256];
};
struct bed {
        struct tls_lab lab;
        struct loop *l;
        struct control_addr at; /* an address of 127/8 of our own: tests run side by side */
        struct credentials_conf server_conf, client_conf;
        struct credentials *server_own, *client_own;
        struct tls_listener *tl;
        struct end client, server;
        unsigned accepted, refused;
        struct transport_peer peer; /* of the last one accepted */
        int log_fd;
        char log[16384];
};

static ptrdiff_t end_input(void *arg, struct span in)
{
        buf_add(&((struct end *)arg)->got, in.p, in.n);
        return (ptrdiff_t)in.n;
}

static void end_closed(void *arg, int err, const char *why)
{
        struct end *e = arg;
        e->t = NULL;
        e->closed = true;
        e->err = err;
        snprintf(e->why, sizeof e->why, "%s", why);
}

static const struct transport_ops end_ops = { end_input, end_closed };

static void end_reset(struct end *e)
{
        transport_close(e->t);
        buf_fini(&e->got);
        *e = (struct end){ 0 };
        buf_init(&e->got, 64u << 20);
}

static void on_accepted(void *arg, const struct transport_conn *conn)
{
        struct bed *b = arg;
        b->accepted++;
        b->peer = conn->peer;
        if (b->server.t)
                transport_conn_drop(conn);
        else
                assert_int_equal(transport_accept(b->l, conn, &end_ops, &b->server, &b->server.t), 0);
}

static void on_refused(void *arg) { ((struct bed *)arg)->refused++; }

static const char *log_text(struct bed *b)
{
        ssize_t n = pread(b->log_fd, b->log, sizeof b->log - 1, 0);
        b->log[n > 0 ? n : 0] = '\0';
        return b->log;
}

#define UNTIL(b, cond) UNTIL_DO(b, (void)0, cond)
/* With what else has to happen in each turn: the other side, when it is not in the loop. */
#define UNTIL_DO(b, also, cond)                                                                                 \
        do {                                                                                                    \
                uint64_t end_ = loop_now_ms((b)->l) + WAIT_MS;                                                  \
                while (!(cond)) {                                                                               \
                        also;                                                                                   \
                        assert_int_equal(loop_turn((b)->l, 5), 0);                                              \
                        if (loop_now_ms((b)->l) > end_)                                                         \
                                fail_msg("line %d: never: %s; client [%s] server [%s] log [%s]", __LINE__, #cond, \
                                         (b)->client.why, (b)->server.why, log_text(b));                        \
                }                                                                                               \
        } while (0)

static void listen_on(struct bed *b, uint32_t handshake_ms)
{
        static const struct tls_listen_ops ops = { on_accepted, on_refused };
        struct err e = { 0 };
        if (tls_listen(b->l, &b->at, b->server_own, &ops, b, handshake_ms, &b->tl, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

static struct credentials *own_of(const struct credentials_conf *conf, const char *uri)
{
        struct identity id = lab_identity(uri);
        struct credentials *c = credentials_new(conf, &id);
        assert_non_null(c);
        return c;
}

static int setup(void **state)
{
        struct bed *b = calloc(1, sizeof *b);
        unsigned pid = (unsigned)getpid();
        lab_init(&b->lab);
        b->l = loop_new();
        b->at = (struct control_addr){ .kind = CONTROL_TLS, .port = PORT,
                                       .ip = { 4, { 127, (uint8_t)(1 + (pid >> 16)), (uint8_t)(pid >> 8), (uint8_t)pid } } };
        b->server_conf = lab_issue(&b->lab, AGENT, LAB_GOOD);
        b->client_conf = lab_issue(&b->lab, SHARD, LAB_GOOD);
        b->server_own = own_of(&b->server_conf, AGENT);
        b->client_own = own_of(&b->client_conf, SHARD);
        b->log_fd = memfd_create("log", MFD_CLOEXEC);
        log_init("test", LOG_INFO);
        log_set_fd(b->log_fd);
        end_reset(&b->client);
        end_reset(&b->server);
        listen_on(b, 0);
        *state = b;
        return 0;
}

static int teardown(void **state)
{
        struct bed *b = *state;
        end_reset(&b->client);
        end_reset(&b->server);
        tls_listener_free(b->tl);
        credentials_free(b->server_own);
        credentials_free(b->client_own);
        loop_free(b->l);
        log_set_fd(STDERR_FILENO);
        close(b->log_fd);
        lab_fini(&b->lab);
        free(b);
        return 0;
}

static void say(struct end *e, const void *p, size_t n)
{
        buf_add(transport_out(e->t), p, n);
        transport_flush(e->t);
}

static void dial(struct bed *b)
{
        struct err e = { 0 };
        if (tls_connect(b->l, &b->at, b->client_own, &end_ops, &b->client, &b->client.t, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

/* Both sides hear each other. */
static void talk(struct bed *b)
{
        say(&b->client, "ping", 4);
        UNTIL(b, b->server.got.n == 4 || b->client.closed);
        assert_false(b->client.closed);
        say(&b->server, "pong!", 5);
        UNTIL(b, b->client.got.n == 5);
}

static void restart_both(struct bed *b)
{
        end_reset(&b->client);
        end_reset(&b->server);
        dial(b);
}

/* ---------------------------------------------------------------- good ones */

static void test_talk(void **state)
{
        struct bed *b = *state;
        dial(b);
        talk(b);
        char uri[IDENTITY_URI_MAX];
        assert_int_equal(b->accepted, 1);
        assert_true(b->peer.has_id);
        assert_string_equal(identity_uri(&b->peer.id, uri), SHARD);
        assert_non_null(strstr(b->peer.text, ",gatehouse://l7/default/shard-1"));
        assert_true(transport_peer(b->client.t)->has_id);
        assert_string_equal(identity_uri(&transport_peer(b->client.t)->id, uri), AGENT);
        transport_close(TAKE_PTR(b->client.t));
        UNTIL(b, b->server.closed);
        assert_int_equal(b->server.err, 0); /* close_notify: an end in order */
        assert_int_equal(b->refused, 0);
}

static void test_bulk(void **state)
{
        struct bed *b = *state;
        size_t n = 6u << 20;
        uint8_t *p = malloc(n);
        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t)(i * 2654435761u >> 13);
        dial(b);
        talk(b);
        say(&b->client, p, n);
        say(&b->server, p, n);
        UNTIL(b, b->server.got.n == n + 4 && b->client.got.n == n + 5);
        assert_memory_equal(b->server.got.p + 4, p, n);
        assert_memory_equal(b->client.got.p + 5, p, n);
        free(p);
}

static void test_six(void **state)
{
        struct bed *b = *state;
        const char *why;
        tls_listener_free(b->tl);
        assert_int_equal(control_addr_parse_ip(SPAN_LIT("[::1]:7443"), &b->at, &why), 0);
        static const struct tls_listen_ops ops = { on_accepted, on_refused };
        struct err e = { 0 };
        int r = -EADDRINUSE;
        b->tl = NULL;
        for (unsigned i = 0; r == -EADDRINUSE && i < 100; i++) { /* there is only one ::1, and we are not alone */
                b->at.port = (uint16_t)(10000 + ((unsigned)getpid() + i * 37) % 20000);
                r = tls_listen(b->l, &b->at, b->server_own, &ops, b, 0, &b->tl, &e);
        }
        if (r < 0)
                fail_msg("%s: %s", e.place, e.msg);
        dial(b);
        talk(b);
        assert_non_null(strstr(b->peer.text, "tls:[::1]:"));
}

/* ---------------------------------------------------------------- OpenSSL by hand */

struct hand {
        SSL_CTX *ctx;
        SSL *ssl;
        int fd;
};

static int hand_connect(struct bed *b)
{
        struct sockaddr_storage sa;
        socklen_t len = tls_sockaddr(&b->at, &sa);
        int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&sa, len), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        return fd;
}

static struct hand hand_make(int fd, const struct credentials_conf *conf, bool server)
{
        struct hand h = { .ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()), .fd = fd };
        if (conf) {
                assert_int_equal(SSL_CTX_use_certificate_chain_file(h.ctx, conf->certificate), 1);
                assert_int_equal(SSL_CTX_use_PrivateKey_file(h.ctx, conf->key, SSL_FILETYPE_PEM), 1);
        }
        h.ssl = SSL_new(h.ctx);
        assert_int_equal(SSL_set_fd(h.ssl, fd), 1);
        if (server)
                SSL_set_accept_state(h.ssl);
        else
                SSL_set_connect_state(h.ssl);
        return h;
}

static void hand_free(struct hand *h)
{
        SSL_free(h->ssl);
        SSL_CTX_free(h->ctx);
        close(h->fd);
}

static bool hand_over(struct hand *h) /* has the other side ended it? */
{
        char c;
        ERR_clear_error();
        int rc = SSL_read(h->ssl, &c, 1);
        if (rc > 0)
                return false;
        int kind = SSL_get_error(h->ssl, rc);
        return kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE;
}

/* ---------------------------------------------------------------- refused */

static void refused_case(struct bed *b, const char *name, const char *uri, enum lab_kind kind, const char *want)
{
        struct credentials_conf conf = { .certificate = "" };
        if (uri)
                conf = lab_issue(&b->lab, uri, kind);
        struct hand h = hand_make(hand_connect(b), uri ? &conf : NULL, false);
        unsigned before = b->refused;
        UNTIL_DO(b, (void)hand_over(&h), b->refused == before + 1);
        UNTIL(b, hand_over(&h));
        if (!strstr(log_text(b), want))
                fail_msg("%s: no \"%s\" in %s", name, want, b->log);
        assert_int_equal(b->accepted, 0);
        assert_int_equal(ftruncate(b->log_fd, 0), 0);
        assert_int_equal(lseek(b->log_fd, 0, SEEK_SET), 0);
        hand_free(&h);
}

static void test_refused_clients(void **state)
{
        struct bed *b = *state;
        static const struct { const char *name, *uri; enum lab_kind kind; const char *want; } cases[] = {
                { "signed by somebody else", SHARD, LAB_OTHER_CA, "its certificate is refused: " },
                { "expired", SHARD, LAB_EXPIRED, "certificate has expired" },
                { "not valid yet", SHARD, LAB_EARLY, "certificate is not yet valid" },
                { "no certificate", NULL, LAB_GOOD, "peer did not return a certificate" },
                { "no URI", SHARD, LAB_NO_URI, "has no gatehouse:// URI" },
                { "two URIs", SHARD, LAB_TWO_URIS, "has more than one gatehouse:// URI" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                tls_listener_free(b->tl); /* each with a log limit of its own */
                listen_on(b, 0);
                refused_case(b, cases[i].name, cases[i].uri, cases[i].kind, cases[i].want);
        }
        dial(b); /* and after them all, one that is good */
        talk(b);
}

/* A certificate for agents is for servers: it opens nothing on the other side. */
static void test_agent_as_client(void **state)
{
        refused_case(*state, "an agent dials", "gatehouse://agent/other", LAB_GOOD, "its certificate is refused: unsuitable certificate purpose");
        refused_case(*state, "an agent for any use", "gatehouse://agent/other", LAB_NO_USE, "is for gatehouse://agent/other, not for a data plane");
}

static void test_old_protocol(void **state)
{
        struct bed *b = *state;
        struct hand h = hand_make(hand_connect(b), &b->client_conf, false);
        assert_int_equal(SSL_set_max_proto_version(h.ssl, TLS1_2_VERSION), 1);
        UNTIL_DO(b, (void)hand_over(&h), b->refused == 1);
        UNTIL(b, hand_over(&h));
        assert_non_null(strstr(log_text(b), "unsupported protocol"));
        hand_free(&h);
}

/* A shard's key that got into wrong hands makes nobody an agent. */
static void test_shard_as_server(void **state)
{
        struct bed *b = *state;
        static const struct { const char *uri; enum lab_kind kind; const char *want; } cases[] = {
                { SHARD, LAB_GOOD, "unsuitable certificate purpose" },
                { SHARD, LAB_NO_USE, "is for gatehouse://l7/default/shard-1, not for an agent" },
                { AGENT, LAB_OTHER_CA, "its certificate is refused: " },
                { AGENT, LAB_EXPIRED, "certificate has expired" },
                { AGENT, LAB_NO_URI, "has no gatehouse:// URI" },
                { AGENT, LAB_TWO_URIS, "has more than one gatehouse:// URI" },
        };
        tls_listener_free(TAKE_PTR(b->tl));
        struct sockaddr_storage sa;
        socklen_t len = tls_sockaddr(&b->at, &sa);
        int one = 1, ls = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
        assert_int_equal(bind(ls, (const struct sockaddr *)&sa, len), 0);
        assert_int_equal(listen(ls, 4), 0);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct credentials_conf conf = lab_issue(&b->lab, cases[i].uri, cases[i].kind);
                end_reset(&b->client);
                dial(b);
                say(&b->client, "secret", 6);
                int fd = accept4(ls, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); /* the loopback has connected it already */
                assert_true(fd >= 0);
                struct hand h = hand_make(fd, &conf, true);
                UNTIL_DO(b, (void)hand_over(&h), b->client.closed);
                if (!strstr(b->client.why, cases[i].want))
                        fail_msg("case %zu: %s", i, b->client.why);
                hand_free(&h);
        }
        close(ls);
}

static void test_plain_client(void **state)
{
        struct bed *b = *state;
        static const char text[] = "GET / HTTP/1.1\r\nHost: agent\r\n\r\n";
        char c[256];
        int fd = hand_connect(b);
        assert_int_equal(send(fd, text, sizeof text - 1, MSG_NOSIGNAL), sizeof text - 1);
        UNTIL(b, b->refused == 1);
        assert_non_null(strstr(log_text(b), "event=peer_refused"));
        assert_non_null(strstr(log_text(b), "TLS: "));
        ssize_t n;
        UNTIL(b, (n = recv(fd, c, sizeof c, 0)) == 0 || (n < 0 && errno != EAGAIN)); /* behind an alert the end */
        close(fd);
}

static void test_plain_server(void **state)
{
        struct bed *b = *state;
        int sv[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
        struct transport_conn conn = { .fd = sv[0] };
        struct err e = { 0 };
        assert_int_equal(tls_wire_new(sv[0], b->client_own, &conn.wire, &e), 0);
        assert_int_equal(transport_accept(b->l, &conn, &end_ops, &b->client, &b->client.t), 0);
        assert_int_equal(send(sv[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL), 28);
        UNTIL(b, b->client.closed);
        assert_non_null(strstr(b->client.why, "TLS: "));
        close(sv[1]);
}

/* ---------------------------------------------------------------- slow ones */

static void test_slow_handshake(void **state)
{
        struct bed *b = *state;
        tls_listener_free(b->tl);
        listen_on(b, 300);
        int fd = hand_connect(b);
        assert_int_equal(send(fd, "\x16", 1, MSG_NOSIGNAL), 1); /* the first byte of a handshake record, and then nothing */
        UNTIL(b, b->refused == 1);
        assert_non_null(strstr(log_text(b), "took too long"));
        char c;
        UNTIL(b, recv(fd, &c, 1, 0) == 0);
        close(fd);
        assert_int_equal(b->accepted, 0);
}

/* More strangers than there are places: who comes first gives way, and a data plane gets in between them. */
static void test_many_slow(void **state)
{
        struct bed *b = *state;
        int fds[TLS_PENDING_MAX + 8];
        tls_listener_free(b->tl);
        listen_on(b, 600000);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                fds[i] = hand_connect(b);
                assert_int_equal(loop_turn(b->l, 0), 0);
        }
        UNTIL(b, b->refused == 8);
        assert_non_null(strstr(log_text(b), "the oldest gave way"));
        char c;
        UNTIL(b, recv(fds[7], &c, 1, 0) == 0);
        assert_int_equal(recv(fds[8], &c, 1, 0), -1);
        assert_int_equal(errno, EAGAIN);
        dial(b);
        talk(b);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                close(fds[i]);
}

/* One byte at a time, both ways, from the first of the handshake on. */
static void test_split(void **state)
{
        struct bed *b = *state;
        int sv[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
        struct transport_conn conn = { .fd = sv[0] };
        struct err e = { 0 };
        assert_int_equal(tls_wire_new(sv[0], b->client_own, &conn.wire, &e), 0);
        assert_int_equal(transport_accept(b->l, &conn, &end_ops, &b->client, &b->client.t), 0);
        int fd = hand_connect(b);
        say(&b->client, "ping", 4);
        bool answered = false;
        uint64_t end = loop_now_ms(b->l) + WAIT_MS;
        while (b->client.got.n < 5) {
                char c;
                if (recv(sv[1], &c, 1, 0) == 1)
                        assert_int_equal(send(fd, &c, 1, MSG_NOSIGNAL), 1);
                if (recv(fd, &c, 1, 0) == 1)
                        assert_int_equal(send(sv[1], &c, 1, MSG_NOSIGNAL), 1);
                assert_int_equal(loop_turn(b->l, 0), 0);
                if (b->server.got.n == 4 && !answered) {
                        say(&b->server, "pong!", 5);
                        answered = true;
                }
                assert_true(loop_now_ms(b->l) < end);
        }
        assert_memory_equal(b->server.got.p, "ping", 4);
        assert_memory_equal(b->client.got.p, "pong!", 5);
        close(sv[1]);
        close(fd);
}

/* ---------------------------------------------------------------- files that change */

static void file_write(const char *path, const char *text)
{
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

static void test_rotation(void **state)
{
        struct bed *b = *state;
        dial(b);
        talk(b);
        int64_t before = transport_peer(b->client.t)->valid_s;
        lab_issue_into(&b->lab, &b->server_conf, AGENT, LAB_LONG);
        restart_both(b);
        talk(b);
        assert_true(transport_peer(b->client.t)->valid_s > before + 3600);
        assert_non_null(strstr(log_text(b), "event=certificate_renewed"));

        file_write(b->server_conf.key, "not a key\n"); /* what was read before goes on, and is said once */
        restart_both(b);
        talk(b);
        restart_both(b);
        talk(b);
        const char *first = strstr(log_text(b), "event=certificate_refused");
        assert_non_null(first);
        assert_non_null(strstr(first, b->server_conf.key));
        assert_null(strstr(first + 1, "event=certificate_refused"));

        lab_issue_into(&b->lab, &b->server_conf, AGENT, LAB_GOOD);
        restart_both(b);
        talk(b);
        assert_true(transport_peer(b->client.t)->valid_s <= 3600);
}

static void test_ca_replaced(void **state)
{
        struct bed *b = *state;
        dial(b);
        talk(b);
        lab_ca_write(b->server_conf.ca, &b->lab.other_ca, NULL);
        restart_both(b);
        UNTIL(b, b->client.closed);
        assert_int_equal(b->refused, 1);
        if (!strstr(b->client.why, "unknown ca"))
                fail_msg("%s", b->client.why);
}

static void test_revoked(void **state)
{
        struct bed *b = *state;
        FILE *f = fopen(b->client_conf.certificate, "r");
        X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
        fclose(f);
        lab_ca_write(b->server_conf.ca, &b->lab.ca, x);
        X509_free(x);
        dial(b);
        UNTIL(b, b->client.closed);
        assert_non_null(strstr(log_text(b), "certificate revoked"));
        lab_issue_into(&b->lab, &b->client_conf, SHARD, LAB_GOOD); /* another serial */
        restart_both(b);
        talk(b);
}

/* The session ends with the certificate it was opened by. */
static void test_expires_meanwhile(void **state)
{
        struct bed *b = *state;
        int sv[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
        struct transport_conn conn = { .fd = sv[0], .peer = { .has_id = true, .valid_s = 0 } };
        assert_int_equal(transport_accept(b->l, &conn, &end_ops, &b->client, &b->client.t), 0);
        UNTIL(b, b->client.closed);
        assert_int_equal(b->client.err, EKEYEXPIRED);
        close(sv[1]);
}

static void test_bad_files(void **state)
{
        struct bed *b = *state;
        struct credentials_conf good = b->client_conf, other = lab_issue(&b->lab, "gatehouse://l7/default/shard-2", LAB_GOOD), c;
        struct credentials_conf nameless = lab_issue(&b->lab, SHARD, LAB_NO_URI);
        char none[280];
        snprintf(none, sizeof none, "%s/none", b->lab.dir);
        const struct { const char *name, *cert, *key, *ca, *place, *want; } cases[] = {
                { "no certificate", none, good.key, good.ca, none, "cannot read the certificate" },
                { "no key", good.certificate, none, good.ca, none, "cannot use the key" },
                { "no CA", good.certificate, good.key, none, none, "cannot read the CA" },
                { "key of another", good.certificate, other.key, good.ca, other.key, "key values mismatch" },
                { "another's pair", other.certificate, other.key, good.ca, other.certificate,
                  "the certificate is for gatehouse://l7/default/shard-2, we are gatehouse://l7/default/shard-1" },
                { "an agent's pair", b->server_conf.certificate, b->server_conf.key, good.ca, b->server_conf.certificate, "we are " },
                { "no URI", nameless.certificate, nameless.key, good.ca, nameless.certificate, "has no gatehouse:// URI" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct err e = { 0 };
                snprintf(c.certificate, sizeof c.certificate, "%s", cases[i].cert);
                snprintf(c.key, sizeof c.key, "%s", cases[i].key);
                snprintf(c.ca, sizeof c.ca, "%s", cases[i].ca);
                struct credentials *own = own_of(&c, SHARD);
                assert_true(credentials_refresh(own, &e) < 0);
                if (strcmp(e.place, cases[i].place) != 0 || !strstr(e.msg, cases[i].want))
                        fail_msg("%s: %s: %s", cases[i].name, e.place, e.msg);
                credentials_free(own);
        }
        struct err e = { 0 };
        struct credentials *own = own_of(&good, AGENT); /* an agent that was given a shard's */
        assert_true(credentials_refresh(own, &e) < 0);
        assert_non_null(strstr(e.msg, "not for an agent"));
        credentials_free(own);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_talk), T(test_bulk), T(test_six), T(test_refused_clients), T(test_agent_as_client), T(test_old_protocol),
                T(test_shard_as_server), T(test_plain_client), T(test_plain_server), T(test_slow_handshake), T(test_many_slow),
                T(test_split), T(test_rotation), T(test_ca_replaced), T(test_revoked), T(test_expires_meanwhile), T(test_bad_files),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
