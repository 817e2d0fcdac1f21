/* image/io/config_load.c - see config_load.h: the file as a whole, the load balancer, the shards and the agent. */
#include "lib/base.h"
#include "image/io/config_load.h"
#include "image/io/config_read.h"

#include <fcntl.h>
#include <unistd.h>

const char *read_str(struct config *c, const struct conf_group *g, const char *key, const char *def)
{
        char *s = arena_strdup(&c->arena, conf_str_or(g, key, def));
        if (!s)
                conf_error(g, key, "does not fit in memory");
        return s ? s : "";
}

void read_name(struct config *c, const struct conf_group *g, const char *key, size_t max, const char **ret)
{
        const char *s = conf_str(g, key);
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
        if (n == 0 || s[n] || *s == '.' || *s == '-')
                conf_error(g, key, "\"%s\" is no name: letters, digits, '-', '_' and '.', a letter or digit first", s);
        if (n > max)
                conf_error(g, key, "longer than %zu characters", max);
        *ret = read_str(c, g, key, "");
}

size_t read_strings(struct config *c, const struct conf_group *g, const char *key, const char **ret, size_t max)
{
        size_t n = conf_list_len(g, key);
        if (n > max) {
                conf_error(g, key, "more than %zu", max);
                return 0;
        }
        for (size_t i = 0; i < n; i++) {
                const char *s = arena_strdup(&c->arena, conf_list_str(g, key, i));
                if (!s)
                        conf_error(g, key, "does not fit in memory");
                ret[i] = s ? s : "";
        }
        return n;
}

static void read_cores(struct config *c, const struct conf_group *g, struct cpu_list *ret)
{
        const char *text = g ? read_str(c, g, "cores", "") : "";
        *ret = (struct cpu_list){.text = ""};
        if (*text && cpu_list_parse(text, ret) < 0)
                conf_error(g, "cores", "\"%s\" is not a list of CPUs such as \"1\", \"1-3\" or \"0,2\", at most %zu of them", text,
                           ARRAY_SIZE(ret->cpu));
}

static void read_role(struct config *c, const struct conf_group *root)
{
        const char *text = conf_str_or(root, "role", "all-in-one");
        c->role = ROLE_N;
        for (unsigned i = 0; i < ROLE_N; i++)
                if (strcmp(text, config_role_names[i]) == 0)
                        c->role = (enum config_role)i;
        if (c->role == ROLE_N) {
                conf_error(root, "role", "must be all-in-one, l4 or shards, not \"%s\"", text);
                c->role = ROLE_ALL_IN_ONE;
        }
}

static void read_l4(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "l4");
        if (g && c->role == ROLE_SHARDS)
                conf_error(root, "l4", "there is no load balancer in a box of role \"shards\"");
        read_cores(c, g, &c->l4_cores);
        c->l4_memory_mb = g ? (unsigned)conf_int_or(g, "memory_mb", 64, 1 << 20, 128) : 128;
        c->l4_hugepages = g ? conf_bool_or(g, "hugepages", true) : true;
        c->l4_flows = g ? (unsigned)conf_int_or(g, "flows", 1024, 1 << 26, 262144) : 262144;
}

/* What shards of this box are given. */
static void read_own_group(struct config *c, const struct conf_group *g, struct shard_group *s)
{
        s->threads = (unsigned)conf_int_or(g, "threads", 1, 64, 1);
        s->memory_mb = (unsigned)conf_int_or(g, "memory_mb", 64, 1 << 20, 512);
        s->max_connections = (unsigned)conf_int_or(g, "max_connections", 1, 10000000, 100000);
        s->access_log = conf_bool_or(g, "access_log", false);
        read_cores(c, g, &s->cores);
}

static void read_group(struct config *c, const struct conf_group *g, struct shard_group *s)
{
        read_name(c, g, "pool", 40, &s->name);
        for (const struct shard_group *p = c->groups; p < s; p++)
                if (strcmp(p->name, s->name) == 0)
                        conf_error(g, "pool", "\"%s\" is there twice", s->name);
        if (c->role == ROLE_ALL_IN_ONE) {
                s->first = 1;
                s->count = (unsigned)conf_int_or(g, "count", 1, IMAGE_MAX_SHARDS, 1);
        } else {
                read_far_group(c, g, s);
        }
        if (c->role != ROLE_L4)
                read_own_group(c, g, s);
        s->n_gateways = c->role == ROLE_SHARDS ? 0 : read_strings(c, g, "gateways", s->gateways, IMAGE_MAX_SELECTORS);
        for (size_t i = 0; i < s->n_gateways; i++)
                if (!strchr(s->gateways[i], '/'))
                        conf_error(g, "gateways", "\"%s\" is not NAMESPACE/NAME", s->gateways[i]);
        s->n_select = c->role == ROLE_SHARDS ? 0 : read_strings(c, g, "select", s->select, IMAGE_MAX_SELECTORS);
        for (size_t i = 0; i < s->n_select; i++)
                if (!strchr(s->select[i], '=') || s->select[i][0] == '=')
                        conf_error(g, "select", "\"%s\" is not LABEL=VALUE", s->select[i]);
}

