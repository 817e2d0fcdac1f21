/* tests/packet/l4_core_test.c - the fixtures of l4_rows.c on the pure core: each row whole, and cut at every length (as a
 * short frame, and as the first segment of a longer one).  `l4_core_test --seeds DIR` writes the rows as corpus of the
 * pipeline fuzz target instead. */
#include "lib/base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "l4lb/core/wire.h"
#include "tests/packet/l4_rows.h"
#include "tests/unit/l4lb/frame.h"
#include "tests/unit/l4lb/world.h"

#define FLOWS 256
#define ROOM 64 /* what io leaves behind a frame */
#define HEAD 64 /* and before it */

static struct world *world;
static size_t n_failed; /* rows that failed so far: a run shows them all */

static void fail_row(const struct l4_row *r, const char *what, const struct pkt *p, const uint8_t *want,
                     size_t want_len)
{
        char hex[4 * 512];
        frame_hex(p->p, MIN(p->len, 200u), hex, sizeof hex);
        print_message("row \"%s\": %s\n  in: %s\n  verdict %s, wanted %s, out port %u\n%s\n", r->name, what, r->in,
                      verdict_name((enum l4_verdict)p->verdict), verdict_name(r->verdict), p->out_port, hex);
        if (want) {
                frame_hex(want, MIN(want_len, (size_t)200), hex, sizeof hex);
                print_message("wanted:\n%s\n", hex);
        }
        n_failed++;
}

/* "@N frame": the port, and *s moves to the frame. */
static uint8_t row_port(const struct l4_row *r, char **s)
{
        if (**s != '@')
                return r->in_port;
        uint8_t port = (uint8_t)((*s)[1] - '0');
        *s += 3;
        return port;
}

static void run_before(const struct l4_row *r)
{
        char *copy = strdup(r->before ? r->before : ""), *s = copy;
        assert_non_null(copy);
        while (s && *s) {
                char *end = strstr(s, " ;; ");
                uint8_t f[HEAD + FRAME_MAX + ROOM];
                struct pkt p;
                if (end)
                        *end = 0;
                uint8_t port = row_port(r, &s);
                size_t n = frame_make(s, world->net.ports[port].mac, f + HEAD);
                world_run(world, port, f + HEAD, n, n, n + ROOM, &p);
                assert_int_equal(verdict_kind(p.verdict), VERDICT_KIND_TX);
                s = end ? end + 4 : NULL;
        }
        free(copy);
}

/* Between an uplink and the kernel nothing changes. */
static void check_kernel(const struct l4_row *r, const struct pkt *p, const uint8_t *in, size_t in_len)
{
        if (p->len != in_len || memcmp(p->p, in, in_len) != 0)
                fail_row(r, "a frame to or from the kernel changed", p, in, in_len);
        if (p->out_port != (r->verdict == FORWARD_KERNEL ? 4 : 3))
                fail_row(r, "wrong port", p, NULL, 0);
}

/* What a tunnel makes of the flow's hash: in its range, and not written in rows. */
static void entropy_blank(uint8_t *f, size_t len, bool check)
{
        uint8_t *ip = f + ETH_LEN;
        bool v4 = get_u16(f + 12) == ETHERTYPE_IPV4;
        uint8_t *udp = ip + (v4 ? IPV4_LEN : IPV6_LEN), proto = v4 ? ip[9] : ip[6];
        if (len < ETH_LEN + IPV6_LEN + UDP_LEN)
                return;
        if (!v4)
                set_u16(ip + 2, 0), ip[1] &= 0xf0;
        if (proto != PROTO_UDP)
                return;
        if (check)
                assert_true(get_u16(udp) >= 49152);
        set_u16(udp, 0);
}

/* Where a forwarded frame must go: the MACs of the port and of somebody who is behind it. */
static void check_forward(const struct l4_row *r, const struct pkt *p, const uint8_t *in, size_t in_len)
{
        const uint8_t *next = p->out_port == 0 ? world_router_mac : world_shard_macs[p->out_port - 1];
        bool to_shard = r->verdict == FORWARD_SHARD;
        if (p->len != in_len || memcmp(p->p + 12, in + 12, in_len - 12) != 0)
                fail_row(r, "a forwarded frame changed beyond its MACs", p, in, in_len); /* out of a tunnel: its hop and ECN too */
        if (to_shard ? p->out_port != 1 && p->out_port != 2 : p->out_port != 0)
                fail_row(r, "wrong port", p, NULL, 0);
        if (memcmp(p->p, next, 6) != 0 || memcmp(p->p + 6, world->net.ports[p->out_port].mac, 6) != 0)
                fail_row(r, "wrong MAC addresses", p, NULL, 0);
}

