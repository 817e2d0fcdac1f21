/* image/core/activate.c - see activate.h. */
#include "lib/base.h"
#include "image/core/activate.h"
#include "image/core/render.h"

struct plan {
        struct arena *a;
        struct activate_step *v;
        size_t n, cap;
        bool failed;
};

static void add(struct plan *p, const char *verb, const char *unit)
{
        struct activate_step *s = p->n ? &p->v[p->n - 1] : NULL;
        size_t k = 0;
        if (s && strcmp(s->verb, verb) == 0 && unit) { /* one transaction: systemd orders what is in it */
                while (s->units[k] && strcmp(s->units[k], unit) != 0)
                        k++;
                if (s->units[k])
                        return; /* there already */
        }
        if (!s || strcmp(s->verb, verb) != 0 || k == ACTIVATE_MAX_UNITS) {
                if (p->n == p->cap) {
                        p->failed = true;
                        return;
                }
                s = &p->v[p->n++];
                *s = (struct activate_step){.verb = verb};
                k = 0;
        }
        if (unit)
                s->units[k] = unit;
}

/* The rest of path behind prefix, or NULL. */
static const char *below(const char *path, const char *prefix)
{
        size_t n = strlen(prefix);
        return strncmp(path, prefix, n) == 0 ? path + n : NULL;
}

/* "l7gw@a-1.service" of ".../l7gw@a-1.service.d/x", ".../l7gw/a-1.cfg" or ".../net/a-1.batch". */
static const char *unit_of(struct plan *p, const char *unit, const char *rest, const char *end)
{
        size_t n = strlen(rest), e = strlen(end);
        if (n <= e || strcmp(rest + n - e, end) != 0 || memchr(rest, '/', n - e))
                return NULL;
        const char *s = arena_printf(p->a, "%s@%.*s.service", unit, (int)(n - e), rest);
        if (!s)
                p->failed = true;
        return s;
}

static void stop_removed(struct plan *p, const char *path, bool (*gone)(void *, const char *), void *arg)
{
        const char *unit = below(path, RENDER_WANTS "/");
        if (unit && gone(arg, path))
                add(p, "stop", unit);
}

static const struct {
        const char *prefix, *verb, *unit;
        bool stops; /* the unit has no business without the file */
} rules[] = {
        {RENDER_ETC "/nftables.conf", "reload-or-restart", "gatehouse-nftables.service", false}, /* closed before opened */
        {RENDER_NETWORK "/", "restart", "systemd-networkd.service", false},
        {"/run/systemd/resolved.conf.d/", "restart", "systemd-resolved.service", false},
        {RENDER_ETC "/ports.in", "restart", "gatehouse-ports.service", false}, /* and with it l4lb, links and shards */
        {RENDER_ETC "/l4lb.cfg", "restart", "l4lb.service", true},
        {RENDER_ETC "/agent.cfg", "restart", "gatehouse-agent.service", true},
        {RENDER_ETC "/kubeconfig", "restart", "gatehouse-agent.service", false},
        {RENDER_ETC "/chrony.conf", "restart", "chrony.service", false},
        {RENDER_ETC "/bird.conf", "reload-or-restart", "gatehouse-bird.service", true},
        {RENDER_ETC "/advertise.cfg", "restart", "gatehouse-advertise.service", true},
        {RENDER_ETC "/syslog.cfg", "restart", "gatehouse-syslog.service", true},
};

static void restart_shards(struct plan *p, const char *path, bool (*gone)(void *, const char *), void *arg)
{
        const char *rest, *unit = NULL;
        if (gone(arg, path))
                return; /* stopped above */
        if ((rest = below(path, RENDER_ETC "/l7gw/")))
                unit = unit_of(p, "l7gw", rest, ".cfg");
        else if ((rest = below(path, RENDER_UNITS "/l7gw@")))
                unit = unit_of(p, "l7gw", rest, ".service.d/50-gatehouse.conf");
        else if ((rest = below(path, RENDER_ETC "/net/")))
                unit = unit_of(p, "gatehouse-netns", rest, ".batch"); /* and with it its shard */
        if (unit)
                add(p, "restart", unit);
}

int activate_plan(const char *const *changed, size_t n, bool (*gone)(void *arg, const char *path), void *arg, struct arena *a,
                  struct activate_step **ret, size_t *ret_n)
{
        struct plan p = {.a = a, .cap = n + ARRAY_SIZE(rules) + 8};
        bool reload = false;
        p.v = arena_calloc(a, p.cap, sizeof *p.v);
        if (!p.v)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                stop_removed(&p, changed[i], gone, arg);
                reload |= below(changed[i], RENDER_UNITS "/") != NULL;
        }
        if (reload)
                add(&p, "daemon-reload", NULL);
        for (size_t r = 0; r < ARRAY_SIZE(rules); r++)
                for (size_t i = 0; i < n; i++)
                        if (below(changed[i], rules[r].prefix))
                                add(&p, rules[r].stops && gone(arg, changed[i]) ? "stop" : rules[r].verb, rules[r].unit);
        for (size_t i = 0; i < n; i++)
                restart_shards(&p, changed[i], gone, arg);
        if (n)
                add(&p, "start", "gatehouse.target");
        if (p.failed)
                return -ENOMEM;
        *ret = p.v;
        *ret_n = p.n;
        return 0;
}
