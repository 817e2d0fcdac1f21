/* agent/core/render.c - walks protobuf-c descriptors and writes "name: value" lines, indented.  Layer: agent/core, pure. */
#include "lib/base.h"
#include "agent/core/render.h"
#include "lib/core/ipaddr.h"
#include "lib/model.pb-c.h"
#include <inttypes.h>

static void render_message(struct buf *out, const ProtobufCMessage *m, unsigned depth);

static void indent(struct buf *out, unsigned depth) { buf_printf(out, "%*s", (int)(depth * 2), ""); }

static void quoted(struct buf *out, const char *s)
{
        buf_str(out, "\"");
        for (; *s; s++)
                if (*s == '"' || *s == '\\')
                        buf_printf(out, "\\%c", *s);
                else if ((unsigned char)*s < 0x20)
                        buf_printf(out, "\\x%02x", (unsigned char)*s);
                else
                        buf_add(out, s, 1);
        buf_str(out, "\"");
}

static void bytes(struct buf *out, const char *name, const ProtobufCBinaryData *b)
{
        struct ipaddr ip;
        char text[IPADDR_STR_MAX], hex[65];
        if ((strcmp(name, "addr") == 0 || strcmp(name, "next_hop") == 0) && ipaddr_from_bytes(b->data, b->len, &ip) == 0) {
                buf_str(out, ipaddr_str(&ip, text));
                return;
        }
        struct sha256 h;
        sha256_of(SPAN(b->data, b->len), &h);
        sha256_hex(&h, hex);
        buf_printf(out, "<%zu bytes, sha256 %.16s>", b->len, hex);
}

/* One value at p, which points to the field's storage (an element for repeated fields). */
static void value(struct buf *out, const ProtobufCFieldDescriptor *f, const void *p, unsigned depth)
{
        indent(out, depth);
        buf_str(out, f->name);
        switch (f->type) {
        case PROTOBUF_C_TYPE_MESSAGE:
                buf_str(out, ":\n");
                render_message(out, *(const ProtobufCMessage *const *)p, depth + 1);
                return;
        case PROTOBUF_C_TYPE_STRING:
                buf_str(out, ": ");
                quoted(out, *(const char *const *)p);
                break;
        case PROTOBUF_C_TYPE_BYTES:
                buf_str(out, ": ");
                bytes(out, f->name, p);
                break;
        case PROTOBUF_C_TYPE_ENUM: {
                const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)p);
                if (v)
                        buf_printf(out, ": %s", v->name);
                else
                        buf_printf(out, ": %d", *(const int *)p);
                break;
        }
        case PROTOBUF_C_TYPE_BOOL:
                buf_str(out, *(const protobuf_c_boolean *)p ? ": true" : ": false");
                break;
        case PROTOBUF_C_TYPE_UINT32:
                buf_printf(out, ": %" PRIu32, *(const uint32_t *)p);
                break;
        case PROTOBUF_C_TYPE_UINT64:
                buf_printf(out, ": %" PRIu64, *(const uint64_t *)p);
                break;
        case PROTOBUF_C_TYPE_INT64:
                buf_printf(out, ": %" PRId64, *(const int64_t *)p);
                break;
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_SINT32:
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_FLOAT:
        case PROTOBUF_C_TYPE_DOUBLE:
                buf_str(out, ": <type not used by the model>");
                break;
        }
        buf_str(out, "\n");
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
        switch (f->type) {
        case PROTOBUF_C_TYPE_MESSAGE:
        case PROTOBUF_C_TYPE_STRING:
                return sizeof(void *);
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return 8;
        case PROTOBUF_C_TYPE_ENUM:
        case PROTOBUF_C_TYPE_BOOL:
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_SINT32:
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_FLOAT:
                return 4;
        }
        BUG_ON(true);
        return 0;
}

/* proto3: a plain field with the zero value is not set; enums are shown always, zero has a meaning there. */
static bool is_set(const ProtobufCFieldDescriptor *f, const uint8_t *base)
{
        const uint8_t *p = base + f->offset;
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
                return *(const uint32_t *)(const void *)(base + f->quantifier_offset) == f->id;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
                return *(void *const *)(const void *)p != NULL;
        if (f->type == PROTOBUF_C_TYPE_STRING) {
                const char *s = *(const char *const *)(const void *)p;
                return s && *s;
        }
        if (f->type == PROTOBUF_C_TYPE_BYTES)
                return ((const ProtobufCBinaryData *)(const void *)p)->len > 0;
        if (f->type == PROTOBUF_C_TYPE_ENUM)
                return true;
        static const uint8_t zero[8];
        return memcmp(p, zero, value_size(f)) != 0;
}

static void render_source(struct buf *out, const Model__Source *s, unsigned depth)
{
        indent(out, depth);
        buf_printf(out, "%s %s/%s", s->kind, s->namespace_, s->name);
        if (*s->section)
                buf_printf(out, " section %s", s->section);
        if (s->rule)
                buf_printf(out, " rule %" PRIu32, s->rule);
        if (s->match)
                buf_printf(out, " match %" PRIu32, s->match);
        buf_printf(out, " generation %" PRIu64 "\n", s->generation);
}

static void render_message(struct buf *out, const ProtobufCMessage *m, unsigned depth)
{
        const uint8_t *base = (const uint8_t *)m;
        if (m->descriptor == &model__source__descriptor) {
                render_source(out, (const Model__Source *)(const void *)m, depth);
                return;
        }
        for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
                if (f->label != PROTOBUF_C_LABEL_REPEATED) {
                        if (is_set(f, base))
                                value(out, f, base + f->offset, depth);
                        continue;
                }
                size_t n = *(const size_t *)(const void *)(base + f->quantifier_offset);
                const uint8_t *v = *(const uint8_t *const *)(const void *)(base + f->offset);
                for (size_t k = 0; k < n; k++)
                        value(out, f, v + k * value_size(f), depth);
        }
}

int render_manifest(const struct manifest *m, struct buf *out)
{
        for (size_t i = 0; i < m->n; i++) {
                const struct manifest_entry *e = &m->entries[i];
                buf_printf(out, "section %s%s\n", e->key, e->secret ? " (secret)" : "");
                if (!e->blob)
                        return -EINVAL;
                Model__Section *s = model__section__unpack(NULL, e->blob->n, e->blob->p);
                if (!s)
                        return -EINVAL;
                render_message(out, &s->base, 1);
                model__section__free_unpacked(s, NULL);
        }
        return out->failed ? -ENOMEM : 0;
}
