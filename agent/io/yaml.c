/* agent/io/yaml.c - libyaml events to nodes, with an explicit stack: depth is a count, not our C stack. */
#include "lib/base.h"

#include "agent/core/source_limits.tbl.h"
#include "agent/io/yaml.h"

#include <yaml.h>

struct level { /* an open map or sequence */
        struct node *node;
        size_t cap;
        bool have_key; /* MAP: key is set and waits for its value */
        struct span key;
        uint32_t key_line, key_column;
};
struct reader {
        yaml_parser_t parser;
        const char *file;
        struct arena *a;
        struct err *err;
        struct level stack[SOURCE_MAX_DOC_DEPTH];
        size_t depth, nodes;
        struct node *root; /* of the document being read */
};

static int fail(struct reader *r, int errno_value, size_t line, size_t column, const char *msg)
{
        char place[192];
        snprintf(place, sizeof place, "%s:%zu:%zu", r->file, line, column);
        return err_set(r->err, errno_value, place, "%s", msg);
}
static int fail_mark(struct reader *r, int errno_value, const yaml_mark_t *m, const char *msg)
{
        return fail(r, errno_value, m->line + 1, m->column + 1, msg);
}
static int fail_nomem(struct reader *r, const yaml_mark_t *m)
{
        return fail_mark(r, ENOMEM, m, "document larger in memory than is allowed, or out of memory");
}

static bool text_is_null(struct span s)
{
        return s.n == 0 || span_eq_str(s, "~") || span_eq_str(s, "null") || span_eq_str(s, "Null") ||
               span_eq_str(s, "NULL");
}

static bool tag_known(const char *tag)
{
        static const char *const known[] = { YAML_STR_TAG, YAML_INT_TAG, YAML_BOOL_TAG, YAML_FLOAT_TAG,
                                             YAML_NULL_TAG, YAML_MAP_TAG, YAML_SEQ_TAG, "!" };
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (strcmp(tag, known[i]) == 0)
                        return true;
        return false;
}

static int add_item(struct reader *r, struct level *l, struct node *value, const yaml_mark_t *m)
{
        struct node *parent = l->node;
        if (parent->n == l->cap) {
                size_t cap = l->cap ? l->cap * 2 : 4;
                struct node_item *items = arena_calloc(r->a, cap, sizeof *items);
                if (!items)
                        return fail_nomem(r, m);
                if (parent->n)
                        memcpy(items, parent->items, parent->n * sizeof *items);
                parent->items = items;
                l->cap = cap;
        }
        parent->items[parent->n++] = (struct node_item){
                .key = l->key, .value = value, .line = parent->type == NODE_MAP ? l->key_line : value->line };
        l->have_key = false;
        return 0;
}

/* A node is the root, the next item of a sequence, or the value of the key that waits. */
static int place_node(struct reader *r, struct node *n, const yaml_mark_t *m)
{
        if (r->depth == 0) {
                r->root = n;
                return 0;
        }
        return add_item(r, &r->stack[r->depth - 1], n, m);
}

static struct node *new_node(struct reader *r, enum node_type type, const yaml_mark_t *m)
{
        struct node *n = arena_alloc(r->a, sizeof *n);
        if (n)
                *n = (struct node){ .type = type, .line = (uint32_t)m->line + 1, .column = (uint32_t)m->column + 1 };
        return n;
}

static int check_node(struct reader *r, const yaml_event_t *e, const yaml_char_t *tag)
{
        if (++r->nodes > SOURCE_MAX_DOC_NODES)
                return fail_mark(r, E2BIG, &e->start_mark, "more than 200000 values in one file");
        if (tag && !tag_known((const char *)tag))
                return fail_mark(r, EINVAL, &e->start_mark, "tags other than YAML's own types are not supported");
        return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
        struct level *l = r->depth ? &r->stack[r->depth - 1] : NULL;
        const char *tag = (const char *)e->data.scalar.tag;
        int c = check_node(r, e, e->data.scalar.tag);
        if (c < 0)
                return c;
        struct span text = arena_span(r->a, SPAN(e->data.scalar.value, e->data.scalar.length));
        if (!text.p && e->data.scalar.length)
                return fail_nomem(r, &e->start_mark);
        if (l && l->node->type == NODE_MAP && !l->have_key) {
                l->have_key = true;
                l->key = text;
                l->key_line = (uint32_t)e->start_mark.line + 1;
                l->key_column = (uint32_t)e->start_mark.column + 1;
                return 0;
        }
        struct node *n = new_node(r, NODE_SCALAR, &e->start_mark);
        if (!n)
                return fail_nomem(r, &e->start_mark);
        n->text = text;
        n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                    (tag && (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0));
        if (!n->quoted && text_is_null(text))
                n->type = NODE_NULL;
        return place_node(r, n, &e->start_mark);
}

static int on_open(struct reader *r, const yaml_event_t *e, enum node_type type, const yaml_char_t *tag)
{
        int c = check_node(r, e, tag);
        if (c < 0)
                return c;
        if (r->depth == SOURCE_MAX_DOC_DEPTH)
                return fail_mark(r, E2BIG, &e->start_mark, "nested deeper than 64 levels");
        struct level *l = r->depth ? &r->stack[r->depth - 1] : NULL;
        if (l && l->node->type == NODE_MAP && !l->have_key)
                return fail_mark(r, EINVAL, &e->start_mark, "a key must be text");
        struct node *n = new_node(r, type, &e->start_mark);
        if (!n)
                return fail_nomem(r, &e->start_mark);
        c = place_node(r, n, &e->start_mark);
        if (c == 0)
                r->stack[r->depth++] = (struct level){ .node = n };
        return c;
}

