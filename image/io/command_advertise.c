/* image/io/command_advertise.c - `gatehouse-system advertise`: tells BIRD which VIP prefixes to announce.
 *
 *   l4lb's admin socket ── services, backends, each second ──▶ core/advertise ──▶ enable / disable NAME ──▶ BIRD's control socket
 *
 * It runs beside l4lb and BIRD on any machine; the appliance is one.  Not l4lb's own work: BIRD's control socket can load
 * any configuration, which l4lb with its empty capability set must not, and an l4lb that is dead cannot withdraw itself.
 * What BIRD was told is said again each second, so a BIRD that restarted or read its file anew (its protocols begin disabled)
 * is right again within one.  Silence of l4lb is no reason to withdraw before grace_ms: a restart takes less, and another
 * path costs every connection more.  SIGTERM withdraws everything, waits drain_ms while l4lb still forwards, and exits;
 * ordered after l4lb and BIRD, it is stopped before both. */
#include "lib/base.h"
#include "image/core/advertise.h"
#include "image/io/commands.h"
#include "lib/core/arena.h"
#include "lib/io/admin.h"
#include "lib/io/config.h"
#include "lib/io/log.h"
#include "lib/io/notify.h"

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONFIG "/etc/gatehouse/advertise.cfg"
#define EVERY_MS 1000
#define ASK_MS 900
#define ANSWER_MS 2000

struct advertise {
        struct loop *loop;
        struct notify notify;
        struct timer tick;
        const char *l4lb, *bird; /* sockets */
        unsigned grace_ms, drain_ms;
        struct advertise_pool pools[IMAGE_MAX_VIP_POOLS];
        bool told[IMAGE_MAX_VIP_POOLS]; /* what the log said last */
        size_t n;
        struct arena texts; /* of the answers being judged */
        int fd;             /* to BIRD; -1 = none */
        bool reached, known, stopping; /* BIRD answered the last time; there is a verdict to pass on */
        uint64_t silent_since_ms;      /* l4lb; 0 = it answers */
};

/* ---------------------------------------------------------------- settings */

static void read_pools(struct advertise *a, const struct conf_group *root)
{
        a->n = conf_list_len(root, "pools");
        if (a->n == 0 || a->n > ARRAY_SIZE(a->pools)) {
                conf_error(root, "pools", "1 to %zu are needed, not %zu", ARRAY_SIZE(a->pools), a->n);
                a->n = 0;
        }
        for (size_t i = 0; i < a->n; i++) {
                const struct conf_group *g = conf_list_group(root, "pools", i);
                const char *name = conf_str(g, "protocol"), *prefix = conf_str(g, "prefix");
                if (!advertise_is_name(name))
                        conf_error(g, "protocol", "\"%s\" is no name of a protocol: letters, digits and '_'", name);
                if (ipprefix_parse(span_str(prefix), &a->pools[i].prefix) < 0)
                        conf_error(g, "prefix", "\"%s\" is no prefix", prefix);
                snprintf(a->pools[i].protocol, sizeof a->pools[i].protocol, "%s", name);
        }
}

static int settings_read(struct advertise *a, const char *path, char sockets[2][HOST_PATH_MAX], struct err *reterr)
{
        struct conf *c;
        int r = conf_open(path, &c, reterr);
        if (r < 0)
                return r;
        const struct conf_group *root = conf_root(c);
        snprintf(sockets[0], HOST_PATH_MAX, "%s", conf_str(root, "l4lb"));
        snprintf(sockets[1], HOST_PATH_MAX, "%s", conf_str(root, "bird"));
        a->l4lb = sockets[0];
        a->bird = sockets[1];
        a->grace_ms = (unsigned)conf_int_or(root, "grace_ms", 0, 600000, 5000);
        a->drain_ms = (unsigned)conf_int_or(root, "drain_ms", 0, 600000, 5000);
        read_pools(a, root);
        r = conf_done(c, reterr);
        conf_close(c);
        return r;
}

/* ---------------------------------------------------------------- l4lb */

static json_t *ask(const struct advertise *a, const char *query, struct err *reterr)
{
        CLEANUP(freep) char *text = NULL;
        if (admin_ask(a->l4lb, query, NULL, 0, ASK_MS, &text, reterr) < 0)
                return NULL;
        json_t *j = json_loads(text, 0, NULL);
        if (!json_is_array(j)) {
                (void)err_set(reterr, EBADMSG, query, "the answer is no list"); /* NULL says it */
                json_decref(j);
                j = NULL;
        }
        return j;
}

