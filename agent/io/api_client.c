/* agent/io/api_client.c - see api_client.h.
 *
 * libcurl watches its sockets level-triggered; our loop is edge-triggered.  So its sockets live in an epoll of their own,
 * which is one descriptor of the loop: when it becomes readable, it is drained until nothing is ready.
 *
 *   loop -> on_ready -> epoll_wait -> curl_multi_socket_action -> write_cb: appends to request.in, marks it fresh
 *                                 \-> dispatch: data() of the fresh ones, done() of the finished ones */
#include "lib/base.h"
#include "agent/io/api_client.h"
#include "agent/core/json_node.h"
#include "agent/core/watch_event.h"
#include "agent/io/kube_limits.tbl.h"
#include "lib/io/log.h"
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CLIENT_MAGIC 0x61706963u
#define REQUEST_MAGIC 0x61706972u
#define EVENTS_PER_WAIT 32
#define ROUNDS_PER_TURN 16 /* then the rest of the loop has its turn */

struct api_client {
        uint32_t magic;
        struct loop *loop;
        const struct kubeconfig *k;
        const char *name;
        CURLM *multi;
        struct loop_fd ep;
        struct timer timer;           /* libcurl's */
        struct api_request *requests; /* all */
        struct api_request *running;  /* its callback is on the stack; NULL after it was cancelled there */
        struct arena token_arena;
        const char *token;            /* the file's */
        uint64_t token_read_ms;       /* 0 = read it before the next request */
};
struct api_request {
        uint32_t magic;
        struct api_client *c;
        struct api_request *next, **pprev;
        CURL *easy;
        struct curl_slist *headers, *connect_to;
        struct buf in;
        size_t max_body;
        bool secret, fresh, paused, too_big;
        uint32_t retry_after_ms;
        char error[CURL_ERROR_SIZE];
        ptrdiff_t (*data)(void *arg, struct span in);
        void (*done)(void *arg, const struct api_reply *r);
        void *arg;
};

static struct api_client *client_of(void *p)
{
        struct api_client *c = p;
        BUG_ON(c->magic != CLIENT_MAGIC);
        return c;
}
static struct api_request *request_of(void *p)
{
        struct api_request *r = p;
        BUG_ON(r->magic != REQUEST_MAGIC);
        return r;
}

/* ---- called by libcurl: remember, never act */

static size_t write_cb(char *p, size_t size, size_t n, void *arg)
{
        struct api_request *r = request_of(arg);
        n *= size;
        if (r->in.n + n > r->max_body && r->data && r->in.n) {
                r->paused = true; /* shown to data() first */
                return CURL_WRITEFUNC_PAUSE;
        }
        buf_add(&r->in, p, n);
        r->fresh = true;
        r->too_big = r->in.failed;
        return r->in.failed ? 0 : n;
}

static size_t header_cb(char *p, size_t size, size_t n, void *arg)
{
        static const char name[] = "retry-after:";
        struct api_request *r = request_of(arg);
        struct span line = SPAN(p, n * size);
        if (line.n > sizeof name && span_ieq(SPAN(line.p, sizeof name - 1), SPAN_LIT("retry-after:"))) {
                uint64_t s = 0;
                for (size_t i = sizeof name - 1; i < line.n && s < 100000; i++)
                        if (line.p[i] >= '0' && line.p[i] <= '9')
                                s = s * 10 + (uint64_t)(line.p[i] - '0');
                        else if (line.p[i] != ' ' || s)
                                break;
                r->retry_after_ms = (uint32_t)MIN(s * 1000, (uint64_t)KUBE_RETRY_MAX_MS);
        }
        return n * size;
}

static int sockopt_cb(void *arg, curl_socket_t fd, curlsocktype purpose)
{
        unsigned ms = KUBE_USER_TIMEOUT_MS;
        if (purpose == CURLSOCKTYPE_IPCXN)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms); /* a Unix socket has none */
        return CURL_SOCKOPT_OK;
}

