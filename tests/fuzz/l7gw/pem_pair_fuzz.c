/* tests/fuzz/l7gw/pem_pair_fuzz.c (requirement 60) - a chain, up to the first NUL, and a key, the rest.  Invariants: nothing past the end is
 * read; what proves a pair is there: a certificate's and a key's block; text before the blocks changes nothing. */
#include "lib/base.h"
#include "l7gw/core/pem_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char begin[] = "-----BEGIN CERTIFICATE-----", words[] = "notes\n";
        const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
        size_t n = nul ? (size_t)(nul - data) : size, rest = size - n - (nul ? 1 : 0);
        /* each in memory of its own size, so that a sanitizer sees the ends */
        char *chain = malloc(n + 1), *key = malloc(rest + 1), *noted = malloc(n + sizeof words);
        BUG_ON(!chain || !key || !noted);
        if (n)
                memcpy(chain, data, n);
        if (rest)
                memcpy(key, nul + 1, rest);
        memcpy(noted, words, sizeof words - 1);
        if (n)
                memcpy(noted + sizeof words - 1, data, n);
        bool match = pem_pair_matches(SPAN((uint8_t *)chain, n), SPAN((uint8_t *)key, rest));
        BUG_ON(match && (!memmem(chain, n, begin, sizeof begin - 1) || !memmem(key, rest, "PRIVATE KEY-----", 16)));
        BUG_ON(match != pem_pair_matches(SPAN((uint8_t *)noted, n + sizeof words - 1), SPAN((uint8_t *)key, rest)));
        free(chain);
        free(key);
        free(noted);
        return 0;
}
