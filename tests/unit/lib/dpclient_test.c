/* tests/unit/lib/dpclient_test.c - the data plane's session against a scripted agent over a real Unix socket, both in
 * one process and one loop.  Each step waits for what must happen, never for time to pass. */
#include "lib/base.h"
#include "tests/unit/lib/scripted_agent.h"

#include <unistd.h>

static void test_happy_path(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        assert_string_equal(b->hello->name, "shard-1");
        assert_string_equal(b->hello->pool, "default");
        assert_int_equal(b->hello->protocol, 1);
        assert_int_equal(b->hello->active_hash.len, 0);
        assert_int_equal(b->need->n_sha256, m->n);
        assert_int_equal(b->activated, 1);
        assert_int_equal(b->current->generation, 7);
        UNTIL(b, b->n[FRAME_STATUS] > 0);
        assert_int_equal(b->status->requests_total, 42);
        assert_true(dpclient_connected(b->dp));
        manifest_put(m);

        /* One rule changed: one section is needed, the rest is shared. */
        w.redirect->redirect->status = 308;
        w.generation = 8;
        m = world_manifest(&w);
        agent_push(b, m);
        assert_int_equal(b->need->n_sha256, 1);
        assert_int_equal(b->activated, 2);
        assert_int_equal(b->current->generation, 8);
        manifest_put(m);
        world_fini(&w);
}

static void test_nack_names_the_object(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        manifest_put(m);
        const struct model *before = b->current;

        w.leg->cluster = (char *)"default/gone:80/http"; /* refused by the check */
        m = world_manifest(&w);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_NEED] == 2);
        agent_sections(b, m);
        UNTIL(b, b->n[FRAME_NACK] == 1);
        assert_memory_equal(b->nack->hash.data, m->hash.b, SHA256_BYTES);
        assert_string_equal(b->nack->section, "gateway/default/web");
        assert_string_equal(b->nack->source->kind, "HTTPRoute");
        assert_string_equal(b->nack->source->name, "echo");
        assert_int_equal(b->nack->source->rule, 1);
        assert_int_equal(b->nack->stage, CONTROL__NACK_STAGE__NACK_CHECK);
        assert_non_null(strstr(b->nack->reason, "default/gone:80/http"));
        manifest_put(m);

        w.leg->cluster = (char *)"default/echo:8080/http"; /* refused by the data plane */
        w.leg->weight = 9;
        b->refuse = "no room";
        m = world_manifest(&w);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_NEED] == 3);
        agent_sections(b, m);
        UNTIL(b, b->n[FRAME_NACK] == 2);
        assert_int_equal(b->nack->stage, CONTROL__NACK_STAGE__NACK_BUILD);
        assert_string_equal(b->nack->reason, "no room");
        assert_ptr_equal(b->current, before);
        assert_true(dpclient_connected(b->dp));

        b->refuse = NULL; /* the same manifest again, now it fits */
        agent_push(b, m);
        assert_ptr_not_equal(b->current, before);
        manifest_put(m);
        world_fini(&w);
}

/* What HELLO announced is kept to: over it the manifest as a whole is refused. */
static void test_announced_limits(void **state)
{
        static const size_t at[] = {offsetof(struct bench, limits.max_routes), offsetof(struct bench, limits.max_clusters),
                                    offsetof(struct bench, limits.max_endpoints),
                                    offsetof(struct bench, limits.max_certificates)};
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        struct manifest *m = world_manifest(&w);
        for (uint32_t max = 1; max <= 64; max += 63) /* the fixture has two or more of each but certificates */
                for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
                        bool fits = max == 64 || at[i] == offsetof(struct bench, limits.max_certificates);
                        unsigned nacks = b->n[FRAME_NACK], prepared = b->n[FRAME_PREPARED], need = b->n[FRAME_NEED];
                        b->limits = (Control__Limits){0};
                        memcpy((char *)b + at[i], &max, sizeof max);
                        dp_make(b, false);
                        dpclient_start(b->dp);
                        agent_greet(b);
                        agent_manifest(b, m);
                        UNTIL(b, b->n[FRAME_NEED] > need);
                        agent_sections(b, m);
                        UNTIL(b, b->n[FRAME_NACK] + b->n[FRAME_PREPARED] > nacks + prepared);
                        if (fits != (b->n[FRAME_PREPARED] > prepared))
                                fail_msg("limit %zu of %u: %s", i, max, fits ? b->nack->reason : "taken");
                        if (!fits)
                                assert_int_equal(b->nack->stage, CONTROL__NACK_STAGE__NACK_LIMIT);
                        dp_kill(b);
                        UNTIL(b, !b->agent);
                }
        manifest_put(m);
        world_fini(&w);
}

