/* image/io/command_console.c - `gatehouse-system console TTY`: the status page of a terminal, serial or video; the form when
 * there is no configuration.  Nobody logs in here, and no key changes anything once the box has a configuration, with two
 * exceptions: Enter says that the recovery key on the page is written down, and locked secrets take the recovery key. */
#include "lib/base.h"
#include "image/core/form.h"
#include "image/core/page.h"
#include "image/io/commands.h"
#include "lib/core/arena.h"
#include "lib/io/admin.h"
#include "lib/io/notify.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define REFRESH_MS 2000
#define STATUS_MS 8000
#define ADOPT_MS 60000

enum typing { TYPING_NOTHING, TYPING_SEEN, TYPING_RECOVERY }; /* what a line of input is for, as the page says */

struct console {
        const struct host *h;
        struct notify notify;
        enum typing typing;
        char typed[64]; /* the recovery key so far */
        size_t n_typed;
        char answer[200]; /* to what was typed last */
        int fd;
        struct termios before;
        struct form *form;   /* NULL: the page is shown */
        bool submitted;      /* what the form said is being put in force */
        struct buf shown;    /* the page as it was drawn last */
        struct arena texts;  /* of the page being made */
};

static void say(struct console *c, struct buf *b)
{
        struct span s = buf_span(b);
        while (s.n) {
                ssize_t w = write(c->fd, s.p, s.n);
                if (w < 0 && errno == EINTR)
                        continue;
                if (w <= 0)
                        break; /* the line is gone: reading ends it */
                s.p += w;
                s.n -= (size_t)w;
        }
        buf_reset(b);
}

static json_t *ask(struct console *c, const char *query, const char *const *args, size_t n, unsigned timeout_ms, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        CLEANUP(freep) char *text = NULL;
        json_error_t je;
        if (admin_ask(host_path(c->h, path, "/run/gatehouse/system.sock"), query, args, n, timeout_ms, &text, reterr) < 0)
                return NULL;
        json_t *j = json_loads(text, 0, &je);
        if (!j)
                (void)err_set(reterr, EBADMSG, query, "answered no JSON"); /* NULL says it */
        return j;
}

static const char *str(const json_t *o, const char *key)
{
        const char *s = json_string_value(json_object_get(o, key));
        return s ? s : "";
}

static bool is_true(const json_t *o, const char *key) { return json_is_true(json_object_get(o, key)); }

/* ---------------------------------------------------------------- the page */

static void text_into(struct buf *b, const json_t *v)
{
        const json_t *e;
        const char *key;
        size_t i;
        if (json_is_string(v) && *json_string_value(v))
                buf_printf(b, "%s%s", b->n ? " " : "", json_string_value(v));
        else if (json_is_integer(v))
                buf_printf(b, "%s%" JSON_INTEGER_FORMAT, b->n ? " " : "", json_integer_value(v));
        json_array_foreach(v, i, e) text_into(b, e);
        json_object_foreach((json_t *)(uintptr_t)v, key, e) text_into(b, e);
}

/* A line of values, one after the other; nothing when all are empty. */
static void line(struct console *c, struct page *p, const char *label, bool bad, const char *before, const json_t *v, const char *after)
{
        CLEANUP(buf_fini) struct buf b;
        buf_init(&b, 4096);
        text_into(&b, v);
        if (b.n || (!v && *before)) {
                const char *text = arena_printf(&c->texts, "%s%s%s", before, buf_cstr(&b), after);
                if (text)
                        page_add(p, label, text, bad);
        }
}

static void line_text(struct console *c, struct page *p, const char *label, bool bad, const char *text)
{
        if (*text)
                line(c, p, label, bad, text, NULL, "");
}

/* The gate's verdict, and what is not good. */
static void health_lines(struct console *c, struct page *p, const json_t *health)
{
        const json_t *e;
        size_t i;
        line_text(c, p, "Health", strcmp(str(health, "verdict"), "good") != 0, str(health, "verdict"));
        json_array_foreach(json_object_get(health, "checks"), i, e)
        {
                const char *text = strcmp(str(e, "result"), "good") != 0
                                           ? arena_printf(&c->texts, "%s: %s, %s", str(e, "name"), str(e, "result"), str(e, "detail"))
                                           : NULL;
                if (text)
                        page_add(p, "Health", text, true);
        }
}

