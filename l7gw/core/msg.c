/* l7gw/core/msg.c - fields of a message: the engine's own names by id, adding, replacing, removing. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/msg.h"

void msg_init(struct msg *m, struct arena *a)
{
        *m = (struct msg){ .arena = a };
}

/* One length compare per known name of that length: names are rare, the switch takes most of them away. */
#define IS(ID, lit)                                   \
        if (memcmp(s.p, lit, sizeof(lit) - 1) == 0)   \
                return FIELD_##ID

static enum field_id id_of_short(struct span s)
{
        switch (s.n) {
        case 2:
                IS(TE, "te");
                break;
        case 3:
                IS(VIA, "via");
                break;
        case 4:
                IS(HOST, "host");
                IS(DATE, "date");
                break;
        case 6:
                IS(COOKIE, "cookie");
                IS(SERVER, "server");
                IS(ORIGIN, "origin");
                IS(EXPECT, "expect");
                break;
        case 7:
                IS(UPGRADE, "upgrade");
                IS(REFERER, "referer");
                IS(TRAILER, "trailer");
                break;
        case 8:
                IS(LOCATION, "location");
                break;
        case 9:
                IS(FORWARDED, "forwarded");
                IS(X_REAL_IP, "x-real-ip");
                break;
        case 10:
                IS(USER_AGENT, "user-agent");
                IS(CONNECTION, "connection");
                IS(SET_COOKIE, "set-cookie");
                IS(KEEP_ALIVE, "keep-alive");
                break;
        }
        return FIELD_OTHER;
}

enum field_id field_id_of(struct span s)
{
        if (s.n <= 10)
                return id_of_short(s);
        switch (s.n) {
        case 11:
                IS(TRACEPARENT, "traceparent");
                break;
        case 12:
                IS(CONTENT_TYPE, "content-type");
                IS(X_REQUEST_ID, "x-request-id");
                break;
        case 13:
                IS(AUTHORIZATION, "authorization");
                break;
        case 14:
                IS(CONTENT_LENGTH, "content-length");
                break;
        case 15:
                IS(ACCEPT_ENCODING, "accept-encoding");
                IS(X_FORWARDED_FOR, "x-forwarded-for");
                break;
        case 16:
                IS(PROXY_CONNECTION, "proxy-connection");
                IS(X_FORWARDED_HOST, "x-forwarded-host");
                break;
        case 17:
                IS(TRANSFER_ENCODING, "transfer-encoding");
                IS(X_FORWARDED_PROTO, "x-forwarded-proto");
                break;
        case 18:
                IS(PROXY_AUTHENTICATE, "proxy-authenticate");
                break;
        case 19:
                IS(PROXY_AUTHORIZATION, "proxy-authorization");
                break;
        }
        return FIELD_OTHER;
}

const struct field *msg_find(const struct msg *m, struct span name)
{
        for (size_t i = 0; i < m->n_fields; i++)
                if (m->fields[i].name.n == name.n && span_ieq(m->fields[i].name, name))
                        return &m->fields[i];
        return NULL;
}

const struct field *msg_find_id(const struct msg *m, enum field_id id)
{
        for (size_t i = 0; i < m->n_fields; i++)
                if (m->fields[i].id == id)
                        return &m->fields[i];
        return NULL;
}

int msg_reserve(struct msg *m, size_t n)
{
        if (n <= m->cap_fields)
                return 0;
        if (n > MSG_MAX_STORED)
                return -ENOMEM;
        size_t cap = MAX(n, m->cap_fields * 2);
        struct field *f = arena_calloc(m->arena, cap, sizeof *f);
        if (!f)
                return -ENOMEM;
        if (m->n_fields)
                memcpy(f, m->fields, m->n_fields * sizeof *f);
        m->fields = f;
        m->cap_fields = cap;
        return 0;
}

/* The name in lower case: itself when it already is, else a copy in the arena. */
static int name_lower(struct arena *a, struct span name, struct span *ret)
{
        size_t i = 0;
        while (i < name.n && char_lower[name.p[i]] == name.p[i])
                i++;
        *ret = name;
        if (i == name.n)
                return 0;
        uint8_t *p = arena_dup(a, name.p, name.n);
        if (!p)
                return -ENOMEM;
        for (; i < name.n; i++)
                p[i] = char_lower[p[i]];
        *ret = SPAN(p, name.n);
        return 0;
}

int msg_add(struct msg *m, struct span name, struct span value)
{
        if (!name_is_token(name) || !value_is_valid(value))
                return -EINVAL;
        struct span lower;
        int r = name_lower(m->arena, name, &lower);
        if (r == 0)
                r = msg_reserve(m, m->n_fields + 1);
        if (r < 0)
                return r;
        m->fields[m->n_fields++] = (struct field){ lower, value, field_id_of(lower) };
        return 0;
}

int msg_set(struct msg *m, struct span name, struct span value)
{
        if (!name_is_token(name) || !value_is_valid(value))
                return -EINVAL;
        size_t keep = 0, first = SIZE_MAX;
        for (size_t i = 0; i < m->n_fields; i++) {
                if (span_ieq(m->fields[i].name, name)) {
                        if (first != SIZE_MAX)
                                continue;
                        first = keep;
                        m->fields[i].value = value;
                }
                m->fields[keep++] = m->fields[i];
        }
        m->n_fields = keep;
        return first != SIZE_MAX ? 0 : msg_add(m, name, value);
}

void msg_remove(struct msg *m, struct span name)
{
        size_t keep = 0;
        for (size_t i = 0; i < m->n_fields; i++)
                if (!span_ieq(m->fields[i].name, name))
                        m->fields[keep++] = m->fields[i];
        m->n_fields = keep;
}

int msg_copy(struct msg *dst, const struct msg *src)
{
        struct arena *a = dst->arena;
        struct span *const spans[] = { &dst->method, &dst->scheme, &dst->authority, &dst->host, &dst->path, &dst->query, &dst->reason,
                                       &dst->upgrade };
        *dst = *src;
        dst->arena = a;
        dst->fields = NULL;
        dst->n_fields = dst->cap_fields = 0;
        for (size_t i = 0; i < ARRAY_SIZE(spans); i++)
                *spans[i] = arena_span(a, *spans[i]);
        if (msg_reserve(dst, src->n_fields) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < src->n_fields; i++) {
                const struct field *f = &src->fields[i];
                dst->fields[dst->n_fields++] = (struct field){ arena_span(a, f->name), arena_span(a, f->value), f->id };
        }
        return a->failed ? -ENOMEM : 0;
}

bool name_is_token(struct span s) { return s.n > 0 && chars_all(s, CH_TOKEN); }

static bool is_ows(uint8_t c) { return c == ' ' || c == '\t'; }

bool value_is_valid(struct span s)
{
        return chars_value(s) && (s.n == 0 || (!is_ows(s.p[0]) && !is_ows(s.p[s.n - 1])));
}
