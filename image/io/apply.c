/* image/io/apply.c - see apply.h. */
#include "lib/base.h"
#include "image/io/apply.h"
#include "image/io/adopt.h"
#include "image/io/path.h"
#include "lib/io/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONFIRM_UNTIL "/run/gatehouse/confirm-until" /* seconds of CLOCK_MONOTONIC; for the console */

#define B(state) (1u << APPLY_##state)
static const unsigned legal_next[APPLY_N] = {
#define S(id, next, text) next,
        APPLY_STATES(S)
#undef S
};
#undef B
static const char *const state_text[APPLY_N] = {
#define S(id, next, text) text,
        APPLY_STATES(S)
#undef S
};

struct apply {
        const struct host *h;
        struct loop *l;
        enum apply_state state;
        struct timer confirm;
        unsigned confirm_s;
        uint64_t deadline_ms;
        /* the child that writes and restarts */
        pid_t child;
        struct loop_fd child_out;
        char said[512];
        size_t n_said;
        char last[600]; /* how the last change ended */
};

static void set_state(struct apply *a, enum apply_state to)
{
        BUG_ON(!(legal_next[a->state] & (1u << to)));
        log_info("apply", "from=%s to=%s", LOG_ESC(state_text[a->state]), LOG_ESC(state_text[to]));
        a->state = to;
}

static void ended(struct apply *a, const char *how, const char *why)
{
        snprintf(a->last, sizeof a->last, "%s%s%s", how, *why ? ": " : "", why);
        log_info("apply_ended", "result=%s", LOG_ESC(a->last));
}

/* In the child: files of a slot, then the units that they concern.  What is wrong goes to stdout's place, fd. */
static int put_slot(const struct host *h, enum store_slot slot, struct err *reterr)
{
        struct seed_copy seed;
        struct setup s;
        struct path_list changed;
        seed_copy_init(&seed);
        int r = store_load(h, slot, &seed, reterr);
        if (r == 0) {
                r = setup_make(h, &seed, "gatehouse.cfg", &s, reterr);
        } else if (r == -ENOENT && slot == STORE_CURRENT) { /* there was none before */
                setup_unconfigured(&s);
                r = 0;
        }
        if (r == 0) {
                r = setup_put(h, &s, &changed, reterr);
                if (r == 0)
                        r = setup_activate(h, &s, &changed, reterr);
                setup_fini(&s);
        }
        seed_copy_fini(&seed);
        return r;
}

static void child_main(const struct host *h, enum store_slot slot, int fd)
{
        struct err e = {0};
        int r = put_slot(h, slot, &e);
        if (r < 0 && dprintf(fd, "%s%s%s", e.place, *e.place ? ": " : "", e.msg) < 0)
                _exit(2); /* the parent is gone */
        _exit(r < 0);
}

static void on_child(struct loop_fd *f, unsigned events);

static int run_child(struct apply *a, enum store_slot slot, struct err *reterr)
{
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return err_set(reterr, errno, "", "cannot make a pipe: %s", strerror(errno));
        a->n_said = 0;
        a->child = fork();
        if (a->child == 0)
                child_main(a->h, slot, fds[1]);
        close(fds[1]);
        int r = a->child < 0 ? -errno : fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : loop_add(a->l, &a->child_out, fds[0], on_child);
        if (r < 0) {
                close(fds[0]);
                if (a->child > 0)
                        (void)kill(a->child, SIGKILL); /* reaped below */
                while (a->child > 0 && waitpid(a->child, NULL, 0) < 0 && errno == EINTR)
                        ;
                a->child = 0;
                return err_set(reterr, -r, "", "cannot start the change: %s", strerror(-r));
        }
        return 0;
}

