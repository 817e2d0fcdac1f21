/* lib/io/dpclient.h - a data plane's side of the control socket: dials the agent, receives manifests, runs
 * PREPARE/ACTIVATE through callbacks, stores last known good, boots from it.  Layer: lib/io.
 * Thread rule: control thread (the loop's).  Reconnects with jittered backoff 100 ms .. 5 s, each time beginning with the first
 * agent after a session that was of use, else with the next one; the data plane serves on whatever it has meanwhile.  A store that cannot be opened or written is logged, serving goes on.  One manifest is in flight at a time; a newer one replaces it (abort is called). */
#pragma once
#include "lib/core/model.h"
#include "lib/io/agents.h"
#include "lib/io/lkg.h"
#include "lib/io/loop.h"
#include "lib/control.pb-c.h"

struct dpclient;
struct dpclient_ops {
        /* Do everything that can fail with this model and keep the result as pending (borrows m until release()).
         * 0, or <0 with *reterr filled (becomes the NACK).  May be called again after abort. */
        int (*prepare)(void *arg, const struct model *m, struct model_error *reterr);
        void (*activate)(void *arg, const struct model *m); /* swap pending in: must not fail */
        void (*abort)(void *arg);                             /* drop pending */
        /* One endpoint set was replaced (fast path); borrowed for the call.  Unknown ids are dropped before this. */
        void (*endpoints)(void *arg, const Model__EndpointSet *set);
        void (*fill_status)(void *arg, struct arena *a, Control__Status *st); /* memory from a */
};
struct dpclient_conf {
        const struct agents_conf *agents; /* copied; NULL or none = never dial, only last known good */
        const char *state_dir;
        const char *name, *pool; /* pool "" for l4 */
        Control__Role role;
        Control__Limits limits;
        uint32_t status_interval_ms; /* 0 = 1000; STATUS is also sent when dpclient_status_changed is called */
        const char *version; /* of the software, for HELLO; NULL = none */
        uint32_t flush_ms; /* 0 = 5000: how long a changed endpoint set may wait for the store */
        uint32_t trial_ms; /* 0 = 30000: having lived so long, what was booted from the store counts as good */
        uint32_t ping_ms;  /* 0 = 2000; an agent silent for three of these is dead */
};
int dpclient_new(struct loop *l, const struct dpclient_conf *conf, const struct dpclient_ops *ops, void *arg,
                 struct dpclient **ret, struct err *reterr) MUST_USE;
/* Loads last known good, prepares and activates it: 0, -ENOENT (nothing stored), -EPERM (another data plane's store), or the
 * error.  A manifest on which we crashed three times within a minute is passed over for the one before it, and refused
 * when the agent offers it, until the next start.  Call once, before run. */
int dpclient_boot(struct dpclient *c, struct err *reterr) MUST_USE;
void dpclient_start(struct dpclient *c); /* begins dialing */
void dpclient_status_changed(struct dpclient *c); /* coalesced, at most every 100 ms */
bool dpclient_connected(const struct dpclient *c);
const struct model *dpclient_active(const struct dpclient *c); /* NULL = none yet */
/* The data plane says that nothing refers to an old model any more; until then dpclient keeps it.  (activate makes the
 * previous model old.)  Models are freed by dpclient only. */
void dpclient_release(struct dpclient *c, const struct model *old);
/* Writes what is due to the store now (shutdown, tests). */
void dpclient_flush(struct dpclient *c);
/* Nothing may use any model any more.  Calls no callback but abort. */
void dpclient_free(struct dpclient *c);
