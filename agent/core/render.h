/* agent/core/render.h - manifests as stable text, for people and golden files.  Layer: agent/core, pure.
 * Generic over lib/model.proto: every field that is set appears, so a new field cannot be forgotten.  Addresses are text,
 * other bytes are a length and the start of their SHA-256; private keys never appear. */
#pragma once
#include "lib/core/manifest.h"

/* Appends all sections of m; -EINVAL when a section does not decode. */
int render_manifest(const struct manifest *m, struct buf *out) NONNULL(1, 2) MUST_USE;
