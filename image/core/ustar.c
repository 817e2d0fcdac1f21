/* image/core/ustar.c - see ustar.h. */
#include "lib/base.h"
#include "image/core/ustar.h"

enum header_at { AT_NAME = 0, AT_SIZE = 124, AT_SUM = 148, AT_TYPE = 156, AT_MAGIC = 257, AT_PREFIX = 345 };
#define NAME_BYTES 100
#define SIZE_BYTES 12
#define SUM_BYTES 8

/* Octal digits, then blanks or NULs. */
static bool octal(const uint8_t *p, size_t n, uint64_t *ret)
{
        uint64_t v = 0;
        size_t i = 0;
        while (i < n && p[i] == ' ')
                i++;
        size_t first = i;
        for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
                v = v << 3 | (uint64_t)(p[i] - '0'); /* 12 digits at most: 36 bits */
        if (i == first)
                return false;
        for (; i < n; i++)
                if (p[i] != ' ' && p[i] != 0)
                        return false;
        *ret = v;
        return true;
}

static int bad(struct err *e, const char *what)
{
        return err_set(e, EBADMSG, "archive", "%s", what);
}

int ustar_parse(const uint8_t *b, struct ustar_member *ret, struct err *reterr)
{
        struct ustar_member m = {.name = ""};
        uint64_t want, sum = 0;
        bool zero = true;
        for (size_t i = 0; i < USTAR_BLOCK; i++) {
                zero &= b[i] == 0;
                sum += i >= AT_SUM && i < AT_SUM + SUM_BYTES ? ' ' : b[i];
        }
        if (zero)
                return -ENODATA;
        if (memcmp(b + AT_MAGIC, "ustar", 5) != 0)
                return bad(reterr, "no tar archive");
        if (!octal(b + AT_SUM, SUM_BYTES, &want) || want != sum)
                return bad(reterr, "a header's checksum is wrong");
        if ((b[AT_TYPE] != '0' && b[AT_TYPE] != 0) || b[AT_PREFIX] != 0)
                return bad(reterr, "a member is not a plain file with a short name");
        memcpy(m.name, b + AT_NAME, NAME_BYTES);
        if (!*m.name || strchr(m.name, '/'))
                return bad(reterr, "a member's name is empty or has a slash");
        if (!octal(b + AT_SIZE, SIZE_BYTES, &m.bytes))
                return bad(reterr, "a member's size is no octal number");
        *ret = m;
        return 0;
}
