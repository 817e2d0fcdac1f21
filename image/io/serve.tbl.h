/* image/io/serve.tbl.h - queries of the system's admin socket: Q(name, function, help), and the parts of its status: P(function). */
#pragma once
#define SERVE_QUERIES(Q)                                                                                                         \
        Q("status", serve_status, "what runs here: version, configuration, how the last apply ended")                            \
        Q("apply", serve_apply, "CONFIRM_S NAME TEXT...: puts gatehouse.cfg (and kubeconfig, manifests/X.yaml) in force")        \
        Q("adopt", serve_adopt, "SOURCE NAME TEXT...: the same for what a source gave; nothing to do when it gave that before")  \
        Q("confirm", serve_confirm, "keeps what was applied")                                                                    \
        Q("cancel", serve_cancel, "takes back what was applied and not confirmed")                                               \
        Q("show", serve_show, "current, previous or candidate: the file as it was given")                                      \
        Q("unlock", serve_unlock, "RECOVERY-KEY: opens secrets that the TPM does not, and seals them to the TPM that is here")    \
        Q("recovery", serve_recovery, "the recovery key, while it waits to be written down; seen: it is; new: makes another")    \
        Q("update", serve_update, "[--downgrade] [--reboot] [SOURCE]: installs into the idle slot; SOURCE: a file, a folder, a URL")    \
        Q("rollback", serve_rollback, "restarts into the other slot")                                                                   \
        Q("reset", serve_reset, "--yes: wipes the data partition and restarts")
#define SERVE_STATUS(P) P(serve_status_boot) P(serve_status_config) P(serve_status_keys) P(serve_status_box)