/* Three intervals without a byte: it dials again, and serves on. */
static void test_silent_agent(void **state)
{
        struct bench *b = *state;
        struct world w;
        b->ping_ms = 20;
        struct manifest *m = bench_start(b, &w);
        UNTIL(b, b->n[FRAME_PING] > 0);
        UNTIL(b, b->closed == 1);
        assert_ptr_equal(b->current, dpclient_active(b->dp));
        agent_greet(b);
        UNTIL(b, dpclient_connected(b->dp));
        manifest_put(m);
        world_fini(&w);
}

/* A STATUS over one frame comes in several; names of endpoints that are down are cut where one set alone is over it. */
static void test_status_over_frame(void **state)
{
        struct bench *b = *state;
        struct world w;
        b->n_health = 20000;
        b->n_down = 20000;
        struct manifest *m = bench_start(b, &w);
        UNTIL(b, b->n[FRAME_STATUS] > 2 && !b->status->more);
        assert_int_equal(b->status->requests_total, 42);
        assert_int_equal(b->n_health_seen, 20000);
        assert_true(b->n_down_seen >= 5000 && b->n_down_seen < 20000);
        assert_int_equal(b->closed, 0);
        manifest_put(m);
        world_fini(&w);
}

static void test_corrupt_section_closes(void **state)
{
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        dp_make(b, false);
        dpclient_start(b->dp);
        agent_greet(b);
        struct manifest *m = world_manifest(&w);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_NEED] == 1);
        struct blob *bad = m->entries[0].blob;
        bad->p[bad->n / 2] ^= 1;
        agent_chunk(b, bad, 0, bad->n);
        UNTIL(b, b->closed == 1);
        assert_int_equal(b->prepared, 0);
        bad->p[bad->n / 2] ^= 1;
        agent_greet(b); /* it dials again */
        agent_push(b, m);
        assert_int_equal(b->activated, 1);
        manifest_put(m);
        world_fini(&w);
}

static void chunk_gap(struct bench *b, struct manifest *m)
{
        agent_chunk(b, m->entries[0].blob, 0, 10);
        agent_chunk(b, m->entries[0].blob, 20, 10);
}
static void chunk_too_long(struct bench *b, struct manifest *m)
{
        struct blob *x = m->entries[0].blob;
        Control__SectionChunk s = CONTROL__SECTION_CHUNK__INIT;
        uint8_t *big = calloc(1, x->n + 1);
        s.sha256 = (ProtobufCBinaryData){SHA256_BYTES, x->sha.b};
        s.data = (ProtobufCBinaryData){x->n + 1, big};
        s.last = true;
        agent_send(b, FRAME_SECTION, &s);
        free(big);
}
static void chunk_interleaved(struct bench *b, struct manifest *m)
{
        agent_chunk(b, m->entries[0].blob, 0, 10);
        agent_chunk(b, m->entries[1].blob, 0, 10);
}
static void chunk_last_early(struct bench *b, struct manifest *m)
{
        Control__SectionChunk s = CONTROL__SECTION_CHUNK__INIT;
        s.sha256 = (ProtobufCBinaryData){SHA256_BYTES, m->entries[0].blob->sha.b};
        s.data = (ProtobufCBinaryData){3, m->entries[0].blob->p};
        s.last = true;
        agent_send(b, FRAME_SECTION, &s);
}
static void welcome_twice(struct bench *b, struct manifest *m)
{
        (void)m;
        Control__Welcome w = CONTROL__WELCOME__INIT;
        w.protocol = 1;
        agent_send(b, FRAME_WELCOME, &w);
}
static void hello_back(struct bench *b, struct manifest *m)
{
        (void)m;
        Control__Hello h = CONTROL__HELLO__INIT;
        agent_send(b, FRAME_HELLO, &h);
}
static void hash_lies(struct bench *b, struct manifest *m)
{
        m->hash.b[0] ^= 1;
        agent_manifest(b, m);
        m->hash.b[0] ^= 1;
}
/* Two keys, one hash, but not one length. */
static void one_content_differs(struct bench *b, struct manifest *m)
{
        struct manifest *two = manifest_new(9);
        (void)m;
        assert_int_equal(manifest_add(two, "certs/a", SPAN_LIT("never sent"), false), 0);
        assert_int_equal(manifest_add(two, "certs/b", SPAN_LIT("never sent"), false), 0);
        assert_int_equal(manifest_seal(two, NULL), 0);
        two->entries[1].len_bytes++;
        agent_manifest(b, two);
        manifest_put(two);
}
static void not_a_frame(struct bench *b, struct manifest *m)
{
        (void)m;
        buf_str(transport_out(b->agent), "GET / HTTP/1.1\r\n");
        transport_flush(b->agent);
}

