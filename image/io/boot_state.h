/* image/io/boot_state.h - what one boot leaves for the next, in /var/lib/gatehouse/system (the data partition: both
 * slots see it). floor           oldest version that may be installed: raised when a version has passed the gate gate
 * version and reason of the gate's last refusal last-rollback   from which version, to which, when, why and of this
 * boot, in /run/gatehouse: update, health.json.  Each is written whole (temporary file, flush, rename). Layer:
 * image/io.  Thread rule: one process writes a file at a time. */
#pragma once
#include "image/core/version.h"
#include "image/io/host.h"

#define BOOT_REASON_MAX 200
struct rollback_record {
        struct version from, to;
        int64_t at; /* Unix time */
        char reason[BOOT_REASON_MAX];
};
int rollback_record_read(const struct host *h, struct rollback_record *ret, struct err *reterr)
        NONNULL(1, 2) MUST_USE; /* -ENOENT */
int rollback_record_write(const struct host *h, const struct rollback_record *r, struct err *reterr)
        NONNULL(1, 2) MUST_USE;

int boot_floor_read(const struct host *h, struct version *ret, struct err *reterr)
        NONNULL(1, 2) MUST_USE; /* none: n = 0 */
int boot_floor_raise(const struct host *h, const struct version *v, struct err *reterr)
        NONNULL(1, 2) MUST_USE; /* never lowers */

int gate_refusal_write(const struct host *h, const struct version *v, const char *reason, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;
/* True and the reason when the last refusal was of that version. */
bool gate_refusal_of(const struct host *h, const struct version *v, char ret[BOOT_REASON_MAX])
        NONNULL(1, 2, 3) MUST_USE;

#define UPDATE_STATE_PATH "/run/gatehouse/update"
#define HEALTH_STATE_PATH "/run/gatehouse/health.json"
