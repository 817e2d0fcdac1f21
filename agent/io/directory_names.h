/* agent/io/directory_names.h - which names in the directory are manifests: the loader and the watcher must agree.
 * Layer: agent/io, private to directory*.c. */
#pragma once
#include "lib/base.h"

bool directory_reads(const char *name) MUST_USE; /* *.yaml, *.yml, *.json, not ".x", not "x~" */