static void check_row(const struct l4_row *r)
{
        uint8_t in[FRAME_MAX], room[HEAD + FRAME_MAX + ROOM], out[FRAME_MAX], *f = room + HEAD;
        struct pkt p;
        world_reset_worker(world, FLOWS);
        run_before(r);
        size_t n = frame_make(r->in, world->net.ports[r->in_port].mac, in);
        memcpy(f, in, n);
        world_run(world, r->in_port, f, n, n, n + ROOM, &p);
        if (p.verdict != r->verdict)
                fail_row(r, "wrong verdict", &p, NULL, 0);
        bool opened = p.rx_flags & PKT_DECAPSULATED;
        if (opened && p.verdict == FORWARD_SHARD && r->out) {
                size_t n_out = frame_make(r->out, world->net.ports[r->in_port].mac, out);
                check_forward(r, &p, out, n_out);
        } else if (r->out) {
                size_t n_out = frame_make(r->out, world->net.ports[r->in_port].mac, out);
                if (p.verdict == FORWARD_TUNNEL) {
                        entropy_blank(out, n_out, false);
                        entropy_blank(p.p, p.len, true);
                }
                if (p.len != n_out || p.wire_len != n_out || memcmp(p.p, out, n_out) != 0)
                        fail_row(r, "wrong frame out", &p, out, n_out);
                uint8_t want = p.verdict == FORWARD_NAT ? WORLD_BACKENDS : p.verdict == FORWARD_NAT_RETURN || p.verdict == FORWARD_TUNNEL ? 0 : r->in_port;
                if (p.out_port != want)
                        fail_row(r, "wrong port", &p, NULL, 0);
        } else if (p.verdict == FORWARD_KERNEL || p.verdict == FORWARD_WIRE) {
                check_kernel(r, &p, in, n);
        } else if (p.verdict == FORWARD_NAT || p.verdict == FORWARD_NAT_RETURN) { /* a checksum that cannot be written down */
                if (p.out_port != (p.verdict == FORWARD_NAT ? WORLD_BACKENDS : 0))
                        fail_row(r, "wrong port", &p, NULL, 0);
        } else if (verdict_kind(p.verdict) == VERDICT_KIND_TX) {
                check_forward(r, &p, in, n);
        } else if (!opened && (p.len != n || memcmp(p.p, in, n) != 0)) {
                fail_row(r, "a frame that is not sent changed", &p, in, n);
        }
}

static void check_cuts(const struct l4_row *r)
{
        uint8_t in[FRAME_MAX];
        size_t n = frame_make(r->in, world->net.ports[r->in_port].mac, in);
        for (size_t cut = 0; cut <= n; cut++)
                for (int segmented = 0; segmented < 2; segmented++) {
                        size_t cap = cut; /* exact: a byte too far is seen by the sanitizer */
                        uint8_t *room = malloc(HEAD + cap), *f = room + HEAD;
                        struct pkt p;
                        assert_non_null(room);
                        memcpy(f, in, cut);
                        world_run(world, r->in_port, f, cut, segmented ? n : cut, cap, &p);
                        if (p.verdict == VERDICT_NONE || p.verdict >= VERDICT_N)
                                fail_row(r, "no verdict when cut", &p, NULL, 0);
                        if (p.len > p.cap)
                                fail_row(r, "longer than its room when cut", &p, NULL, 0);
                        free(room);
                }
}

static void test_rows(void **state)
{
        (void)state;
        n_failed = 0;
        for (size_t i = 0; i < l4_n_rows; i++)
                check_row(&l4_rows[i]);
        assert_int_equal(n_failed, 0);
}

static void test_cuts(void **state)
{
        (void)state;
        n_failed = 0;
        world_reset_worker(world, FLOWS);
        for (size_t i = 0; i < l4_n_rows; i++)
                check_cuts(&l4_rows[i]);
        assert_int_equal(verdicts_sum(&world->worker.verdicts), metric_get(&world->worker.verdicts.received));
        assert_true(flow_table_check(&world->worker.flows));
        assert_int_equal(n_failed, 0);
}

