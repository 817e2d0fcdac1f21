/* tests/unit/agent/reflector_test.c - list and watch against a scripted API server: pages, bookmarks, lost history,
 * connections cut inside an object, lists cut short, objects that cannot be read. */
#include "lib/base.h"
#include "agent/io/reflector.h"
#include "lib/io/log.h"
#include "tests/unit/agent/fake_api.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WAIT_MS 4000
#define WAIT(f, cond)                                                              \
        do {                                                                       \
                uint64_t end_ = loop_now_ms((f)->l) + WAIT_MS;                     \
                while (!(cond)) {                                                  \
                        assert_int_equal(loop_turn((f)->l, 50), 0);                \
                        if (loop_now_ms((f)->l) > end_)                            \
                                fail_msg("waited too long for: %s\ngot \"%s\"\n%s", #cond, (f)->got, (f)->api.trace); \
                }                                                                  \
        } while (0)

struct fix {
        struct loop *l;
        struct fake_api api;
        struct kubeconfig k;
        struct api_client *c;
        struct reflector *r;
        char server[64];
        char got[2048]; /* "+ns/name@generation " "-ns/name " "synced " */
        uint64_t denied_ms, again_ms;
};

static void note(struct fix *f, const char *fmt, ...) PRINTF(2, 3);
static void note(struct fix *f, const char *fmt, ...)
{
        size_t n = strlen(f->got);
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(f->got + n, sizeof f->got - n, fmt, ap);
        va_end(ap);
}
static void on_put(void *arg, struct object *o, char *status)
{
        note(arg, "+%s/%s@%d%s ", o->namespace, o->name, (int)o->generation, status ? status : "");
        object_free(o);
        free(status);
}
static void on_del(void *arg, enum object_kind k, const char *ns, const char *name) { note(arg, "-%s/%s ", ns, name); }
static void on_synced(void *arg, enum object_kind k) { note(arg, "synced "); }

/* All requests wait for the test, which finds them. */
static void leave(void *arg, struct fake_conn *c)
{
        struct fix *f = arg;
        if (f->denied_ms && !f->again_ms)
                f->again_ms = loop_now_ms(f->l);
}

#define LIST "GET /apis/g/v1/gateways?limit=2"
#define WATCH "GET /apis/g/v1/gateways?watch=1"
#define GATEWAY(ns, name, rv, generation) \
        "{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\",\"resourceVersion\":\"" rv "\",\"generation\":" generation "}," \
        "\"spec\":{\"gatewayClassName\":\"c\",\"newField\":{\"x\":[1]},\"listeners\":[{\"name\":\"a\",\"port\":80,\"protocol\":\"HTTP\"}]}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define PAGE(rv, cont, items) "{\"kind\":\"GatewayList\",\"items\":[" items "],\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" cont "\"}}"

static struct fake_conn *asked(struct fix *f, const char *what)
{
        WAIT(f, fake_api_find(&f->api, what));
        return fake_api_find(&f->api, what);
}
static void list(struct fix *f, const char *page) { fake_answer(asked(f, LIST), 200, "", page); }
static struct fake_conn *watch(struct fix *f, const char *rv)
{
        char want[64];
        struct fake_conn *c = asked(f, WATCH);
        (void)snprintf(want, sizeof want, "&resourceVersion=%s", rv);
        if (!strstr(c->target, want) || !strstr(c->target, "allowWatchBookmarks=true"))
                fail_msg("watch is %s, want %s", c->target, want);
        fake_stream(c);
        return c;
}

static int setup(void **state)
{
        static const struct reflector_ops ops = { .put = on_put, .del = on_del, .synced = on_synced };
        struct fix *f = calloc(1, sizeof *f);
        struct err e = { 0 };
        log_init("test", LOG_ERROR);
        f->l = loop_new();
        fake_api_init(&f->api, f->l, leave, f);
        (void)snprintf(f->server, sizeof f->server, "http://127.0.0.1:%u", f->api.port);
        f->k = (struct kubeconfig){ .server = f->server, .ca_file = "", .cert_file = "", .key_file = "", .token = "", .token_file = "",
                                    .tls_server_name = "", .proxy_url = "", .context = "" };
        assert_int_equal(api_client_new(f->l, &f->k, "test", &f->c, &e), 0);
        const struct reflector_conf conf = { .kind = OBJECT_GATEWAY, .path = "/apis/g/v1/gateways", .selector = "", .with_status = true,
                                             .page = 2, .retry_ms = 5 };
        assert_int_equal(reflector_new(f->l, f->c, &conf, &ops, f, &f->r), 0);
        *state = f;
        return 0;
}
static int teardown(void **state)
{
        struct fix *f = *state;
        reflector_free(f->r);
        api_client_free(f->c);
        fake_api_fini(&f->api);
        loop_free(f->l);
        free(f);
        return 0;
}

static void first(char *to, const char *from, size_t n) /* the first n bytes of from */
{
        memcpy(to, from, n);
        to[n] = '\0';
}

static struct reflector_view view(struct fix *f)
{
        struct reflector_view v;
        reflector_view(f->r, &v);
        return v;
}
static void got(struct fix *f, const char *want)
{
        WAIT(f, strlen(f->got) >= strlen(want));
        assert_string_equal(f->got, want);
        f->got[0] = '\0';
}

static void test_list_and_watch(void **state)
{
        struct fix *f = *state;
        list(f, PAGE("10", "a+b=", GATEWAY("ns", "x", "7", "3") "," GATEWAY("ns", "y", "8", "1")));
        struct fake_conn *c = asked(f, LIST "&continue=a%2Bb%3D");
        assert_string_equal(f->got, ""); /* half a list is nothing */
        fake_answer(c, 200, "", PAGE("10", "", GATEWAY("ns", "z", "9", "2")));
        got(f, "+ns/x@3 +ns/y@1 +ns/z@2 synced ");
        c = watch(f, "10");
        fake_chunk(c, EVENT("MODIFIED", GATEWAY("ns", "y", "11", "2")) EVENT("DELETED", GATEWAY("ns", "z", "12", "2")));
        fake_chunk(c, EVENT("ADDED", "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"s\",\"resourceVersion\":\"13\",\"generation\":1},\"spec\":{\"gatewayClassName\":"
                                     "\"c\",\"listeners\":[{\"name\":\"a\",\"port\":80,\"protocol\":\"HTTP\"}]},\"status\":{\"x\":[true,1,\"1\"]}}"));
        got(f, "+ns/y@2 -ns/z +ns/s@1{\"x\":[true,1,\"1\"]} ");
        fake_chunk(c, EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"40\"}}"));
        fake_end(c); /* its time is up: the next one begins where the bookmark was */
        (void)watch(f, "40");
        assert_int_equal(view(f).objects, 3);
        assert_string_equal(view(f).state, "watch");
        assert_int_equal(fake_api_count(&f->api, LIST), 2);
}

static void test_cut_inside_an_object(void **state)
{
        struct fix *f = *state;
        static const char event[] = EVENT("ADDED", GATEWAY("ns", "x", "11", "1"));
        char half[sizeof event];
        list(f, PAGE("10", "", ""));
        got(f, "synced ");
        for (size_t n = 1; n < sizeof event - 1; n += 23) { /* cut at many places: never an object, never a list */
                struct fake_conn *c = watch(f, "10");
                first(half, event, n);
                fake_chunk(c, half);
                fake_cut(c);
                WAIT(f, !fake_api_find(&f->api, WATCH));
                reflector_free(f->r); /* and its wait: each cut doubles it, so begin again */
                f->r = NULL;
                const struct reflector_conf conf = { .kind = OBJECT_GATEWAY, .path = "/apis/g/v1/gateways", .selector = "", .page = 2, .retry_ms = 5 };
                static const struct reflector_ops ops = { .put = on_put, .del = on_del, .synced = on_synced };
                assert_int_equal(reflector_new(f->l, f->c, &conf, &ops, f, &f->r), 0);
                list(f, PAGE("10", "", ""));
                got(f, "synced ");
        }
        struct fake_conn *c = watch(f, "10");
        first(half, event, 60);
        fake_chunk(c, half);
        fake_cut(c);
        c = watch(f, "10"); /* from where it was whole */
        fake_chunk(c, event);
        got(f, "+ns/x@1 ");
        fake_cut(c);
        (void)watch(f, "11");
}

static void test_history_lost(void **state)
{
        struct fix *f = *state;
        list(f, PAGE("10", "", GATEWAY("ns", "x", "7", "1") "," GATEWAY("ns", "y", "8", "1")));
        got(f, "+ns/x@1 +ns/y@1 synced ");
        fake_answer(asked(f, WATCH), 410, "", "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}");
        list(f, PAGE("20", "more", GATEWAY("ns", "x", "15", "2")));
        struct fake_conn *c = asked(f, LIST "&continue=more");
        assert_string_equal(f->got, ""); /* nothing is taken away before the list is whole */
        fake_answer(c, 410, "", "{\"kind\":\"Status\",\"code\":410,\"message\":\"token too old\"}");
        c = asked(f, LIST);
        assert_null(strstr(c->target, "continue"));
        assert_int_equal(view(f).objects, 2);
        fake_answer(c, 200, "", PAGE("21", "", GATEWAY("ns", "x", "15", "2") "," GATEWAY("ns", "z", "16", "1")));
        got(f, "+ns/x@2 +ns/z@1 -ns/y ");
        c = watch(f, "21");
        fake_chunk(c, EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"message\":\"The resourceVersion is too old\"}"));
        list(f, PAGE("30", "", GATEWAY("ns", "x", "15", "2")));
        got(f, "+ns/x@2 -ns/z ");
        (void)watch(f, "30");
}