static void read_groups(struct config *c, const struct conf_group *root)
{
        size_t n = conf_list_len(root, "shards"), n_shards = 0;
        if (n == 0 || n > IMAGE_MAX_GROUPS) {
                conf_error(root, "shards", "1 to %d groups of shards are needed, not %zu", IMAGE_MAX_GROUPS, n);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *g = conf_list_group(root, "shards", i);
                read_group(c, g, &c->groups[i]);
                c->n_groups = i + 1;
                n_shards += c->groups[i].count;
                if (n_shards > IMAGE_MAX_SHARDS)
                        conf_error(g, "count", "more than %d shards in all", IMAGE_MAX_SHARDS);
        }
}

static void read_agent(struct config *c, const struct conf_group *root)
{
        c->agent.kubeconfig = c->agent.context = c->agent.manifests = "";
        if (c->role == ROLE_SHARDS) {
                if (conf_sub_or_null(root, "agent"))
                        conf_error(root, "agent", "is on another box: control.agents says where");
                return;
        }
        const struct conf_group *g = conf_sub(root, "agent");
        struct agent_conf *a = &c->agent;
        const char *source = conf_str(g, "source");
        a->source = strcmp(source, "directory") == 0 ? SOURCE_DIRECTORY : SOURCE_KUBERNETES;
        if (a->source == SOURCE_KUBERNETES && strcmp(source, "kubernetes") != 0)
                conf_error(g, "source", "must be \"kubernetes\" or \"directory\", not \"%s\"", source);
        a->kubeconfig = read_str(c, g, "kubeconfig", "");
        a->context = read_str(c, g, "context", "");
        a->manifests = read_str(c, g, "manifests", "");
        if (a->source == SOURCE_DIRECTORY && *a->kubeconfig)
                conf_error(g, "kubeconfig", "source is \"directory\"");
        if (a->source == SOURCE_KUBERNETES && *a->manifests)
                conf_error(g, "manifests", "source is \"kubernetes\"");
}

static void read_all(struct config *c, const struct conf_group *root)
{
        (void)conf_int(root, "version", CONFIG_VERSION, CONFIG_VERSION); /* the error is kept by conf */
        read_name(c, root, "name", 40, &c->name);
        read_role(c, root);
        c->health_port = (uint16_t)conf_int_or(root, "health_port", 1, 65535, 9000);
        read_network(c, root);
        read_l4(c, root);
        read_groups(c, root);
        read_agent(c, root);
        read_services(c, root);
        read_far(c, root);
}

/* libconfig would read any file the text names; a seed from the network must not make us. */
static int refuse_include(struct span text, const char *place, struct err *reterr)
{
        unsigned line = 1;
        bool start = true; /* of a line, blanks skipped */
        for (size_t i = 0; i < text.n; i++) {
                if (start && text.n - i >= 8 && span_ieq(SPAN(text.p + i, 8), SPAN_LIT("@include"))) {
                        char at[160];
                        snprintf(at, sizeof at, "%s:%u", place, line);
                        return err_set(reterr, EINVAL, at, "@include is not for this file");
                }
                if (text.p[i] == '\n') {
                        line++;
                        start = true;
                } else if (text.p[i] != ' ' && text.p[i] != '\t' && text.p[i] != '\r') {
                        start = false;
                }
        }
        return 0;
}

int config_load_text(struct span text, const char *place, struct config **ret, struct err *reterr)
{
        struct conf *f;
        if (text.n > IMAGE_MAX_FILE_BYTES)
                return err_set(reterr, EFBIG, place, "more than %d bytes", IMAGE_MAX_FILE_BYTES);
        int r = refuse_include(text, place, reterr);
        if (r == 0)
                r = conf_open_text(text, place, &f, reterr);
        if (r < 0)
                return r;
        struct config *c = calloc(1, sizeof *c);
        BUG_ON(!c); /* boot, or an apply that is refused by ending */
        arena_init(&c->arena, 16 * 1024, 4u * IMAGE_MAX_FILE_BYTES);
        read_all(c, conf_root(f));
        r = conf_done(f, reterr);
        conf_close(f);
        if (r < 0)
                config_free(c);
        else
                *ret = c;
        return r;
}

int config_load(const char *path, struct config **ret, struct err *reterr)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return err_set(reterr, errno, path, "cannot read: %s", strerror(errno));
        CLEANUP(freep) char *text = malloc(IMAGE_MAX_FILE_BYTES + 1);
        size_t n = 0;
        ssize_t got = 1;
        BUG_ON(!text);
        while (got > 0 && n <= IMAGE_MAX_FILE_BYTES) {
                got = read(fd, text + n, IMAGE_MAX_FILE_BYTES + 1 - n);
                if (got < 0 && errno == EINTR)
                        got = 1;
                else if (got > 0)
                        n += (size_t)got;
        }
        int error = got < 0 ? errno : 0;
        close(fd);
        if (error)
                return err_set(reterr, error, path, "cannot read: %s", strerror(error));
        return config_load_text(SPAN(text, n), path, ret, reterr);
}
