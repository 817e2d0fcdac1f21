/* agent/io/kubeconfig.c - see kubeconfig.h.  Names of the fields: client-go's clientcmd/api/v1. */
#include "lib/base.h"
#include "agent/io/kubeconfig.h"
#include "agent/core/format.h"
#include "agent/io/kube_limits.tbl.h"
#include "agent/io/yaml.h"
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

struct loading {
        struct kubeconfig *k;
        const char *path;
        struct arena tree;
        struct err *err;
};

int small_file_read(const char *path, size_t max, struct arena *a, struct span *ret, struct err *reterr)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return err_set(reterr, errno, path, "cannot read: %s", strerror(errno));
        uint8_t *p = arena_alloc(a, max + 1);
        size_t n = 0;
        int r = p ? 0 : -ENOMEM;
        while (r == 0 && n <= max) {
                ssize_t got = read(fd, p + n, max + 1 - n);
                if (got < 0 && errno != EINTR)
                        r = -errno;
                if (got == 0)
                        break;
                n += got > 0 ? (size_t)got : 0;
        }
        close(fd);
        if (r < 0)
                return err_set(reterr, -r, path, "cannot read: %s", strerror(-r));
        if (n > max)
                return err_set(reterr, E2BIG, path, "larger than %zu bytes", max);
        *ret = SPAN(p, n);
        return 0;
}

static int fail(struct loading *l, const struct node *at, const char *fmt, ...) PRINTF(3, 4);
static int fail(struct loading *l, const struct node *at, const char *fmt, ...)
{
        char place[192], msg[256];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(msg, sizeof msg, fmt, ap); /* cut if longer */
        va_end(ap);
        (void)snprintf(place, sizeof place, at ? "%s:%u" : "%s", l->path, at ? at->line : 0);
        return err_set(l->err, EINVAL, place, "%s", msg);
}

static const char *copy(struct loading *l, struct span s)
{
        char *p = arena_printf(&l->k->arena, "%.*s", SPAN_FMT(s));
        BUG_ON(!p); /* boot */
        return p;
}

static struct span member(const struct node *map, const char *key)
{
        const struct node *n = node_get(map, key);
        return n && n->type == NODE_SCALAR ? n->text : SPAN_NULL;
}
static const char *text(struct loading *l, const struct node *map, const char *key) { return copy(l, member(map, key)); }

/* Paths are relative to the kubeconfig. */
static const char *path_of(struct loading *l, const struct node *map, const char *key)
{
        struct span s = member(map, key);
        const char *slash = strrchr(l->path, '/');
        if (s.n == 0 || s.p[0] == '/' || !slash)
                return copy(l, s);
        char *p = arena_printf(&l->k->arena, "%.*s/%.*s", (int)(slash - l->path), l->path, SPAN_FMT(s));
        BUG_ON(!p); /* boot */
        return p;
}

static int data_of(struct loading *l, const struct node *map, const char *key, struct span *ret)
{
        struct span s = member(map, key);
        size_t n;
        if (s.n == 0)
                return 0;
        uint8_t *p = arena_alloc(&l->k->arena, base64_room(s.n));
        BUG_ON(!p); /* boot */
        if (!text_base64(s, p, &n))
                return fail(l, node_get(map, key), "%s must be base64", key);
        *ret = SPAN(p, n);
        return 0;
}

/* The entry called name in the list key: {name: NAME, INNER: {...}}. */
static int find_named(struct loading *l, const struct node *root, const char *key, const char *inner, const char *name,
                      const struct node **ret)
{
        const struct node *list = node_get(root, key);
        for (size_t i = 0; list && list->type == NODE_SEQ && i < list->n; i++) {
                const struct node *e = list->items[i].value;
                if (!span_eq_str(member(e, "name"), name))
                        continue;
                *ret = node_get(e, inner);
                return *ret && (*ret)->type == NODE_MAP ? 0 : fail(l, e, "%s \"%s\" has no %s", key, name, inner);
        }
        return fail(l, list, "%s has no entry named \"%s\"", key, name);
}

static int read_cluster(struct loading *l, const struct node *c)
{
        struct kubeconfig *k = l->k;
        char *server = (char *)(uintptr_t)text(l, c, "server");
        size_t n = strlen(server);
        while (n && server[n - 1] == '/')
                server[--n] = '\0';
        if (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0)
                return fail(l, node_get(c, "server"), "server must begin with https:// or http://");
        k->server = server;
        k->ca_file = path_of(l, c, "certificate-authority");
        k->tls_server_name = text(l, c, "tls-server-name");
        k->proxy_url = text(l, c, "proxy-url");
        k->insecure = span_eq_str(member(c, "insecure-skip-tls-verify"), "true");
        int r = data_of(l, c, "certificate-authority-data", &k->ca);
        if (r == 0 && k->insecure && (k->ca.n || *k->ca_file))
                return fail(l, c, "a certificate authority together with insecure-skip-tls-verify");
        return r;
}

