/* lib/io/config.c - see config.h.  Strict reading of libconfig files: every setting read is marked, the rest is an error. */
#include "lib/base.h"
#include "lib/io/config.h"

#include <inttypes.h>
#include <libconfig.h>
#include <stdarg.h>

struct conf_group {
        struct conf *c;
        config_setting_t *s;
        struct conf_group *next; /* all groups of the file, freed with it */
};
struct conf {
        config_t cfg;
        char *path;
        struct conf_group *groups;
        struct err err;
        bool failed;
        /* Settings that were asked for, as a growing array of pointers: files are small. */
        config_setting_t **seen;
        size_t n_seen, cap_seen;
};

PRINTF(4, 0) static void conf_fail(struct conf *c, const config_setting_t *at, const char *key, const char *fmt, va_list ap)
{
        if (c->failed)
                return;
        c->failed = true;
        char msg[256];
        vsnprintf(msg, sizeof msg, fmt, ap);
        unsigned line = at ? config_setting_source_line(at) : 0;
        char place[160];
        snprintf(place, sizeof place, "%s:%u", c->path, line);
        (void)err_set(&c->err, EINVAL, place, "%s: %s", key, msg);
}

PRINTF(4, 5) static void fail(struct conf *c, const config_setting_t *at, const char *key, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        conf_fail(c, at, key, fmt, ap);
        va_end(ap);
}

static void mark(struct conf *c, config_setting_t *s)
{
        if (c->n_seen == c->cap_seen) {
                size_t cap = c->cap_seen ? c->cap_seen * 2 : 64;
                config_setting_t **p = realloc(c->seen, cap * sizeof(*p));
                BUG_ON(!p); /* boot-time allocation */
                c->seen = p;
                c->cap_seen = cap;
        }
        c->seen[c->n_seen++] = s;
}

static const struct conf_group *group_new(struct conf *c, config_setting_t *s)
{
        for (struct conf_group *g = c->groups; g; g = g->next)
                if (g->s == s)
                        return g;
        struct conf_group *g = calloc(1, sizeof *g);
        BUG_ON(!g);
        *g = (struct conf_group){ .c = c, .s = s, .next = c->groups };
        c->groups = g;
        return g;
}

/* The setting, marked as known; NULL when absent. */
static config_setting_t *lookup(const struct conf_group *g, const char *key)
{
        config_setting_t *s = g->s ? config_setting_get_member(g->s, key) : NULL;
        if (s)
                mark(g->c, s);
        return s;
}

static struct conf *conf_new(const char *place)
{
        struct conf *c = calloc(1, sizeof *c);
        if (!c)
                return NULL;
        config_init(&c->cfg);
        c->path = strdup(place);
        BUG_ON(!c->path);
        return c;
}

/* Takes c, whose reading ended with config_ok. */
static int conf_opened(struct conf *c, int config_ok, struct conf **ret, struct err *reterr)
{
        char place[160];
        int r;
        if (config_ok == CONFIG_TRUE) {
                *ret = c;
                return 0;
        }
        if (config_error_type(&c->cfg) == CONFIG_ERR_FILE_IO) {
                r = err_set(reterr, errno ? errno : EIO, c->path, "cannot read: %s", strerror(errno ? errno : EIO));
        } else {
                snprintf(place, sizeof place, "%s:%d", c->path, config_error_line(&c->cfg));
                r = err_set(reterr, EINVAL, place, "%s", config_error_text(&c->cfg));
        }
        conf_close(c);
        return r;
}

int conf_open(const char *path, struct conf **ret, struct err *reterr)
{
        struct conf *c = conf_new(path);
        if (!c)
                return err_set(reterr, ENOMEM, path, "out of memory");
        return conf_opened(c, config_read_file(&c->cfg, path), ret, reterr);
}

int conf_open_text(struct span text, const char *place, struct conf **ret, struct err *reterr)
{
        if (text.n && memchr(text.p, 0, text.n))
                return err_set(reterr, EINVAL, place, "holds a NUL byte");
        CLEANUP(freep) char *copy = strndup(text.n ? (const char *)text.p : "", text.n);
        struct conf *c = copy ? conf_new(place) : NULL;
        if (!c)
                return err_set(reterr, ENOMEM, place, "out of memory");
        return conf_opened(c, config_read_string(&c->cfg, copy), ret, reterr);
}

void conf_close(struct conf *c)
{
        if (!c)
                return;
        while (c->groups) {
                struct conf_group *g = c->groups;
                c->groups = g->next;
                free(g);
        }
        config_destroy(&c->cfg);
        free(c->seen);
        free(c->path);
        free(c);
}

const struct conf_group *conf_root(struct conf *c)
{
        return group_new(c, config_root_setting(&c->cfg));
}

static bool was_seen(const struct conf *c, const config_setting_t *s)
{
        for (size_t i = 0; i < c->n_seen; i++)
                if (c->seen[i] == s)
                        return true;
        return false;
}

static void check_unknown(struct conf *c, config_setting_t *s)
{
        for (int i = 0; i < config_setting_length(s) && !c->failed; i++) {
                config_setting_t *m = config_setting_get_elem(s, (unsigned)i);
                if (config_setting_is_group(s) && !was_seen(c, m))
                        fail(c, m, config_setting_name(m), "unknown setting");
                else if (config_setting_is_aggregate(m))
                        check_unknown(c, m);
        }
}

