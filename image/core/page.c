/* image/core/page.c - see page.h. */
#include "lib/base.h"
#include "image/core/page.h"

#define LABEL_WIDTH 14

void page_add(struct page *p, const char *label, const char *text, bool bad)
{
        if (p->n < PAGE_MAX_LINES)
                p->v[p->n++] = (struct page_line){.label = label, .text = text, .bad = bad};
}

static unsigned put(struct buf *out, const char *s, unsigned room)
{
        unsigned n = 0;
        for (; *s && n < room; s++, n++)
                buf_printf(out, "%c", (uint8_t)*s < 0x20 || (uint8_t)*s > 0x7e ? '?' : *s);
        return n;
}

void page_render(const struct page *p, const char *title, unsigned columns, unsigned rows, struct buf *out)
{
        unsigned width = MAX(columns, 40u), used = 2;
        buf_str(out, "\033[0m\033[2J\033[H\033[1m"); /* ECMA-48: plain, erase, home, bold */
        (void)put(out, title, width); /* how many were written does not matter here */
        buf_str(out, "\033[0m\r\n\r\n");
        const char *before = "";
        for (size_t i = 0; i < p->n && used + 1 < MAX(rows, 10u); i++, used++) {
                const struct page_line *l = &p->v[i];
                buf_printf(out, "%-*.*s", LABEL_WIDTH, LABEL_WIDTH, strcmp(before, l->label) == 0 ? "" : l->label);
                buf_str(out, l->bad ? "\033[31m" : "");
                (void)put(out, l->text, width - LABEL_WIDTH); /* cut at the edge */
                buf_str(out, l->bad ? "\033[0m\r\n" : "\r\n");
                before = l->label;
        }
}
