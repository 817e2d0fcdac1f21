/* tests/unit/agent/fake_dp.h - a scripted data plane for tests of agent/io/push: dials the socket, speaks the control
 * protocol, does what its script says and remembers what it saw.  One loop with the code under test. */
#pragma once
#include "lib/base.h"
#include "lib/control.pb-c.h"
#include "lib/core/frame.h"
#include "lib/core/manifest.h"
#include "lib/io/tls_wire.h"
#include <stdarg.h>

struct fake_dp {
        struct loop *loop;
        struct transport *t;  /* NULL = closed */
        uint32_t seq;
        /* script */
        bool silent;          /* answers nothing at all, not even PING */
        bool hold_prepared;   /* collects sections, but waits for fake_dp_prepare */
        bool serves_already;  /* what a manifest says is what it serves: ACTIVE is the answer to MANIFEST */
        const char *nack_section; /* NACKs a manifest that has this section ... */
        Model__Source nack_source; bool nack_has_source, nack_retryable;
        bool nack_count;      /* the rule of nack_source grows with each NACK */
        bool nack_section_is_content; /* nack_section is searched in the bytes of all sections instead */
        /* memory */
        struct manifest *next, *active;
        char trace[4096];     /* "W M1 S S A1 E ...": frames in order, manifests with their generation */
        char endpoints[1024]; /* "id@version " of each set, in order; "id@version+ ": further parts follow */
        size_t n_endpoints;   /* in all of them */
        unsigned n_pings;
};
void fake_dp_dial(struct fake_dp *d, struct loop *l, const char *path, const char *name, Control__Role role, const char *pool,
                  const struct manifest *active);
/* Over TLS; what it says in HELLO need not be what its certificate says. */
void fake_dp_dial_tls(struct fake_dp *d, struct loop *l, const struct control_addr *at, struct credentials *own, const char *name,
                      Control__Role role, const char *pool);
void fake_dp_prepare(struct fake_dp *d);
void fake_dp_refuse(struct fake_dp *d);
void fake_dp_status(struct fake_dp *d, const char *set, uint64_t requests_total, bool more); /* of one endpoint set */
void fake_dp_close(struct fake_dp *d);
void fake_dp_fini(struct fake_dp *d);
