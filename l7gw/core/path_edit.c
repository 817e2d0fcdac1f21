/* l7gw/core/path_edit.c - full and prefix replacement of paths. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/path.h"
#include "l7gw/core/path_edit.h"

struct span path_prefix_trim(struct span prefix)
{
        while (prefix.n && prefix.p[prefix.n - 1] == '/')
                prefix.n--;
        return prefix;
}

static int value_normalise(struct arena *a, const char *text, struct span *ret)
{
        size_t n = strlen(text), w = 0;
        uint8_t *p = arena_alloc(a, n * 3);
        if (!p)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                uint8_t c = (uint8_t)text[i];
                if (char_is(c, CH_TARGET) && c != '?') {
                        p[w++] = c;
                        continue;
                }
                p[w++] = '%';
                p[w++] = (uint8_t)hex_upper[c >> 4];
                p[w++] = (uint8_t)hex_upper[c & 15];
        }
        return path_normalise(a, SPAN(p, w), ret);
}

int path_edit_build(struct arena *a, const Model__PathEdit *e, struct path_edit *ret)
{
        struct path_edit out = { 0 };
        if (e && e->kind == MODEL__PATH_EDIT__KIND__REGEX)
                return -ENOTSUP;
        if (e && e->kind != MODEL__PATH_EDIT__KIND__KEEP) {
                bool full = e->kind == MODEL__PATH_EDIT__KIND__FULL;
                out.kind = full ? PATH_EDIT_FULL : PATH_EDIT_PREFIX;
                out.value = full ? SPAN_LIT("/") : SPAN_NULL;
                int r = e->value[0] ? value_normalise(a, e->value, &out.value) : 0;
                if (r < 0)
                        return r;
                if (!full)
                        out.value = path_prefix_trim(out.value);
        }
        *ret = out;
        return 0;
}

/* The part of path after the matched prefix: "" or "/...". */
static struct span prefix_rest(const Model__RouteEntry *entry, struct span path)
{
        if (!entry || !entry->match || entry->match->path_kind != MODEL__MATCH__PATH_KIND__PREFIX)
                return path;
        struct span prefix = path_prefix_trim(span_str(entry->match->path));
        BUG_ON(prefix.n > path.n); /* the entry has matched this path */
        return SPAN(path.p + prefix.n, path.n - prefix.n);
}

int path_edit_apply(struct arena *a, const struct path_edit *e, const Model__RouteEntry *entry, struct span path, struct span *ret)
{
        if (e->kind == PATH_EDIT_KEEP || path.n == 0 || path.p[0] != '/') {
                *ret = path;
                return 0;
        }
        if (e->kind == PATH_EDIT_FULL) {
                *ret = e->value;
                return 0;
        }
        struct span rest = prefix_rest(entry, path);
        if (e->value.n + rest.n == 0) {
                *ret = SPAN_LIT("/");
                return 0;
        }
        uint8_t *p = arena_alloc(a, e->value.n + rest.n);
        if (!p)
                return -ENOMEM;
        if (e->value.n)
                memcpy(p, e->value.p, e->value.n);
        if (rest.n)
                memcpy(p + e->value.n, rest.p, rest.n);
        *ret = SPAN(p, e->value.n + rest.n);
        return 0;
}