static void image_lines(struct console *c, struct page *p, const json_t *s)
{
        const json_t *tries = json_object_get(s, "tries_left");
        line(c, p, "Version", false, "", json_object_get(s, "version"), "");
        line(c, p, "Slot", false, "", json_object_get(s, "slot"), "");
        if (json_is_integer(tries))
                line(c, p, "Slot", true, "on trial, tries left: ", tries, "");
        health_lines(c, p, json_object_get(s, "health"));
        line(c, p, "Update", false, "", json_object_get(s, "update"), "");
        line_text(c, p, "Update", false, str(s, "automatic_update"));
        line(c, p, "Last rollback", true, "", json_object_get(s, "last_rollback"), "");
}

static void config_lines(struct console *c, struct page *p, const json_t *s)
{
        char left[80];
        line_text(c, p, "Refused", true, str(s, "refused"));
        if (strcmp(str(s, "apply"), "idle") != 0)
                line_text(c, p, "Change", true, str(s, "apply"));
        if (json_is_integer(json_object_get(s, "confirm_left_s"))) {
                /* in steps: a serial line keeps what was written */
                long long n = json_integer_value(json_object_get(s, "confirm_left_s"));
                snprintf(left, sizeof left, "taken back in about %lld s unless: gatectl system confirm", n > 10 ? n / 10 * 10 : n);
                line_text(c, p, "Change", true, left);
        }
        if (*str(s, "last_apply") && strcmp(str(s, "last_apply"), "applied") != 0)
                line_text(c, p, "Last change", true, str(s, "last_apply"));
        line(c, p, "Virtual IPs", false, "", json_object_get(s, "vip_pools"), "");
}

static void box_lines(struct console *c, struct page *p, const json_t *s)
{
        const json_t *e;
        size_t i;
        json_array_foreach(json_object_get(s, "nics"), i, e) line(c, p, "NIC", strcmp(str(e, "state"), "down") == 0, "", e, "");
        json_array_foreach(json_object_get(json_object_get(s, "data_ports"), "ports"), i, e) line(c, p, "Data port", false, "", e, "");
        json_array_foreach(json_object_get(s, "daemons"), i, e)
        {
                bool well = is_true(e, "answers");
                const char *text = arena_printf(&c->texts, "%s: %s", str(e, "name"), well ? "serves" : str(e, "error"));
                if (text)
                        page_add(p, "Daemon", text, !well);
        }
}

/* How the secrets are kept; the recovery key while it waits to be written down; or the place to type it. */
static void secret_lines(struct console *c, struct page *p, const json_t *s)
{
        const json_t *k = json_object_get(s, "secrets");
        const char *state = str(k, "state");
        bool locked = strcmp(state, "locked") == 0;
        enum typing before = c->typing;
        c->typing = locked ? TYPING_RECOVERY : strcmp(str(k, "recovery"), "waiting") == 0 ? TYPING_SEEN : TYPING_NOTHING;
        if (c->typing != before)
                c->n_typed = 0;
        const char *detail = str(k, "detail"), *cause = strstr(detail, ".  "); /* what to do; why: a line each */
        const char *what = cause ? arena_printf(&c->texts, "%.*s", (int)(cause - detail), detail) : detail;
        line_text(c, p, "Secrets", strcmp(state, "sealed") != 0, what ? what : detail);
        line_text(c, p, "Secrets", true, cause ? cause + 3 : "");
        if (locked) {
                const char *typed = arena_printf(&c->texts, "%.*s_", (int)c->n_typed, c->typed);
                line_text(c, p, "Recovery key", false, typed ? typed : "_");
                line_text(c, p, "Recovery key", true, c->answer);
        } else if (c->typing == TYPING_SEEN) {
                struct err none; /* somebody else has just said that it is written down */
                json_t *j = ask(c, "recovery", NULL, 0, STATUS_MS, &none);
                line_text(c, p, "Recovery key", true, str(j, "recovery_key"));
                line_text(c, p, "Recovery key", false, "opens the secrets if this TPM fails.  Write it down, then press Enter:");
                line_text(c, p, "Recovery key", false, "it is not shown again.  Until then each start makes another one.");
                json_decref(j);
        }
}

