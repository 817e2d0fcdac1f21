/* l7gw/core/filter.c - filter chains: an array of small operations made from the model, run in order. */
#include "lib/base.h"
#include "l7gw/core/chars.h"
#include "l7gw/core/filter.h"
#include "l7gw/core/path_edit.h"
#include "l7gw/core/refused.tbl.h"
#include "lib/control.pb-c.h"

enum op_kind { OP_SET, OP_ADD, OP_REMOVE, OP_HOST, OP_PATH };
struct op {
        enum op_kind kind;
        struct span name, value; /* header edits: name lower case; OP_HOST: value */
        struct path_edit path;
};
struct filter_chain {
        struct op *request, *response;
        size_t n_request, n_response;
        const Model__Redirect *redirect;
        const struct cors *cors;
};

struct build { /* what every step needs to refuse with a place */
        struct arena *a;
        const char *section;
        const Model__Source *src; /* of the filter in hand */
        struct model_error *err;
};

static int refuse(const struct build *b, unsigned stage, const char *what, const char *value)
{
        model_error_set(b->err, stage, b->section, b->src, "filter: %s: \"%s\"", what, value);
        return stage == CONTROL__NACK_STAGE__NACK_UNSUPPORTED ? -ENOTSUP : -EINVAL;
}

static int no_memory(const struct build *b)
{
        model_error_set(b->err, CONTROL__NACK_STAGE__NACK_INTERNAL, b->section, b->src, "out of memory");
        return -ENOMEM;
}

/* Framing, connection handling and Host belong to the engine: an edit of them is refused, it would be ignored. */
static bool name_is_engines(enum field_id id)
{
        static const enum field_id ids[] = { FIELD_HOST, FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING, FIELD_CONNECTION,
                                             FIELD_KEEP_ALIVE, FIELD_PROXY_CONNECTION, FIELD_UPGRADE, FIELD_TE,
                                             FIELD_EXPECT, FIELD_TRAILER, FIELD_PROXY_AUTHORIZATION,
                                             FIELD_PROXY_AUTHENTICATE };
        for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
                if (ids[i] == id)
                        return true;
        return false;
}

static int header_op(const struct build *b, enum op_kind kind, const char *name, const char *value, struct op *ret)
{
        struct span n = span_str(name), v = value_trim(span_str(value));
        if (!name_is_token(n))
                return refuse(b, CONTROL__NACK_STAGE__NACK_CHECK, "not a header name", name);
        if (!value_is_valid(v))
                return refuse(b, CONTROL__NACK_STAGE__NACK_CHECK, "not a header value, of header", name);
        uint8_t *lower = arena_dup(b->a, n.p, n.n);
        if (!lower)
                return no_memory(b);
        for (size_t i = 0; i < n.n; i++)
                lower[i] = char_lower[lower[i]];
        n.p = lower;
        if (name_is_engines(field_id_of(n)))
                return refuse(b, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "this header is not for filters", name);
        *ret = (struct op){ .kind = kind, .name = n, .value = v };
        return 0;
}

static int edit_build(const struct build *b, const Model__HeaderEdit *e, struct op *ops, size_t *n)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < e->n_set; i++)
                r = header_op(b, OP_SET, e->set[i]->name, e->set[i]->value, &ops[(*n)++]);
        for (size_t i = 0; r == 0 && i < e->n_add; i++)
                r = header_op(b, OP_ADD, e->add[i]->name, e->add[i]->value, &ops[(*n)++]);
        for (size_t i = 0; r == 0 && i < e->n_remove; i++)
                r = header_op(b, OP_REMOVE, e->remove[i], "", &ops[(*n)++]);
        return r;
}

static bool ops_edit_path(const struct op *ops, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (ops[i].kind == OP_PATH)
                        return true;
        return false;
}

static int rewrite_build(const struct build *b, const Model__Rewrite *w, struct op *ops, size_t *n)
{
        struct span host = span_str(w->hostname);
        if (!chars_all(host, CH_HOST))
                return refuse(b, CONTROL__NACK_STAGE__NACK_CHECK, "not a host name", w->hostname);
        if (host.n)
                ops[(*n)++] = (struct op){ .kind = OP_HOST, .value = host };
        struct op *op = &ops[*n];
        *op = (struct op){ .kind = OP_PATH };
        int r = path_edit_build(b->a, w->path, &op->path);
        if (r == -ENOTSUP)
                return refuse(b, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "rewrite by regular expression", w->path->pattern);
        if (r == -EINVAL)
                return refuse(b, CONTROL__NACK_STAGE__NACK_CHECK, "replacement is not a path", w->path->value);
        if (r < 0)
                return no_memory(b);
        if (op->path.kind == PATH_EDIT_PREFIX && ops_edit_path(ops, *n)) /* what matched is gone by then */
                return refuse(b, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, "the prefix of a path already rewritten", w->path->value);
        *n += op->path.kind != PATH_EDIT_KEEP;
        return 0;
}

