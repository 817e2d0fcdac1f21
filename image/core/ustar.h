/* image/core/ustar.h - headers of a tar archive (POSIX.1-2017, pax, "ustar Interchange Format"), as far as a bundle
 * needs them: plain files with short names.  Everything else (links, devices, long names, sparse files) is refused.
 * Layer: image/core, pure.  Thread rule: values. */
#pragma once
#include "lib/base.h"

#define USTAR_BLOCK 512
#define USTAR_NAME_MAX 101 /* 100 and NUL */

struct ustar_member {
        char name[USTAR_NAME_MAX];
        uint64_t bytes;
};
/* block: USTAR_BLOCK bytes.  0; -ENODATA for the zero block that ends an archive; -EBADMSG. */
int ustar_parse(const uint8_t *block, struct ustar_member *ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
static inline uint64_t ustar_padding(uint64_t bytes)
{
        return (USTAR_BLOCK - bytes % USTAR_BLOCK) % USTAR_BLOCK;
}
