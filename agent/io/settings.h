/* agent/io/settings.h - configs/agent.cfg read, checked and held.  Layer: agent/io. */
#pragma once
#include "agent/core/translate.h"
#include "agent/io/push.h"
#include "lib/io/config.h"
#include "lib/io/log.h"

struct kube_conf {
        const char *kubeconfig; /* "" = we are a pod: its service account */
        const char *context;    /* "" = the file's */
        unsigned qps, burst;    /* of status writes */
        unsigned page, retry_ms;
};
struct settings {
        struct arena arena;
        bool kubernetes;        /* source: kube; else directory and status_dir */
        struct kube_conf kube;
        struct translate_conf translate;
        struct push_conf push;
        const char *directory, *default_namespace, *status_dir, *admin;
        unsigned settle_ms, fold_ms;
        enum log_level log_level;
};
/* *ret owns everything; settings_free.  *reterr says file:line and what. */
int settings_load(const char *path, struct settings **ret, struct err *reterr) MUST_USE;
void settings_free(struct settings *s);
