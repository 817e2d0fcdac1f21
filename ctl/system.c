/* ctl/system.c - `gatectl system ...`: the box itself, asked on system.sock (image/io/serve.tbl.h lists what it answers). */
#include "lib/base.h"
#include "ctl/ask.h"
#include "ctl/lines.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM_SOCKET "system"
#define FILE_MAX (4u * 1024 * 1024)
#define STATUS_MS 10000u     /* it asks every daemon in turn */
#define CHECK_MS 60000u      /* an apply is answered when the daemons have checked it */
#define ACTIVATE_MS 300000u  /* and done when all units have started */
#define QUESTION_MAX (240u * 1024) /* a question is one frame of 256 KiB */
#define PARTS_MAX 520

/* C(name, function, arguments, help) */
#define SYSTEM_COMMANDS(C)                                                                                                             \
        C("status", run_status, "", "What runs here: version and slot, configuration and where it came from, addresses, health,\n"    \
                                    "what was refused, how the last apply, update and rollback ended.  -o json: everything.")       \
        C("apply", run_apply, "[--confirm SECONDS] FILE",                                                                              \
          "Puts FILE, a gatehouse.cfg, in force.  It is checked as a whole first, by the daemons too; a refusal names\n"             \
          "file, line and setting, and changes nothing.  `kubeconfig` and `manifests/` beside FILE are taken along; without\n"       \
          "them those in force stay.  --confirm SECONDS: taken back unless `gatectl system confirm` comes in time (default\n"         \
          "120; 0: no confirmation).  A restart of the box before that takes it back too.")                                          \
        C("confirm", run_plain, "", "Keeps what was applied last.")                                                                   \
        C("cancel", run_plain, "", "Takes back what was applied and not confirmed yet, now.")                                         \
        C("show", run_show, "[current|previous|candidate]", "Prints the configuration in force, the one before, or the unconfirmed one.") \
        C("diff", run_diff, "[FILE]", "What FILE would change; without FILE: what the unconfirmed configuration changes.")           \
        C("update", run_plain, "[ARGUMENT...]", "Fetches, checks and installs an update into the idle slot; status shows how far it is.") \
        C("unlock", run_plain, "RECOVERY-KEY", "Opens the secrets of a box whose TPM does not (cleared, or the disk was moved), and seals them anew.") \
        C("recovery", run_plain, "[seen|new]", "Shows the recovery key until it is `seen`: written down.  `new` makes another; the old one is void then.") \
        C("rollback", run_plain, "", "Restarts into the other slot.")                                                                  \
        C("reset", run_plain, "[ARGUMENT...]", "Factory reset: wipes the data partition and restarts.")

struct system_command {
        const char *name;
        int (*run)(const struct ctl *c, const struct system_command *self, int argc, char **argv);
        const char *args, *help;
};

static int complain(const struct err *e)
{
        fprintf(stderr, "gatectl: %s%s%s\n", e->place, *e->place ? ": " : "", e->msg);
        return CTL_FAILED;
}

static int misused(const struct system_command *self)
{
        fprintf(stderr, "usage: gatectl system %s %s\n", self->name, self->args);
        return CTL_USAGE;
}

static void print_pairs(const json_t *answer)
{
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)answer, key, v)
        {
                if (json_is_string(v) && *json_string_value(v))
                        printf("%-16s %s\n", key, json_string_value(v));
                else if (json_is_integer(v))
                        printf("%-16s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(v));
                else if (json_is_boolean(v))
                        printf("%-16s %s\n", key, json_is_true(v) ? "yes" : "no");
        }
}

/* Lists of objects, one line each: the values in their order. */
static void print_lists(const json_t *answer)
{
        const char *key, *name;
        json_t *list, *item, *v;
        size_t i;
        json_object_foreach((json_t *)(uintptr_t)answer, key, list)
        {
                json_array_foreach(list, i, item)
                {
                        printf("%-16s", i ? "" : key);
                        if (json_is_string(item))
                                printf(" %s", json_string_value(item));
                        json_object_foreach(item, name, v)
                        {
                                if (json_is_string(v) && *json_string_value(v))
                                        printf(" %s", json_string_value(v));
                                else if (json_is_boolean(v) && json_is_true(v))
                                        printf(" %s", name);
                        }
                        printf("\n");
                }
        }
}

