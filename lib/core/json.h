/* lib/core/json.h - writes JSON (RFC 8259) into a buf; commas and escaping are its business.  Layer: lib/core, pure.
 * Strings must be bytes; what is not valid UTF-8 is escaped byte by byte as \u00XX so that output is always valid JSON.
 * Use: json_obj(&j); json_key(&j, "a"); json_u64(&j, 1); json_end(&j); then check b->failed once. */
#pragma once
#include "lib/core/buf.h"

#define JSON_MAX_DEPTH 32
struct json {
        struct buf *b;
        unsigned depth;
        bool in_array[JSON_MAX_DEPTH], has_item[JSON_MAX_DEPTH];
        bool after_key;
        bool pretty; /* two-space indentation; set right after json_init */
};

void json_init(struct json *j, struct buf *b) NONNULL(1, 2);
void json_obj(struct json *j) NONNULL(1);
void json_arr(struct json *j) NONNULL(1);
void json_end(struct json *j) NONNULL(1); /* closes the innermost object or array */
void json_key(struct json *j, const char *key) NONNULL(1, 2);
void json_str(struct json *j, const char *s) NONNULL(1);  /* NULL writes null */
void json_span(struct json *j, struct span s) NONNULL(1);
void json_u64(struct json *j, uint64_t v) NONNULL(1);
void json_i64(struct json *j, int64_t v) NONNULL(1);
void json_f64(struct json *j, double v) NONNULL(1);
void json_bool(struct json *j, bool v) NONNULL(1);
void json_nil(struct json *j) NONNULL(1);
void json_raw(struct json *j, struct span json_text) NONNULL(1); /* a ready JSON value, e.g. from another daemon */
