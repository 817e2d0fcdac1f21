/* tests/lab/echo_origin.c - an HTTP/1.1 origin that says what reached it.  A test tool: no part of the appliance.
 *
 *   echo_origin POD@ADDR:PORT ...     one listener per "pod"; IPv6 as POD@[ADDR]:PORT
 *
 * Every request is answered with JSON: pod, method, path, proto, peer, headers (in order), body_bytes, body_crc32.  Query
 * parameters change the answer:  delay=MS  status=NNN  size=BYTES (a generated body instead of JSON)  chunked=1  close=1.
 * Response headers X-Echo-Pod and X-Echo-Peer name the pod and the address of whoever connected (the shard); a request
 * header "X-Echo-Set-Header: a:1, b:2" adds response headers.  Bodies are taken with Content-Length or chunked, of any
 * size, with constant memory.  The generated body repeats gen_block (65521 bytes, prime, so that a block lost or swapped
 * changes the CRC); GET /crc32?size=N tells the CRC it must have.
 *
 * One thread, epoll, level-triggered; enough for tens of thousands of requests per second. */
#include "lib/base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 65536
#define OUT_MAX (HEAD_MAX * 2 + 4096)
#define GEN_BLOCK 65521

enum state { ST_HEAD, ST_BODY, ST_CHUNK_SIZE, ST_CHUNK_DATA, ST_CHUNK_END, ST_TRAILER, ST_DELAY, ST_SEND, ST_CLOSED };

struct listener {
        int fd;
        char pod[128];
};
struct conn {
        int fd;
        enum state state;
        const struct listener *l;
        char peer[64];
        char in[HEAD_MAX];
        size_t in_n;
        /* the request */
        char method[32], path[8192], proto[16], set_header[2048];
        char *headers_json;
        size_t headers_n;
        uint64_t body_left, body_bytes;
        uint32_t body_crc;
        bool keep, head_only, chunked_in;
        /* the answer */
        char *out;
        size_t out_n, out_off;
        uint64_t gen_left, gen_pos;
        bool gen_chunked;
        int64_t due_ms;
        struct conn *next_delayed;
};

static uint32_t crc_table[256];
static uint8_t gen_block[GEN_BLOCK];
static struct listener listeners[64];
static size_t n_listeners;
static int ep;
static struct conn *delayed;

static uint32_t crc32_add(uint32_t crc, const void *p, size_t n)
{
        const uint8_t *b = p;
        crc = ~crc;
        for (size_t i = 0; i < n; i++)
                crc = crc_table[(crc ^ b[i]) & 0xff] ^ crc >> 8;
        return ~crc;
}

static void tables_init(void)
{
        for (uint32_t i = 0; i < 256; i++) {
                uint32_t c = i;
                for (int k = 0; k < 8; k++)
                        c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
                crc_table[i] = c;
        }
        uint32_t x = 2463534242u;
        for (size_t i = 0; i < GEN_BLOCK; i++) {
                x ^= x << 13;
                x ^= x >> 17;
                x ^= x << 5;
                gen_block[i] = (uint8_t)x;
        }
}