/* The gate's verdict, and what is not good. */
static void print_health(const json_t *health)
{
        const json_t *e;
        size_t i;
        if (*json_text(health, "verdict"))
                printf("%-16s %s\n", "health", json_text(health, "verdict"));
        json_array_foreach(json_object_get(health, "checks"), i, e) if (strcmp(json_text(e, "result"), "good") != 0)
                printf("%-16s %s: %s, %s\n", "", json_text(e, "name"), json_text(e, "result"), json_text(e, "detail"));
}

/* Objects in the answer: what they hold, in a line each. */
static void print_objects(const json_t *answer)
{
        static const char *const names[] = {"secrets", "update", "last_rollback", "other"};
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                const json_t *o = json_object_get(answer, names[i]);
                const char *key;
                json_t *v;
                if (!json_is_object(o))
                        continue;
                printf("%-16s", names[i]);
                json_object_foreach((json_t *)(uintptr_t)o, key, v)
                {
                        if (json_is_string(v) && *json_string_value(v))
                                printf(" %s=%s", key, json_string_value(v));
                        else if (json_is_integer(v))
                                printf(" %s=%" JSON_INTEGER_FORMAT, key, json_integer_value(v));
                }
                printf("\n");
        }
        print_health(json_object_get(answer, "health"));
}

static int show_answer(const struct ctl *c, json_t *answer)
{
        if (c->json) {
                json_print(answer);
        } else {
                print_pairs(answer);
                print_objects(answer);
                print_lists(answer);
        }
        json_decref(answer);
        return CTL_OK;
}

static int run_plain(const struct ctl *c, const struct system_command *self, int argc, char **argv)
{
        struct ctl patient = *c;
        struct err e = {0};
        json_t *answer;
        if (argc > 1 && !*self->args)
                return misused(self);
        patient.timeout_ms = MAX(c->timeout_ms, CHECK_MS);
        if (ask_daemon(&patient, SYSTEM_SOCKET, self->name, (const char *const *)argv + 1, (size_t)argc - 1, &answer, &e) < 0)
                return complain(&e);
        return show_answer(c, answer);
}

static int run_status(const struct ctl *c, const struct system_command *self, int argc, char **argv)
{
        struct err e = {0};
        json_t *answer;
        (void)argv;
        if (argc != 1)
                return misused(self);
        struct ctl patient = *c;
        patient.timeout_ms = MAX(c->timeout_ms, STATUS_MS);
        if (ask_daemon(&patient, SYSTEM_SOCKET, "status", NULL, 0, &answer, &e) < 0)
                return complain(&e);
        bool well = json_is_true(json_object_get(answer, "configured")) && !*json_text(answer, "refused");
        (void)show_answer(c, answer); /* always CTL_OK */
        return well ? CTL_OK : CTL_FAILED;
}

static int slot_text(const struct ctl *c, const char *slot, char **ret, struct err *reterr)
{
        json_t *answer;
        int r = ask_daemon(c, SYSTEM_SOCKET, "show", &slot, 1, &answer, reterr);
        if (r < 0)
                return r;
        *ret = strdup(json_text(answer, "text"));
        BUG_ON(!*ret);
        json_decref(answer);
        return 0;
}

static int run_show(const struct ctl *c, const struct system_command *self, int argc, char **argv)
{
        const char *slot = argc > 1 ? argv[1] : "current";
        CLEANUP(freep) char *text = NULL;
        struct err e = {0};
        if (argc > 2)
                return misused(self);
        if (c->json) {
                json_t *answer;
                return ask_daemon(c, SYSTEM_SOCKET, "show", &slot, 1, &answer, &e) < 0 ? complain(&e) : show_answer(c, answer);
        }
        if (slot_text(c, slot, &text, &e) < 0)
                return complain(&e);
        fputs(text, stdout);
        return CTL_OK;
}

