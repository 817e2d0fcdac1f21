/* lib/io/dpclient_apply.c - how a manifest becomes what is served: MANIFEST -> NEED -> SECTION... -> model_load ->
 * prepare -> PREPARED | NACK -> ACTIVATE -> activate -> ACTIVE -> store.
 *
 * Three manifests: `next` in flight, `base` that the active model was loaded from, `serving` = base with fresh endpoint
 * sets.  What we tell the agent and what we store is `serving`: after a reconnect the hashes differ exactly when
 * content differs, and a boot from the store has the last endpoints we knew. */
#include "lib/base.h"
#include "lib/core/frame.h"
#include "lib/io/dpclient_priv.h"

#include <inttypes.h>

#define NEED_PER_FRAME 4096 /* hashes: 144 KiB */
#define SAVE_DELAY_MS 5     /* behind the ACTIVE answer, which must not wait for fsync */

static struct span sha_span(const struct sha256 *s)
{
        return SPAN(s->b, SHA256_BYTES);
}
static bool hash_is(ProtobufCBinaryData h, const struct sha256 *s)
{
        return h.len == SHA256_BYTES && memcmp(h.data, s->b, h.len) == 0;
}

static const char *hex8(const struct sha256 *s, char ret[65])
{
        sha256_hex(s, ret);
        ret[16] = 0; /* enough to tell manifests apart in a log */
        return ret;
}

void apply_drop(struct dpclient *c)
{
        if (c->pending) {
                c->ops.abort(c->arg);
                model_free(c->pending->m);
                free(c->pending);
                c->pending = NULL;
        }
        blob_put(c->receiving);
        c->receiving = NULL;
        map_fini(&c->missing);
        c->n_missing = 0;
        manifest_put(c->next);
        c->next = NULL;
}

void apply_forget(struct dpclient *c)
{
        apply_drop(c);
        manifest_put(c->parts);
        c->parts = NULL;
        endpoints_forget(c);
}

/* ---------------------------------------------------------------- answers */

static bool is_looping(const struct dpclient *c, const struct manifest *m)
{
        return c->has_looping && memcmp(&m->hash, &c->looping, sizeof c->looping) == 0;
}

static int nack_send(struct dpclient *c, const struct model_error *e)
{
        Control__Nack n = CONTROL__NACK__INIT;
        Model__Source src = MODEL__SOURCE__INIT;
        char hex[65];
        n.hash = (ProtobufCBinaryData){SHA256_BYTES, c->next->hash.b};
        n.stage = e->stage <= CONTROL__NACK_STAGE__NACK_UNSUPPORTED ? (Control__NackStage)e->stage
                                                                    : CONTROL__NACK_STAGE__NACK_INTERNAL;
        n.section = (char *)e->section;
        n.reason = (char *)(e->err.msg[0] ? e->err.msg : "refused");
        n.retryable = !is_looping(c, c->next) && /* which asking again does not change */
                      (n.stage == CONTROL__NACK_STAGE__NACK_BIND || n.stage == CONTROL__NACK_STAGE__NACK_INTERNAL);
        if (e->has_source) {
                src.kind = (char *)e->kind;
                src.namespace_ = (char *)e->ns;
                src.name = (char *)e->name;
                src.section = (char *)e->src_section;
                src.generation = e->generation;
                src.rule = e->rule;
                src.match = e->match;
                n.source = &src;
        }
        log_warn("manifest_refused",
                 "generation=%" PRIu64
                 " hash=%s section=%s kind=%s object=%s/%s reason=%s action=keep_generation_%" PRIu64,
                 c->next->generation, hex8(&c->next->hash, hex), LOG_ESC(e->section), LOG_ESC(e->kind), LOG_ESC(e->ns),
                 LOG_ESC(e->name), LOG_ESC(n.reason), c->active ? c->active->m->generation : 0);
        int r = dpclient_send(c, FRAME_NACK, &n.base);
        apply_drop(c);
        dpclient_state_set(c, DP_READY);
        return r;
}