static void test_failures_keep_what_is_known(void **state)
{
        struct fix *f = *state;
        static const char page[] = PAGE("10", "", GATEWAY("ns", "x", "7", "1"));
        char half[sizeof page];
        fake_answer(asked(f, LIST), 404, "", "404 page not found"); /* no CRD yet: not an empty list */
        first(half, page, sizeof page / 2);
        list(f, half);
        list(f, "[]");
        list(f, "{\"items\":[],\"metadata\":{}}");
        assert_string_equal(f->got, "");
        assert_false(view(f).synced);
        list(f, page);
        got(f, "+ns/x@1 synced ");
        fake_answer(asked(f, WATCH), 410, "", "{}");
        fake_answer(asked(f, LIST), 403, "", "{\"message\":\"forbidden\"}");
        WAIT(f, strstr(view(f).why, "forbidden"));
        list(f, half);
        (void)asked(f, LIST);
        assert_string_equal(f->got, "");
        assert_int_equal(view(f).objects, 1);
        assert_int_equal(view(f).counters[REFLECTOR_FAILURES], 7);
}

static void test_unreadable_objects(void **state)
{
        struct fix *f = *state;
        static const char bad[] = "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"x\",\"resourceVersion\":\"11\"},\"spec\":{\"listeners\":7}}";
        list(f, PAGE("10", "", GATEWAY("ns", "x", "7", "1") ",{\"metadata\":{\"name\":\"never-good\"}},7"));
        got(f, "+ns/x@1 synced ");
        struct fake_conn *c = watch(f, "10");
        CLEANUP(buf_fini) struct buf b;
        buf_init(&b, 4096);
        buf_printf(&b, "{\"type\":\"MODIFIED\",\"object\":%s}\n", bad);
        buf_str(&b, "this is no JSON\n{\"type\":\"NEW\",\"object\":{}}\n{\"type\":\"ADDED\"}\n[]\n\n");
        buf_str(&b, EVENT("ADDED", GATEWAY("ns", "y", "12", "1")));
        fake_chunk(c, buf_cstr(&b));
        got(f, "+ns/y@1 "); /* the watch lives, x is as it was */
        assert_int_equal(view(f).objects, 2);
        assert_int_equal(view(f).counters[REFLECTOR_BAD], 7);
        fake_chunk(c, EVENT("ERROR", "{\"code\":410}"));
        buf_reset(&b);
        buf_printf(&b, "{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[%s]}", bad);
        list(f, buf_cstr(&b)); /* x is there, in whatever form: only y goes */
        got(f, "-ns/y ");
        assert_int_equal(view(f).objects, 1);
}

