/* lib/core/identity.c - see identity.h. */
#include "lib/base.h"
#include "lib/core/identity.h"

static const char *const roles[IDENTITY_ROLE_N] = { "agent", "l4", "l7" };

static bool is_word_char(uint8_t c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool word_take(struct span s, char ret[IDENTITY_WORD_MAX + 1])
{
        if (s.n == 0 || s.n > IDENTITY_WORD_MAX || span_eq_str(s, ".") || span_eq_str(s, ".."))
                return false;
        for (size_t i = 0; i < s.n; i++)
                if (!is_word_char(s.p[i]))
                        return false;
        memcpy(ret, s.p, s.n);
        ret[s.n] = '\0';
        return true;
}

/* The bytes before the next '/', which is dropped with them; all of it when there is none. */
static struct span part_next(struct span *rest, bool *ret_more)
{
        const uint8_t *slash = rest->n ? memchr(rest->p, '/', rest->n) : NULL;
        struct span part = { rest->p, slash ? (size_t)(slash - rest->p) : rest->n };
        *ret_more = slash != NULL;
        size_t used = part.n + (slash ? 1 : 0);
        *rest = (struct span){ rest->p + used, rest->n - used };
        return part;
}

const char *identity_role_str(enum identity_role r)
{
        return r < IDENTITY_ROLE_N ? roles[r] : "-";
}

enum identity_role identity_role_of(struct span word)
{
        unsigned r = 0;
        while (r < IDENTITY_ROLE_N && !span_eq_str(word, roles[r]))
                r++;
        return (enum identity_role)r;
}

int identity_parse(struct span uri, struct identity *ret)
{
        size_t n = sizeof IDENTITY_SCHEME - 1;
        if (uri.n < n || memcmp(uri.p, IDENTITY_SCHEME, n) != 0)
                return -EINVAL;
        struct span rest = { uri.p + n, uri.n - n };
        struct identity id = { 0 };
        bool more;
        id.role = identity_role_of(part_next(&rest, &more));
        if (id.role == IDENTITY_ROLE_N || !more)
                return -EINVAL;
        if (id.role == IDENTITY_L7 && (!word_take(part_next(&rest, &more), id.pool) || !more))
                return -EINVAL;
        if (!word_take(part_next(&rest, &more), id.name) || more)
                return -EINVAL;
        *ret = id;
        return 0;
}

int identity_make(enum identity_role role, const char *pool, const char *name, struct identity *ret)
{
        struct identity id = { .role = role };
        bool pooled = pool && *pool;
        if (role >= IDENTITY_ROLE_N || pooled != (role == IDENTITY_L7))
                return -EINVAL;
        if ((pooled && !word_take(span_str(pool), id.pool)) || !word_take(span_str(name), id.name))
                return -EINVAL;
        *ret = id;
        return 0;
}

const char *identity_uri(const struct identity *id, char ret[IDENTITY_URI_MAX])
{
        snprintf(ret, IDENTITY_URI_MAX, IDENTITY_SCHEME "%s/%s%s%s", identity_role_str(id->role), id->pool, *id->pool ? "/" : "",
                 id->name);
        return ret;
}

bool identity_eq(const struct identity *a, const struct identity *b)
{
        return a->role == b->role && strcmp(a->pool, b->pool) == 0 && strcmp(a->name, b->name) == 0;
}