static int socket_cb(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
        struct api_client *c = client_of(arg);
        struct epoll_event ev = { .data.fd = fd };
        if (what == CURL_POLL_REMOVE) {
                (void)epoll_ctl(c->ep.fd, EPOLL_CTL_DEL, fd, NULL); /* closed already: gone with it */
                return 0;
        }
        ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
        int r = epoll_ctl(c->ep.fd, EPOLL_CTL_ADD, fd, &ev);
        if (r < 0 && errno == EEXIST)
                r = epoll_ctl(c->ep.fd, EPOLL_CTL_MOD, fd, &ev);
        return r < 0 ? -1 : 0;
}

static int timer_cb(CURLM *multi, long ms, void *arg)
{
        struct api_client *c = client_of(arg);
        if (ms < 0)
                timer_stop(&c->timer);
        else
                timer_set(loop_timers(c->loop), &c->timer, loop_now_ms(c->loop) + (uint64_t)ms);
        return 0;
}

/* ---- requests */

static void request_free(struct api_request *r)
{
        if (r->next)
                r->next->pprev = r->pprev;
        *r->pprev = r->next;
        (void)curl_multi_remove_handle(r->c->multi, r->easy); /* not added: harmless */
        curl_easy_cleanup(r->easy);
        curl_slist_free_all(r->headers);
        curl_slist_free_all(r->connect_to);
        if (r->secret && r->in.p)
                explicit_bzero(r->in.p - r->in.hole, r->in.hole + r->in.n);
        buf_fini(&r->in);
        r->magic = 0;
        free(r);
}

void api_request_cancel(struct api_request *r)
{
        if (!r)
                return;
        struct api_client *c = request_of(r)->c;
        if (c->running == r)
                c->running = NULL;
        request_free(r);
}

/* Server's own words: the message of its Status object. */
static const char *server_message(struct span body, struct arena *a)
{
        struct node *n;
        if (json_node_read(body, "status", a, &n, NULL) < 0)
                return "";
        const char *s = arena_printf(a, "%.*s", SPAN_FMT(node_text(n, "message")));
        return s ? s : "";
}

static void finish(struct api_request *r, int error, const char *why)
{
        struct api_client *c = r->c;
        CLEANUP(arena_fini) struct arena a;
        long status = 0;
        arena_init(&a, 4096, 1u << 20);
        (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 = none */
        struct api_reply reply = { .status = (int)status, .error = error, .why = why, .body = buf_span(&r->in), .retry_after_ms = r->retry_after_ms };
        if (error == 0 && status >= 400) {
                reply.why = server_message(reply.body, &a);
                if (!*reply.why)
                        reply.why = "no reason given";
        }
        if (status == 401)
                c->token_read_ms = 0;
        c->running = r;
        r->done(r->arg, &reply);
        if (c->running == r) {
                c->running = NULL;
                request_free(r);
        }
}

static bool ok_so_far(const struct api_request *r)
{
        long status = 0;
        (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 = none */
        return status >= 200 && status < 300;
}

/* Shows what came to data().  False: the request is gone. */
static bool request_data(struct api_request *r)
{
        struct api_client *c = r->c;
        r->fresh = false;
        if (!r->data || !r->in.n || !ok_so_far(r))
                return true;
        c->running = r;
        ptrdiff_t n = r->data(r->arg, buf_span(&r->in));
        if (c->running != r)
                return false;
        c->running = NULL;
        if (n < 0) {
                finish(r, (int)n, "ended by the reader");
                return false;
        }
        if (r->secret && n)
                explicit_bzero(r->in.p, (size_t)n);
        buf_consume(&r->in, (size_t)n);
        return true;
}

static void dispatch_fresh(struct api_client *c)
{
        for (bool again = true; again;) { /* a callback may cancel any request: begin again after each */
                again = false;
                for (struct api_request *r = c->requests; r && !again; r = r->next) {
                        if (!r->fresh)
                                continue;
                        again = true;
                        if (request_data(r) && r->paused) {
                                r->paused = false;
                                (void)curl_easy_pause(r->easy, CURLPAUSE_CONT); /* its failure ends the transfer */
                        }
                }
        }
}

static int errno_of(CURLcode rc, const struct api_request *r)
{
        if (r->too_big)
                return -E2BIG;
        return rc == CURLE_OK ? 0 : rc == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : rc == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

static void dispatch(struct api_client *c)
{
        int left;
        dispatch_fresh(c);
        for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
                char *private = NULL, why[CURL_ERROR_SIZE + 32];
                CURLcode rc = m->data.result;
                if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private) != CURLE_OK)
                        continue;
                struct api_request *r = request_of(private);
                (void)snprintf(why, sizeof why, "%s", rc == CURLE_OK ? "" : r->too_big ? "answer beyond its limit" : *r->error ? r->error : curl_easy_strerror(rc));
                if (request_data(r)) /* last bytes first */
                        finish(r, errno_of(rc, r), why);
        }
}

