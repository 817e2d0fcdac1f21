/* lib/io/random.c - see random.h. */
#include "lib/base.h"
#include "lib/io/random.h"

#include "lib/core/map.h"

#include <sys/random.h>

int random_fill(void *p, size_t n)
{
        uint8_t *at = p;
        while (n) {
                ssize_t r = getrandom(at, n, 0);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r > 0) {
                        at += r;
                        n -= (size_t)r;
                }
        }
        return 0;
}

void map_seed_random(void)
{
        struct siphash_key k;
        int r = random_fill(&k, sizeof k);
        BUG_ON(r < 0);
        map_seed(&k);
}