static int64_t now_ms(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void conn_watch(struct conn *c, uint32_t events)
{
        struct epoll_event ev = { .events = events, .data.ptr = c };
        epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static void conn_close(struct conn *c)
{
        for (struct conn **p = &delayed; *p; p = &(*p)->next_delayed) {
                if (*p == c) {
                        *p = c->next_delayed;
                        break;
                }
        }
        close(c->fd);
        free(c->out);
        free(c->headers_json);
        free(c);
}

/* Appends to c->out; silently full is impossible: OUT_MAX covers twice the largest head. */
static void out_add(struct conn *c, const char *p, size_t n)
{
        BUG_ON(c->out_n + n > OUT_MAX);
        memcpy(c->out + c->out_n, p, n);
        c->out_n += n;
}
static void out_str(struct conn *c, const char *s) { out_add(c, s, strlen(s)); }

static void json_add(char *dst, size_t cap, size_t *n, const char *p, size_t len)
{
        for (size_t i = 0; i < len && *n + 8 < cap; i++) {
                unsigned char ch = (unsigned char)p[i];
                if (ch == '"' || ch == '\\') {
                        dst[(*n)++] = '\\';
                        dst[(*n)++] = (char)ch;
                } else if (ch < 0x20 || ch >= 0x7f) {
                        *n += (size_t)snprintf(dst + *n, cap - *n, "\\u%04x", ch);
                } else {
                        dst[(*n)++] = (char)ch;
                }
        }
}

static bool query_u64(const char *path, const char *key, uint64_t *ret)
{
        const char *q = strchr(path, '?');
        size_t n = strlen(key);
        while (q) {
                q++;
                if (!strncmp(q, key, n) && q[n] == '=') {
                        *ret = strtoull(q + n + 1, NULL, 10);
                        return true;
                }
                q = strchr(q, '&');
        }
        return false;
}

static void add_set_headers(struct conn *c)
{
        char *save = c->set_header;
        for (char *item = save; item && *item;) {
                char *comma = strchr(item, ',');
                if (comma)
                        *comma = 0;
                while (*item == ' ')
                        item++;
                char *colon = strchr(item, ':');
                if (colon) {
                        *colon = 0;
                        char line[2200];
                        snprintf(line, sizeof line, "%s: %s\r\n", item, colon + 1 + strspn(colon + 1, " "));
                        out_str(c, line);
                }
                item = comma ? comma + 1 : NULL;
        }
}

static void answer_head(struct conn *c, unsigned status, const char *type, bool chunked, uint64_t length)
{
        char line[512];
        snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nX-Echo-Pod: %s\r\nX-Echo-Peer: %s\r\n", status,
                 status < 400 ? "OK" : "Error", type, c->l->pod, c->peer);
        out_str(c, line);
        add_set_headers(c);
        if (status == 204 || status == 304)
                out_str(c, "");
        else if (chunked)
                out_str(c, "Transfer-Encoding: chunked\r\n");
        else {
                snprintf(line, sizeof line, "Content-Length: %llu\r\n", (unsigned long long)length);
                out_str(c, line);
        }
        out_str(c, c->keep ? "\r\n" : "Connection: close\r\n\r\n");
}

static void answer_json(struct conn *c, unsigned status, bool chunked)
{
        static char body[OUT_MAX - 4096];
        size_t n = 0, cap = sizeof body;
        uint64_t crc_size;
        if (!strncmp(c->path, "/crc32?", 7) && query_u64(c->path, "size", &crc_size)) {
                uint32_t crc = 0;
                for (uint64_t left = crc_size; left;) {
                        size_t k = left < GEN_BLOCK ? (size_t)left : GEN_BLOCK;
                        crc = crc32_add(crc, gen_block, k);
                        left -= k;
                }
                n = (size_t)snprintf(body, cap, "{\"crc32\": %u}\n", crc);
        } else {
                n = (size_t)snprintf(body, cap, "{\"pod\": \"%s\", \"method\": \"%s\", \"proto\": \"%s\", \"path\": \"", c->l->pod,
                                     c->method, c->proto);
                json_add(body, cap, &n, c->path, strlen(c->path));
                n += (size_t)snprintf(body + n, cap - n, "\", \"peer\": \"%s\", \"headers\": [", c->peer);
                size_t h = MIN(c->headers_n, cap - n - 256);
                memcpy(body + n, c->headers_json, h);
                n += h;
                n += (size_t)snprintf(body + n, cap - n, "], \"body_bytes\": %llu, \"body_crc32\": %u}\n",
                                      (unsigned long long)c->body_bytes, c->body_crc);
        }
        bool no_body = status == 204 || status == 304;
        answer_head(c, status, "application/json", chunked, n);
        if (c->head_only || no_body)
                return;
        if (!chunked) {
                out_add(c, body, n);
                return;
        }
        char size[32];
        snprintf(size, sizeof size, "%zx\r\n", n);
        out_str(c, size);
        out_add(c, body, n);
        out_str(c, "\r\n0\r\n\r\n");
}

static void answer(struct conn *c)
{
        uint64_t status = 200, size = 0, flag = 0;
        (void)query_u64(c->path, "status", &status); /* absent keeps the default */
        if (query_u64(c->path, "close", &flag) && flag)
                c->keep = false;
        bool chunked = query_u64(c->path, "chunked", &flag) && flag;
        if (status < 200 || status > 599)
                status = 200;
        bool generated = query_u64(c->path, "size", &size) && strncmp(c->path, "/crc32?", 7) != 0;
        if (generated) {
                answer_head(c, (unsigned)status, "application/octet-stream", chunked, size);
                c->gen_left = c->head_only ? 0 : size;
                c->gen_pos = 0;
                c->gen_chunked = chunked && !c->head_only;
        } else {
                answer_json(c, (unsigned)status, chunked);
        }
        c->state = ST_SEND;
        conn_watch(c, EPOLLOUT);
}

static void request_done(struct conn *c)
{
        uint64_t delay = 0;
        if (query_u64(c->path, "delay", &delay) && delay) {
                c->state = ST_DELAY;
                c->due_ms = now_ms() + (int64_t)delay;
                c->next_delayed = delayed;
                delayed = c;
                conn_watch(c, EPOLLRDHUP);
                return;
        }
        answer(c);
}

static void header_line(struct conn *c, const char *line, size_t n)
{
        const char *colon = memchr(line, ':', n);
        if (!colon)
                return;
        size_t name_n = (size_t)(colon - line);
        const char *v = colon + 1;
        while (v < line + n && (*v == ' ' || *v == '\t'))
                v++;
        size_t v_n = (size_t)(line + n - v);
        size_t cap = HEAD_MAX + HEAD_MAX / 2;
        if (c->headers_n + 2 * (name_n + v_n) + 64 < cap) {
                if (c->headers_n)
                        c->headers_n += (size_t)snprintf(c->headers_json + c->headers_n, cap - c->headers_n, ", ");
                c->headers_n += (size_t)snprintf(c->headers_json + c->headers_n, cap - c->headers_n, "[\"");
                json_add(c->headers_json, cap, &c->headers_n, line, name_n);
                c->headers_n += (size_t)snprintf(c->headers_json + c->headers_n, cap - c->headers_n, "\", \"");
                json_add(c->headers_json, cap, &c->headers_n, v, v_n);
                c->headers_n += (size_t)snprintf(c->headers_json + c->headers_n, cap - c->headers_n, "\"]");
        }
        char val[2048];
        snprintf(val, sizeof val, "%.*s", (int)v_n, v);
        if (name_n == 14 && !strncasecmp(line, "content-length", 14))
                c->body_left = strtoull(val, NULL, 10);
        else if (name_n == 17 && !strncasecmp(line, "transfer-encoding", 17) && strcasestr(val, "chunked"))
                c->chunked_in = true;
        else if (name_n == 10 && !strncasecmp(line, "connection", 10) && strcasestr(val, "close"))
                c->keep = false;
        else if (name_n == 17 && !strncasecmp(line, "x-echo-set-header", 17))
                memcpy(c->set_header, val, sizeof val);
        else if (name_n == 6 && !strncasecmp(line, "expect", 6) && strcasestr(val, "100-continue"))
                (void)!write(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25); /* a full socket here only costs the client its wait */
}

/* Takes a whole head from c->in; false = not there yet or refused (then the state is ST_CLOSED). */
static bool take_head(struct conn *c)
{
        char *end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
        if (!end) {
                if (c->in_n == HEAD_MAX)
                        c->state = ST_CLOSED;
                return false;
        }
        if (!c->headers_json)
                c->headers_json = malloc(HEAD_MAX * 2);
        if (!c->out)
                c->out = malloc(OUT_MAX);
        BUG_ON(!c->headers_json || !c->out);
        c->headers_n = c->out_n = c->out_off = 0;
        c->body_left = c->body_bytes = c->gen_left = 0;
        c->body_crc = 0;
        c->chunked_in = c->gen_chunked = false;
        c->set_header[0] = 0;
        c->keep = true;
        char *eol = memmem(c->in, c->in_n, "\r\n", 2);
        *eol = 0;
        if (sscanf(c->in, "%31s %8191s %15s", c->method, c->path, c->proto) != 3) {
                c->state = ST_CLOSED;
                return false;
        }
        c->head_only = !strcmp(c->method, "HEAD");
        if (!strcmp(c->proto, "HTTP/1.0"))
                c->keep = false;
        for (char *line = eol + 2; line < end + 2;) {
                char *next = memmem(line, (size_t)(end + 4 - line), "\r\n", 2);
                header_line(c, line, (size_t)(next - line));
                line = next + 2;
        }
        size_t used = (size_t)(end + 4 - c->in);
        memmove(c->in, c->in + used, c->in_n - used);
        c->in_n -= used;
        c->state = c->chunked_in ? ST_CHUNK_SIZE : c->body_left ? ST_BODY : ST_HEAD;
        if (c->state == ST_HEAD)
                request_done(c);
        return true;
}

static bool take_line(struct conn *c, char *ret, size_t cap)
{
        char *eol = memmem(c->in, c->in_n, "\r\n", 2);
        if (!eol)
                return false;
        size_t n = (size_t)(eol - c->in);
        snprintf(ret, cap, "%.*s", (int)n, c->in);
        memmove(c->in, eol + 2, c->in_n - n - 2);
        c->in_n -= n + 2;
        return true;
}

static bool take_data(struct conn *c)
{
        size_t n = c->in_n < c->body_left ? c->in_n : (size_t)c->body_left;
        if (!n)
                return false;
        c->body_crc = crc32_add(c->body_crc, c->in, n);
        c->body_bytes += n;
        c->body_left -= n;
        memmove(c->in, c->in + n, c->in_n - n);
        c->in_n -= n;
        return true;
}

/* Runs the request machine over what is buffered. */
static void conn_advance(struct conn *c)
{
        char line[256];
        for (;;) {
                switch (c->state) {
                case ST_HEAD:
                        if (!take_head(c))
                                return;
                        break;
                case ST_BODY:
                        if (!take_data(c))
                                return;
                        if (!c->body_left)
                                request_done(c);
                        break;
                case ST_CHUNK_SIZE:
                        if (!take_line(c, line, sizeof line))
                                return;
                        c->body_left = strtoull(line, NULL, 16);
                        c->state = c->body_left ? ST_CHUNK_DATA : ST_TRAILER;
                        break;
                case ST_CHUNK_DATA:
                        if (!take_data(c))
                                return;
                        if (!c->body_left)
                                c->state = ST_CHUNK_END;
                        break;
                case ST_CHUNK_END:
                        if (!take_line(c, line, sizeof line))
                                return;
                        c->state = ST_CHUNK_SIZE;
                        break;
                case ST_TRAILER:
                        if (!take_line(c, line, sizeof line))
                                return;
                        if (!line[0])
                                request_done(c);
                        break;
                case ST_DELAY:
                case ST_SEND:
                case ST_CLOSED:
                        return;
                }
        }
}

static void conn_read(struct conn *c)
{
        while (c->state != ST_SEND && c->state != ST_DELAY && c->state != ST_CLOSED) {
                ssize_t n = read(c->fd, c->in + c->in_n, HEAD_MAX - c->in_n);
                if (n == 0 || (n < 0 && errno != EAGAIN))
                        c->state = ST_CLOSED;
                if (n <= 0)
                        return;
                c->in_n += (size_t)n;
                conn_advance(c);
        }
}

static void gen_fill(struct conn *c)
{
        size_t off = (size_t)(c->gen_pos % GEN_BLOCK);
        size_t n = MIN((size_t)GEN_BLOCK - off, (size_t)OUT_MAX - 64);
        if (n > c->gen_left)
                n = (size_t)c->gen_left;
        c->out_n = c->out_off = 0;
        char size[32];
        if (c->gen_chunked) {
                snprintf(size, sizeof size, "%zx\r\n", n);
                out_str(c, size);
        }
        out_add(c, (const char *)gen_block + off, n);
        c->gen_left -= n;
        c->gen_pos += n;
        if (c->gen_chunked)
                out_str(c, c->gen_left ? "\r\n" : "\r\n0\r\n\r\n");
}

static void conn_write(struct conn *c)
{
        while (c->state == ST_SEND) {
                if (c->out_off == c->out_n) {
                        if (!c->gen_left) {
                                c->state = c->keep ? ST_HEAD : ST_CLOSED;
                                if (!c->keep)
                                        return;
                                conn_watch(c, EPOLLIN);
                                conn_advance(c); /* pipelined */
                                continue;
                        }
                        gen_fill(c);
                }
                ssize_t n = write(c->fd, c->out + c->out_off, c->out_n - c->out_off);
                if (n < 0) {
                        if (errno != EAGAIN)
                                c->state = ST_CLOSED;
                        return;
                }
                c->out_off += (size_t)n;
        }
}

static void accept_all(const struct listener *l)
{
        for (;;) {
                struct sockaddr_storage ss;
                socklen_t len = sizeof ss;
                int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0)
                        return;
                struct conn *c = calloc(1, sizeof *c);
                BUG_ON(!c);
                c->fd = fd;
                c->l = l;
                int one = 1;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                if (ss.ss_family == AF_INET)
                        inet_ntop(AF_INET, &((struct sockaddr_in *)&ss)->sin_addr, c->peer, sizeof c->peer);
                else
                        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&ss)->sin6_addr, c->peer, sizeof c->peer);
                struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
        }
}

