/* tests/packet/l4_rows.h - the packet fixtures of the l4lb core: frame in, verdict, frame out. */
#pragma once
#include "l4lb/core/verdict.h"

struct l4_row {
        const char *name;
        uint8_t in_port;          /* 0 up, 1 s1, 2 s2, 3 mg (an uplink with a kernel port), 4 k (that kernel port), 5 bk */
        const char *before;       /* frames that came before, separated by " ;; "; "@N " = on port N, else on the same; NULL = none */
        const char *in;           /* notation of tests/unit/l4lb/frame.h */
        enum l4_verdict verdict;
        const char *out;          /* the emitted frame in the same notation; NULL: forwarded frames must be the frame in with
                                     the MACs of their way, others unchanged */
};
extern const struct l4_row l4_rows[];
extern const size_t l4_n_rows;