/* Every verdict that a frame alone can cause has a row; the rest are named here with the test that has them. */
static void test_all_verdicts_have_rows(void **state)
{
        static const enum l4_verdict elsewhere[] = {
                DROP_RATE_LIMITED, DROP_NO_NEIGHBOUR, DROP_NO_TABLES, DROP_KERNEL_LIMIT, /* pipeline_test: need a state of the world */
                DROP_NAT_PORTS, DROP_FLOWS_FULL, HAND_OVER, /* nat_test: too */
                DROP_TUNNEL_ROOM, /* tunnel_test */
                DROP_TX_FULL, DROP_PUNT_FULL,               /* io */
        };
        (void)state;
        for (unsigned v = 1; v < VERDICT_N; v++) {
                bool found = false;
                for (size_t i = 0; i < l4_n_rows; i++)
                        found |= l4_rows[i].verdict == v;
                for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
                        found |= elsewhere[i] == v;
                if (!found)
                        print_message("no row for %s\n", verdict_name((enum l4_verdict)v));
                assert_true(found);
        }
}

/* A burst of all rows at once: as many verdicts as packets, and the same verdict as alone for rows without history. */
static void test_burst(void **state)
{
        (void)state;
        static uint8_t rooms[L4_MAX_BURST][HEAD + FRAME_MAX + ROOM];
        struct pkt p[L4_MAX_BURST];
        n_failed = 0;
        for (size_t from = 0; from < l4_n_rows; from += L4_MAX_BURST) {
                size_t n = MIN(l4_n_rows - from, (size_t)L4_MAX_BURST);
                world_reset_worker(world, FLOWS);
                for (size_t i = 0; i < n; i++) {
                        const struct l4_row *r = &l4_rows[from + i];
                        uint8_t *f = rooms[i] + HEAD;
                        uint32_t len = (uint32_t)frame_make(r->in, world->net.ports[r->in_port].mac, f);
                        p[i] = (struct pkt){
                                .p = f, .head = HEAD, .len = len, .wire_len = len, .cap = len + ROOM, .in_port = r->in_port
                        };
                }
                pipeline_run(&world->worker, world->tables, world->now_ms, p, n);
                verdicts_count(&world->worker.verdicts, p, n);
                assert_int_equal(verdicts_sum(&world->worker.verdicts), n);
                for (size_t i = 0; i < n; i++)
                        if (!l4_rows[from + i].before && l4_rows[from + i].verdict != DROP_FRAGMENT_UNKNOWN &&
                            p[i].verdict != l4_rows[from + i].verdict)
                                fail_row(&l4_rows[from + i], "another verdict in a burst", &p[i], NULL, 0);
        }
        assert_int_equal(n_failed, 0);
}

static void write_record(FILE *o, const struct l4_row *r, char *text) /* a record of pipeline_fuzz.c */
{
        uint8_t f[FRAME_MAX], port = row_port(r, &text);
        size_t n = frame_make(text, world->net.ports[port].mac, f);
        uint8_t head[3] = { (uint8_t)((port & 3) | (port & 4) << 5), (uint8_t)(n >> 8), (uint8_t)n };
        fwrite(head, 1, sizeof head, o);
        fwrite(f, 1, n, o);
}

static int write_seeds(const char *dir)
{
        for (size_t i = 0; i < l4_n_rows; i++) {
                const struct l4_row *r = &l4_rows[i];
                char path[512], before[1024], in[1024];
                snprintf(path, sizeof path, "%s/row-%03zu", dir, i);
                FILE *o = fopen(path, "wb");
                if (!o)
                        return 1;
                snprintf(before, sizeof before, "%s", r->before ? r->before : "");
                for (char *b = before, *end; *b; b = end ? end + 4 : b + strlen(b)) {
                        end = strstr(b, " ;; ");
                        if (end)
                                *end = 0;
                        write_record(o, r, b);
                }
                snprintf(in, sizeof in, "%s", r->in);
                write_record(o, r, in);
                fclose(o);
        }
        return 0;
}

int main(int argc, char **argv)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_cuts),
                cmocka_unit_test(test_burst),
                cmocka_unit_test(test_all_verdicts_have_rows),
        };
        world = world_new(FLOWS);
        world->head = HEAD;
        int r = argc == 3 && strcmp(argv[1], "--seeds") == 0
                        ? write_seeds(argv[2])
                        : cmocka_run_group_tests_name("l4_core", tests, NULL, NULL);
        world_free(world);
        return r;
}