static int listen_at(const char *arg)
{
        struct listener *l = &listeners[n_listeners];
        char addr[64];
        unsigned port;
        bool v6 = strchr(arg, '[') != NULL;
        if (n_listeners == ARRAY_SIZE(listeners) ||
            sscanf(arg, v6 ? "%127[^@]@[%63[^]]]:%u" : "%127[^@]@%63[^:]:%u", l->pod, addr, &port) != 3)
                return -EINVAL;
        struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        if (inet_pton(v6 ? AF_INET6 : AF_INET, addr, v6 ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr) != 1)
                return -EINVAL;
        l->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int one = 1;
        setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (v6)
                setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        if (bind(l->fd, v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4, v6 ? sizeof a6 : sizeof a4) || listen(l->fd, 4096))
                return -errno;
        struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };
        epoll_ctl(ep, EPOLL_CTL_ADD, l->fd, &ev);
        n_listeners++;
        return 0;
}

static int delays_run(void)
{
        int64_t now = now_ms(), nearest = -1;
        for (struct conn **p = &delayed; *p;) {
                struct conn *c = *p;
                if (c->due_ms <= now) {
                        *p = c->next_delayed;
                        answer(c);
                        continue;
                }
                if (nearest < 0 || c->due_ms - now < nearest)
                        nearest = c->due_ms - now;
                p = &c->next_delayed;
        }
        return (int)nearest;
}