static int read_user(struct loading *l, const struct node *u)
{
        static const char *const refused[] = { "exec", "auth-provider", "username", "password", "as" };
        struct kubeconfig *k = l->k;
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
                if (node_present(u, refused[i]))
                        return fail(l, node_get(u, refused[i]),
                                    "\"%s\" is not supported: give a client certificate, token or tokenFile", refused[i]);
        k->cert_file = path_of(l, u, "client-certificate");
        k->key_file = path_of(l, u, "client-key");
        k->token = text(l, u, "token");
        k->token_file = path_of(l, u, "tokenFile");
        int r = data_of(l, u, "client-certificate-data", &k->cert);
        if (r == 0)
                r = data_of(l, u, "client-key-data", &k->key);
        if (r < 0)
                return r;
        if ((k->cert.n || *k->cert_file) != (k->key.n || *k->key_file))
                return fail(l, u, "a client certificate needs its key, and a key its certificate");
        for (const char *c = k->token; *c; c++)
                if (*c <= ' ' || *c > '~')
                        return fail(l, node_get(u, "token"), "token must be visible ASCII");
        return 0;
}

static int read_root(struct loading *l, const struct node *root, const char *context)
{
        const struct node *c, *cluster, *user;
        l->k->context = *context ? copy(l, span_str(context)) : text(l, root, "current-context");
        if (!*l->k->context)
                return fail(l, root, "current-context is not set, and no context was asked for");
        int r = find_named(l, root, "contexts", "context", l->k->context, &c);
        if (r == 0)
                r = find_named(l, root, "clusters", "cluster", text(l, c, "cluster"), &cluster);
        if (r == 0)
                r = find_named(l, root, "users", "user", text(l, c, "user"), &user);
        if (r == 0)
                r = read_cluster(l, cluster);
        return r == 0 ? read_user(l, user) : r;
}

static struct kubeconfig *kubeconfig_new(void)
{
        struct kubeconfig *k = calloc(1, sizeof *k);
        BUG_ON(!k); /* boot */
        arena_init(&k->arena, 16 * 1024, 8 * (size_t)KUBE_KUBECONFIG_BYTES);
        k->server = k->ca_file = k->cert_file = k->key_file = k->token = k->token_file = k->tls_server_name = k->proxy_url = k->context = "";
        return k;
}

int kubeconfig_load(const char *path, const char *context, struct kubeconfig **ret, struct err *reterr)
{
        struct loading l = { .k = kubeconfig_new(), .path = path, .err = reterr };
        struct yaml_docs docs = { 0 };
        struct span file = { 0 };
        arena_init(&l.tree, 64 * 1024, 32 * (size_t)KUBE_KUBECONFIG_BYTES);
        int r = small_file_read(path, KUBE_KUBECONFIG_BYTES, &l.tree, &file, reterr);
        if (r == 0)
                r = yaml_read(file, path, &l.tree, &docs, reterr);
        if (r == 0 && docs.n != 1)
                r = fail(&l, NULL, "must be one document");
        if (r == 0)
                r = read_root(&l, docs.v[0], context);
        arena_wipe(&l.tree);
        arena_fini(&l.tree);
        if (r < 0) {
                kubeconfig_free(l.k);
                return r;
        }
        *ret = l.k;
        return 0;
}

int kubeconfig_of_pod(const char *dir, struct kubeconfig **ret, struct err *reterr)
{
        const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
        if (!host || !*host || !port || !*port)
                return err_set(reterr, ENOENT, "KUBERNETES_SERVICE_HOST",
                               "is not set: we are in no pod; set kubernetes.kubeconfig");
        struct kubeconfig *k = kubeconfig_new();
        k->server = arena_printf(&k->arena, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
        k->ca_file = arena_printf(&k->arena, "%s/ca.crt", dir);
        k->token_file = arena_printf(&k->arena, "%s/token", dir);
        k->context = "pod";
        BUG_ON(!k->server || !k->ca_file || !k->token_file); /* boot */
        const char *files[] = { k->ca_file, k->token_file };
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                if (access(files[i], R_OK) < 0) {
                        int r = err_set(reterr, errno, files[i], "cannot read: %s", strerror(errno));
                        kubeconfig_free(k);
                        return r;
                }
        *ret = k;
        return 0;
}

void kubeconfig_free(struct kubeconfig *k)
{
        if (!k)
                return;
        arena_wipe(&k->arena);
        arena_fini(&k->arena);
        free(k);
}
