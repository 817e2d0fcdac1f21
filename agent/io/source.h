/* agent/io/source.h - where objects come from and where their statuses go: a directory of manifests
 * (source_directory.c), or the API server of a Kubernetes cluster (kube_source.c).  Layer: agent/io.
 * Thread rule: the loop's thread. */
#pragma once
#include "agent/core/status.h"
#include "agent/io/directory.h"
#include "agent/io/settings.h"
#include "lib/core/json.h"

struct source_events { /* to the pipeline */
        /* The content, whole: as directory_fn. */
        void (*load)(void *arg, struct object **objs, size_t n, const struct load_errors *errs);
        /* One object, new or changed (taken), or gone.  Nothing is made of them before the first ready(). */
        void (*put)(void *arg, struct object *o);
        void (*del)(void *arg, enum object_kind k, const char *ns, const char *name);
        /* Every kind has been read completely; again when something beside the objects changed (bundle_version). */
        void (*ready)(void *arg);
};
struct source;
struct source_ops {
        /* Everything there is to say.  Returns how many statuses differed from what was said last (0 when that is not
         * known yet); -errno: try again later. */
        int (*write)(struct source *s, const struct status_doc *docs, size_t n);
        void (*state)(const struct source *s, struct json *j);  /* one JSON value for the query "status"; NULL = none */
        void (*metrics)(const struct source *s, struct buf *b); /* Prometheus text; NULL = none */
        void (*free)(struct source *s);
};
struct source { /* first member of each */
        const struct source_ops *ops;
        const char *name;           /* "/etc/gatehouse/manifests", "https://10.0.0.1:6443" */
        /* Set before the first load() or ready(): addresses that Gateways hold by their last statuses. */
        const struct vip_grant *held; size_t n_held;
        const char *bundle_version; /* of the cluster's Gateway API CRDs; "" = it cannot be read; NULL = there is no cluster */
};
/* m: filled with the transitions that earlier statuses tell, before the first load() or ready(). */
int source_directory_new(struct loop *l, const struct settings *conf, struct status_memory *m, const struct source_events *ev, void *arg,
                         struct source **ret, struct err *reterr) MUST_USE;
int kube_source_new(struct loop *l, const struct settings *conf, struct status_memory *m, const struct source_events *ev, void *arg,
                    struct source **ret, struct err *reterr) MUST_USE;
/* Who we are to the API server, and where it is; also what --check looks at. */
struct kubeconfig;
int kube_credentials(const struct kube_conf *conf, struct kubeconfig **ret, struct err *reterr) MUST_USE;
static inline void source_free(struct source *s)
{
        if (s)
                s->ops->free(s);
}
