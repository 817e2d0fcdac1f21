/* image/io/keys.c - see keys.h. */
#include "lib/base.h"
#include "image/io/keys.h"
#include "image/io/path.h"
#include "lib/io/log.h"
#include "lib/io/random.h"

#include <sys/stat.h>
#include <unistd.h>

#define AT_REST "/var/lib/gatehouse/system/"
#define IN_MEMORY "/run/gatehouse/keys/"
#define CREDENTIAL "/run/credentials/@system/gatehouse.recovery"
#define TPM "/dev/tpmrm0"
#define TPM_MS 30000 /* a slow chip makes a key in seconds; two of them fit into the watchdog of serve */
#define SALT_BYTES 16
#define KEY_BYTES SECRETBOX_KEY_BYTES
#define RECOVERY_ABOUT SPAN_LIT("host key")

const char *const keys_state_names[KEYS_N] = {
#define S(id, name) name,
        KEYS_STATES(S)
#undef S
};

/* ---------------------------------------------------------------- files */

static bool exists(const struct host *h, const char *file)
{
        char path[HOST_PATH_MAX];
        struct stat st;
        return lstat(host_path(h, path, "%s", file), &st) == 0;
}

static int put(const struct host *h, const char *file, struct span bytes, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        return path_write(host_path(h, path, "%s", file), bytes, 0600, UINT32_MAX, strncmp(file, AT_REST, sizeof AT_REST - 1) == 0, reterr);
}

/* At most max bytes; how many, or -errno. */
static ssize_t get(const struct host *h, const char *file, void *ret, size_t max, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span s = SPAN_NULL;
        arena_init(&a, 4096, 16384);
        int r = path_read(host_path(h, path, "%s", file), max, &a, &s, reterr);
        if (r == 0 && s.n)
                memcpy(ret, s.p, s.n);
        arena_wipe(&a);
        arena_fini(&a);
        return r < 0 ? r : (ssize_t)s.n;
}

static int get_key(const struct host *h, const char *file, uint8_t ret[KEY_BYTES], struct err *reterr)
{
        ssize_t n = get(h, file, ret, KEY_BYTES, reterr);
        return n < 0 ? (int)n : n == KEY_BYTES ? 0 : err_set(reterr, EBADMSG, file, "is damaged: %zd bytes", n);
}

static void drop(const struct host *h, const char *file)
{
        char path[HOST_PATH_MAX];
        if (unlink(host_path(h, path, "%s", file)) < 0 && errno != ENOENT)
                log_warn("not_removed", "file=%s reason=%s", file, LOG_ESC(strerror(errno)));
}

/* ---------------------------------------------------------------- the TPM */

static bool has_tpm(const struct host *h)
{
        return h->creds && *h->creds && exists(h, TPM);
}

static int creds(const struct host *h, const char *const *argv, struct err *reterr)
{
        char said[1024];
        int r = host_run(argv, TPM_MS, said, sizeof said);
        if (r == 0)
                return 0;
        /* what failed is in the last line, what it tried before it */
        size_t n = strlen(said);
        while (n && said[n - 1] == '\n')
                said[--n] = '\0';
        const char *last = strrchr(said, '\n');
        if (r < 0)
                return err_set(reterr, -r, h->creds, "%s", strerror(-r));
        return err_set(reterr, EIO, h->creds, "%.180s", last ? last + 1 : *said ? said : "failed");
}

static int unseal(const struct host *h, const char *from, uint8_t ret[KEY_BYTES], struct err *reterr)
{
        char in[HOST_PATH_MAX], out[HOST_PATH_MAX];
        const char *const argv[] = {h->creds, "decrypt", "--name=host.key", host_path(h, in, "%s", from), host_path(h, out, IN_MEMORY "unsealed"), NULL};
        int r = creds(h, argv, reterr);
        if (r == 0)
                r = get_key(h, IN_MEMORY "unsealed", ret, reterr);
        drop(h, IN_MEMORY "unsealed");
        return r;
}