int conf_done(struct conf *c, struct err *reterr)
{
        check_unknown(c, config_root_setting(&c->cfg));
        if (!c->failed)
                return 0;
        if (reterr)
                *reterr = c->err;
        return -EINVAL;
}

void conf_error(const struct conf_group *g, const char *key, const char *fmt, ...)
{
        va_list ap;
        config_setting_t *s = g->s ? config_setting_get_member(g->s, key) : NULL;
        va_start(ap, fmt);
        conf_fail(g->c, s ? s : g->s, key, fmt, ap);
        va_end(ap);
}

static const char *string_of(const struct conf_group *g, const char *key, config_setting_t *s, const char *def)
{
        if (config_setting_type(s) != CONFIG_TYPE_STRING) {
                fail(g->c, s, key, "must be a string in double quotes");
                return def;
        }
        return config_setting_get_string(s);
}

const char *conf_str(const struct conf_group *g, const char *key)
{
        config_setting_t *s = lookup(g, key);
        if (!s) {
                fail(g->c, g->s, key, "is missing");
                return "";
        }
        return string_of(g, key, s, "");
}

const char *conf_str_or(const struct conf_group *g, const char *key, const char *def)
{
        config_setting_t *s = lookup(g, key);
        return s ? string_of(g, key, s, def) : def;
}

static int64_t int_of(const struct conf_group *g, const char *key, config_setting_t *s, int64_t min, int64_t max)
{
        int type = config_setting_type(s);
        if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
                fail(g->c, s, key, "must be a whole number");
                return min;
        }
        int64_t v = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : config_setting_get_int64(s);
        if (v < min || v > max) {
                fail(g->c, s, key, "must be %" PRId64 " to %" PRId64 ", not %" PRId64, min, max, v);
                return min;
        }
        return v;
}

int64_t conf_int(const struct conf_group *g, const char *key, int64_t min, int64_t max)
{
        config_setting_t *s = lookup(g, key);
        if (!s) {
                fail(g->c, g->s, key, "is missing");
                return min;
        }
        return int_of(g, key, s, min, max);
}

int64_t conf_int_or(const struct conf_group *g, const char *key, int64_t min, int64_t max, int64_t def)
{
        config_setting_t *s = lookup(g, key);
        return s ? int_of(g, key, s, min, max) : def;
}

bool conf_bool_or(const struct conf_group *g, const char *key, bool def)
{
        config_setting_t *s = lookup(g, key);
        if (!s)
                return def;
        if (config_setting_type(s) != CONFIG_TYPE_BOOL) {
                fail(g->c, s, key, "must be true or false");
                return def;
        }
        return config_setting_get_bool(s);
}

bool conf_addr(const struct conf_group *g, const char *key, struct ipaddr *ret)
{
        const char *text = conf_str(g, key);
        if (*text && ipaddr_parse(span_str(text), ret) == 0)
                return true;
        conf_error(g, key, "\"%s\" is not an IP address", text);
        *ret = (struct ipaddr){ 0 };
        return false;
}

bool conf_addr_or_unset(const struct conf_group *g, const char *key, struct ipaddr *ret)
{
        *ret = (struct ipaddr){ 0 };
        if (!g->s || !config_setting_get_member(g->s, key))
                return true;
        return conf_addr(g, key, ret);
}

const struct conf_group *conf_sub_or_null(const struct conf_group *g, const char *key)
{
        config_setting_t *s = lookup(g, key);
        if (!s)
                return NULL;
        if (!config_setting_is_group(s)) {
                fail(g->c, s, key, "must be a group { ... }");
                return NULL;
        }
        return group_new(g->c, s);
}

const struct conf_group *conf_sub(const struct conf_group *g, const char *key)
{
        const struct conf_group *sub = conf_sub_or_null(g, key);
        if (sub)
                return sub;
        fail(g->c, g->s, key, "is missing");
        return group_new(g->c, NULL); /* an empty group: its getters fail too, the first error is kept */
}

size_t conf_list_len(const struct conf_group *g, const char *key)
{
        config_setting_t *s = lookup(g, key);
        if (!s)
                return 0;
        if (!config_setting_is_list(s) && !config_setting_is_array(s)) {
                fail(g->c, s, key, "must be a list ( ... ) or an array [ ... ]");
                return 0;
        }
        return (size_t)config_setting_length(s);
}

static config_setting_t *elem(const struct conf_group *g, const char *key, size_t i)
{
        config_setting_t *s = lookup(g, key);
        return s ? config_setting_get_elem(s, (unsigned)i) : NULL;
}

const struct conf_group *conf_list_group(const struct conf_group *g, const char *key, size_t i)
{
        config_setting_t *s = elem(g, key, i);
        if (s && config_setting_is_group(s))
                return group_new(g->c, s);
        fail(g->c, s ? s : g->s, key, "element %zu must be a group { ... }", i);
        return group_new(g->c, NULL);
}

const char *conf_list_str(const struct conf_group *g, const char *key, size_t i)
{
        config_setting_t *s = elem(g, key, i);
        if (s && config_setting_type(s) == CONFIG_TYPE_STRING)
                return config_setting_get_string(s);
        fail(g->c, s ? s : g->s, key, "element %zu must be a string", i);
        return "";
}
