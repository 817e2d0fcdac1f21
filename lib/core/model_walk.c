/* lib/core/model_walk.c - checks that hold for every message of the model, driven by protobuf-c's descriptors, so that
 * a new field or object is covered without a line here.
 *  - an unknown field or enum value comes from a newer agent and means something we would ignore: refused;
 *  - a string is bounded, is UTF-8 and holds no control characters but tab and line ends. */
#include "lib/base.h"
#include "lib/core/model_check.h"

/* Length of the UTF-8 sequence at s (RFC 3629), 0 if it is none.  s ends in NUL, so reading ahead stops by itself. */
static size_t utf8_step(const uint8_t *s)
{
        uint8_t c = s[0];
        if (c < 0x80)
                return 1;
        size_t n = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
            (c == 0xf4 && s[1] > 0x8f))
                return 0;
        return n;
}

static int check_text(struct model_check *c, const Model__Source *src, const char *field, const char *text)
{
        const uint8_t *s = (const uint8_t *)text;
        size_t n = 0;
        while (s[n]) {
                size_t step = utf8_step(s + n);
                if (step == 0)
                        return check_fail(c, CONTROL__NACK_STAGE__NACK_DECODE, src, "%s is not UTF-8", field);
                if ((s[n] < 0x20 && s[n] != '\t' && s[n] != '\n' && s[n] != '\r') || s[n] == 0x7f)
                        return check_fail(c, CHECK, src, "%s holds a control character", field);
                n += step;
                if (n > MODEL_MAX_STRING_BYTES)
                        return check_fail(c, LIMIT, src, "%s is over %d bytes", field, MODEL_MAX_STRING_BYTES);
        }
        return 0;
}

static int walk(struct model_check *c, const ProtobufCMessage *m, const Model__Source *src);

static int walk_value(struct model_check *c, const ProtobufCFieldDescriptor *f, const void *at,
                      const Model__Source *src)
{
        if (f->type == PROTOBUF_C_TYPE_STRING) {
                const char *s = *(char *const *)at;
                return s ? check_text(c, src, f->name, s) : 0;
        }
        if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
                const ProtobufCMessage *sub = *(ProtobufCMessage *const *)at;
                return sub ? walk(c, sub, src) : 0;
        }
        if (f->type == PROTOBUF_C_TYPE_ENUM) {
                int v = *(const int *)at;
                if (!protobuf_c_enum_descriptor_get_value(f->descriptor, v))
                        return check_fail(c, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, src, "%s has the unknown value %d",
                                          f->name, v);
        }
        return 0;
}

static size_t walk_size(const ProtobufCFieldDescriptor *f)
{
        return f->type == PROTOBUF_C_TYPE_ENUM ? sizeof(int) : sizeof(void *); /* only these are walked */
}

static int walk_field(struct model_check *c, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                      const Model__Source *src)
{
        const char *base = (const char *)m;
        if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE && f->type != PROTOBUF_C_TYPE_ENUM)
                return 0;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
                size_t n = *(const size_t *)(const void *)(base + f->quantifier_offset);
                const char *list = *(char *const *)(const void *)(base + f->offset);
                for (size_t i = 0; i < n; i++) {
                        int r = walk_value(c, f, list + i * walk_size(f), src);
                        if (r < 0)
                                return r;
                }
                return 0;
        }
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            *(const uint32_t *)(const void *)(base + f->quantifier_offset) != f->id)
                return 0;
        return walk_value(c, f, base + f->offset, src);
}

/* src: the nearest Source around m; a message that has its own is blamed by that. */
static int walk(struct model_check *c, const ProtobufCMessage *m, const Model__Source *src)
{
        const ProtobufCMessageDescriptor *d = m->descriptor;
        for (unsigned i = 0; i < d->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &d->fields[i];
                if (f->type == PROTOBUF_C_TYPE_MESSAGE && f->descriptor == &model__source__descriptor) {
                        const Model__Source *own = *(Model__Source *const *)(const void *)((const char *)m + f->offset);
                        src = own ? own : src;
                }
        }
        if (m->n_unknown_fields)
                return check_fail(c, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, src, "%s has the unknown field %u",
                                  d->short_name, m->unknown_fields[0].tag);
        for (unsigned i = 0; i < d->n_fields; i++) {
                int r = walk_field(c, m, &d->fields[i], src);
                if (r < 0)
                        return r;
        }
        return 0;
}

int check_message(struct model_check *c, const ProtobufCMessage *m)
{
        return walk(c, m, NULL);
}
