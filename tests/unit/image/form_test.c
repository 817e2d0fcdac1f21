/* tests/unit/image/form_test.c - conversations with the console form, byte by byte; what it writes is read back by the
 * strict reader.  And the status page: what it shows of hostile text. */
#include "lib/base.h"
#include "image/core/form.h"
#include "image/core/page.h"
#include "image/io/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct form_nic nics[] = {{"ens3", "52:54:00:12:34:01", "up 10.0.2.15"}, {"ens4", "52:54:00:12:34:02", "up"}};

struct talk {
        struct form *f;
        struct buf out;
        enum form_rc rc;
};

static void begin(struct talk *t)
{
        t->f = form_new(nics, ARRAY_SIZE(nics));
        buf_init(&t->out, 1 << 20);
        form_begin(t->f, &t->out);
        t->rc = FORM_MORE;
}

static void type(struct talk *t, const char *text)
{
        for (; *text && t->rc == FORM_MORE; text++) /* byte by byte: nothing may depend on how a terminal cuts */
                t->rc = form_input(t->f, SPAN(text, 1), &t->out);
}

static void end(struct talk *t)
{
        form_free(t->f);
        buf_fini(&t->out);
}

static void said(struct talk *t, const char *part)
{
        if (!strstr(buf_cstr(&t->out), part))
                fail_msg("not said: \"%s\" in:\n%s", part, buf_cstr(&t->out));
        buf_reset(&t->out);
}

static struct config *result(struct talk *t)
{
        struct config *c = NULL;
        struct err e = {0};
        if (t->rc != FORM_DONE)
                fail_msg("not done: %s", buf_cstr(&t->out));
        if (config_load_text(form_result(t->f), "form", &c, &e) < 0)
                fail_msg("%s: %s in\n%.*s", e.place, e.msg, SPAN_FMT(form_result(t->f)));
        return c;
}

static void dhcp_and_kubernetes(void **state)
{
        struct talk t;
        (void)state;
        begin(&t);
        said(&t, "2  ens4         52:54:00:12:34:02  up");
        type(&t, "edge-7\r\n\r\r\r192.0.2.2/24\r192.0.2.1\r198.51.100.0/26\r3\r\r");
        said(&t, "Paste the kubeconfig");
        type(&t, "apiVersion: v1\r\nusers: [{name: \"a\\b\"}]\r\n.\r\n");
        said(&t, "3");
        type(&t, "\r");
        struct config *c = result(&t);
        assert_string_equal(c->name, "edge-7");
        assert_string_equal(c->management.nic.text, "52:54:00:12:34:01");
        assert_true(c->management.dhcp4);
        assert_string_equal(c->data[0].nic.text, "52:54:00:12:34:02");
        assert_int_equal(c->n_routes, 1);
        assert_int_equal(config_shards(c), 3);
        assert_string_equal(c->agent.kubeconfig, "apiVersion: v1\nusers: [{name: \"a\\b\"}]\n");
        config_free(c);
        end(&t);
}

static void static_and_directory(void **state)
{
        struct talk t;
        (void)state;
        begin(&t);
        type(&t, "\rens3\r10.0.0.5/24\r10.0.0.1\r10.0.0.53\r0000:00:05.0\r2001:db8::2/64\r2001:db8::1\r2001:db8:10::/64\r1\rdirectory\r");
        said(&t, "Paste the manifests");
        type(&t, "kind: A\r.\ryes\r");
        struct config *c = result(&t);
        assert_string_equal(c->name, "edge-1");
        assert_int_equal(c->management.gateway4.b[3], 1);
        assert_false(c->management.dhcp4);
        assert_int_equal(c->n_dns, 1);
        assert_int_equal(c->routes[0].prefix.addr.af, 6);
        assert_int_equal(c->agent.source, SOURCE_DIRECTORY);
        config_free(c);
        end(&t);
}

