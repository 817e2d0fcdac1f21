/* l7gw/core/grpc.c - see grpc.h. */
#include "lib/base.h"
#include "l7gw/core/grpc.h"
#include "l7gw/core/chars.h"

#define TIMEOUT_MAX_MS 86400000ull

bool grpc_is(const struct msg *req)
{
        const struct field *f = msg_find_id(req, FIELD_CONTENT_TYPE);
        struct span type = SPAN_LIT("application/grpc");
        if (!f || f->value.n < type.n || !span_ieq(SPAN(f->value.p, type.n), type))
                return false;
        return f->value.n == type.n || strchr("+; \t", f->value.p[type.n]) != NULL;
}

unsigned grpc_status_of(unsigned http_status)
{
        static const struct {
                unsigned http, grpc;
        } map[] = { { 400, 13 }, { 401, 16 }, { 403, 7 }, { 404, 12 }, { 429, 14 }, { 502, 14 }, { 503, 14 }, { 504, 14 } };
        for (size_t i = 0; i < ARRAY_SIZE(map); i++)
                if (map[i].http == http_status)
                        return map[i].grpc;
        return 2; /* UNKNOWN */
}

uint32_t grpc_timeout_ms(const struct msg *req)
{
        static const struct {
                char unit;
                uint64_t ns;
        } units[] = { { 'H', 3600000000000u }, { 'M', 60000000000u }, { 'S', 1000000000u }, { 'm', 1000000u }, { 'u', 1000u }, { 'n', 1u } };
        const struct field *f = msg_find(req, SPAN_LIT("grpc-timeout"));
        uint64_t v = 0;
        if (!f || f->value.n < 2 || f->value.n > 9) /* TimeoutValue: at most eight digits */
                return 0;
        size_t n = f->value.n - 1;
        for (size_t i = 0; i < n; i++) {
                if (!char_is(f->value.p[i], CH_DIGIT))
                        return 0;
                v = v * 10 + (uint64_t)(f->value.p[i] - '0');
        }
        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (units[i].unit == (char)f->value.p[n]) {
                        uint64_t ns = v > TIMEOUT_MAX_MS * 1000000u / units[i].ns ? TIMEOUT_MAX_MS * 1000000u : v * units[i].ns;
                        return (uint32_t)MAX((ns + 999999) / 1000000, (uint64_t)1);
                }
        return 0;
}

/* grpc-message: printable ASCII but "%", the rest percent-encoded. */
static int message_encode(struct arena *a, struct span text, struct span *ret)
{
        uint8_t *p = arena_alloc(a, text.n * 3 + 1);
        size_t w = 0;
        if (!p)
                return -ENOMEM;
        for (size_t i = 0; i < text.n; i++) {
                uint8_t c = text.p[i];
                if (c >= 0x20 && c < 0x7f && c != '%') {
                        p[w++] = c;
                        continue;
                }
                p[w++] = '%';
                p[w++] = (uint8_t)hex_upper[c >> 4];
                p[w++] = (uint8_t)hex_upper[c & 15];
        }
        *ret = SPAN(p, w);
        return 0;
}

int grpc_trailers(struct msg *m, unsigned grpc_status, struct span message)
{
        struct span text = SPAN_NULL;
        char *status = arena_printf(m->arena, "%u", grpc_status);
        int r = status ? message_encode(m->arena, message, &text) : -ENOMEM;
        if (r == 0)
                r = msg_set(m, SPAN_LIT("grpc-status"), span_str(status));
        if (r == 0 && text.n)
                r = msg_set(m, SPAN_LIT("grpc-message"), text);
        return r;
}

int grpc_error(struct msg *m, unsigned grpc_status, struct span message)
{
        int r = msg_set(m, SPAN_LIT("content-type"), SPAN_LIT("application/grpc"));
        m->status = 200;
        m->length_implied = true; /* in HTTP/2 the head alone is the answer */
        return r == 0 ? grpc_trailers(m, grpc_status, message) : r;
}
