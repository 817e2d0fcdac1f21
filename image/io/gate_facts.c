/* image/io/gate_facts.c - see gate_facts.h. */
#include "lib/base.h"
#include "image/io/gate_facts.h"
#include "image/io/gate_request.h"
#include "image/io/keys.h"
#include "lib/io/admin.h"

#include <dirent.h>
#include <jansson.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ASK_MS 3000
#define TRIES_MAX 16 /* services traced, listeners asked: enough to be sure, few enough for the time */
/* Who sends the traced packets: an address for tests of networks (RFC 2544, RFC 5180), which nobody has. */
#define SOURCE4 "198.18.0.1"
#define SOURCE6 "2001:2::1"

/* ---------------------------------------------------------------- asking */

static void say(char *ret, const struct err *e)
{
        snprintf(ret, GATE_DETAIL_MAX, "%.100s", e->msg);
}

static json_t *ask(const struct host *h, const char *name, const char *query, const char *const *argv, size_t argc,
                   char *ret_error)
{
        char path[HOST_PATH_MAX];
        CLEANUP(freep) char *text = NULL;
        struct err e = {.msg = ""};
        if (admin_ask(host_path(h, path, "/run/gatehouse/%s.sock", name), query, argv, argc, ASK_MS, &text, &e) < 0) {
                say(ret_error, &e);
                return NULL;
        }
        json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
        if (!j)
                snprintf(ret_error, GATE_DETAIL_MAX, "its answer to %s is no JSON", query);
        return j;
}

static const char *text_of(const json_t *o, const char *key)
{
        const char *s = json_string_value(json_object_get(o, key));
        return s ? s : "";
}

static void daemon_take(const json_t *status, struct gate_daemon *d)
{
        d->answers = true;
        snprintf(d->hash, sizeof d->hash, "%s", text_of(status, "hash"));
        snprintf(d->pool, sizeof d->pool, "%s", text_of(status, "pool"));
}

static bool exists(const struct host *h, const char *fmt, const char *name)
{
        char path[HOST_PATH_MAX], relative[256];
        struct stat st;
        snprintf(relative, sizeof relative, "%s%s/current", fmt, name);
        return lstat(host_path(h, path, "%s", relative), &st) == 0;
}

static void failed(struct gate_try *t, const char *what, const char *why)
{
        if (!*t->error)
                snprintf(t->error, sizeof t->error, "%.60s: %.90s", what, why);
}

/* ---------------------------------------------------------------- l4lb */

static void ports_take(const json_t *status, struct gate_facts *f)
{
        const json_t *p;
        size_t i;
        json_array_foreach(json_object_get(status, "ports"), i, p)
        {
                f->ports++;
                f->ports_gone += strcmp(text_of(p, "link"), "gone") == 0;
        }
}

/* Pinned neighbours that are no backend are the routes' next hops. */
static void next_hops_take(const struct host *h, struct gate_facts *f, const json_t *status)
{
        char error[GATE_DETAIL_MAX];
        json_t *list = ask(h, "l4lb", "neighbours", NULL, 0, error);
        const json_t *n, *b;
        size_t i, k;
        json_array_foreach(list, i, n)
        {
                bool backend = false;
                json_array_foreach(json_object_get(status, "backends"), k, b) backend |=
                        strcmp(text_of(b, "addr"), text_of(n, "addr")) == 0;
                if (backend || !json_is_true(json_object_get(n, "pinned")))
                        continue;
                f->next_hops++;
                f->next_hops_known += *text_of(n, "mac") != '\0';
        }
        json_decref(list);
}

/* A SYN to each TCP service, through every worker. */
static void packet_try(const struct host *h, struct gate_facts *f)
{
        char error[GATE_DETAIL_MAX] = "", port[8];
        json_t *services = ask(h, "l4lb", "services", NULL, 0, error);
        const json_t *s;
        size_t i;
        json_array_foreach(services, i, s)
        {
                const char *vip = text_of(s, "vip");
                const json_t *w;
                size_t k;
                if (strcmp(text_of(s, "protocol"), "tcp") != 0 || f->packet.asked == TRIES_MAX)
                        continue;
                snprintf(port, sizeof port, "%d", (int)json_integer_value(json_object_get(s, "port_lo")));
                const char *const argv[] = {vip, port, strchr(vip, ':') ? SOURCE6 : SOURCE4};
                json_t *answer = ask(h, "l4lb", "trace", argv, ARRAY_SIZE(argv), error);
                bool good = json_array_size(answer) > 0, waiting = good;
                f->packet.asked++;
                json_array_foreach(answer, k, w)
                {
                        const char *verdict = text_of(w, "verdict");
                        if (strcmp(verdict, "FORWARD_SHARD") == 0)
                                continue;
                        good = false;
                        waiting &= strcmp(verdict, "DROP_NO_BACKEND") == 0 || strcmp(verdict, "DROP_POLICY") == 0;
                        snprintf(error, sizeof error, "%s", verdict);
                }
                f->packet.good += good;
                f->packet.waiting += !good && waiting;
                if (!good)
                        failed(&f->packet, text_of(s, "id"), error);
                json_decref(answer);
        }
        json_decref(services);
}

