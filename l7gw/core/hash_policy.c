/* l7gw/core/hash_policy.c - see hash_policy.h. */
#include "lib/base.h"
#include "l7gw/core/hash_policy.h"
#include "l7gw/core/cookie.h"
#include "lib/core/hash.h"

static struct span header_value(const struct msg *req, struct span name)
{
        for (size_t i = 0; i < req->n_fields; i++)
                if (span_ieq(req->fields[i].name, name))
                        return req->fields[i].value;
        return SPAN_NULL;
}

static struct span cookie_value(const struct msg *req, struct span name)
{
        struct span value;
        for (size_t i = 0; i < req->n_fields; i++) {
                struct span line = req->fields[i].value;
                if (req->fields[i].id == FIELD_COOKIE && cookie_next(&line, name, &value))
                        return value;
        }
        return SPAN_NULL;
}

static struct span subject(const Model__HashPolicy *p, const struct msg *req, struct span path, struct span peer)
{
        switch (p->kind) {
        case MODEL__HASH_POLICY__KIND__SOURCE:
                return peer;
        case MODEL__HASH_POLICY__KIND__PATH:
                return path;
        case MODEL__HASH_POLICY__KIND__HEADER:
                return req ? header_value(req, span_str(p->name)) : SPAN_NULL;
        case MODEL__HASH_POLICY__KIND__COOKIE:
                return req ? cookie_value(req, span_str(p->name)) : SPAN_NULL;
        case _MODEL__HASH_POLICY__KIND_IS_INT_SIZE:
                break;
        }
        BUG_ON(true);
}

uint64_t hash_policy_of(const Model__HashPolicy *p, const struct msg *req, struct span path, struct span peer)
{
        static const struct siphash_key key = {0x6761746562616c61u, 0x6e63656873616868u}; /* one for all shards; no secret */
        struct span s = p ? subject(p, req, path, peer) : SPAN_NULL;
        if (s.n == 0)
                return 0;
        uint64_t h = siphash13(&key, s.p, s.n);
        return h ? h : 1;
}
