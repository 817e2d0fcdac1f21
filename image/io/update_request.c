/* image/io/update_request.c - see update_request.h. */
#include "lib/base.h"
#include "image/io/update_request.h"
#include "image/core/keyvalue.h"
#include "image/io/boot_site.h"
#include "image/io/boot_state.h"
#include "image/io/path.h"
#include "image/io/reset.h"

#include <time.h>
#include <unistd.h>

#define REQUEST_PATH "/run/gatehouse/update.request"
#define REQUEST_MAX 4096

/* The state file says "running" from the first byte to the last; a killed update leaves it so, but no unit. */
static bool running(const struct host *h)
{
        char out[256];
        const char *const show[] = {
                h->systemctl, "show", "--property=ActiveState", "--value", "gatehouse-update.service", NULL};
        if (!*h->systemctl || host_run(show, 10000, out, sizeof out) != 0)
                return false;
        return strncmp(out, "activating", 10) == 0 || strncmp(out, "active", 6) == 0;
}

int update_request_start(const struct host *h, const struct update_request *q, struct err *reterr)
{
        static const char *const start[] = {"start", "--no-block", "gatehouse-update.service", NULL};
        char path[HOST_PATH_MAX];
        struct buf b;
        if (running(h))
                return err_set(reterr, EBUSY, "update", "another update is running");
        host_path(h, path, REQUEST_PATH);
        buf_init(&b, REQUEST_MAX);
        keyvalue_put(&b, "source", span_str(q->source));
        keyvalue_put(&b, "downgrade", span_str(q->downgrade ? "yes" : "no"));
        keyvalue_put(&b, "reboot", span_str(q->reboot ? "yes" : "no"));
        int r = b.failed ? err_set(reterr, EMSGSIZE, path, "the source's name is too long")
                         : path_mkparent(path, reterr);
        if (r == 0)
                r = path_write(path, buf_span(&b), 0600, (unsigned)-1, false, reterr);
        buf_fini(&b);
        return r == 0 ? host_systemctl(h, start, reterr) : r;
}

int update_request_take(const struct host *h, struct update_request *ret, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span text, v;
        arena_init(&a, REQUEST_MAX * 4, REQUEST_MAX * 4);
        int r = path_read(host_path(h, path, REQUEST_PATH), REQUEST_MAX, &a, &text, reterr);
        if (r == 0) {
                *ret = (struct update_request){.downgrade =
                                                       keyvalue_get(text, "downgrade", &v) && span_eq_str(v, "yes"),
                                               .reboot = keyvalue_get(text, "reboot", &v) && span_eq_str(v, "yes")};
                if (!keyvalue_get(text, "source", &v) || v.n == 0 || v.n >= sizeof ret->source)
                        r = err_set(reterr, EBADMSG, path, "no source in it");
                else
                        snprintf(ret->source, sizeof ret->source, "%.*s", SPAN_FMT(v));
                (void)unlink(path); /* /run: what is left would be taken again by hand only */
        }
        arena_fini(&a);
        return r;
}

int rollback_request(const struct host *h, char ret_to[32], struct err *reterr)
{
        struct boot_site s;
        struct rollback_record rec = {.reason = "asked for"};
        int r = boot_site_read(h, &s, reterr);
        if (r == 0)
                r = update_rollback(s.esp, &s.version, &rec.to, reterr);
        if (r < 0)
                return r;
        rec.from = s.version;
        rec.at = (int64_t)time(NULL);
        version_str(&rec.to, ret_to);
        return rollback_record_write(h, &rec, reterr);
}

int reset_request(const struct host *h, struct err *reterr)
{
        struct boot_site s;
        int r = boot_site_read(h, &s, reterr);
        if (r == 0)
                r = boot_site_disk(h, &s, reterr);
        return r == 0 ? reset_ask(s.disk, reterr) : r;
}
