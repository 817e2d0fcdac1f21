/* image/core/gate.h - the health gate's judgement: facts about a boot in, checks out.  Layer: image/core, pure.
 * What a box must show before its image is blessed.  Facts are gathered by image/io/gate_facts.h, again and again until
 * all is well or the time is over.
 *
 * Rules: what does not depend on this box is no reason to fail (an API server, endpoints, a cable), unless it worked
 * under the image before (`expected`): then the update is the likeliest cause, and going back costs nothing.  Thread
 * rule: values. */
#pragma once
#include "image/core/limits.tbl.h"
#include "lib/base.h"

#define GATE_NAME_MAX 64
#define GATE_DETAIL_MAX 160
#define GATE_CHECKS_MAX (10 + 3 * IMAGE_MAX_SHARDS)

struct gate_daemon { /* l4lb, or a shard */
        char name[GATE_NAME_MAX], pool[GATE_NAME_MAX];
        bool answers, stored; /* stored: it has a last known good */
        char hash[65];        /* of what it serves, "" = nothing */
        char error[GATE_DETAIL_MAX];
};
struct gate_try {                      /* the synthetic packet, or a request */
        unsigned asked, good, waiting; /* waiting: fails for a reason outside of the box, such as no endpoint */
        char error[GATE_DETAIL_MAX];   /* of the first that failed */
};
struct gate_shard {
        struct gate_daemon d;
        unsigned listeners, bound;
        struct gate_try request;
};
struct gate_facts {
        char fault[32];
        bool configured, far; /* far: shards alone; load balancer and agent are another box's */
        bool locked; /* the secrets cannot be read; locked_why says how come */
        char locked_why[GATE_DETAIL_MAX];
        bool data; /* the data partition is mounted and can be written */
        bool system, agent;
        char system_error[GATE_DETAIL_MAX], agent_error[GATE_DETAIL_MAX];
        struct gate_daemon l4;
        unsigned ports, ports_gone, next_hops, next_hops_known;
        struct gate_try packet;
        struct gate_shard shards[IMAGE_MAX_SHARDS];
        size_t n_shards;
        struct gate_expected { /* what the image before had when it passed */
                bool serving, next_hops;
        } expected;
};
enum gate_result {
        GATE_GOOD,
        GATE_WAIT,
        GATE_BAD
}; /* WAIT: good enough once the time is over, such as no agent's word yet */
struct gate_check {
        char name[GATE_NAME_MAX];
        enum gate_result result;
        char detail[GATE_DETAIL_MAX];
};
struct gate {
        struct gate_check v[GATE_CHECKS_MAX];
        size_t n;
};
void gate_judge(const struct gate_facts *f, struct gate *ret) NONNULL(1, 2);
/* The worst result; *ret_first (may be NULL) is the first check that has it. */
enum gate_result gate_result(const struct gate *g, const struct gate_check **ret_first) NONNULL(1);
/* What the next image has to live up to. */
struct gate_expected gate_expect(const struct gate_facts *f) NONNULL(1);
