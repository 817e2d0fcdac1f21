/* image/io/command_health.c - `gatehouse-system health`: the gate of a boot.  Looks again and again until all is well
 * or the time is over; says what it found; a boot on trial that has a way back and fails is ended by a restart. */
#include "lib/base.h"
#include "image/core/keyvalue.h"
#include "image/io/boot_site.h"
#include "image/io/boot_state.h"
#include "image/io/commands.h"
#include "image/io/gate_facts.h"
#include "image/io/path.h"
#include "lib/io/log.h"

#include <time.h>

/* How long everything may take to be there.  A machine that took long to come as far as the gate is slow (emulation, a busy
 * host): it gets more, so that nothing is rolled back for want of a faster CPU. */
#define DEADLINE_MIN_S 60
#define DEADLINE_MAX_S 300
#define DEADLINE_PER_UPTIME 4
#define PATIENCE_PART 3 /* what may be missing for a reason outside of the box is waited for a third of the time */
#define ROUND_MS 1000
#define EXPECTED_PATH "/var/lib/gatehouse/system/expected"
#define SMALL_MAX 4096

static unsigned deadline_by_uptime(void)
{
        struct timespec up;
        clock_gettime(CLOCK_BOOTTIME, &up);
        uint64_t s = (uint64_t)up.tv_sec * DEADLINE_PER_UPTIME;
        return (unsigned)MIN(MAX(s, (uint64_t)DEADLINE_MIN_S), (uint64_t)DEADLINE_MAX_S);
}

