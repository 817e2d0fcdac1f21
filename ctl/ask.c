/* ctl/ask.c - see ask.h. */
#include "lib/base.h"
#include "ctl/ask.h"

#include "lib/io/admin.h"

#include <dirent.h>
#include <inttypes.h>

static const char suffix[] = ".sock";

static int socket_path(const struct ctl *c, const char *name, char *buf, size_t n)
{
        int w = snprintf(buf, n, "%s/%s%s", c->run_dir, name, suffix);
        return w > 0 && (size_t)w < n ? 0 : -ENAMETOOLONG;
}

int ask_daemon(const struct ctl *c, const char *name, const char *query, const char *const *argv, size_t argc, json_t **ret,
               struct err *reterr)
{
        char path[512];
        CLEANUP(freep) char *text = NULL;
        if (strchr(name, '/') || socket_path(c, name, path, sizeof path) < 0)
                return err_set(reterr, EINVAL, name, "not a daemon's name");
        int r = admin_ask(path, query, argv, argc, c->timeout_ms, &text, reterr);
        if (r < 0)
                return r;
        json_error_t je;
        *ret = json_loads(text, JSON_DECODE_ANY, &je);
        if (!*ret)
                return err_set(reterr, EBADMSG, path, "answered no JSON: %s at byte %d", je.text, je.position);
        return 0;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int ask_names(const struct ctl *c, char ***ret, size_t *ret_n, struct err *reterr)
{
        DIR *d = opendir(c->run_dir);
        if (!d)
                return err_set(reterr, errno, c->run_dir, "cannot read: %s", strerror(errno));
        char **names = NULL;
        size_t n = 0;
        for (const struct dirent *e; (e = readdir(d));) {
                size_t len = strlen(e->d_name), slen = sizeof suffix - 1;
                if (e->d_name[0] == '.' || len <= slen || strcmp(e->d_name + len - slen, suffix) != 0)
                        continue;
                if (strcmp(e->d_name, "agent.sock") == 0)
                        continue; /* the control socket: data planes dial it */
                names = reallocarray(names, n + 1, sizeof *names);
                BUG_ON(!names);
                names[n] = strndup(e->d_name, len - slen);
                BUG_ON(!names[n]);
                n++;
        }
        closedir(d);
        if (n)
                qsort(names, n, sizeof *names, by_name);
        *ret = names;
        *ret_n = n;
        return 0;
}

void names_free(char **names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
}

void json_print(const json_t *j)
{
        json_dumpf(j, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        printf("\n");
}

const char *json_text(const json_t *object, const char *key)
{
        const char *s = json_string_value(json_object_get(object, key));
        return s ? s : "";
}

const char *json_number_text(const json_t *object, const char *key, char buf[24])
{
        const json_t *v = json_object_get(object, key);
        if (!json_is_integer(v))
                return "";
        snprintf(buf, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return buf;
}
