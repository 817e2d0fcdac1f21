/* agent/core/schema.h - tables that type a document tree: field name, type, place in the struct, default, limits,
 * format. One walk decodes, one walk makes the digest's canonical bytes: both are driven by the same tables, so a field
 * cannot be decoded and left out of the digest.  Layer: agent/core, pure.  Tables are const; a decoder belongs to one
 * call.
 *
 * Rules of the walk: null is absent; absent and required is an error; text is typed by the table, never guessed; a
 * plain scalar where text is wanted is its text, a quoted one is never a number or a bool; strings are never NULL.
 * A schema that is strict refuses fields it does not list, naming them, as `kubectl --validate=strict` does. */
#pragma once
#include "agent/core/format.h"
#include "agent/core/node.h"
#include "agent/core/objects.h"
#include "agent/core/source_limits.tbl.h"
#include "lib/core/buf.h"

enum field_type {
        FIELD_STRING,   /* const char *: min..max characters, format, choices by name */
        FIELD_BOOL,     /* bool */
        FIELD_INT,      /* width bytes: min..max */
        FIELD_ENUM,     /* enum (or bool, by width): choices */
        FIELD_DURATION, /* uint32_t, milliseconds */
        FIELD_INT_OR_NAME, /* uint16_t at offset, or const char * at aux: a port or a port's name */
        FIELD_STRINGS,  /* struct strings */
        FIELD_NUMBERS,  /* const uint16_t * at offset, size_t at aux */
        FIELD_LABELS,   /* struct labels, sorted by key; format is the values', key_format the keys' */
        FIELD_DATA,     /* const struct data_item * at offset, size_t at aux; fields with the same place add up */
        FIELD_BASE64,   /* the same, values in base64 */
        FIELD_OBJECT,   /* a struct in place at offset, by sub; bool at aux tells that it was there */
        FIELD_LIST,     /* const T * at offset, size_t at aux, T by sub */
        FIELD_SKIP,     /* known, not kept, not checked */
};
enum {
        FIELD_REQUIRED = 1,
        FIELD_DEFAULTED = 2, /* OBJECT: absent is decoded as {}; LIST: absent or empty is decoded as [{}] */
        FIELD_MAY_BE_EMPTY = 4, /* LIST with DEFAULTED: only absent gets the default item */
        FIELD_SET = 8, /* STRINGS, NUMBERS: no item twice */
};
struct choice {
        const char *name; /* NULL ends the list */
        int value;
};
struct field {
        const char *name;
        enum field_type type;
        unsigned flags;
        size_t offset, aux;             /* aux: bool has_x, or the count; 0 = none (no struct starts with either) */
        size_t width;                   /* INT */
        int64_t min, max;               /* INT: value; STRING and items of STRINGS, LABELS: characters (max 0 = any) */
        size_t items_min, items_max;    /* lists and maps (items_max 0 = any) */
        enum format format, key_format;
        const struct choice *choices;
        const char *def;                /* default, as text */
        const struct schema *sub;
        const char *unique;             /* LIST: name of the field whose text is unique among the items ... */
        size_t unique_offset;           /* ... and its const char * in the item */
};
struct decoder;
struct schema {
        size_t size; /* of T when used in a LIST */
        const struct field *fields;
        size_t n_fields;
        bool strict;
        size_t place; /* offset of a const char * that gets "file:line: path"; 0 = none */
        int (*check)(struct decoder *d, const struct node *map, void *obj); /* rules over several fields; -errno */
};
#define SCHEMA_FIELDS(array) .fields = (array), .n_fields = ARRAY_SIZE(array)

struct decoder {
        struct arena *arena; /* of the object */
        const char *file;
        bool lenient;        /* unknown fields pass: an API server checked them, and may be newer than we are */
        char object[400];    /* "HTTPRoute default/web" */
        char path[SOURCE_MAX_FIELD_PATH];
        size_t path_n;
        struct err *err;
};
/* Decodes map (absent: an empty map) into obj, whose memory is zero. */
int schema_decode(struct decoder *d, const struct schema *s, const struct node *map, void *obj) MUST_USE;
/* Appends the canonical form of obj: same meaning, same bytes. */
void schema_digest(const struct schema *s, const void *obj, struct buf *out);

/* Path of the field at hand; each enter returns the mark that leave takes. */
size_t decoder_enter(struct decoder *d, const char *field);
size_t decoder_enter_index(struct decoder *d, size_t i);
void decoder_leave(struct decoder *d, size_t mark);
/* Enters item i of a list that fails (so nobody leaves) and returns its node. */
const struct node *decoder_item(struct decoder *d, const char *field, const struct node *list, size_t i);
/* Fills the error with "file:line: path" and "Kind ns/name: message"; returns -EINVAL (or -ENOMEM). */
int decoder_fail(struct decoder *d, const struct node *at, const char *fmt, ...) PRINTF(3, 4);
int decoder_nomem(struct decoder *d);

/* One per kind, in schema_*.c. */
struct kind_schema {
        size_t size;
        const struct schema *body;  /* everything but metadata */
        const char *versions[4];    /* served ones, NULL-terminated */
        enum format name_format;
};
extern const struct kind_schema kind_gateway_class, kind_gateway, kind_listener_set, kind_http_route, kind_grpc_route, kind_l4_route, kind_tls_route, kind_backend_tls_policy, kind_backend_policy,
        kind_client_policy, kind_reference_grant, kind_service,
        kind_endpoint_slice, kind_secret, kind_config_map, kind_namespace;
