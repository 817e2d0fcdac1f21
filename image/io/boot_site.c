/* image/io/boot_site.c - see boot_site.h. */
#include "lib/base.h"
#include "image/io/boot_site.h"
#include "image/core/keyvalue.h"
#include "image/io/boot_state.h"
#include "image/io/path.h"
#include "image/io/update_auto.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SMALL_MAX 16384
#define ARENA_MAX (1u << 20)

/* ---------------------------------------------------------------- release and command line */

static void take(struct span text, const char *key, char *ret, size_t n)
{
        struct span v;
        if (keyvalue_get(text, key, &v))
                snprintf(ret, n, "%.*s", SPAN_FMT(v));
}

/* The value of KEY= among the words of the kernel's command line; the last one counts. */
static bool word(struct span line, const char *key, struct span *ret)
{
        size_t k = strlen(key), i = 0;
        bool found = false;
        while (i < line.n) {
                size_t from = i;
                while (i < line.n && line.p[i] != ' ' && line.p[i] != '\n')
                        i++;
                if (i - from > k && memcmp(line.p + from, key, k) == 0) {
                        *ret = SPAN(line.p + from + k, i - from - k);
                        found = true;
                }
                i++;
        }
        return found;
}

static bool hash_of(struct span s, struct sha256 *ret)
{
        static const char digits[] = "0123456789abcdef";
        if (s.n != 2 * SHA256_BYTES)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                const char *d = s.p[i] ? strchr(digits, s.p[i]) : NULL;
                if (!d)
                        return false;
                ret->b[i / 2] = (uint8_t)(ret->b[i / 2] << 4 | (d - digits));
        }
        return true;
}

static int release_take(const struct host *h, struct arena *a, struct boot_site *s, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        struct span text, v;
        int r = path_read(host_path(h, path, "/usr/lib/gatehouse/release"), SMALL_MAX, a, &text, reterr);
        if (r < 0)
                return r;
        if (!keyvalue_get(text, "VERSION", &v) || !version_parse(v, &s->version))
                return err_set(reterr, EBADMSG, path, "no VERSION in it");
        if (!keyvalue_get(text, "MINIMUM_VERSION", &v) || !version_parse(v, &s->minimum))
                return err_set(reterr, EBADMSG, path, "no MINIMUM_VERSION in it");
        take(text, "COMMIT", s->commit, sizeof s->commit);
        take(text, "CHANNEL", s->channel, sizeof s->channel);
        take(text, "PROFILE", s->profile, sizeof s->profile);
        return 0;
}

static int cmdline_take(const struct host *h, struct arena *a, struct boot_site *s, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        struct span line, v;
        int r = path_read(host_path(h, path, "/proc/cmdline"), SMALL_MAX, a, &line, reterr);
        if (r < 0)
                return r;
        /* Faults can be injected into test images only: whoever may change the command line of another one owns it
         * anyway, but a flag that makes an appliance fail has no business there. */
        if (strcmp(s->profile, "test") == 0 && word(line, "gatehouse.fault=", &v))
                snprintf(s->fault, sizeof s->fault, "%.*s", SPAN_FMT(v));
        if (!word(line, "roothash=", &v) || !hash_of(v, &s->roothash))
                return err_set(reterr, ENOENT, path, "no roothash=: this is not a booted image");
        return 0;
}

void boot_release_read(const struct host *h, struct boot_site *ret)
{
        struct arena a;
        struct err e;
        *ret = (struct boot_site){.fault = ""};
        arena_init(&a, SMALL_MAX, ARENA_MAX);
        (void)release_take(h, &a, ret, &e); /* what is not there stays empty */
        arena_fini(&a);
}

int boot_site_read(const struct host *h, struct boot_site *ret, struct err *reterr)
{
        struct boot_site s = {.fault = ""};
        struct arena a;
        struct err e;
        reterr = reterr ? reterr : &e;
        arena_init(&a, SMALL_MAX, ARENA_MAX);
        host_path(h, s.esp, "/efi");
        int r = release_take(h, &a, &s, reterr);
        if (r == 0)
                r = cmdline_take(h, &a, &s, reterr);
        arena_fini(&a);
        if (r == 0)
                *ret = s;
        return r;
}

/* ---------------------------------------------------------------- the disk */

/* /sys/class/block/vda2 -> .../block/vda/vda2 */
static int disk_of(const struct host *h, const char *part, char *ret, size_t n, struct err *reterr)
{
        char path[HOST_PATH_MAX], real[PATH_MAX];
        struct stat st;
        host_path(h, path, "/sys/class/block/%s", part);
        if (!realpath(path, real))
                return err_set(reterr, errno, path, "cannot follow: %s", strerror(errno));
        char *slash = strrchr(real, '/');
        BUG_ON(!slash); /* realpath's result is absolute */
        *slash = '\0';
        const char *disk = strrchr(real, '/');
        host_path(h, path, "/sys/class/block/%s/partition", part);
        if (stat(path, &st) < 0 || !disk || snprintf(ret, n, "/dev%s", disk) >= (int)n)
                return err_set(reterr, ENODEV, path, "the root file system lies on no partition");
        return 0;
}

