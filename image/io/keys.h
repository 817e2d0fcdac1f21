/* image/io/keys.h - the box's host key: what encrypts private keys, kubeconfig and manifests on the data partition.
 * Layer: image/io.  Thread rule: one process writes at a time: configure at boot, serve after it.
 *
 *   /var/lib/gatehouse/system/host.key.tpm        the host key as systemd-creds sealed it to this TPM, PCR 7
 *                             host.key.recovery   the host key under the recovery key: salt 16 | box (lib/io/secretbox.h)
 *                             recovery.seen       somebody has said that the recovery key is written down
 *                             host.key            the host key itself: a box without a TPM, and no other
 *   /run/gatehouse/keys/      memory, root only: host.key; daemon.key, derived from it, for the shards; recovery, a text to
 *                             show; state: how it went
 *
 * The TPM's copy is read back and compared before the plain one goes.  A key that was sealed and cannot be unsealed makes the
 * box LOCKED: nothing is made anew, nothing encrypted is removed or written over, until keys_unlock. */
#pragma once
#include "image/core/recovery.h"
#include "image/io/host.h"
#include "lib/io/secretbox.h"

/* S(id, name in the state file and in status) */
#define KEYS_STATES(S) S(NONE, "none") S(PLAIN, "plain") S(SEALED, "sealed") S(OPENED, "opened") S(LOCKED, "locked")
enum keys_state { /* OPENED: by the recovery key, and not sealed to a TPM: until the next start */
#define S(id, name) KEYS_##id,
        KEYS_STATES(S)
#undef S
                KEYS_N
};
extern const char *const keys_state_names[KEYS_N];
struct keys_status {
        enum keys_state state;
        char reason[256];      /* a sentence for the status page */
        bool recovery_waiting; /* a recovery key was made and nobody has said that it is written down */
};

/* At boot, once: unseals, makes what is missing, reseals; a recovery key among the system's credentials (gatehouse.recovery) is
 * tried when the TPM fails.  Whatever goes wrong is a state with a reason. */
void keys_open(const struct host *h, struct keys_status *ret) NONNULL(1, 2);
void keys_status_read(const struct host *h, struct keys_status *ret) NONNULL(1, 2);
/* The key of stored configurations.  -ENOKEY: locked. */
int keys_store(const struct host *h, uint8_t ret[SECRETBOX_KEY_BYTES], struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* LOCKED, and the recovery key as somebody typed it: the key is back, and sealed to the TPM that is here now, if one is.
 * -EINVAL: no recovery key, or another box's; -EALREADY: nothing is locked. */
int keys_unlock(const struct host *h, struct span text, struct err *reterr) NONNULL(1, 3) MUST_USE;
/* The recovery key that waits to be written down; -ENOENT: none. */
int keys_recovery(const struct host *h, char ret[RECOVERY_TEXT_MAX], struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
int keys_recovery_seen(const struct host *h, struct err *reterr) NONNULL(1, 2) MUST_USE; /* it is never shown again */
int keys_recovery_new(const struct host *h, struct err *reterr) NONNULL(1, 2) MUST_USE;  /* the old one opens nothing any more */
