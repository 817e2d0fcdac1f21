/* l7gw/core/h1_body.c - body decoder: length, chunked (RFC 9112 7.1), until close.
 * The chunk machine is one switch per byte for everything but data; data leaves in whole spans.  Stricter than the RFC:
 * no "bad white space" around extensions, at most 16 size digits, sizes under 2^63. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/h1.h"
#include "l7gw/core/h1_fields.h"

enum chunk_state {
        CK_SIZE,      /* hex digits */
        CK_EXT_NAME,  /* after ";": token */
        CK_EXT_VALUE, /* after "=": token or quoted-string */
        CK_EXT_TOKEN, /* inside a token value */
        CK_EXT_QUOTED,
        CK_EXT_ESCAPE,
        CK_EXT_END,   /* after the closing quote */
        CK_SIZE_LF,
        CK_DATA,
        CK_DATA_CR,
        CK_DATA_LF,
        CK_LINE,      /* first byte of a trailer line, or the CR of the end */
        CK_NAME,
        CK_VALUE,
        CK_VALUE_LF,
        CK_END_LF,
};

void h1_body_init(struct h1_body *b, const struct msg *m)
{
        *b = (struct h1_body){ .framing = m->framing };
        if (m->framing == BODY_LENGTH)
                b->left = m->content_length;
        b->done = m->framing == BODY_NONE || (m->framing == BODY_LENGTH && b->left == 0);
}

uint64_t h1_body_plain(const struct h1_body *b)
{
        return b->framing == BODY_LENGTH ? b->left : b->framing == BODY_CLOSE ? UINT64_MAX : 0;
}

void h1_body_passed(struct h1_body *b, uint64_t n)
{
        BUG_ON(n > h1_body_plain(b));
        if (b->framing == BODY_LENGTH)
                b->left -= n;
        b->done = b->framing == BODY_LENGTH && b->left == 0;
}

/* Stores a trailer byte (the caller wants them) and counts it. */
static enum h1_rc trailer_byte(struct h1_body *b, struct msg *trailers, uint8_t c)
{
        if (b->trailer_bytes == H1_MAX_TRAILER_BYTES)
                return H1_BAD_TRAILER;
        if (trailers && !b->trailer) {
                b->trailer = arena_alloc(trailers->arena, H1_MAX_TRAILER_BYTES);
                if (!b->trailer)
                        return H1_NO_MEMORY;
        }
        if (trailers)
                b->trailer[b->trailer_bytes] = c;
        b->trailer_bytes++;
        return H1_OK;
}

/* The line [b->line, trailer_bytes) is a valid field: adds it unless its name may not come here. */
static enum h1_rc trailer_add(struct h1_body *b, struct msg *trailers)
{
        if (++b->trailer_lines > MSG_MAX_FIELDS)
                return H1_BAD_TRAILER;
        if (!trailers)
                return H1_OK;
        struct span name = SPAN(b->trailer + b->line, b->colon - b->line);
        const uint8_t *v = b->trailer + b->colon + 1, *end = b->trailer + b->trailer_bytes;
        while (v < end && (*v == ' ' || *v == '\t'))
                v++;
        while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        if (h1_trailer_forbidden(name))
                return H1_OK;
        int r = msg_add(trailers, name, SPAN(v, (size_t)(end - v)));
        BUG_ON(r == -EINVAL); /* the machine has checked every byte */
        return r == 0 ? H1_OK : H1_NO_MEMORY;
}

static enum h1_rc trailer_step(struct h1_body *b, struct msg *trailers, uint8_t c)
{
        switch ((enum chunk_state)b->state) {
        case CK_LINE:
                if (c == '\r') {
                        b->state = CK_END_LF;
                        return H1_OK;
                }
                if (!char_is(c, CH_TOKEN))
                        return H1_BAD_TRAILER;
                b->line = b->trailer_bytes;
                b->state = CK_NAME;
                return trailer_byte(b, trailers, char_lower[c]);
        case CK_NAME:
                if (c == ':') {
                        b->colon = b->trailer_bytes;
                        b->state = CK_VALUE;
                } else if (!char_is(c, CH_TOKEN)) {
                        return H1_BAD_TRAILER;
                }
                return trailer_byte(b, trailers, char_lower[c]);
        case CK_VALUE:
                if (c == '\r') {
                        b->state = CK_VALUE_LF;
                        return H1_OK;
                }
                return char_is(c, CH_VALUE) ? trailer_byte(b, trailers, c) : H1_BAD_TRAILER;
        case CK_VALUE_LF:
                b->state = CK_LINE;
                return c == '\n' ? trailer_add(b, trailers) : H1_BAD_TRAILER;
        case CK_END_LF:
                b->done = true;
                return c == '\n' ? H1_OK : H1_BAD_TRAILER;
        case CK_SIZE: case CK_EXT_NAME: case CK_EXT_VALUE: case CK_EXT_TOKEN: case CK_EXT_QUOTED: case CK_EXT_ESCAPE:
        case CK_EXT_END: case CK_SIZE_LF: case CK_DATA: case CK_DATA_CR: case CK_DATA_LF:
                break;
        }
        BUG_ON(true);
}

