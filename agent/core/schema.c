/* agent/core/schema.c - the decoding walk over schema tables. */
#include "lib/base.h"

#include "agent/core/schema.h"

size_t decoder_enter(struct decoder *d, const char *field)
{
        size_t mark = d->path_n;
        int n = snprintf(d->path + mark, sizeof d->path - mark, "%s%s", mark ? "." : "", field);
        d->path_n = MIN(mark + (size_t)MAX(n, 0), sizeof d->path - 1);
        return mark;
}
size_t decoder_enter_index(struct decoder *d, size_t i)
{
        size_t mark = d->path_n;
        int n = snprintf(d->path + mark, sizeof d->path - mark, "[%zu]", i);
        d->path_n = MIN(mark + (size_t)MAX(n, 0), sizeof d->path - 1);
        return mark;
}
void decoder_leave(struct decoder *d, size_t mark)
{
        d->path_n = mark;
        d->path[mark] = '\0';
}

const struct node *decoder_item(struct decoder *d, const char *field, const struct node *list, size_t i)
{
        (void)decoder_enter(d, field);
        (void)decoder_enter_index(d, i);
        return list->items[i].value;
}

int decoder_fail(struct decoder *d, const struct node *at, const char *fmt, ...)
{
        char msg[256], place[192];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(msg, sizeof msg, fmt, ap);
        va_end(ap);
        if (at && at->line) /* JSON has no lines */
                snprintf(place, sizeof place, "%s:%u%s%s", d->file, at->line, d->path_n ? ": " : "", d->path);
        else
                snprintf(place, sizeof place, "%s%s%s", d->file, d->path_n ? ": " : "", d->path);
        return err_set(d->err, EINVAL, place, "%s: %s", d->object, msg);
}
int decoder_nomem(struct decoder *d)
{
        return err_set(d->err, ENOMEM, d->file, "%s: larger than %d MiB in memory, or out of memory", d->object,
                       SOURCE_MAX_OBJECT_BYTES >> 20);
}

/* All strings of a struct become "": a string is never NULL, whether its field was there or not. */
static void blank(const struct schema *s, void *obj)
{
        for (size_t i = 0; i < s->n_fields; i++) {
                const struct field *f = &s->fields[i];
                char *at = (char *)obj + f->offset;
                if (f->type == FIELD_STRING)
                        *(const char **)at = "";
                else if (f->type == FIELD_INT_OR_NAME)
                        *(const char **)((char *)obj + f->aux) = "";
                else if (f->type == FIELD_OBJECT)
                        blank(f->sub, at);
        }
}

static int decode_text(struct decoder *d, const struct node *v, const char **ret)
{
        if (v->type != NODE_SCALAR)
                return decoder_fail(d, v, v->type == NODE_NULL ? "must be text, is null" : "must be text");
        if (v->text.n && memchr(v->text.p, 0, v->text.n))
                return decoder_fail(d, v, "contains a NUL character");
        char *p = arena_alloc(d->arena, v->text.n + 1);
        if (!p)
                return decoder_nomem(d);
        if (v->text.n)
                memcpy(p, v->text.p, v->text.n);
        p[v->text.n] = '\0';
        *ret = p;
        return 0;
}

static size_t characters(const char *s) /* as the API server counts: code points */
{
        size_t n = 0;
        for (; *s; s++)
                n += ((uint8_t)*s & 0xc0) != 0x80;
        return n;
}