static void on_ready(struct loop_fd *f, unsigned events)
{
        struct api_client *c = CONTAINER_OF(f, struct api_client, ep);
        int n_running, rounds = 0;
        for (; rounds < ROUNDS_PER_TURN; rounds++) {
                struct epoll_event ev[EVENTS_PER_WAIT];
                int n = epoll_wait(c->ep.fd, ev, EVENTS_PER_WAIT, 0);
                if (n <= 0)
                        break;
                for (int i = 0; i < n; i++) {
                        int mask = (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                                   (ev[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
                        (void)curl_multi_socket_action(c->multi, ev[i].data.fd, mask, &n_running); /* errors end requests */
                }
                dispatch(c);
        }
        if (rounds == ROUNDS_PER_TURN) /* no edge will tell of what is still ready */
                timer_set(loop_timers(c->loop), &c->timer, loop_now_ms(c->loop));
}

static void on_timer(struct timer *t, uint64_t now_ms)
{
        struct api_client *c = CONTAINER_OF(t, struct api_client, timer);
        int n_running;
        (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &n_running); /* errors end requests */
        dispatch(c);
        on_ready(&c->ep, LOOP_READ);
}

/* ---- starting */

static void token_refresh(struct api_client *c)
{
        uint64_t now = loop_now_ms(c->loop);
        struct span s;
        struct err e = { 0 };
        if (!*c->k->token_file || (c->token_read_ms && now - c->token_read_ms < KUBE_TOKEN_REREAD_MS))
                return;
        struct arena a;
        arena_init(&a, 4096, 4 * (size_t)KUBE_TOKEN_BYTES);
        const char *token = NULL;
        if (small_file_read(c->k->token_file, KUBE_TOKEN_BYTES, &a, &s, &e) == 0) {
                size_t n = 0;
                while (n < s.n && s.p[n] > ' ' && s.p[n] <= '~')
                        n++;
                token = n ? arena_printf(&a, "%.*s", (int)n, (const char *)s.p) : NULL;
        }
        if (!token) {
                log_warn("token_unreadable", "file=%s why=%s will=\"use the last one\"", LOG_ESC(c->k->token_file), LOG_ESC(*e.msg ? e.msg : "empty"));
                arena_fini(&a);
                return;
        }
        arena_wipe(&c->token_arena);
        arena_fini(&c->token_arena);
        c->token_arena = a;
        c->token = token;
        c->token_read_ms = now ? now : 1;
}

static bool header(struct api_request *r, const char *fmt, ...) PRINTF(2, 3);
static bool header(struct api_request *r, const char *fmt, ...)
{
        char *line = NULL;
        va_list ap;
        va_start(ap, fmt);
        int n = vasprintf(&line, fmt, ap);
        va_end(ap);
        struct curl_slist *l = n < 0 ? NULL : curl_slist_append(r->headers, line);
        if (n >= 0) {
                explicit_bzero(line, (size_t)n);
                free(line);
        }
        if (l)
                r->headers = l;
        return l != NULL;
}

#define SET(option, value) (ok &= curl_easy_setopt(r->easy, option, value) == CURLE_OK)
#define SET_BLOB(option, span) \
        SET(option, (&(struct curl_blob){ .data = (void *)(uintptr_t)(span).p, .len = (span).n, .flags = CURL_BLOB_COPY }))

static bool set_tls(struct api_request *r, const struct kubeconfig *k)
{
        bool ok = true;
        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_SSL_VERIFYPEER, k->insecure ? 0L : 1L);
        SET(CURLOPT_SSL_VERIFYHOST, k->insecure ? 0L : 2L);
        if (k->ca.n)
                SET_BLOB(CURLOPT_CAINFO_BLOB, k->ca);
        else if (*k->ca_file)
                SET(CURLOPT_CAINFO, k->ca_file);
        if (k->cert.n)
                SET_BLOB(CURLOPT_SSLCERT_BLOB, k->cert);
        else if (*k->cert_file)
                SET(CURLOPT_SSLCERT, k->cert_file);
        if (k->key.n)
                SET_BLOB(CURLOPT_SSLKEY_BLOB, k->key);
        else if (*k->key_file)
                SET(CURLOPT_SSLKEY, k->key_file);
        return ok;
}

/* tls-server-name: the URL carries that name, the connection goes where the server is, and Host is the server's. */
static bool set_url(struct api_request *r, const struct kubeconfig *k, const char *path)
{
        CLEANUP(buf_fini) struct buf b;
        bool ok = true;
        const char *scheme_end = strstr(k->server, "://") + 3, *slash = strchr(scheme_end, '/');
        int host_n = (int)(slash ? (size_t)(slash - scheme_end) : strlen(scheme_end));
        buf_init(&b, 64 * 1024);
        if (!*k->tls_server_name) {
                buf_printf(&b, "%s%s", k->server, path);
                SET(CURLOPT_URL, buf_cstr(&b));
                return ok && !b.failed;
        }
        const char *colon = memrchr(scheme_end, ':', (size_t)host_n), *bracket = memrchr(scheme_end, ']', (size_t)host_n);
        bool port = colon && (!bracket || colon > bracket);
        buf_printf(&b, "::%.*s%s", host_n, scheme_end, port ? "" : ":443");
        r->connect_to = curl_slist_append(NULL, buf_cstr(&b));
        ok = r->connect_to && header(r, "Host: %.*s", host_n, scheme_end);
        SET(CURLOPT_CONNECT_TO, r->connect_to);
        buf_reset(&b);
        buf_printf(&b, "%.*s%s%.*s%s%s", (int)(scheme_end - k->server), k->server, k->tls_server_name,
                   port ? (int)(scheme_end + host_n - colon) : 0, port ? colon : "", slash ? slash : "", path);
        SET(CURLOPT_URL, buf_cstr(&b));
        return ok && !b.failed;
}

static bool set_call(struct api_request *r, const struct api_call *call)
{
        struct api_client *c = r->c;
        const char *token = *c->k->token_file ? c->token : c->k->token;
        bool ok = header(r, "Accept: %s", call->accept ? call->accept : "application/json") && header(r, "Expect:");
        if (*token)
                ok &= header(r, "Authorization: Bearer %s", token);
        if (call->body.n) {
                ok &= header(r, "Content-Type: %s", call->content_type);
                SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.n);
                SET(CURLOPT_COPYPOSTFIELDS, (const char *)call->body.p);
        }
        SET(CURLOPT_CUSTOMREQUEST, call->method);
        SET(CURLOPT_HTTPHEADER, r->headers);
        SET(CURLOPT_TIMEOUT_MS, (long)call->deadline_ms);
        return ok;
}

static bool set_all(struct api_request *r, const struct api_call *call)
{
        const struct kubeconfig *k = r->c->k;
        bool ok = set_url(r, k, call->path) && set_tls(r, k);
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_PROXY, k->proxy_url);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_CONNECTTIMEOUT_MS, (long)KUBE_CONNECT_MS);
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        SET(CURLOPT_PIPEWAIT, strncmp(k->server, "https:", 6) == 0 ? 1L : 0L); /* ALPN tells at once whether streams can share */
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_TCP_KEEPIDLE, 30L);
        SET(CURLOPT_TCP_KEEPINTVL, 10L);
        SET(CURLOPT_SOCKOPTFUNCTION, sockopt_cb);
        SET(CURLOPT_USERAGENT, "gatehouse-agent/" GH_VERSION);
        SET(CURLOPT_WRITEFUNCTION, write_cb);
        SET(CURLOPT_WRITEDATA, (void *)r);
        SET(CURLOPT_HEADERFUNCTION, header_cb);
        SET(CURLOPT_HEADERDATA, (void *)r);
        SET(CURLOPT_PRIVATE, (void *)r);
        SET(CURLOPT_ERRORBUFFER, r->error);
        return ok && set_call(r, call);
}

