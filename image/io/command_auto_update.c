/* image/io/command_auto_update.c - `gatehouse-system auto-update`: one look at the update server, by gatehouse-auto-update.timer.
 * A newer manifest is verified here, before anything is asked for; what installs it is gatehouse-update.service, as for an
 * operator, with all of its own checks, and the gate judges the boot after it. */
#include "lib/base.h"
#include "image/io/boot_site.h"
#include "image/io/boot_state.h"
#include "image/io/commands.h"
#include "image/io/config_load.h"
#include "image/io/path.h"
#include "image/io/store.h"
#include "image/io/update_auto.h"
#include "image/io/update_request.h"
#include "lib/io/log.h"

#include <time.h>

int update_source_read(const struct host *h, struct update_source *ret, struct err *reterr)
{
        struct seed_copy cur;
        struct config *c = NULL;
        seed_copy_init(&cur);
        int r = store_load(h, STORE_CURRENT, &cur, reterr);
        if (r == 0)
                r = config_load_text(cur.cfg, "gatehouse.cfg", &c, reterr);
        if (r == 0 && !*c->update.url)
                r = err_set(reterr, EINVAL, "update", "url is not set in gatehouse.cfg: name a source");
        if (r == 0) {
                const char *url = c->update.url, *channel = c->update.channel;
                bool folder = url[strlen(url) - 1] == '/';
                if (snprintf(ret->url, sizeof ret->url, "%s%s%s%s", url, *channel && !folder ? "/" : "", channel, *channel ? "/" : "") >= (int)sizeof ret->url)
                        r = err_set(reterr, EINVAL, "update", "url is too long");
                ret->automatic = c->update.automatic;
                ret->window = c->update.window;
        }
        config_free(c);
        seed_copy_fini(&cur);
        return r;
}

/* The same on every start, another one on every box. */
static uint64_t box_number(const struct host *h)
{
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span id = SPAN_NULL;
        struct err none; /* no identity: all such boxes have one moment */
        struct sha256 sum;
        uint64_t n;
        arena_init(&a, 4096, 16384);
        if (path_read(host_path(h, path, "/etc/machine-id"), 4096, &a, &id, &none) < 0)
                id = SPAN_NULL;
        sha256_of(id, &sum);
        memcpy(&n, sum.b, sizeof n);
        arena_fini(&a);
        return n;
}

static bool on_trial(const struct boot_site *s)
{
        struct esp e = {.dir = -1};
        struct esp_entries l = {.n = 0};
        if (esp_open(s->esp, &e, NULL) < 0 || esp_list(&e, &l, NULL) < 0)
                l.n = 0;
        esp_close(&e);
        const struct boot_entry *b = esp_find(&l, &s->version);
        return b && b->counted;
}

static void note(const struct host *h, enum auto_verdict v, const char *version, const struct auto_facts *f)
{
        static const char *const words[AUTO_N] = {
                [AUTO_CURRENT] = "this is the newest: the server has", [AUTO_REJECTED] = "rolled back here, waiting for a newer one:",
                [AUTO_TRIAL] = "on trial itself, waits before", [AUTO_LATER] = "found, waits for its time:", [AUTO_INSTALL] = "installing",
        };
        char path[HOST_PATH_MAX], text[160], when[48] = "";
        struct err e;
        unsigned at = (unsigned)(f->window.from_min + auto_moment(f)) % (24 * 60);
        if (v == AUTO_LATER)
                snprintf(when, sizeof when, ", from %02u:%02u UTC", at / 60, at % 60);
        snprintf(text, sizeof text, "automatic: %s %s%s", words[v], version, when);
        log_info("auto_update", "verdict=%s", LOG_ESC(text));
        if (path_write(host_path(h, path, AUTO_STATE_PATH), span_str(text), 0644, UINT32_MAX, false, &e) < 0)
                log_warn("note_not_written", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
}

static int look(const struct host *h, const struct update_source *from, uint16_t now_min, struct err *reterr)
{
        char keys[2][HOST_PATH_MAX], version[VERSION_STR_MAX];
        const char *const dirs[UPDATE_KEY_DIRS] = {host_path(h, keys[0], UPDATE_KEYS_OF_IMAGE), host_path(h, keys[1], UPDATE_KEYS_OF_CONFIG)};
        struct update_request q = {.reboot = true};
        struct rollback_record left = {.at = 0};
        struct update_manifest m;
        struct boot_site s;
        int r = boot_site_read(h, &s, reterr);
        if (r == 0)
                r = update_look(from->url, dirs, &m, reterr);
        if (r < 0)
                return r;
        struct auto_facts f = {.running = s.version, .found = m.version, .on_trial = on_trial(&s), .window = from->window, .now_min = now_min, .box = box_number(h)};
        if (rollback_record_read(h, &left, NULL) == 0)
                f.left = left.from;
        enum auto_verdict v = auto_decide(&f);
        note(h, v, version_str(&m.version, version), &f);
        if (v != AUTO_INSTALL)
                return 0;
        snprintf(q.source, sizeof q.source, "%s", from->url);
        r = update_request_start(h, &q, reterr);
        return r == -EBUSY ? 0 : r; /* the operator was faster */
}

int command_auto_update(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system auto-update\n"
                                   "Looks for a newer update where gatehouse.cfg says; in the window's time, installs it and restarts.\n";
        struct update_source from;
        struct err e = {0};
        struct tm tm;
        time_t now = time(NULL);
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 1) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        gmtime_r(&now, &tm);
        int r = update_source_read(h, &from, &e);
        if (r == 0 && from.automatic)
                r = look(h, &from, (uint16_t)(tm.tm_hour * 60 + tm.tm_min), &e);
        if (r < 0)
                log_warn("auto_update_failed", "place=%s reason=%s action=%s", LOG_ESC(e.place), LOG_ESC(e.msg), "look_again_later");
        return r < 0 ? command_fail(&e) : COMMAND_OK;
}
