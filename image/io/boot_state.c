/* image/io/boot_state.c - see boot_state.h. */
#include "lib/base.h"
#include "image/io/boot_state.h"
#include "image/core/keyvalue.h"
#include "image/io/path.h"

#include <inttypes.h>

#define STATE_DIR "/var/lib/gatehouse/system"
#define STATE_MAX 4096

/* The file's text in a, or -ENOENT. */
static int state_read(const struct host *h, const char *name, struct arena *a, struct span *ret, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        struct err e;
        return path_read(host_path(h, path, STATE_DIR "/%s", name), STATE_MAX, a, ret, reterr ? reterr : &e);
}

static int state_write(const struct host *h, const char *name, struct buf *b, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        struct err e;
        reterr = reterr ? reterr : &e;
        host_path(h, path, STATE_DIR "/%s", name);
        int r = b->failed ? err_set(reterr, ENOMEM, path, "out of memory") : path_mkparent(path, reterr);
        if (r == 0)
                r = path_write(path, buf_span(b), 0600, (unsigned)-1, true, reterr);
        buf_fini(b);
        return r;
}

static bool get_version(struct span text, const char *key, struct version *ret)
{
        struct span v;
        return keyvalue_get(text, key, &v) && version_parse(v, ret);
}

static void get_text(struct span text, const char *key, char *ret, size_t n)
{
        struct span v;
        if (!keyvalue_get(text, key, &v))
                v = SPAN_NULL;
        snprintf(ret, n, "%.*s", SPAN_FMT(v));
}

static void put_version(struct buf *b, const char *key, const struct version *v)
{
        char text[VERSION_STR_MAX];
        keyvalue_put(b, key, span_str(version_str(v, text)));
}

int rollback_record_read(const struct host *h, struct rollback_record *ret, struct err *reterr)
{
        struct arena a;
        struct span text;
        char at[24];
        arena_init(&a, STATE_MAX * 4, STATE_MAX * 4);
        int r = state_read(h, "last-rollback", &a, &text, reterr);
        if (r == 0) {
                *ret = (struct rollback_record){.at = 0};
                get_text(text, "at", at, sizeof at);
                ret->at = strtoll(at, NULL, 10);
                get_text(text, "reason", ret->reason, sizeof ret->reason);
                if (!get_version(text, "from", &ret->from) || !get_version(text, "to", &ret->to))
                        r = err_set(reterr, EBADMSG, STATE_DIR "/last-rollback", "it is damaged");
        }
        arena_fini(&a);
        return r;
}

int rollback_record_write(const struct host *h, const struct rollback_record *r, struct err *reterr)
{
        struct buf b;
        buf_init(&b, STATE_MAX);
        put_version(&b, "from", &r->from);
        put_version(&b, "to", &r->to);
        buf_printf(&b, "at=%" PRId64 "\n", r->at);
        keyvalue_put(&b, "reason", span_str(r->reason));
        return state_write(h, "last-rollback", &b, reterr);
}

int boot_floor_read(const struct host *h, struct version *ret, struct err *reterr)
{
        struct arena a;
        struct span text;
        arena_init(&a, STATE_MAX * 4, STATE_MAX * 4);
        *ret = (struct version){.n = 0};
        int r = state_read(h, "floor", &a, &text, reterr);
        if (r == -ENOENT)
                r = 0;
        else if (r == 0 && !get_version(text, "version", ret))
                r = err_set(reterr, EBADMSG, STATE_DIR "/floor", "it is damaged");
        arena_fini(&a);
        return r;
}

int boot_floor_raise(const struct host *h, const struct version *v, struct err *reterr)
{
        struct version now;
        struct buf b;
        if (boot_floor_read(h, &now, NULL) == 0 && version_cmp(v, &now) <= 0)
                return 0; /* a damaged one is written anew */
        buf_init(&b, STATE_MAX);
        put_version(&b, "version", v);
        return state_write(h, "floor", &b, reterr);
}

int gate_refusal_write(const struct host *h, const struct version *v, const char *reason, struct err *reterr)
{
        struct buf b;
        buf_init(&b, STATE_MAX);
        put_version(&b, "version", v);
        keyvalue_put(&b, "reason", span_str(reason));
        return state_write(h, "gate", &b, reterr);
}

bool gate_refusal_of(const struct host *h, const struct version *v, char ret[BOOT_REASON_MAX])
{
        struct arena a;
        struct span text;
        struct version of;
        arena_init(&a, STATE_MAX * 4, STATE_MAX * 4);
        bool found = state_read(h, "gate", &a, &text, NULL) == 0 && get_version(text, "version", &of) &&
                     version_cmp(&of, v) == 0;
        if (found)
                get_text(text, "reason", ret, BOOT_REASON_MAX);
        arena_fini(&a);
        return found;
}
