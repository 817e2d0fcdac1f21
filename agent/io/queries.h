/* agent/io/queries.h - what the agent's admin socket answers: status, gateways, routes, metrics, help.
 * Layer: agent/io.  The table is for admin_new, with the pipeline as argument. */
#pragma once
#include "agent/io/pipeline.h"
#include "lib/io/admin.h"

void agent_queries_start(void); /* uptime counts from here */
extern const struct admin_query agent_queries[];
