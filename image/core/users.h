/* image/core/users.h - user numbers of the daemons, as image/root/usr/lib/sysusers.d/gatehouse.conf makes them (a check
 * compares both).  Layer: image/core.  Fixed, because the agent admits data planes by number: its listen.uids are
 * UID_L4LB and UID_SHARD + k of every shard (k = 1, 2 ...; core/plan.h). */
#pragma once
enum {
        GID_GATEHOUSE = 900, /* may dial the agent */
        UID_AGENT = 901,
        UID_L4LB = 902,
        UID_SYSLOG = 903,
        UID_L7GW = 904,  /* a shard whose drop-in is missing */
        UID_SHARD = 910, /* + k: user "shard<k>" */
};