static void note_deadline(struct apply *a)
{
        char path[HOST_PATH_MAX], text[32];
        struct err e;
        host_path(a->h, path, CONFIRM_UNTIL);
        if (a->state != APPLY_WAITING) {
                (void)unlink(path); /* not there: fine */
                return;
        }
        snprintf(text, sizeof text, "%" PRIu64 "\n", a->deadline_ms / 1000);
        if (path_mkparent(path, &e) < 0 || path_write(path, span_str(text), 0644, UINT32_MAX, false, &e) < 0)
                log_warn("note_not_written", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
}

static void revert(struct apply *a, const char *why)
{
        struct err e = {0};
        timer_stop(&a->confirm);
        set_state(a, APPLY_REVERTING);
        note_deadline(a);
        ended(a, "reverted", why);
        /* first on disk: whatever happens now, the next boot has the old one */
        if (store_withdraw(a->h, &e) < 0)
                log_error("store_damaged", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
        if (run_child(a, STORE_CURRENT, &e) < 0) {
                log_error("revert_failed", "place=%s reason=%s", LOG_ESC(e.place), LOG_ESC(e.msg));
                ended(a, "not reverted", e.msg);
                set_state(a, APPLY_IDLE);
        }
}

static void commit(struct apply *a)
{
        struct err e = {0};
        timer_stop(&a->confirm);
        if (store_commit(a->h, &e) < 0) {
                revert(a, e.msg);
                return;
        }
        set_state(a, APPLY_IDLE);
        note_deadline(a);
        adopt_note(a->h, NULL);
        ended(a, "applied", "");
}

static void on_confirm_over(struct timer *t, uint64_t now_ms)
{
        struct apply *a = CONTAINER_OF(t, struct apply, confirm);
        char why[64];
        (void)now_ms;
        snprintf(why, sizeof why, "not confirmed within %u s", a->confirm_s);
        revert(a, why);
}

static void activated(struct apply *a, bool good)
{
        if (!good) {
                revert(a, a->said);
        } else if (a->confirm_s == 0) {
                commit(a);
        } else {
                set_state(a, APPLY_WAITING);
                a->deadline_ms = loop_now_ms(a->l) + 1000u * (uint64_t)a->confirm_s;
                timer_set(loop_timers(a->l), &a->confirm, a->deadline_ms);
                note_deadline(a);
        }
}

/* The child is done: it has closed its end. */
static void finish_child(struct apply *a)
{
        int status = 0, fd = a->child_out.fd;
        loop_del(&a->child_out);
        close(fd);
        while (waitpid(a->child, &status, 0) < 0 && errno == EINTR)
                ;
        a->child = 0;
        a->said[a->n_said] = '\0';
        bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!good && !a->n_said)
                snprintf(a->said, sizeof a->said, "the change ended with status %d", status);
        if (a->state == APPLY_ACTIVATING) {
                activated(a, good);
                return;
        }
        if (!good) {
                log_error("change_failed", "reason=%s", LOG_ESC(a->said));
                char how[sizeof a->last];
                snprintf(how, sizeof how, "%.200s, with trouble", a->last);
                ended(a, how, a->said);
        }
        set_state(a, APPLY_IDLE);
}

static void on_child(struct loop_fd *f, unsigned events)
{
        struct apply *a = CONTAINER_OF(f, struct apply, child_out);
        char rest[128];
        (void)events;
        for (;;) {
                size_t room = sizeof a->said - 1 - a->n_said;
                ssize_t n = read(f->fd, room ? a->said + a->n_said : rest, room ? room : sizeof rest);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0)
                        break;
                a->n_said += room ? (size_t)n : 0;
        }
        finish_child(a);
}

int apply_new(const struct host *h, struct loop *l, struct apply **ret, struct err *reterr)
{
        struct apply *a = calloc(1, sizeof *a);
        if (!a)
                return err_set(reterr, ENOMEM, "", "out of memory");
        *a = (struct apply){.h = h, .l = l, .child_out = {.fd = -1}};
        timer_init(&a->confirm, on_confirm_over);
        note_deadline(a);
        if (store_has(h, STORE_CANDIDATE)) /* we ended before it was confirmed; a boot has removed it already */
                revert(a, "the service restarted before it was confirmed");
        *ret = a;
        return 0;
}

