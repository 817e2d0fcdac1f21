/* l7gw/core/session.c - see session.h. */
#include "lib/base.h"
#include "l7gw/core/session.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/cookie.h"
#include "lib/control.pb-c.h"
#include "lib/core/hash.h"

#define TOKEN_DIGITS 16
#define CLOCK_SKEW_S 300 /* of the shard that gave the token */

uint64_t session_token(const struct ipaddr *addr, uint16_t port)
{
        static const struct siphash_key key = { 0x676174656f757365u, 0x73657373696f6e31u }; /* one for all shards; no secret */
        uint8_t b[19] = { addr->af, (uint8_t)(port >> 8), (uint8_t)port };
        memcpy(b + 3, addr->b, ipaddr_len(addr));
        uint64_t t = siphash24(&key, b, sizeof b);
        return t ? t : 1;
}

int session_check(const Model__Persistence *p, const Model__Source *src, const char *section, struct model_error *reterr)
{
        bool cookie = p->kind == MODEL__PERSISTENCE__KIND__COOKIE;
        struct span name = span_str(p->name);
        if (name_is_token(name) && (cookie || field_id_of(name) == FIELD_OTHER))
                return 0;
        model_error_set(reterr, CONTROL__NACK_STAGE__NACK_CHECK, section, src, "session persistence: not a name for a %s: \"%s\"",
                        cookie ? "cookie" : "header", p->name);
        return -EINVAL;
}

static bool token_parse(const Model__Persistence *p, struct span s, uint64_t now_s, uint64_t *ret)
{
        uint64_t token = 0, born = 0;
        if (s.n < TOKEN_DIGITS)
                return false;
        for (size_t i = 0; i < TOKEN_DIGITS; i++) {
                if (!char_is(s.p[i], CH_HEX))
                        return false;
                token = token << 4 | hex_value(s.p[i]);
        }
        struct span rest = SPAN(s.p + TOKEN_DIGITS, s.n - TOKEN_DIGITS);
        *ret = token;
        if (p->absolute_timeout_s == 0)
                return token != 0 && rest.n == 0;
        if (rest.n < 2 || rest.n > 12 || rest.p[0] != '.')
                return false;
        for (size_t i = 1; i < rest.n; i++) {
                if (!char_is(rest.p[i], CH_DIGIT))
                        return false;
                born = born * 10 + (uint64_t)(rest.p[i] - '0');
        }
        return token != 0 && born <= now_s + CLOCK_SKEW_S && born + p->absolute_timeout_s > now_s;
}

static size_t cookies_read(const Model__Persistence *p, struct span line, uint64_t now_s, uint64_t *ret, size_t max)
{
        struct span name = span_str(p->name), value;
        size_t n = 0;
        while (n < max && cookie_next(&line, name, &value))
                n += token_parse(p, value, now_s, &ret[n]);
        return n;
}

size_t session_read(const Model__Persistence *p, const struct msg *req, uint64_t now_s, uint64_t *ret, size_t max)
{
        size_t n = 0;
        for (size_t i = 0; i < req->n_fields && n < max; i++) {
                const struct field *f = &req->fields[i];
                if (p->kind == MODEL__PERSISTENCE__KIND__COOKIE && f->id == FIELD_COOKIE)
                        n += cookies_read(p, f->value, now_s, ret + n, max - n);
                else if (p->kind == MODEL__PERSISTENCE__KIND__HEADER && span_ieq(f->name, span_str(p->name)))
                        n += token_parse(p, f->value, now_s, &ret[n]);
        }
        return n;
}

int session_write(const Model__Persistence *p, uint64_t token, uint64_t now_s, struct span path, bool tls, struct msg *resp)
{
        char born[24] = "", age[40] = "";
        if (p->absolute_timeout_s)
                snprintf(born, sizeof born, ".%llu", (unsigned long long)now_s);
        if (p->absolute_timeout_s && !p->session_cookie)
                snprintf(age, sizeof age, "; Max-Age=%u", p->absolute_timeout_s);
        if (p->kind == MODEL__PERSISTENCE__KIND__HEADER) {
                char *v = arena_printf(resp->arena, "%016llx%s", (unsigned long long)token, born);
                return v ? msg_set(resp, span_str(p->name), span_str(v)) : -ENOMEM;
        }
        if (path.n == 0 || path.p[0] != '/' || memchr(path.p, ';', path.n))
                path = SPAN_LIT("/");
        char *v = arena_printf(resp->arena, "%s=%016llx%s; Path=%.*s%s; HttpOnly%s", p->name, (unsigned long long)token, born, SPAN_FMT(path),
                               age, tls ? "; Secure" : "");
        return v ? msg_add(resp, SPAN_LIT("set-cookie"), span_str(v)) : -ENOMEM;
}
