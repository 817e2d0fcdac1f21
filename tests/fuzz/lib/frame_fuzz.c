/* tests/fuzz/lib/frame_fuzz.c - any bytes as a control stream: decoding ends, never reads outside, and gives the same
 * frames however the bytes are cut. */
#include "lib/base.h"
#include "lib/core/frame.h"

#include "lib/control.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *body_of(enum frame_type t)
{
        switch (t) {
        case FRAME_HELLO:
                return &control__hello__descriptor;
        case FRAME_WELCOME:
                return &control__welcome__descriptor;
        case FRAME_MANIFEST:
                return &control__manifest__descriptor;
        case FRAME_NEED:
                return &control__need__descriptor;
        case FRAME_SECTION:
                return &control__section_chunk__descriptor;
        case FRAME_PREPARED:
                return &control__prepared__descriptor;
        case FRAME_NACK:
                return &control__nack__descriptor;
        case FRAME_ACTIVATE:
                return &control__activate__descriptor;
        case FRAME_ABORT:
                return &control__abort__descriptor;
        case FRAME_ACTIVE:
                return &control__active__descriptor;
        case FRAME_ENDPOINTS:
                return &control__endpoints__descriptor;
        case FRAME_STATUS:
                return &control__status__descriptor;
        case FRAME_PING:
        case FRAME_PONG:
                return &control__ping__descriptor;
        case FRAME_QUERY:
                return &control__query__descriptor;
        case FRAME_REPLY:
                return &control__reply__descriptor;
        case FRAME_TYPE_N:
                break;
        }
        return NULL;
}

/* Decodes all frames off in; the number of them, and how it ended. */
static size_t frames(struct span in, enum frame_rc *ret)
{
        size_t n = 0, used = 0;
        struct frame f;
        while ((*ret = frame_decode(in, &f, &used)) == FRAME_OK) {
                BUG_ON(used < FRAME_HEADER_BYTES || used > in.n || f.body.n > FRAME_MAX_BODY);
                const ProtobufCMessageDescriptor *d = body_of(f.type);
                ProtobufCMessage *m = d ? protobuf_c_message_unpack(d, NULL, f.body.n, f.body.p) : NULL;
                if (m)
                        protobuf_c_message_free_unpacked(m, NULL);
                in = SPAN(in.p + used, in.n - used);
                n++;
        }
        return n;
}

/* The same bytes arriving one at a time. */
static size_t frames_slowly(struct span in, enum frame_rc *ret)
{
        size_t n = 0, from = 0;
        *ret = FRAME_MORE;
        for (size_t to = 0; to <= in.n; to++) {
                struct frame f;
                size_t used;
                *ret = frame_decode(SPAN(in.p + from, to - from), &f, &used);
                if (*ret == FRAME_OK) {
                        n++;
                        from += used;
                        *ret = FRAME_MORE;
                } else if (*ret != FRAME_MORE) {
                        break;
                }
        }
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        enum frame_rc whole, slow;
        if (size > 65536)
                return 0;
        size_t n = frames(SPAN(data, size), &whole);
        BUG_ON(n != frames_slowly(SPAN(data, size), &slow));
        BUG_ON(whole != slow);
        return 0;
}
