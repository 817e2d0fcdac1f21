/* l7gw/core/h1_write.c - serialises heads, chunks and trailers from the normal form.
 * One reservation per head, then plain copies; the bytes are checked once more on the way out: the head must hold exactly
 * one CR and one LF per line we wrote and no NUL, so none can have come out of a field (requirements 17, 48). */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/decimal.h"
#include "l7gw/core/h1.h"
#include "l7gw/core/path.h"

struct writer { /* into memory that is known to be large enough */
        uint8_t *begin, *p;
        size_t room, lines;
};

static void put(struct writer *w, struct span s)
{
        BUG_ON(s.n > w->room);
        if (s.n)
                memcpy(w->p, s.p, s.n);
        w->p += s.n;
        w->room -= s.n;
}
/* A literal: its size is known, so the copy becomes a store. */
#define PUT_LIT(w, lit)                                  \
        do {                                             \
                BUG_ON((w)->room < sizeof(lit) - 1);     \
                memcpy((w)->p, lit, sizeof(lit) - 1);    \
                (w)->p += sizeof(lit) - 1;               \
                (w)->room -= sizeof(lit) - 1;            \
        } while (0)

static void put_eol(struct writer *w)
{
        PUT_LIT(w, "\r\n");
        w->lines++;
}

static void put_field(struct writer *w, struct span name, struct span value)
{
        put(w, name);
        PUT_LIT(w, ": ");
        put(w, value);
        put_eol(w);
}

static void put_u64(struct writer *w, uint64_t v)
{
        char text[DECIMAL_MAX];
        size_t n = decimal_put(text, v);
        put(w, SPAN(text, n));
}

/* Fields the head makes itself: a normal message has none of them, a filter or another protocol may have left one. */
static bool is_ours(enum field_id id)
{
        switch ((int)id) {
        case FIELD_HOST:
        case FIELD_CONTENT_LENGTH:
        case FIELD_TRANSFER_ENCODING:
        case FIELD_CONNECTION:
        case FIELD_KEEP_ALIVE:
        case FIELD_PROXY_CONNECTION:
        case FIELD_UPGRADE:
        case FIELD_TE:
        case FIELD_EXPECT:
                return true;
        }
        return false;
}

static void put_fields(struct writer *w, const struct msg *m)
{
        for (size_t i = 0; i < m->n_fields; i++)
                if (!is_ours(m->fields[i].id))
                        put_field(w, m->fields[i].name, m->fields[i].value);
}

static size_t fields_size(const struct msg *m)
{
        size_t n = 0;
        for (size_t i = 0; i < m->n_fields; i++)
                n += m->fields[i].name.n + m->fields[i].value.n + 4;
        return n;
}

static void put_framing(struct writer *w, const struct msg *m)
{
        if (m->framing == BODY_CHUNKED) {
                PUT_LIT(w, "transfer-encoding: chunked");
                put_eol(w);
        } else if (m->framing == BODY_LENGTH || (m->framing == BODY_NONE && m->has_length)) {
                PUT_LIT(w, "content-length: ");
                put_u64(w, m->content_length);
                put_eol(w);
        }
}

/* "connection: a, b" with the options that apply, and the fields they name. */
static void put_connection(struct writer *w, struct span persistence, struct span upgrade, bool te)
{
        struct span options[3];
        size_t n = 0;
        if (persistence.n)
                options[n++] = persistence;
        if (upgrade.n)
                options[n++] = SPAN_LIT("upgrade");
        if (te)
                options[n++] = SPAN_LIT("te");
        if (n == 0)
                return;
        PUT_LIT(w, "connection: ");
        for (size_t i = 0; i < n; i++) {
                if (i)
                        PUT_LIT(w, ", ");
                put(w, options[i]);
        }
        put_eol(w);
        if (upgrade.n)
                put_field(w, SPAN_LIT("upgrade"), upgrade);
        if (te)
                put_field(w, SPAN_LIT("te"), SPAN_LIT("trailers"));
}

#define HEAD_EXTRA 320 /* every literal and number a head may add besides the spans */

static bool writer_begin(struct writer *w, struct buf *out, size_t n)
{
        uint8_t *p = buf_reserve(out, n);
        *w = (struct writer){ p, p, n, 0 };
        return p != NULL;
}

/* How often CR, LF and NUL occur in p[0..n), 16 bytes at a time (gcc and clang vectors; any target). */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
struct counts {
        size_t cr, lf, nul;
};

static size_t lanes_sum(bytes16 v)
{
        size_t n = 0;
        for (size_t i = 0; i < 16; i++)
                n += v[i];
        return n;
}

