/* image/core/render.c - see render.h: all of it, and the texts its parts share. */
#include "lib/base.h"
#include "image/core/render_parts.h"

const char *prefix_str(const struct ipprefix *p, char ret[PREFIX_STR_MAX])
{
        char a[IPADDR_STR_MAX];
        snprintf(ret, PREFIX_STR_MAX, "%s/%u", ipaddr_str(&p->addr, a), p->len);
        return ret;
}

const char *network_str(const struct ipprefix *p, char ret[PREFIX_STR_MAX])
{
        struct ipprefix net = *p;
        for (size_t bit = p->len; bit < 8 * ipaddr_len(&p->addr); bit++)
                net.addr.b[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
        return prefix_str(&net, ret);
}

void cfg_str(struct buf *b, const char *s)
{
        buf_str(b, "\"");
        for (; *s; s++) {
                if (*s == '"' || *s == '\\')
                        buf_str(b, "\\");
                buf_add(b, s, 1);
        }
        buf_str(b, "\"");
}

void cfg_strings(struct buf *b, const char *const *v, size_t n)
{
        buf_str(b, "[");
        for (size_t i = 0; i < n; i++) {
                buf_str(b, i ? ", " : " ");
                cfg_str(b, v[i]);
        }
        buf_str(b, " ]");
}

void cfg_prefixes(struct buf *b, const struct ipprefix *v, size_t n)
{
        char s[PREFIX_STR_MAX];
        buf_str(b, "[");
        for (size_t i = 0; i < n; i++)
                buf_printf(b, "%s\"%s\"", i ? ", " : " ", prefix_str(&v[i], s));
        buf_str(b, " ]");
}

bool render_has_exception(const struct config *c, size_t i)
{
        if (c->data[i].to_shards)
                return false;
        return c->n_neighbours > 0 || (c->management.nic.by == NIC_SHARED && c->management.nic.shared == i) ||
               (c->backend.nic.by == NIC_SHARED && c->backend.nic.shared == i);
}

int render_all(const struct render *r, struct files *out, struct err *reterr)
{
        int rc = render_daemons(r, out, reterr);
        if (rc < 0)
                return rc;
        render_network(r, out);
        render_services(r, out);
        return out->failed ? err_set(reterr, ENOMEM, "", "what is rendered does not fit in memory") : 0;
}
