/* tests/unit/lib/scripted_agent.h - a data plane that only notes what it is told, and the agent it talks to, line by
 * line. Both live in one loop; the socket between them is real. */
#pragma once
#include "tests/unit/lib/fixture.h"

#include "lib/core/frame.h"
#include "lib/io/dpclient.h"
#include "lib/io/transport.h"

#define WAIT_TURNS 4000 /* a turn waits at most 5 ms: 20 s before a test gives up */

struct bench { /* the agent's side, and what the data plane was told */
        struct loop *loop;
        char dir[64], sock[96], state[96];
        char first_sock[96]; /* of an agent the data plane asks before this one; "" = none */
        struct transport_listener *listener;
        struct transport *agent;
        unsigned connections, closed;
        /* last frames from the data plane */
        unsigned n[FRAME_TYPE_N];
        Control__Hello *hello;
        Control__Need *need;
        Control__Nack *nack;
        Control__Active *active;
        Control__Status *status;
        /* the data plane */
        struct dpclient *dp;
        unsigned prepared, activated, aborted, endpoints;
        const struct model *pending, *current;
        const char *refuse; /* prepare refuses with this */
        uint64_t refuse_generation; /* and this one always */
        Control__Limits limits; /* announced */
        size_t n_health, n_down; /* endpoint sets in STATUS, names in the first one */
        size_t n_health_seen, n_down_seen; /* of the STATUS that comes or came last, in all its frames */
        bool status_more;
        uint32_t ping_ms; /* of the next dp_make; 0 = the default */
        uint32_t trial_ms; /* the same */
        uint64_t endpoints_version;
        size_t n_endpoints; /* of the last set */
};

extern const struct dpclient_ops dp_ops;

#define UNTIL(b, cond)                                                                                                 \
        do {                                                                                                           \
                unsigned turns_ = 0;                                                                                   \
                while (!(cond)) {                                                                                      \
                        if (++turns_ > WAIT_TURNS)                                                                     \
                                fail_msg("line %d: never came: %s", __LINE__, #cond);                                  \
                        assert_true(loop_turn((b)->loop, 5) >= 0);                                                     \
                }                                                                                                      \
        } while (0)

void dp_make(struct bench *b, bool boots);
void dp_kill(struct bench *b);
void agent_listen(struct bench *b);
void agent_kill(struct bench *b);
int bench_setup(void **state);
int bench_teardown(void **state);
void agent_send(struct bench *b, enum frame_type type, const void *m);
void agent_greet(struct bench *b);
void agent_manifest(struct bench *b, const struct manifest *m);
void agent_chunk(struct bench *b, const struct blob *from, size_t at, size_t n);
void agent_sections(struct bench *b, const struct manifest *m);
void agent_hash(struct bench *b, enum frame_type type, const struct manifest *m);
void agent_push(struct bench *b, const struct manifest *m);
void agent_endpoints(struct bench *b, struct world *w, uint64_t version, uint8_t last);
uint8_t bench_last_octet(struct bench *b);
struct manifest *bench_start(struct bench *b, struct world *w);
