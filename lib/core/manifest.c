/* lib/core/manifest.c - see manifest.h.
 *
 * hash = SHA-256( for each section in key order: u32 big-endian key length | key | 32 bytes SHA-256 of the section )
 *
 * The generation is a label, not content: two agents with the same inputs make the same hash. */
#include "lib/core/manifest.h"

#include "lib/control.pb-c.h"
#include "lib/core/cursor.h"
#include "lib/core/frame.h"

struct blob *blob_alloc(size_t n, bool secret)
{
        if (n > SECTION_MAX_BYTES)
                return NULL;
        struct blob *b = calloc(1, sizeof *b + n);
        if (b) {
                b->refs = 1;
                b->n = n;
                b->secret = secret;
        }
        return b;
}

void blob_seal(struct blob *b)
{
        sha256_of(SPAN(b->p, b->n), &b->sha);
}

struct blob *blob_new(struct span bytes, bool secret)
{
        struct blob *b = blob_alloc(bytes.n, secret);
        if (!b)
                return NULL;
        if (bytes.n)
                memcpy(b->p, bytes.p, bytes.n);
        blob_seal(b);
        return b;
}

struct blob *blob_get(struct blob *b)
{
        BUG_ON(b->refs == 0);
        b->refs++;
        return b;
}

void blob_put(struct blob *b)
{
        if (!b)
                return;
        BUG_ON(b->refs == 0);
        if (--b->refs)
                return;
        if (b->secret)
                explicit_bzero(b->p, b->n);
        free(b);
}

struct manifest *manifest_new(uint64_t generation)
{
        struct manifest *m = calloc(1, sizeof *m);
        if (m) {
                m->refs = 1;
                m->generation = generation;
        }
        return m;
}

struct manifest *manifest_get(struct manifest *m)
{
        BUG_ON(m->refs == 0);
        m->refs++;
        return m;
}

void manifest_put(struct manifest *m)
{
        if (!m)
                return;
        BUG_ON(m->refs == 0);
        if (--m->refs)
                return;
        for (size_t i = 0; i < m->n; i++) {
                free(m->entries[i].key);
                blob_put(m->entries[i].blob);
        }
        free(m->entries);
        free(m);
}

/* Keys travel into logs and file paths of status: printable ASCII without spaces. */
static bool key_valid(const char *key)
{
        size_t n = strlen(key);
        for (size_t i = 0; i < n; i++)
                if (key[i] <= ' ' || key[i] > '~')
                        return false;
        return n > 0 && n <= MANIFEST_MAX_KEY_BYTES;
}

static int manifest_room(struct manifest *m, size_t len_bytes)
{
        if (m->n >= FRAME_MAX_MANIFEST_SECTIONS || len_bytes > SECTION_MAX_BYTES ||
            len_bytes > MANIFEST_MAX_BYTES - m->total_bytes)
                return -E2BIG;
        if (m->n < m->cap)
                return 0;
        size_t cap = m->cap ? m->cap * 2 : 16;
        struct manifest_entry *e = realloc(m->entries, cap * sizeof *e);
        if (!e)
                return -ENOMEM;
        m->entries = e;
        m->cap = cap;
        return 0;
}

static int manifest_append(struct manifest *m, const char *key, const struct manifest_entry *like)
{
        if (!key_valid(key))
                return -EINVAL;
        int r = manifest_room(m, like->len_bytes);
        if (r < 0)
                return r;
        char *copy = strdup(key);
        if (!copy)
                return -ENOMEM;
        m->entries[m->n] = *like;
        m->entries[m->n++].key = copy;
        m->total_bytes += like->len_bytes;
        return 0;
}

int manifest_add_blob(struct manifest *m, const char *key, struct blob *b)
{
        struct manifest_entry e = {.sha = b->sha, .len_bytes = b->n, .secret = b->secret, .blob = b};
        int r = manifest_append(m, key, &e);
        if (r == 0)
                blob_get(b);
        return r;
}

