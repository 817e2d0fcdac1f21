/* image/core/gpt.c - see gpt.h.  Integers on disk are little endian; the first three fields of a GUID too. */
#include "lib/base.h"
#include "image/core/gpt.h"

#include <inttypes.h>

#define HEADER_BYTES 92
#define REVISION 0x00010000u
#define PRIMARY_LBA UINT64_C(1)
#define FIRST_ARRAY_LBA UINT64_C(2)

static const uint8_t signature[8] = {'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T'};

enum header_at { /* byte offsets, table 5-5 */
                 AT_REVISION = 8,
                 AT_SIZE = 12,
                 AT_CRC = 16,
                 AT_MY_LBA = 24,
                 AT_OTHER_LBA = 32,
                 AT_FIRST = 40,
                 AT_LAST = 48,
                 AT_DISK = 56,
                 AT_ARRAY = 72,
                 AT_N = 80,
                 AT_ENTRY_BYTES = 84,
                 AT_ARRAY_CRC = 88
};
enum entry_at { /* table 5-6 */
                AT_TYPE = 0,
                AT_UUID = 16,
                AT_FIRST_LBA = 32,
                AT_LAST_LBA = 40,
                AT_NAME = 56
};

uint32_t gpt_crc32(const void *data, size_t n)
{
        const uint8_t *p = data;
        uint32_t crc = ~UINT32_C(0);
        while (n--) {
                crc ^= *p++;
                for (int i = 0; i < 8; i++)
                        crc = crc >> 1 ^ (UINT32_C(0xedb88320) & (0 - (crc & 1)));
        }
        return ~crc;
}

static uint32_t get_u32(const uint8_t *p)
{
        return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const uint8_t *p)
{
        return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static void put_u32(uint8_t *p, uint32_t v)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(v >> (8 * i));
}

static void put_u64(uint8_t *p, uint64_t v)
{
        put_u32(p, (uint32_t)v);
        put_u32(p + 4, (uint32_t)(v >> 32));
}

/* Mixed endian and back: the same permutation both ways. */
static void uuid_swap(const uint8_t *in, uint8_t *out)
{
        static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
        for (int i = 0; i < 16; i++)
                out[i] = in[order[i]];
}

const char *gpt_uuid_str(const struct gpt_uuid *u, char buf[GPT_UUID_STR_MAX])
{
        static const char hex[] = "0123456789abcdef";
        size_t at = 0;
        for (unsigned i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        buf[at++] = '-';
                buf[at++] = hex[u->b[i] >> 4];
                buf[at++] = hex[u->b[i] & 15];
        }
        buf[at] = '\0';
        return buf;
}

void gpt_uuids_of_roothash(const uint8_t roothash[32], struct gpt_uuid *root, struct gpt_uuid *verity)
{
        memcpy(root->b, roothash, 16);
        memcpy(verity->b, roothash + 16, 16);
}

static int bad(struct err *e, uint64_t at, const char *what)
{
        char place[48];
        snprintf(place, sizeof place, "GPT header at LBA %" PRIu64, at);
        return err_set(e, EBADMSG, place, "%s", what);
}

size_t gpt_array_bytes(const struct gpt *g)
{
        return (size_t)g->n_entries * GPT_ENTRY_BYTES;
}

uint64_t gpt_array_sectors(const struct gpt *g)
{
        return (gpt_array_bytes(g) + g->sector - 1) / g->sector;
}

