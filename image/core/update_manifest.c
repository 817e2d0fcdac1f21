/* image/core/update_manifest.c - see update_manifest.h. */
#include "lib/base.h"
#include "image/core/update_manifest.h"

#include <inttypes.h>

const char *const update_file_names[UPDATE_FILE_N] = {[UPDATE_ROOT] = "root", [UPDATE_VERITY] = "verity", [UPDATE_UKI] = "uki"};
static const char *const suffixes[UPDATE_FILE_N] = {[UPDATE_ROOT] = "root", [UPDATE_VERITY] = "verity", [UPDATE_UKI] = "efi"};

struct lines {
        struct span rest;
        unsigned number;
        struct err *err;
};

static int bad(const struct lines *l, const char *what)
{
        char place[32];
        snprintf(place, sizeof place, "manifest:%u", l->number);
        return err_set(l->err, EBADMSG, place, "%s", what);
}

/* The value of the next line, which must be KEY=VALUE. */
static int value(struct lines *l, const char *key, struct span *ret)
{
        size_t k = strlen(key);
        l->number++;
        const uint8_t *end = l->rest.n ? memchr(l->rest.p, '\n', l->rest.n) : NULL;
        if (!end)
                return bad(l, "the line is missing or not ended by a newline");
        struct span line = SPAN(l->rest.p, (size_t)(end - l->rest.p));
        l->rest = SPAN(end + 1, l->rest.n - line.n - 1);
        if (line.n <= k || memcmp(line.p, key, k) != 0 || line.p[k] != '=') {
                char what[64];
                snprintf(what, sizeof what, "%s= is expected here", key);
                return bad(l, what);
        }
        *ret = SPAN(line.p + k + 1, line.n - k - 1);
        return 0;
}

static int value_version(struct lines *l, const char *key, struct version *ret)
{
        struct span v;
        int r = value(l, key, &v);
        if (r < 0)
                return r;
        return version_parse(v, ret) ? 0 : bad(l, "not a version: one to four numbers with dots between");
}

static int hex_digit(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hash_parse(struct span s, struct sha256 *ret)
{
        if (s.n != 2 * SHA256_BYTES)
                return false;
        for (size_t i = 0; i < SHA256_BYTES; i++) {
                int hi = hex_digit(s.p[2 * i]), lo = hex_digit(s.p[2 * i + 1]);
                if (hi < 0 || lo < 0)
                        return false;
                ret->b[i] = (uint8_t)(hi << 4 | lo);
        }
        return true;
}

static int value_hash(struct lines *l, const char *key, struct sha256 *ret)
{
        struct span v;
        int r = value(l, key, &v);
        if (r < 0)
                return r;
        return hash_parse(v, ret) ? 0 : bad(l, "not 64 lower-case hex digits");
}

static int value_file(struct lines *l, enum update_file f, struct update_manifest *m)
{
        struct span v;
        uint64_t n = 0;
        size_t i = 0;
        int r = value(l, update_file_names[f], &v);
        if (r < 0)
                return r;
        for (; i < v.n && v.p[i] >= '0' && v.p[i] <= '9'; i++)
                if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n) || n > INT64_MAX)
                        return bad(l, "the size is out of range");
        if (i == 0 || v.p[0] == '0' || i == v.n || v.p[i] != ' ')
                return bad(l, "not SIZE SHA256, with a size of at least 1");
        if (!hash_parse(SPAN(v.p + i + 1, v.n - i - 1), &m->file[f].sha))
                return bad(l, "the sum is not 64 lower-case hex digits");
        m->file[f].bytes = n;
        return 0;
}

int update_manifest_parse(struct span text, struct update_manifest *ret, struct err *reterr)
{
        static const char head[] = "gatehouse-update 1\n";
        struct lines l = {.number = 1, .err = reterr};
        struct update_manifest m = {0};
        struct span v;
        int r;
        if (text.n > UPDATE_MANIFEST_MAX)
                return bad(&l, "larger than 4096 bytes");
        if (text.n < sizeof head - 1 || memcmp(text.p, head, sizeof head - 1) != 0)
                return bad(&l, "does not begin with `gatehouse-update 1`");
        l.rest = SPAN(text.p + sizeof head - 1, text.n - (sizeof head - 1));
        if ((r = value_version(&l, "version", &m.version)) < 0 || (r = value_version(&l, "minimum", &m.minimum)) < 0)
                return r;
        if (version_cmp(&m.minimum, &m.version) > 0)
                return bad(&l, "minimum is newer than version");
        if ((r = value(&l, "architecture", &v)) < 0)
                return r;
        if (!span_eq_str(v, UPDATE_ARCHITECTURE))
                return bad(&l, "made for another architecture than " UPDATE_ARCHITECTURE);
        if ((r = value_hash(&l, "roothash", &m.roothash)) < 0)
                return r;
        for (enum update_file f = UPDATE_ROOT; f < UPDATE_FILE_N; f++)
                if ((r = value_file(&l, f, &m)) < 0)
                        return r;
        if (l.rest.n) {
                l.number++;
                return bad(&l, "nothing is expected after uki=");
        }
        *ret = m;
        return 0;
}

const char *update_file_name(const struct update_manifest *m, enum update_file f, char buf[UPDATE_NAME_MAX])
{
        char v[VERSION_STR_MAX];
        snprintf(buf, UPDATE_NAME_MAX, "gatehouse_%s.%s", version_str(&m->version, v), suffixes[f]);
        return buf;
}

int update_admit(const struct update_manifest *m, const struct update_site *s, struct err *reterr)
{
        char a[VERSION_STR_MAX], b[VERSION_STR_MAX];
        version_str(&m->version, a);
        int cmp = version_cmp(&m->version, &s->running);
        if (cmp == 0)
                return err_set(reterr, EALREADY, "manifest:2", "version %s is the one that is running", a);
        if (s->floor.n && version_cmp(&m->version, &s->floor) < 0)
                return err_set(reterr, EPERM, "manifest:2", "version %s is older than %s, the oldest that may be installed here", a,
                               version_str(&s->floor, b));
        if (cmp < 0 && !s->downgrade)
                return err_set(reterr, ESTALE, "manifest:2", "version %s is older than the running %s; say --downgrade if you mean it", a,
                               version_str(&s->running, b));
        for (enum update_file f = UPDATE_ROOT; f < UPDATE_FILE_N; f++) {
                uint64_t room = s->room[f];
                if (f == UPDATE_UKI && room > UPDATE_UKI_MAX)
                        room = UPDATE_UKI_MAX;
                if (m->file[f].bytes > room) {
                        char place[32];
                        snprintf(place, sizeof place, "manifest:%u", 6 + (unsigned)f);
                        return err_set(reterr, ENOSPC, place, "%s needs %" PRIu64 " bytes, %s has %" PRIu64, update_file_names[f],
                                       m->file[f].bytes, f == UPDATE_UKI ? "the ESP" : "its partition of the idle slot", room);
                }
        }
        return 0;
}
