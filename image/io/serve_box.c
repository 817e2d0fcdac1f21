/* image/io/serve_box.c - parts of status about the box: its NICs, what `ports` chose, whether each daemon answers.  See serve.h. */
#include "lib/base.h"
#include "image/io/path.h"
#include "image/io/serve.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/stat.h>

#define DAEMON_ANSWER_MS 300 /* on one machine: a daemon that needs longer is not well */
#define MAX_DAEMONS 48

static void small_file(const char *path, char *ret, size_t n)
{
        struct arena a;
        struct span text = SPAN_NULL;
        struct err none; /* nothing to show then */
        arena_init(&a, 4096, 16384);
        if (path_read(path, 8192, &a, &text, &none) < 0)
                text = SPAN_NULL;
        while (text.n && text.p[text.n - 1] == '\n')
                text.n--;
        snprintf(ret, n, "%.*s", SPAN_FMT(text));
        arena_fini(&a);
}

/* Hardware, VLANs of ours and the host's side of exception ports; not the links inside the box. */
static bool is_shown(const char *name)
{
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "/sys/class/net/%s/device", name);
        return stat(path, &st) == 0 || strcmp(name, "management") == 0 || strcmp(name, "backend") == 0 ||
               (name[0] == 'k' && name[1] >= '0' && name[1] <= '9');
}

static void addresses(const struct ifaddrs *all, const char *name, struct json *out)
{
        json_key(out, "addresses");
        json_arr(out);
        for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
                char text[INET6_ADDRSTRLEN] = "";
                if (!i->ifa_addr || strcmp(i->ifa_name, name) != 0)
                        continue;
                if (i->ifa_addr->sa_family == AF_INET)
                        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, text, sizeof text);
                else if (i->ifa_addr->sa_family == AF_INET6)
                        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr, text, sizeof text);
                if (*text)
                        json_str(out, text);
        }
        json_end(out);
}

static void nics(struct json *out)
{
        struct ifaddrs *all = NULL;
        struct if_nameindex *names = if_nameindex();
        json_key(out, "nics");
        json_arr(out);
        if (getifaddrs(&all) < 0)
                all = NULL;
        for (const struct if_nameindex *n = names; n && n->if_index; n++) {
                char path[128], mac[32], state[32];
                if (!is_shown(n->if_name))
                        continue;
                snprintf(path, sizeof path, "/sys/class/net/%s/address", n->if_name);
                small_file(path, mac, sizeof mac);
                snprintf(path, sizeof path, "/sys/class/net/%s/operstate", n->if_name);
                small_file(path, state, sizeof state);
                json_obj(out);
                json_key(out, "name");
                json_str(out, n->if_name);
                json_key(out, "mac");
                json_str(out, mac);
                json_key(out, "state");
                json_str(out, state);
                addresses(all, n->if_name, out);
                json_end(out);
        }
        if (all)
                freeifaddrs(all);
        if (names)
                if_freenameindex(names);
        json_end(out);
}

/* Each NAME.sock but ours and the agent's control socket. */
static bool is_daemon(const char *file, char *name, size_t n)
{
        size_t len = strlen(file);
        if (len <= 5 || len - 5 >= n || strcmp(file + len - 5, ".sock") != 0 || strcmp(file, "system.sock") == 0 || strcmp(file, "agent.sock") == 0)
                return false;
        memcpy(name, file, len - 5);
        name[len - 5] = '\0';
        return true;
}

static void daemons(const struct host *h, struct json *out)
{
        char path[HOST_PATH_MAX], name[80];
        size_t n = 0;
        json_key(out, "daemons");
        json_arr(out);
        DIR *d = opendir(host_path(h, path, "/run/gatehouse"));
        for (const struct dirent *e; d && n < MAX_DAEMONS && (e = readdir(d));) {
                CLEANUP(freep) char *answer = NULL;
                struct err why = {0};
                if (!is_daemon(e->d_name, name, sizeof name))
                        continue;
                int r = admin_ask(host_path(h, path, "/run/gatehouse/%s", e->d_name), "status", NULL, 0, DAEMON_ANSWER_MS, &answer, &why);
                json_obj(out);
                json_key(out, "name");
                json_str(out, name);
                json_key(out, "answers");
                json_bool(out, r == 0);
                json_key(out, r == 0 ? "status" : "error");
                if (r == 0)
                        json_raw(out, span_str(answer));
                else
                        json_str(out, why.msg);
                json_end(out);
                n++;
        }
        if (d)
                closedir(d);
        json_end(out);
}

void serve_status_box(struct serve *s, struct json *out)
{
        char path[HOST_PATH_MAX], text[8192];
        nics(out);
        daemons(s->h, out);
        small_file(host_path(s->h, path, RENDER_ETC "/ports/status.json"), text, sizeof text);
        json_key(out, "data_ports");
        if (text[0] == '{' && text[strlen(text) - 1] == '}')
                json_raw(out, span_str(text)); /* written by `gatehouse-system ports`, whole */
        else
                json_nil(out);
}
