/* tests/unit/lib/manifest_test.c - the hash, the wire form and its refusals, sharing of blobs; fresh endpoint sets. */
#include "lib/base.h"
#include "tests/unit/lib/fixture.h"

#include "lib/control.pb-c.h"
#include "lib/core/cursor.h"
#include "lib/core/frame.h"
#include "lib/core/fresh.h"

static struct manifest *three(uint64_t generation, const char *const order[3])
{
        struct manifest *m = manifest_new(generation);
        for (int i = 0; i < 3; i++)
                assert_int_equal(manifest_add(m, order[i], span_str(order[i]), order[i][0] == 'k'), 0);
        assert_int_equal(manifest_seal(m, NULL), 0);
        return m;
}

static void test_hash(void **state)
{
        struct manifest *a = three(1, (const char *const[]){"l4", "keys/x", "certs/x"});
        struct manifest *b = three(2, (const char *const[]){"certs/x", "l4", "keys/x"});
        (void)state;
        assert_memory_equal(&a->hash, &b->hash, sizeof a->hash); /* neither order nor generation is content */
        assert_string_equal(a->entries[0].key, "certs/x");

        /* By the definition in manifest.h, written out. */
        struct buf w;
        struct sha256 want;
        buf_init(&w, 4096);
        for (size_t i = 0; i < 3; i++) {
                uint8_t n[4];
                put_u32_be(n, (uint32_t)strlen(a->entries[i].key));
                buf_add(&w, n, 4);
                buf_str(&w, a->entries[i].key);
                sha256_of(span_str(a->entries[i].key), &want);
                buf_add(&w, want.b, 32);
        }
        sha256_of(buf_span(&w), &want);
        assert_memory_equal(&a->hash, &want, sizeof want);
        buf_fini(&w);
        assert_non_null(manifest_find(a, "keys/x"));
        assert_true(manifest_find(a, "keys/x")->secret);
        assert_null(manifest_find(a, "keys/y"));
        manifest_put(a);
        manifest_put(b);
        manifest_put(NULL);
}

static void test_building_refuses(void **state)
{
        struct manifest *m = manifest_new(1);
        struct err e;
        char longest[MANIFEST_MAX_KEY_BYTES + 2];
        (void)state;
        memset(longest, 'k', sizeof longest);
        longest[sizeof longest - 1] = 0;
        assert_int_equal(manifest_add(m, longest, SPAN_NULL, false), -EINVAL);
        longest[sizeof longest - 2] = 0;
        assert_int_equal(manifest_add(m, longest, SPAN_NULL, false), 0);
        assert_int_equal(manifest_add(m, "", SPAN_NULL, false), -EINVAL);
        assert_int_equal(manifest_add(m, "a b", SPAN_NULL, false), -EINVAL);
        assert_int_equal(manifest_add(m, "a\nb", SPAN_NULL, false), -EINVAL);
        assert_int_equal(manifest_add(m, "x", SPAN("", SECTION_MAX_BYTES + (size_t)1), false), -E2BIG);
        assert_int_equal(manifest_add(m, "a", SPAN_LIT("1"), false), 0);
        assert_int_equal(manifest_add(m, "a", SPAN_LIT("2"), false), 0);
        assert_int_equal(manifest_seal(m, &e), -EINVAL);
        assert_string_equal(e.place, "a");
        manifest_put(m);
}

/* A wire message that may be changed before it is read. */
static Control__Manifest *wire_of(const struct manifest *m)
{
        struct buf b;
        buf_init(&b, 1 << 20);
        assert_int_equal(manifest_pack(m, &b), 0);
        Control__Manifest *w = control__manifest__unpack(NULL, b.n, b.p);
        assert_non_null(w);
        buf_fini(&b);
        return w;
}

static void unsorted(Control__Manifest *w)
{
        Control__ManifestEntry *e = w->sections[0];
        w->sections[0] = w->sections[1];
        w->sections[1] = e;
}
static void twice(Control__Manifest *w)
{
        memcpy(w->sections[1]->key, "certs/x", 7);
}
static void short_sha(Control__Manifest *w)
{
        w->sections[0]->sha256.len = 31;
}
static void wrong_hash(Control__Manifest *w)
{
        w->hash.data[5] ^= 1;
}
static void short_hash(Control__Manifest *w)
{
        w->hash.len = 0;
}
static void too_long(Control__Manifest *w)
{
        w->sections[2]->len_bytes = SECTION_MAX_BYTES + 1ull;
}
static void bad_key(Control__Manifest *w)
{
        w->sections[2]->key[1] = ' ';
}
static void other_section(Control__Manifest *w)
{
        w->sections[1]->sha256.data[0] ^= 1;
}
static void nothing(Control__Manifest *w)
{
        (void)w;
}
static void generation(Control__Manifest *w)
{
        w->generation = 1000;
}