/* After the size: the extension separators and the CR. */
static enum h1_rc ext_separator(struct h1_body *b, uint8_t c, bool may_have_value)
{
        if (c == '\r') {
                b->state = CK_SIZE_LF;
        } else if (c == ';') {
                b->state = CK_EXT_NAME;
                b->digits = 0; /* reused: characters of the extension name */
        } else if (c == '=' && may_have_value) {
                b->state = CK_EXT_VALUE;
        } else {
                return H1_BAD_CHUNK;
        }
        return H1_OK;
}

static enum h1_rc size_step(struct h1_body *b, uint8_t c)
{
        if (char_is(c, CH_HEX)) {
                if (b->digits == 16 || b->left >> 59) /* the next value must stay under 2^63 */
                        return H1_BAD_CHUNK;
                b->left = b->left << 4 | hex_value(c);
                b->digits++;
                return H1_OK;
        }
        return b->digits ? ext_separator(b, c, false) : H1_BAD_CHUNK;
}

static enum h1_rc ext_step(struct h1_body *b, uint8_t c)
{
        if (++b->ext_bytes > H1_MAX_EXT_BYTES)
                return H1_BAD_CHUNK;
        switch ((enum chunk_state)b->state) {
        case CK_EXT_NAME:
                if (char_is(c, CH_TOKEN)) {
                        b->digits = 1;
                        return H1_OK;
                }
                return b->digits ? ext_separator(b, c, true) : H1_BAD_CHUNK;
        case CK_EXT_VALUE:
                if (c != '"' && !char_is(c, CH_TOKEN))
                        return H1_BAD_CHUNK;
                b->state = c == '"' ? CK_EXT_QUOTED : CK_EXT_TOKEN;
                return H1_OK;
        case CK_EXT_TOKEN:
                return char_is(c, CH_TOKEN) ? H1_OK : ext_separator(b, c, false);
        case CK_EXT_QUOTED:
                if (c == '"')
                        b->state = CK_EXT_END;
                else if (c == '\\')
                        b->state = CK_EXT_ESCAPE;
                return char_is(c, CH_VALUE) ? H1_OK : H1_BAD_CHUNK;
        case CK_EXT_ESCAPE:
                b->state = CK_EXT_QUOTED;
                return char_is(c, CH_VALUE) ? H1_OK : H1_BAD_CHUNK;
        case CK_EXT_END:
                return ext_separator(b, c, false);
        case CK_SIZE: case CK_SIZE_LF: case CK_DATA: case CK_DATA_CR: case CK_DATA_LF: case CK_LINE: case CK_NAME:
        case CK_VALUE: case CK_VALUE_LF: case CK_END_LF:
                break;
        }
        BUG_ON(true);
}

/* One byte that is not data. */
static enum h1_rc chunk_step(struct h1_body *b, struct msg *trailers, uint8_t c)
{
        switch ((enum chunk_state)b->state) {
        case CK_SIZE:
                return size_step(b, c);
        case CK_EXT_NAME: case CK_EXT_VALUE: case CK_EXT_TOKEN: case CK_EXT_QUOTED: case CK_EXT_ESCAPE: case CK_EXT_END:
                return ext_step(b, c);
        case CK_SIZE_LF:
                b->state = b->left ? CK_DATA : CK_LINE;
                return c == '\n' ? H1_OK : H1_BAD_CHUNK;
        case CK_DATA_CR:
                b->state = CK_DATA_LF;
                return c == '\r' ? H1_OK : H1_BAD_CHUNK;
        case CK_DATA_LF:
                b->state = CK_SIZE;
                b->digits = 0;
                return c == '\n' ? H1_OK : H1_BAD_CHUNK;
        case CK_LINE: case CK_NAME: case CK_VALUE: case CK_VALUE_LF: case CK_END_LF:
                return trailer_step(b, trailers, c);
        case CK_DATA:
                break;
        }
        BUG_ON(true);
}

static struct span data_take(struct h1_body *b, struct span in)
{
        struct span d = SPAN(in.p, (size_t)MIN((uint64_t)in.n, b->left));
        b->left -= d.n;
        return d;
}

static enum h1_rc chunked_feed(struct h1_body *b, struct span in, struct msg *trailers, struct span *ret_data, size_t *ret_used)
{
        size_t i = 0;
        for (; i < in.n && !b->done; i++) {
                if (b->state == CK_DATA) {
                        *ret_data = data_take(b, SPAN(in.p + i, in.n - i));
                        i += ret_data->n;
                        if (b->left == 0)
                                b->state = CK_DATA_CR;
                        break;
                }
                enum h1_rc rc = chunk_step(b, trailers, in.p[i]);
                if (rc != H1_OK)
                        return rc;
        }
        *ret_used = i;
        return H1_OK;
}

enum h1_rc h1_body_feed(struct h1_body *b, struct span in, struct msg *trailers, struct span *ret_data, size_t *ret_used)
{
        *ret_data = SPAN(in.p, 0);
        *ret_used = 0;
        if (b->done)
                return H1_OK;
        if (in.n == 0)
                return H1_MORE;
        switch (b->framing) {
        case BODY_NONE:
                break;
        case BODY_LENGTH:
                *ret_data = data_take(b, in);
                *ret_used = ret_data->n;
                b->done = b->left == 0;
                break;
        case BODY_CHUNKED:
                return chunked_feed(b, in, trailers, ret_data, ret_used);
        case BODY_CLOSE:
                *ret_data = in;
                *ret_used = in.n;
                break;
        }
        return H1_OK;
}