static const char *kind_refused(const Model__Filter *o)
{
        switch (o->kind_case) {
#define R(kind, text)               \
        case MODEL__FILTER__KIND_##kind: \
                return text;
                REFUSED_FILTER_KINDS(R)
#undef R
        case MODEL__FILTER__KIND__NOT_SET:
                return "filter of a kind this version does not know";
        case MODEL__FILTER__KIND_REQUEST_HEADERS:
        case MODEL__FILTER__KIND_RESPONSE_HEADERS:
        case MODEL__FILTER__KIND_REWRITE:
        case MODEL__FILTER__KIND_REDIRECT:
        case MODEL__FILTER__KIND_CORS:
        case MODEL__FILTER__KIND_MIRROR: /* the route builder's: it knows clusters */
        case _MODEL__FILTER__KIND__CASE_IS_INT_SIZE:
                break;
        }
        return NULL;
}

static size_t edit_ops(const Model__HeaderEdit *e) { return e->n_set + e->n_add + e->n_remove; }

static int filter_build(const struct build *b, const Model__Filter *f, struct filter_chain *fc)
{
        const char *no = kind_refused(f);
        if (no) {
                model_error_set(b->err, CONTROL__NACK_STAGE__NACK_UNSUPPORTED, b->section, b->src, "%s", no);
                return -ENOTSUP;
        }
        if (f->kind_case == MODEL__FILTER__KIND_REQUEST_HEADERS)
                return edit_build(b, f->request_headers, fc->request, &fc->n_request);
        if (f->kind_case == MODEL__FILTER__KIND_RESPONSE_HEADERS)
                return edit_build(b, f->response_headers, fc->response, &fc->n_response);
        if (f->kind_case == MODEL__FILTER__KIND_REDIRECT) {
                fc->redirect = f->redirect;
                return redirect_check(f->redirect, b->src, b->section, b->err);
        }
        if (f->kind_case == MODEL__FILTER__KIND_MIRROR)
                return 0;
        if (f->kind_case == MODEL__FILTER__KIND_CORS) {
                if (fc->cors)
                        return refuse(b, CONTROL__NACK_STAGE__NACK_CHECK, "twice in one place", "CORS");
                return cors_build(b->a, f->cors, b->src, b->section, &fc->cors, b->err);
        }
        return rewrite_build(b, f->rewrite, fc->request, &fc->n_request);
}

int filter_chain_build(struct arena *a, Model__Filter *const *filters, size_t n, const Model__Source *owner,
                       const char *section, const struct filter_chain **ret, struct model_error *reterr)
{
        struct build b = { a, section, owner, reterr };
        size_t n_req = 0, n_resp = 0;
        *ret = NULL;
        if (n == 0)
                return 0;
        for (size_t i = 0; i < n; i++) {
                if (filters[i]->kind_case == MODEL__FILTER__KIND_REQUEST_HEADERS)
                        n_req += edit_ops(filters[i]->request_headers);
                else if (filters[i]->kind_case == MODEL__FILTER__KIND_RESPONSE_HEADERS)
                        n_resp += edit_ops(filters[i]->response_headers);
                else
                        n_req += 2; /* host and path */
        }
        struct filter_chain *fc = arena_calloc(a, 1, sizeof *fc);
        if (!fc || !(fc->request = arena_calloc(a, n_req + 1, sizeof *fc->request)) ||
            !(fc->response = arena_calloc(a, n_resp + 1, sizeof *fc->response)))
                return no_memory(&b);
        for (size_t i = 0; i < n; i++) {
                b.src = filters[i]->source ? filters[i]->source : owner;
                int r = filter_build(&b, filters[i], fc);
                if (r < 0)
                        return r;
        }
        if (fc->n_request + fc->n_response || fc->redirect || fc->cors)
                *ret = fc;
        return 0;
}

bool filter_chain_needs_prefix(const struct filter_chain *fc)
{
        for (size_t i = 0; fc && i < fc->n_request; i++)
                if (fc->request[i].kind == OP_PATH && fc->request[i].path.kind == PATH_EDIT_PREFIX)
                        return true;
        return fc && fc->redirect && fc->redirect->path && fc->redirect->path->kind == MODEL__PATH_EDIT__KIND__PREFIX;
}

const Model__Redirect *filter_chain_redirect(const struct filter_chain *fc)
{
        return fc ? fc->redirect : NULL;
}

const struct cors *filter_chain_cors(const struct filter_chain *fc)
{
        return fc ? fc->cors : NULL;
}

bool filter_chain_edits_path(const struct filter_chain *fc)
{
        return fc && ops_edit_path(fc->request, fc->n_request);
}

static int op_run(const struct op *op, const Model__RouteEntry *entry, struct msg *m)
{
        switch (op->kind) {
        case OP_SET:
                return msg_set(m, op->name, op->value);
        case OP_ADD:
                return msg_add(m, op->name, op->value);
        case OP_REMOVE:
                msg_remove(m, op->name);
                return 0;
        case OP_HOST:
                m->authority = m->host = op->value;
                m->port = 0;
                return 0;
        case OP_PATH:
                return path_edit_apply(m->arena, &op->path, entry, m->path, &m->path);
        }
        BUG_ON(true);
}

int filter_request(const struct filter_chain *fc, const Model__RouteEntry *entry, struct msg *m)
{
        int r = 0;
        for (size_t i = 0; fc && r == 0 && i < fc->n_request; i++)
                r = op_run(&fc->request[i], entry, m);
        return r;
}

int filter_response(const struct filter_chain *fc, struct msg *m)
{
        int r = 0;
        for (size_t i = 0; fc && r == 0 && i < fc->n_response; i++)
                r = op_run(&fc->response[i], NULL, m);
        return r;
}
