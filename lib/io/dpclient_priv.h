/* lib/io/dpclient_priv.h - private to lib/io/dpclient*.c.
 *   dpclient.c        connection, timers, frames in and out
 *   dpclient_apply.c  a manifest on its way in: sections, prepare, activate; the store
 *   dpclient_endpoints.c, dpclient_status.c  ENDPOINTS in, STATUS out */
#pragma once
#include "lib/core/frame.h"
#include "lib/core/fresh.h"
#include "lib/io/dpclient.h"
#include "lib/io/dpclient_states.tbl.h"
#include "lib/io/log.h"
#include "lib/io/tls_wire.h"

enum dp_state {
#define S(id, word, next) DP_##id,
        DP_STATES(S)
#undef S
        DP_STATE_N
};

struct held { /* a model and whether the data plane may still use it */
        struct held *next;
        struct model *m;
};

struct dpclient {
        struct loop *loop;
        struct dpclient_ops ops;
        void *arg;
        struct agents_conf agents;
        size_t dial_at;                  /* of agents: the one we speak to, or dial next */
        struct credentials *credentials; /* NULL: no agent is dialled over TLS */
        char *state_dir, *name, *pool, *version;
        Control__Role role;
        Control__Limits limits;
        uint32_t status_interval_ms, flush_ms, trial_ms, ping_ms;
        char boot_id[33];
        struct lkg *lkg; /* NULL: the store cannot be opened, or is another's; why: */
        int lkg_errno;
        struct err lkg_err;
        bool has_looping;
        struct sha256 looping; /* we crashed on this one over and over: not taken again in this life */

        struct transport *t; /* NULL while IDLE */
        enum dp_state state;
        uint64_t session; /* counts connections; fresh endpoint sets remember theirs */
        uint32_t seq;
        unsigned silent_ticks; /* ping intervals without a byte from the agent */
        unsigned failures;     /* dials since the last useful session */
        char reason[160];      /* why we are about to close */
        struct timer redial, tick, status, save;
        struct timer trial; /* armed: the manifest we booted from has not lived long enough yet */
        uint64_t status_sent_ms;
        struct log_limit dial_limit, endpoints_limit, status_limit, save_limit;

        /* the manifest in flight (RECEIVING, PREPARED) */
        struct manifest *parts;  /* MANIFEST frames of one that has not fully come */
        struct manifest *next;
        struct map missing;      /* sha (32 bytes) -> its first manifest_entry without a blob */
        size_t n_missing;
        struct blob *receiving;  /* partly filled, hash unset */
        struct sha256 receiving_sha;
        size_t receiving_at;
        struct held *pending;    /* PREPARED: the model */

        struct held *active, *old;
        struct manifest *base;    /* the manifest active was loaded from */
        struct manifest *serving; /* base with fresh endpoints; NULL = to be made */
        struct fresh *fresh;
        size_t n_endpoints;       /* in all sets that are served: base's, or the fresh one in its place */
        Model__EndpointSet *set_parts; /* ENDPOINTS with `more`: what has come of it */
        size_t set_bytes;         /* of its frames */
};

void dpclient_state_set(struct dpclient *c, enum dp_state to);
int dpclient_send(struct dpclient *c, enum frame_type type, const ProtobufCMessage *m);
/* Records why and returns -EPROTO: the input callback passes it on, which closes the connection. */
int dpclient_refuse(struct dpclient *c, const char *fmt, ...) PRINTF(2, 3);
const struct manifest *dpclient_serving(struct dpclient *c); /* NULL = nothing active */

/* dpclient_apply.c: 0, or < 0 to close the connection */
int apply_manifest(struct dpclient *c, const Control__Manifest *w);
int apply_section(struct dpclient *c, const Control__SectionChunk *s);
int apply_activate(struct dpclient *c, ProtobufCBinaryData hash);
int apply_abort(struct dpclient *c, ProtobufCBinaryData hash);

/* Forgets the manifest in flight, with ops.abort if it was prepared.  Parts of the one that is still coming stay. */
void apply_drop(struct dpclient *c);
void apply_forget(struct dpclient *c); /* the same and the parts: the session is over */
void apply_save(struct dpclient *c);

/* dpclient_endpoints.c */
int apply_endpoints(struct dpclient *c, Control__Endpoints *m, size_t n_bytes); /* may take sets out of m */
void endpoints_forget(struct dpclient *c);  /* the set that has not fully come */
void endpoints_recount(struct dpclient *c); /* another model is active */

/* dpclient_status.c */
void dpclient_status_due(struct timer *t, uint64_t now_ms);
