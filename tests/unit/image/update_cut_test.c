/* tests/unit/image/update_cut_test.c - power cuts: an update, a downgrade or a rollback is cut at each write, flush,
 * rename and removal in turn; afterwards the entry that boots first is whole, the version that ran can still boot, and
 * the next update succeeds.
 *
 * The linker puts us in front of the calls that change something (--wrap).  A cut is: the call under way happens in
 * part, every later one fails.  What was not flushed may be on the medium or not: each sector of the disk that was
 * written since its last flush keeps the old or the new bytes by chance; a file of the ESP that was not flushed ends
 * anywhere; of the renames and removals since the last flush of the ESP, a tail of any length never happened. */
#include "lib/base.h"
#include "tests/unit/image/update_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define MAX_CHANGES 20000
#define MAX_MOVES 16

ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_syncfs(int fd);
int __wrap_syncfs(int fd);
int __real_renameat(int d1, const char *a, int d2, const char *b);
int __wrap_renameat(int d1, const char *a, int d2, const char *b);
int __real_unlinkat(int d, const char *name, int flags);
int __wrap_unlinkat(int d, const char *name, int flags);

static struct {
        bool on, cut; /* on: count and record; cut: everything fails */
        unsigned calls, cut_at;
        uint64_t random;
        int disk;
        struct change { /* a sector as it was before it was written, since the last flush */
                off_t at;
                uint8_t old[SECTOR];
        } * changes;
        size_t n_changes;
        struct move { /* a rename or a removal (a rename to a grave) since the last flush of the ESP */
                char from[64], to[64];
        } moves[MAX_MOVES];
        size_t n_moves;
        int file; /* the ESP's file with unflushed bytes, -1 */
        unsigned graves;
} rig;
static struct box box;

static uint64_t chance(uint64_t below)
{
        rig.random ^= rig.random << 13;
        rig.random ^= rig.random >> 7;
        rig.random ^= rig.random << 17;
        return rig.random % below;
}

/* True: this call is the one the power goes in, or comes after it. */
static bool step(void)
{
        if (!rig.on)
                return false;
        rig.cut |= ++rig.calls == rig.cut_at;
        return rig.cut;
}

static int dead(void)
{
        errno = EIO;
        return -1;
}

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
        bool was_cut = rig.cut, now = step();
        if (!rig.on)
                return __real_pwrite64(fd, p, n, at);
        if (was_cut)
                return dead();
        rig.disk = fd;
        for (size_t i = 0; i < n; i += SECTOR) {
                BUG_ON(rig.n_changes == MAX_CHANGES);
                struct change *c = &rig.changes[rig.n_changes++];
                c->at = (at + (off_t)i) / SECTOR * SECTOR;
                BUG_ON(pread(fd, c->old, SECTOR, c->at) != SECTOR);
        }
        ssize_t r = __real_pwrite64(fd, p, n, at);
        return now ? dead() : r;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
        bool was_cut = rig.cut, now = step();
        if (!rig.on)
                return __real_write(fd, p, n);
        if (was_cut)
                return dead();
        rig.file = fd;
        ssize_t r = __real_write(fd, p, n);
        return now ? dead() : r;
}

