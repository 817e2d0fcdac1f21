/* image/core/version.h - versions of the image: one to four decimal numbers, "0.2.0".  Layer: image/core, pure.
 * The order agrees with systemd-boot's (strverscmp over IMAGE_VERSION) for exactly these: numbers compare as numbers, and
 * of two where one is the beginning of the other, the longer is newer.  Thread rule: values. */
#pragma once
#include "lib/base.h"

#define VERSION_PARTS 4
#define VERSION_PART_MAX 999999u
#define VERSION_STR_MAX 32 /* four numbers of six digits, three dots, NUL: 28 */

struct version {
        uint32_t part[VERSION_PARTS];
        uint8_t n; /* 0 = none */
};
bool version_parse(struct span s, struct version *ret) NONNULL(2) MUST_USE; /* leaves *ret alone on failure */
int version_cmp(const struct version *a, const struct version *b) NONNULL(1, 2); /* <0, 0, >0 */
const char *version_str(const struct version *v, char buf[VERSION_STR_MAX]) NONNULL(1, 2);