static void draw(struct console *c, const json_t *s, const char *trouble)
{
        struct page p = {.n = 0};
        struct winsize w = {0};
        CLEANUP(buf_fini) struct buf b;
        char title[128];
        buf_init(&b, 64 * 1024);
        arena_reset(&c->texts);
        if (ioctl(c->fd, TIOCGWINSZ, &w) < 0 || w.ws_col < 40 || w.ws_row < 10)
                w = (struct winsize){.ws_col = 80, .ws_row = 24}; /* a serial line does not know */
        snprintf(title, sizeof title, "Gatehouse  %.60s  %s%.20s", s ? str(s, "name") : "", s && is_true(s, "configured") ? "configured by " : "",
                 s ? str(s, "source") : "");
        line_text(c, &p, "System", true, trouble);
        if (s) {
                secret_lines(c, &p, s);
                image_lines(c, &p, s);
                config_lines(c, &p, s);
                box_lines(c, &p, s);
        }
        page_render(&p, title, w.ws_col, w.ws_row, &b);
        if (span_eq(buf_span(&b), buf_span(&c->shown)))
                return;
        buf_reset(&c->shown);
        buf_add(&c->shown, b.p, b.n);
        say(c, &b);
}

/* ---------------------------------------------------------------- the form */

static void form_start(struct console *c, const json_t *s)
{
        struct form_nic nics[FORM_MAX_NICS];
        CLEANUP(buf_fini) struct buf b;
        const json_t *e;
        size_t i, n = 0;
        buf_init(&b, 64 * 1024);
        json_array_foreach(json_object_get(s, "nics"), i, e)
        {
                if (n == FORM_MAX_NICS)
                        break;
                CLEANUP(buf_fini) struct buf addrs;
                buf_init(&addrs, 1024);
                text_into(&addrs, json_object_get(e, "addresses"));
                nics[n] = (struct form_nic){0};
                snprintf(nics[n].name, sizeof nics[n].name, "%s", str(e, "name"));
                snprintf(nics[n].mac, sizeof nics[n].mac, "%s", str(e, "mac"));
                snprintf(nics[n].detail, sizeof nics[n].detail, "%s %.50s", str(e, "state"), buf_cstr(&addrs));
                n++;
        }
        c->form = form_new(nics, n);
        if (*str(s, "refused"))
                form_refused(c->form, str(s, "refused"), &b);
        else
                form_begin(c->form, &b);
        say(c, &b);
}

static void form_end(struct console *c)
{
        form_free(c->form);
        c->form = NULL;
        c->submitted = false;
        buf_reset(&c->shown); /* draw the page anew */
}

static void submit(struct console *c)
{
        CLEANUP(buf_fini) struct buf b;
        struct span text = form_result(c->form);
        CLEANUP(freep) char *copy = strndup((const char *)text.p, text.n);
        struct err e = {0};
        buf_init(&b, 64 * 1024);
        BUG_ON(!copy);
        buf_str(&b, "Checking...\r\n");
        say(c, &b);
        const char *args[] = {"console", "gatehouse.cfg", copy};
        json_t *j = ask(c, "adopt", args, ARRAY_SIZE(args), ADOPT_MS, &e);
        explicit_bzero(copy, text.n);
        if (j) {
                c->submitted = true;
                buf_str(&b, "Good.  Starting...\r\n");
        } else {
                form_refused(c->form, e.msg, &b);
        }
        json_decref(j);
        say(c, &b);
}

/* What the status means for form and page. */
static void refresh(struct console *c)
{
        CLEANUP(buf_fini) struct buf b;
        struct err e = {0};
        json_t *s = ask(c, "status", NULL, 0, STATUS_MS, &e);
        bool idle = s && strcmp(str(s, "apply"), "idle") == 0;
        buf_init(&b, 64 * 1024);
        if (c->form && s && is_true(s, "configured"))
                form_end(c);
        if (c->form && c->submitted && idle) { /* it was good, and did not start: say why, ask again */
                c->submitted = false;
                form_refused(c->form, str(s, "last_apply"), &b);
                say(c, &b);
        }
        bool recovery_first = strcmp(str(json_object_get(s, "secrets"), "recovery"), "waiting") == 0;
        if (!c->form && idle && !is_true(s, "configured") && !recovery_first)
                form_start(c, s);
        else if (!c->form)
                draw(c, s, s ? "" : "starting");
        json_decref(s);
}