int __wrap_fdatasync(int fd)
{
        if (step())
                return dead();
        if (rig.on)
                rig.n_changes = 0;
        return __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
        struct stat st;
        if (step())
                return dead();
        if (rig.on && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
                rig.n_moves = 0;
        else if (rig.on)
                rig.file = -1;
        return 0; /* the medium is ours: no need to wait for the real one */
}

int __wrap_syncfs(int fd)
{
        if (step())
                return dead();
        if (rig.on)
                rig.n_moves = 0;
        return 0;
}

static void moved(const char *from, const char *to)
{
        BUG_ON(rig.n_moves == MAX_MOVES);
        struct move *m = &rig.moves[rig.n_moves++];
        snprintf(m->from, sizeof m->from, "%s", from);
        snprintf(m->to, sizeof m->to, "%s", to);
}

int __wrap_renameat(int d1, const char *a, int d2, const char *b)
{
        bool was_cut = rig.cut, now = step();
        if (was_cut)
                return dead();
        int r = __real_renameat(d1, a, d2, b);
        if (rig.on && r == 0)
                moved(a, b);
        return now ? dead() : r;
}

int __wrap_unlinkat(int d, const char *name, int flags)
{
        char grave[64];
        bool was_cut = rig.cut, now = step();
        if (was_cut)
                return dead();
        if (!rig.on)
                return __real_unlinkat(d, name, flags);
        snprintf(grave, sizeof grave, "grave-%u", rig.graves++);
        int r = __real_renameat(d, name, d, grave);
        if (r == 0)
                moved(name, grave);
        return now ? dead() : r;
}

/* The medium after the cut. */
static void power_off(void)
{
        char dir[160];
        rig.on = rig.cut = false;
        int disk = open(box.disk, O_RDWR);
        assert_true(disk >= 0);
        for (size_t i = rig.n_changes; i-- > 0;) /* backwards: a sector written twice ends as some state it had */
                if (chance(2))
                        assert_int_equal(__real_pwrite64(disk, rig.changes[i].old, SECTOR, rig.changes[i].at), SECTOR);
        close(disk);
        snprintf(dir, sizeof dir, "%s/EFI/Linux", box.esp);
        int esp = open(dir, O_RDONLY | O_DIRECTORY);
        assert_true(esp >= 0);
        for (size_t n = (size_t)chance(rig.n_moves + 1); n > 0; n--) {
                const struct move *m = &rig.moves[--rig.n_moves];
                assert_int_equal(__real_renameat(esp, m->to, esp, m->from), 0);
        }
        close(esp);
}

/* Only one file is ever written; it may have its name already. */
static void file_ends_anywhere(const char *version)
{
        static const char *const suffix[] = {".tmp", ""};
        for (size_t i = 0; rig.file >= 0 && i < ARRAY_SIZE(suffix); i++) {
                char path[256];
                struct stat st;
                snprintf(path, sizeof path, "%s/EFI/Linux/gatehouse_%s+2.efi%s", box.esp, version, suffix[i]);
                if (stat(path, &st) == 0)
                        assert_int_equal(truncate(path, (off_t)chance((uint64_t)st.st_size + 1)), 0);
        }
}

enum act { UPDATE, DOWNGRADE, ROLLBACK };
static const char *const act_versions[] = {[UPDATE] = "0.2.0", [DOWNGRADE] = "0.0.5", [ROLLBACK] = "0.0.9"};

static int act_run(enum act a)
{
        struct update_manifest m;
        struct version to;
        if (a == ROLLBACK)
                return update_rollback(box.esp, &box.job.running, &to, NULL);
        return update_install(&box.job, &m, NULL);
}

static void entry_rename(const char *from, const char *to)
{
        char a[256], b[256];
        snprintf(a, sizeof a, "%s/EFI/Linux/%s", box.esp, from);
        snprintf(b, sizeof b, "%s/EFI/Linux/%s", box.esp, to);
        assert_int_equal(rename(a, b), 0);
}

/* The box before each act: 0.1.0 runs, the other slot holds a proved 0.0.9. */
static void act_prepare(enum act a)
{
        struct update_manifest m;
        box_make(&box);
        box.job.downgrade = true;
        box_bundle(&box, "0.0.9", "0.0.1", 1);
        assert_int_equal(update_install(&box.job, &m, NULL), 0);
        entry_rename("gatehouse_0.0.9+2.efi", "gatehouse_0.0.9.efi");
        entry_rename("gatehouse_0.1.0+0.efi", "gatehouse_0.1.0.efi");
        box.job.downgrade = a == DOWNGRADE;
        if (a != ROLLBACK)
                box_bundle(&box, act_versions[a], "0.0.1", 1);
}

/* One run, cut at call `at`.  false: it ended before, so every call has had its cut. */
static bool cut_once(enum act a, unsigned at, uint64_t seed)
{
        char when[96];
        act_prepare(a);
        rig.on = true;
        rig.calls = 0;
        rig.cut_at = at;
        rig.random = seed * 0x9e3779b97f4a7c15u | 1;
        rig.n_changes = rig.n_moves = 0;
        rig.file = -1;
        int r = act_run(a);
        bool was_cut = rig.cut;
        power_off();
        if (was_cut)
                file_ends_anywhere(act_versions[a]);
        snprintf(when, sizeof when, "act %d cut at call %u, seed %llu", (int)a, at, (unsigned long long)seed);
        const char *boots = box_boots(&box, when);
        const char *new = act_versions[a];
        if (strcmp(boots, "0.1.0") != 0 && strcmp(boots, new) != 0)
                fail_msg("%s: %s boots", when, boots);
        if (!box_bootable(&box, "0.1.0"))
                fail_msg("%s: the version that ran would not boot again", when);
        box_entries_whole(&box, when);
        if (!was_cut) {
                assert_int_equal(r, 0);
                assert_string_equal(boots, new);
        } else if (strcmp(boots, "0.1.0") == 0) { /* it boots the old version: the operator tries again */
                r = act_run(a);
                if (r < 0)
                        fail_msg("%s: the next try fails: %d", when, r);
                assert_string_equal(box_boots(&box, when), new);
        }
        box_free(&box);
        return was_cut;
}

static void cuts(enum act a)
{
        unsigned at = 1;
        rig.changes = calloc(MAX_CHANGES, sizeof *rig.changes);
        assert_non_null(rig.changes);
        for (bool more = true; more; at++)
                for (uint64_t seed = 1; more && seed <= 4; seed++)
                        more = cut_once(a, at, seed * 1000 + at);
        assert_true(at > (a == ROLLBACK ? 6 : 20)); /* it does go through that many calls */
        free(rig.changes);
}

static void update_is_cut(void **state)
{
        (void)state;
        cuts(UPDATE);
}

static void downgrade_is_cut(void **state)
{
        (void)state;
        cuts(DOWNGRADE);
}

static void rollback_is_cut(void **state)
{
        (void)state;
        cuts(ROLLBACK);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(update_is_cut), cmocka_unit_test(downgrade_is_cut),
                                           cmocka_unit_test(rollback_is_cut)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