void apply_free(struct apply *a)
{
        if (!a)
                return;
        timer_stop(&a->confirm);
        if (a->child > 0) { /* it ends by itself: a half-written tree is completed by whoever comes next */
                int fd = a->child_out.fd;
                loop_del(&a->child_out);
                close(fd);
                while (waitpid(a->child, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        free(a);
}

static int check_and_store(struct apply *a, struct seed_copy *found, struct err *reterr)
{
        struct seed_copy cur;
        struct err none;
        seed_copy_init(&cur);
        bool has = store_load(a->h, STORE_CURRENT, &cur, &none) == 0;
        adopt_mark(found, has ? &cur : NULL);
        int r = has && cur.locked ? err_set(reterr, ENOKEY, "secrets", "are locked: give the recovery key first (gatectl system unlock), or reset") : 0;
        if (has && found->seed.kubeconfig.n == 0)
                found->seed.kubeconfig = cur.seed.kubeconfig;
        if (has && found->seed.n_manifests == 0) {
                found->seed.manifests = cur.seed.manifests;
                found->seed.n_manifests = cur.seed.n_manifests;
        }
        if (r == 0)
                r = setup_check(a->h, found, "gatehouse.cfg", reterr);
        if (r == 0)
                r = store_propose(a->h, found, reterr);
        found->seed = (struct seed){0}; /* some of it was cur's */
        seed_copy_fini(&cur);
        return r;
}

int apply_is_idle(const struct apply *a, struct err *reterr)
{
        return a->state == APPLY_IDLE ? 0 : err_set(reterr, EBUSY, "", "another configuration is under way: %s", state_text[a->state]);
}

int apply_again(struct apply *a, const char *how, struct err *reterr)
{
        int r = apply_is_idle(a, reterr);
        if (r < 0)
                return r;
        set_state(a, APPLY_REVERTING);
        ended(a, how, "");
        r = run_child(a, STORE_CURRENT, reterr);
        if (r < 0)
                set_state(a, APPLY_IDLE);
        return r;
}

int apply_start(struct apply *a, struct seed_copy *found, unsigned confirm_s, struct err *reterr)
{
        int r = apply_is_idle(a, reterr);
        if (r == 0)
                r = check_and_store(a, found, reterr);
        if (r < 0)
                return r;
        a->confirm_s = confirm_s;
        a->last[0] = '\0';
        set_state(a, APPLY_ACTIVATING);
        r = run_child(a, STORE_CANDIDATE, reterr);
        if (r < 0) {
                struct err late;
                set_state(a, APPLY_IDLE);
                if (store_withdraw(a->h, &late) < 0)
                        log_error("store_damaged", "place=%s reason=%s", LOG_ESC(late.place), LOG_ESC(late.msg));
        }
        return r;
}

int apply_confirm(struct apply *a, struct err *reterr)
{
        if (a->state != APPLY_WAITING)
                return err_set(reterr, EINVAL, "", "nothing waits to be confirmed: %s%s%s", state_text[a->state], *a->last ? "; the last one: " : "", a->last);
        commit(a);
        return a->state == APPLY_IDLE ? 0 : err_set(reterr, EIO, "", "%s", a->last);
}

int apply_cancel(struct apply *a, struct err *reterr)
{
        if (a->state != APPLY_WAITING)
                return err_set(reterr, EINVAL, "", "nothing waits to be confirmed: %s", state_text[a->state]);
        revert(a, "cancelled");
        return 0;
}

enum store_slot apply_in_force(const struct apply *a)
{
        return a->state == APPLY_WAITING ? STORE_CANDIDATE : STORE_CURRENT;
}

void apply_describe(const struct apply *a, struct json *out)
{
        json_key(out, "apply");
        json_str(out, state_text[a->state]);
        json_key(out, "last_apply");
        json_str(out, a->last);
        if (a->state == APPLY_WAITING) {
                uint64_t now = loop_now_ms(a->l);
                json_key(out, "confirm_left_s");
                json_u64(out, a->deadline_ms > now ? (a->deadline_ms - now) / 1000 : 0);
        }
}
