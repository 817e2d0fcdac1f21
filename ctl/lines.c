/* ctl/lines.c - see lines.h.  The longest common subsequence by the plain table: configurations have hundreds of lines. */
#include "lib/base.h"
#include "ctl/lines.h"

#define LINES_MAX 4096 /* of each text behind what both begin and end with: a table of 32 MiB at most */

struct lines {
        struct span *v;
        size_t n;
};

static struct lines split(struct span s)
{
        struct lines l = {0};
        size_t n = 1;
        for (size_t i = 0; i < s.n; i++)
                n += s.p[i] == '\n';
        l.v = calloc(n, sizeof *l.v);
        BUG_ON(!l.v);
        while (s.n) {
                const uint8_t *nl = memchr(s.p, '\n', s.n);
                size_t len = nl ? (size_t)(nl - s.p) : s.n;
                l.v[l.n++] = SPAN(s.p, len);
                s = SPAN(s.p + len + (nl != NULL), s.n - len - (nl != NULL));
        }
        return l;
}

static void show(FILE *out, char sign, struct span line)
{
        fputc(sign, out);
        for (size_t i = 0; i < line.n; i++)
                fputc(line.p[i] < 0x20 && line.p[i] != '\t' ? '?' : line.p[i], out);
        fputc('\n', out);
}

/* len[i][j]: common lines of a behind i and b behind j. */
static void walk(struct lines a, struct lines b, size_t first_line, FILE *out)
{
        size_t w = b.n + 1;
        uint16_t *len = calloc((a.n + 1) * w, sizeof *len);
        BUG_ON(!len);
        for (size_t i = a.n; i-- > 0;)
                for (size_t j = b.n; j-- > 0;)
                        len[i * w + j] = span_eq(a.v[i], b.v[j]) ? (uint16_t)(len[(i + 1) * w + j + 1] + 1)
                                                                 : MAX(len[(i + 1) * w + j], len[i * w + j + 1]);
        bool open = false;
        for (size_t i = 0, j = 0; i < a.n || j < b.n;) {
                if (i < a.n && j < b.n && span_eq(a.v[i], b.v[j])) {
                        i++;
                        j++;
                        open = false;
                        continue;
                }
                if (!open)
                        fprintf(out, "@@ line %zu @@\n", first_line + j);
                open = true;
                if (j == b.n || (i < a.n && len[(i + 1) * w + j] >= len[i * w + j + 1]))
                        show(out, '-', a.v[i++]);
                else
                        show(out, '+', b.v[j++]);
        }
        free(len);
}

bool lines_diff(struct span from, struct span to, FILE *out)
{
        struct lines a = split(from), b = split(to);
        struct span *av = a.v, *bv = b.v;
        size_t first = 1;
        while (a.n && b.n && span_eq(a.v[0], b.v[0])) {
                a = (struct lines){a.v + 1, a.n - 1};
                b = (struct lines){b.v + 1, b.n - 1};
                first++;
        }
        while (a.n && b.n && span_eq(a.v[a.n - 1], b.v[b.n - 1])) {
                a.n--;
                b.n--;
        }
        bool same = a.n == 0 && b.n == 0;
        if (a.n > LINES_MAX || b.n > LINES_MAX)
                fprintf(out, "@@ line %zu @@\n(more than %d lines differ)\n", first, LINES_MAX);
        else if (!same)
                walk(a, b, first, out);
        free(av);
        free(bv);
        return same;
}
