/* tests/fuzz/image/ustar_fuzz.c - 512 bytes -> header of an archive's member; the checksum is made right first.
 * Holds: what is accepted has a name without a slash, and the padding fills the last block. */
#include "lib/base.h"

#include "image/core/ustar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t block[USTAR_BLOCK] = {0};
        struct ustar_member m;
        struct err err = {.place = "", .msg = ""};
        unsigned sum = 0;
        memcpy(block, data, MIN(size, sizeof block));
        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < sizeof block; i++)
                sum += block[i];
        snprintf((char *)block + 148, 8, "%06o", sum);
        int r = ustar_parse(block, &m, &err);
        BUG_ON(r < 0 && (!err.place[0] || !err.msg[0]));
        BUG_ON(r == 0 && (!m.name[0] || strchr(m.name, '/') || (m.bytes + ustar_padding(m.bytes)) % USTAR_BLOCK != 0));
        return 0;
}