int api_call_start(struct api_client *c, const struct api_call *call, struct api_request **ret)
{
        token_refresh(c);
        struct api_request *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        *r = (struct api_request){ .magic = REQUEST_MAGIC, .c = c, .max_body = call->max_body, .secret = call->secret,
                                   .data = call->data, .done = call->done, .arg = call->arg };
        buf_init(&r->in, call->data ? call->max_body + CURL_MAX_WRITE_SIZE : call->max_body);
        r->next = c->requests;
        r->pprev = &c->requests;
        if (r->next)
                r->next->pprev = &r->next;
        c->requests = r;
        r->easy = curl_easy_init();
        if (!r->easy || !set_all(r, call) || curl_multi_add_handle(c->multi, r->easy) != CURLM_OK) {
                request_free(r);
                return -ENOMEM;
        }
        *ret = r;
        return 0;
}

void url_escape(struct buf *b, struct span s)
{
        for (size_t i = 0; i < s.n; i++) {
                uint8_t c = s.p[i];
                bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
                buf_printf(b, plain ? "%c" : "%%%02X", c); /* RFC 3986 2.3 */
        }
}

/* ---- life */

static int set_multi(struct api_client *c)
{
        bool ok = curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, socket_cb) == CURLM_OK;
        ok &= curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK;
        ok &= curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, timer_cb) == CURLM_OK;
        ok &= curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK;
        return ok ? 0 : -ENOTSUP;
}