int manifest_add(struct manifest *m, const char *key, struct span bytes, bool secret)
{
        if (bytes.n > SECTION_MAX_BYTES)
                return -E2BIG;
        struct blob *b = blob_new(bytes, secret);
        if (!b)
                return -ENOMEM;
        int r = manifest_add_blob(m, key, b);
        blob_put(b);
        return r;
}

static int entry_cmp(const void *a, const void *b)
{
        const struct manifest_entry *x = a, *y = b;
        return strcmp(x->key, y->key);
}

static int manifest_hash(const struct manifest *m, struct sha256 *ret)
{
        struct buf b;
        buf_init(&b, SIZE_MAX);
        for (size_t i = 0; i < m->n; i++) {
                uint8_t len[4];
                size_t n = strlen(m->entries[i].key);
                put_u32_be(len, (uint32_t)n);
                buf_add(&b, len, sizeof len);
                buf_add(&b, m->entries[i].key, n);
                buf_add(&b, m->entries[i].sha.b, SHA256_BYTES);
        }
        bool failed = b.failed;
        if (!failed)
                sha256_of(buf_span(&b), ret);
        buf_fini(&b);
        return failed ? -ENOMEM : 0;
}

int manifest_seal(struct manifest *m, struct err *reterr)
{
        if (m->n)
                qsort(m->entries, m->n, sizeof *m->entries, entry_cmp);
        for (size_t i = 1; i < m->n; i++)
                if (strcmp(m->entries[i - 1].key, m->entries[i].key) == 0)
                        return err_set(reterr, EINVAL, m->entries[i].key, "two sections have this key");
        int r = manifest_hash(m, &m->hash);
        return r < 0 ? err_set(reterr, -r, "manifest", "out of memory") : 0;
}

static int wire_entry_add(struct manifest *m, const Control__ManifestEntry *in, struct err *reterr)
{
        if (in->sha256.len != SHA256_BYTES)
                return err_set(reterr, EINVAL, "manifest", "section %zu: a hash of %zu bytes", m->n, in->sha256.len);
        if (m->n && strcmp(m->entries[m->n - 1].key, in->key) >= 0)
                return err_set(reterr, EINVAL, "manifest", "section %zu: keys are not sorted and unique", m->n);
        if (in->len_bytes > SECTION_MAX_BYTES)
                return err_set(reterr, E2BIG, in->key, "section over %u bytes", SECTION_MAX_BYTES);
        struct manifest_entry e = {.len_bytes = (size_t)in->len_bytes, .secret = in->secret};
        memcpy(e.sha.b, in->sha256.data, SHA256_BYTES);
        int r = manifest_append(m, in->key, &e);
        if (r < 0)
                return err_set(reterr, -r, "manifest", "section %zu: %s", m->n,
                               r == -E2BIG    ? "the manifest is over its limits"
                               : r == -EINVAL ? "bad key"
                                              : "out of memory");
        return 0;
}

/* The hash that the sender announces is kept in m->hash from the first part on, and verified when all are here. */
int manifest_add_wire(struct manifest **io_partial, const struct Control__Manifest *w, struct err *reterr)
{
        struct manifest *m = *io_partial;
        if (w->hash.len != SHA256_BYTES)
                return err_set(reterr, EINVAL, "manifest", "a hash of %zu bytes", w->hash.len);
        if (!m) {
                m = manifest_new(w->generation);
                if (!m)
                        return err_set(reterr, ENOMEM, "manifest", "out of memory");
                memcpy(m->hash.b, w->hash.data, SHA256_BYTES);
                *io_partial = m;
        } else if (m->generation != w->generation || memcmp(m->hash.b, w->hash.data, SHA256_BYTES) != 0) {
                return err_set(reterr, EINVAL, "manifest", "parts of two manifests");
        }
        if (w->more && w->n_sections == 0)
                return err_set(reterr, EINVAL, "manifest", "an empty part");
        for (size_t i = 0; i < w->n_sections; i++) {
                int r = wire_entry_add(m, w->sections[i], reterr);
                if (r < 0)
                        return r;
        }
        if (w->more)
                return 0;
        struct sha256 hash;
        int r = manifest_hash(m, &hash);
        if (r < 0)
                return err_set(reterr, -r, "manifest", "out of memory");
        if (memcmp(&hash, &m->hash, sizeof hash) != 0)
                return err_set(reterr, EINVAL, "manifest", "its hash does not cover its sections");
        return 1;
}