static void test_protocol_errors_close(void **state)
{
        static const struct {
                const char *name;
                void (*act)(struct bench *b, struct manifest *m);
        } cases[] = {{"gap in a section", chunk_gap},
                     {"chunk over the announced length", chunk_too_long},
                     {"two sections interleaved", chunk_interleaved},
                     {"last before the end", chunk_last_early},
                     {"WELCOME twice", welcome_twice},
                     {"HELLO from an agent", hello_back},
                     {"manifest hash does not match", hash_lies},
                     {"one content of two lengths", one_content_differs},
                     {"no frame at all", not_a_frame}};
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        struct manifest *m = world_manifest(&w);
        b->ping_ms = 60000; /* it is the error that closes, not the silence behind it */
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                print_message("  %s\n", cases[i].name);
                dp_make(b, false);
                dpclient_start(b->dp);
                unsigned need = b->n[FRAME_NEED], closed = b->closed;
                agent_greet(b);
                agent_manifest(b, m);
                UNTIL(b, b->n[FRAME_NEED] > need);
                cases[i].act(b, m);
                UNTIL(b, b->closed > closed);
                assert_false(dpclient_connected(b->dp));
                dp_kill(b);
        }
        assert_int_equal(b->prepared, 0);
        manifest_put(m);
        world_fini(&w);
}

static void test_agent_dies_mid_manifest(void **state)
{
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        dp_make(b, false);
        dpclient_start(b->dp);
        agent_greet(b);
        struct manifest *m = world_manifest(&w);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_NEED] == 1);
        agent_chunk(b, m->entries[0].blob, 0, 10);
        UNTIL(b, loop_turn(b->loop, 1) >= 0);
        agent_kill(b);
        UNTIL(b, !dpclient_connected(b->dp));

        agent_listen(b);
        agent_greet(b);
        agent_manifest(b, m); /* all the way to PREPARED, then it dies again: the pending model is aborted */
        UNTIL(b, b->n[FRAME_NEED] == 2);
        agent_sections(b, m);
        UNTIL(b, b->n[FRAME_PREPARED] == 1);
        agent_kill(b);
        UNTIL(b, b->aborted == 1);
        assert_int_equal(b->activated, 0);

        agent_listen(b);
        agent_greet(b);
        agent_push(b, m);
        assert_int_equal(b->activated, 1);
        manifest_put(m);
        world_fini(&w);
}

static void test_reconnect_with_same_hash(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        const struct model *before = b->current;
        agent_kill(b);
        UNTIL(b, !dpclient_connected(b->dp));
        agent_listen(b);
        agent_greet(b);
        assert_memory_equal(b->hello->active_hash.data, m->hash.b, SHA256_BYTES);
        assert_int_equal(b->hello->active_generation, 7);
        manifest_put(m);
        w.generation = 1; /* another agent counts from one */
        m = world_manifest(&w);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_ACTIVE] == 2);
        assert_int_equal(b->n[FRAME_NEED], 1);
        assert_int_equal(b->n[FRAME_PREPARED], 1);
        assert_int_equal(b->activated, 1);
        assert_ptr_equal(b->current, before);
        assert_int_equal(b->active->generation, 1);
        assert_int_equal(b->current->generation, 1);
        manifest_put(m);
        world_fini(&w);
}

