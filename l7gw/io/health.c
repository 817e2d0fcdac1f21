/* l7gw/io/health.c - see health.h. */
#include "lib/base.h"
#include "l7gw/io/health.h"
#include "l7gw/io/socket.h"

#include <unistd.h>

struct health_port {
        struct loop_fd f;
        int fd;
};
struct health {
        size_t n;
        struct health_port ports[OPTIONS_MAX_HEALTH];
};

static void health_event(struct loop_fd *f, unsigned events)
{
        int fd;
        (void)events;
        while ((fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
                close(fd); /* the handshake was the answer */
}

int health_new(struct loop *l, const struct options *o, struct health **ret, struct err *reterr)
{
        struct health *h = calloc(1, sizeof *h);
        if (!h)
                return err_set(reterr, ENOMEM, "health", "out of memory");
        for (size_t i = 0; i < o->n_health; i++) {
                struct health_port *p = &h->ports[i];
                int r = p->fd = socket_bind(&o->health[i], o->health_port);
                if (r >= 0) {
                        h->n++;
                        p->f.fd = -1;
                        r = listen(p->fd, 64) < 0 ? -errno : loop_add(l, &p->f, p->fd, health_event);
                }
                if (r < 0) {
                        char text[IPADDR_STR_MAX];
                        health_free(h);
                        return err_set(reterr, -r, "health", "cannot listen on %s port %u: %s",
                                       ipaddr_str(&o->health[i], text), o->health_port, strerror(-r));
                }
        }
        *ret = h;
        return 0;
}

void health_free(struct health *h)
{
        if (!h)
                return;
        for (size_t i = 0; i < h->n; i++) {
                loop_del(&h->ports[i].f);
                close(h->ports[i].fd);
        }
        free(h);
}
