/* l7gw/core/access_line.c - see access_line.h.  Written by hand, not by printf: it was a tenth of the user time of a
 * small request.  Text from outside goes through lib/core/json unless every byte of it is harmless. */
#include "lib/base.h"
#include "l7gw/core/access_line.h"
#include "l7gw/core/decimal.h"
#include "lib/core/json.h"

#define LIT(out, s) buf_add(out, "" s, sizeof(s) - 1)

/* Days since 1970 to a date: Howard Hinnant's civil_from_days. */
static void put_time(struct buf *out, uint64_t us)
{
        uint64_t s = us / 1000000, day_s = s % 86400;
        uint64_t z = s / 86400 + 719468, era = z / 146097, doe = z % 146097;
        uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
        uint64_t d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9, y = yoe + era * 400 + (m <= 2);
        char t[] = "0000-00-00T00:00:00.000Z";
        decimal_fixed(t, y, 4);
        decimal_fixed(t + 5, m, 2);
        decimal_fixed(t + 8, d, 2);
        decimal_fixed(t + 11, day_s / 3600, 2);
        decimal_fixed(t + 14, day_s / 60 % 60, 2);
        decimal_fixed(t + 17, day_s % 60, 2);
        decimal_fixed(t + 20, us / 1000 % 1000, 3);
        buf_add(out, t, sizeof t - 1);
}

static void put_number(struct buf *out, uint64_t v)
{
        char text[DECIMAL_MAX];
        buf_add(out, text, decimal_put(text, v));
}

/* The rest of a string value, and the comma before the next key is the next key's. */
static void put_text(struct buf *out, struct span v)
{
        if (v.n == 0) {
                LIT(out, "null");
                return;
        }
        bool plain = true;
        for (size_t i = 0; i < v.n; i++)
                plain = plain && v.p[i] >= ' ' && v.p[i] < 0x7f && v.p[i] != '"' && v.p[i] != '\\';
        if (!plain) {
                struct json j;
                json_init(&j, out);
                json_span(&j, v);
                return;
        }
        LIT(out, "\"");
        buf_add(out, v.p, v.n);
        LIT(out, "\"");
}

static void put_address(struct buf *out, const struct ipaddr *a, uint16_t port)
{
        char text[IPADDR_STR_MAX + DECIMAL_MAX + 4];
        size_t n = 0;
        if (a->af == 0) {
                LIT(out, "null");
                return;
        }
        text[n++] = '"';
        if (a->af == 4) {
                for (unsigned i = 0; i < 4; i++) {
                        n += decimal_put(text + n, a->b[i]);
                        text[n++] = '.';
                }
                n--;
        } else {
                char ip[IPADDR_STR_MAX];
                size_t len = strlen(ipaddr_str(a, ip));
                text[n++] = '[';
                memcpy(text + n, ip, len);
                n += len;
                text[n++] = ']';
        }
        text[n++] = ':';
        n += decimal_put(text + n, port);
        text[n++] = '"';
        buf_add(out, text, n);
}

/* "HTTPRoute ns/name rule 2 match 1": names of Kubernetes objects, but checked like everything else. */
static void put_route(struct buf *out, const struct access_route *r)
{
        char text[640];
        const char *const parts[] = {r->kind, " ", r->ns, "/", r->name};
        size_t n = 0;
        for (size_t i = 0; r->kind && i < ARRAY_SIZE(parts); i++) {
                size_t len = MIN(strlen(parts[i]), (size_t)200);
                if (n + len > sizeof text - 64)
                        break;
                memcpy(text + n, parts[i], len);
                n += len;
        }
        if (n > 0 && r->rule) {
                memcpy(text + n, " rule ", 6);
                n += 6 + decimal_put(text + n + 6, r->rule);
        }
        if (n > 0 && r->match) {
                memcpy(text + n, " match ", 7);
                n += 7 + decimal_put(text + n + 7, r->match);
        }
        put_text(out, SPAN(text, n));
}

void access_line_write(struct buf *out, const struct access_record *r)
{
        LIT(out, "{\"time\":\"");
        put_time(out, r->time_us);
        LIT(out, "\",\"client\":");
        put_address(out, &r->client, r->client_port);
        LIT(out, ",\"local\":");
        put_address(out, &r->local, r->local_port);
        LIT(out, ",\"listener\":");
        put_text(out, span_str(r->listener));
        LIT(out, ",\"protocol\":");
        put_text(out, r->http_minor == 2   ? SPAN_LIT("HTTP/2")
                      : r->http_minor == 1 ? SPAN_LIT("HTTP/1.1")
                                           : SPAN_LIT("HTTP/1.0"));
        LIT(out, ",\"tls\":");
        put_text(out, span_str(r->tls_version));
        LIT(out, ",\"sni\":");
        put_text(out, r->sni);
        LIT(out, ",\"method\":");
        put_text(out, r->method);
        LIT(out, ",\"authority\":");
        put_text(out, r->authority);
        LIT(out, ",\"path\":");
        put_text(out, r->path);
        if (r->has_query) {
                LIT(out, ",\"query\":");
                if (r->query.n)
                        put_text(out, r->query);
                else
                        LIT(out, "\"\"");
        }
        LIT(out, ",\"status\":");
        put_number(out, r->status);
        LIT(out, ",\"reason\":");
        put_text(out, span_str(reason_word(r->reason)));
        if (r->complete)
                LIT(out, ",\"complete\":true,\"bytes_in\":");
        else
                LIT(out, ",\"complete\":false,\"bytes_in\":");
        put_number(out, r->bytes_in);
        LIT(out, ",\"bytes_out\":");
        put_number(out, r->bytes_out);
        LIT(out, ",\"duration_us\":");
        put_number(out, r->duration_us);
        LIT(out, ",\"upstream\":");
        put_address(out, &r->upstream, r->upstream_port);
        LIT(out, ",\"upstream_us\":");
        put_number(out, r->upstream_us);
        LIT(out, ",\"tries\":");
        put_number(out, r->tries);
        LIT(out, ",\"route\":");
        put_route(out, &r->route);
        LIT(out, ",\"request_id\":");
        put_text(out, r->request_id);
        LIT(out, "}\n");
}
