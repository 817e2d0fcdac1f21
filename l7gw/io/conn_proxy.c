/* l7gw/io/conn_proxy.c - the PROXY header in front of a client connection.  See conn_priv.h and core/proxy_header.
 * It comes before TLS, from trusted networks only; its addresses take the place of the socket's. */
#include "lib/base.h"
#include "l7gw/core/proxy_header.h"
#include "l7gw/io/conn_priv.h"

static void refuse(struct conn *c)
{
        worker_count(c->w, WORKER_PROXY_REFUSED);
        conn_close(c); /* without a word: nobody knows who is on the other side */
}

static void client_set(struct conn *c, const struct proxy_addrs *a)
{
        if (!a->known)
                return; /* the relay itself, a health check of its mostly */
        c->peer = a->src;
        c->peer_port = a->src_port;
        c->local = a->dst;
        c->local_port = a->dst_port;
        ipaddr_str(&c->peer, c->peer_text);
}

struct proxy_addrs conn_proxy_addrs(const struct conn *c)
{
        struct proxy_addrs a = {.known = c->peer.af != 0 && c->peer.af == c->local.af};
        if (a.known) {
                a.src = c->peer;
                a.dst = c->local;
                a.src_port = c->peer_port;
                a.dst_port = c->local_port;
        }
        return a;
}

void conn_proxy_feed(struct conn *c, struct span in)
{
        struct proxy_addrs addrs;
        struct buf held = c->in;
        size_t used;
        if (held.n > 0)
                buf_add(&held, in.p, in.n);
        struct span all = held.n > 0 ? buf_span(&held) : in;
        buf_init(&c->in, held.max_bytes);
        switch (proxy_header_parse(all, &addrs, &used)) {
        case PROXY_MORE:
                if (held.n == 0)
                        buf_add(&held, in.p, in.n);
                c->in = held; /* at most PROXY_V2_MAX and one read */
                if (c->in.failed)
                        conn_close(c);
                return;
        case PROXY_BAD:
                buf_fini(&held);
                refuse(c);
                return;
        case PROXY_NONE:
                if (c->proxy == MODEL__PROXY_PROTOCOL__PROXY_REQUIRED) {
                        buf_fini(&held);
                        refuse(c);
                        return;
                }
                break;
        case PROXY_HEADER:
                client_set(c, &addrs);
                break;
        }
        c->proxy = MODEL__PROXY_PROTOCOL__PROXY_OFF;
        struct span rest = SPAN(all.p + used, all.n - used);
        if (held.failed)
                conn_close(c);
        else if (rest.n > 0 && c->tls)
                conn_tls_feed(c, rest);
        else if (rest.n > 0)
                conn_feed(c, rest);
        buf_fini(&held);
}