static void tell(struct console *c, const char *query, const char *arg)
{
        struct err e = {0};
        const char *args[] = {arg};
        json_t *j = ask(c, query, args, 1, ADOPT_MS, &e);
        snprintf(c->answer, sizeof c->answer, "%.150s", j ? "" : e.msg);
        json_decref(j);
}

/* Keys while the page is shown: any draws it anew; some mean something. */
static void page_input(struct console *c, const char *in, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                bool enter = in[i] == '\r' || in[i] == '\n';
                if (c->typing == TYPING_SEEN && enter) {
                        tell(c, "recovery", "seen");
                        c->typing = TYPING_NOTHING;
                } else if (c->typing == TYPING_RECOVERY && enter && c->n_typed) {
                        c->typed[c->n_typed] = '\0';
                        tell(c, "unlock", c->typed);
                        explicit_bzero(c->typed, sizeof c->typed);
                        c->n_typed = 0;
                } else if (c->typing == TYPING_RECOVERY && (in[i] == 0x7f || in[i] == '\b') && c->n_typed) {
                        c->n_typed--;
                } else if (c->typing == TYPING_RECOVERY && in[i] > ' ' && in[i] < 0x7f && c->n_typed + 1 < sizeof c->typed) {
                        c->typed[c->n_typed++] = in[i];
                }
        }
        buf_reset(&c->shown);
        refresh(c);
}

/* False: the terminal is gone. */
static bool typed(struct console *c)
{
        CLEANUP(buf_fini) struct buf b;
        char in[1024];
        ssize_t n = read(c->fd, in, sizeof in);
        if (n <= 0)
                return n < 0 && (errno == EINTR || errno == EAGAIN);
        buf_init(&b, 256 * 1024);
        if (!c->form) {
                page_input(c, in, (size_t)n);
        } else if (!c->submitted) {
                enum form_rc rc = form_input(c->form, SPAN(in, n), &b);
                say(c, &b);
                if (rc == FORM_DONE)
                        submit(c);
        }
        return true;
}

static uint64_t now_ms(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void run(struct console *c)
{
        uint64_t next = 0;
        for (;;) {
                uint64_t now = now_ms();
                if (now >= next) {
                        notify_beat(&c->notify);
                        refresh(c);
                        next = now_ms() + REFRESH_MS;
                        now = now_ms();
                }
                struct pollfd p = {.fd = c->fd, .events = POLLIN};
                int r = poll(&p, 1, (int)(next > now ? next - now : 0));
                if (r > 0 && !typed(c))
                        return;
        }
}

static int terminal(const char *name)
{
        char path[128];
        if (isatty(STDIN_FILENO))
                return STDIN_FILENO; /* systemd has opened it */
        snprintf(path, sizeof path, "%s%s", name[0] == '/' ? "" : "/dev/", name);
        return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int command_console(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system console TTY\n"
                                   "Shows the status page on a terminal; asks for a configuration when there is none.\n";
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 2) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        struct console c = {.h = h, .fd = terminal(argv[1])};
        if (c.fd < 0 || tcgetattr(c.fd, &c.before) < 0) {
                struct err e;
                (void)err_set(&e, errno, argv[1], "cannot use the terminal: %s", strerror(errno)); /* told by command_fail */
                return command_fail(&e);
        }
        struct termios raw = c.before;
        cfmakeraw(&raw);
        if (tcsetattr(c.fd, TCSAFLUSH, &raw) < 0)
                fprintf(stderr, "gatehouse-system: %s: echoes by itself: %s\n", argv[1], strerror(errno));
        buf_init(&c.shown, 64 * 1024);
        arena_init(&c.texts, 16 * 1024, 1 << 20);
        notify_init(&c.notify, NULL, NULL, NULL);
        notify_ready(&c.notify, "on %s", argv[1]);
        run(&c);
        notify_fini(&c.notify);
        form_free(c.form);
        buf_fini(&c.shown);
        arena_fini(&c.texts);
        (void)tcsetattr(c.fd, TCSANOW, &c.before); /* the terminal is gone */
        return COMMAND_OK;
}