static int active_send(struct dpclient *c, const struct sha256 *hash, uint64_t generation, uint64_t apply_us)
{
        Control__Active a = CONTROL__ACTIVE__INIT;
        a.hash = (ProtobufCBinaryData){SHA256_BYTES, (uint8_t *)hash->b};
        a.generation = generation;
        a.apply_us = (uint32_t)MIN(apply_us, (uint64_t)UINT32_MAX);
        c->failures = 0; /* a useful session: the next redial starts from the short delay */
        return dpclient_send(c, FRAME_ACTIVE, &a.base);
}

/* ---------------------------------------------------------------- limits we announced in HELLO */

static int limit_check(const struct dpclient *c, const struct model *m, struct model_error *e)
{
        size_t routes = 0, endpoints = 0;
        for (size_t i = 0; i < m->n_gateways; i++)
                for (size_t k = 0; k < m->gateways[i]->n_listeners; k++)
                        for (size_t v = 0; v < m->gateways[i]->listeners[k]->n_virtual_hosts; v++)
                                routes += m->gateways[i]->listeners[k]->virtual_hosts[v]->n_routes;
        for (size_t i = 0; i < m->n_endpoint_sets; i++)
                endpoints += m->endpoint_sets[i]->n_endpoints;
        const struct {
                const char *what;
                size_t n;
                uint32_t max;
        } rows[] = {{"routes", routes, c->limits.max_routes},
                    {"clusters", m->n_clusters, c->limits.max_clusters},
                    {"endpoints", endpoints, c->limits.max_endpoints},
                    {"certificates", m->n_certificates, c->limits.max_certificates},
                    {"VIPs", m->l4 ? m->l4->n_vips : 0, c->limits.max_vips}};
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                if (rows[i].max == 0 || rows[i].n <= rows[i].max)
                        continue;
                model_error_set(e, CONTROL__NACK_STAGE__NACK_LIMIT, "manifest", NULL,
                                "%zu %s, this data plane takes %u", rows[i].n, rows[i].what, rows[i].max);
                return -E2BIG;
        }
        return 0;
}

/* Loads and prepares: on success the model is the data plane's pending one. */
static int build(struct dpclient *c, const struct manifest *m, struct held **ret, struct model_error *e)
{
        struct held *h = calloc(1, sizeof *h);
        if (!h) {
                model_error_set(e, CONTROL__NACK_STAGE__NACK_INTERNAL, "manifest", NULL, "out of memory");
                return -ENOMEM;
        }
        int r = model_load(m, &h->m, e);
        if (r == 0)
                r = limit_check(c, h->m, e);
        if (r == 0)
                r = c->ops.prepare(c->arg, h->m, e);
        if (r < 0) {
                model_free(h->m);
                free(h);
                return r;
        }
        *ret = h;
        return 0;
}

static int prepare(struct dpclient *c)
{
        struct model_error e = {0};
        if (is_looping(c, c->next)) {
                model_error_set(&e, CONTROL__NACK_STAGE__NACK_INTERNAL, "manifest", NULL,
                                "crash loop: this data plane crashed %d times within %d s on it", LKG_CRASHES,
                                LKG_CRASH_WINDOW_S);
                return nack_send(c, &e);
        }
        if (build(c, c->next, &c->pending, &e) < 0)
                return nack_send(c, &e);
        dpclient_state_set(c, DP_PREPARED);
        Control__Prepared p = CONTROL__PREPARED__INIT;
        p.hash = (ProtobufCBinaryData){SHA256_BYTES, c->next->hash.b};
        return dpclient_send(c, FRAME_PREPARED, &p.base);
}

/* ---------------------------------------------------------------- MANIFEST, NEED, SECTION */

/* A blob for e from what we serve: the same key first, then any section with this content. */
static struct blob *blob_have(struct dpclient *c, const struct map *ours, const struct manifest_entry *e)
{
        struct blob *b = map_get(ours, sha_span(&e->sha));
        if (b && b->secret == e->secret && b->n == e->len_bytes)
                return blob_get(b);
        b = c->lkg ? lkg_blob(c->lkg, &e->sha, e->secret) : NULL;
        if (b && b->n != e->len_bytes) {
                blob_put(b);
                b = NULL;
        }
        return b;
}

static int ours_add(struct map *ours, const struct manifest *m)
{
        for (size_t i = 0; m && i < m->n; i++)
                if (map_put(ours, sha_span(&m->entries[i].sha), m->entries[i].blob) < 0)
                        return -ENOMEM;
        return 0;
}

