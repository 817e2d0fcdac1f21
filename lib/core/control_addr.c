/* lib/core/control_addr.c - see control_addr.h. */
#include "lib/base.h"
#include "lib/core/control_addr.h"

static bool starts(struct span s, const char *with, struct span *ret_rest)
{
        size_t n = strlen(with);
        if (s.n < n || memcmp(s.p, with, n) != 0)
                return false;
        *ret_rest = (struct span){ s.p + n, s.n - n };
        return true;
}

static bool port_parse(struct span s, uint16_t *ret)
{
        uint32_t v = 0;
        if (s.n == 0 || s.n > 5 || s.p[0] == '0')
                return false;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return false;
                v = v * 10 + (uint32_t)(s.p[i] - '0');
        }
        if (v > UINT16_MAX)
                return false;
        *ret = (uint16_t)v;
        return true;
}

int control_addr_parse_ip(struct span text, struct control_addr *ret, const char **ret_why)
{
        struct control_addr a = { .kind = CONTROL_TLS };
        bool six = text.n && text.p[0] == '[';
        const uint8_t *end = six ? memchr(text.p, ']', text.n) : text.n ? memchr(text.p, ':', text.n) : NULL;
        *ret_why = "expected ADDRESS:PORT, as in 192.0.2.5:7443 or [2001:db8::5]:7443";
        if (!end)
                return -EINVAL;
        struct span ip = { text.p + six, (size_t)(end - text.p) - six };
        struct span rest = { end + six, text.n - (size_t)(end - text.p) - six };
        if (ipaddr_parse(ip, &a.ip) < 0 || (a.ip.af == 6) != six || rest.n == 0 || rest.p[0] != ':')
                return -EINVAL;
        if (!port_parse((struct span){ rest.p + 1, rest.n - 1 }, &a.port)) {
                *ret_why = "the port must be 1 to 65535";
                return -EINVAL;
        }
        *ret = a;
        return 0;
}

int control_addr_parse(struct span text, struct control_addr *ret, const char **ret_why)
{
        struct span rest;
        if (starts(text, "tls:", &rest))
                return control_addr_parse_ip(rest, ret, ret_why);
        if (!starts(text, "unix:", &rest)) {
                *ret_why = "expected unix:/PATH or tls:ADDRESS:PORT";
                return -EINVAL;
        }
        if (rest.n == 0 || rest.p[0] != '/' || memchr(rest.p, '\0', rest.n)) {
                *ret_why = "expected an absolute path behind unix:";
                return -EINVAL;
        }
        if (rest.n >= CONTROL_PATH_MAX) {
                *ret_why = "the path of a socket is at most 107 bytes long";
                return -EINVAL;
        }
        struct control_addr a = { .kind = CONTROL_UNIX };
        memcpy(a.path, rest.p, rest.n);
        *ret = a;
        return 0;
}

const char *control_addr_str(const struct control_addr *a, char ret[CONTROL_ADDR_STR_MAX])
{
        char ip[IPADDR_STR_MAX];
        if (a->kind == CONTROL_UNIX)
                snprintf(ret, CONTROL_ADDR_STR_MAX, "unix:%s", a->path);
        else
                snprintf(ret, CONTROL_ADDR_STR_MAX, a->ip.af == 6 ? "tls:[%s]:%u" : "tls:%s:%u", ipaddr_str(&a->ip, ip), a->port);
        return ret;
}
