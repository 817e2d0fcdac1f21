/* tests/fuzz/image/config_fuzz.c - bytes -> gatehouse.cfg -> plan.
 * Holds: a refusal has a place and a message; what is accepted has a plan for every shard; nothing leaks (ASan). */
#include "lib/base.h"

#include "image/core/plan.h"
#include "image/io/config_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct config *c = NULL;
        struct err err = {.place = "", .msg = ""};
        const struct machine m = {.cpus = 4, .memory_mb = 2048};
        int r = config_load_text(SPAN(data, size), "f", &c, &err);
        BUG_ON(r < 0 && (c || !err.place[0] || !err.msg[0]));
        if (r < 0)
                return 0;
        for (size_t i = 0; i < config_shards(c); i++) {
                struct shard_plan p;
                char cores[PLAN_CPU_TEXT];
                plan_shard(c, i, &p);
                plan_group_cores(c, p.group, &m, cores);
                BUG_ON(!p.name[0] || !cores[0]);
        }
        config_free(c);
        return 0;
}
