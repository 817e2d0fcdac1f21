/* tests/unit/lib/fixture.h - a small but complete configuration for tests of lib: one Gateway with an HTTP and an HTTPS
 * listener, two clusters, a certificate, a policy, and an l4 section.  Tests change one thing and pack it. */
#pragma once
#include "lib/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lib/core/arena.h"
#include "lib/core/manifest.h"
#include "lib/core/model.h"

struct world {
        struct arena a;
        uint64_t generation;
        Model__Gateway *gateway;
        Model__Bind *bind;
        Model__Listener *http, *https;
        Model__VirtualHost *vhost;
        Model__RouteEntry *entry;
        Model__Rule *forward, *redirect;
        Model__Leg *leg;
        Model__Filter *filter, *mirror;
        Model__Policies *policies;
        Model__Policy *policy;
        Model__Cluster *cluster, *cluster2;
        Model__EndpointSet *set, *set2;
        Model__Endpoint *endpoint;
        Model__Certificate *certificate;
        Model__Key *key;
        Model__Trust *trust;
        Model__Vip *vip;
        Model__L4Listener *l4_listener;
        Model__L4Distribution *distribution;
        Model__L4Leg *l4_leg;
        Model__Pool *pool;
        Model__L4 *l4;
        /* left NULL = the section is left out */
        Model__Section *sections[8];
        const char *keys[8];
        bool secret[8];
        size_t n_sections;
};

void world_init(struct world *w);
void world_fini(struct world *w);
struct manifest *world_manifest(struct world *w); /* packed and sealed; the caller puts it */
Model__Source *world_source(struct world *w, const char *kind, const char *name, uint32_t rule);
/* Adds n to list as protobuf-c wants it: an array of one pointer more, in the arena. */
void **world_append(struct world *w, void *list, size_t n, void *item);
