/* image/io/update.c - see update.h. */
#include "lib/base.h"
#include "image/io/update.h"
#include "image/io/bundle.h"
#include "image/io/signature.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <sys/file.h>

#define CHUNK_BYTES (1u << 20)

static const char *const step_words[UPDATE_STEP_N] = {
#define S(id, word) [UPDATE_STEP_##id] = word,
        UPDATE_STEPS(S)
#undef S
};

const char *update_step_str(enum update_step s)
{
        return s < UPDATE_STEP_N ? step_words[s] : "?";
}

/* ---------------------------------------------------------------- slots */

int slot_of(const struct gpt *g, char which, struct slot *ret, struct err *reterr)
{
        char root[] = "gatehouse-root-?", verity[] = "gatehouse-verity-?";
        root[sizeof root - 2] = verity[sizeof verity - 2] = which;
        ret->which = which;
        int r = gpt_find(g, root, &ret->root, reterr);
        return r < 0 ? r : gpt_find(g, verity, &ret->verity, reterr);
}

int slot_running(const struct gpt *g, const struct sha256 *roothash, struct slot *ret, struct err *reterr)
{
        struct gpt_uuid root, verity;
        char text[GPT_UUID_STR_MAX];
        gpt_uuids_of_roothash(roothash->b, &root, &verity);
        for (char which = 'a'; which <= 'b'; which++) {
                int r = slot_of(g, which, ret, reterr);
                if (r < 0)
                        return r;
                if (memcmp(&ret->root.uuid, &root, sizeof root) == 0 &&
                    memcmp(&ret->verity.uuid, &verity, sizeof verity) == 0)
                        return 0;
        }
        return err_set(reterr, ENOENT, "slots", "neither slot has the root partition %s that is running",
                       gpt_uuid_str(&root, text));
}

/* ---------------------------------------------------------------- one update */

struct work {
        const struct update_job *job;
        struct bundle *bundle;
        struct disk disk;
        struct esp esp;
        struct gpt gpt;
        struct slot idle;
        struct update_manifest m;
        uint8_t *chunk;
        uint64_t done, total;
};

static void report(const struct work *w, enum update_step s)
{
        if (w->job->progress)
                w->job->progress(w->job->arg, s, w->done, w->total);
}

static int manifest_take(struct bundle *from, const char *const *key_dirs, struct update_manifest *ret, struct err *reterr)
{
        uint8_t text[UPDATE_MANIFEST_MAX], sig[UPDATE_SIGNATURES_MAX * UPDATE_SIGNATURE_BYTES];
        size_t n, n_sig, n_dirs = 0;
        while (n_dirs < UPDATE_KEY_DIRS && key_dirs[n_dirs])
                n_dirs++;
        int r = bundle_read_small(from, "manifest", text, sizeof text, &n, reterr);
        if (r == 0)
                r = bundle_read_small(from, "manifest.sig", sig, sizeof sig, &n_sig, reterr);
        if (r == 0)
                r = signature_verify(key_dirs, n_dirs, SPAN(text, n), SPAN(sig, n_sig), reterr);
        return r < 0 ? r : update_manifest_parse(SPAN(text, n), ret, reterr);
}

int update_look(const char *source, const char *const key_dirs[UPDATE_KEY_DIRS], struct update_manifest *ret, struct err *reterr)
{
        struct bundle *b = NULL;
        int r = bundle_open(source, &b, reterr);
        if (r == 0)
                r = manifest_take(b, key_dirs, ret, reterr);
        bundle_close(b);
        return r;
}

/* The entry that runs must be there and proved good: while it is on trial, the other slot is what we would fall back
 * to. */
static int admit(struct work *w, struct err *reterr)
{
        struct update_site s = {.running = w->job->running, .floor = w->job->floor, .downgrade = w->job->downgrade};
        struct esp_entries l;
        char v[VERSION_STR_MAX];
        s.room[UPDATE_ROOT] = disk_partition_bytes(&w->gpt, &w->idle.root);
        s.room[UPDATE_VERITY] = disk_partition_bytes(&w->gpt, &w->idle.verity);
        int r = esp_room(&w->esp, &w->job->running, &s.room[UPDATE_UKI], reterr);
        if (r == 0)
                r = update_admit(&w->m, &s, reterr);
        if (r == 0)
                r = esp_list(&w->esp, &l, reterr);
        if (r < 0)
                return r;
        const struct boot_entry *b = esp_find(&l, &w->job->running);
        if (!b)
                return err_set(reterr, ENOENT, w->esp.path,
                               "no boot entry of the running version %s: it would not boot again",
                               version_str(&w->job->running, v));
        for (size_t i = 0; b->counted && i < l.n; i++)
                if (&l.v[i] != b && !boot_entry_lost(&l.v[i]))
                        return err_set(reterr, EBUSY, w->esp.path,
                                       "the running version %s is still on trial: the other slot is its way back",
                                       version_str(&w->job->running, v));
        for (enum update_file f = UPDATE_ROOT; f < UPDATE_FILE_N; f++)
                w->total += w->m.file[f].bytes;
        return 0;
}