static void complaints(void **state)
{
        static const struct {
                const char *typed, *want;
        } cases[] = {
                {"a b\r", "letters, digits"},
                {"\r9\r", "no NIC of that number"},
                {"\rens/3\r", "not a MAC address"},
                {"\r\r10.0.0.5\r", "not ADDRESS/LENGTH"},
                {"\r\r10.0.0.5/24\r10.0.0\r", "not an IP address"},
                {"\r\r\r1\r", "that is the management NIC"},
                {"\r\r\r\r10.0.0.5/24\r\r198.51.100.9/26\r", "a network is meant"},
                {"\r\r\r\r10.0.0.5/24\r\r198.51.100.0/26\r33\r", "1 to 32"},
                {"\r\r\r\r10.0.0.5/24\r\r198.51.100.0/26\r\retcd\r", "kubernetes or directory"},
                {"\r\r\r\r10.0.0.5/24\r\r198.51.100.0/26\r\r\r.\r", "Nothing was pasted"},
                {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r", "too long"},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct talk t;
                begin(&t);
                type(&t, cases[i].typed);
                assert_int_equal(t.rc, FORM_MORE);
                said(&t, cases[i].want);
                end(&t);
        }
}

static void editing(void **state)
{
        struct talk t;
        (void)state;
        begin(&t);
        type(&t, "edgx\x7f" "e\x15" "node\x1b\x01-1\r"); /* backspace, a line thrown away, control characters ignored */
        said(&t, "\b \b");
        type(&t, "<\r");
        said(&t, "Name of this appliance [node-1]: ");
        type(&t, "\r\r10.0.0.5/24\r<\r");
        said(&t, "dhcp [10.0.0.5/24]: ");
        type(&t, "dhcp\r"); /* gateway and DNS are not asked then */
        said(&t, "Data NIC");
        end(&t);
}

static void no_starts_over_and_refusal_keeps_answers(void **state)
{
        struct talk t;
        (void)state;
        begin(&t);
        type(&t, "n1\r\r\r\r192.0.2.2/24\r\r198.51.100.0/26\r\rdirectory\rkind: A\r.\rno\r");
        assert_int_equal(t.rc, FORM_MORE);
        said(&t, "Name of this appliance [n1]: ");
        type(&t, "\r\r\r\r\r\r\r\r\rkind: A\r.\r\r");
        assert_int_equal(t.rc, FORM_DONE);
        form_refused(t.f, "gatehouse.cfg:7\033[2J: bad", &t.out);
        said(&t, "Refused: gatehouse.cfg:7?[2J: bad");
        t.rc = FORM_MORE;
        type(&t, "\r\r\r\r\r\r\r\r\rkind: B\r.\r\r");
        struct config *c = result(&t);
        assert_string_equal(c->name, "n1");
        assert_string_equal(c->agent.manifests, "kind: B\n");
        config_free(c);
        end(&t);
}

static void too_much_is_told(void **state)
{
        struct talk t;
        (void)state;
        begin(&t);
        type(&t, "\r\r\r\r10.0.0.5/24\r\r198.51.100.0/26\r\r\r");
        char *line = malloc(70001);
        assert_non_null(line);
        memset(line, 'x', 70000);
        line[70000] = '\0';
        type(&t, line);
        type(&t, "\r.\r");
        said(&t, "That is too long");
        assert_int_equal(t.rc, FORM_MORE);
        free(line);
        end(&t);
}

static void page_shows_no_control_characters(void **state)
{
        struct page p = {.n = 0};
        struct buf out;
        (void)state;
        buf_init(&out, 1 << 16);
        page_add(&p, "Refused", "a\033[2Jb\r\nc", true);
        for (int i = 0; i < 60; i++)
                page_add(&p, "NIC", "0123456789012345678901234567890123456789012345678901234567890123456789", false);
        page_render(&p, "Gatehouse\a", 40, 12, &out);
        const char *text = buf_cstr(&out);
        assert_non_null(strstr(text, "\033[31ma?[2Jb??c\033[0m"));
        assert_non_null(strstr(text, "Gatehouse?"));
        size_t lines = 0;
        for (const char *s = text; (s = strstr(s, "\r\n")); s += 2)
                lines++;
        assert_true(lines < 12);
        assert_null(strstr(text, "012345678901234567890123456")); /* cut at the edge */
        buf_fini(&out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(dhcp_and_kubernetes),
                cmocka_unit_test(static_and_directory),
                cmocka_unit_test(complaints),
                cmocka_unit_test(editing),
                cmocka_unit_test(no_starts_over_and_refusal_keeps_answers),
                cmocka_unit_test(too_much_is_told),
                cmocka_unit_test(page_shows_no_control_characters),
        };
        return cmocka_run_group_tests_name("image-form", tests, NULL, NULL);
}
