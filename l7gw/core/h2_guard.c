/* l7gw/core/h2_guard.c - see h2_guard.h. */
#include "lib/base.h"
#include "l7gw/core/h2_guard.h"

enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_PRIORITY = 2, FRAME_RST_STREAM = 3, FRAME_CONTINUATION = 9 };
enum { FLAG_END_STREAM = 0x1, FLAG_PADDED = 0x8, FLAG_PRIORITY = 0x20 };
enum { PROTOCOL_ERROR = 0x1, STREAM_CLOSED = 0x5 };
#define HEADER 9u
#define PREFACE 24u

void h2_guard_init(struct h2_guard *g)
{
        *g = (struct h2_guard){.skip = PREFACE};
}

static uint32_t u32_be(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bytes of a frame that are judged: the header, and the dependency where there is one. */
static uint32_t judged_bytes(const struct h2_guard *g)
{
        uint8_t type = g->bytes[3], flags = g->bytes[4];
        uint32_t length = u32_be(g->bytes) >> 8;
        if (type == FRAME_PRIORITY)
                return HEADER + MIN(length, 4u);
        if (type == FRAME_HEADERS && flags & FLAG_PRIORITY)
                return HEADER + MIN(length, flags & FLAG_PADDED ? 5u : 4u);
        return HEADER;
}

static uint32_t judge(struct h2_guard *g, bool (*is_open)(void *arg, uint32_t id), void *arg)
{
        uint8_t type = g->bytes[3], flags = g->bytes[4];
        uint32_t id = u32_be(g->bytes + 5) & 0x7fffffffu, at = HEADER + (type == FRAME_HEADERS && flags & FLAG_PADDED ? 1u : 0u);
        bool depends = type == FRAME_PRIORITY || (type == FRAME_HEADERS && flags & FLAG_PRIORITY);
        g->useless += type == FRAME_PRIORITY || type > FRAME_CONTINUATION;
        if (type == FRAME_PRIORITY && id == 0)
                return PROTOCOL_ERROR;
        if (depends && g->have >= at + 4 && (u32_be(g->bytes + at) & 0x7fffffffu) == id)
                return PROTOCOL_ERROR;
        if (type > FRAME_RST_STREAM || type == FRAME_PRIORITY || id % 2 == 0)
                return 0;
        size_t slot = id / 2 % H2_GUARD_STREAMS;
        bool known = g->streams[slot].half_id == id / 2 && id <= g->newest, recent = id <= g->newest && g->newest - id < 2 * H2_GUARD_STREAMS;
        if (type != FRAME_RST_STREAM && known && (g->streams[slot].reset || (g->streams[slot].ended && !is_open(arg, id))))
                return STREAM_CLOSED; /* one that was reset may still look open: nghttp2 has not seen that frame yet */
        if (type == FRAME_HEADERS && !known && recent)
                return PROTOCOL_ERROR;
        if (type == FRAME_HEADERS && id > g->newest) {
                g->newest = id;
                g->streams[slot].half_id = (id / 2) & 0x3fffffffu;
                g->streams[slot].ended = g->streams[slot].reset = 0;
                known = true;
        }
        if (known && type == FRAME_RST_STREAM)
                g->streams[slot].reset = 1;
        else if (known && flags & FLAG_END_STREAM)
                g->streams[slot].ended = 1;
        return 0;
}

size_t h2_guard_check(struct h2_guard *g, struct span in, bool (*is_open)(void *arg, uint32_t id), void *arg, uint32_t *ret_code)
{
        size_t i = 0;
        while (i < in.n) {
                if (g->skip > 0 || g->left > 0) { /* preface, or payload that is nobody's business here */
                        uint32_t *count = g->skip > 0 ? &g->skip : &g->left;
                        size_t n = MIN(in.n - i, (size_t)*count);
                        *count -= (uint32_t)n;
                        i += n;
                        continue;
                }
                g->bytes[g->have++] = in.p[i++];
                if (g->have < HEADER || g->have < judged_bytes(g))
                        continue;
                *ret_code = judge(g, is_open, arg);
                if (*ret_code != 0)
                        return i - 1; /* the frame is never complete */
                g->left = (u32_be(g->bytes) >> 8) - (g->have - HEADER);
                g->have = 0;
        }
        return i;
}
