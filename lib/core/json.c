/* lib/core/json.c - see json.h.  Misuse (a key in an array, unbalanced ends) is our bug, so BUG_ON. */
#include "lib/core/json.h"

#include <inttypes.h>
#include <math.h>

void json_init(struct json *j, struct buf *b)
{
        *j = (struct json){.b = b};
}

static void json_newline(struct json *j)
{
        if (!j->pretty)
                return;
        buf_add(j->b, "\n", 1);
        for (unsigned i = 0; i < j->depth; i++)
                buf_add(j->b, "  ", 2);
}

/* Before each value: the comma, unless a key has just been written. */
static void json_value(struct json *j)
{
        if (j->after_key) {
                j->after_key = false;
                return;
        }
        if (j->depth == 0)
                return;
        unsigned d = j->depth - 1;
        BUG_ON(!j->in_array[d]);
        if (j->has_item[d])
                buf_add(j->b, ",", 1);
        j->has_item[d] = true;
        json_newline(j);
}

static void json_open(struct json *j, bool array)
{
        json_value(j);
        BUG_ON(j->depth == JSON_MAX_DEPTH);
        buf_add(j->b, array ? "[" : "{", 1);
        j->in_array[j->depth] = array;
        j->has_item[j->depth] = false;
        j->depth++;
}

void json_obj(struct json *j)
{
        json_open(j, false);
}
void json_arr(struct json *j)
{
        json_open(j, true);
}

void json_end(struct json *j)
{
        BUG_ON(j->depth == 0 || j->after_key);
        j->depth--;
        if (j->has_item[j->depth])
                json_newline(j);
        buf_add(j->b, j->in_array[j->depth] ? "]" : "}", 1);
}

/* Length of the valid UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates), 0 if it is none. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
        uint8_t c = p[0];
        size_t len = c < 0x80                 ? 1
                     : c >= 0xc2 && c <= 0xdf ? 2
                     : (c & 0xf0) == 0xe0     ? 3
                     : c >= 0xf0 && c <= 0xf4 ? 4
                                              : 0;
        if (len == 0 || len > n)
                return 0;
        for (size_t i = 1; i < len; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
            (c == 0xf4 && p[1] > 0x8f))
                return 0;
        return len;
}

static void json_escape(struct json *j, uint8_t c)
{
        static const char short_form[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
        if (c == '"' || c == '\\')
                buf_printf(j->b, "\\%c", c);
        else if (c < sizeof short_form && short_form[c])
                buf_printf(j->b, "\\%c", short_form[c]);
        else
                buf_printf(j->b, "\\u%04x", c);
}

static void json_quoted(struct json *j, struct span s)
{
        buf_add(j->b, "\"", 1);
        size_t done = 0;
        for (size_t i = 0; i < s.n;) {
                size_t len = utf8_len(s.p + i, s.n - i);
                uint8_t c = s.p[i];
                if (len > 1 || (len == 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)) {
                        i += len;
                        continue;
                }
                buf_add(j->b, s.p + done, i - done);
                json_escape(j, c);
                done = ++i;
        }
        buf_add(j->b, s.n ? s.p + done : NULL, s.n - done);
        buf_add(j->b, "\"", 1);
}

void json_key(struct json *j, const char *key)
{
        BUG_ON(j->depth == 0 || j->in_array[j->depth - 1] || j->after_key);
        unsigned d = j->depth - 1;
        if (j->has_item[d])
                buf_add(j->b, ",", 1);
        j->has_item[d] = true;
        json_newline(j);
        json_quoted(j, span_str(key));
        buf_str(j->b, j->pretty ? ": " : ":");
        j->after_key = true;
}

void json_span(struct json *j, struct span s)
{
        json_value(j);
        json_quoted(j, s);
}

void json_str(struct json *j, const char *s)
{
        if (s)
                json_span(j, span_str(s));
        else
                json_nil(j);
}

void json_u64(struct json *j, uint64_t v)
{
        json_value(j);
        buf_printf(j->b, "%" PRIu64, v);
}

void json_i64(struct json *j, int64_t v)
{
        json_value(j);
        buf_printf(j->b, "%" PRId64, v);
}

void json_f64(struct json *j, double v)
{
        json_value(j);
        if (!isfinite(v)) /* RFC 8259 6 has no NaN and no infinity */
                buf_str(j->b, "null");
        else
                buf_printf(j->b, "%.15g", v);
}

void json_bool(struct json *j, bool v)
{
        json_value(j);
        buf_str(j->b, v ? "true" : "false");
}

void json_nil(struct json *j)
{
        json_value(j);
        buf_str(j->b, "null");
}

void json_raw(struct json *j, struct span json_text)
{
        json_value(j);
        buf_add(j->b, json_text.p, json_text.n);
}
