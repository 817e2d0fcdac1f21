/* tests/unit/image/gpt_test.c - the partition table: what sfdisk wrote is read, what we write reads back, damage is
 * refused. The example is the layout of README.md on a disk of 512-byte sectors, made by disk_make(). */
#include "lib/base.h"

#include "tests/unit/image/update_fixture.h"

#define SECTORS 8192u
#define ARRAY_SECTORS 32u

/* An empty table with room for labels, as a struct; tests add entries and write it. */
static struct gpt table(void)
{
        struct gpt g = {.sector = 512,
                        .sectors = SECTORS,
                        .at = 1,
                        .other = SECTORS - 1,
                        .first_usable = 34,
                        .last_usable = SECTORS - 34,
                        .array_lba = 2,
                        .n_entries = 128};
        gpt_entry_put(&g, 0, 1, 2048, 4095, "ESP");
        gpt_entry_put(&g, 1, 2, 4096, 5119, "gatehouse-root-a");
        gpt_entry_put(&g, 2, 3, 5120, 5375, "gatehouse-verity-a");
        return g;
}

static void crc(void **state)
{
        (void)state;
        assert_int_equal(gpt_crc32("123456789", 9), 0xcbf43926u); /* the check value of CRC-32/ISO-HDLC */
        assert_int_equal(gpt_crc32("", 0), 0);
}