static void handle(void *ptr, uint32_t events)
{
        if ((char *)ptr >= (char *)listeners && (char *)ptr < (char *)(listeners + ARRAY_SIZE(listeners))) {
                accept_all(ptr);
                return;
        }
        struct conn *c = ptr;
        if (events & (EPOLLERR | EPOLLHUP))
                c->state = ST_CLOSED;
        else if (c->state == ST_DELAY && events & EPOLLRDHUP)
                c->state = ST_CLOSED;
        else if (events & EPOLLIN)
                conn_read(c);
        if (c->state == ST_SEND)
                conn_write(c);
        if (c->state == ST_CLOSED)
                conn_close(c);
}

int main(int argc, char **argv)
{
        signal(SIGPIPE, SIG_IGN);
        struct rlimit rl = { 65536, 65536 };
        (void)setrlimit(RLIMIT_NOFILE, &rl); /* fewer connections when refused */
        tables_init();
        ep = epoll_create1(EPOLL_CLOEXEC);
        for (int i = 1; i < argc; i++) {
                int r = listen_at(argv[i]);
                if (r < 0) {
                        fprintf(stderr, "echo_origin: cannot listen at %s: %s\n", argv[i], strerror(-r));
                        return 1;
                }
        }
        if (!n_listeners) {
                fprintf(stderr, "usage: echo_origin POD@ADDR:PORT ...\n");
                return 2;
        }
        printf("ready\n");
        fflush(stdout);
        for (;;) {
                struct epoll_event ev[256];
                int n = epoll_wait(ep, ev, ARRAY_SIZE(ev), delays_run());
                for (int i = 0; i < n; i++)
                        handle(ev[i].data.ptr, ev[i].events);
        }
}