/* Fills next from what we have; the rest goes into c->missing. */
static int next_fill(struct dpclient *c)
{
        struct map ours;
        map_init(&ours);
        int r = ours_add(&ours, c->base);
        if (r == 0)
                r = ours_add(&ours, c->serving);
        for (size_t i = 0; r == 0 && i < c->next->n; i++) {
                struct manifest_entry *e = &c->next->entries[i];
                const struct manifest_entry *same = map_get(&c->missing, sha_span(&e->sha));
                if (same) { /* two sections of one content come once, so they must be alike */
                        if (same->len_bytes != e->len_bytes || same->secret != e->secret)
                                r = dpclient_refuse(c, "sections %.60s and %.60s claim one content and differ",
                                                    same->key, e->key);
                        continue;
                }
                e->blob = blob_have(c, &ours, e);
                if (e->blob)
                        continue;
                r = map_put(&c->missing, sha_span(&e->sha), e);
                c->n_missing++;
        }
        map_fini(&ours);
        return r;
}

/* In manifest order, so deterministic; in several frames when there are many. */
static int need_send(struct dpclient *c)
{
        Control__Need n = CONTROL__NEED__INIT;
        int r = 0;
        n.sha256 = calloc(MIN(c->n_missing, (size_t)NEED_PER_FRAME), sizeof *n.sha256);
        if (!n.sha256)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < c->next->n; i++) {
                struct manifest_entry *e = &c->next->entries[i];
                if (map_get(&c->missing, sha_span(&e->sha)) != e)
                        continue;
                n.sha256[n.n_sha256++] = (ProtobufCBinaryData){SHA256_BYTES, e->sha.b};
                if (n.n_sha256 < NEED_PER_FRAME)
                        continue;
                r = dpclient_send(c, FRAME_NEED, &n.base);
                n.n_sha256 = 0;
        }
        if (r == 0 && n.n_sha256)
                r = dpclient_send(c, FRAME_NEED, &n.base);
        free(n.sha256);
        return r;
}

/* Does this manifest say just what we serve?  Endpoint sets from an earlier session count only by content. */
static bool is_served(struct dpclient *c, const struct manifest *m)
{
        const struct manifest *serving = dpclient_serving(c);
        if (!serving)
                return false;
        if (memcmp(&m->hash, &serving->hash, sizeof m->hash) == 0)
                return true;
        return memcmp(&m->hash, &c->base->hash, sizeof m->hash) == 0 && !fresh_has_older(c->fresh, c->session);
}

int apply_manifest(struct dpclient *c, const Control__Manifest *w)
{
        struct err e = {0};
        int r = manifest_add_wire(&c->parts, w, &e);
        if (r < 0)
                return dpclient_refuse(c, "MANIFEST: %s: %.100s", e.place, e.msg);
        if (r == 0)
                return 0;
        struct manifest *m = TAKE_PTR(c->parts);
        bool replaced = c->next != NULL;
        apply_drop(c);
        if (is_served(c, m)) {
                if (replaced)
                        dpclient_state_set(c, DP_READY);
                c->active->m->generation = c->base->generation = c->serving->generation = m->generation;
                r = active_send(c, &m->hash, m->generation, 0);
                manifest_put(m);
                return r;
        }
        dpclient_state_set(c, DP_RECEIVING);
        c->next = m;
        r = next_fill(c);
        if (r < 0)
                return r;
        return c->n_missing ? need_send(c) : prepare(c);
}

/* The section is whole: it goes to every entry of this content. */
static int section_done(struct dpclient *c)
{
        struct blob *b = TAKE_PTR(c->receiving);
        blob_seal(b);
        if (memcmp(&b->sha, &c->receiving_sha, sizeof b->sha) != 0) {
                blob_put(b);
                return dpclient_refuse(c, "SECTION: its content does not have its hash");
        }
        for (size_t i = 0; i < c->next->n; i++) {
                struct manifest_entry *e = &c->next->entries[i];
                if (!e->blob && memcmp(&e->sha, &b->sha, sizeof b->sha) == 0)
                        e->blob = blob_get(b);
        }
        map_del(&c->missing, sha_span(&b->sha));
        c->n_missing--;
        blob_put(b);
        return c->n_missing ? 0 : prepare(c);
}