static void test_newer_manifest_replaces(void **state)
{
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        dp_make(b, false);
        dpclient_start(b->dp);
        agent_greet(b);
        struct manifest *first = world_manifest(&w);
        w.redirect->redirect->status = 302;
        struct manifest *second = world_manifest(&w);
        agent_manifest(b, first);
        UNTIL(b, b->n[FRAME_NEED] == 1);
        agent_chunk(b, first->entries[0].blob, 0, 10); /* half of a section both may need */
        agent_manifest(b, second);
        agent_chunk(b, first->entries[0].blob, 10, 10); /* was on its way: not an error */
        UNTIL(b, b->n[FRAME_NEED] == 2);
        agent_sections(b, second);
        UNTIL(b, b->n[FRAME_PREPARED] == 1);
        agent_manifest(b, first); /* and back, while the second is prepared */
        UNTIL(b, b->aborted == 1);
        agent_hash(b, FRAME_ACTIVATE, second); /* crossed: must not activate anything */
        UNTIL(b, b->n[FRAME_NEED] == 3);
        agent_sections(b, first);
        UNTIL(b, b->n[FRAME_PREPARED] == 2);
        assert_int_equal(b->activated, 0);
        agent_hash(b, FRAME_ABORT, first);
        UNTIL(b, b->aborted == 2);
        agent_push(b, first);
        assert_int_equal(b->activated, 1);
        assert_int_equal(b->current->gateways[0]->rules[1]->redirect->status, 301);
        manifest_put(first);
        manifest_put(second);
        world_fini(&w);
}

static void test_endpoints(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        agent_endpoints(b, &w, 5, 99); /* not newer than the manifest's */
        agent_endpoints(b, &w, 6, 16);
        UNTIL(b, b->endpoints == 1);
        assert_int_equal(b->endpoints_version, 6);
        agent_endpoints(b, &w, 4, 98);
        w.set->id = (char *)"default/unknown:1";
        agent_endpoints(b, &w, 9, 97); /* nobody asked for it */
        w.set->id = (char *)"default/echo:8080";
        agent_endpoints(b, &w, 7, 17);
        UNTIL(b, b->endpoints == 2);
        assert_int_equal(b->endpoints_version, 7);

        /* A manifest whose set is older than what came by the fast path: the newer set is applied again. */
        manifest_put(m);
        w.set->version = 5;
        w.endpoint->addr.data[3] = 1;
        w.redirect->redirect->status = 303;
        m = world_manifest(&w);
        agent_push(b, m);
        assert_int_equal(b->endpoints, 3);
        assert_int_equal(b->endpoints_version, 7);
        manifest_put(m);

        /* A manifest that has it newer wins, and says so for good. */
        w.set->version = 8;
        w.endpoint->addr.data[3] = 18;
        m = world_manifest(&w);
        agent_push(b, m);
        assert_int_equal(b->endpoints, 3);
        assert_int_equal(bench_last_octet(b), 18);
        agent_endpoints(b, &w, 8, 50);
        agent_endpoints(b, &w, 9, 19);
        UNTIL(b, b->endpoints == 4);
        assert_int_equal(b->endpoints_version, 9);
        manifest_put(m);
        world_fini(&w);
}

/* The agent folds the set it sent beside into its manifest: that is what we serve already, and what the store gets. */
/* w's set with n endpoints: in n_parts frames, `more` in all but the last. */
static void send_parts(struct bench *b, struct world *w, uint64_t version, size_t n, size_t n_parts, bool ends)
{
        Model__Endpoint **v = calloc(n, sizeof *v);
        assert_non_null(v);
        for (size_t i = 0; i < n; i++)
                v[i] = w->endpoint;
        for (size_t i = 0, at = 0; i < n_parts; i++) {
                Control__Endpoints m = CONTROL__ENDPOINTS__INIT;
                Model__EndpointSet part = *w->set, *parts = &part;
                part.version = version;
                part.endpoints = v + at;
                part.n_endpoints = i + 1 < n_parts ? n / n_parts : n - at;
                at += part.n_endpoints;
                m.sets = &parts;
                m.n_sets = 1;
                m.more = i + 1 < n_parts || !ends;
                agent_send(b, FRAME_ENDPOINTS, &m);
        }
        free(v);
}

