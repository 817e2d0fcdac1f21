/* tests/unit/agent/kubeconfig_test.c - kubeconfig files and service accounts: what is taken, what is refused and where. */
#include "lib/base.h"
#include "agent/io/kubeconfig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u}}\n- {name: b, context: {cluster: c, user: none}}\n"
#define CLUSTER(c) "clusters: [{name: c, cluster: {" c "}}]\n"
#define USER(u) "users: [{name: u, user: {" u "}}]\n"
#define SERVER "server: \"https://10.0.0.1:6443/\""

static const struct { const char *name, *text, *context, *want; /* NULL = loads; else part of the message */ } cases[] = {
        { "token", HEAD CLUSTER(SERVER) USER("token: abc"), "", NULL },
        { "certificate as data", HEAD CLUSTER(SERVER ", certificate-authority-data: Q0E=") USER("client-certificate-data: Q0VSVA==, client-key-data: S0VZ"), "", NULL },
        { "files", HEAD CLUSTER(SERVER ", certificate-authority: pki/ca.pem") USER("client-certificate: /abs/c.pem, client-key: k.pem, tokenFile: t"), "", NULL },
        { "nobody", HEAD CLUSTER(SERVER) USER(""), "", NULL },
        { "another context", HEAD CLUSTER(SERVER) USER("token: abc"), "b", "users has no entry named \"none\"" },
        { "unknown context", HEAD CLUSTER(SERVER) USER("token: abc"), "z", "contexts has no entry named \"z\"" },
        { "no current context", "contexts: []\n", "", "current-context is not set" },
        { "exec", HEAD CLUSTER(SERVER) USER("exec: {command: aws}"), "", "\"exec\" is not supported" },
        { "auth provider", HEAD CLUSTER(SERVER) USER("auth-provider: {name: gcp}"), "", "\"auth-provider\" is not supported" },
        { "password", HEAD CLUSTER(SERVER) USER("username: a, password: b"), "", "is not supported" },
        { "certificate without key", HEAD CLUSTER(SERVER) USER("client-certificate-data: Q0VSVA=="), "", "needs its key" },
        { "bad base64", HEAD CLUSTER(SERVER ", certificate-authority-data: \"!\"") USER(""), "", "must be base64" },
        { "token of two lines", HEAD CLUSTER(SERVER) USER("token: \"a\\r\\nX-Evil: 1\""), "", "visible ASCII" },
        { "server without scheme", HEAD CLUSTER("server: 10.0.0.1") USER(""), "", "must begin with https://" },
        { "insecure with a CA", HEAD CLUSTER(SERVER ", insecure-skip-tls-verify: true, certificate-authority-data: Q0E=") USER(""), "", "insecure-skip-tls-verify" },
        { "no YAML", "a: [", "", "" },
        { "empty", "", "", "one document" },
};

static void put(const char *path, const char *text)
{
        FILE *o = fopen(path, "w");
        assert_non_null(o);
        fputs(text, o);
        fclose(o);
}

static void test_cases(void **state)
{
        char dir[] = "/tmp/gh-kubeconfig-XXXXXX", path[64], want[80];
        assert_non_null(mkdtemp(dir));
        (void)snprintf(path, sizeof path, "%s/config", dir);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct kubeconfig *k = NULL;
                struct err e = { 0 };
                put(path, cases[i].text);
                int r = kubeconfig_load(path, cases[i].context, &k, &e);
                if ((r < 0) != (cases[i].want != NULL) || (r < 0 && (!strstr(e.msg, cases[i].want) || strncmp(e.place, path, strlen(path)) != 0)))
                        fail_msg("%s: %d %s: %s", cases[i].name, r, e.place, e.msg);
                if (r < 0)
                        continue;
                assert_string_equal(k->server, "https://10.0.0.1:6443");
                if (strcmp(cases[i].name, "token") == 0)
                        assert_string_equal(k->token, "abc");
                if (strcmp(cases[i].name, "certificate as data") == 0)
                        assert_true(span_eq_str(k->ca, "CA") && span_eq_str(k->cert, "CERT") && span_eq_str(k->key, "KEY"));
                if (strcmp(cases[i].name, "files") == 0) {
                        (void)snprintf(want, sizeof want, "%s/pki/ca.pem", dir);
                        assert_string_equal(k->ca_file, want);
                        assert_string_equal(k->cert_file, "/abs/c.pem");
                        (void)snprintf(want, sizeof want, "%s/t", dir);
                        assert_string_equal(k->token_file, want);
                }
                kubeconfig_free(k);
        }
        unlink(path);
        rmdir(dir);
}

static void test_pod(void **state)
{
        char dir[] = "/tmp/gh-kubeconfig-XXXXXX", ca[64], token[64];
        struct kubeconfig *k = NULL;
        struct err e = { 0 };
        assert_non_null(mkdtemp(dir));
        (void)snprintf(ca, sizeof ca, "%s/ca.crt", dir);
        (void)snprintf(token, sizeof token, "%s/token", dir);
        unsetenv("KUBERNETES_SERVICE_HOST");
        assert_int_equal(kubeconfig_of_pod(dir, &k, &e), -ENOENT);
        assert_non_null(strstr(e.msg, "kubernetes.kubeconfig"));
        setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
        setenv("KUBERNETES_SERVICE_PORT", "443", 1);
        put(ca, "CA");
        assert_int_equal(kubeconfig_of_pod(dir, &k, &e), -ENOENT);
        assert_string_equal(e.place, token);
        put(token, "t");
        assert_int_equal(kubeconfig_of_pod(dir, &k, &e), 0);
        assert_string_equal(k->server, "https://[fd00::1]:443");
        assert_string_equal(k->token_file, token);
        kubeconfig_free(k);
        unsetenv("KUBERNETES_SERVICE_HOST");
        unsetenv("KUBERNETES_SERVICE_PORT");
        unlink(ca);
        unlink(token);
        rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases), cmocka_unit_test(test_pod) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
