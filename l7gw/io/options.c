/* l7gw/io/options.c - see options.h. */
#include "lib/base.h"
#include "l7gw/io/options.h"
#include "lib/io/config.h"

#include <unistd.h>

static char *copy(const char *s)
{
        char *c = strdup(s ? s : "");
        BUG_ON(!c); /* boot */
        return c;
}

static enum log_level level_of(const struct conf_group *g)
{
        static const char *const names[LOG_LEVEL_N] = {"error", "warn", "info", "debug"};
        const char *s = conf_str_or(g, "log_level", "info");
        for (unsigned i = 0; i < LOG_LEVEL_N; i++)
                if (strcmp(s, names[i]) == 0)
                        return (enum log_level)i;
        conf_error(g, "log_level", "must be error, warn, info or debug");
        return LOG_INFO;
}

static bool io_uring_of(const struct conf_group *g)
{
        const char *s = conf_str_or(g, "io_uring", "auto");
        if (strcmp(s, "auto") != 0 && strcmp(s, "off") != 0)
                conf_error(g, "io_uring", "must be auto or off");
        return strcmp(s, "off") != 0;
}

static void health_load(const struct conf_group *g, struct options *o)
{
        size_t n = conf_list_len(g, "addresses");
        if (n > OPTIONS_MAX_HEALTH) {
                conf_error(g, "addresses", "at most %d", OPTIONS_MAX_HEALTH);
                n = 0;
        }
        for (size_t i = 0; i < n; i++) {
                const char *s = conf_list_str(g, "addresses", i);
                if (s && ipaddr_parse(span_str(s), &o->health[o->n_health]) < 0)
                        conf_error(g, "addresses", "not an IP address: %s", s);
                else
                        o->n_health++;
        }
        o->health_port = (uint16_t)conf_int(g, "port", 1, 65535);
}

static uint32_t ms(const struct conf_group *g, const char *key, uint32_t def)
{
        return g ? (uint32_t)conf_int_or(g, key, 1, 86400000, def) : def;
}

/* via and server: as they will stand in heads, so checked as heads are. */
static void self_load(const struct conf_group *g, struct options *o)
{
        o->via = copy(conf_str_or(g, "via", ""));
        o->server = copy(conf_str_or(g, "server", "pass"));
        o->self.via = span_str(o->via);
        o->self.server = span_str(o->server);
        if (o->self.via.n > 0 && !name_is_token(o->self.via))
                conf_error(g, "via", "must be a token (RFC 9110 5.6.2)");
        bool pass = strcmp(o->server, "pass") == 0, hide = o->server[0] == '\0';
        o->self.server_field = pass ? SERVER_PASS : hide ? SERVER_HIDE : SERVER_SET;
        if (!value_is_valid(o->self.server) || value_trim(o->self.server).n != o->self.server.n)
                conf_error(g, "server", "must be a field value (RFC 9110 5.5)");
}

int options_load(const char *path, struct options *ret, struct err *reterr)
{
        struct conf *c;
        int r = conf_open(path, &c, reterr);
        if (r < 0)
                return r;
        const struct conf_group *g = conf_root(c), *control = conf_sub(g, "control");
        struct options o = {0};
        o.name = copy(conf_str(g, "name"));
        o.pool = copy(conf_str_or(g, "pool", "default"));
        o.threads = (unsigned)conf_int_or(g, "threads", 0, OPTIONS_MAX_THREADS, 1);
        if (o.threads == 0)
                o.threads = MIN((unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L), (unsigned)OPTIONS_MAX_THREADS);
        agents_conf_read(control, &o.agents);
        o.admin_socket = copy(control ? conf_str(control, "admin") : "");
        o.state_dir = copy(control ? conf_str(control, "state_dir") : "");
        o.access_log = copy(conf_str_or(g, "access_log", ""));
        o.log_level = level_of(g);
        self_load(g, &o);
        o.io_uring = io_uring_of(g);
        const struct conf_group *health = conf_sub_or_null(g, "health");
        if (health)
                health_load(health, &o);
        const struct conf_group *limits = conf_sub_or_null(g, "limits"), *t = conf_sub_or_null(g, "timeouts");
        o.max_connections = limits ? (uint32_t)conf_int_or(limits, "max_connections", 1, 10000000, 100000) : 100000;
        o.buffer_bytes = 1024u * (limits ? (uint32_t)conf_int_or(limits, "buffer_kb", 16, 4096, 64) : 64u);
        o.body_rate = limits ? (uint32_t)conf_int_or(limits, "body_rate", 0, 1000000000, 100) : 100;
        o.body_max = 1024u * (limits ? (uint64_t)conf_int_or(limits, "body_max_kb", 0, 1000000000000, 0) : 0);
        o.header_ms = ms(t, "header", 10000);
        o.idle_ms = ms(t, "idle", 60000);
        o.handshake_ms = ms(t, "handshake", 10000);
        o.settings_ms = ms(t, "settings", 10000);
        o.connect_ms = ms(t, "connect", 3000);
        o.upstream_idle_ms = ms(t, "upstream_idle", 50000);
        o.stream_idle_ms = ms(t, "stream_idle", 300000);
        o.tunnel_idle_ms = ms(t, "tunnel_idle", 3600000);
        o.drain_ms = ms(t, "drain", 30000);
        r = conf_done(c, reterr);
        conf_close(c);
        if (r < 0)
                options_fini(&o);
        else
                *ret = o;
        return r;
}

void options_fini(struct options *o)
{
        free(o->name);
        free(o->pool);
        free(o->admin_socket);
        free(o->state_dir);
        free(o->access_log);
        free(o->via);
        free(o->server);
        *o = (struct options){0};
}
