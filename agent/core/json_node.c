/* agent/core/json_node.c - a recursive reader with a depth limit, and its writer.  Layer: agent/core, pure. */
#include "lib/base.h"

#include "agent/core/json_node.h"
#include "agent/core/source_limits.tbl.h"

struct reader {
        const uint8_t *begin, *p, *end;
        const char *what;
        struct arena *a;
        struct err *err;
        unsigned depth;
};

static int fail(struct reader *r, int errno_value, const char *msg)
{
        char place[192];
        snprintf(place, sizeof place, "%s: byte %zu", r->what, (size_t)(r->p - r->begin));
        return err_set(r->err, errno_value, place, "%s", msg);
}
static int fail_nomem(struct reader *r) { return fail(r, ENOMEM, "larger in memory than is allowed, or out of memory"); }

static void skip_blanks(struct reader *r)
{
        while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
                r->p++;
}
static bool take(struct reader *r, uint8_t c)
{
        if (r->p == r->end || *r->p != c)
                return false;
        r->p++;
        return true;
}

/* Strings */

/* Bytes of the well-formed UTF-8 sequence at p (Unicode 15, table 3-7), 0 = none. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
        uint8_t lo = 0x80, hi = 0xbf;
        size_t len;
        if (p[0] < 0x80)
                return 1;
        if (p[0] >= 0xc2 && p[0] <= 0xdf)
                len = 2;
        else if ((p[0] & 0xf0) == 0xe0)
                len = 3;
        else if (p[0] >= 0xf0 && p[0] <= 0xf4)
                len = 4;
        else
                return 0;
        if (p[0] == 0xe0)
                lo = 0xa0;
        else if (p[0] == 0xed)
                hi = 0x9f;
        else if (p[0] == 0xf0)
                lo = 0x90;
        else if (p[0] == 0xf4)
                hi = 0x8f;
        if (n < len || p[1] < lo || p[1] > hi)
                return 0;
        for (size_t i = 2; i < len; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        return len;
}

/* From behind the opening quote to behind the closing one; tells the raw extent and whether it holds escapes. */
static int scan_string(struct reader *r, struct span *ret, bool *ret_escaped)
{
        const uint8_t *from = r->p;
        *ret_escaped = false;
        while (r->p < r->end && *r->p != '"') {
                if (*r->p < 0x20)
                        return fail(r, EINVAL, "control character in a string");
                if (*r->p == '\\') {
                        *ret_escaped = true;
                        if (++r->p == r->end)
                                break;
                }
                size_t n = utf8_len(r->p, (size_t)(r->end - r->p));
                if (n == 0)
                        return fail(r, EINVAL, "string is not UTF-8");
                r->p += n;
        }
        *ret = SPAN(from, (size_t)(r->p - from));
        return take(r, '"') ? 0 : fail(r, EINVAL, "string without an end");
}

