/* tests/unit/image/reset_test.c - factory reset on a disk file: asked for, done, and cut before every write.  What was
 * data reads as zero or the partition is still to be wiped; nothing else on the disk changes. */
#include "lib/base.h"

#include "image/io/disk.h"
#include "image/io/reset.h"
#include "tests/unit/image/update_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#define FIRST 10624u /* gatehouse-data, in sectors, as update_fixture.c lays it out */
#define LAST 20000u
#define SECTOR 512u

static long left = -1; /* writes until the power goes; -1: it stays */

ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
        if (left == 0) {
                errno = EIO;
                return -1;
        }
        left -= left > 0;
        return __real_pwrite64(fd, p, n, at);
}

static uint8_t *contents(const struct box *b, size_t *ret_n)
{
        struct disk d;
        struct err e = {0};
        if (disk_open(b->disk, false, &d, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        uint8_t *p = malloc(d.bytes);
        assert_non_null(p);
        assert_int_equal(pread(d.fd, p, d.bytes, 0), (ssize_t)d.bytes);
        *ret_n = d.bytes;
        disk_close(&d);
        return p;
}

static void restore(const struct box *b, const uint8_t *p, size_t n)
{
        box_write(b->disk, p, n);
}

/* As used: every byte of the data partition is something. */
static void fill(const struct box *b)
{
        struct err e = {0};
        struct disk d;
        uint8_t block[SECTOR];
        memset(block, 0xa5, sizeof block);
        if (disk_open(b->disk, true, &d, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        for (uint64_t i = FIRST; i <= LAST; i++)
                assert_int_equal(disk_write(&d, i * SECTOR, block, sizeof block, &e), 0);
        disk_close(&d);
}

static bool labelled(const struct box *b, const char *label)
{
        struct disk d;
        struct err e = {0};
        struct gpt_partition p;
        struct gpt *g = malloc(sizeof *g);
        assert_non_null(g);
        if (disk_open(b->disk, false, &d, &e) < 0 || disk_gpt_read(&d, g, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        bool found = gpt_find(g, label, &p, NULL) == 0;
        disk_close(&d);
        free(g);
        return found;
}

static bool wiped(const struct box *b)
{
        size_t n, i;
        uint8_t *p = contents(b, &n);
        for (i = (size_t)FIRST * SECTOR; i < ((size_t)LAST + 1) * SECTOR && p[i] == 0;)
                i++;
        free(p);
        return i == ((size_t)LAST + 1) * SECTOR;
}

static void slots_are_untouched(const struct box *b, const uint8_t *before)
{
        size_t n;
        uint8_t *p = contents(b, &n);
        assert_memory_equal(p + 2304 * SECTOR, before + 2304 * SECTOR, (FIRST - 2304) * SECTOR);
        free(p);
}

static unsigned steps;
static uint64_t last_done, last_total;

static void progress(uint64_t done, uint64_t total)
{
        steps++;
        last_done = done;
        last_total = total;
}

static void asked_and_done(void **state)
{
        struct box b;
        struct err e = {0};
        size_t n;
        (void)state;
        box_make(&b);
        fill(&b);
        uint8_t *before = contents(&b, &n);
        assert_int_equal(reset_run(b.disk, NULL, &e), 0); /* nobody asked */
        assert_true(labelled(&b, "gatehouse-data"));
        assert_int_equal(reset_ask(b.disk, &e), 0);
        assert_true(labelled(&b, "gatehouse-wipe"));
        assert_false(labelled(&b, "gatehouse-data"));
        assert_false(wiped(&b)); /* the box still runs from it */
        assert_int_equal(reset_run(b.disk, progress, &e), 1);
        assert_true(wiped(&b));
        assert_false(labelled(&b, "gatehouse-wipe"));
        assert_false(labelled(&b, "gatehouse-data")); /* systemd-repart makes it */
        assert_true(steps > 0);
        assert_int_equal(last_done, last_total);
        assert_int_equal(last_total, (LAST + 1 - FIRST) * SECTOR);
        slots_are_untouched(&b, before);
        assert_string_equal(box_boots(&b, "after a reset"), "0.1.0");
        assert_int_equal(reset_run(b.disk, NULL, &e), 0);
        free(before);
        box_free(&b);
}

static void no_data_partition(void **state)
{
        struct box b;
        struct err e = {0};
        (void)state;
        box_make(&b);
        assert_int_equal(reset_ask(b.disk, &e), 0);
        assert_int_equal(reset_ask(b.disk, &e), -ENOENT); /* it has been asked already */
        assert_non_null(strstr(e.place, "gatehouse-data"));
        box_free(&b);
}

/* Before each write in turn: the box boots, and what is asked again leads to the end. */
static void cut(void **state)
{
        struct box b;
        struct err e = {0};
        size_t n;
        (void)state;
        box_make(&b);
        fill(&b);
        uint8_t *before = contents(&b, &n);
        unsigned cuts = 0;
        for (bool whole = false; !whole; cuts++) {
                restore(&b, before, n);
                left = cuts;
                int asked = reset_ask(b.disk, &e);
                int done = asked == 0 ? reset_run(b.disk, NULL, &e) : -EIO;
                whole = done == 1;
                left = -1;
                assert_string_equal(box_boots(&b, "cut in a reset"), "0.1.0");
                slots_are_untouched(&b, before);
                bool data = labelled(&b, "gatehouse-data"), wipe = labelled(&b, "gatehouse-wipe");
                assert_false(data && wipe);
                if (!data && !wipe)
                        assert_true(wiped(&b)); /* never made anew over what was there */
                if (data)
                        assert_int_equal(reset_ask(b.disk, &e), 0);
                assert_true(reset_run(b.disk, NULL, &e) >= 0);
                assert_true(wiped(&b));
        }
        assert_true(cuts > 10); /* array, header, pieces of zeros, array, header */
        free(before);
        box_free(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(asked_and_done),
                cmocka_unit_test(no_data_partition),
                cmocka_unit_test(cut),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