static int idle_entries_remove(struct work *w, struct err *reterr)
{
        struct esp_entries l;
        int r = esp_list(&w->esp, &l, reterr);
        for (size_t i = 0; r == 0 && i < l.n; i++)
                if (version_cmp(&l.v[i].version, &w->job->running) != 0)
                        r = esp_remove(&w->esp, &l.v[i], reterr);
        return r;
}

/* Where the bytes of one file go. */
struct sink {
        int (*write)(struct work *w, const struct sink *s, uint64_t at, size_t n, struct err *reterr); /* of w->chunk */
        uint64_t base;
        const struct esp_file *file;
};

static int to_disk(struct work *w, const struct sink *s, uint64_t at, size_t n, struct err *reterr)
{
        return disk_write(&w->disk, s->base + at, w->chunk, n, reterr);
}

static int to_file(struct work *w, const struct sink *s, uint64_t at, size_t n, struct err *reterr)
{
        (void)at; /* appended */
        return esp_append(s->file, w->chunk, n, reterr);
}

/* Fills the chunk, as far as the file goes: whole chunks make large, aligned writes out of whatever the network gives.
 */
static ssize_t chunk_fill(struct work *w, size_t want, struct err *reterr)
{
        size_t n = 0;
        while (n < want) {
                ssize_t got = bundle_read(w->bundle, w->chunk + n, want - n, reterr);
                if (got < 0)
                        return got;
                if (got == 0)
                        break;
                n += (size_t)got;
        }
        return (ssize_t)n;
}

static int size_wrong(const struct work *w, enum update_file f, const char *what, struct err *reterr)
{
        char name[UPDATE_NAME_MAX];
        return err_set(reterr, EBADMSG, update_file_name(&w->m, f, name),
                       "%s than the %" PRIu64 " bytes of the manifest", what, w->m.file[f].bytes);
}

/* Streams a file into its sink; never more than the manifest says. */
static int file_stream(struct work *w, enum update_file f, const struct sink *s, struct err *reterr)
{
        static const enum update_step steps[UPDATE_FILE_N] = {UPDATE_STEP_ROOT, UPDATE_STEP_VERITY, UPDATE_STEP_UKI};
        char name[UPDATE_NAME_MAX];
        struct sha256 sha;
        uint64_t bytes = w->m.file[f].bytes;
        int r = bundle_next(w->bundle, update_file_name(&w->m, f, name), reterr);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        if (r == 0 && (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1))
                r = err_set(reterr, ENOMEM, name, "cannot hash");
        for (uint64_t at = 0; r == 0 && at < bytes;) {
                ssize_t n = chunk_fill(w, (size_t)MIN((uint64_t)CHUNK_BYTES, bytes - at), reterr);
                if (n <= 0) {
                        r = n < 0 ? (int)n : size_wrong(w, f, "shorter", reterr);
                } else {
                        if (EVP_DigestUpdate(md, w->chunk, (size_t)n) != 1)
                                r = err_set(reterr, EIO, name, "cannot hash");
                        else
                                r = s->write(w, s, at, (size_t)n, reterr);
                        at += (uint64_t)n;
                        w->done += (uint64_t)n;
                        report(w, steps[f]);
                }
        }
        if (r == 0) {
                ssize_t more = chunk_fill(w, 1, reterr);
                r = more < 0 ? (int)more : more > 0 ? size_wrong(w, f, "longer", reterr) : 0;
        }
        if (r == 0 &&
            (EVP_DigestFinal_ex(md, sha.b, NULL) != 1 || memcmp(sha.b, w->m.file[f].sha.b, sizeof sha.b) != 0))
                r = err_set(reterr, EBADMSG, name, "its SHA-256 is not that of the manifest");
        EVP_MD_CTX_free(md);
        return r;
}

static int partition_read_back(struct work *w, enum update_file f, uint64_t base, struct err *reterr)
{
        struct sha256 sha;
        int r = disk_hash(&w->disk, base, w->m.file[f].bytes, &sha, reterr);
        if (r == 0 && memcmp(sha.b, w->m.file[f].sha.b, sizeof sha.b) != 0)
                r = err_set(reterr, EIO, w->disk.path, "%s reads back as something else than was written",
                            update_file_names[f]);
        return r;
}

static int slot_fill(struct work *w, struct err *reterr)
{
        const struct sink root = {.write = to_disk, .base = disk_partition_at(&w->gpt, &w->idle.root)};
        const struct sink verity = {.write = to_disk, .base = disk_partition_at(&w->gpt, &w->idle.verity)};
        struct gpt_uuid uuid[2];
        int r = file_stream(w, UPDATE_ROOT, &root, reterr);
        if (r == 0)
                r = file_stream(w, UPDATE_VERITY, &verity, reterr);
        if (r == 0)
                r = disk_sync(&w->disk, reterr);
        report(w, UPDATE_STEP_VERIFY);
        if (r == 0)
                r = partition_read_back(w, UPDATE_ROOT, root.base, reterr);
        if (r == 0)
                r = partition_read_back(w, UPDATE_VERITY, verity.base, reterr);
        if (r < 0)
                return r;
        gpt_uuids_of_roothash(w->m.roothash.b, &uuid[0], &uuid[1]);
        gpt_set_uuid(&w->gpt, w->idle.root.index, &uuid[0]);
        gpt_set_uuid(&w->gpt, w->idle.verity.index, &uuid[1]);
        return disk_gpt_commit(&w->disk, &w->gpt, reterr);
}

