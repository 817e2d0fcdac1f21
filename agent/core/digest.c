/* agent/core/digest.c - the canonical form of a typed object: every field of its tables in table order, each value with
 * its length before it, so that two different objects never give the same bytes. */
#include "lib/base.h"

#include "agent/core/schema.h"

static void put_number(struct buf *out, uint64_t v)
{
        uint8_t b[8];
        for (size_t i = 0; i < sizeof b; i++)
                b[i] = (uint8_t)(v >> (56 - 8 * i));
        buf_add(out, b, sizeof b);
}
static void put_bytes(struct buf *out, struct span s)
{
        put_number(out, s.n);
        if (s.n)
                buf_add(out, s.p, s.n);
}
static void put_text(struct buf *out, const char *s) { put_bytes(out, span_str(s ? s : "")); }

static void put_int(struct buf *out, const struct field *f, const void *at)
{
        if (f->width == sizeof(uint16_t))
                put_number(out, *(const uint16_t *)at);
        else if (f->width == sizeof(uint32_t))
                put_number(out, *(const uint32_t *)at);
        else
                put_number(out, (uint64_t) * (const int64_t *)at);
}

static void put_data(struct buf *out, const struct field *f, const void *obj)
{
        const struct data_item *p = *(const struct data_item *const *)((const char *)obj + f->offset);
        size_t n = *(const size_t *)((const char *)obj + f->aux);
        put_number(out, n);
        for (size_t i = 0; i < n; i++) {
                put_text(out, p[i].key);
                put_bytes(out, p[i].value);
        }
}

static void put_list(struct buf *out, const struct field *f, const void *obj)
{
        const char *p = *(const char *const *)((const char *)obj + f->offset);
        size_t n = *(const size_t *)((const char *)obj + f->aux);
        put_number(out, n);
        for (size_t i = 0; i < n; i++)
                schema_digest(f->sub, p + i * f->sub->size, out);
}

static void put_field(struct buf *out, const struct field *f, const void *obj)
{
        const char *at = (const char *)obj + f->offset;
        switch (f->type) {
        case FIELD_STRING: put_text(out, *(const char *const *)at); break;
        case FIELD_BOOL: put_number(out, *(const bool *)at); break;
        case FIELD_INT: put_int(out, f, at); break;
        case FIELD_ENUM:
                put_number(out, f->width == sizeof(bool) ? *(const bool *)at : (uint64_t) * (const int *)at);
                break;
        case FIELD_DURATION: put_number(out, *(const uint32_t *)at); break;
        case FIELD_INT_OR_NAME:
                put_int(out, f, at);
                put_text(out, *(const char *const *)((const char *)obj + f->aux));
                break;
        case FIELD_STRINGS: {
                const struct strings *s = (const void *)at;
                put_number(out, s->n);
                for (size_t i = 0; i < s->n; i++)
                        put_text(out, s->v[i]);
                break;
        }
        case FIELD_NUMBERS: {
                const uint16_t *v = *(const uint16_t *const *)at;
                size_t n = *(const size_t *)((const char *)obj + f->aux);
                put_number(out, n);
                for (size_t i = 0; i < n; i++)
                        put_number(out, v[i]);
                break;
        }
        case FIELD_LABELS: {
                const struct labels *l = (const void *)at;
                put_number(out, l->n);
                for (size_t i = 0; i < l->n; i++) {
                        put_text(out, l->v[i].key);
                        put_text(out, l->v[i].value);
                }
                break;
        }
        case FIELD_DATA:
        case FIELD_BASE64: put_data(out, f, obj); break;
        case FIELD_OBJECT: schema_digest(f->sub, at, out); break;
        case FIELD_LIST: put_list(out, f, obj); break;
        case FIELD_SKIP: break;
        }
}

static bool has_flag(const struct field *f)
{
        return f->aux && f->type != FIELD_INT_OR_NAME && f->type != FIELD_NUMBERS && f->type != FIELD_DATA &&
               f->type != FIELD_BASE64 && f->type != FIELD_LIST;
}

void schema_digest(const struct schema *s, const void *obj, struct buf *out)
{
        for (size_t i = 0; i < s->n_fields; i++) {
                const struct field *f = &s->fields[i];
                if (has_flag(f))
                        put_number(out, *(const bool *)((const char *)obj + f->aux));
                put_field(out, f, obj);
        }
}
