/* l7gw/core/refused.tbl.h - what the model can say and this engine does not do: refused with a NACK, never ignored.
 * Columns: a condition on `o`, the object named in the table's title; the reason told.  The reason ends up in the status
 * of the route, so it names the feature as its author knows it.  Whoever builds a feature deletes its row. */
#pragma once

#define REFUSED_BIND(R) /* const Model__Bind *o */ \
        R(o->l4 != MODEL__L4_PROTOCOL__L4_TCP, "listener: only TCP can be accepted on") \
        R(o->proxy_protocol == MODEL__PROXY_PROTOCOL__PROXY_V1 || o->proxy_protocol == MODEL__PROXY_PROTOCOL__PROXY_V2, \
          "listener: PROXY protocol of one version only is not supported") \
        R(o->proxy_protocol != MODEL__PROXY_PROTOCOL__PROXY_OFF && o->n_proxy_trusted == 0, \
          "listener: PROXY protocol without trusted networks: nobody may send it") \
        R(o->client_policy[0], "listener: client policies are not supported")

#define REFUSED_LISTENER(R) /* const Model__Listener *o */ \
        R(o->protocol == MODEL__LISTENER__PROTOCOL__TCP, "listener: protocol TCP is not supported") \
        R(o->protocol == MODEL__LISTENER__PROTOCOL__UDP, "listener: protocol UDP is not supported") \
        R(policies_any(o->policies), "listener: policies are not supported")

#define REFUSED_RULE(R) /* const Model__Rule *o */ \
        R(o->action_case == MODEL__RULE__ACTION__NOT_SET, "rule: an action of a kind this version does not know") \
        R(o->persistence && o->persistence->idle_timeout_s, "rule: an idle timeout of session persistence is not supported") \
        R(policies_any(o->policies), "rule: policies are not supported")

#define REFUSED_MATCH(R) /* const Model__Match *o */ \
        R(o->n_cookies != 0, "match: cookies are not supported") \
        R(o->n_sources != 0, "match: client addresses are not supported")

#define REFUSED_CLUSTER(R) /* const Model__Cluster *o, when a leg uses it */ \
        R(o->lb > MODEL__CLUSTER__LOAD_BALANCER__MAGLEV, "backend: a load balancer this version does not know") \
        R(o->hash && o->hash->kind > MODEL__HASH_POLICY__KIND__PATH, "backend: a hash policy this version does not know") \
        R(o->outlier && (o->outlier->panic_pct || o->outlier->split_local || o->outlier->interval_ms), \
          "backend: outlier ejection counts in a row, without an interval, and knows the cluster's panic threshold only") \
        R(o->proxy_protocol == MODEL__PROXY_PROTOCOL__PROXY_OPTIONAL || o->proxy_protocol == MODEL__PROXY_PROTOCOL__PROXY_REQUIRED, \
          "backend: PROXY protocol is sent as version 1 or 2") \
        R(o->dns_name[0], "backend: DNS names are not supported")

#define REFUSED_FILTER_KINDS(R) /* R(oneof case, reason) */ \
        R(EXTERNAL_AUTH, "filter: external authorization is not supported")
