/* l4lb/io/announcer.c - see announcer.h. */
#include "lib/base.h"
#include "l4lb/io/announcer.h"

static bool has_vip(const struct tables *t, const struct ipaddr *a)
{
        return (a->af == 4 ? tables_vip4(t, a->b) : tables_vip6(t, a->b)) != VIP_NONE;
}

static void announce(struct announcer *a, const struct ipaddr *addr)
{
        struct frame_out f;
        for (size_t i = 0; i < a->net->n_ports; i++) {
                if (a->net->ports[i].role != PORT_UPLINK)
                        continue;
                announce_frame(&a->net->ports[i], (uint8_t)i, addr, &f);
                a->n_sent += workers_send(a->workers, f.port, f.b, f.len);
        }
}

static void announcer_tick(struct timer *t, uint64_t now_ms)
{
        struct announcer *a = CONTAINER_OF(t, struct announcer, timer);
        for (size_t i = 0; i < ANNOUNCE_BATCH && a->next < a->n; i++)
                announce(a, &a->addrs[a->next++]);
        uint64_t wait_ms = ANNOUNCE_BATCH_MS;
        if (a->next == a->n) {
                a->next = 0;
                wait_ms = ANNOUNCE_INTERVAL_MS;
                if (--a->rounds_left == 0) {
                        a->n = 0;
                        return;
                }
        }
        timer_set(loop_timers(a->loop), &a->timer, now_ms + wait_ms);
}

void announcer_init(struct announcer *a, struct loop *l, struct workers *ws, const struct net *net)
{
        *a = (struct announcer){.loop = l, .workers = ws, .net = net};
        timer_init(&a->timer, announcer_tick);
}

void announcer_fini(struct announcer *a)
{
        timer_stop(&a->timer);
        free(a->addrs);
        a->addrs = NULL;
}

void announcer_start(struct announcer *a, const struct tables *now, const struct tables *before)
{
        size_t n = 0;
        struct ipaddr *addrs = calloc((size_t)now->n_vips + 1, sizeof *addrs);
        if (!addrs)
                return; /* neighbours ask sooner or later: announcing only makes a takeover faster */
        for (uint32_t i = 0; i < now->n_vips; i++) {
                const struct ipaddr *v = &now->vips[i].addr;
                bool wanted = !before || !has_vip(before, v);
                for (size_t k = 0; k < a->n && !wanted; k++)
                        wanted = ipaddr_eq(&a->addrs[k], v);
                if (wanted)
                        addrs[n++] = *v;
        }
        free(a->addrs);
        a->addrs = addrs;
        a->n = n;
        a->next = 0;
        a->rounds_left = ANNOUNCE_ROUNDS;
        if (n)
                timer_set(loop_timers(a->loop), &a->timer, loop_now_ms(a->loop));
        else
                timer_stop(&a->timer);
}

void announcer_defend(struct announcer *a, uint8_t in_port, const uint8_t *frame, size_t len)
{
        struct ipaddr addr;
        struct frame_out f;
        uint8_t mac[6];
        char text[IPADDR_STR_MAX];
        if (!claim_read(frame, len, &addr, mac) || !defender_take(&a->defender, &addr, loop_now_ms(a->loop)))
                return;
        log_warn("address_conflict", "port=%s addr=%s mac=%02x:%02x:%02x:%02x:%02x:%02x action=%s",
                 a->net->ports[in_port].name, ipaddr_str(&addr, text), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
                 LOG_ESC("announced as ours; two stations have one address"));
        announce_frame(&a->net->ports[in_port], in_port, &addr, &f);
        a->n_sent += workers_send(a->workers, f.port, f.b, f.len);
}