static void test_from_wire(void **state)
{
        static const struct {
                const char *name;
                void (*change)(Control__Manifest *w);
                int want;
                const char *msg; /* the hash refuses most of them too, but who computes it may as well be wrong */
        } cases[] = {{"unchanged", nothing, 0, ""},
                     {"another generation", generation, 0, ""},
                     {"unsorted", unsorted, -EINVAL, "not sorted"},
                     {"same key twice", twice, -EINVAL, "not sorted and unique"},
                     {"short section hash", short_sha, -EINVAL, "a hash of 31 bytes"},
                     {"wrong hash", wrong_hash, -EINVAL, "does not cover"},
                     {"no hash", short_hash, -EINVAL, "a hash of 0 bytes"},
                     {"section too long", too_long, -E2BIG, "section over"},
                     {"bad key", bad_key, -EINVAL, "bad key"},
                     {"hash of another section", other_section, -EINVAL, "does not cover"}};
        struct manifest *m = three(4, (const char *const[]){"certs/x", "clust/x", "l4"});
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                Control__Manifest *w = wire_of(m);
                struct manifest *got = NULL;
                struct err e = {0};
                cases[i].change(w);
                int r = manifest_from_wire(w, &got, &e);
                if (r != cases[i].want || !strstr(e.msg, cases[i].msg))
                        fail_msg("%s: %d %s", cases[i].name, r, e.msg);
                assert_int_equal(e.msg[0] != 0, r < 0);
                if (r == 0) {
                        assert_memory_equal(&got->hash, &m->hash, sizeof m->hash);
                        assert_false(manifest_complete(got));
                        assert_int_equal(got->total_bytes, m->total_bytes);
                }
                manifest_put(got);
                control__manifest__free_unpacked(w, NULL);
        }
        assert_true(manifest_complete(m));
        manifest_put(m);
}

/* More sections than one frame holds come in parts and are the same manifest again. */
static void test_parts(void **state)
{
        enum { N = 9000 };
        struct manifest *m = manifest_new(3), *got = NULL;
        struct buf out;
        struct err e;
        size_t frames = 0, used;
        struct frame f;
        int r = 0;
        (void)state;
        for (int i = 0; i < N; i++) {
                char key[64];
                snprintf(key, sizeof key, "gateway/namespace-%d/name-of-it", i);
                assert_int_equal(manifest_add(m, key, span_str(key), false), 0);
        }
        assert_int_equal(manifest_seal(m, NULL), 0);
        buf_init(&out, 8 << 20);
        assert_int_equal(manifest_encode_frame(m, 1, &out), 0);
        while (frame_decode(buf_span(&out), &f, &used) == FRAME_OK) {
                Control__Manifest *w = control__manifest__unpack(NULL, f.body.n, f.body.p);
                assert_int_equal(r, 0); /* only the last completes it */
                r = manifest_add_wire(&got, w, &e);
                if (frames == 0) { /* not a whole one, and parts of two do not mix */
                        struct manifest *no = NULL;
                        assert_int_equal(manifest_from_wire(w, &no, &e), -EINVAL);
                        w->hash.data[0] ^= 1;
                        assert_int_equal(manifest_add_wire(&got, w, &e), -EINVAL);
                }
                control__manifest__free_unpacked(w, NULL);
                buf_consume(&out, used);
                frames++;
        }
        assert_int_equal(out.n, 0);
        assert_int_equal(r, 1);
        assert_true(frames >= 3);
        assert_int_equal(got->n, N);
        assert_memory_equal(&got->hash, &m->hash, sizeof m->hash);
        buf_fini(&out);
        manifest_put(got);
        manifest_put(m);

        struct manifest *empty = manifest_new(1);
        assert_int_equal(manifest_seal(empty, NULL), 0);
        buf_init(&out, 4096);
        assert_int_equal(manifest_encode_frame(empty, 1, &out), 0);
        assert_int_equal(frame_decode(buf_span(&out), &f, &used), FRAME_OK);
        assert_int_equal(used, out.n);
        buf_fini(&out);
        manifest_put(empty);
}