/* A set over one frame comes in parts, and counts once it is whole. */
static void test_endpoints_in_parts(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        Control__Ping ping = CONTROL__PING__INIT;
        send_parts(b, &w, 6, 3, 3, false);
        agent_send(b, FRAME_PING, &ping); /* between parts: allowed */
        UNTIL(b, b->n[FRAME_PONG] == 1);
        assert_int_equal(b->endpoints, 0);
        send_parts(b, &w, 6, 2, 1, true);
        UNTIL(b, b->endpoints == 1);
        assert_int_equal(b->endpoints_version, 6);
        assert_int_equal(b->n_endpoints, 5);
        send_parts(b, &w, 7, MODEL_MAX_ENDPOINTS_PER_SET, 8, true);
        UNTIL(b, b->endpoints == 2);
        assert_int_equal(b->n_endpoints, MODEL_MAX_ENDPOINTS_PER_SET);
        assert_int_equal(b->closed, 0);

        send_parts(b, &w, 8, 3, 1, false);
        agent_kill(b); /* a part does not outlive its session */
        UNTIL(b, !dpclient_connected(b->dp));
        agent_listen(b);
        agent_greet(b);
        UNTIL(b, dpclient_connected(b->dp));
        send_parts(b, &w, 8, 2, 1, true);
        UNTIL(b, b->endpoints == 3);
        assert_int_equal(b->n_endpoints, 2);

        static const struct {
                const char *name;
                uint64_t then;
                size_t first, second;
        } bad[] = {{"another version before the end", 10, 2, 2},
                   {"a part without endpoints", 9, 2, 0},
                   {"more than a set may hold", 9, MODEL_MAX_ENDPOINTS_PER_SET / 2, MODEL_MAX_ENDPOINTS_PER_SET / 2 + 1}};
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                unsigned closed = b->closed;
                print_message("  %s\n", bad[i].name);
                send_parts(b, &w, 9, bad[i].first, 4, false);
                send_parts(b, &w, bad[i].then, bad[i].second, bad[i].second ? 4 : 1, true);
                UNTIL(b, b->closed > closed);
                agent_greet(b);
                UNTIL(b, dpclient_connected(b->dp));
        }
        assert_int_equal(b->endpoints, 3);
        manifest_put(m);
        world_fini(&w);
}

/* HELLO's max_endpoints holds for ENDPOINTS too. */
static void test_endpoints_over_announced_limit(void **state)
{
        struct bench *b = *state;
        struct world w;
        b->limits.max_endpoints = 10;
        struct manifest *m = bench_start(b, &w);
        size_t others = 0;
        for (size_t i = 0; i < b->current->n_endpoint_sets; i++)
                others += b->current->endpoint_sets[i]->n_endpoints;
        others -= model_endpoint_set(b->current, "default/echo:8080")->n_endpoints;
        send_parts(b, &w, 6, 10 - others, 1, true);
        UNTIL(b, b->endpoints == 1);
        send_parts(b, &w, 7, 11 - others, 1, true); /* one too many: the old set stays */
        send_parts(b, &w, 8, 9 - others, 1, true);
        UNTIL(b, b->endpoints == 2);
        assert_int_equal(b->endpoints_version, 8);
        manifest_put(m);
        world_fini(&w);
}

static void test_endpoints_folded(void **state)
{
        struct bench *b = *state;
        struct world w;
        char path[128], before[32] = "", now[32] = "";
        snprintf(path, sizeof path, "%s/current", b->state);
        struct manifest *m = bench_start(b, &w);
        UNTIL(b, readlink(path, before, sizeof before - 1) > 0);
        agent_endpoints(b, &w, 6, 16);
        UNTIL(b, b->endpoints == 1);
        UNTIL(b, readlink(path, now, sizeof now - 1) > 0 && strcmp(before, now) != 0); /* without any flush */
        manifest_put(m);
        m = world_manifest(&w);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_ACTIVE] == 2);
        assert_int_equal(b->n[FRAME_PREPARED], 1);
        assert_int_equal(b->activated, 1);
        manifest_put(m);
        world_fini(&w);
}

