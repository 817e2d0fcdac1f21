/* ctl/table.h - aligned columns on stdout.  Rows are kept and printed at once.  Thread rule: single-threaded program. */
#pragma once
#include "lib/base.h"

#define TABLE_MAX_COLUMNS 12
struct table;
struct table *table_new(const char *const *heads, size_t n_columns);
/* Adds a row; cells are copied, control characters in them are shown as '?', "" is shown as "-". */
void table_row(struct table *t, const char *const *cells);
void table_print_free(struct table *t);