static struct counts controls_count(const uint8_t *p, size_t n)
{
        struct counts c = { 0 };
        while (n >= 16) {
                bytes16 cr = { 0 }, lf = { 0 }, nul = { 0 }, v;
                for (size_t i = 0; i < 255 && n >= 16; i++, p += 16, n -= 16) { /* 255: a lane must not wrap */
                        memcpy(&v, p, 16);
                        cr -= (bytes16)(v == '\r'); /* a true lane is all ones, that is -1 */
                        lf -= (bytes16)(v == '\n');
                        nul -= (bytes16)(v == 0);
                }
                c.cr += lanes_sum(cr);
                c.lf += lanes_sum(lf);
                c.nul += lanes_sum(nul);
        }
        for (size_t i = 0; i < n; i++) {
                c.cr += p[i] == '\r';
                c.lf += p[i] == '\n';
                c.nul += p[i] == 0;
        }
        return c;
}

/* The last guard: see the top of this file. */
static void writer_end(struct writer *w, struct buf *out)
{
        size_t n = (size_t)(w->p - w->begin);
        struct counts c = controls_count(w->begin, n);
        BUG_ON(c.cr != w->lines || c.lf != w->lines || c.nul != 0);
        out->n += n;
}

void h1_write_request(struct buf *out, const struct msg *m, bool keep_alive)
{
        struct writer w;
        struct span authority = m->authority.n ? m->authority : SPAN_LIT(H1_NO_HOST);
        BUG_ON(!name_is_token(m->method) || !chars_all(m->path, CH_TARGET) || !query_is_valid(m->query) ||
               !chars_all(authority, CH_TARGET));
        if (!writer_begin(&w, out, m->method.n + m->path.n + m->query.n + 2 * authority.n + m->upgrade.n + fields_size(m) +
                                           HEAD_EXTRA))
                return;
        put(&w, m->method);
        PUT_LIT(&w, " ");
        put(&w, m->path.n ? m->path : authority);
        if (m->has_query) {
                PUT_LIT(&w, "?");
                put(&w, m->query);
        }
        PUT_LIT(&w, " HTTP/1.1");
        put_eol(&w);
        put_field(&w, SPAN_LIT("host"), authority);
        put_fields(&w, m);
        put_framing(&w, m);
        if (m->expect_continue)
                put_field(&w, SPAN_LIT("expect"), SPAN_LIT("100-continue"));
        put_connection(&w, keep_alive ? SPAN_NULL : SPAN_LIT("close"), m->upgrade, m->te_trailers);
        put_eol(&w);
        writer_end(&w, out);
}

void h1_write_response(struct buf *out, const struct msg *m, bool keep_alive)
{
        struct writer w;
        struct span reason = m->reason.n ? m->reason : span_str(h1_reason(m->status));
        BUG_ON(m->status < 100 || m->status > 599 || !chars_all(reason, CH_VALUE));
        if (!writer_begin(&w, out, reason.n + m->upgrade.n + fields_size(m) + HEAD_EXTRA))
                return;
        PUT_LIT(&w, "HTTP/1.1 ");
        put_u64(&w, m->status);
        PUT_LIT(&w, " ");
        put(&w, reason);
        put_eol(&w);
        put_fields(&w, m);
        put_framing(&w, m);
        bool final = m->status >= 200, close = final && (!keep_alive || m->framing == BODY_CLOSE);
        put_connection(&w, close ? SPAN_LIT("close") : final && m->minor == 0 ? SPAN_LIT("keep-alive") : SPAN_NULL,
                       m->status == 101 || m->status == 426 ? m->upgrade : SPAN_NULL, false);
        put_eol(&w);
        writer_end(&w, out);
}

size_t h1_chunk_head(char out[20], size_t len)
{
        BUG_ON(len == 0); /* would be the last chunk */
        size_t n = hex_put(out, len);
        memcpy(out + n, "\r\n", 3);
        return n + 2;
}

void h1_write_last_chunk(struct buf *out, const struct msg *trailers)
{
        struct writer w;
        if (!writer_begin(&w, out, 8 + (trailers ? fields_size(trailers) : 0)))
                return;
        PUT_LIT(&w, "0");
        put_eol(&w);
        if (trailers)
                put_fields(&w, trailers);
        put_eol(&w);
        writer_end(&w, out);
}

const char *h1_reason(unsigned status)
{
        static const struct {
                unsigned status;
                const char *text;
        } reasons[] = {
                { 100, "Continue" }, { 101, "Switching Protocols" }, { 103, "Early Hints" },
                { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 203, "Non-Authoritative Information" },
                { 204, "No Content" }, { 205, "Reset Content" }, { 206, "Partial Content" },
                { 300, "Multiple Choices" }, { 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" },
                { 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
                { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
                { 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" },
                { 410, "Gone" }, { 411, "Length Required" }, { 412, "Precondition Failed" }, { 413, "Content Too Large" },
                { 414, "URI Too Long" }, { 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
                { 417, "Expectation Failed" }, { 421, "Misdirected Request" }, { 422, "Unprocessable Content" },
                { 425, "Too Early" }, { 426, "Upgrade Required" }, { 429, "Too Many Requests" },
                { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
                { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
                { 505, "HTTP Version Not Supported" }, { 511, "Network Authentication Required" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
                if (reasons[i].status == status)
                        return reasons[i].text;
        return "";
}
