/* tests/unit/image/gate_test.c - the health gate's rules: one good box, and one row per thing that may be wrong with it. */
#include "lib/base.h"

#include "image/core/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct gate_facts good(void)
{
        struct gate_facts f = {.configured = true, .data = true, .system = true, .agent = true, .ports = 3, .next_hops = 1, .next_hops_known = 1,
                               .packet = {.asked = 2, .good = 2}, .n_shards = 2};
        f.l4 = (struct gate_daemon){.name = "l4lb", .answers = true, .stored = true, .hash = "aa"};
        for (size_t i = 0; i < f.n_shards; i++) {
                struct gate_shard *s = &f.shards[i];
                *s = (struct gate_shard){.d = {.pool = "web", .answers = true, .stored = true, .hash = "bb"}, .listeners = 2, .bound = 2,
                                         .request = {.asked = 2, .good = 2}};
                snprintf(s->d.name, sizeof s->d.name, "web-%zu", i + 1);
        }
        return f;
}

/* Changes of the good box. */
static void fault(struct gate_facts *f) { snprintf(f->fault, sizeof f->fault, "health"); }
static void other_fault(struct gate_facts *f) { snprintf(f->fault, sizeof f->fault, "l4lb"); }
static void no_data(struct gate_facts *f) { f->data = false; }
static void no_system(struct gate_facts *f) { f->system = false; }
static void no_agent(struct gate_facts *f) { f->agent = false; }
static void no_l4(struct gate_facts *f) { f->l4.answers = false; }
static void port_gone(struct gate_facts *f) { f->ports_gone = 1; }
static void hop_silent(struct gate_facts *f) { f->next_hops_known = 0; }
static void hop_lost(struct gate_facts *f)
{
        f->next_hops_known = 0;
        f->expected.next_hops = true;
}
static void packet_lost(struct gate_facts *f) { f->packet.good = 1; }
static void packet_waits(struct gate_facts *f)
{
        f->packet.good = 1;
        f->packet.waiting = 1;
}
static void shard_dead(struct gate_facts *f) { f->shards[1].d.answers = false; }
static void not_bound(struct gate_facts *f) { f->shards[1].bound = 1; }
static void no_answer(struct gate_facts *f) { f->shards[1].request.good = 1; }
static void differ(struct gate_facts *f) { f->shards[1].d.hash[0] = 'c'; }
static void other_pool(struct gate_facts *f)
{
        differ(f);
        f->shards[1].d.pool[0] = 'x';
}
static void shard_empty(struct gate_facts *f) { f->shards[1].d.hash[0] = '\0'; }
static void shard_new(struct gate_facts *f)
{
        shard_empty(f);
        f->shards[1].d.stored = false;
}
static void shard_expected(struct gate_facts *f)
{
        shard_new(f);
        f->expected.serving = true;
}
static void far(struct gate_facts *f) /* shards alone: what is another box's is nobody's fault */
{
        f->far = true;
        f->agent = false;
        f->l4 = (struct gate_daemon){.name = "l4lb"};
}
static void far_dead(struct gate_facts *f)
{
        far(f);
        shard_dead(f);
}
static void unconfigured(struct gate_facts *f) { *f = (struct gate_facts){.data = true, .system = true}; }
static void unconfigured_no_data(struct gate_facts *f) { *f = (struct gate_facts){.system = true}; }

static void rules(void **state)
{
        static const struct {
                const char *name;
                void (*change)(struct gate_facts *f);
                enum gate_result want;
                const char *check; /* the first that is not good */
        } rows[] = {
                {"all is well", NULL, GATE_GOOD, NULL},
                {"a fault is injected", fault, GATE_BAD, "fault"},
                {"another fault shows by itself", other_fault, GATE_GOOD, NULL},
                {"no data partition", no_data, GATE_BAD, "data"},
                {"no system socket", no_system, GATE_BAD, "system"},
                {"no agent", no_agent, GATE_BAD, "agent"},
                {"l4lb does not answer", no_l4, GATE_BAD, "l4lb"},
                {"a port is gone", port_gone, GATE_BAD, "ports"},
                {"the router is silent", hop_silent, GATE_WAIT, "next hops"},
                {"the router is silent, and was not before", hop_lost, GATE_BAD, "next hops"},
                {"a packet reaches no shard", packet_lost, GATE_BAD, "packet"},
                {"a service has no endpoints", packet_waits, GATE_WAIT, "packet"},
                {"a shard does not answer", shard_dead, GATE_BAD, "web-2"},
                {"a listener is not bound", not_bound, GATE_BAD, "web-2 listeners"},
                {"a request is not answered", no_answer, GATE_BAD, "web-2 request"},
                {"shards of a pool differ", differ, GATE_WAIT, "configuration"},
                {"shards of two pools differ", other_pool, GATE_GOOD, NULL},
                {"a shard forgot its configuration", shard_empty, GATE_BAD, "web-2"},
                {"a shard has had none yet", shard_new, GATE_WAIT, "web-2"},
                {"a shard has none, but the image before had", shard_expected, GATE_BAD, "web-2"},
                {"shards alone", far, GATE_GOOD, NULL},
                {"shards alone, one does not answer", far_dead, GATE_BAD, "web-2"},
                {"no configuration yet", unconfigured, GATE_GOOD, NULL},
                {"no configuration, no data partition", unconfigured_no_data, GATE_BAD, "data"},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct gate_facts f = good();
                const struct gate_check *first = NULL;
                struct gate g;
                if (rows[i].change)
                        rows[i].change(&f);
                gate_judge(&f, &g);
                enum gate_result r = gate_result(&g, &first);
                if (r != rows[i].want || (rows[i].check && (!first || strcmp(first->name, rows[i].check) != 0)))
                        fail_msg("%s: %d, %s", rows[i].name, (int)r, first ? first->name : "");
        }
}

static void expectations(void **state)
{
        struct gate_facts f = good();
        (void)state;
        assert_true(gate_expect(&f).serving && gate_expect(&f).next_hops);
        f.next_hops_known = 0;
        assert_false(gate_expect(&f).next_hops);
        shard_empty(&f);
        assert_false(gate_expect(&f).serving);
        unconfigured(&f);
        assert_false(gate_expect(&f).serving || gate_expect(&f).next_hops);
}

/* As many shards as a box may have, all of them wrong: there is room for every check. */
static void room_for_all(void **state)
{
        struct gate_facts f = good();
        struct gate g;
        (void)state;
        f.n_shards = IMAGE_MAX_SHARDS;
        for (size_t i = 0; i < f.n_shards; i++) {
                f.shards[i] = f.shards[0];
                f.shards[i].bound = 0;
        }
        fault(&f);
        gate_judge(&f, &g);
        assert_int_equal(gate_result(&g, NULL), GATE_BAD);
        assert_in_range(g.n, 3 * IMAGE_MAX_SHARDS + 1, GATE_CHECKS_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(rules), cmocka_unit_test(expectations), cmocka_unit_test(room_for_all)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
