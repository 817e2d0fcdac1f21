/* image/io/config_load.h - gatehouse.cfg -> struct config, strict: an unknown setting, a bad value or settings that
 * contradict each other are refused with file, line and setting.  Layer: image/io.  Thread rule: any thread, own objects. */
#pragma once
#include "image/core/config.h"

/* place: the file's name in messages.  0, or -errno and *reterr.  *ret: config_free. */
int config_load_text(struct span text, const char *place, struct config **ret, struct err *reterr) NONNULL(2, 3, 4) MUST_USE;
int config_load(const char *path, struct config **ret, struct err *reterr) NONNULL(1, 2, 3) MUST_USE;