int gpt_header_parse(struct span s, uint64_t at, uint64_t disk_sectors, struct gpt *ret, struct err *reterr)
{
        uint8_t copy[HEADER_BYTES];
        if (s.n != 512 && s.n != GPT_SECTOR_MAX)
                return bad(reterr, at, "sectors are neither 512 nor 4096 bytes");
        if (memcmp(s.p, signature, sizeof signature) != 0)
                return bad(reterr, at, "no signature");
        if (get_u32(s.p + AT_REVISION) != REVISION || get_u32(s.p + AT_SIZE) != HEADER_BYTES)
                return bad(reterr, at, "unknown revision or size");
        memcpy(copy, s.p, sizeof copy);
        put_u32(copy + AT_CRC, 0);
        if (gpt_crc32(copy, sizeof copy) != get_u32(s.p + AT_CRC))
                return bad(reterr, at, "its checksum is wrong");
        struct gpt g = {.sector = (uint32_t)s.n,
                        .sectors = disk_sectors,
                        .at = get_u64(s.p + AT_MY_LBA),
                        .other = get_u64(s.p + AT_OTHER_LBA),
                        .first_usable = get_u64(s.p + AT_FIRST),
                        .last_usable = get_u64(s.p + AT_LAST),
                        .array_lba = get_u64(s.p + AT_ARRAY),
                        .n_entries = get_u32(s.p + AT_N),
                        .array_crc = get_u32(s.p + AT_ARRAY_CRC)};
        uuid_swap(s.p + AT_DISK, g.disk.b);
        if (g.at != at)
                return bad(reterr, at, "it says that it lies elsewhere");
        if (get_u32(s.p + AT_ENTRY_BYTES) != GPT_ENTRY_BYTES || g.n_entries == 0 || g.n_entries > GPT_ENTRIES_MAX)
                return bad(reterr, at, "not 1 to 128 entries of 128 bytes");
        if (g.other == 0 || g.other >= disk_sectors || g.other == at)
                return bad(reterr, at, "the other header would lie outside the disk");
        if (g.first_usable > g.last_usable || g.last_usable >= disk_sectors)
                return bad(reterr, at, "the usable range lies outside the disk");
        if (g.array_lba < FIRST_ARRAY_LBA || g.array_lba >= disk_sectors ||
            gpt_array_sectors(&g) > disk_sectors - g.array_lba)
                return bad(reterr, at, "the array lies outside the disk");
        if (at == PRIMARY_LBA && (g.other <= gpt_array_sectors(&g) || g.other - gpt_array_sectors(&g) <= g.last_usable))
                return bad(reterr, at, "no room for the backup table behind the usable range");
        *ret = g;
        return 0;
}

static const uint8_t *entry(const struct gpt *g, unsigned i)
{
        return g->array + (size_t)i * GPT_ENTRY_BYTES;
}

bool gpt_next(const struct gpt *g, unsigned *index, struct gpt_partition *ret)
{
        static const uint8_t unused[16];
        for (; *index < g->n_entries; (*index)++) {
                const uint8_t *e = entry(g, *index);
                if (memcmp(e + AT_TYPE, unused, sizeof unused) == 0)
                        continue;
                *ret = (struct gpt_partition){
                        .index = (*index)++, .first = get_u64(e + AT_FIRST_LBA), .last = get_u64(e + AT_LAST_LBA)};
                uuid_swap(e + AT_TYPE, ret->type.b);
                uuid_swap(e + AT_UUID, ret->uuid.b);
                for (unsigned c = 0; c < GPT_LABEL_MAX - 1; c++) {
                        unsigned u = (unsigned)e[AT_NAME + 2 * c] | (unsigned)e[AT_NAME + 2 * c + 1] << 8;
                        if (u == 0)
                                break;
                        ret->label[c] = u >= 0x20 && u < 0x7f ? (char)u : '?';
                }
                return true;
        }
        return false;
}

int gpt_array_parse(struct gpt *g, struct span array, struct err *reterr)
{
        struct gpt_partition a, b;
        if (array.n != gpt_array_bytes(g) || gpt_crc32(array.p, array.n) != g->array_crc)
                return bad(reterr, g->at, "the checksum of its array is wrong");
        memcpy(g->array, array.p, array.n);
        for (unsigned i = 0; gpt_next(g, &i, &a);) {
                char place[48];
                snprintf(place, sizeof place, "partition %u", a.index + 1);
                if (a.first < g->first_usable || a.last > g->last_usable || a.first > a.last)
                        return err_set(reterr, EBADMSG, place, "it lies outside the usable range of the disk");
                for (unsigned k = i; gpt_next(g, &k, &b);)
                        if (a.first <= b.last && b.first <= a.last)
                                return err_set(reterr, EBADMSG, place, "it overlaps partition %u", b.index + 1);
        }
        return 0;
}