/* Only what this TPM gives back is written to the disk. */
static int seal(const struct host *h, const uint8_t key[KEY_BYTES], struct err *reterr)
{
        char in[HOST_PATH_MAX], out[HOST_PATH_MAX], blob[4096];
        uint8_t back[KEY_BYTES];
        const char *const argv[] = {h->creds, "encrypt", "--name=host.key", "--with-key=tpm2", "--tpm2-device=auto", "--tpm2-pcrs=7",
                                    host_path(h, in, IN_MEMORY "seal"), host_path(h, out, IN_MEMORY "sealed"), NULL};
        ssize_t n = 0;
        int r = put(h, IN_MEMORY "seal", SPAN(key, KEY_BYTES), reterr);
        if (r == 0)
                r = creds(h, argv, reterr);
        if (r == 0)
                r = unseal(h, IN_MEMORY "sealed", back, reterr);
        if (r == 0 && memcmp(back, key, KEY_BYTES) != 0)
                r = err_set(reterr, EIO, h->creds, "another key came back than was sealed");
        if (r == 0)
                n = get(h, IN_MEMORY "sealed", blob, sizeof blob, reterr);
        if (r == 0)
                r = n < 0 ? (int)n : put(h, AT_REST "host.key.tpm", SPAN(blob, (size_t)n), reterr);
        drop(h, IN_MEMORY "seal");
        drop(h, IN_MEMORY "sealed");
        explicit_bzero(back, sizeof back);
        return r;
}

/* ---------------------------------------------------------------- the recovery key */

static void wrapping_key(const uint8_t recovery[RECOVERY_BYTES], const uint8_t salt[SALT_BYTES], uint8_t ret[KEY_BYTES])
{
        /* 160 bits of randomness, not a password: nothing to stretch */
        secretbox_derive(SPAN(recovery, RECOVERY_BYTES), SPAN(salt, SALT_BYTES), "gatehouse recovery", ret);
}

static int recovery_make(const struct host *h, const uint8_t key[KEY_BYTES], struct err *reterr)
{
        uint8_t recovery[RECOVERY_BYTES], wrap[KEY_BYTES], file[SALT_BYTES + KEY_BYTES + SECRETBOX_OVERHEAD_BYTES];
        char text[RECOVERY_TEXT_MAX];
        int r = random_fill(recovery, sizeof recovery);
        if (r == 0)
                r = random_fill(file, SALT_BYTES);
        if (r == 0) {
                wrapping_key(recovery, file, wrap);
                r = secretbox_seal(wrap, RECOVERY_ABOUT, SPAN(key, KEY_BYTES), file + SALT_BYTES);
        }
        if (r < 0)
                return err_set(reterr, -r, "recovery key", "cannot be made: %s", strerror(-r));
        recovery_text(recovery, text);
        drop(h, AT_REST "recovery.seen");
        r = put(h, AT_REST "host.key.recovery", SPAN(file, sizeof file), reterr);
        if (r == 0)
                r = put(h, IN_MEMORY "recovery", span_str(text), reterr);
        explicit_bzero(recovery, sizeof recovery);
        explicit_bzero(wrap, sizeof wrap);
        explicit_bzero(text, sizeof text);
        return r;
}

static int recover(const struct host *h, struct span text, uint8_t ret[KEY_BYTES], struct err *reterr)
{
        uint8_t recovery[RECOVERY_BYTES], wrap[KEY_BYTES], file[SALT_BYTES + KEY_BYTES + SECRETBOX_OVERHEAD_BYTES];
        struct span key = SPAN_NULL;
        if (recovery_parse(text, recovery) < 0)
                return err_set(reterr, EINVAL, "recovery key", "is eight groups of four letters and digits");
        ssize_t n = get(h, AT_REST "host.key.recovery", file, sizeof file, reterr);
        if (n < 0)
                return (int)n;
        if (n != (ssize_t)sizeof file)
                return err_set(reterr, EBADMSG, "host.key.recovery", "is damaged: %zd bytes", n);
        wrapping_key(recovery, file, wrap);
        int r = secretbox_open(wrap, RECOVERY_ABOUT, file + SALT_BYTES, sizeof file - SALT_BYTES, &key);
        explicit_bzero(recovery, sizeof recovery);
        explicit_bzero(wrap, sizeof wrap);
        if (r < 0)
                return err_set(reterr, EINVAL, "recovery key", "is not the one of this box");
        memcpy(ret, key.p, KEY_BYTES);
        explicit_bzero(file, sizeof file);
        return 0;
}

/* ---------------------------------------------------------------- states */

