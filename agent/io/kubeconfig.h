/* agent/io/kubeconfig.h - where an API server is and who we are to it: a kubeconfig file, or the service account a pod has.
 * Layer: agent/io.  Thread rule: any.  Credentials that name files are not read here: they are rotated, so whoever connects
 * reads them (agent/io/api_client.h).  Exec plugins and auth providers are refused with a clear error. */
#pragma once
#include "lib/core/arena.h"

#define KUBECONFIG_POD_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

struct kubeconfig {
        struct arena arena;
        const char *server;           /* "https://10.0.0.1:6443/prefix", no "/" at the end */
        struct span ca;               /* PEM; or */
        const char *ca_file;          /* "" = none: the system's */
        struct span cert, key;        /* PEM of ours; or */
        const char *cert_file, *key_file; /* "" = none */
        const char *token, *token_file;   /* "" = none; the file wins */
        const char *tls_server_name;  /* "" = the name in server */
        const char *proxy_url;        /* "" = none; the environment's is not used */
        bool insecure;                /* insecure-skip-tls-verify: whoever loads it must say so loudly */
        const char *context;          /* "admin@test"; "pod" for a service account */
};
/* context "" = the file's current-context. */
int kubeconfig_load(const char *path, const char *context, struct kubeconfig **ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
/* The service account in dir (KUBECONFIG_POD_DIR), the server of KUBERNETES_SERVICE_HOST and _PORT. */
int kubeconfig_of_pod(const char *dir, struct kubeconfig **ret, struct err *reterr) NONNULL(1, 2) MUST_USE;
void kubeconfig_free(struct kubeconfig *k); /* wipes; NULL is legal */
/* A small file as a whole into a; -E2BIG beyond max. */
int small_file_read(const char *path, size_t max, struct arena *a, struct span *ret, struct err *reterr) NONNULL(1, 3, 4) MUST_USE;