int boot_site_disk(const struct host *h, struct boot_site *s, struct err *reterr)
{
        char path[HOST_PATH_MAX], part[NAME_MAX + 1] = "";
        struct stat st;
        host_path(h, path, "/dev/mapper/root");
        if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
                return err_set(reterr, ENODEV, path, "the root file system is not on it");
        host_path(h, path, "/sys/dev/block/%u:%u/slaves", major(st.st_rdev), minor(st.st_rdev));
        DIR *d = opendir(path);
        if (!d)
                return err_set(reterr, errno, path, "cannot read: %s", strerror(errno));
        for (const struct dirent *e; (e = readdir(d));)
                if (e->d_name[0] != '.')
                        snprintf(part, sizeof part, "%s", e->d_name); /* data or hash partition: the same disk */
        closedir(d);
        if (!*part)
                return err_set(reterr, ENODEV, path, "it is empty");
        return disk_of(h, part, s->disk, sizeof s->disk, reterr);
}

/* ---------------------------------------------------------------- status */

static void put(struct json *j, const char *key, const char *v)
{
        json_key(j, key);
        json_str(j, v && *v ? v : NULL);
}

static void put_version(struct json *j, const char *key, const struct version *v)
{
        char text[VERSION_STR_MAX];
        put(j, key, version_str(v, text));
}

static void put_slot(const struct host *h, struct boot_site *s, struct json *j)
{
        struct disk d = {.fd = -1};
        struct slot slot;
        char which[2] = "";
        struct gpt *g = malloc(sizeof *g);
        if (g && boot_site_disk(h, s, NULL) == 0 && disk_open(s->disk, false, &d, NULL) == 0 &&
            disk_gpt_read(&d, g, NULL) == 0 && slot_running(g, &s->roothash, &slot, NULL) == 0)
                which[0] = slot.which;
        disk_close(&d);
        free(g);
        put(j, "slot", which);
}

static const char *entry_word(const struct boot_entry *e)
{
        return !e->counted ? "good" : e->left ? "trial" : boot_entry_lost(e) ? "failed" : "set aside";
}

/* A box that boots one version has one entry of ours beside it at most. */
static void put_entries(const struct boot_site *s, struct json *j)
{
        struct esp e = {.dir = -1};
        struct esp_entries l = {.n = 0};
        if (esp_open(s->esp, &e, NULL) < 0 || esp_list(&e, &l, NULL) < 0)
                l.n = 0;
        esp_close(&e);
        const struct boot_entry *b = esp_find(&l, &s->version);
        put(j, "entry", b ? (b->counted ? "trial" : "good") : NULL); /* the last try is +0 already */
        json_key(j, "tries_left");
        if (b && b->counted)
                json_u64(j, b->left);
        else
                json_nil(j);
        json_key(j, "other");
        for (size_t i = 0; i < l.n; i++)
                if (&l.v[i] != b) {
                        json_obj(j);
                        put_version(j, "version", &l.v[i].version);
                        put(j, "entry", entry_word(&l.v[i]));
                        json_end(j);
                        return;
                }
        json_nil(j);
}

static void put_update(const struct host *h, struct json *j)
{
        static const char *const texts[] = {"state", "source", "version", "step", "error"}, *const numbers[] = {
                                                                                                    "done", "total"};
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span text, v;
        struct err e;
        arena_init(&a, SMALL_MAX, ARENA_MAX);
        json_key(j, "update");
        if (path_read(host_path(h, path, UPDATE_STATE_PATH), SMALL_MAX, &a, &text, &e) < 0) {
                json_nil(j);
        } else {
                json_obj(j);
                for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                        if (keyvalue_get(text, texts[i], &v)) {
                                json_key(j, texts[i]);
                                json_span(j, v);
                        }
                for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                        if (keyvalue_get(text, numbers[i], &v)) {
                                char n[24];
                                snprintf(n, sizeof n, "%.*s", SPAN_FMT(v));
                                json_key(j, numbers[i]);
                                json_u64(j, strtoull(n, NULL, 10));
                        }
                json_end(j);
        }
        arena_fini(&a);
}

static void put_auto(const struct host *h, struct json *j)
{
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span text = SPAN_NULL;
        struct err none; /* it has not looked yet, or is not to */
        arena_init(&a, SMALL_MAX, ARENA_MAX);
        json_key(j, "automatic_update");
        if (path_read(host_path(h, path, AUTO_STATE_PATH), SMALL_MAX, &a, &text, &none) < 0)
                json_nil(j);
        else
                json_span(j, text);
        arena_fini(&a);
}

static void put_last_rollback(const struct host *h, struct json *j)
{
        struct rollback_record r;
        json_key(j, "last_rollback");
        if (rollback_record_read(h, &r, NULL) < 0) {
                json_nil(j);
                return;
        }
        json_obj(j);
        put_version(j, "from", &r.from);
        put_version(j, "to", &r.to);
        json_key(j, "at");
        json_i64(j, r.at);
        put(j, "reason", r.reason);
        json_end(j);
}

static void put_health(const struct host *h, struct json *j)
{
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span text;
        struct err e;
        arena_init(&a, SMALL_MAX, ARENA_MAX);
        json_key(j, "health");
        if (path_read(host_path(h, path, HEALTH_STATE_PATH), 4 * SMALL_MAX, &a, &text, &e) < 0)
                json_nil(j);
        else
                json_raw(j, text); /* our own file, renamed into place whole */
        arena_fini(&a);
}

void boot_site_status(const struct host *h, struct json *j)
{
        struct boot_site s;
        bool booted = boot_site_read(h, &s, NULL) == 0;
        if (!booted)
                boot_release_read(h, &s);
        put_version(j, "version", &s.version);
        put_version(j, "minimum", &s.minimum);
        put(j, "commit", s.commit);
        put(j, "channel", s.channel);
        put(j, "profile", s.profile);
        if (booted) {
                put_slot(h, &s, j);
                put_entries(&s, j);
        }
        put_update(h, j);
        put_auto(h, j);
        put_last_rollback(h, j);
        put_health(h, j);
}