static void state_set(const struct host *h, struct keys_status *s, enum keys_state state, const char *reason)
{
        char text[sizeof s->reason + 32];
        struct err e = {0};
        s->state = state;
        snprintf(s->reason, sizeof s->reason, "%s", reason);
        snprintf(text, sizeof text, "%s %s", keys_state_names[state], reason);
        if (put(h, IN_MEMORY "state", span_str(text), &e) < 0)
                log_error("keys_not_noted", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        if (state == KEYS_LOCKED)
                log_error("secrets", "state=%s reason=%s action=%s", keys_state_names[state], LOG_ESC(reason), "serve_what_needs_no_keys");
        else
                log_info("secrets", "state=%s reason=%s", keys_state_names[state], LOG_ESC(reason));
}

void keys_status_read(const struct host *h, struct keys_status *ret)
{
        char text[sizeof ret->reason + 32] = "";
        struct err none; /* no file: no key */
        ssize_t n = get(h, IN_MEMORY "state", text, sizeof text - 1, &none);
        *ret = (struct keys_status){.state = KEYS_NONE, .reason = "configure has not run"};
        text[MAX(n, (ssize_t)0)] = '\0';
        for (int i = 0; n > 0 && i < KEYS_N; i++) {
                size_t len = strlen(keys_state_names[i]);
                if (strncmp(text, keys_state_names[i], len) == 0 && text[len] == ' ') {
                        ret->state = (enum keys_state)i;
                        snprintf(ret->reason, sizeof ret->reason, "%.255s", text + len + 1);
                }
        }
        ret->recovery_waiting = exists(h, IN_MEMORY "recovery");
}

/* Hands the key to those who need it. */
static int publish(const struct host *h, const uint8_t key[KEY_BYTES], struct err *reterr)
{
        uint8_t daemon[KEY_BYTES];
        secretbox_derive(SPAN(key, KEY_BYTES), SPAN_NULL, "gatehouse daemons", daemon);
        int r = put(h, IN_MEMORY "daemon.key", SPAN(daemon, sizeof daemon), reterr);
        explicit_bzero(daemon, sizeof daemon);
        return r < 0 ? r : put(h, IN_MEMORY "host.key", SPAN(key, KEY_BYTES), reterr);
}

#define WHERE_SEALED "sealed to this machine's TPM (PCR 7: the keys that Secure Boot trusts)"
#define WHERE_PLAIN "host key on the data partition: who has the disk can read the secrets"

/* The key is here; where it lies from now on.  sealed: by the TPM, as the disk has it.  Nobody gets a key that is not kept. */
static int settle(const struct host *h, const uint8_t key[KEY_BYTES], bool sealed, bool from_recovery, struct keys_status *s, struct err *reterr)
{
        char reason[sizeof s->reason];
        struct err no = {0};
        int r = 0;
        if (!sealed && has_tpm(h)) {
                sealed = seal(h, key, &no) == 0;
                if (!sealed)
                        log_warn("not_sealed", "reason=%s", LOG_ESC(no.msg));
        }
        const char *why = has_tpm(h) ? no.msg : "no TPM";
        if (sealed && !from_recovery && (!exists(h, AT_REST "host.key.recovery") || !exists(h, AT_REST "recovery.seen")))
                r = recovery_make(h, key, reterr);
        else if (!sealed && !from_recovery && !exists(h, AT_REST "host.key"))
                r = put(h, AT_REST "host.key", SPAN(key, KEY_BYTES), reterr);
        if (r == 0)
                r = publish(h, key, reterr);
        if (r < 0)
                return r;
        if (sealed) {
                drop(h, AT_REST "host.key"); /* the TPM has it now */
                state_set(h, s, KEYS_SEALED, WHERE_SEALED);
        } else if (from_recovery) {
                snprintf(reason, sizeof reason, "opened by the recovery key until the next start: %.150s", why);
                state_set(h, s, KEYS_OPENED, reason);
        } else {
                snprintf(reason, sizeof reason, "%s; %.150s", WHERE_PLAIN, why);
                state_set(h, s, KEYS_PLAIN, reason);
        }
        return 0;
}

/* 0: key; *sealed: it came from the TPM.  -ENOENT: there is none yet. */
static int find(const struct host *h, uint8_t key[KEY_BYTES], bool *sealed, struct err *reterr)
{
        struct err plain = {0};
        *sealed = false;
        if (exists(h, AT_REST "host.key.tpm")) {
                int r = has_tpm(h) ? unseal(h, AT_REST "host.key.tpm", key, reterr) : err_set(reterr, ENODEV, "TPM", "there is none");
                *sealed = r == 0;
                /* both are there when the power went while the key was being sealed */
                return r < 0 && get_key(h, AT_REST "host.key", key, &plain) == 0 ? 0 : r;
        }
        if (exists(h, AT_REST "host.key"))
                return get_key(h, AT_REST "host.key", key, reterr);
        if (exists(h, AT_REST "host.key.recovery"))
                return err_set(reterr, EBADMSG, "host.key.tpm", "is gone");
        return -ENOENT;
}

static int opened_by_credential(const struct host *h, uint8_t key[KEY_BYTES])
{
        char text[128];
        struct err e = {0};
        ssize_t n = get(h, CREDENTIAL, text, sizeof text, &e);
        if (n <= 0)
                return -ENOENT;
        int r = recover(h, SPAN(text, (size_t)n), key, &e);
        explicit_bzero(text, sizeof text);
        if (r < 0)
                log_error("recovery_credential_refused", "reason=%s", LOG_ESC(e.msg));
        return r;
}

void keys_open(const struct host *h, struct keys_status *ret)
{
        uint8_t key[KEY_BYTES];
        char dir[HOST_PATH_MAX], reason[sizeof ret->reason];
        struct err e = {0};
        bool sealed, recovered = false;
        *ret = (struct keys_status){.state = KEYS_NONE};
        int r = path_remove_tree(host_path(h, dir, IN_MEMORY), &e);
        if (r == 0)
                r = path_mkdirs(host_path(h, dir, IN_MEMORY), 0700, &e);
        if (r == 0)
                r = path_mkdirs(host_path(h, dir, AT_REST), 0700, &e);
        if (r == 0)
                r = find(h, key, &sealed, &e);
        if (r == -ENOENT) {
                r = random_fill(key, sizeof key);
                if (r < 0)
                        (void)err_set(&e, -r, "host key", "cannot be made: %s", strerror(-r)); /* r says it already */
        } else if (r < 0 && opened_by_credential(h, key) == 0) {
                recovered = true;
                r = 0;
        }
        if (r == 0)
                r = settle(h, key, sealed, recovered, ret, &e);
        if (r < 0) {
                snprintf(reason, sizeof reason, "locked: type the recovery key, or reset.  %.60s: %.120s", e.place, e.msg);
                state_set(h, ret, KEYS_LOCKED, reason);
        }
        ret->recovery_waiting = exists(h, IN_MEMORY "recovery");
        explicit_bzero(key, sizeof key);
}

int keys_store(const struct host *h, uint8_t ret[KEY_BYTES], struct err *reterr)
{
        uint8_t key[KEY_BYTES];
        struct err none; /* why is in the state */
        if (get_key(h, IN_MEMORY "host.key", key, &none) < 0)
                return err_set(reterr, ENOKEY, "secrets", "are locked: give the recovery key first (gatectl system unlock), or reset");
        secretbox_derive(SPAN(key, KEY_BYTES), SPAN_NULL, "gatehouse configuration", ret);
        explicit_bzero(key, sizeof key);
        return 0;
}

int keys_unlock(const struct host *h, struct span text, struct err *reterr)
{
        uint8_t key[KEY_BYTES];
        struct keys_status s;
        keys_status_read(h, &s);
        if (s.state != KEYS_LOCKED)
                return err_set(reterr, EALREADY, "secrets", "are not locked");
        int r = recover(h, text, key, reterr);
        if (r == 0)
                r = settle(h, key, false, true, &s, reterr);
        if (r == 0)
                r = put(h, AT_REST "recovery.seen", SPAN_NULL, reterr);
        explicit_bzero(key, sizeof key);
        return r;
}

int keys_recovery(const struct host *h, char ret[RECOVERY_TEXT_MAX], struct err *reterr)
{
        struct err none;
        ssize_t n = get(h, IN_MEMORY "recovery", ret, RECOVERY_TEXT_MAX - 1, &none);
        if (n <= 0)
                return err_set(reterr, ENOENT, "recovery key", "was shown already, or none is needed here; `gatectl system recovery new` makes another");
        ret[n] = '\0';
        return 0;
}

int keys_recovery_seen(const struct host *h, struct err *reterr)
{
        if (!exists(h, IN_MEMORY "recovery"))
                return err_set(reterr, ENOENT, "recovery key", "none waits to be written down");
        int r = put(h, AT_REST "recovery.seen", SPAN_NULL, reterr);
        if (r == 0)
                drop(h, IN_MEMORY "recovery");
        return r;
}

int keys_recovery_new(const struct host *h, struct err *reterr)
{
        uint8_t key[KEY_BYTES];
        struct keys_status s;
        keys_status_read(h, &s);
        if (s.state != KEYS_SEALED && s.state != KEYS_OPENED)
                return err_set(reterr, EINVAL, "recovery key", "is for a key that is sealed to a TPM: %s", s.reason);
        int r = get_key(h, IN_MEMORY "host.key", key, reterr);
        if (r == 0)
                r = recovery_make(h, key, reterr);
        explicit_bzero(key, sizeof key);
        return r;
}
