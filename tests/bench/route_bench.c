/* tests/bench/route_bench.c - time of one route lookup with 10, 1,000 and 10,000 routes: requests parsed before, taken in a
 * scattered order, so that tables larger than the caches show.  Prints the best of the rounds.
 *   hot: 10 of the paths again and again     scattered: all of them in turn, a stride apart */
#include "lib/base.h"
#include "tests/unit/l7gw/route_rows.h"
#include <time.h>

enum { MAX = 10000, ROUNDS = 40, LOOKUPS = 10000 };
static struct world w;
static struct row rows[MAX];
static char text[MAX][48];
static struct msg reqs[MAX];

static double now_ns(void)
{
        struct timespec t;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds per request for reading what a lookup reads of it: a real request has just been parsed and is warm. */
static double touch(size_t span)
{
        double least = 1e18;
        unsigned sum = 0;
        for (int r = 0; r < ROUNDS; r++) {
                double t = now_ns();
                for (size_t i = 0; i < LOOKUPS; i++) {
                        const struct msg *m = &reqs[i * 7919 % span];
                        for (size_t k = 0; k < m->path.n; k += 16)
                                sum += m->path.p[k];
                        sum += m->host.p[0] + m->method.p[0];
                }
                least = MIN(least, (now_ns() - t) / LOOKUPS);
                __asm__ volatile("" ::"r"(sum)); /* so that the reads are not optimised away */
        }
        return least;
}

/* Nanoseconds per lookup over `span` of the requests. */
static double best(size_t span)
{
        double least = 1e18;
        for (int r = 0; r < ROUNDS; r++) {
                struct route_hit hit;
                double t = now_ns();
                for (size_t i = 0; i < LOOKUPS; i++) {
                        const struct msg *m = &reqs[i * 7919 % span];
                        const struct route_listener *l = route_listener_find(&w.table->binds[0], m->host);
                        if (route_find(l, m, &hit) != ROUTE_FOUND)
                                abort();
                }
                least = MIN(least, (now_ns() - t) / LOOKUPS);
        }
        return least;
}

int main(void)
{
        static const size_t sizes[] = { 10, 1000, MAX };
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
                size_t n = sizes[s];
                world_init(&w);
                for (size_t i = 0; i < n; i++) {
                        snprintf(text[i], sizeof text[i], "/team-%zu/service-%zu/v1", i % 97, i);
                        rows[i] = (struct row){ "", "", i % 2 ? '^' : '=', text[i], .rule = text[i] };
                }
                rows_add(&w, rows, n);
                world_must_build(&w);
                for (size_t i = 0; i < n; i++)
                        request_parse(&w.arena, arena_printf(&w.arena, "GET %s HTTP/1.1\r\nHost: h\r\n", text[i]), &reqs[i]);
                printf("routes %5zu: hot %.0f ns, scattered %.0f ns, of which %.0f ns are the request's own bytes\n", n, best(10), best(n), touch(n));
                world_fini(&w);
        }
        return 0;
}