static const char *text_of(const json_t *o, const char *key)
{
        const char *s = json_string_value(json_object_get(o, key));
        return s ? s : "";
}

static bool judge(struct advertise *a, const json_t *services, const json_t *backends)
{
        const json_t *e, *pool;
        size_t i, k, rows = 0, n_s = 0, n_b = 0;
        json_array_foreach(services, i, e) rows += json_array_size(json_object_get(e, "pools"));
        struct advertise_service *s = arena_calloc(&a->texts, rows + 1, sizeof *s);
        struct advertise_backend *b = arena_calloc(&a->texts, json_array_size(backends) + 1, sizeof *b);
        if (!s || !b)
                return false;
        json_array_foreach(services, i, e)
        {
                struct ipaddr vip;
                if (ipaddr_parse(span_str(text_of(e, "vip")), &vip) < 0)
                        continue;
                json_array_foreach(json_object_get(e, "pools"), k, pool) if (json_is_string(pool))
                        s[n_s++] = (struct advertise_service){.vip = vip, .pool = json_string_value(pool)};
        }
        json_array_foreach(backends, i, e) b[n_b++] = (struct advertise_backend){.pool = text_of(e, "pool"),
                                                                                 .state = text_of(e, "state"),
                                                                                 .checked = json_is_true(json_object_get(e, "checked"))};
        advertise_judge(s, n_s, b, n_b, a->pools, a->n);
        return true;
}

static void look(struct advertise *a)
{
        struct err e = {0};
        json_t *services = ask(a, "services", &e), *backends = services ? ask(a, "backends", &e) : NULL;
        uint64_t now = loop_now_ms(a->loop);
        if (backends && judge(a, services, backends)) {
                a->silent_since_ms = 0;
                a->known = true;
        } else if (!a->silent_since_ms) {
                a->silent_since_ms = MAX(now, UINT64_C(1));
                log_warn("l4lb_silent", "reason=%s withdraw_in_ms=%u", LOG_ESC(e.msg), a->grace_ms);
        } else if (now - a->silent_since_ms >= a->grace_ms) {
                for (size_t i = 0; i < a->n; i++)
                        a->pools[i].wanted = false;
                a->known = true;
        }
        json_decref(services);
        json_decref(backends);
        arena_reset(&a->texts);
}

/* ---------------------------------------------------------------- BIRD */

static void bird_close(struct advertise *a)
{
        if (a->fd >= 0)
                close(a->fd);
        a->fd = -1;
}

static int bird_read(struct advertise *a, const char *what, struct err *reterr)
{
        char in[4096];
        size_t n = 0, used;
        for (;;) {
                struct pollfd p = {.fd = a->fd, .events = POLLIN};
                int r = poll(&p, 1, ANSWER_MS);
                ssize_t got = r > 0 ? recv(a->fd, in + n, sizeof in - n, MSG_DONTWAIT) : 0;
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0 || got <= 0)
                        return err_set(reterr, r == 0 ? ETIMEDOUT : EPIPE, a->bird, "no answer to \"%s\"", what);
                n += (size_t)got;
                switch (bird_answer(SPAN(in, n), &used)) {
                case BIRD_OK:
                        return 0;
                case BIRD_ERROR:
                        return err_set(reterr, EINVAL, a->bird, "\"%s\": %.*s", what, (int)strcspn(in, "\n"), in);
                case BIRD_BAD:
                        return err_set(reterr, EBADMSG, a->bird, "speaks another language than BIRD's");
                case BIRD_MORE:
                        if (n == sizeof in)
                                return err_set(reterr, EMSGSIZE, a->bird, "\"%s\": more than %zu bytes", what, sizeof in);
                }
        }
}

static int bird_connect(struct advertise *a, struct err *reterr)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        if (a->fd >= 0)
                return 0;
        if (strlen(a->bird) >= sizeof to.sun_path)
                return err_set(reterr, ENAMETOOLONG, a->bird, "too long for a socket's path");
        memcpy(to.sun_path, a->bird, strlen(a->bird));
        a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (a->fd < 0 || connect(a->fd, (const struct sockaddr *)&to, sizeof to) < 0)
                return err_set(reterr, errno, a->bird, "%s", strerror(errno));
        return bird_read(a, "hello", reterr); /* it greets first */
}