/* What one sender can make us hold is bounded whatever the sections say. */
static void test_total_limit(void **state)
{
        Control__Manifest w = CONTROL__MANIFEST__INIT;
        Control__ManifestEntry e[16], *list[16];
        uint8_t sha[32] = {0};
        char keys[16][8];
        struct manifest *got = NULL;
        struct err err;
        (void)state;
        for (size_t i = 0; i < 16; i++) {
                snprintf(keys[i], sizeof keys[i], "k%02zu", i);
                control__manifest_entry__init(&e[i]);
                e[i].key = keys[i];
                e[i].sha256 = (ProtobufCBinaryData){32, sha};
                e[i].len_bytes = SECTION_MAX_BYTES;
                list[i] = &e[i];
        }
        w.hash = (ProtobufCBinaryData){32, sha};
        w.n_sections = 16;
        w.sections = list;
        assert_int_equal(manifest_from_wire(&w, &got, &err), -E2BIG);
}

static void test_blobs(void **state)
{
        struct blob *b = blob_new(SPAN_LIT("secret"), true);
        struct manifest *m = manifest_new(1), *n = manifest_new(2);
        struct sha256 want;
        (void)state;
        sha256_of(SPAN_LIT("secret"), &want);
        assert_memory_equal(&b->sha, &want, sizeof want);
        assert_int_equal(manifest_add_blob(m, "keys/a", b), 0);
        assert_int_equal(manifest_add_blob(n, "keys/b", b), 0);
        assert_int_equal(b->refs, 3);
        manifest_put(m);
        assert_int_equal(b->refs, 2);
        manifest_put(n);
        assert_int_equal(b->refs, 1);
        blob_put(b);
        blob_put(NULL);
        assert_null(blob_alloc(SECTION_MAX_BYTES + (size_t)1, false));
}

/* ---------------------------------------------------------------- fresh endpoint sets */

static unsigned kept;
static void count_keep(void *arg, const Model__EndpointSet *set)
{
        (void)arg;
        (void)set;
        kept++;
}

static void test_fresh_merge(void **state)
{
        struct world w;
        struct model *m, *again;
        struct model_error e;
        struct manifest *merged = NULL;
        struct fresh *f = fresh_new();
        (void)state;
        world_init(&w);
        struct manifest *base = world_manifest(&w);
        assert_int_equal(model_load(base, &m, &e), 0);
        assert_int_equal(fresh_merge(f, base, m, &merged), 0); /* nothing fresh: the same content */
        assert_memory_equal(&merged->hash, &base->hash, sizeof base->hash);
        manifest_put(merged);

        w.set->version = 9;
        w.endpoint->addr.data[3] = 77;
        assert_int_equal(fresh_put(f, w.set, 1), 0);
        w.set->version = 10;
        assert_int_equal(fresh_put(f, w.set, 2), 0); /* replaces */
        w.endpoint->addr.data[3] = 78;               /* a copy was kept */
        assert_int_equal(fresh_get(f, "default/echo:8080")->version, 10);
        assert_int_equal(fresh_get(f, "default/echo:8080")->endpoints[0]->addr.data[3], 77);
        assert_int_equal(fresh_merge(f, base, m, &merged), 0);
        assert_memory_not_equal(&merged->hash, &base->hash, sizeof base->hash);
        for (size_t i = 0; i < base->n; i++) /* only the section of that set is new */
                assert_int_equal(merged->entries[i].blob != base->entries[i].blob,
                                 strcmp(base->entries[i].key, "endpoints/default") == 0);
        assert_int_equal(model_load(merged, &again, &e), 0);
        assert_int_equal(model_endpoint_set(again, "default/echo:8080")->version, 10);
        assert_int_equal(model_endpoint_set(again, "default/echo:8080")->endpoints[0]->addr.data[3], 77);
        assert_int_equal(model_endpoint_set(again, "default/audit:80")->version, 5);
        model_free(again);
        manifest_put(merged);

        assert_true(fresh_has_older(f, 3));
        assert_false(fresh_has_older(f, 2));
        kept = 0;
        fresh_rebase(f, m, 2, count_keep, NULL);
        assert_int_equal(kept, 1);
        fresh_rebase(f, m, 3, count_keep, NULL); /* of an older session now */
        assert_int_equal(kept, 1);
        assert_true(fresh_empty(f));
        fresh_free(f);
        model_free(m);
        manifest_put(base);
        world_fini(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_hash),        cmocka_unit_test(test_building_refuses),
                                           cmocka_unit_test(test_from_wire),   cmocka_unit_test(test_parts),
                                           cmocka_unit_test(test_total_limit), cmocka_unit_test(test_blobs),
                                           cmocka_unit_test(test_fresh_merge)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
