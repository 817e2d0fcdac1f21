/* image/core/config_blank.c - see config_blank.h.  libconfig's tokens, as far as they matter: comments, strings, names. */
#include "lib/base.h"
#include "image/core/config_blank.h"

static bool is_name(uint8_t c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*';
}

static bool starts(struct span t, size_t at, const char *s)
{
        size_t n = strlen(s);
        return t.n - at >= n && memcmp(t.p + at, s, n) == 0;
}

/* Behind the comment that begins at `at`; at itself when none does. */
static size_t comment(struct span t, size_t at)
{
        size_t i = at;
        if (starts(t, at, "/*")) {
                for (i += 2; i < t.n && !starts(t, i, "*/");)
                        i++;
                return MIN(i + 2, t.n);
        }
        if (!starts(t, at, "#") && !starts(t, at, "//"))
                return at;
        while (i < t.n && t.p[i] != '\n')
                i++;
        return i;
}

/* Behind the string that begins at `at`. */
static size_t string(struct span t, size_t at)
{
        size_t i = at + 1;
        while (i < t.n && t.p[i] != '"')
                i += t.p[i] == '\\' ? 2 : 1;
        return MIN(i + 1, t.n);
}

static bool is_secret(struct span name)
{
        static const char *const names[] = {
#define S(n) n,
                CONFIG_SECRETS(S)
#undef S
        };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (span_eq_str(name, names[i]))
                        return true;
        return false;
}

size_t config_blank(struct span t, struct buf *out)
{
        enum { OTHER, NAME, VALUE, SEALED } after = OTHER; /* a secret's name was read; then = or :; then a string was replaced */
        size_t blanked = 0;
        for (size_t i = 0; i < t.n;) {
                size_t end = comment(t, i);
                if (end > i) { /* may stand anywhere, also between strings that make one */
                        buf_add(out, t.p + i, end - i);
                } else if (t.p[i] == '"') {
                        end = string(t, i);
                        struct span s = SPAN(t.p + i, end - i), put = s;
                        bool drop = (after == VALUE || after == SEALED) && s.n > 2 && !span_eq_str(s, "\"" CONFIG_SEALED "\"");
                        if (drop)
                                put = after == VALUE ? SPAN_LIT("\"" CONFIG_SEALED "\"") : SPAN_LIT("\"\""); /* "a" "b" is one string */
                        buf_add(out, put.p, put.n);
                        blanked += drop;
                        after = drop ? SEALED : after == NAME ? OTHER : after;
                } else if (is_name(t.p[i])) {
                        while (end < t.n && is_name(t.p[end]))
                                end++;
                        after = is_secret(SPAN(t.p + i, end - i)) ? NAME : OTHER;
                        buf_add(out, t.p + i, end - i);
                } else {
                        uint8_t c = t.p[i];
                        if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f')
                                after = after == NAME && (c == '=' || c == ':') ? VALUE : OTHER;
                        end = i + 1;
                        buf_add(out, t.p + i, 1);
                }
                i = end;
        }
        return blanked;
}
