/* tests/fuzz/image/config_blank_fuzz.c - bytes -> the same text without its secrets; and a recovery key as typed.
 * Holds: what is blank already stays as it is; a file that is valid is
 * valid without them, and has none of them then. */
#include "lib/base.h"

#include "image/core/config_blank.h"
#include "image/core/recovery.h"
#include "image/io/config_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_blank(const char *s)
{
        return !s || !*s || strcmp(s, CONFIG_SEALED) == 0; /* NULL: role shards has no agent */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct buf once, twice;
        struct config *c = NULL;
        struct err e;
        uint8_t key[RECOVERY_BYTES];
        char text[RECOVERY_TEXT_MAX];
        buf_init(&once, 4 * size + 64);
        buf_init(&twice, 4 * size + 64);
        size_t n = config_blank(SPAN(data, size), &once);
        BUG_ON(once.failed);
        BUG_ON(n == 0 && !span_eq(buf_span(&once), SPAN(data, size)));
        BUG_ON(config_blank(buf_span(&once), &twice) != 0 || !span_eq(buf_span(&once), buf_span(&twice)));
        if (config_load_text(SPAN(data, size), "fuzz", &c, &e) == 0) {
                config_free(c);
                BUG_ON(config_load_text(buf_span(&once), "fuzz", &c, &e) < 0);
                BUG_ON(!is_blank(c->agent.kubeconfig) || !is_blank(c->agent.manifests));
                for (size_t i = 0; i < c->n_neighbours; i++)
                        BUG_ON(!is_blank(c->neighbours[i].password));
                for (size_t i = 0; i < c->control.n_credentials; i++)
                        BUG_ON(!is_blank(c->control.credentials[i].key));
                config_free(c);
        }
        buf_fini(&once);
        buf_fini(&twice);
        if (recovery_parse(SPAN(data, size), key) == 0) {
                uint8_t back[RECOVERY_BYTES];
                recovery_text(key, text);
                BUG_ON(recovery_parse(span_str(text), back) < 0 || memcmp(key, back, sizeof key) != 0);
        }
        return 0;
}
