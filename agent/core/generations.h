/* agent/core/generations.h - the generations that a directory's objects were given, as text that outlives the agent.
 * Layer: agent/core, pure.  Thread rule: one thread.
 * Manifests do not carry metadata.generation, so the agent counts; were it to count from 1 again after a restart, every
 * Source in the model would differ, and Programmed would fall for objects nobody touched.
 * Not for EndpointSlices and Namespaces: no status and no Source carries theirs, and the first change all the time. */
#pragma once
#include "agent/core/objects.h"
#include "lib/core/buf.h"

struct generations;
struct generations *generations_new(void) MUST_USE;
void generations_free(struct generations *g);
/* Takes over what generations_print wrote.  -EINVAL: none of it is used; -ENOMEM. */
int generations_read(struct generations *g, struct span text) MUST_USE;
/* A whole load: gives each object its generation (unless it carries one) and forgets objects that are gone.  Returns
 * whether something is to be written; -ENOMEM: objects left without one are the store's to count. */
int generations_assign(struct generations *g, struct object *const *objs, size_t n) MUST_USE;
void generations_print(const struct generations *g, struct buf *b);