static void test_long_line(void **state)
{
        struct fix *f = *state;
        enum { PIECE = 64 * 1024 };
        static char piece[PIECE + 1];
        memset(piece, 'x', PIECE);
        list(f, PAGE("10", "", ""));
        struct fake_conn *c = watch(f, "10");
        fake_chunk(c, "{\"type\":\"");
        for (uint64_t heard = 0; heard < (9u << 20); heard += PIECE) {
                fake_chunk(c, piece);
                assert_int_equal(loop_turn(f->l, 0), 0);
        }
        fake_chunk(c, "\n" EVENT("ADDED", GATEWAY("ns", "y", "12", "1")));
        got(f, "synced +ns/y@1 ");
        assert_int_equal(view(f).counters[REFLECTOR_BAD], 1);
        assert_int_equal(view(f).counters[REFLECTOR_WATCHES], 1);
}

static void test_retry_after(void **state)
{
        struct fix *f = *state;
        struct fake_conn *c = asked(f, LIST);
        f->denied_ms = loop_now_ms(f->l);
        fake_answer(c, 429, "Retry-After: 1\r\n", "{\"message\":\"later\"}");
        WAIT(f, f->again_ms);
        assert_true(f->again_ms - f->denied_ms >= 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_list_and_watch, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cut_inside_an_object, setup, teardown),
                cmocka_unit_test_setup_teardown(test_history_lost, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failures_keep_what_is_known, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unreadable_objects, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_retry_after, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
