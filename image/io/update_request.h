/* image/io/update_request.h - updates run as a unit of their own (gatehouse-update.service): only that one may write
 * the disk, and it may be killed at any time.  Who asks leaves a request in /run/gatehouse and starts the unit;
 * progress is in /run/gatehouse/update (boot_state.h), shown by boot_site_status.  Layer: image/io.  Thread rule: one
 * thread. */
#pragma once
#include "image/io/host.h"

struct update_request {
        char source[512];
        bool downgrade, reboot; /* reboot: into it, as soon as it is installed */
};
/* Writes the request and starts the unit without waiting.  -EBUSY when one is running. */
int update_request_start(const struct host *h, const struct update_request *q, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE;
int update_request_take(const struct host *h, struct update_request *ret, struct err *reterr)
        NONNULL(1, 2, 3) MUST_USE; /* removes it */
/* Boots the other slot next; records it as the last rollback.  The caller reboots. */
int rollback_request(const struct host *h, char ret_to[32], struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* Wipes the data partition on the next boot.  The caller reboots. */
int reset_request(const struct host *h, struct err *reterr) NONNULL(1, 2) MUST_USE;