static void test_endpoints_while_manifest_in_flight(void **state)
{
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        dp_make(b, false);
        dpclient_start(b->dp);
        agent_greet(b);
        struct manifest *m = world_manifest(&w);
        agent_manifest(b, m);
        UNTIL(b, b->n[FRAME_NEED] == 1);
        agent_endpoints(b, &w, 6, 16); /* nothing active knows the set yet; the manifest on its way does */
        agent_sections(b, m);
        UNTIL(b, b->n[FRAME_PREPARED] == 1);
        assert_int_equal(b->endpoints, 0);
        agent_hash(b, FRAME_ACTIVATE, m);
        UNTIL(b, b->n[FRAME_ACTIVE] == 1);
        assert_int_equal(b->endpoints, 1);
        assert_int_equal(b->endpoints_version, 6);
        manifest_put(m);
        world_fini(&w);
}

/* One part of m: entries [at, at + n), as a MANIFEST frame of a manifest too big for one carries them. */
static void agent_part(struct bench *b, const struct manifest *m, size_t at, size_t n)
{
        Control__Manifest w = CONTROL__MANIFEST__INIT;
        Control__ManifestEntry e[16], *list[16];
        assert_true(at + n <= m->n && n <= ARRAY_SIZE(e));
        for (size_t i = 0; i < n; i++) {
                control__manifest_entry__init(&e[i]);
                e[i].key = m->entries[at + i].key;
                e[i].sha256 = (ProtobufCBinaryData){SHA256_BYTES, m->entries[at + i].sha.b};
                e[i].len_bytes = m->entries[at + i].len_bytes;
                e[i].secret = m->entries[at + i].secret;
                list[i] = &e[i];
        }
        w.generation = m->generation;
        w.sections = list;
        w.n_sections = n;
        w.hash = (ProtobufCBinaryData){SHA256_BYTES, (uint8_t *)m->hash.b};
        w.more = at + n < m->n;
        agent_send(b, FRAME_MANIFEST, &w);
}

/* What ends the manifest in flight must not take the parts of the next one with it. */
static void test_parts_outlive_the_one_in_flight(void **state)
{
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        dp_make(b, false);
        dpclient_start(b->dp);
        agent_greet(b);
        struct manifest *first = world_manifest(&w);
        w.redirect->redirect->status = 302;
        struct manifest *second = world_manifest(&w);
        w.redirect->redirect->status = 303;
        struct manifest *third = world_manifest(&w);
        agent_manifest(b, first);
        UNTIL(b, b->n[FRAME_NEED] == 1);
        agent_part(b, second, 0, 1);
        agent_sections(b, first);
        UNTIL(b, b->n[FRAME_PREPARED] == 1);
        agent_hash(b, FRAME_ACTIVATE, first);
        UNTIL(b, b->n[FRAME_ACTIVE] == 1);
        agent_part(b, second, 1, second->n - 1);
        UNTIL(b, b->n[FRAME_NEED] == 2);
        agent_part(b, third, 0, 2);
        b->refuse = "this one not";
        agent_sections(b, second);
        UNTIL(b, b->n[FRAME_NACK] == 1);
        b->refuse = NULL;
        agent_part(b, third, 2, third->n - 2);
        UNTIL(b, b->n[FRAME_NEED] == 3);
        agent_sections(b, third);
        UNTIL(b, b->n[FRAME_PREPARED] == 2);
        agent_part(b, second, 0, 1);
        agent_hash(b, FRAME_ABORT, third);
        agent_part(b, second, 1, second->n - 1);
        UNTIL(b, b->n[FRAME_NEED] == 4);
        assert_int_equal(b->closed, 0);
        Control__Ping ping = CONTROL__PING__INIT;
        agent_part(b, third, 0, 2);
        agent_send(b, FRAME_PING, &ping);
        UNTIL(b, b->n[FRAME_PONG] == 1);
        agent_kill(b); /* nor may they outlive the session */
        UNTIL(b, !dpclient_connected(b->dp));
        agent_listen(b);
        agent_greet(b);
        agent_push(b, second);
        assert_int_equal(b->current->gateways[0]->rules[1]->redirect->status, 302);
        manifest_put(first);
        manifest_put(second);
        manifest_put(third);
        world_fini(&w);
}

