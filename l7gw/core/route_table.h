/* l7gw/core/route_table.h - the insides of struct route_table, shared by route.c (reads) and route_build.c (writes).
 * Layer: l7gw/core, pure; private to these two. */
#pragma once
#include "l7gw/core/host_index.h"
#include "l7gw/core/match.h"
#include "l7gw/core/route.h"

struct route_item { /* one RouteEntry */
        struct route_item *next;
        struct match match;
        const struct route_rule *rule;
        uint32_t order;          /* position in the virtual host: lower wins */
        Model__RouteEntry entry; /* a copy whose match has the path in normal form */
        Model__Match model_match;
};
struct route_list { /* in rising order */
        struct route_item *head, **tail;
};
struct route_node { /* a path of whole segments */
        uint32_t id;
        struct route_list exact, prefix;
};
struct route_vhost {
        const char *hostname;
        struct route_node *root;   /* "/" as a prefix */
        struct strindex children;  /* (node id, segment) -> struct route_node */
        struct route_list any;     /* entries without a path condition, or with a regular expression */
        uint32_t n_nodes;
};
struct route_hosts {
        struct host_index vhosts; /* -> struct route_vhost */
};
struct route_streams { struct host_index by_sni; /* struct route_rule */ };
struct route_listener_index {
        struct host_index hosts; /* -> struct route_listener */
};