int gpt_find(const struct gpt *g, const char *label, struct gpt_partition *ret, struct err *reterr)
{
        struct gpt_partition p;
        unsigned found = 0;
        for (unsigned i = 0; gpt_next(g, &i, &p);)
                if (strcmp(p.label, label) == 0 && found++ == 0)
                        *ret = p;
        if (found == 1)
                return 0;
        return err_set(reterr, found ? ENOTUNIQ : ENOENT, label,
                       found ? "more than one partition has this label" : "no partition has this label");
}

void gpt_set_uuid(struct gpt *g, unsigned index, const struct gpt_uuid *uuid)
{
        BUG_ON(index >= g->n_entries);
        uuid_swap(uuid->b, g->array + (size_t)index * GPT_ENTRY_BYTES + AT_UUID);
}

void gpt_set_label(struct gpt *g, unsigned index, const char *label)
{
        BUG_ON(index >= g->n_entries || strlen(label) >= GPT_LABEL_MAX);
        uint8_t *name = g->array + (size_t)index * GPT_ENTRY_BYTES + AT_NAME;
        memset(name, 0, (GPT_LABEL_MAX - 1) * 2);
        for (size_t i = 0; label[i]; i++)
                name[2 * i] = (uint8_t)label[i];
}

void gpt_delete(struct gpt *g, unsigned index)
{
        BUG_ON(index >= g->n_entries);
        memset(g->array + (size_t)index * GPT_ENTRY_BYTES, 0, GPT_ENTRY_BYTES);
}

int gpt_array_move(struct gpt *g, struct err *reterr)
{
        struct gpt_partition p;
        uint64_t n = gpt_array_sectors(g), to = g->array_lba == FIRST_ARRAY_LBA ? FIRST_ARRAY_LBA + n : FIRST_ARRAY_LBA;
        BUG_ON(g->at != PRIMARY_LBA);
        for (unsigned i = 0; gpt_next(g, &i, &p);)
                if (p.first < FIRST_ARRAY_LBA + 2 * n)
                        return err_set(reterr, ENOSPC, "GPT",
                                       "partition %u begins at LBA %" PRIu64
                                       ": no room for a second array before %" PRIu64,
                                       p.index + 1, p.first, FIRST_ARRAY_LBA + 2 * n);
        g->array_lba = to;
        g->first_usable = MAX(g->first_usable, FIRST_ARRAY_LBA + 2 * n);
        return 0;
}

void gpt_flip(struct gpt *g, uint64_t array_lba)
{
        uint64_t at = g->at;
        g->at = g->other;
        g->other = at;
        g->array_lba = array_lba;
}

uint64_t gpt_backup_array_lba(const struct gpt *primary)
{
        return primary->other - gpt_array_sectors(primary);
}

void gpt_header_write(struct gpt *g, uint8_t *sector)
{
        memset(sector, 0, g->sector);
        memcpy(sector, signature, sizeof signature);
        g->array_crc = gpt_crc32(g->array, gpt_array_bytes(g));
        put_u32(sector + AT_REVISION, REVISION);
        put_u32(sector + AT_SIZE, HEADER_BYTES);
        put_u64(sector + AT_MY_LBA, g->at);
        put_u64(sector + AT_OTHER_LBA, g->other);
        put_u64(sector + AT_FIRST, g->first_usable);
        put_u64(sector + AT_LAST, g->last_usable);
        uuid_swap(g->disk.b, sector + AT_DISK);
        put_u64(sector + AT_ARRAY, g->array_lba);
        put_u32(sector + AT_N, g->n_entries);
        put_u32(sector + AT_ENTRY_BYTES, GPT_ENTRY_BYTES);
        put_u32(sector + AT_ARRAY_CRC, g->array_crc);
        put_u32(sector + AT_CRC, gpt_crc32(sector, HEADER_BYTES));
}
