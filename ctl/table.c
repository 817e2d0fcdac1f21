/* ctl/table.c - see table.h. */
#include "lib/base.h"
#include "ctl/table.h"

struct table {
        size_t n_columns, n_rows, cap_rows;
        size_t width[TABLE_MAX_COLUMNS];
        char **cells; /* n_rows * n_columns, owned */
};

struct table *table_new(const char *const *heads, size_t n_columns)
{
        BUG_ON(n_columns == 0 || n_columns > TABLE_MAX_COLUMNS);
        struct table *t = calloc(1, sizeof *t);
        BUG_ON(!t);
        t->n_columns = n_columns;
        table_row(t, heads);
        return t;
}

static char *cell_dup(const char *s)
{
        char *d = strdup(s && *s ? s : "-");
        BUG_ON(!d);
        for (char *p = d; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = '?';
        return d;
}

void table_row(struct table *t, const char *const *cells)
{
        if (t->n_rows == t->cap_rows) {
                t->cap_rows = t->cap_rows ? t->cap_rows * 2 : 16;
                t->cells = reallocarray(t->cells, t->cap_rows * t->n_columns, sizeof *t->cells);
                BUG_ON(!t->cells);
        }
        for (size_t i = 0; i < t->n_columns; i++) {
                char *d = cell_dup(cells[i]);
                t->cells[t->n_rows * t->n_columns + i] = d;
                t->width[i] = MAX(t->width[i], strlen(d));
        }
        t->n_rows++;
}

void table_print_free(struct table *t)
{
        for (size_t r = 0; r < t->n_rows; r++) {
                for (size_t i = 0; i < t->n_columns; i++) {
                        char *d = t->cells[r * t->n_columns + i];
                        if (i + 1 < t->n_columns)
                                printf("%-*s  ", (int)t->width[i], d);
                        else
                                printf("%s\n", d);
                        free(d);
                }
        }
        free(t->cells);
        free(t);
}