int api_client_new(struct loop *l, const struct kubeconfig *k, const char *name, struct api_client **ret, struct err *reterr)
{
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return err_set(reterr, EIO, name, "libcurl cannot start");
        struct api_client *c = calloc(1, sizeof *c);
        BUG_ON(!c); /* boot */
        *c = (struct api_client){ .magic = CLIENT_MAGIC, .loop = l, .k = k, .name = name, .token = "", .ep = { .fd = -1 } };
        arena_init(&c->token_arena, 4096, KUBE_TOKEN_BYTES);
        timer_init(&c->timer, on_timer);
        c->multi = curl_multi_init();
        int fd = epoll_create1(EPOLL_CLOEXEC);
        int r = !c->multi || fd < 0 ? -ENOMEM : set_multi(c);
        if (r == 0)
                r = loop_add(l, &c->ep, fd, on_ready);
        if (r < 0) {
                if (fd >= 0)
                        close(fd);
                api_client_free(c);
                return err_set(reterr, -r, name, "no event queue: %s", strerror(-r));
        }
        *ret = c;
        return 0;
}

void api_client_free(struct api_client *c)
{
        if (!c)
                return;
        while (c->requests)
                api_request_cancel(c->requests);
        if (c->multi)
                (void)curl_multi_cleanup(c->multi); /* closes the connections */
        timer_stop(&c->timer);
        if (c->ep.fd >= 0) {
                int fd = c->ep.fd;
                loop_del(&c->ep);
                close(fd);
        }
        arena_wipe(&c->token_arena);
        arena_fini(&c->token_arena);
        free(c);
        curl_global_cleanup();
}