static int hex4(const uint8_t *p, const uint8_t *end, uint32_t *ret)
{
        uint32_t v = 0;
        if (end - p < 4)
                return -EINVAL;
        for (int i = 0; i < 4; i++) {
                uint8_t c = p[i];
                if (c >= '0' && c <= '9')
                        v = v * 16 + (uint32_t)(c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        v = v * 16 + (uint32_t)((c | 0x20) - 'a' + 10);
                else
                        return -EINVAL;
        }
        *ret = v;
        return 0;
}
static size_t utf8_put(uint8_t *out, uint32_t c)
{
        if (c < 0x80) {
                out[0] = (uint8_t)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (uint8_t)(0xc0 | c >> 6);
                out[1] = (uint8_t)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (uint8_t)(0xe0 | c >> 12);
                out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
                out[2] = (uint8_t)(0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (uint8_t)(0xf0 | c >> 18);
        out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        out[3] = (uint8_t)(0x80 | (c & 0x3f));
        return 4;
}
/* The escape behind a backslash at *p: its bytes to out (at most 4, never more than it took). */
static int unescape_one(const uint8_t **p, const uint8_t *end, uint8_t *out, size_t *ret_n)
{
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        uint32_t c, low;
        uint8_t e = *(*p)++;
        if (e != 'u') {
                const char *at = e ? strchr(from, e) : NULL;
                if (!at)
                        return -EINVAL;
                out[0] = (uint8_t)to[at - from];
                *ret_n = 1;
                return 0;
        }
        if (hex4(*p, end, &c) < 0 || (c >= 0xdc00 && c <= 0xdfff))
                return -EINVAL;
        *p += 4;
        if (c >= 0xd800 && c <= 0xdbff) {
                if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u' || hex4(*p + 2, end, &low) < 0 || low < 0xdc00 || low > 0xdfff)
                        return -EINVAL;
                *p += 6;
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
        *ret_n = utf8_put(out, c);
        return 0;
}

static int read_string(struct reader *r, struct span *ret)
{
        bool escaped;
        int rc = scan_string(r, ret, &escaped);
        if (rc < 0 || !escaped)
                return rc;
        uint8_t *out = arena_alloc(r->a, ret->n);
        size_t n = 0, k;
        if (!out)
                return fail_nomem(r);
        for (const uint8_t *p = ret->p, *end = p + ret->n; p < end;) {
                if (*p != '\\') {
                        out[n++] = *p++;
                        continue;
                }
                p++;
                if (unescape_one(&p, end, out + n, &k) < 0)
                        return fail(r, EINVAL, "escape that JSON does not have");
                n += k;
        }
        *ret = SPAN(out, n);
        return 0;
}

/* Values */

static size_t digits(const uint8_t *p, const uint8_t *end)
{
        size_t n = 0;
        while (p + n < end && p[n] >= '0' && p[n] <= '9')
                n++;
        return n;
}
/* Bytes of the number at the start of s, 0 = none (RFC 8259 section 6). */
static size_t number_len(struct span s)
{
        const uint8_t *p = s.p, *end = s.p + s.n;
        if (p < end && *p == '-')
                p++;
        size_t n = digits(p, end);
        if (n == 0 || (n > 1 && *p == '0'))
                return 0;
        p += n;
        if (p < end && *p == '.') {
                if ((n = digits(p + 1, end)) == 0)
                        return 0;
                p += 1 + n;
        }
        if (p < end && (*p | 0x20) == 'e') {
                const uint8_t *q = p + 1;
                if (q < end && (*q == '+' || *q == '-'))
                        q++;
                if ((n = digits(q, end)) == 0)
                        return 0;
                p = q + n;
        }
        return (size_t)(p - s.p);
}

static int read_value(struct reader *r, struct node **ret);

static struct node *new_node(struct reader *r, enum node_type type)
{
        struct node *n = arena_calloc(r->a, 1, sizeof *n);
        if (n)
                n->type = type;
        return n;
}

static int add_item(struct reader *r, struct node *to, size_t *cap, struct span key, struct node *value)
{
        if (to->n == *cap) {
                size_t more = *cap ? *cap * 2 : 4;
                struct node_item *v = arena_calloc(r->a, more, sizeof *v);
                if (!v)
                        return fail_nomem(r);
                if (to->n)
                        memcpy(v, to->items, to->n * sizeof *v);
                to->items = v;
                *cap = more;
        }
        to->items[to->n++] = (struct node_item){ .key = key, .value = value };
        return 0;
}

static int read_key(struct reader *r, struct span *ret)
{
        skip_blanks(r);
        if (!take(r, '"'))
                return fail(r, EINVAL, "a key must be a string");
        int rc = read_string(r, ret);
        skip_blanks(r);
        return rc < 0 ? rc : take(r, ':') ? 0 : fail(r, EINVAL, "\":\" missing behind a key");
}
/* 1: another element follows, 0: that was the last. */
static int read_comma(struct reader *r, uint8_t close)
{
        skip_blanks(r);
        if (take(r, ','))
                return 1;
        return take(r, close) ? 0 : fail(r, EINVAL, close == '}' ? "\",\" or \"}\" missing" : "\",\" or \"]\" missing");
}

static int key_cmp(const void *a, const void *b)
{
        return span_cmp(((const struct node_item *)a)->key, ((const struct node_item *)b)->key);
}
/* A key given twice means two things: refused. */
static int check_keys(struct reader *r, const struct node *map)
{
        static const char twice[] = "a key is given twice";
        if (map->n <= 16) {
                for (size_t i = 1; i < map->n; i++)
                        for (size_t k = 0; k < i; k++)
                                if (span_eq(map->items[i].key, map->items[k].key))
                                        return fail(r, EINVAL, twice);
                return 0;
        }
        struct node_item *v = arena_dup(r->a, map->items, map->n * sizeof *v);
        if (!v)
                return fail_nomem(r);
        qsort(v, map->n, sizeof *v, key_cmp);
        for (size_t i = 1; i < map->n; i++)
                if (span_eq(v[i].key, v[i - 1].key))
                        return fail(r, EINVAL, twice);
        return 0;
}

static int read_container(struct reader *r, bool map, struct node **ret)
{
        struct node *n = new_node(r, map ? NODE_MAP : NODE_SEQ), *v;
        struct span key = { 0 };
        size_t cap = 0;
        if (!n)
                return fail_nomem(r);
        skip_blanks(r);
        int more = !take(r, map ? '}' : ']');
        while (more > 0) {
                int rc = map ? read_key(r, &key) : 0;
                if (rc == 0)
                        rc = read_value(r, &v);
                if (rc == 0)
                        rc = add_item(r, n, &cap, key, v);
                if (rc < 0)
                        return rc;
                more = read_comma(r, map ? '}' : ']');
        }
        *ret = n;
        return more == 0 && map ? check_keys(r, n) : more;
}

static int read_scalar(struct reader *r, struct node **ret)
{
        static const char *const words[] = { "null", "true", "false" };
        struct span rest = SPAN(r->p, (size_t)(r->end - r->p));
        struct node *n = new_node(r, NODE_SCALAR);
        if (!n)
                return fail_nomem(r);
        *ret = n;
        if (take(r, '"')) {
                n->quoted = true;
                return read_string(r, &n->text);
        }
        size_t len = number_len(rest);
        for (size_t i = 0; len == 0 && i < ARRAY_SIZE(words); i++)
                if (rest.n >= strlen(words[i]) && memcmp(rest.p, words[i], strlen(words[i])) == 0) {
                        len = strlen(words[i]);
                        n->type = i == 0 ? NODE_NULL : NODE_SCALAR;
                }
        if (len == 0)
                return fail(r, EINVAL, rest.n ? "not a JSON value" : "ends where a value is expected");
        n->text = SPAN(r->p, len);
        r->p += len;
        return 0;
}

static int read_value(struct reader *r, struct node **ret)
{
        skip_blanks(r);
        bool map = take(r, '{');
        if (!map && !take(r, '['))
                return read_scalar(r, ret);
        if (r->depth == SOURCE_MAX_DOC_DEPTH)
                return fail(r, E2BIG, "nested too deep");
        r->depth++;
        int rc = read_container(r, map, ret);
        r->depth--;
        return rc;
}

static int read_end(struct reader *r)
{
        skip_blanks(r);
        return r->p == r->end ? 0 : fail(r, EINVAL, "more behind the value");
}

int json_node_read(struct span text, const char *what, struct arena *a, struct node **ret, struct err *reterr)
{
        struct reader r = { .begin = text.p, .p = text.p, .end = text.p + text.n, .what = what, .a = a, .err = reterr };
        int rc = read_value(&r, ret);
        return rc < 0 ? rc : read_end(&r);
}

/* The list behind "items": each item alone. */
static int read_items(struct reader *r, struct arena *scratch, json_item_fn *fn, void *arg)
{
        struct arena *a = r->a;
        skip_blanks(r);
        if (!take(r, '[')) { /* an empty list of Go's is null */
                struct node *n;
                int rc = read_scalar(r, &n);
                return rc < 0 || n->type == NODE_NULL ? rc : fail(r, EINVAL, "items must be a list");
        }
        skip_blanks(r);
        int more = !take(r, ']');
        r->depth++;
        r->a = scratch;
        while (more > 0) {
                struct node *item;
                arena_reset(scratch);
                more = read_value(r, &item);
                if (more == 0)
                        more = fn(arg, item);
                if (more >= 0)
                        more = read_comma(r, ']');
        }
        r->a = a;
        r->depth--;
        return more;
}

int json_node_read_items(struct span text, const char *what, struct arena *a, struct arena *scratch, json_item_fn *fn,
                         void *arg, struct node **ret, struct err *reterr)
{
        struct reader r = { .begin = text.p, .p = text.p, .end = text.p + text.n, .what = what, .a = a, .err = reterr };
        struct node *n = new_node(&r, NODE_MAP), *v;
        size_t cap = 0;
        bool seen = false;
        if (!n)
                return fail_nomem(&r);
        skip_blanks(&r);
        if (!take(&r, '{'))
                return fail(&r, EINVAL, "not a JSON object");
        skip_blanks(&r);
        int more = !take(&r, '}');
        while (more > 0) {
                struct span key;
                int rc = read_key(&r, &key);
                if (rc == 0 && span_eq_str(key, "items")) {
                        if (seen)
                                return fail(&r, EINVAL, "items are given twice");
                        seen = true;
                        rc = read_items(&r, scratch, fn, arg);
                } else if (rc == 0) {
                        rc = read_value(&r, &v);
                        rc = rc < 0 ? rc : add_item(&r, n, &cap, key, v);
                }
                if (rc < 0)
                        return rc;
                more = read_comma(&r, '}');
        }
        if (more == 0)
                more = check_keys(&r, n);
        *ret = n;
        return more < 0 ? more : read_end(&r);
}

/* Writing and comparing */

#define WRITE_MAX_DEPTH (JSON_MAX_DEPTH - 4) /* our caller's own levels come on top */
#define WRITE_MAX_KEY 512                    /* a label's key, the longest there is, has 317 */

static bool writable(const struct node *n, unsigned depth)
{
        bool ok = depth < WRITE_MAX_DEPTH;
        for (size_t i = 0; ok && i < n->n; i++)
                ok = n->items[i].key.n < WRITE_MAX_KEY && writable(n->items[i].value, depth + 1);
        return ok;
}

static void write_node(struct json *j, const struct node *n)
{
        char key[WRITE_MAX_KEY];
        switch (n->type) {
        case NODE_NULL:
                json_nil(j);
                return;
        case NODE_SCALAR:
                if (!n->quoted && ((n->text.n && number_len(n->text) == n->text.n) || span_eq_str(n->text, "true") ||
                                   span_eq_str(n->text, "false")))
                        json_raw(j, n->text);
                else
                        json_span(j, n->text);
                return;
        case NODE_MAP:
                json_obj(j);
                for (size_t i = 0; i < n->n; i++) {
                        snprintf(key, sizeof key, "%.*s", SPAN_FMT(n->items[i].key));
                        json_key(j, key);
                        write_node(j, n->items[i].value);
                }
                json_end(j);
                return;
        case NODE_SEQ:
                json_arr(j);
                for (size_t i = 0; i < n->n; i++)
                        write_node(j, n->items[i].value);
                json_end(j);
                return;
        }
}
int json_node_write(const struct node *n, struct json *j)
{
        if (!writable(n, 0))
                return -E2BIG;
        write_node(j, n);
        return j->b->failed ? -ENOMEM : 0;
}

static const struct node *member(const struct node *map, struct span key)
{
        for (size_t i = 0; i < map->n; i++)
                if (span_eq(map->items[i].key, key))
                        return map->items[i].value->type == NODE_NULL ? NULL : map->items[i].value;
        return NULL;
}
static bool covers(const struct node *a, const struct node *b) /* each member of a is the same in b */
{
        for (size_t i = 0; i < a->n; i++) {
                const struct node *v = a->items[i].value, *w = member(b, a->items[i].key);
                if (v->type != NODE_NULL && (!w || !node_same(v, w)))
                        return false;
        }
        return true;
}
static size_t n_members(const struct node *map)
{
        size_t n = 0;
        for (size_t i = 0; i < map->n; i++)
                n += map->items[i].value->type != NODE_NULL;
        return n;
}
bool node_same(const struct node *a, const struct node *b)
{
        if (a->type != b->type)
                return false;
        if (a->type == NODE_SCALAR)
                return span_eq(a->text, b->text);
        if (a->type == NODE_MAP)
                return n_members(a) == n_members(b) && covers(a, b);
        bool same = a->n == b->n;
        for (size_t i = 0; same && i < a->n; i++)
                same = node_same(a->items[i].value, b->items[i].value);
        return same;
}