int manifest_from_wire(const struct Control__Manifest *w, struct manifest **ret, struct err *reterr)
{
        struct manifest *m = NULL;
        int r = manifest_add_wire(&m, w, reterr);
        if (r == 0)
                r = err_set(reterr, EINVAL, "manifest", "only a part of one");
        if (r < 0) {
                manifest_put(m);
                return r;
        }
        *ret = m;
        return 0;
}

/* The wire message over m's own bytes: one allocation, freed by the caller. */
static void *manifest_to_wire(const struct manifest *m, Control__Manifest *w)
{
        Control__ManifestEntry *e = calloc(m->n + 1, sizeof *e + sizeof(Control__ManifestEntry *));
        if (!e)
                return NULL;
        Control__ManifestEntry **list = (void *)(e + m->n);
        for (size_t i = 0; i < m->n; i++) {
                struct manifest_entry *from = &m->entries[i];
                control__manifest_entry__init(&e[i]);
                e[i].key = from->key;
                e[i].sha256 = (ProtobufCBinaryData){SHA256_BYTES, from->sha.b};
                e[i].len_bytes = from->len_bytes;
                e[i].secret = from->secret;
                list[i] = &e[i];
        }
        control__manifest__init(w);
        w->generation = m->generation;
        w->n_sections = m->n;
        w->sections = list;
        w->hash = (ProtobufCBinaryData){SHA256_BYTES, (uint8_t *)m->hash.b};
        return e;
}

int manifest_pack(const struct manifest *m, struct buf *out)
{
        Control__Manifest w;
        void *mem = manifest_to_wire(m, &w);
        if (!mem)
                return -ENOMEM;
        size_t n = control__manifest__get_packed_size(&w);
        uint8_t *p = buf_reserve(out, n);
        if (p)
                out->n += control__manifest__pack(&w, p);
        free(mem);
        return p ? 0 : -ENOMEM;
}

#define PART_OVERHEAD 64 /* generation, hash and more of one part */
#define ENTRY_OVERHEAD 6 /* tag and length of one entry */

int manifest_encode_frame(const struct manifest *m, uint32_t seq, struct buf *out)
{
        Control__Manifest w;
        void *mem = manifest_to_wire(m, &w);
        if (!mem)
                return -ENOMEM;
        Control__ManifestEntry **all = w.sections;
        int r = 0;
        for (size_t at = 0; r == 0 && (at < m->n || at == 0); at += w.n_sections) {
                size_t n = 0, bytes = PART_OVERHEAD;
                for (; at + n < m->n; n++) {
                        bytes += control__manifest_entry__get_packed_size(all[at + n]) + ENTRY_OVERHEAD;
                        if (bytes > FRAME_MAX_BODY)
                                break;
                }
                w.sections = all + at;
                w.n_sections = n; /* at least one: a key is far smaller than a frame */
                w.more = at + n < m->n;
                r = frame_encode_msg(out, FRAME_MANIFEST, seq, &w.base);
                if (m->n == 0)
                        break;
        }
        free(mem);
        return r;
}

struct manifest_entry *manifest_find(const struct manifest *m, const char *key)
{
        struct manifest_entry want = {.key = (char *)key};
        return m->n ? bsearch(&want, m->entries, m->n, sizeof *m->entries, entry_cmp) : NULL;
}

bool manifest_complete(const struct manifest *m)
{
        for (size_t i = 0; i < m->n; i++)
                if (!m->entries[i].blob)
                        return false;
        return true;
}
