/* lib/io/dpclient_endpoints.c - ENDPOINTS: sets newer than the manifest's, beside it.  See dpclient_priv.h.
 * A set over one frame comes in parts, which are put together here before anything looks at them. */
#include "lib/base.h"
#include "lib/io/dpclient_priv.h"

void endpoints_forget(struct dpclient *c)
{
        if (c->set_parts)
                model__endpoint_set__free_unpacked(c->set_parts, NULL);
        c->set_parts = NULL;
        c->set_bytes = 0;
}

static const Model__EndpointSet *set_now(const struct dpclient *c, const Model__EndpointSet *base)
{
        const Model__EndpointSet *fresh = fresh_get(c->fresh, base->id);
        return fresh ? fresh : base;
}

void endpoints_recount(struct dpclient *c)
{
        const struct model *m = c->active->m;
        c->n_endpoints = 0;
        for (size_t i = 0; i < m->n_endpoint_sets; i++)
                c->n_endpoints += set_now(c, m->endpoint_sets[i])->n_endpoints;
}

static void refused(struct dpclient *c, const Model__EndpointSet *set, const char *why)
{
        uint32_t suppressed;
        if (log_permit(&c->endpoints_limit, 5, 10000, &suppressed))
                log_warn("endpoints_refused", "set=%s reason=%s action=keep_old suppressed=%u", LOG_ESC(set->id),
                         LOG_ESC(why), suppressed);
}

/* A whole set. */
static void endpoints_one(struct dpclient *c, const Model__EndpointSet *set)
{
        struct model_error e = {0};
        const Model__EndpointSet *base = c->active ? model_endpoint_set(c->active->m, set->id) : NULL;
        const Model__EndpointSet *now = base ? set_now(c, base) : fresh_get(c->fresh, set->id);
        if (model_check_endpoint_set(set, "endpoints", &e) < 0) {
                refused(c, set, e.err.msg);
                return;
        }
        if (now ? set->version <= now->version
                : !c->next) /* old news; or unknown, and nothing on its way may know it */
                return;
        size_t others = base ? c->n_endpoints - now->n_endpoints : 0; /* not served yet: counted with its manifest */
        if (c->limits.max_endpoints && others + set->n_endpoints > c->limits.max_endpoints) {
                refused(c, set, "more endpoints than this data plane takes");
                return;
        }
        int r = fresh_put(c->fresh, set, c->session);
        if (r < 0) { /* what we serve, tell of and store must be one: not kept is not served */
                refused(c, set, strerror(-r));
                return;
        }
        if (!base)
                return;
        c->n_endpoints = others + set->n_endpoints;
        c->ops.endpoints(c->arg, set);
        manifest_put(c->serving);
        c->serving = NULL;
        if (!timer_armed(&c->save))
                timer_set(loop_timers(c->loop), &c->save, loop_now_ms(c->loop) + c->flush_ms);
}

/* Moves part's endpoints behind those that have come. */
static int part_append(struct dpclient *c, Model__EndpointSet *part)
{
        Model__EndpointSet *to = c->set_parts;
        if (strcmp(part->id, to->id) != 0 || part->version != to->version)
                return dpclient_refuse(c, "ENDPOINTS: another set begins before the last ended");
        if (part->n_endpoints == 0)
                return dpclient_refuse(c, "ENDPOINTS: an empty part");
        Model__Endpoint **v = realloc(to->endpoints, (to->n_endpoints + part->n_endpoints) * sizeof *v);
        if (!v)
                return -ENOMEM;
        memcpy(v + to->n_endpoints, part->endpoints, part->n_endpoints * sizeof *v);
        to->endpoints = v;
        to->n_endpoints += part->n_endpoints;
        part->n_endpoints = 0;
        return 0;
}

/* One part: c->set_parts holds what has come, and is whole when 1 is returned. */
static int part_add(struct dpclient *c, Control__Endpoints *m, size_t n_bytes)
{
        if (m->n_sets != 1)
                return dpclient_refuse(c, "ENDPOINTS: %zu sets in a part", m->n_sets);
        int r = 0;
        if (c->set_parts) {
                r = part_append(c, m->sets[0]);
        } else {
                c->set_parts = m->sets[0];
                m->n_sets = 0; /* taken */
        }
        c->set_bytes += n_bytes;
        if (r == 0 && (c->set_parts->n_endpoints > MODEL_MAX_ENDPOINTS_PER_SET || c->set_bytes > FRESH_MAX_BYTES))
                r = dpclient_refuse(c, "ENDPOINTS: set %.60s is over its limit", c->set_parts->id);
        return r < 0 ? r : !m->more;
}

int apply_endpoints(struct dpclient *c, Control__Endpoints *m, size_t n_bytes)
{
        if (c->set_parts || m->more) {
                int r = part_add(c, m, n_bytes);
                if (r <= 0)
                        return r;
                endpoints_one(c, c->set_parts);
                endpoints_forget(c);
                return 0;
        }
        for (size_t i = 0; i < m->n_sets; i++)
                endpoints_one(c, m->sets[i]);
        return 0;
}