static char *read_file(const char *path, struct err *reterr)
{
        FILE *f = fopen(path, "rb");
        char *text = NULL;
        size_t n = 0;
        if (f) {
                text = malloc(FILE_MAX + 1);
                BUG_ON(!text);
                n = fread(text, 1, FILE_MAX, f);
        }
        int error = !f || ferror(f) ? errno ? errno : EIO : !feof(f) && n == FILE_MAX ? EFBIG : 0;
        if (f)
                fclose(f);
        if (!error && n && memchr(text, 0, n))
                error = EILSEQ;
        if (error) {
                (void)err_set(reterr, error, path, "cannot read: %s", strerror(error)); /* NULL says it */
                free(text);
                return NULL;
        }
        text[n] = '\0';
        return text;
}

static int run_diff(const struct ctl *c, const struct system_command *self, int argc, char **argv)
{
        CLEANUP(freep) char *from = NULL;
        CLEANUP(freep) char *to = NULL;
        struct err e = {0};
        if (argc > 2)
                return misused(self);
        int r = slot_text(c, "current", &from, &e);
        if (r == 0 && argc == 1)
                r = slot_text(c, "candidate", &to, &e);
        else if (r == 0 && !(to = read_file(argv[1], &e)))
                r = -1;
        if (r < 0)
                return complain(&e);
        (void)lines_diff(span_str(from), span_str(to), stdout); /* the same: nothing is printed */
        return CTL_OK;
}

/* Arguments of the question; texts are ours. */
struct parts {
        const char *v[PARTS_MAX];
        size_t n, bytes;
};

static int add_part(struct parts *p, const char *name, const char *path, struct err *reterr)
{
        char *text = read_file(path, reterr);
        if (!text)
                return -EIO;
        char *copy = strdup(name);
        BUG_ON(!copy);
        p->bytes += strlen(text) + strlen(name) + 16;
        if (p->n + 2 > PARTS_MAX || p->bytes > QUESTION_MAX) {
                free(text);
                free(copy);
                return err_set(reterr, EFBIG, path, "configuration and manifests are over %u KiB: bring them by a seed disk or the ESP", QUESTION_MAX / 1024);
        }
        p->v[p->n++] = copy;
        p->v[p->n++] = text;
        return 0;
}

static void parts_fini(struct parts *p)
{
        for (size_t i = 1; i < p->n; i++) /* 0 is the number of seconds */
                free((char *)(uintptr_t)p->v[i]);
}

/* kubeconfig and manifests/ in the folder of file. */
static int add_beside(struct parts *p, const char *file, struct err *reterr)
{
        char dir[PATH_MAX], path[PATH_MAX + 300], name[300];
        const char *slash = strrchr(file, '/');
        snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
        snprintf(path, sizeof path, "%s/kubeconfig", dir);
        struct stat st;
        int r = stat(path, &st) == 0 ? add_part(p, "kubeconfig", path, reterr) : 0;
        snprintf(path, sizeof path, "%s/manifests", dir);
        DIR *d = r == 0 ? opendir(path) : NULL;
        for (const struct dirent *e; d && r == 0 && (e = readdir(d));) {
                const char *dot = strrchr(e->d_name, '.');
                if (e->d_name[0] == '.' || !dot || (strcmp(dot, ".yaml") != 0 && strcmp(dot, ".yml") != 0 && strcmp(dot, ".json") != 0))
                        continue;
                snprintf(name, sizeof name, "manifests/%s", e->d_name);
                snprintf(path, sizeof path, "%s/%s", dir, name);
                r = add_part(p, name, path, reterr);
        }
        if (d)
                closedir(d);
        return r;
}

/* Until the units have started, or it was taken back. */
static int wait_activated(const struct ctl *c, json_t **ret, struct err *reterr)
{
        const struct timespec pause = {.tv_nsec = 200000000};
        struct ctl patient = *c;
        patient.timeout_ms = MAX(c->timeout_ms, 10000u);
        for (unsigned waited_ms = 0; waited_ms < ACTIVATE_MS; waited_ms += 200) {
                int r = ask_daemon(&patient, SYSTEM_SOCKET, "status", NULL, 0, ret, reterr);
                if (r < 0)
                        return r;
                const char *state = json_text(*ret, "apply");
                if (strcmp(state, "activating") != 0 && strcmp(state, "reverting") != 0)
                        return 0;
                json_decref(*ret);
                nanosleep(&pause, NULL);
        }
        return err_set(reterr, ETIMEDOUT, "", "not activated within %u s: gatectl system status", ACTIVATE_MS / 1000);
}

