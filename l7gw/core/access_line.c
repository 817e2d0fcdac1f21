/* l7gw/core/access_line.c - see access_line.h. */
#include "lib/base.h"
#include "l7gw/core/access_line.h"
#include "lib/core/json.h"

/* Days since 1970 to a date: Howard Hinnant's civil_from_days. */
static void time_text(uint64_t us, char ret[40])
{
        uint64_t s = us / 1000000, day_s = s % 86400;
        uint64_t z = s / 86400 + 719468, era = z / 146097, doe = z % 146097;
        uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
        unsigned d = (unsigned)(doy - (153 * mp + 2) / 5 + 1), m = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
        unsigned y = (unsigned)(yoe + era * 400 + (m <= 2));
        snprintf(ret, 40, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", y % 10000, m, d, (unsigned)(day_s / 3600) % 24,
                 (unsigned)(day_s / 60) % 60, (unsigned)day_s % 60, (unsigned)(us / 1000 % 1000));
}

static void address(struct json *j, const char *key, const struct ipaddr *a, uint16_t port)
{
        char ip[IPADDR_STR_MAX], text[IPADDR_STR_MAX + 16];
        json_key(j, key);
        if (a->af == 0) {
                json_nil(j);
                return;
        }
        ipaddr_str(a, ip);
        snprintf(text, sizeof text, "%s%s%s:%u", a->af == 6 ? "[" : "", ip, a->af == 6 ? "]" : "", port);
        json_str(j, text);
}

static void text(struct json *j, const char *key, struct span v)
{
        json_key(j, key);
        if (v.n == 0)
                json_nil(j);
        else
                json_span(j, v);
}

static void number(struct json *j, const char *key, uint64_t v)
{
        json_key(j, key);
        json_u64(j, v);
}

void access_line_write(struct buf *out, const struct access_record *r)
{
        struct json j;
        char when[40];
        time_text(r->time_us, when);
        json_init(&j, out);
        json_obj(&j);
        text(&j, "time", span_str(when));
        address(&j, "client", &r->client, r->client_port);
        address(&j, "local", &r->local, r->local_port);
        text(&j, "listener", span_str(r->listener));
        text(&j, "protocol", span_str(r->http_minor == 2 ? "HTTP/2" : r->http_minor == 1 ? "HTTP/1.1" : "HTTP/1.0"));
        text(&j, "tls", span_str(r->tls_version));
        text(&j, "sni", r->sni);
        text(&j, "method", r->method);
        text(&j, "authority", r->authority);
        text(&j, "path", r->path);
        if (r->has_query) {
                json_key(&j, "query");
                json_span(&j, r->query);
        }
        number(&j, "status", r->status);
        text(&j, "reason", span_str(reason_word(r->reason)));
        json_key(&j, "complete");
        json_bool(&j, r->complete);
        number(&j, "bytes_in", r->bytes_in);
        number(&j, "bytes_out", r->bytes_out);
        number(&j, "duration_us", r->duration_us);
        address(&j, "upstream", &r->upstream, r->upstream_port);
        number(&j, "upstream_us", r->upstream_us);
        number(&j, "tries", r->tries);
        text(&j, "route", span_str(r->route));
        text(&j, "request_id", r->request_id);
        json_end(&j);
        buf_str(out, "\n");
}
