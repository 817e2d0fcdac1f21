/* tests/unit/agent/api_client_test.c - requests against a scripted server: bodies, streams, deadlines, limits, tokens,
 * and requests that end or cancel each other inside callbacks. */
#include "lib/base.h"
#include "agent/io/api_client.h"
#include "lib/io/log.h"
#include "tests/unit/agent/fake_api.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_MS 4000
#define WAIT(f, cond)                                                              \
        do {                                                                       \
                uint64_t end_ = loop_now_ms((f)->l) + WAIT_MS;                     \
                while (!(cond)) {                                                  \
                        assert_int_equal(loop_turn((f)->l, 50), 0);                \
                        if (loop_now_ms((f)->l) > end_)                            \
                                fail_msg("waited too long for: %s\n%s", #cond, (f)->api.trace); \
                }                                                                  \
        } while (0)

struct fix {
        struct loop *l;
        struct fake_api api;
        struct kubeconfig k;
        struct api_client *c;
        char server[64], got[1024], why[256];
        struct api_request *request, *other;
        int status, error;
        unsigned n_done, n_other;
        uint32_t retry_after_ms;
        bool cancel_in_data, cancel_other;
        char authorization[128];
};

static void answer(void *arg, struct fake_conn *c)
{
        struct fix *f = arg;
        (void)snprintf(f->authorization, sizeof f->authorization, "%s", c->authorization);
        if (strcmp(c->target, "/one") == 0)
                fake_answer(c, 200, "", "{\"a\":1}");
        else if (strcmp(c->target, "/busy") == 0)
                fake_answer(c, 429, "Retry-After: 7\r\n", "{\"kind\":\"Status\",\"message\":\"too many\"}");
        else if (strcmp(c->target, "/denied") == 0)
                fake_answer(c, 401, "", "{}");
        else if (strcmp(c->target, "/large") == 0)
                fake_answer(c, 200, "", "0123456789012345678901234567890123456789012345678901234567890123456789");
        else if (strcmp(c->target, "/cut") == 0)
                fake_cut(c);
        else if (strcmp(c->method, "PATCH") == 0)
                fake_answer(c, 200, "", c->body);
        else if (strcmp(c->target, "/watch") == 0)
                fake_stream(c);
}

static void on_done(void *arg, const struct api_reply *r)
{
        struct fix *f = arg;
        f->request = NULL;
        f->status = r->status;
        f->error = r->error;
        f->retry_after_ms = r->retry_after_ms;
        f->n_done++;
        (void)snprintf(f->why, sizeof f->why, "%s", r->why);
        if (r->body.n)
                (void)snprintf(f->got, sizeof f->got, "%.*s", SPAN_FMT(r->body));
        if (f->cancel_other)
                api_request_cancel(TAKE_PTR(f->other));
}
static void on_other(void *arg, const struct api_reply *r)
{
        struct fix *f = arg;
        f->other = NULL;
        f->n_other++;
}
/* Lines: takes whole ones; "stop" ends the request with -ECANCELED. */
static ptrdiff_t on_data(void *arg, struct span in)
{
        struct fix *f = arg;
        const uint8_t *end = memrchr(in.p, '\n', in.n);
        size_t n = end ? (size_t)(end - in.p) + 1 : 0, used = strlen(f->got);
        (void)snprintf(f->got + used, sizeof f->got - used, "%.*s", (int)n, (const char *)in.p);
        if (f->cancel_in_data)
                api_request_cancel(TAKE_PTR(f->request));
        return strstr(f->got, "stop") ? -ECANCELED : (ptrdiff_t)n;
}

static void call(struct fix *f, const char *method, const char *path, const char *body, bool stream, uint32_t deadline_ms)
{
        const struct api_call c = { .method = method, .path = path, .content_type = "application/merge-patch+json", .body = span_str(body),
                                    .deadline_ms = deadline_ms, .max_body = 64, .data = stream ? on_data : NULL, .done = on_done, .arg = f };
        f->got[0] = '\0';
        f->n_done = 0;
        assert_int_equal(api_call_start(f->c, &c, &f->request), 0);
}

static int setup(void **state)
{
        struct fix *f = calloc(1, sizeof *f);
        struct err e = { 0 };
        log_init("test", LOG_ERROR);
        f->l = loop_new();
        fake_api_init(&f->api, f->l, answer, f);
        (void)snprintf(f->server, sizeof f->server, "http://127.0.0.1:%u", f->api.port);
        f->k = (struct kubeconfig){ .server = f->server, .ca_file = "", .cert_file = "", .key_file = "", .token = "secret-1", .token_file = "",
                                    .tls_server_name = "", .proxy_url = "", .context = "" };
        assert_int_equal(api_client_new(f->l, &f->k, "test", &f->c, &e), 0);
        *state = f;
        return 0;
}
static int teardown(void **state)
{
        struct fix *f = *state;
        api_client_free(f->c);
        fake_api_fini(&f->api);
        loop_free(f->l);
        free(f);
        return 0;
}

static void test_bodies(void **state)
{
        struct fix *f = *state;
        call(f, "GET", "/one", "", false, 2000);
        WAIT(f, f->n_done);
        assert_int_equal(f->status, 200);
        assert_string_equal(f->got, "{\"a\":1}");
        assert_string_equal(f->authorization, "Bearer secret-1");
        call(f, "PATCH", "/x/status", "{\"b\":2}", false, 2000);
        WAIT(f, f->n_done);
        assert_string_equal(f->got, "{\"b\":2}");
        assert_string_equal(f->api.conns[0].content_type, "application/merge-patch+json");
        assert_int_equal(fake_api_count(&f->api, ""), 2);
        assert_int_equal(f->api.conns[1].f.fd, -1); /* one connection carried both */
}

static void test_failures(void **state)
{
        struct fix *f = *state;
        call(f, "GET", "/busy", "", false, 2000);
        WAIT(f, f->n_done);
        assert_int_equal(f->status, 429);
        assert_int_equal(f->retry_after_ms, 7000);
        assert_string_equal(f->why, "too many");
        call(f, "GET", "/large", "", false, 2000);
        WAIT(f, f->n_done);
        assert_int_equal(f->error, -E2BIG);
        call(f, "GET", "/cut", "", false, 2000);
        WAIT(f, f->n_done);
        assert_int_equal(f->error, -EIO);
        assert_true(*f->why);
        call(f, "GET", "/silent", "", false, 50);
        WAIT(f, f->n_done);
        assert_int_equal(f->error, -ETIMEDOUT);
}

static void test_streams(void **state)
{
        struct fix *f = *state;
        call(f, "GET", "/watch", "", true, 5000);
        WAIT(f, fake_api_find(&f->api, "/watch"));
        struct fake_conn *c = fake_api_find(&f->api, "/watch");
        fake_chunk(c, "one\ntw");
        WAIT(f, strcmp(f->got, "one\n") == 0);
        fake_chunk(c, "o\n");
        WAIT(f, strcmp(f->got, "one\ntwo\n") == 0);
        for (int i = 0; i < 20; i++) /* far more than max_body in all, never in one line */
                fake_chunk(c, "0123456789\n");
        WAIT(f, strlen(f->got) == 8 + 220);
        fake_end(c);
        WAIT(f, f->n_done);
        assert_int_equal(f->error, 0);
        call(f, "GET", "/watch", "", true, 5000);
        WAIT(f, fake_api_find(&f->api, "/watch"));
        fake_chunk(fake_api_find(&f->api, "/watch"), "stop\n");
        WAIT(f, f->n_done);
        assert_int_equal(f->error, -ECANCELED);
}

static void test_cancel(void **state)
{
        struct fix *f = *state;
        f->cancel_in_data = true;
        call(f, "GET", "/watch", "", true, 5000);
        WAIT(f, fake_api_find(&f->api, "/watch"));
        struct fake_conn *c = fake_api_find(&f->api, "/watch");
        fake_chunk(c, "one\n");
        WAIT(f, c->f.fd < 0);
        f->cancel_in_data = false;
        assert_null(f->request);
        assert_int_equal(f->n_done, 0);
        /* done() of one cancels another that waits */
        const struct api_call other = { .method = "GET", .path = "/silent", .deadline_ms = 3000, .max_body = 32, .done = on_other, .arg = f };
        assert_int_equal(api_call_start(f->c, &other, &f->other), 0);
        WAIT(f, fake_api_find(&f->api, "/silent"));
        f->cancel_other = true;
        call(f, "GET", "/one", "", false, 2000);
        WAIT(f, f->n_done && !fake_api_find(&f->api, "/silent"));
        assert_int_equal(f->n_other, 0);
        call(f, "GET", "/silent", "", false, 3000); /* and one is under way at the end */
}

static void put_token(const char *path, const char *token)
{
        FILE *o = fopen(path, "w");
        assert_non_null(o);
        fprintf(o, "%s\n", token);
        fclose(o);
}

static void test_token_file(void **state)
{
        struct fix *f = *state;
        char path[] = "/tmp/gh-token-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        put_token(path, "file-1");
        f->k.token_file = path;
        call(f, "GET", "/one", "", false, 2000);
        WAIT(f, f->n_done);
        assert_string_equal(f->authorization, "Bearer file-1");
        put_token(path, "file-2");
        call(f, "GET", "/denied", "", false, 2000);
        WAIT(f, f->n_done);
        assert_string_equal(f->authorization, "Bearer file-1"); /* read less than a minute ago */
        call(f, "GET", "/one", "", false, 2000);
        WAIT(f, f->n_done);
        assert_string_equal(f->authorization, "Bearer file-2"); /* 401 made us look again */
        unlink(path);
}

static void test_escape(void **state)
{
        struct buf b;
        buf_init(&b, 1024);
        url_escape(&b, span_str("a-Z_0.~/=+ &"));
        assert_string_equal(buf_cstr(&b), "a-Z_0.~%2F%3D%2B%20%26");
        buf_fini(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_bodies, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
                cmocka_unit_test_setup_teardown(test_streams, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
                cmocka_unit_test_setup_teardown(test_token_file, setup, teardown),
                cmocka_unit_test(test_escape),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