/* The box calls every configuration gatehouse.cfg; who asked called it otherwise. */
static int complain_of(const char *file, struct err *e)
{
        static const char theirs[] = "gatehouse.cfg:";
        char msg[sizeof e->msg];
        if (strncmp(e->msg, theirs, sizeof theirs - 1) == 0) {
                snprintf(msg, sizeof msg, "%s", e->msg + sizeof theirs - 1);
                (void)err_set(e, EINVAL, "", "%s:%s", file, msg); /* complain tells it */
        }
        return complain(e);
}

static int apply_parts(const struct ctl *c, const struct parts *p, const char *file)
{
        struct ctl patient = *c;
        struct err e = {0};
        json_t *answer;
        patient.timeout_ms = MAX(c->timeout_ms, CHECK_MS);
        if (ask_daemon(&patient, SYSTEM_SOCKET, "apply", p->v, p->n, &answer, &e) < 0)
                return complain_of(file, &e);
        json_decref(answer);
        if (wait_activated(c, &answer, &e) < 0)
                return complain(&e);
        const char *last = json_text(answer, "last_apply");
        bool waits = strcmp(json_text(answer, "apply"), "waiting for confirm") == 0, good = waits || strcmp(last, "applied") == 0;
        char left[24];
        if (c->json)
                json_print(answer);
        else if (waits)
                printf("in force; taken back in %s s unless you say: gatectl system confirm\n", json_number_text(answer, "confirm_left_s", left));
        else
                fprintf(good ? stdout : stderr, "%s\n", last);
        json_decref(answer);
        return good ? CTL_OK : CTL_FAILED;
}

static int run_apply(const struct ctl *c, const struct system_command *self, int argc, char **argv)
{
        struct parts p = {.v = {"120"}, .n = 1};
        struct err e = {0};
        const char *file = NULL;
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--confirm") == 0 && i + 1 < argc)
                        p.v[0] = argv[++i];
                else if (argv[i][0] == '-' || file)
                        return misused(self);
                else
                        file = argv[i];
        }
        if (!file)
                return misused(self);
        int r = add_part(&p, "gatehouse.cfg", file, &e);
        if (r == 0)
                r = add_beside(&p, file, &e);
        int rc = r < 0 ? complain(&e) : apply_parts(c, &p, file);
        parts_fini(&p);
        return rc;
}

static const struct system_command commands[] = {
#define C(name, fn, args, help) {name, fn, args, help},
        SYSTEM_COMMANDS(C)
#undef C
};

static void usage(FILE *f)
{
        fputs("usage: gatectl [-d RUN_DIR] [-o table|json] [-t MS] system COMMAND\n\n", f);
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].args);
        fputs("\nCOMMAND --help explains it.\n", f);
}

/* -o KIND stands behind the command as well; -1: no such kind. */
static int take_output(struct ctl *c, int argc, char **argv)
{
        int n = 0;
        for (int i = 0; i < argc; i++) {
                if (i == 0 || strcmp(argv[i], "-o") != 0 || i + 1 == argc) {
                        argv[n++] = argv[i];
                        continue;
                }
                c->json = strcmp(argv[++i], "json") == 0;
                if (!c->json && strcmp(argv[i], "table") != 0)
                        return -1;
        }
        return n;
}

int ctl_system(const struct ctl *given, int argc, char **argv)
{
        struct ctl own = *given, *c = &own;
        argc = take_output(c, argc, argv);
        if (argc < 0) {
                fputs("gatectl: -o takes table or json\n", stderr);
                return CTL_USAGE;
        }
        if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
                usage(stdout);
                return CTL_OK;
        }
        for (size_t i = 0; argc > 0 && i < ARRAY_SIZE(commands); i++) {
                const struct system_command *s = &commands[i];
                if (strcmp(argv[0], s->name) != 0)
                        continue;
                if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
                        printf("usage: gatectl system %s %s\n\n%s\n", s->name, s->args, s->help);
                        return CTL_OK;
                }
                return s->run(c, s, argc, argv);
        }
        usage(stderr);
        return CTL_USAGE;
}
