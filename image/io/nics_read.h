/* image/io/nics_read.h - core/nics.h and the kernel's part of core/port_choice.h, read from sysfs below a host's root.
 * Layer: image/io.  Thread rule: main thread.  Reads only; absent files mean absent things, never an error. */
#pragma once
#include "image/core/port_choice.h"
#include "image/io/host.h"

void nics_read(const struct host *h, struct nics *ret) NONNULL(1, 2);
/* Modules are loaded by who asks, before. */
void box_read(const struct host *h, struct box *ret) NONNULL(1, 2);
/* One line of a small file without its end; "" when it is not there. */
void sysfs_line(const struct host *h, const char *path, char *ret, size_t n) NONNULL(1, 2, 3);
/* The last part of what a link points to; "" when there is none. */
void sysfs_link(const struct host *h, const char *path, char *ret, size_t n) NONNULL(1, 2, 3);