/* After a reconnect the new agent's manifest is the truth, even where an old agent counted higher. */
static void test_endpoints_of_an_older_agent(void **state)
{
        struct bench *b = *state;
        struct world w;
        struct manifest *m = bench_start(b, &w);
        agent_endpoints(b, &w, 100, 16);
        UNTIL(b, b->endpoints == 1);
        agent_kill(b);
        UNTIL(b, !dpclient_connected(b->dp));
        agent_listen(b);
        agent_greet(b);
        assert_memory_not_equal(b->hello->active_hash.data, m->hash.b, SHA256_BYTES); /* we serve something else */
        agent_push(b, m); /* so the same manifest is no no-op */
        assert_int_equal(b->endpoints, 1);
        assert_int_equal(b->activated, 2);
        assert_int_equal(bench_last_octet(b), 1);
        agent_endpoints(b, &w, 6, 33);
        UNTIL(b, b->endpoints == 2);
        manifest_put(m);
        world_fini(&w);
}

/* The agent's bytes one at a time, across whatever reads they fall into. */
static void test_byte_by_byte(void **state)
{
        struct bench *b = *state;
        struct world w;
        world_init(&w);
        dp_make(b, false);
        dpclient_start(b->dp);
        agent_greet(b);
        struct manifest *m = world_manifest(&w);
        struct buf stream;
        buf_init(&stream, SIZE_MAX);
        assert_int_equal(manifest_encode_frame(m, 1, &stream), 0);
        for (size_t i = 0; i < stream.n; i++) {
                buf_add(transport_out(b->agent), stream.p + i, 1);
                transport_flush(b->agent);
                assert_true(loop_turn(b->loop, 0) >= 0);
        }
        UNTIL(b, b->n[FRAME_NEED] == 1);
        assert_int_equal(b->need->n_sha256, m->n);
        buf_fini(&stream);
        manifest_put(m);
        world_fini(&w);
}

static void test_no_agent_configured(void **state)
{
        struct bench *b = *state;
        struct err e;
        struct dpclient_conf conf = {.state_dir = b->state, .name = "x", .pool = ""};
        assert_int_equal(dpclient_new(b->loop, &conf, &dp_ops, b, &b->dp, &e), 0);
        dpclient_start(b->dp);
        for (int i = 0; i < 5; i++)
                assert_true(loop_turn(b->loop, 1) >= 0);
        assert_int_equal(b->connections, 0);
}

/* Two agents: the first that answers; and when that one goes, the other. */
static void test_second_agent(void **state)
{
        struct bench *b = *state;
        struct world w;
        snprintf(b->first_sock, sizeof b->first_sock, "%s/first.sock", b->dir); /* nobody listens there */
        struct manifest *m = bench_start(b, &w);
        agent_kill(b);
        char second[sizeof b->sock];
        memcpy(second, b->sock, sizeof second);
        memcpy(b->sock, b->first_sock, sizeof b->sock);
        agent_listen(b); /* and now only there */
        agent_greet(b);
        UNTIL(b, dpclient_connected(b->dp));
        agent_kill(b); /* a session of no use: nothing was sent in it; the next one is asked first */
        memcpy(b->sock, second, sizeof second);
        agent_listen(b);
        agent_greet(b);
        UNTIL(b, dpclient_connected(b->dp));
        assert_int_equal(b->connections, 3);
        assert_int_equal(b->activated, 1);
        manifest_put(m);
        world_fini(&w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                T(test_happy_path),
                T(test_second_agent),
                T(test_nack_names_the_object),
                T(test_announced_limits),
                T(test_silent_agent),
                T(test_status_over_frame),
                T(test_corrupt_section_closes),
                T(test_protocol_errors_close),
                T(test_agent_dies_mid_manifest),
                T(test_reconnect_with_same_hash),
                T(test_newer_manifest_replaces),
                T(test_endpoints),
                T(test_endpoints_in_parts),
                T(test_endpoints_over_announced_limit),
                T(test_endpoints_folded),
                T(test_endpoints_while_manifest_in_flight),
                T(test_parts_outlive_the_one_in_flight),
                T(test_endpoints_of_an_older_agent),
                T(test_byte_by_byte),
                T(test_no_agent_configured),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
