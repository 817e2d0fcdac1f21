/* l7gw/core/stream.c - see stream.h. */
#include "lib/base.h"
#include "l7gw/core/stream.h"
#include "l7gw/core/reasons.tbl.h"

static const unsigned legal_next[STREAM_STATE_N] = {
#define S(id, next) [STREAM_##id] = (next),
        STREAM_STATES(S)
#undef S
};
static const char *const state_names[STREAM_STATE_N] = {
#define S(id, next) [STREAM_##id] = #id,
        STREAM_STATES(S)
#undef S
};
static const struct {
        const char *word, *text;
        unsigned status;
} reasons[REASON_N] = {
#define R(id, word_, status_, text_) [REASON_##id] = {.word = word_, .text = text_, .status = status_},
        REASONS(R)
#undef R
};

const char *stream_state_str(enum stream_state s)
{
        return s < STREAM_STATE_N ? state_names[s] : "?";
}

const char *reason_word(enum reason r)
{
        return r < REASON_N ? reasons[r].word : "?";
}

unsigned reason_status(enum reason r)
{
        return r < REASON_N ? reasons[r].status : 500;
}

const char *reason_text(enum reason r)
{
        return r < REASON_N ? reasons[r].text : "";
}

void stream_init(struct stream *s, struct chunk_pool *pool)
{
        struct arena arena = s->arena;
        *s = (struct stream){.arena = arena};
        msg_init(&s->req, &s->arena);
        msg_init(&s->req_trailers, &s->arena);
        msg_init(&s->resp, &s->arena);
        msg_init(&s->resp_trailers, &s->arena);
        chain_init(&s->req_body, pool);
        chain_init(&s->resp_body, pool);
}

void stream_reset(struct stream *s)
{
        chain_clear(&s->req_body);
        chain_clear(&s->resp_body);
        arena_reset(&s->arena);
}

void stream_set(struct stream *s, enum stream_state to)
{
        BUG_ON(!(legal_next[s->state] & (1u << to)));
        s->state = to;
}
