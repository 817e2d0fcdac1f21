/* tests/unit/image/keys_test.c - the host key: plain without a TPM, sealed with one, and what happens when the TPM is another,
 * gone, or refuses; the recovery key; a gatehouse.cfg without its secrets.
 * The TPM is a script in systemd-creds' place: what it "seals" carries the number in DIR/chip, and opens with that only. */
#include "lib/base.h"
#include "image/core/config_blank.h"
#include "image/io/config_load.h"
#include "image/io/keys.h"
#include "image/io/path.h"
#include "image/io/store.h"
#include "lib/io/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/gh-keys-test-XXXXXX", creds[64];
static struct host h = {.root = root, .daemons = "", .systemctl = "", .creds = creds};

static void write_file(const char *path, const char *text)
{
        char full[HOST_PATH_MAX];
        struct err e = {0};
        host_path(&h, full, "%s", path);
        if (path_mkparent(full, &e) < 0 || path_write(full, span_str(text), 0700, UINT32_MAX, false, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

static void gone(const char *path)
{
        char full[HOST_PATH_MAX];
        struct err e;
        assert_int_equal(path_remove_tree(host_path(&h, full, "%s", path), &e), 0);
}

static bool there(const char *path)
{
        char full[HOST_PATH_MAX];
        return access(host_path(&h, full, "%s", path), F_OK) == 0;
}

#define REST "/var/lib/gatehouse/system/"
static void chip(const char *number)
{
        if (number)
                write_file("/dev/tpmrm0", number);
        else
                gone("/dev/tpmrm0");
}

static int fresh(void **state)
{
        char script[1024];
        (void)state;
        gone("/var");
        gone("/run");
        gone("/dev");
        snprintf(creds, sizeof creds, "%s/creds", root);
        /* encrypt --name=host.key --with-key=tpm2 ... IN OUT, decrypt --name=host.key IN OUT */
        snprintf(script, sizeof script,
                 "#!/bin/sh\nchip=$(cat %s/dev/tpmrm0)\n"
                 "for a; do in=$out; out=$a; done\n"
                 "case \"$chip $1 $*\" in\n"
                 "broken*) echo 'it tries'; echo 'TPM says no' >&2; exit 1 ;;\n"
                 "*encrypt*--name=host.key*--with-key=tpm2*--tpm2-pcrs=7*) { printf '%%s\\n' \"$chip\"; cat \"$in\"; } >\"$out\" ;;\n"
                 "*decrypt*--name=host.key*) read -r n <\"$in\"; [ \"$n\" = \"$chip\" ] || { echo 'wrong chip'; exit 1; }; tail -c 32 \"$in\" >\"$out\" ;;\n"
                 "*) echo \"what is $*?\"; exit 2 ;;\nesac\n",
                 root);
        write_file("/creds", script);
        return 0;
}

static struct keys_status boot(enum keys_state want)
{
        struct keys_status s, again;
        keys_open(&h, &s);
        if (s.state != want)
                fail_msg("%s, not %s: %s", keys_state_names[s.state], keys_state_names[want], s.reason);
        keys_status_read(&h, &again);
        assert_int_equal(again.state, s.state);
        assert_string_equal(again.reason, s.reason);
        assert_int_equal(again.recovery_waiting, s.recovery_waiting);
        return s;
}

static void store_key(uint8_t ret[32])
{
        struct err e = {0};
        if (keys_store(&h, ret, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

static void recovery(char ret[RECOVERY_TEXT_MAX])
{
        struct err e = {0};
        if (keys_recovery(&h, ret, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
}

static void without_a_tpm(void **state)
{
        uint8_t first[32], second[32];
        struct err e;
        char text[RECOVERY_TEXT_MAX];
        (void)state;
        assert_int_equal(keys_store(&h, first, &e), -ENOKEY); /* nothing has run yet */
        struct keys_status s = boot(KEYS_PLAIN);
        assert_non_null(strstr(s.reason, "no TPM"));
        assert_false(s.recovery_waiting);
        assert_true(there(REST "host.key"));
        store_key(first);
        boot(KEYS_PLAIN);
        store_key(second);
        assert_memory_equal(first, second, 32);
        assert_int_equal(keys_recovery(&h, text, &e), -ENOENT);
        assert_int_equal(keys_recovery_new(&h, &e), -EINVAL);
        assert_int_equal(keys_unlock(&h, SPAN_LIT("x"), &e), -EALREADY);
}

static void sealed(void **state)
{
        uint8_t first[32], second[32];
        char one[RECOVERY_TEXT_MAX], two[RECOVERY_TEXT_MAX];
        struct err e;
        (void)state;
        chip("1");
        assert_true(boot(KEYS_SEALED).recovery_waiting);
        assert_true(there(REST "host.key.tpm"));
        assert_true(there(REST "host.key.recovery"));
        assert_false(there(REST "host.key"));
        store_key(first);
        recovery(one);
        boot(KEYS_SEALED); /* nobody wrote it down: another one */
        recovery(two);
        assert_string_not_equal(one, two);
        assert_int_equal(keys_recovery_seen(&h, &e), 0);
        assert_int_equal(keys_recovery(&h, one, &e), -ENOENT);
        assert_int_equal(keys_recovery_seen(&h, &e), -ENOENT);
        assert_false(boot(KEYS_SEALED).recovery_waiting);
        store_key(second);
        assert_memory_equal(first, second, 32);

        chip("2"); /* the disk was moved */
        struct keys_status s = boot(KEYS_LOCKED);
        assert_non_null(strstr(s.reason, "wrong chip"));
        assert_non_null(strstr(s.reason, "recovery key"));
        assert_int_equal(keys_store(&h, second, &e), -ENOKEY);
        assert_int_equal(keys_unlock(&h, SPAN_LIT("ABCD"), &e), -EINVAL);
        assert_int_equal(keys_unlock(&h, span_str(one), &e), -EINVAL); /* void since the second */
        assert_non_null(strstr(e.msg, "not the one of this box"));
        boot(KEYS_LOCKED); /* and still nothing is lost */
        assert_int_equal(keys_unlock(&h, span_str(two), &e), 0);
        store_key(second);
        assert_memory_equal(first, second, 32);
        boot(KEYS_SEALED); /* to the new chip */
        store_key(second);
        assert_memory_equal(first, second, 32);
        chip("1");
        boot(KEYS_LOCKED);
        chip("2");
        boot(KEYS_SEALED);
        assert_int_equal(keys_recovery_new(&h, &e), 0);
        recovery(one);
        assert_string_not_equal(one, two);
}

static void moved_to_a_box_without(void **state)
{
        uint8_t first[32], second[32];
        char text[RECOVERY_TEXT_MAX];
        struct err e;
        (void)state;
        chip("1");
        boot(KEYS_SEALED);
        store_key(first);
        recovery(text);
        chip(NULL);
        boot(KEYS_LOCKED);
        for (char *p = text; *p; p++) /* as people type */
                *p = *p == '-' ? ' ' : *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        assert_int_equal(keys_unlock(&h, span_str(text), &e), 0);
        store_key(second);
        assert_memory_equal(first, second, 32);
        assert_false(there(REST "host.key")); /* nobody asked for that */
        boot(KEYS_LOCKED);
        write_file("/run/credentials/@system/gatehouse.recovery", "AAAA");
        boot(KEYS_LOCKED);
        write_file("/run/credentials/@system/gatehouse.recovery", text);
        boot(KEYS_OPENED);
        store_key(second);
        assert_memory_equal(first, second, 32);
}

/* A TPM that refuses on the first start leaves a box that works; a box that gets one later keeps its key. */
static void refused_and_late(void **state)
{
        uint8_t first[32], second[32];
        (void)state;
        chip("broken");
        struct keys_status s = boot(KEYS_PLAIN);
        assert_non_null(strstr(s.reason, "TPM says no"));
        store_key(first);
        chip("1");
        assert_true(boot(KEYS_SEALED).recovery_waiting);
        assert_false(there(REST "host.key"));
        store_key(second);
        assert_memory_equal(first, second, 32);
        chip("broken");
        boot(KEYS_LOCKED);
}

/* Files that are damaged or gone never end in a new key. */
static void damage(void **state)
{
        (void)state;
        boot(KEYS_PLAIN);
        write_file(REST "host.key", "short");
        boot(KEYS_LOCKED);
        gone("/var");
        chip("1");
        boot(KEYS_SEALED);
        gone(REST "host.key.tpm");
        boot(KEYS_LOCKED);
        assert_false(there(REST "host.key"));
        assert_false(there(REST "host.key.tpm"));
}

static void recovery_words(void **state)
{
        static const struct { const char *in; int want; } cases[] = {
                {"AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA", 0},
                {"aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa\r\n", 0},
                {"0189AAAAAAAAAAAAAAAAAAAAAAAAAAAA", -EINVAL},
                {"018AAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0},
                {"AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAA", -EINVAL},
                {"AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAA", -EINVAL},
                {"", -EINVAL},
        };
        uint8_t key[RECOVERY_BYTES], back[RECOVERY_BYTES];
        char text[RECOVERY_TEXT_MAX], again[RECOVERY_TEXT_MAX];
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (recovery_parse(span_str(cases[i].in), key) != cases[i].want)
                        fail_msg("\"%s\"", cases[i].in);
        for (unsigned i = 0; i < 256; i++) {
                for (unsigned k = 0; k < RECOVERY_BYTES; k++)
                        key[k] = (uint8_t)(i * 37 + k * (i | 1));
                recovery_text(key, text);
                assert_int_equal(strlen(text), RECOVERY_TEXT_MAX - 1);
                assert_int_equal(recovery_parse(span_str(text), back), 0);
                assert_memory_equal(key, back, sizeof key);
        }
        memset(key, 0xff, sizeof key);
        recovery_text(key, text);
        assert_string_equal(text, "7777-7777-7777-7777-7777-7777-7777-7777");
        assert_int_equal(recovery_parse(SPAN_LIT("OIB0-1877-7777-7777-7777-7777-7777-7777"), key), 0);
        recovery_text(key, again);
        assert_string_equal(again, "OIBO-IB77-7777-7777-7777-7777-7777-7777");
}

static void blanked(void **state)
{
        static const struct { const char *in, *want; size_t n; } cases[] = {
                {"a = \"x\";", "a = \"x\";", 0},
                {"kubeconfig = \"secret\";", "kubeconfig = \"(sealed)\";", 1},
                {"kubeconfig = \"(sealed)\";", "kubeconfig = \"(sealed)\";", 0},
                {"kubeconfig : \"se\" /* \"x\" */ \"cret\\\"\"  # \"y\"\n \"z\";", "kubeconfig : \"(sealed)\" /* \"x\" */ \"\"  # \"y\"\n \"\";", 3},
                {"key = \"\" \"b\";", "key = \"\" \"(sealed)\";", 1},
                {"agent = { kubeconfig = \"\"; context = \"c\"; };", "agent = { kubeconfig = \"\"; context = \"c\"; };", 0},
                {"x = ( { password = \"p\"; }, { password=\"q\"; a = \"kubeconfig = 1\"; } );",
                 "x = ( { password = \"(sealed)\"; }, { password=\"(sealed)\"; a = \"kubeconfig = 1\"; } );", 2},
                {"# password = \"p\"\nmy-password = \"p\"; password_x = \"q\";", "# password = \"p\"\nmy-password = \"p\"; password_x = \"q\";", 0},
                {"// manifests = \"\nmanifests = \"kind: A\n\";", "// manifests = \"\nmanifests = \"(sealed)\";", 1},
                {"password = \"cut", "password = \"(sealed)\"", 1},
                {"password = \"p\\", "password = \"(sealed)\"", 1},
                {"/* cut password = \"x\"", "/* cut password = \"x\"", 0},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct buf b;
                buf_init(&b, 4096);
                size_t n = config_blank(span_str(cases[i].in), &b);
                if (n != cases[i].n || !span_eq_str(buf_span(&b), cases[i].want))
                        fail_msg("%s: %zu, %.*s", cases[i].in, n, (int)b.n, (const char *)b.p);
                buf_fini(&b);
        }
}

static bool found_in(const char *dir, const char *word)
{
        char command[HOST_PATH_MAX + 64], path[HOST_PATH_MAX], said[256];
        snprintf(command, sizeof command, "grep -r -q -e %s %s", word, host_path(&h, path, "%s", dir));
        const char *const argv[] = {"/bin/sh", "-c", command, NULL};
        int r = host_run(argv, 10000, said, sizeof said);
        assert_in_range(r, 0, 1);
        return r == 0;
}

/* What is secret in a configuration is nowhere on the disk in clear, comes back, and is not there while locked. */
static void stored(void **state)
{
        static const char cfg[] = "name = \"box\"; bgp = { password = \"BGPWORD\"; };";
        static const struct seed_file manifests[] = {{"a.yaml", {(const uint8_t *)"SECRETYAML", 10}}};
        struct seed_copy in, out;
        struct err e = {0};
        (void)state;
        chip("1");
        boot(KEYS_SEALED);
        assert_int_equal(keys_recovery_seen(&h, &e), 0);
        seed_copy_init(&in);
        in.cfg = span_str(cfg);
        in.seed = (struct seed){.kubeconfig = SPAN_LIT("KUBEWORD"), .manifests = manifests, .n_manifests = 1};
        assert_int_equal(store_propose(&h, &in, &e), 0);
        assert_int_equal(store_commit(&h, &e), 0);
        assert_false(found_in("/var", "BGPWORD"));
        assert_false(found_in("/var", "KUBEWORD"));
        assert_false(found_in("/var", "SECRETYAML"));
        assert_true(found_in("/var", "box"));

        seed_copy_init(&out);
        assert_int_equal(store_load(&h, STORE_CURRENT, &out, &e), 0);
        assert_false(out.locked);
        assert_true(span_eq_str(out.cfg, cfg));
        assert_true(span_eq_str(out.seed.kubeconfig, "KUBEWORD"));
        assert_int_equal(out.seed.n_manifests, 1);
        assert_true(span_eq_str(out.seed.manifests[0].bytes, "SECRETYAML"));
        seed_copy_fini(&out);

        chip("2");
        boot(KEYS_LOCKED);
        seed_copy_init(&out);
        assert_int_equal(store_load(&h, STORE_CURRENT, &out, &e), 0);
        assert_true(out.locked);
        assert_true(span_eq_str(out.cfg, "name = \"box\"; bgp = { password = \"(sealed)\"; };"));
        assert_int_equal(out.seed.kubeconfig.n, 0);
        assert_int_equal(out.seed.n_manifests, 0);
        assert_int_equal(store_propose(&h, &in, &e), -ENOKEY);
        seed_copy_fini(&out);
        seed_copy_fini(&in);
}

static int remove_root(void **state)
{
        struct err e;
        (void)state;
        return path_remove_tree(root, &e);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, fresh)
        const struct CMUnitTest tests[] = {T(without_a_tpm), T(sealed), T(moved_to_a_box_without), T(refused_and_late), T(damage),
                                           cmocka_unit_test(recovery_words), cmocka_unit_test(blanked), T(stored)};
        log_init("test", LOG_ERROR);
        if (!mkdtemp(root))
                return 1;
        return cmocka_run_group_tests(tests, NULL, remove_root);
}
