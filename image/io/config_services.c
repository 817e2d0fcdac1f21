/* image/io/config_services.c - time, names, logs, BGP, updates and keys of a gatehouse.cfg.  See config_read.h. */
#include "lib/base.h"
#include "image/io/config_read.h"

/* A host name or an address: it ends up in other programs' files, so nothing but its own letters. */
static void check_host(const struct conf_group *g, const char *key, const char *text)
{
        if (!*text || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:") != strlen(text) || *text == '-')
                conf_error(g, key, "\"%s\" is no host name or address", text);
}

static void read_time(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "ntp");
        if (!g)
                return;
        c->n_ntp = read_strings(c, g, "servers", c->ntp, IMAGE_MAX_SERVERS);
        for (size_t i = 0; i < c->n_ntp; i++)
                check_host(g, "servers", c->ntp[i]);
        c->nts = conf_bool_or(g, "nts", false);
}

static void read_dns(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "dns");
        if (!g)
                return;
        const char *servers[IMAGE_MAX_SERVERS];
        size_t n = read_strings(c, g, "servers", servers, IMAGE_MAX_SERVERS);
        for (size_t i = 0; i < n; i++)
                if (ipaddr_parse(span_str(servers[i]), &c->dns[i]) < 0)
                        conf_error(g, "servers", "\"%s\" is not an IP address", servers[i]);
        c->n_dns = n;
        c->n_search = read_strings(c, g, "search", c->search, IMAGE_MAX_SERVERS);
        for (size_t i = 0; i < c->n_search; i++)
                check_host(g, "search", c->search[i]);
}

static void read_syslog(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "syslog");
        if (!g)
                return;
        (void)conf_addr(g, "address", &c->syslog); /* the error is kept by conf */
        c->syslog_port = (uint16_t)conf_int_or(g, "port", 1, 65535, 514);
        const char *protocol = conf_str_or(g, "protocol", "udp");
        c->syslog_tcp = strcmp(protocol, "tcp") == 0;
        if (!c->syslog_tcp && strcmp(protocol, "udp") != 0)
                conf_error(g, "protocol", "must be \"udp\" or \"tcp\", not \"%s\"", protocol);
}

/* Printable, and nothing that ends a quoted string of another program's file. */
static bool is_plain(const char *s)
{
        for (; *s; s++)
                if (*s < 0x20 || *s > 0x7e || *s == '"' || *s == '\\')
                        return false;
        return true;
}

static void read_bgp(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "bgp");
        if (!g)
                return;
        c->bgp_as = (uint32_t)conf_int(g, "as", 1, UINT32_MAX - 1);
        if (conf_addr(g, "router_id", &c->bgp_router_id) && c->bgp_router_id.af != 4)
                conf_error(g, "router_id", "must be an IPv4 address");
        size_t n = conf_list_len(g, "neighbours");
        if (n == 0 || n > IMAGE_MAX_NEIGHBOURS) {
                conf_error(g, "neighbours", "1 to %d are needed, not %zu", IMAGE_MAX_NEIGHBOURS, n);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *ng = conf_list_group(g, "neighbours", i);
                struct bgp_neighbour *b = &c->neighbours[i];
                (void)conf_addr(ng, "address", &b->address); /* the error is kept by conf */
                b->as = (uint32_t)conf_int(ng, "as", 1, UINT32_MAX - 1);
                b->password = read_str(c, ng, "password", "");
                b->hold_s = (unsigned)conf_int_or(ng, "hold_s", 3, 3600, 9);
                b->multihop = conf_bool_or(ng, "multihop", false);
                if (!is_plain(b->password) || strlen(b->password) > 80) /* RFC 2385: TCP_MD5SIG_MAXKEYLEN */
                        conf_error(ng, "password", "at most 80 printable characters without quotes and backslashes");
        }
        c->n_neighbours = n;
}

static void read_update(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "update");
        struct update_conf *u = &c->update;
        u->url = u->channel = "";
        if (!g)
                return;
        const char *window = conf_str_or(g, "window", "03:00-05:00");
        u->automatic = conf_bool_or(g, "automatic", false);
        if (auto_window_parse(window, &u->window) < 0)
                conf_error(g, "window", "\"%s\" is no time of day such as \"03:00-05:00\" (UTC), of %d minutes at least", window, AUTO_WINDOW_MIN);
        u->url = read_str(c, g, "url", "");
        if (*u->url && (!is_plain(u->url) || strchr(u->url, ' ') ||
                        (strncmp(u->url, "https://", 8) != 0 && strncmp(u->url, "http://", 7) != 0)))
                conf_error(g, "url", "\"%s\" is no http or https URL", u->url);
        if (u->automatic && !*u->url)
                conf_error(g, "automatic", "needs a url");
        if (conf_str_or(g, "channel", "")[0])
                read_name(c, g, "channel", 32, &u->channel);
        u->n_keys = read_strings(c, g, "keys", u->keys, IMAGE_MAX_KEYS);
        for (size_t i = 0; i < u->n_keys; i++)
                if (!strstr(u->keys[i], "-----BEGIN PUBLIC KEY-----"))
                        conf_error(g, "keys", "element %zu is no public key in PEM", i);
}

static void read_debug(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "debug");
        if (!g)
                return;
        c->n_ssh_keys = read_strings(c, g, "ssh_keys", c->ssh_keys, IMAGE_MAX_KEYS);
        for (size_t i = 0; i < c->n_ssh_keys; i++)
                if (!is_plain(c->ssh_keys[i]) || !*c->ssh_keys[i])
                        conf_error(g, "ssh_keys", "element %zu is no line of an authorized_keys file", i);
}

void read_services(struct config *c, const struct conf_group *root)
{
        read_time(c, root);
        read_dns(c, root);
        read_syslog(c, root);
        read_bgp(c, root);
        read_update(c, root);
        read_debug(c, root);
}
