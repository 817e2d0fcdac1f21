/* tests/fuzz/image/gpt_fuzz.c - a sector and an array -> partition table.  Checksums are made right first, so that the fuzzer
 * is not stopped by them.  Input: 92 bytes of header, then the beginning of the array.
 * Holds: what is accepted lies on the disk, has no overlaps, and survives being written, moved and read again. */
#include "lib/base.h"

#include "image/core/gpt.h"

#define HEADER 92u
#define SECTORS 65536u
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_u32(uint8_t *p, uint32_t v)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(v >> (8 * i));
}

static void same(const struct gpt *a, const struct gpt *b)
{
        struct gpt_partition p, q;
        unsigned i = 0, k = 0;
        while (gpt_next(a, &i, &p)) {
                BUG_ON(!gpt_next(b, &k, &q) || p.index != q.index || p.first != q.first || strcmp(p.label, q.label) != 0);
                BUG_ON(p.first < a->first_usable || p.last > a->last_usable || p.last >= SECTORS);
        }
        BUG_ON(gpt_next(b, &k, &q));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct gpt g, back;
        static uint8_t sector[512], array[GPT_ARRAY_MAX];
        struct err err = {.place = "", .msg = ""};
        if (size < HEADER)
                return 0;
        memset(sector, 0, sizeof sector);
        memset(array, 0, sizeof array);
        memcpy(sector, data, HEADER);
        memcpy(array, data + HEADER, MIN(size - HEADER, sizeof array));
        size_t n = (size_t)(sector[80] | sector[81] << 8) * GPT_ENTRY_BYTES;
        put_u32(sector + 88, gpt_crc32(array, MIN(n, sizeof array)));
        put_u32(sector + 16, 0);
        put_u32(sector + 16, gpt_crc32(sector, HEADER));
        int r = gpt_header_parse(SPAN(sector, sizeof sector), 1, SECTORS, &g, &err);
        if (r == 0)
                r = gpt_array_parse(&g, SPAN(array, gpt_array_bytes(&g)), &err);
        BUG_ON(r < 0 && (!err.place[0] || !err.msg[0]));
        if (r < 0)
                return 0;
        back = g;
        same(&g, &back);
        if (gpt_array_move(&g, NULL) < 0)
                return 0;
        gpt_header_write(&g, sector);
        BUG_ON(gpt_header_parse(SPAN(sector, sizeof sector), 1, SECTORS, &back, NULL) < 0);
        BUG_ON(gpt_array_parse(&back, SPAN(g.array, gpt_array_bytes(&g)), NULL) < 0);
        same(&g, &back);
        return 0;
}
