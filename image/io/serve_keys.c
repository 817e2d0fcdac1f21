/* image/io/serve_keys.c - queries about the secrets of the box: how they are kept, unlock, recovery.  See serve.h. */
#include "lib/base.h"
#include "image/io/keys.h"
#include "image/io/serve.h"

void serve_status_keys(struct serve *s, struct json *out)
{
        struct keys_status k;
        keys_status_read(s->h, &k);
        json_key(out, "secrets");
        json_obj(out);
        json_key(out, "state");
        json_str(out, keys_state_names[k.state]);
        json_key(out, "detail");
        json_str(out, k.reason);
        json_key(out, "recovery");
        json_str(out, k.recovery_waiting ? "waiting" : "");
        json_end(out);
}

static void said(struct json *out, const char *key, const char *what)
{
        json_obj(out);
        json_key(out, key);
        json_str(out, what);
        json_end(out);
}

int serve_unlock(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        if (argc != 1)
                return err_set(reterr, EINVAL, "unlock", "takes the recovery key");
        int r = apply_is_idle(s->apply, reterr);
        if (r == 0)
                r = keys_unlock(s->h, span_str(argv[0]), reterr);
        explicit_bzero(argv[0], strlen(argv[0]));
        if (r == 0)
                r = apply_again(s->apply, "unlocked", reterr);
        if (r < 0)
                return r;
        struct keys_status k;
        keys_status_read(s->h, &k);
        said(out, "result", k.reason);
        return 0;
}

int serve_recovery(void *arg, char *const *argv, size_t argc, struct json *out, struct err *reterr)
{
        struct serve *s = arg;
        char text[RECOVERY_TEXT_MAX];
        int r = 0;
        if (argc > 1 || (argc == 1 && strcmp(argv[0], "seen") != 0 && strcmp(argv[0], "new") != 0))
                return err_set(reterr, EINVAL, "recovery", "takes nothing, seen or new");
        if (argc == 1 && strcmp(argv[0], "seen") == 0) {
                r = keys_recovery_seen(s->h, reterr);
                if (r == 0)
                        said(out, "result", "it is not shown again");
                return r;
        }
        if (argc == 1)
                r = keys_recovery_new(s->h, reterr);
        if (r == 0)
                r = keys_recovery(s->h, text, reterr);
        if (r == 0)
                said(out, "recovery_key", text);
        explicit_bzero(text, sizeof text);
        return r;
}