/* A header that sfdisk 2.38 wrote (label-id 11223344-5566-7788-99aa-bbccddeeff00, 8192 sectors, no partition). */
static void header_of_sfdisk(void **state)
{
        static const uint8_t head[92] = {
                0x45, 0x46, 0x49, 0x20, 0x50, 0x41, 0x52, 0x54, 0x00, 0x00, 0x01, 0x00, 0x5c, 0x00, 0x00, 0x00,
                0x7f, 0xad, 0xf9, 0x66, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0xff, 0x1f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0xde, 0x1f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77,
                0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x80, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x86, 0xd2, 0x54, 0xab,
        };
        uint8_t sector[512] = {0}, again[512];
        static const uint8_t array[GPT_ARRAY_MAX];
        struct gpt g;
        struct err e = {0};
        char text[GPT_UUID_STR_MAX];
        (void)state;
        memcpy(sector, head, sizeof head);
        if (gpt_header_parse(SPAN(sector, 512), 1, SECTORS, &g, &e) < 0 ||
            gpt_array_parse(&g, SPAN(array, sizeof array), &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        assert_string_equal(gpt_uuid_str(&g.disk, text), "11223344-5566-7788-99aa-bbccddeeff00");
        assert_int_equal(g.other, SECTORS - 1);
        gpt_header_write(&g, again);
        assert_memory_equal(sector, again, 512);
}

static void round_trip(void **state)
{
        static const uint8_t hash[32] = {0x5f, 0x70, 0xbf, 0x18, 0xa0, 0x86, 0x00, 0x70, 0x16, 0xe9, 0x48,
                                         0xb0, 0x4a, 0xed, 0x3b, 0x82, 0x10, 0x3a, 0x36, 0xbe, 0xa4, 0x17,
                                         0x55, 0xb6, 0xcd, 0xdf, 0xaf, 0x10, 0xac, 0xe3, 0xc6, 0xef};
        struct gpt g = table(), back;
        struct gpt_uuid root, verity;
        struct gpt_partition p;
        struct err e = {0};
        uint8_t sector[512];
        char text[GPT_UUID_STR_MAX];
        (void)state;
        gpt_uuids_of_roothash(hash, &root, &verity);
        assert_int_equal(gpt_find(&g, "gatehouse-root-a", &p, &e), 0);
        gpt_set_uuid(&g, p.index, &root);
        assert_int_equal(gpt_array_move(&g, &e), 0);
        assert_int_equal(g.array_lba, 2 + ARRAY_SECTORS);
        assert_int_equal(g.first_usable, 2 + 2 * ARRAY_SECTORS);
        gpt_header_write(&g, sector);
        if (gpt_header_parse(SPAN(sector, 512), 1, SECTORS, &back, &e) < 0 ||
            gpt_array_parse(&back, SPAN(g.array, gpt_array_bytes(&g)), &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        assert_int_equal(gpt_find(&back, "gatehouse-root-a", &p, &e), 0);
        assert_int_equal(p.first, 4096);
        assert_int_equal(p.last, 5119);
        assert_string_equal(gpt_uuid_str(&p.uuid, text), "5f70bf18-a086-0070-16e9-48b04aed3b82");
        assert_int_equal(gpt_array_move(&back, &e), 0); /* and back to the first place */
        assert_int_equal(back.array_lba, 2);
        assert_int_equal(gpt_find(&back, "gatehouse-root-b", &p, &e), -ENOENT);
        gpt_delete(&back, 1);
        assert_int_equal(gpt_find(&back, "gatehouse-root-a", &p, &e), -ENOENT);
        gpt_entry_put(&back, 7, 9, 6000, 6001, "ESP");
        assert_int_equal(gpt_find(&back, "ESP", &p, &e), -ENOTUNIQ);
}

static void the_other_header(void **state)
{
        struct gpt g = table(), back;
        struct err e = {0};
        uint8_t sector[512];
        (void)state;
        assert_int_equal(gpt_backup_array_lba(&g), SECTORS - 1 - ARRAY_SECTORS);
        gpt_flip(&g, gpt_backup_array_lba(&g));
        gpt_header_write(&g, sector);
        if (gpt_header_parse(SPAN(sector, 512), SECTORS - 1, SECTORS, &back, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        assert_int_equal(back.other, 1);
        assert_int_equal(gpt_header_parse(SPAN(sector, 512), 1, SECTORS, &back, &e), -EBADMSG); /* in the wrong place */
}

/* Any flipped bit of header or array is noticed. */
static void damage(void **state)
{
        struct gpt g = table(), back;
        uint8_t sector[512];
        (void)state;
        gpt_header_write(&g, sector);
        for (size_t bit = 0; bit < 92 * 8; bit++) {
                sector[bit / 8] ^= (uint8_t)(1 << bit % 8);
                if (gpt_header_parse(SPAN(sector, 512), 1, SECTORS, &back, NULL) == 0)
                        fail_msg("bit %zu of the header is not noticed", bit);
                sector[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_int_equal(gpt_header_parse(SPAN(sector, 512), 1, SECTORS, &back, NULL), 0);
        g.array[400] ^= 1;
        assert_int_equal(gpt_array_parse(&back, SPAN(g.array, gpt_array_bytes(&g)), NULL), -EBADMSG);
}

/* Checksums are right, what they cover is not. */
static void nonsense(void **state)
{
        static const struct {
                const char *name;
                size_t at;
                uint32_t value;
        } rows[] = {
                {"the backup header outside the disk", 32, SECTORS},
                {"the backup header is this one", 32, 1},
                {"no backup", 32, 0},
                {"the backup inside the usable range", 32, 4000},
                {"usable range outside", 48, SECTORS},
                {"usable range turned round", 40, SECTORS - 10},
                {"array over this header", 72, 1},
                {"array outside", 72, SECTORS - 5},
                {"no entries", 80, 0},
                {"too many entries", 80, 129},
                {"entries of another size", 84, 256},
                {"another revision", 8, 0x00020000},
                {"another header size", 12, 96},
        };
        struct gpt g = table(), back;
        uint8_t sector[512];
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                gpt_header_write(&g, sector);
                for (int b = 0; b < 4; b++)
                        sector[rows[i].at + (size_t)b] = (uint8_t)(rows[i].value >> (8 * b));
                memset(sector + 16, 0, 4);
                uint32_t c = gpt_crc32(sector, 92);
                for (int b = 0; b < 4; b++)
                        sector[16 + b] = (uint8_t)(c >> (8 * b));
                if (gpt_header_parse(SPAN(sector, 512), 1, SECTORS, &back, NULL) != -EBADMSG)
                        fail_msg("%s is taken", rows[i].name);
        }
        static const struct {
                const char *name;
                uint32_t first, last;
        } parts[] = {{"overlap", 5119, 5200},
                     {"outside", 8160, 8190},
                     {"turned round", 6000, 5999},
                     {"over the table", 10, 12}};
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                g = table();
                gpt_entry_put(&g, 9, 9, parts[i].first, parts[i].last, "x");
                gpt_header_write(&g, sector);
                assert_int_equal(gpt_header_parse(SPAN(sector, 512), 1, SECTORS, &back, NULL), 0);
                if (gpt_array_parse(&back, SPAN(g.array, gpt_array_bytes(&g)), NULL) != -EBADMSG)
                        fail_msg("a partition: %s: is taken", parts[i].name);
        }
        g = table();
        gpt_entry_put(&g, 9, 9, 40, 41, "early"); /* legal, but it lies where the second array would go */
        assert_int_equal(gpt_array_move(&g, NULL), -ENOSPC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(crc),        cmocka_unit_test(header_of_sfdisk),
                                           cmocka_unit_test(round_trip), cmocka_unit_test(the_other_header),
                                           cmocka_unit_test(damage),     cmocka_unit_test(nonsense)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