static int section_begin(struct dpclient *c, const Control__SectionChunk *s)
{
        const struct manifest_entry *e = map_get(&c->missing, SPAN(s->sha256.data, SHA256_BYTES));
        BUG_ON(!e);
        c->receiving = blob_alloc(e->len_bytes, e->secret);
        if (!c->receiving)
                return -ENOMEM;
        c->receiving_sha = e->sha;
        c->receiving_at = 0;
        return 0;
}

int apply_section(struct dpclient *c, const Control__SectionChunk *s)
{
        if (s->sha256.len != SHA256_BYTES)
                return dpclient_refuse(c, "SECTION: a hash of %zu bytes", s->sha256.len);
        /* Still on its way for a manifest that was replaced or aborted: not an error. */
        if (c->state != DP_RECEIVING || !map_get(&c->missing, SPAN(s->sha256.data, SHA256_BYTES)))
                return 0;
        if (!c->receiving) {
                if (s->offset != 0)
                        return 0; /* the tail of such a one; NEED asks for all of it again */
                int r = section_begin(c, s);
                if (r < 0)
                        return r;
        }
        if (!hash_is(s->sha256, &c->receiving_sha))
                return dpclient_refuse(c, "SECTION: another one begins before the last ended");
        size_t left = c->receiving->n - c->receiving_at;
        if (s->offset != c->receiving_at || s->data.len > left || (s->last ? s->data.len != left : s->data.len == 0))
                return dpclient_refuse(c, "SECTION: %zu bytes at %" PRIu64 " of %zu, expected %zu", s->data.len,
                                       s->offset, c->receiving->n, c->receiving_at);
        if (s->data.len)
                memcpy(c->receiving->p + c->receiving_at, s->data.data, s->data.len);
        c->receiving_at += s->data.len;
        return s->last ? section_done(c) : 0;
}

/* ---------------------------------------------------------------- ACTIVATE, ABORT */

