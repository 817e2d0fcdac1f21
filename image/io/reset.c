/* image/io/reset.c - see reset.h. */
#include "lib/base.h"
#include "image/io/reset.h"
#include "image/io/disk.h"

#define DATA_LABEL "gatehouse-data"
#define WIPE_LABEL "gatehouse-wipe"
#define STEP_BYTES (UINT64_C(256) << 20)

static int table_open(const char *path, struct disk *d, struct gpt *g, struct err *reterr)
{
        int r = disk_open(path, true, d, reterr);
        if (r == 0)
                r = disk_gpt_read(d, g, reterr);
        return r;
}

int reset_ask(const char *path, struct err *reterr)
{
        struct disk d = {.fd = -1};
        struct gpt_partition p;
        struct gpt *g = malloc(sizeof *g);
        int r = g ? table_open(path, &d, g, reterr) : err_set(reterr, ENOMEM, "reset", "out of memory");
        if (r == 0 && (r = gpt_find(g, DATA_LABEL, &p, reterr)) == 0) {
                gpt_set_label(g, p.index, WIPE_LABEL);
                r = disk_gpt_commit(&d, g, reterr);
        }
        disk_close(&d);
        free(g);
        return r;
}

static int wipe(const struct disk *d, const struct gpt *g, const struct gpt_partition *p,
                void (*progress)(uint64_t, uint64_t), struct err *reterr)
{
        uint64_t at = disk_partition_at(g, p), n = disk_partition_bytes(g, p);
        for (uint64_t done = 0; done < n;) {
                uint64_t count = MIN(n - done, STEP_BYTES);
                int r = disk_zero(d, at + done, count, reterr);
                if (r < 0)
                        return r;
                done += count;
                if (progress)
                        progress(done, n);
        }
        return disk_sync(d, reterr);
}

int reset_run(const char *path, void (*progress)(uint64_t done, uint64_t total), struct err *reterr)
{
        struct disk d = {.fd = -1};
        struct gpt_partition p;
        struct gpt *g = malloc(sizeof *g);
        int r = g ? disk_open(path, false, &d, reterr) : err_set(reterr, ENOMEM, "reset", "out of memory");
        if (r == 0)
                r = disk_gpt_read(&d, g, reterr);
        if (r == 0 && gpt_find(g, WIPE_LABEL, &p, NULL) == 0) {
                disk_close(&d); /* was for looking: writing makes udev look at the whole disk again */
                r = disk_open(path, true, &d, reterr);
                if (r == 0)
                        r = wipe(&d, g, &p, progress, reterr);
                if (r == 0) {
                        gpt_delete(g, p.index);
                        r = disk_gpt_commit(&d, g, reterr);
                }
                if (r == 0)
                        r = disk_forget_partition(&d, p.index + 1, reterr);
                r = r == 0 ? 1 : r;
        }
        disk_close(&d);
        free(g);
        return r;
}
