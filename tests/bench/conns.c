/* tests/bench/conns.c - client of the layer-7 bench for what wrk and h2load cannot do: connections one after the other
 * (new or resumed TLS sessions), and many connections that have asked once and then stay idle.
 *
 *   conns new     ADDR PORT plain|tls|resume  SECONDS     prints {"connections": N, "resumed": N}
 *   conns idle    ADDR PORT plain|tls|h2      N           prints "ready" once N have been answered; holds them until stdin ends
 *
 * Each connection carries one GET /1024 whose answer is read whole; anything else than status 200 ends the program. */
#include "lib/base.h"

#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BODY 1024

static const char request[] = "GET /1024 HTTP/1.1\r\nHost: bench.example\r\n\r\n";
static SSL_CTX *tls;
static SSL_SESSION *last; /* the newest ticket the server gave */

static _Noreturn void fail(const char *what)
{
        perror(what);
        ERR_print_errors_fp(stderr);
        exit(1);
}

static int dial(const char *addr, const char *port)
{
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
        if (inet_pton(AF_INET, addr, &to.sin_addr) != 1)
                fail(addr);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                fail("connect");
        return fd;
}

static ssize_t get(int fd, SSL *ssl, void *p, size_t n)
{
        return ssl ? SSL_read(ssl, p, (int)n) : recv(fd, p, n, 0);
}

static void put(int fd, SSL *ssl, const void *p, size_t n)
{
        ssize_t done = ssl ? SSL_write(ssl, p, (int)n) : send(fd, p, n, MSG_NOSIGNAL);
        if (done != (ssize_t)n)
                fail("write");
}

static void ask_h1(int fd, SSL *ssl)
{
        char text[8192];
        size_t n = 0, want = 0;
        put(fd, ssl, request, sizeof(request) - 1);
        while (!want || n < want) {
                ssize_t got = get(fd, ssl, text + n, sizeof(text) - 1 - n);
                if (got <= 0)
                        fail("read");
                n += (size_t)got;
                text[n] = '\0';
                const char *end = strstr(text, "\r\n\r\n");
                if (!want && end)
                        want = (size_t)(end + 4 - text) + BODY;
        }
        if (strncmp(text, "HTTP/1.1 200", 12))
                fail("status");
}

struct h2_answer {
        int status_ok, closed;
        size_t body;
};

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t n_name, const uint8_t *value,
                     size_t n_value, uint8_t flags, void *user)
{
        (void)s, (void)frame, (void)flags;
        struct h2_answer *a = user;
        if (n_name == 7 && !memcmp(name, ":status", 7))
                a->status_ok = n_value == 3 && !memcmp(value, "200", 3);
        return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n, void *user)
{
        (void)s, (void)flags, (void)stream, (void)p;
        ((struct h2_answer *)user)->body += n;
        return 0;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t code, void *user)
{
        (void)s, (void)stream;
        ((struct h2_answer *)user)->closed = 1 + (code != 0);
        return 0;
}

static void ask_h2(int fd, SSL *ssl)
{
        struct h2_answer a = { 0 };
        nghttp2_session_callbacks *cb;
        nghttp2_session *s;
        if (nghttp2_session_callbacks_new(&cb))
                fail("nghttp2");
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
        if (nghttp2_session_client_new(&s, cb, &a) || nghttp2_submit_settings(s, 0, NULL, 0))
                fail("nghttp2");
#define NV(n, v) { (uint8_t *)(uintptr_t)n, (uint8_t *)(uintptr_t)v, sizeof(n) - 1, sizeof(v) - 1, NGHTTP2_NV_FLAG_NONE }
        const nghttp2_nv nv[] = { NV(":method", "GET"), NV(":scheme", "https"), NV(":authority", "bench.example"), NV(":path", "/1024") };
        if (nghttp2_submit_request(s, NULL, nv, 4, NULL, NULL) < 0)
                fail("nghttp2");
        while (!a.closed) {
                const uint8_t *out;
                uint8_t in[4096];
                ssize_t n;
                while ((n = nghttp2_session_mem_send(s, &out)) > 0)
                        put(fd, ssl, out, (size_t)n);
                n = get(fd, ssl, in, sizeof(in));
                if (n <= 0 || nghttp2_session_mem_recv(s, in, (size_t)n) != n)
                        fail("h2");
        }
        if (a.closed != 1 || !a.status_ok || a.body != BODY)
                fail("h2 answer");
        nghttp2_session_del(s); /* the connection itself stays open */
        nghttp2_session_callbacks_del(cb);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
        (void)ssl;
        SSL_SESSION_free(last);
        last = session;
        return 1; /* ours now */
}

static SSL *handshake(int fd, bool resume, bool h2)
{
        SSL *ssl = SSL_new(tls);
        if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, "bench.example"))
                fail("tls");
        if (h2 ? SSL_set_alpn_protos(ssl, (const uint8_t *)"\2h2", 3) : SSL_set_alpn_protos(ssl, (const uint8_t *)"\10http/1.1", 9))
                fail("alpn");
        if (resume && last && !SSL_set_session(ssl, last))
                fail("session");
        if (SSL_connect(ssl) != 1)
                fail("handshake");
        return ssl;
}

static int run_new(const char *addr, const char *port, const char *kind, double seconds)
{
        bool resume = !strcmp(kind, "resume");
        unsigned long n = 0, resumed = 0;
        struct timespec t0, t;
        clock_gettime(CLOCK_MONOTONIC, &t0);
        do {
                int fd = dial(addr, port);
                SSL *ssl = strcmp(kind, "plain") ? handshake(fd, resume, false) : NULL;
                ask_h1(fd, ssl);
                n++;
                if (ssl) {
                        resumed += (unsigned long)SSL_session_reused(ssl);
                        SSL_shutdown(ssl);
                        SSL_free(ssl);
                }
                close(fd);
                clock_gettime(CLOCK_MONOTONIC, &t);
        } while ((double)(t.tv_sec - t0.tv_sec) + (double)(t.tv_nsec - t0.tv_nsec) / 1e9 < seconds);
        printf("{\"connections\": %lu, \"resumed\": %lu}\n", n, resumed);
        return 0;
}

static int run_idle(const char *addr, const char *port, const char *kind, unsigned long n)
{
        bool h2 = !strcmp(kind, "h2");
        for (unsigned long i = 0; i < n; i++) { /* they live until this process ends */
                int fd = dial(addr, port);
                SSL *ssl = strcmp(kind, "plain") ? handshake(fd, false, h2) : NULL;
                if (h2)
                        ask_h2(fd, ssl);
                else
                        ask_h1(fd, ssl);
        }
        printf("ready\n");
        fflush(stdout);
        while (getchar() != EOF)
                ;
        _exit(0);
}

int main(int argc, char **argv)
{
        struct rlimit files;
        if (argc != 6 || (strcmp(argv[1], "new") && strcmp(argv[1], "idle"))) {
                fprintf(stderr, "usage: conns new ADDR PORT plain|tls|resume SECONDS\n       conns idle ADDR PORT plain|tls|h2 N\n");
                return 2;
        }
        signal(SIGPIPE, SIG_IGN);
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files))
                fail("rlimit");
        tls = SSL_CTX_new(TLS_client_method());
        if (!tls)
                fail("tls");
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls, keep_session);
        if (!strcmp(argv[1], "new"))
                return run_new(argv[2], argv[3], argv[4], strtod(argv[5], NULL));
        return run_idle(argv[2], argv[3], argv[4], strtoul(argv[5], NULL, 10));
}