static int item_cmp(const void *a, const void *b)
{
        const struct node_item *x = *(const struct node_item *const *)a, *y = *(const struct node_item *const *)b;
        int r = span_cmp(x->key, y->key);
        return r ? r : (x > y) - (x < y); /* the later one of two equal keys is the one to name */
}
static int check_keys(struct reader *r, const struct node *map)
{
        if (map->n < 2)
                return 0;
        const struct node_item **v = reallocarray(NULL, map->n, sizeof *v);
        if (!v)
                return fail(r, ENOMEM, map->line, map->column, "out of memory");
        for (size_t i = 0; i < map->n; i++)
                v[i] = &map->items[i];
        qsort(v, map->n, sizeof *v, item_cmp);
        int c = 0;
        for (size_t i = 1; i < map->n && c == 0; i++) {
                if (!span_eq(v[i]->key, v[i - 1]->key))
                        continue;
                char msg[160];
                snprintf(msg, sizeof msg, "key \"%.*s\" is given twice, first in line %u",
                         (int)MIN(v[i]->key.n, (size_t)64), v[i]->key.n ? (const char *)v[i]->key.p : "",
                         v[i - 1]->line);
                c = fail(r, EINVAL, v[i]->line, map->column, msg);
        }
        free(v);
        return c;
}
static int on_close(struct reader *r)
{
        const struct level *l = &r->stack[--r->depth];
        return l->node->type == NODE_MAP ? check_keys(r, l->node) : 0;
}

static int add_document(struct reader *r, struct yaml_docs *docs, size_t *cap, const yaml_mark_t *m)
{
        struct node *root = TAKE_PTR(r->root);
        if (!root || root->type == NODE_NULL)
                return 0;
        if (docs->n == *cap) {
                size_t more = *cap ? *cap * 2 : 8;
                struct node **v = arena_calloc(r->a, more, sizeof(struct node *));
                if (!v)
                        return fail_nomem(r, m);
                if (docs->n)
                        memcpy(v, docs->v, docs->n * sizeof(struct node *));
                docs->v = v;
                *cap = more;
        }
        docs->v[docs->n++] = root;
        return 0;
}

static int on_event(struct reader *r, const yaml_event_t *e, struct yaml_docs *docs, size_t *cap)
{
        switch (e->type) {
        case YAML_NO_EVENT:
        case YAML_STREAM_START_EVENT:
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_START_EVENT: return 0;
        case YAML_DOCUMENT_END_EVENT: return add_document(r, docs, cap, &e->start_mark);
        case YAML_ALIAS_EVENT: return fail_mark(r, EINVAL, &e->start_mark, "aliases (*name) are not supported");
        case YAML_SCALAR_EVENT: return on_scalar(r, e);
        case YAML_SEQUENCE_START_EVENT: return on_open(r, e, NODE_SEQ, e->data.sequence_start.tag);
        case YAML_MAPPING_START_EVENT: return on_open(r, e, NODE_MAP, e->data.mapping_start.tag);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT: return on_close(r);
        }
        return 0;
}

static int fail_parser(struct reader *r)
{
        const yaml_parser_t *p = &r->parser;
        char msg[256];
        if (p->error == YAML_MEMORY_ERROR)
                return fail_mark(r, ENOMEM, &p->mark, "out of memory");
        if (p->error == YAML_READER_ERROR) {
                snprintf(msg, sizeof msg, "%s (byte %zu)", p->problem ? p->problem : "not UTF-8", p->problem_offset);
                return fail_mark(r, EINVAL, &p->mark, msg);
        }
        snprintf(msg, sizeof msg, "%s%s%s", p->context ? p->context : "", p->context ? ": " : "",
                 p->problem ? p->problem : "not YAML");
        return fail_mark(r, EINVAL, &p->problem_mark, msg);
}

static int read_all(struct reader *r, struct yaml_docs *ret)
{
        size_t cap = 0;
        for (bool end = false; !end;) {
                yaml_event_t e;
                if (!yaml_parser_parse(&r->parser, &e))
                        return fail_parser(r);
                int c = on_event(r, &e, ret, &cap);
                end = e.type == YAML_STREAM_END_EVENT;
                yaml_event_delete(&e);
                if (c < 0)
                        return c;
        }
        return 0;
}

int yaml_read(struct span text, const char *file, struct arena *a, struct yaml_docs *ret, struct err *reterr)
{
        struct reader r = { .file = file, .a = a, .err = reterr };
        struct yaml_docs docs = { 0 };
        if (text.n > SOURCE_MAX_FILE_BYTES)
                return fail(&r, E2BIG, 1, 1, "file larger than 4 MiB");
        if (!yaml_parser_initialize(&r.parser))
                return fail(&r, ENOMEM, 1, 1, "out of memory");
        yaml_parser_set_input_string(&r.parser, text.n ? text.p : (const uint8_t *)"", text.n);
        yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
        int c = read_all(&r, &docs);
        yaml_parser_delete(&r.parser);
        if (c == 0)
                *ret = docs;
        return c;
}