static int entry_install(struct work *w, struct err *reterr)
{
        const struct boot_entry b = {.version = w->m.version, .counted = true, .left = BOOT_ENTRY_TRIES};
        struct esp_file file;
        int r = esp_create(&w->esp, &b, &file, reterr);
        if (r < 0)
                return r;
        const struct sink s = {.write = to_file, .file = &file};
        r = file_stream(w, UPDATE_UKI, &s, reterr);
        if (r == 0)
                r = esp_commit(&w->esp, &file, &b, w->m.file[UPDATE_UKI].bytes, &w->m.file[UPDATE_UKI].sha, reterr);
        esp_abandon(&w->esp, &file);
        return r;
}

/* systemd-boot prefers the newer of two good entries: for an older version to boot, the running one steps back.  It
 * stays what boots when the older one has used up its tries: of failed entries the newest is taken. */
static int entry_step_back(const struct esp *e, const struct version *v, struct err *reterr)
{
        struct esp_entries l;
        int r = esp_list(e, &l, reterr);
        if (r < 0)
                return r;
        const struct boot_entry *b = esp_find(&l, v), to = {.version = *v, .counted = true};
        return !b || boot_entry_failed(b) ? 0 : esp_rename(e, b, &to, reterr);
}

static int work_open(struct work *w, struct err *reterr)
{
        struct slot running;
        int r = disk_open(w->job->disk, true, &w->disk, reterr);
        if (r == 0 && flock(w->disk.fd, LOCK_EX | LOCK_NB) < 0)
                r = err_set(reterr, EBUSY, w->job->disk, "another update is running");
        if (r == 0)
                r = esp_open(w->job->esp, &w->esp, reterr);
        if (r == 0)
                r = disk_gpt_read(&w->disk, &w->gpt, reterr);
        if (r == 0)
                r = slot_running(&w->gpt, &w->job->roothash, &running, reterr);
        if (r == 0)
                r = slot_of(&w->gpt, running.which == 'a' ? 'b' : 'a', &w->idle, reterr);
        if (r == 0 && !(w->chunk = malloc(CHUNK_BYTES)))
                r = err_set(reterr, ENOMEM, "update", "out of memory");
        return r;
}

static int install(struct work *w, struct err *reterr)
{
        int r = work_open(w, reterr);
        if (r == 0)
                r = bundle_open(w->job->source, &w->bundle, reterr);
        if (r < 0)
                return r;
        report(w, UPDATE_STEP_FETCH);
        if ((r = manifest_take(w->bundle, w->job->key_dirs, &w->m, reterr)) < 0 || (r = admit(w, reterr)) < 0)
                return r;
        if ((r = idle_entries_remove(w, reterr)) < 0 || (r = slot_fill(w, reterr)) < 0 ||
            (r = entry_install(w, reterr)) < 0)
                return r;
        if (version_cmp(&w->m.version, &w->job->running) < 0)
                r = entry_step_back(&w->esp, &w->job->running, reterr);
        report(w, UPDATE_STEP_DONE);
        return r;
}

int update_install(const struct update_job *j, struct update_manifest *ret, struct err *reterr)
{
        struct work *w = calloc(1, sizeof *w);
        if (!w)
                return err_set(reterr, ENOMEM, "update", "out of memory");
        w->job = j;
        w->disk.fd = w->esp.dir = -1;
        int r = install(w, reterr);
        if (r == 0)
                *ret = w->m;
        bundle_close(w->bundle);
        esp_close(&w->esp);
        disk_close(&w->disk);
        free(w->chunk);
        free(w);
        return r;
}

int update_rollback(const char *esp, const struct version *running, struct version *ret_to, struct err *reterr)
{
        struct esp e = {.dir = -1};
        struct esp_entries l;
        const struct boot_entry *to = NULL;
        int r = esp_open(esp, &e, reterr);
        if (r == 0)
                r = esp_list(&e, &l, reterr);
        for (size_t i = 0; r == 0 && i < l.n && !to; i++)
                if (version_cmp(&l.v[i].version, running) != 0)
                        to = &l.v[i];
        if (r == 0 && !to)
                r = err_set(reterr, ENOENT, "rollback", "the other slot holds no version to go back to");
        else if (r == 0 && boot_entry_lost(to))
                r = err_set(reterr, EPERM, "rollback", "the other slot's version did not start when it was tried");
        if (r == 0) {
                struct boot_entry trial = {.version = to->version, .counted = true, .left = BOOT_ENTRY_TRIES};
                *ret_to = to->version;
                if (!to->counted || to->left != trial.left || to->done)
                        r = esp_rename(&e, to, &trial, reterr);
                if (r == 0 && version_cmp(&trial.version, running) < 0)
                        r = entry_step_back(&e, running, reterr);
        }
        esp_close(&e);
        return r;
}
