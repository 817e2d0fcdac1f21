/* lib/io/dpclient_states.tbl.h - states of the session with the agent.
 * Columns: id, word in logs, legal next states.  Any state may go to IDLE: the connection can end at any time. */
#pragma once

#define DP_STATES(S)                                                                                                    \
        S(IDLE, "idle", B(GREETING))                          /* not connected, a redial is due or nothing to dial */  \
        S(GREETING, "greeting", B(READY))                     /* HELLO sent, waiting for WELCOME */                    \
        S(READY, "ready", B(RECEIVING))                       /* no manifest in flight */                              \
        S(RECEIVING, "receiving", B(READY) | B(RECEIVING) | B(PREPARED)) /* sections are missing */                    \
        S(PREPARED, "prepared", B(READY) | B(RECEIVING))      /* built and announced, waiting for ACTIVATE */