static uint64_t now_ms(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- what the image before had */

static void expected_read(const struct host *h, struct gate_expected *ret)
{
        char path[HOST_PATH_MAX];
        struct arena a;
        struct span text, v;
        struct err e;
        arena_init(&a, SMALL_MAX * 4, SMALL_MAX * 4);
        *ret = (struct gate_expected){.serving = false};
        if (path_read(host_path(h, path, EXPECTED_PATH), SMALL_MAX, &a, &text, &e) == 0) {
                ret->serving = keyvalue_get(text, "serving", &v) && span_eq_str(v, "yes");
                ret->next_hops = keyvalue_get(text, "next-hops", &v) && span_eq_str(v, "yes");
        }
        arena_fini(&a);
}

static void expected_write(const struct host *h, struct gate_expected x)
{
        char path[HOST_PATH_MAX];
        struct buf b;
        struct err e;
        buf_init(&b, SMALL_MAX);
        keyvalue_put(&b, "serving", span_str(x.serving ? "yes" : "no"));
        keyvalue_put(&b, "next-hops", span_str(x.next_hops ? "yes" : "no"));
        host_path(h, path, EXPECTED_PATH);
        if (b.failed || path_mkparent(path, &e) < 0 || path_write(path, buf_span(&b), 0600, (unsigned)-1, true, &e) < 0)
                log_warn("health_state", "path=%s action=%s", LOG_ESC(path),
                         LOG_ESC("the next image is measured by less"));
        buf_fini(&b);
}

/* ---------------------------------------------------------------- looking */

static const char *const result_words[] = {[GATE_GOOD] = "good", [GATE_WAIT] = "waiting", [GATE_BAD] = "bad"};

static void report(const struct host *h, const struct gate *g, const char *verdict)
{
        char path[HOST_PATH_MAX];
        struct buf b;
        struct json j;
        struct err e;
        buf_init(&b, 1u << 20);
        json_init(&j, &b);
        json_obj(&j);
        json_key(&j, "verdict");
        json_str(&j, verdict);
        json_key(&j, "at");
        json_i64(&j, (int64_t)time(NULL));
        json_key(&j, "checks");
        json_arr(&j);
        for (size_t i = 0; i < g->n; i++) {
                json_obj(&j);
                json_key(&j, "name");
                json_str(&j, g->v[i].name);
                json_key(&j, "result");
                json_str(&j, result_words[g->v[i].result]);
                json_key(&j, "detail");
                json_str(&j, g->v[i].detail);
                json_end(&j);
        }
        json_end(&j);
        json_end(&j);
        host_path(h, path, HEALTH_STATE_PATH);
        if (b.failed || path_mkparent(path, &e) < 0 ||
            path_write(path, buf_span(&b), 0644, (unsigned)-1, false, &e) < 0)
                log_warn("health_report", "path=%s", LOG_ESC(path));
        buf_fini(&b);
}

/* Rounds until good.  GATE_WAIT at the end of patience is good enough. */
static enum gate_result look(const struct host *h, struct gate_facts *f, struct gate *g, unsigned deadline_s,
                             const struct gate_check **ret_first)
{
        uint64_t start = now_ms();
        for (;;) {
                gate_facts_gather(h, f);
                gate_judge(f, g);
                enum gate_result r = gate_result(g, ret_first);
                uint64_t waited_s = (now_ms() - start) / 1000;
                if (r == GATE_GOOD || (r == GATE_WAIT && waited_s >= deadline_s / PATIENCE_PART) ||
                    waited_s >= deadline_s)
                        return r;
                report(h, g, "looking");
                const struct timespec round = {.tv_sec = ROUND_MS / 1000, .tv_nsec = ROUND_MS % 1000 * 1000000};
                clock_nanosleep(CLOCK_MONOTONIC, 0, &round, NULL);
        }
}

/* ---------------------------------------------------------------- entries: what failed before us, and whether there is
 * a way back */

struct entries {
        struct boot_entry ours;
        bool known, way_back; /* way_back: another entry that would boot */
};

/* A version that used up its tries, and that we stand in for: said once, with its own words where the gate left some.
 */
static void rollback_note(const struct host *h, const struct boot_site *s, const struct boot_entry *lost)
{
        struct rollback_record r;
        struct err e;
        char from[VERSION_STR_MAX], to[VERSION_STR_MAX];
        if (rollback_record_read(h, &r, NULL) == 0 && version_cmp(&r.from, &lost->version) == 0 &&
            version_cmp(&r.to, &s->version) == 0)
                return;
        r = (struct rollback_record){.from = lost->version, .to = s->version, .at = (int64_t)time(NULL)};
        if (!gate_refusal_of(h, &lost->version, r.reason))
                snprintf(r.reason, sizeof r.reason,
                         "it never came as far as the health gate: a panic, a hang or a power cut");
        if (rollback_record_write(h, &r, &e) < 0)
                log_warn("rollback_record", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        log_warn("rolled_back", "from=%s to=%s reason=%s", version_str(&r.from, from), version_str(&r.to, to),
                 LOG_ESC(r.reason));
}

static struct entries entries_read(const struct host *h, const struct boot_site *s)
{
        struct entries ret = {.known = false};
        struct esp e = {.dir = -1};
        struct esp_entries l = {.n = 0};
        struct err err = {.place = ""};
        if (esp_open(s->esp, &e, &err) < 0 || esp_list(&e, &l, &err) < 0)
                log_warn("boot_entries", "place=%s reason=%s", LOG_ESC(err.place), LOG_ESC(err.msg));
        esp_close(&e);
        for (size_t i = 0; i < l.n; i++) {
                if (version_cmp(&l.v[i].version, &s->version) == 0) {
                        ret.ours = l.v[i];
                        ret.known = true;
                } else if (boot_entry_lost(&l.v[i])) {
                        rollback_note(h, s, &l.v[i]);
                } else {
                        ret.way_back = true; /* also one that was set aside: it is the newest when all have failed */
                }
        }
        return ret;
}

/* ---------------------------------------------------------------- verdicts */

static int passed(const struct host *h, const struct boot_site *s, const struct gate_facts *f, const struct gate *g)
{
        struct err e = {.place = ""};
        char v[VERSION_STR_MAX];
        report(h, g, "good");
        expected_write(h, gate_expect(f));
        if (boot_floor_raise(h, &s->minimum, &e) < 0)
                log_warn("health_state", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        printf("gatehouse: version %s is healthy\n", version_str(&s->version, v));
        return COMMAND_OK;
}

static int refused(const struct host *h, const struct boot_site *s, const struct gate *g,
                   const struct gate_check *first, struct entries entries)
{
        static const char *const restart[] = {"--no-block", "reboot", NULL};
        struct err e = {.place = ""};
        char v[VERSION_STR_MAX], reason[BOOT_REASON_MAX];
        bool trial = entries.known && entries.ours.counted; /* the last try is +0-N already: the loader counts first */
        snprintf(reason, sizeof reason, "%.60s: %.120s", first->name, first->detail);
        report(h, g, "bad");
        version_str(&s->version, v);
        for (size_t i = 0; i < g->n; i++)
                if (g->v[i].result == GATE_BAD)
                        printf("gatehouse: unhealthy: %s: %s\n", g->v[i].name, g->v[i].detail);
        if (gate_refusal_write(h, &s->version, reason, &e) < 0)
                log_warn("health_state", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        if (!trial || !entries.way_back) {
                printf("gatehouse: version %s stays: %s\n", v,
                       trial ? "there is no other to go back to" : "it was good before, and going back would not help");
                return COMMAND_FAILED;
        }
        printf("gatehouse: version %s is on trial and does not serve: restarting\n", v);
        fflush(stdout);
        if (host_systemctl(h, restart, &e) < 0)
                return command_fail(&e);
        return COMMAND_FAILED;
}

int command_health(const struct host *h, int argc, char **argv)
{
        static const char help[] =
                "usage: gatehouse-system health [SECONDS]\n"
                "The gate of a boot: everything serves, or the reason why not.  Restarts a boot on trial that fails.\n";
        struct boot_site s;
        struct err e = {.place = ""};
        struct gate g;
        const struct gate_check *first = NULL;
        char *end = NULL;
        unsigned long deadline_s = argc == 2 ? strtoul(argv[1], &end, 10) : deadline_by_uptime();
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc > 2 || (end && *end) || deadline_s > 3600) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        if (boot_site_read(h, &s, &e) < 0)
                return command_fail(&e);
        struct gate_facts *f = calloc(1, sizeof *f);
        if (!f)
                return COMMAND_FAILED;
        snprintf(f->fault, sizeof f->fault, "%s", s.fault);
        expected_read(h, &f->expected);
        struct entries entries = entries_read(h, &s);
        enum gate_result r = look(h, f, &g, (unsigned)deadline_s, &first);
        int status = r == GATE_BAD ? refused(h, &s, &g, first, entries) : passed(h, &s, f, &g);
        free(f);
        return status;
}