static int fail_choice(struct decoder *d, const struct node *v, const struct choice *choices)
{
        char list[160] = "";
        size_t n = 0;
        for (const struct choice *c = choices; c->name && n < sizeof list; c++)
                n += (size_t)MAX(snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", c->name), 0);
        return decoder_fail(d, v, "must be one of %s", list);
}

static int check_text(struct decoder *d, const struct field *f, const struct node *v, const char *s)
{
        int64_t n = (int64_t)characters(s);
        if (n < f->min)
                return decoder_fail(d, v, n == 0 ? "must not be empty" : "must have at least %lld characters",
                                    (long long)f->min);
        if (f->max && n > f->max)
                return decoder_fail(d, v, "must have at most %lld characters, has %lld", (long long)f->max,
                                    (long long)n);
        if (!format_ok(f->format, span_str(s)))
                return decoder_fail(d, v, "%s", format_str(f->format));
        if (!f->choices)
                return 0;
        for (const struct choice *c = f->choices; c->name; c++)
                if (strcmp(c->name, s) == 0)
                        return 0;
        return fail_choice(d, v, f->choices);
}

static int decode_string(struct decoder *d, const struct field *f, const struct node *v, void *at)
{
        const char *s = "";
        int r = decode_text(d, v, &s);
        if (r == 0)
                r = check_text(d, f, v, s);
        if (r == 0)
                *(const char **)at = s;
        return r;
}

static int decode_number(struct decoder *d, const struct field *f, const struct node *v, int64_t *ret)
{
        if (v->type != NODE_SCALAR || v->quoted || !text_int(v->text, ret))
                return decoder_fail(d, v, "must be a whole decimal number%s",
                                    v->type == NODE_SCALAR && v->quoted ? ", is quoted text" : "");
        if (*ret < f->min || *ret > f->max)
                return decoder_fail(d, v, "must be %lld to %lld", (long long)f->min, (long long)f->max);
        return 0;
}

static int decode_int(struct decoder *d, const struct field *f, const struct node *v, void *at)
{
        int64_t n = 0;
        int r = decode_number(d, f, v, &n);
        if (r < 0)
                return r;
        switch (f->width) {
        case sizeof(uint16_t):
                *(uint16_t *)at = (uint16_t)n;
                break;
        case sizeof(uint32_t):
                *(uint32_t *)at = (uint32_t)n;
                break;
        case sizeof(int64_t):
                *(int64_t *)at = n;
                break;
        default:
                BUG_ON(true);
        }
        return 0;
}

static int decode_bool(struct decoder *d, const struct node *v, bool *ret)
{
        bool yes = span_eq_str(v->text, "true"), no = span_eq_str(v->text, "false");
        if (v->type != NODE_SCALAR || v->quoted || (!yes && !no))
                return decoder_fail(d, v, "must be true or false%s",
                                    v->type == NODE_SCALAR && v->quoted ? ", is quoted text" : "");
        *ret = yes;
        return 0;
}

static int decode_enum(struct decoder *d, const struct field *f, const struct node *v, void *at)
{
        const struct choice *c = f->choices;
        while (c->name && !(v->type == NODE_SCALAR && span_eq_str(v->text, c->name)))
                c++;
        if (!c->name)
                return fail_choice(d, v, f->choices);
        if (f->width == sizeof(bool))
                *(bool *)at = c->value != 0;
        else
                *(int *)at = c->value;
        return 0;
}

static int decode_duration(struct decoder *d, const struct node *v, uint32_t *ret)
{
        if (v->type != NODE_SCALAR || !text_duration_ms(v->text, ret))
                return decoder_fail(d, v, "must be a duration such as \"1h30m\", \"10s\" or \"500ms\" (GEP-2257)");
        return 0;
}

static int decode_int_or_name(struct decoder *d, const struct field *f, const struct node *v, void *obj)
{
        int64_t n;
        if (v->type == NODE_SCALAR && !v->quoted && text_int(v->text, &n))
                return decode_int(d, f, v, (char *)obj + f->offset);
        return decode_string(d, &(struct field){ .format = f->format }, v, (char *)obj + f->aux);
}

static int check_count(struct decoder *d, const struct field *f, const struct node *v)
{
        if (v->n < f->items_min)
                return decoder_fail(d, v, "must have at least %zu item%s", f->items_min, f->items_min == 1 ? "" : "s");
        if (f->items_max && v->n > f->items_max)
                return decoder_fail(d, v, "must have at most %zu items, has %zu", f->items_max, v->n);
        return 0;
}

static int decode_strings(struct decoder *d, const struct field *f, const struct node *v, struct strings *ret)
{
        const char **p = arena_calloc(d->arena, v->n, sizeof *p);
        if (v->n && !p)
                return decoder_nomem(d);
        for (size_t i = 0; i < v->n; i++) {
                size_t mark = decoder_enter_index(d, i);
                int r = decode_string(d, f, v->items[i].value, &p[i]);
                if (r < 0)
                        return r;
                for (size_t k = 0; (f->flags & FIELD_SET) && k < i; k++)
                        if (strcmp(p[i], p[k]) == 0)
                                return decoder_fail(d, v->items[i].value, "is the same as item %zu", k);
                decoder_leave(d, mark);
        }
        *ret = (struct strings){ p, v->n };
        return 0;
}

static int decode_numbers(struct decoder *d, const struct field *f, const struct node *v, void *obj)
{
        uint16_t *p = arena_calloc(d->arena, v->n, sizeof *p);
        if (v->n && !p)
                return decoder_nomem(d);
        for (size_t i = 0; i < v->n; i++) {
                int64_t n = 0;
                size_t mark = decoder_enter_index(d, i);
                int r = decode_number(d, f, v->items[i].value, &n);
                if (r < 0)
                        return r;
                p[i] = (uint16_t)n;
                for (size_t k = 0; (f->flags & FIELD_SET) && k < i; k++)
                        if (p[i] == p[k])
                                return decoder_fail(d, v->items[i].value, "is the same as item %zu", k);
                decoder_leave(d, mark);
        }
        *(const uint16_t **)((char *)obj + f->offset) = p;
        *(size_t *)((char *)obj + f->aux) = v->n;
        return 0;
}

static int label_cmp(const void *a, const void *b)
{
        return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}
static int decode_labels(struct decoder *d, const struct field *f, const struct node *v, struct labels *ret)
{
        struct label *p = arena_calloc(d->arena, v->n, sizeof *p);
        if (v->n && !p)
                return decoder_nomem(d);
        for (size_t i = 0; i < v->n; i++) {
                const struct node_item *it = &v->items[i];
                const struct node key = { .type = NODE_SCALAR, .line = it->line, .text = it->key };
                size_t mark = d->path_n;
                int r = decode_string(d, &(struct field){ .format = f->key_format }, &key, &p[i].key);
                if (r < 0)
                        return r;
                (void)decoder_enter(d, p[i].key);
                r = decode_string(d, f, it->value, &p[i].value);
                if (r < 0)
                        return r;
                decoder_leave(d, mark);
        }
        if (v->n)
                qsort(p, v->n, sizeof *p, label_cmp);
        *ret = (struct labels){ p, v->n };
        return 0;
}

static int decode_data_value(struct decoder *d, const struct field *f, const struct node *v, struct span *ret)
{
        if (v->type == NODE_NULL) {
                *ret = SPAN_LIT("");
                return 0;
        }
        if (v->type != NODE_SCALAR)
                return decoder_fail(d, v, "must be text");
        uint8_t *p = arena_alloc(d->arena, f->type == FIELD_BASE64 ? base64_room(v->text.n) : v->text.n + 1);
        if (!p)
                return decoder_nomem(d);
        size_t n = v->text.n;
        if (f->type != FIELD_BASE64 && n)
                memcpy(p, v->text.p, n);
        if (f->type == FIELD_BASE64 && !text_base64(v->text, p, &n))
                return decoder_fail(d, v, "must be base64 (RFC 4648 section 4)");
        *ret = SPAN(p, n);
        return 0;
}
static int data_cmp(const void *a, const void *b)
{
        return strcmp(((const struct data_item *)a)->key, ((const struct data_item *)b)->key);
}
/* Adds to what an earlier field with the same place left; a key given twice: the later field wins (stringData over
 * data). */
static int decode_data(struct decoder *d, const struct field *f, const struct node *v, void *obj)
{
        const struct data_item **slot = (const struct data_item **)((char *)obj + f->offset);
        size_t *n_slot = (size_t *)((char *)obj + f->aux), n = *n_slot;
        struct data_item *p = arena_calloc(d->arena, n + v->n, sizeof *p);
        if (v->n == 0)
                return 0;
        if (!p)
                return decoder_nomem(d);
        if (n)
                memcpy(p, *slot, n * sizeof *p);
        for (size_t i = 0; i < v->n; i++) {
                const struct node_item *it = &v->items[i];
                const struct node key = { .type = NODE_SCALAR, .line = it->line, .text = it->key };
                struct data_item item = { 0 };
                size_t mark = d->path_n, k = 0;
                int r = decode_string(d, &(struct field){ .format = FORMAT_DATA_KEY }, &key, &item.key);
                if (r < 0)
                        return r;
                (void)decoder_enter(d, item.key);
                r = decode_data_value(d, f, it->value, &item.value);
                if (r < 0)
                        return r;
                decoder_leave(d, mark);
                while (k < *n_slot && strcmp(p[k].key, item.key) != 0)
                        k++;
                p[k < *n_slot ? k : n++] = item;
        }
        qsort(p, n, sizeof *p, data_cmp);
        *slot = p;
        *n_slot = n;
        return 0;
}

static int decode_list(struct decoder *d, const struct field *f, const struct node *v, void *obj)
{
        size_t size = f->sub->size;
        char *p = arena_calloc(d->arena, v->n, size);
        if (v->n && !p)
                return decoder_nomem(d);
        for (size_t i = 0; i < v->n; i++) {
                const struct node *item = v->items[i].value;
                size_t mark = decoder_enter_index(d, i);
                int r = schema_decode(d, f->sub, item, p + i * size);
                if (r < 0)
                        return r;
                for (size_t k = 0; f->unique && k < i; k++) {
                        const char *a = *(const char **)(p + i * size + f->unique_offset);
                        const char *b = *(const char **)(p + k * size + f->unique_offset);
                        if (strcmp(a, b) == 0)
                                return decoder_fail(d, item, "%s \"%s\" is already that of item %zu", f->unique, a, k);
                }
                decoder_leave(d, mark);
        }
        *(const void **)((char *)obj + f->offset) = p;
        *(size_t *)((char *)obj + f->aux) = v->n;
        return 0;
}

static int decode_value(struct decoder *d, const struct field *f, const struct node *v, void *obj)
{
        void *at = (char *)obj + f->offset;
        bool seq = f->type == FIELD_STRINGS || f->type == FIELD_NUMBERS || f->type == FIELD_LIST;
        bool map = f->type == FIELD_LABELS || f->type == FIELD_DATA || f->type == FIELD_BASE64;
        if (seq && v->type != NODE_SEQ)
                return decoder_fail(d, v, "must be a list");
        if (map && v->type != NODE_MAP)
                return decoder_fail(d, v, "must be a map");
        if (seq || map) {
                int r = check_count(d, f, v);
                if (r < 0)
                        return r;
        }
        switch (f->type) {
        case FIELD_STRING: return decode_string(d, f, v, at);
        case FIELD_BOOL: return decode_bool(d, v, at);
        case FIELD_INT: return decode_int(d, f, v, at);
        case FIELD_ENUM: return decode_enum(d, f, v, at);
        case FIELD_DURATION: return decode_duration(d, v, at);
        case FIELD_INT_OR_NAME: return decode_int_or_name(d, f, v, obj);
        case FIELD_STRINGS: return decode_strings(d, f, v, at);
        case FIELD_NUMBERS: return decode_numbers(d, f, v, obj);
        case FIELD_LABELS: return decode_labels(d, f, v, at);
        case FIELD_DATA:
        case FIELD_BASE64: return decode_data(d, f, v, obj);
        case FIELD_OBJECT: return schema_decode(d, f->sub, v, at);
        case FIELD_LIST: return decode_list(d, f, v, obj);
        case FIELD_SKIP: return 0;
        }
        return 0;
}

/* What stands for an absent field: its default text, {} or [{}], or nothing. */
static int decode_absent(struct decoder *d, const struct field *f, const struct node *map, void *obj)
{
        struct node empty = { .type = NODE_MAP, .line = map->line, .column = map->column };
        if (f->flags & FIELD_REQUIRED)
                return decoder_fail(d, map, "is required");
        if (f->def) {
                empty.type = NODE_SCALAR;
                empty.text = span_str(f->def);
                return decode_value(d, f, &empty, obj);
        }
        if (!(f->flags & FIELD_DEFAULTED))
                return 0;
        if (f->type == FIELD_OBJECT)
                return decode_value(d, f, &empty, obj);
        struct node_item one = { .value = &empty, .line = map->line };
        struct node list = { .type = NODE_SEQ, .line = map->line, .column = map->column, .items = &one, .n = 1 };
        return decode_value(d, f, &list, obj);
}

static int decode_field(struct decoder *d, const struct field *f, const struct node *map, void *obj)
{
        const struct node *v = node_get(map, f->name);
        bool present = v && v->type != NODE_NULL;
        size_t mark = decoder_enter(d, f->name);
        bool list_default = (f->flags & FIELD_DEFAULTED) && f->type == FIELD_LIST && !(f->flags & FIELD_MAY_BE_EMPTY);
        int r;
        if (!present || (list_default && v->type == NODE_SEQ && v->n == 0))
                r = decode_absent(d, f, map, obj);
        else
                r = decode_value(d, f, v, obj);
        if (r < 0)
                return r;
        bool flag = f->type == FIELD_STRING || f->type == FIELD_BOOL || f->type == FIELD_INT || f->type == FIELD_ENUM ||
                    f->type == FIELD_DURATION || f->type == FIELD_OBJECT || f->type == FIELD_STRINGS ||
                    f->type == FIELD_LABELS || f->type == FIELD_SKIP;
        if (flag && f->aux)
                *(bool *)((char *)obj + f->aux) = present;
        decoder_leave(d, mark);
        return 0;
}

static int refuse_unknown(struct decoder *d, const struct schema *s, const struct node *map)
{
        for (size_t i = 0; i < map->n; i++) {
                bool known = false;
                for (size_t k = 0; k < s->n_fields && !known; k++)
                        known = span_eq_str(map->items[i].key, s->fields[k].name);
                const struct node at = { .line = map->items[i].line };
                if (!known)
                        return decoder_fail(d, &at, "unknown field \"%.*s\"", (int)MIN(map->items[i].key.n, (size_t)64),
                                            (const char *)map->items[i].key.p);
        }
        return 0;
}

int schema_decode(struct decoder *d, const struct schema *s, const struct node *map, void *obj)
{
        if (map->type != NODE_MAP)
                return decoder_fail(d, map, "must be a map");
        int r = s->strict && !d->lenient ? refuse_unknown(d, s, map) : 0;
        if (r < 0)
                return r;
        blank(s, obj);
        if (s->place) {
                char *p = map->line ? arena_printf(d->arena, "%s:%u: %s", d->file, map->line, d->path)
                                    : arena_printf(d->arena, "%s: %s", d->file, d->path);
                if (!p)
                        return decoder_nomem(d);
                *(const char **)((char *)obj + s->place) = p;
        }
        for (size_t i = 0; i < s->n_fields; i++) {
                r = decode_field(d, &s->fields[i], map, obj);
                if (r < 0)
                        return r;
        }
        return s->check ? s->check(d, map, obj) : 0;
}
