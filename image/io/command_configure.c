/* image/io/command_configure.c - `gatehouse-system configure`: at every boot, before the network.  Finds the configuration,
 * renders it; whatever is wrong, a good one that is stored stays in force.  See README.md for the order of sources. */
#include "lib/base.h"
#include "image/io/adopt.h"
#include "image/io/commands.h"
#include "image/io/keys.h"
#include "image/io/path.h"
#include "image/io/source.h"
#include "lib/io/log.h"

#include <unistd.h>

bool adopt_is_new(const struct seed_copy *found, const struct seed_copy *cur)
{
        char digest[65];
        seed_copy_digest(found, digest);
        return !cur || strcmp(cur->seen[found->source], digest) != 0;
}

void adopt_mark(struct seed_copy *found, const struct seed_copy *cur)
{
        if (cur)
                memcpy(found->seen, cur->seen, sizeof found->seen);
        if (found->source != FROM_APPLY)
                seed_copy_digest(found, found->seen[found->source]);
}

void adopt_note(const struct host *h, const struct err *e)
{
        char path[HOST_PATH_MAX], text[sizeof e->place + sizeof e->msg + 8];
        struct err none;
        host_path(h, path, ADOPT_NOTE);
        if (!e) {
                (void)unlink(path); /* not there: fine */
                return;
        }
        snprintf(text, sizeof text, "%s%s%s\n", e->place, *e->place ? ": " : "", e->msg);
        if (path_mkparent(path, &none) < 0 || path_write(path, span_str(text), 0644, UINT32_MAX, false, &none) < 0)
                log_warn("note_not_written", "place=%s reason=%s", LOG_ESC(none.place), LOG_ESC(none.msg));
}

/* Takes a seed that is new: checked as a whole, stored, made current. */
static int take_seed(const struct host *h, struct seed_copy *found, const struct seed_copy *cur, struct err *reterr)
{
        char place[64];
        snprintf(place, sizeof place, "gatehouse.cfg (%s)", source_names[found->source]);
        adopt_mark(found, cur);
        int r = setup_check(h, found, place, reterr);
        if (r == 0)
                r = store_propose(h, found, reterr);
        return r == 0 ? store_commit(h, reterr) : r;
}

/* A new seed becomes current, unless it is bad. */
static void look_for_seed(const struct host *h)
{
        struct seed_copy found, cur;
        struct err e = {0}, none;
        seed_copy_init(&found);
        seed_copy_init(&cur);
        bool has_cur = store_load(h, STORE_CURRENT, &cur, &none) == 0;
        int r = source_local(h, &found, &e);
        if (r == -ENOENT) {
                log_info("no_local_seed", "stored=%d", has_cur);
        } else if (r == 0 && !adopt_is_new(&found, has_cur ? &cur : NULL)) {
                log_info("seed_unchanged", "source=%s in_force=%s", source_names[found.source], source_names[cur.source]);
        } else {
                if (r == 0)
                        r = take_seed(h, &found, has_cur ? &cur : NULL, &e);
                if (r == 0)
                        log_info("seed_taken", "source=%s", source_names[found.source]);
                else
                        log_error("seed_refused", "source=%s place=%s reason=%s keeping=%s", source_names[found.source], LOG_ESC(e.place),
                                  LOG_ESC(e.msg), has_cur ? "current" : "nothing");
                if (r < 0)
                        adopt_note(h, &e);
        }
        seed_copy_fini(&found);
        seed_copy_fini(&cur);
}

/* Renders a stored configuration; what it cannot read any more (an update with a stricter reader) it leaves alone. */
static int render_slot(const struct host *h, enum store_slot slot, struct err *reterr)
{
        struct seed_copy seed;
        struct setup s;
        struct path_list changed;
        seed_copy_init(&seed);
        int r = store_load(h, slot, &seed, reterr);
        if (r == 0)
                r = setup_make(h, &seed, "gatehouse.cfg", &s, reterr);
        if (r == 0) {
                r = setup_put(h, &s, &changed, reterr);
                if (r == 0)
                        log_info("configured", "name=%s source=%s shards=%zu files=%zu", LOG_ESC(s.c->name), source_names[seed.source],
                                 config_shards(s.c), s.files.n);
                setup_fini(&s);
        }
        seed_copy_fini(&seed);
        return r;
}

static int render_nothing(const struct host *h, struct err *reterr)
{
        struct setup s;
        struct path_list changed;
        setup_unconfigured(&s);
        int r = setup_put(h, &s, &changed, reterr);
        setup_fini(&s);
        return r;
}

/* Devices that a seed may be on have to be there first. */
static void settle(const struct host *h)
{
        static const char *const argv[] = {"/usr/bin/udevadm", "settle", "--timeout=60", NULL};
        char said[128];
        if (!*h->root && host_run(argv, 70000, said, sizeof said) != 0)
                log_warn("devices_not_settled", "reason=%s", LOG_ESC(said));
}

int command_configure(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system configure\n"
                                   "Finds the configuration (SMBIOS credential, seed disk, ESP; else what is stored), checks it and\n"
                                   "renders everything that depends on it.  A bad one is named and the stored one stays in force.\n";
        struct err e = {0};
        struct keys_status keys;
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 1) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        adopt_note(h, NULL);
        settle(h);
        keys_open(h, &keys);
        if (store_withdraw(h, &e) < 0) /* unconfirmed when the power went: it is not in force */
                log_warn("store_damaged", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        look_for_seed(h);
        for (int slot = STORE_CURRENT; slot <= STORE_PREVIOUS; slot++) {
                int r = render_slot(h, (enum store_slot)slot, &e);
                if (r == 0)
                        return COMMAND_OK;
                if (r != -ENOENT) {
                        log_error("configuration_unusable", "slot=%d place=%s reason=%s", slot, LOG_ESC(e.place), LOG_ESC(e.msg));
                        adopt_note(h, &e);
                }
        }
        log_info("unconfigured", "next=%s", "metadata service, console form");
        return render_nothing(h, &e) < 0 ? command_fail(&e) : COMMAND_OK;
}