static void l4_gather(const struct host *h, struct gate_facts *f)
{
        f->l4 = (struct gate_daemon){.name = "l4lb"};
        f->ports = f->ports_gone = f->next_hops = f->next_hops_known = 0;
        f->packet = (struct gate_try){.asked = 0};
        json_t *status = ask(h, "l4lb", "status", NULL, 0, f->l4.error);
        if (!status)
                return;
        daemon_take(status, &f->l4);
        f->l4.stored = exists(h, "/var/lib/gatehouse/", "l4lb");
        ports_take(status, f);
        next_hops_take(h, f, status);
        json_decref(status);
        if (*f->l4.hash)
                packet_try(h, f);
}

/* ---------------------------------------------------------------- shards */

static void listener_try(const struct host *h, struct gate_shard *s, const json_t *l)
{
        char netns[HOST_PATH_MAX];
        struct ipaddr addr;
        struct err e = {.msg = ""};
        s->listeners++;
        s->bound += json_is_true(json_object_get(l, "bound"));
        if (!json_is_true(json_object_get(l, "bound")) || s->request.asked == TRIES_MAX ||
            ipaddr_parse(span_str(text_of(l, "address")), &addr) < 0)
                return;
        s->request.asked++;
        if (gate_request(host_path(h, netns, "/run/netns/%s", s->d.name), &addr,
                         (uint16_t)json_integer_value(json_object_get(l, "port")), text_of(l, "hostname"),
                         strcmp(text_of(l, "protocol"), "HTTPS") == 0, &e) > 0)
                s->request.good++;
        else
                failed(&s->request, text_of(l, "listener"), e.msg);
}

static void shard_gather(const struct host *h, const char *name, struct gate_shard *s)
{
        *s = (struct gate_shard){.listeners = 0};
        snprintf(s->d.name, sizeof s->d.name, "%s", name);
        json_t *status = ask(h, name, "status", NULL, 0, s->d.error);
        if (!status)
                return;
        daemon_take(status, &s->d);
        s->d.stored = exists(h, "/var/lib/gatehouse/l7gw/", name);
        json_decref(status);
        json_t *list = ask(h, name, "listeners", NULL, 0, s->d.error);
        const json_t *l;
        size_t i;
        json_array_foreach(list, i, l) listener_try(h, s, l);
        json_decref(list);
}

/* Every l7gw/NAME.cfg that was rendered is a shard. */
static void shards_gather(const struct host *h, struct gate_facts *f)
{
        char path[HOST_PATH_MAX], name[GATE_NAME_MAX];
        DIR *d = opendir(host_path(h, path, "/etc/gatehouse/l7gw"));
        f->n_shards = 0;
        for (const struct dirent *e; d && f->n_shards < IMAGE_MAX_SHARDS && (e = readdir(d));) {
                size_t n = strlen(e->d_name);
                if (n < 5 || n - 4 >= sizeof name || strcmp(e->d_name + n - 4, ".cfg") != 0)
                        continue;
                snprintf(name, sizeof name, "%.*s", (int)(n - 4), e->d_name);
                shard_gather(h, name, &f->shards[f->n_shards++]);
        }
        if (d)
                closedir(d);
}

/* ---------------------------------------------------------------- the whole */

static bool data_mounted(const struct host *h)
{
        char path[HOST_PATH_MAX];
        struct stat data, root;
        struct statvfs vfs;
        return stat(host_path(h, path, "/usr/lib/gatehouse"), &root) == 0 &&
               stat(host_path(h, path, "/var/lib/gatehouse"), &data) == 0 && data.st_dev != root.st_dev &&
               statvfs(path, &vfs) == 0 && !(vfs.f_flag & ST_RDONLY) && vfs.f_bavail > 0;
}

static bool answers(const struct host *h, const char *name, char *ret_error)
{
        json_t *j = ask(h, name, "status", NULL, 0, ret_error);
        bool ok = j != NULL;
        json_decref(j);
        return ok;
}

void gate_facts_gather(const struct host *h, struct gate_facts *f)
{
        char path[HOST_PATH_MAX];
        f->data = data_mounted(h);
        f->system = answers(h, "system", f->system_error);
        struct keys_status keys;
        keys_status_read(h, &keys);
        f->locked = keys.state == KEYS_LOCKED;
        snprintf(f->locked_why, sizeof f->locked_why, "%.150s", keys.reason);
        f->configured = access(host_path(h, path, "/etc/gatehouse/ports.in"), F_OK) == 0;
        if (!f->configured)
                return;
        f->far = access(host_path(h, path, "/etc/gatehouse/l4lb.cfg"), F_OK) < 0;
        if (!f->far) {
                f->agent = !f->locked && answers(h, "agent-admin", f->agent_error);
                l4_gather(h, f);
        }
        shards_gather(h, f);
}
