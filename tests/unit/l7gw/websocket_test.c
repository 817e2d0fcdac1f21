/* tests/unit/l7gw/websocket_test.c - the keys of the WebSocket handshake. */
#include "lib/base.h"
#include "l7gw/core/websocket.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_accept(void **state)
{
        static const struct {
                const char *name, *key, *want;
        } cases[] = {
                {"RFC 6455 1.3", "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
                {"RFC 6455 4.2.2: empty", "", "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w="},
                {"RFC 3174: two blocks", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "8HfwWs1s8LbcYVpXxbhngE4qbHA="},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char got[WS_ACCEPT_N + 1] = "";
                websocket_accept(span_str(cases[i].key), got);
                if (strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: %s", cases[i].name, got);
        }
}

static void test_key(void **state)
{
        char got[WS_KEY_N + 1] = "";
        (void)state;
        websocket_key((const uint8_t *)"the sample nonce", got);
        assert_string_equal(got, "dGhlIHNhbXBsZSBub25jZQ==");
}

static void test_long(void **state) /* whatever a client calls its key */
{
        static uint8_t key[5000];
        char got[WS_ACCEPT_N];
        (void)state;
        websocket_accept(SPAN(key, sizeof key), got);
        assert_int_equal(got[WS_ACCEPT_N - 1], '=');
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_accept), cmocka_unit_test(test_key),
                                           cmocka_unit_test(test_long)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