static uint64_t clock_us(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void endpoints_again(void *arg, const Model__EndpointSet *set)
{
        struct dpclient *c = arg;
        c->ops.endpoints(c->arg, set);
}

/* h becomes active.  session 0: at boot. */
static void activate(struct dpclient *c, struct held *h, struct manifest *base)
{
        if (c->active) {
                c->active->next = c->old;
                c->old = c->active;
        }
        c->active = h;
        manifest_put(c->base);
        c->base = base;
        manifest_put(c->serving);
        c->serving = NULL;
        c->ops.activate(c->arg, h->m);
        fresh_rebase(c->fresh, h->m, c->session, endpoints_again, c);
        endpoints_recount(c);
}

int apply_activate(struct dpclient *c, ProtobufCBinaryData hash)
{
        char hex[65];
        if (c->state != DP_PREPARED || !hash_is(hash, &c->next->hash)) {
                log_warn("activate_stale", "action=%s", "ignore"); /* crossed a newer MANIFEST of ours or an abort */
                return 0;
        }
        uint64_t begin_us = clock_us();
        activate(c, TAKE_PTR(c->pending), TAKE_PTR(c->next));
        apply_drop(c);
        uint64_t us = clock_us() - begin_us;
        dpclient_state_set(c, DP_READY);
        timer_set(loop_timers(c->loop), &c->save, loop_now_ms(c->loop) + SAVE_DELAY_MS);
        log_info("model_active", "generation=%" PRIu64 " hash=%s apply_us=%" PRIu64, c->base->generation,
                 hex8(&c->base->hash, hex), us);
        return active_send(c, &c->base->hash, c->base->generation, us);
}

int apply_abort(struct dpclient *c, ProtobufCBinaryData hash)
{
        if (!c->next || !hash_is(hash, &c->next->hash))
                return 0; /* gone already */
        log_info("manifest_aborted", "generation=%" PRIu64, c->next->generation);
        apply_drop(c);
        dpclient_state_set(c, DP_READY);
        return 0;
}

/* ---------------------------------------------------------------- what is served, the store */

const struct manifest *dpclient_serving(struct dpclient *c)
{
        uint32_t suppressed;
        if (!c->active || c->serving)
                return c->serving;
        int r = fresh_empty(c->fresh) ? 0 : fresh_merge(c->fresh, c->base, c->active->m, &c->serving);
        if (r < 0 && log_permit(&c->save_limit, 1, 60000, &suppressed))
                log_warn("merge_failed", "reason=%s action=use_manifest suppressed=%u", LOG_ESC(strerror(-r)),
                         suppressed);
        if (!c->serving)
                c->serving = manifest_get(c->base);
        return c->serving;
}

void apply_save(struct dpclient *c)
{
        struct err e = {0};
        uint32_t suppressed;
        const struct manifest *m = dpclient_serving(c);
        timer_stop(&c->save);
        if (!m || !c->lkg)
                return;
        if (lkg_save(c->lkg, m, &e) < 0 && log_permit(&c->save_limit, 1, 60000, &suppressed))
                log_error("lkg_not_saved", "place=%s reason=%s action=serve_on suppressed=%u", LOG_ESC(e.place),
                          LOG_ESC(e.msg), suppressed);
}

/* ---------------------------------------------------------------- boot */

/* The manifest we kept crashing on is noted and the other slot's takes its place.  There is none: it is tried again, for
 * serving now and then is better than never. */
static struct manifest *boot_pass_over(struct dpclient *c, struct manifest *bad)
{
        struct manifest *m = NULL;
        char hex[65];
        int r = lkg_load_previous(c->lkg, &m, NULL);
        if (r == 0 && memcmp(&m->hash, &bad->hash, sizeof m->hash) == 0) {
                manifest_put(m); /* the same once more */
                r = -ENOENT;
        }
        log_error("crash_loop", "generation=%" PRIu64 " hash=%s crashes=%d within_s=%d action=%s", bad->generation,
                  hex8(&bad->hash, hex), LKG_CRASHES, LKG_CRASH_WINDOW_S, r < 0 ? "try_again_no_other" : "use_previous");
        if (r < 0)
                return bad;
        c->has_looping = true;
        c->looping = bad->hash;
        manifest_put(bad);
        bool again = lkg_trial_begin(c->lkg, &m->hash, (int64_t)time(NULL));
        (void)again; /* no: the note was about the other one */
        r = lkg_prefer_loaded(c->lkg);
        if (r < 0)
                log_warn("lkg_not_switched", "reason=%s", LOG_ESC(strerror(-r))); /* the next start finds out again */
        return m;
}

/* Takes m. */
static int boot_from(struct dpclient *c, struct manifest *m, struct err *reterr)
{
        struct model_error e = {0};
        struct held *h = NULL;
        char hex[65];
        if (lkg_trial_begin(c->lkg, &m->hash, (int64_t)time(NULL)))
                m = boot_pass_over(c, m);
        timer_set(loop_timers(c->loop), &c->trial, loop_now_ms(c->loop) + c->trial_ms);
        int r = build(c, m, &h, &e);
        if (r < 0) {
                manifest_put(m);
                return err_set(reterr, -r, e.err.place, "%s", e.err.msg[0] ? e.err.msg : "refused");
        }
        activate(c, h, m);
        log_info("model_active", "generation=%" PRIu64 " hash=%s from=last_known_good", m->generation,
                 hex8(&m->hash, hex));
        return 0;
}

int dpclient_boot(struct dpclient *c, struct err *reterr)
{
        struct manifest *m = NULL;
        struct err first = {0};
        if (c->lkg_errno)
                return err_set(reterr, c->lkg_errno, c->lkg_err.place, "%s", c->lkg_err.msg);
        if (!c->lkg)
                return err_set(reterr, ENOENT, c->state_dir, "there is no store");
        int r = lkg_load(c->lkg, &m, reterr);
        if (r < 0)
                return r;
        r = boot_from(c, m, &first);
        if (r == 0)
                return 0;
        log_warn("boot_refused", "place=%s reason=%s action=%s", LOG_ESC(first.place), LOG_ESC(first.msg),
                 "try_previous");
        if (lkg_load_previous(c->lkg, &m, NULL) == 0 && boot_from(c, m, NULL) == 0)
                return 0;
        return err_set(reterr, -r, first.place, "%s", first.msg);
}