static int bird_tell(struct advertise *a, const struct advertise_pool *p, struct err *reterr)
{
        char line[ADVERTISE_NAME_MAX + 16];
        int n = snprintf(line, sizeof line, "%s %s\n", p->wanted ? "enable" : "disable", p->protocol);
        int r = bird_connect(a, reterr);
        if (r == 0 && send(a->fd, line, (size_t)n, MSG_NOSIGNAL) != n)
                r = err_set(reterr, EPIPE, a->bird, "%s", strerror(errno));
        if (r == 0) {
                line[n - 1] = '\0';
                r = bird_read(a, line, reterr);
        }
        return r;
}

static void pass_on(struct advertise *a)
{
        struct err e = {0};
        char prefix[IPADDR_STR_MAX];
        int r = 0;
        size_t on = 0;
        for (size_t i = 0; r == 0 && i < a->n; i++) {
                const struct advertise_pool *p = &a->pools[i];
                r = bird_tell(a, p, &e);
                on += p->wanted;
                if (r == 0 && a->told[i] != p->wanted) {
                        log_info(p->wanted ? "advertised" : "withdrawn", "prefix=%s/%u protocol=%s reason=%s",
                                 ipaddr_str(&p->prefix.addr, prefix), p->prefix.len, p->protocol,
                                 a->stopping ? "stopping" : a->silent_since_ms ? "l4lb_silent" : "health");
                        a->told[i] = p->wanted;
                }
        }
        if (r < 0) {
                bird_close(a);
                if (a->reached)
                        log_warn("bird_not_reached", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        }
        a->reached = r == 0;
        notify_status(&a->notify, "%zu of %zu prefixes advertised%s", on, a->n, r < 0 ? ", but BIRD does not answer" : "");
}

/* ---------------------------------------------------------------- life */

static void on_tick(struct timer *t, uint64_t now_ms)
{
        struct advertise *a = CONTAINER_OF(t, struct advertise, tick);
        (void)now_ms;
        if (a->stopping) {
                loop_stop(a->loop);
                return;
        }
        look(a);
        if (a->known)
                pass_on(a);
        timer_set(loop_timers(a->loop), &a->tick, loop_now_ms(a->loop) + EVERY_MS);
}

static void on_signal(void *arg, int signo)
{
        struct advertise *a = arg;
        if (a->stopping)
                return;
        a->stopping = true;
        notify_stopping(&a->notify);
        bool any = false;
        for (size_t i = 0; i < a->n; i++) {
                any |= a->told[i];
                a->pools[i].wanted = false;
        }
        pass_on(a);
        unsigned wait = any && a->reached ? a->drain_ms : 0;
        log_info("stopping", "signal=%d drain_ms=%u", signo, wait);
        timer_set(loop_timers(a->loop), &a->tick, loop_now_ms(a->loop) + wait);
}

static int run(struct advertise *a, struct err *reterr)
{
        static const int signals[] = {SIGTERM, SIGINT};
        a->loop = loop_new();
        if (!a->loop)
                return err_set(reterr, errno, "loop", "%s", strerror(errno));
        arena_init(&a->texts, 64 * 1024, 16u << 20);
        timer_init(&a->tick, on_tick);
        notify_init(&a->notify, a->loop, NULL, NULL);
        int r = loop_signals(a->loop, signals, ARRAY_SIZE(signals), on_signal, a);
        if (r == 0) {
                notify_ready(&a->notify, "%zu prefixes", a->n);
                log_info("ready", "prefixes=%zu l4lb=%s bird=%s", a->n, LOG_ESC(a->l4lb), LOG_ESC(a->bird));
                timer_set(loop_timers(a->loop), &a->tick, loop_now_ms(a->loop));
                r = loop_run(a->loop);
        }
        timer_stop(&a->tick);
        bird_close(a);
        notify_fini(&a->notify);
        arena_fini(&a->texts);
        loop_free(a->loop);
        return r < 0 && !*reterr->msg ? err_set(reterr, -r, "loop", "%s", strerror(-r)) : r;
}

int command_advertise(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system advertise [FILE]\n"
                                   "Has BIRD announce each VIP prefix while l4lb has a healthy backend for it (default FILE: " CONFIG ").\n"
                                   "SIGTERM withdraws all, waits for the routers, and ends it.\n";
        static struct advertise a = {.fd = -1, .reached = true};
        static char sockets[2][HOST_PATH_MAX];
        char path[HOST_PATH_MAX];
        struct err e = {0};
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc > 2) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        int r = settings_read(&a, argc == 2 ? argv[1] : host_path(h, path, CONFIG), sockets, &e);
        if (r == 0)
                r = run(&a, &e);
        return r < 0 ? command_fail(&e) : COMMAND_OK;
}
