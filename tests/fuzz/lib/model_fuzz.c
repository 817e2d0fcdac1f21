/* tests/fuzz/lib/model_fuzz.c - any bytes as what an agent sends: a manifest off the wire, and sections to decode and
 * check. Input: a list of | u8 key | u16 length | bytes |; key 0 is a packed control.Manifest, the others are sections.
 * A refusal carries exactly one error with a place; what is accepted has no dangling reference. */
#include "lib/base.h"
#include "lib/control.pb-c.h"
#include "lib/core/cursor.h"
#include "lib/core/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keys[] = {"manifest",
                                   "gateway/default/web",
                                   "clusters/default",
                                   "endpoints/default",
                                   "certs/default",
                                   "keys/default",
                                   "trust/default",
                                   "policies",
                                   "l4"};

static void wire(struct span s)
{
        struct err e = {0};
        struct manifest *m = NULL;
        Control__Manifest *w = control__manifest__unpack(NULL, s.n, s.p);
        if (!w)
                return;
        int r = manifest_from_wire(w, &m, &e);
        BUG_ON((r < 0) != (e.msg[0] != 0));
        if (r == 0) { /* what was accepted says itself again */
                struct buf b;
                buf_init(&b, 1 << 24);
                BUG_ON(manifest_pack(m, &b) < 0);
                buf_fini(&b);
        }
        manifest_put(m);
        control__manifest__free_unpacked(w, NULL);
}

static void references(const struct model *m)
{
        for (size_t i = 0; i < m->n_clusters; i++)
                BUG_ON(m->clusters[i]->endpoint_set[0] && !model_endpoint_set(m, m->clusters[i]->endpoint_set));
        for (size_t i = 0; i < m->n_certificates; i++)
                BUG_ON(!model_key(m, m->certificates[i]->key));
        for (size_t i = 0; i < m->n_gateways; i++) {
                const Model__Gateway *g = m->gateways[i];
                for (size_t k = 0; k < g->n_listeners; k++)
                        for (size_t v = 0; v < g->listeners[k]->n_virtual_hosts; v++)
                                for (size_t e = 0; e < g->listeners[k]->virtual_hosts[v]->n_routes; e++) {
                                        const Model__RouteEntry *x = g->listeners[k]->virtual_hosts[v]->routes[e];
                                        BUG_ON(!x->match || x->rule >= g->n_rules);
                                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct cursor c = cur_of(SPAN(data, size));
        struct manifest *m = manifest_new(1);
        BUG_ON(!m);
        uint8_t key;
        uint16_t n;
        struct span s;
        while (cur_u8(&c, &key) && cur_u16_be(&c, &n) && cur_span(&c, MIN((size_t)n, cur_left(&c)), &s)) {
                key %= ARRAY_SIZE(keys);
                if (key == 0)
                        wire(s);
                else
                        BUG_ON(manifest_add(m, keys[key], s, key == 5) < 0); /* a duplicate is refused by seal */
        }
        if (manifest_seal(m, NULL) == 0) { /* no duplicate */
                struct model *model = NULL;
                struct model_error e = {0};
                int r = model_load(m, &model, &e);
                BUG_ON((r < 0) != (e.err.msg[0] != 0) || (r < 0 && !e.section[0]));
                if (r == 0)
                        references(model);
                model_free(model);
        }
        manifest_put(m);
        return 0;
}
