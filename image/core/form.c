/* image/core/form.c - see form.h.  Each answer is checked when it is given; the file as a whole is checked by serve. */
#include "lib/base.h"
#include "image/core/form.h"
#include "image/core/config.h"

#define TEXT_MAX (200u * 1024) /* with the rest one question to serve */
#define ANSWER_MAX 64

static const char *const questions[FORM_N] = {
#define F(id, question, def) question,
        FORM_FIELDS(F)
#undef F
};

struct form {
        struct form_nic nics[FORM_MAX_NICS];
        size_t n_nics;
        enum form_field at;
        char answers[FORM_N][ANSWER_MAX]; /* given, or what stands in brackets */
        struct buf line, text, result;
        bool skip_lf; /* the CR of a CR LF was the end of the line */
};

struct form *form_new(const struct form_nic *nics, size_t n)
{
        static const char *const defaults[FORM_N] = {
#define F(id, question, def) def,
                FORM_FIELDS(F)
#undef F
        };
        struct form *f = calloc(1, sizeof *f);
        BUG_ON(!f); /* a console without memory has nothing to say */
        f->n_nics = MIN(n, (size_t)FORM_MAX_NICS);
        if (f->n_nics)
                memcpy(f->nics, nics, f->n_nics * sizeof *nics);
        for (int i = 0; i < FORM_N; i++)
                snprintf(f->answers[i], ANSWER_MAX, "%s", defaults[i]);
        buf_init(&f->line, FORM_LINE_MAX);
        buf_init(&f->text, TEXT_MAX);
        buf_init(&f->result, TEXT_MAX + 64 * 1024);
        return f;
}

static void wipe(struct buf *b)
{
        if (b->p)
                explicit_bzero(b->p, b->n);
        buf_fini(b);
}

void form_free(struct form *f)
{
        if (!f)
                return;
        wipe(&f->line);
        wipe(&f->text);
        wipe(&f->result);
        free(f);
}

static bool kubernetes(const struct form *f)
{
        return strcmp(f->answers[FORM_SOURCE], "kubernetes") == 0;
}

static bool asked(const struct form *f, enum form_field i)
{
        bool fixed = strcmp(f->answers[FORM_ADDRESS], "dhcp") != 0;
        return (i != FORM_GATEWAY && i != FORM_DNS) || fixed;
}

static void ask(struct form *f, struct buf *out)
{
        if (f->at == FORM_TEXT) {
                buf_reset(&f->text);
                buf_printf(out, "Paste the %s; end with a line that holds only a dot.\r\n", kubernetes(f) ? "kubeconfig" : "manifests");
        } else if (f->answers[f->at][0]) {
                buf_printf(out, "%s [%s]: ", questions[f->at], f->answers[f->at]);
        } else {
                buf_printf(out, "%s: ", questions[f->at]);
        }
}

void form_begin(struct form *f, struct buf *out)
{
        buf_str(out, "\r\nThis box has no configuration yet.  An empty answer takes what stands in brackets, < goes back.\r\n");
        for (size_t i = 0; i < f->n_nics; i++)
                buf_printf(out, "  %zu  %-12s %s  %s\r\n", i + 1, f->nics[i].name, f->nics[i].mac, f->nics[i].detail);
        f->at = FORM_NAME;
        ask(f, out);
}

/* "2" -> the MAC address of the second NIC; anything that names a NIC stays as it is. */
static const char *check_nic(struct form *f, char *answer)
{
        struct nic_match m;
        char *end;
        unsigned long i = strtoul(answer, &end, 10);
        if (!*end && i >= 1 && i <= f->n_nics) {
                snprintf(answer, ANSWER_MAX, "%s", f->nics[i - 1].mac);
                return NULL;
        }
        if (!*end)
                return "there is no NIC of that number";
        if (nic_match_parse(answer, &m) < 0)
                return "not a MAC address, PCI address or name";
        return NULL;
}

static const char *check_prefix(const char *answer, bool network)
{
        struct ipprefix p;
        if (!strchr(answer, '/') || ipprefix_parse(span_str(answer), &p) < 0)
                return "not ADDRESS/LENGTH";
        for (size_t bit = p.len; network && bit < 8 * ipaddr_len(&p.addr); bit++)
                if (p.addr.b[bit / 8] & (0x80u >> (bit % 8)))
                        return "a network is meant: bits behind the length must be 0";
        return NULL;
}

static const char *check_address(const char *answer)
{
        struct ipaddr a;
        return *answer && ipaddr_parse(span_str(answer), &a) < 0 ? "not an IP address" : NULL;
}

static const char *check_name(const char *s)
{
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
        return n == 0 || n > 40 || s[n] || *s == '-' || *s == '.' ? "letters, digits, '-', '_' and '.'; at most 40" : NULL;
}

/* NULL: good. */
static const char *check(struct form *f, enum form_field i, char *answer)
{
        char *end;
        unsigned long n;
        switch (i) {
        case FORM_NAME:
                return check_name(answer);
        case FORM_MANAGEMENT:
                return check_nic(f, answer);
        case FORM_DATA: {
                const char *why = check_nic(f, answer);
                return !why && strcmp(answer, f->answers[FORM_MANAGEMENT]) == 0 ? "that is the management NIC" : why;
        }
        case FORM_ADDRESS:
                return strcmp(answer, "dhcp") == 0 ? NULL : check_prefix(answer, false);
        case FORM_GATEWAY:
        case FORM_DNS:
        case FORM_DATA_GATEWAY:
                return check_address(answer);
        case FORM_DATA_ADDRESS:
                return check_prefix(answer, false);
        case FORM_VIPS:
                return check_prefix(answer, true);
        case FORM_SHARDS:
                n = strtoul(answer, &end, 10);
                return *answer < '0' || *answer > '9' || *end || n < 1 || n > IMAGE_MAX_SHARDS ? "1 to 32" : NULL;
        case FORM_SOURCE:
                return strcmp(answer, "kubernetes") != 0 && strcmp(answer, "directory") != 0 ? "kubernetes or directory" : NULL;
        case FORM_SURE:
                return strcmp(answer, "yes") != 0 && strcmp(answer, "no") != 0 ? "yes or no" : NULL;
        case FORM_TEXT:
        case FORM_N:
                break;
        }
        return NULL;
}

static void quoted(struct buf *b, struct span s)
{
        buf_str(b, "\"");
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] == '"' || s.p[i] == '\\')
                        buf_str(b, "\\");
                buf_add(b, s.p + i, 1);
        }
        buf_str(b, "\"");
}

static void write_result(struct form *f)
{
        char(*a)[ANSWER_MAX] = f->answers;
        struct buf *b = &f->result;
        bool v6gw = strchr(a[FORM_GATEWAY], ':'), v6 = strchr(a[FORM_DATA_GATEWAY], ':');
        buf_reset(b);
        buf_printf(b, "# gatehouse.cfg - written by the console form\nversion = 1;\nname = \"%s\";\nmanagement = { nic = \"%s\";", a[FORM_NAME],
                   a[FORM_MANAGEMENT]);
        if (strcmp(a[FORM_ADDRESS], "dhcp") != 0)
                buf_printf(b, " addresses = [ \"%s\" ];", a[FORM_ADDRESS]);
        if (strcmp(a[FORM_ADDRESS], "dhcp") != 0 && a[FORM_GATEWAY][0])
                buf_printf(b, " %s = \"%s\";", v6gw ? "gateway6" : "gateway", a[FORM_GATEWAY]);
        buf_str(b, " };\n");
        if (strcmp(a[FORM_ADDRESS], "dhcp") != 0 && a[FORM_DNS][0])
                buf_printf(b, "dns = { servers = [ \"%s\" ]; };\n", a[FORM_DNS]);
        buf_printf(b, "data = ( { name = \"up\"; nic = \"%s\"; addresses = [ \"%s\" ]; } );\n", a[FORM_DATA], a[FORM_DATA_ADDRESS]);
        if (a[FORM_DATA_GATEWAY][0])
                buf_printf(b, "routes = ( { prefix = \"%s\"; via = \"%s\"; } );\n", v6 ? "::/0" : "0.0.0.0/0", a[FORM_DATA_GATEWAY]);
        buf_printf(b, "vip_pools = [ \"%s\" ];\nshards = ( { pool = \"default\"; count = %s; } );\nagent = { source = \"%s\"; %s = ", a[FORM_VIPS],
                   a[FORM_SHARDS], a[FORM_SOURCE], kubernetes(f) ? "kubeconfig" : "manifests");
        quoted(b, buf_span(&f->text));
        buf_str(b, "; };\n");
}

static void summary(struct form *f, struct buf *out)
{
        buf_str(out, "\r\n");
        for (int i = 0; i < FORM_TEXT; i++)
                if (asked(f, (enum form_field)i))
                        buf_printf(out, "  %-60s %s\r\n", questions[i], f->answers[i]);
        buf_printf(out, "  %-60s %zu bytes\r\n", kubernetes(f) ? "kubeconfig" : "manifests", f->text.n);
}

static void step(struct form *f, int by)
{
        int at = (int)f->at;
        do
                at += by;
        while (at > 0 && at < FORM_N && !asked(f, (enum form_field)at));
        f->at = at < 0 ? FORM_NAME : (enum form_field)at;
}

/* A pasted line; true when the dot came. */
static bool paste(struct form *f, struct buf *out)
{
        if (span_eq_str(buf_span(&f->line), ".")) {
                if (f->text.failed || f->text.n == 0) {
                        buf_printf(out, "%s: once more, please.\r\n", f->text.failed ? "That is too long" : "Nothing was pasted");
                        ask(f, out);
                        return false;
                }
                return true;
        }
        buf_add(&f->text, f->line.p, f->line.n);
        buf_str(&f->text, "\n");
        return false;
}

static enum form_rc answer(struct form *f, struct buf *out)
{
        char given[ANSWER_MAX];
        struct span l = buf_span(&f->line);
        while (l.n && (l.p[0] == ' ' || l.p[0] == '\t'))
                l = SPAN(l.p + 1, l.n - 1);
        while (l.n && (l.p[l.n - 1] == ' ' || l.p[l.n - 1] == '\t'))
                l.n--;
        if (span_eq_str(l, "<")) {
                step(f, -1);
                if (f->at == FORM_TEXT)
                        step(f, -1);
                ask(f, out);
                return FORM_MORE;
        }
        snprintf(given, sizeof given, "%.*s", (int)MIN(l.n, sizeof given - 1), (const char *)l.p);
        if (l.n == 0)
                memcpy(given, f->answers[f->at], sizeof given);
        const char *why = l.n >= sizeof given ? "too long" : check(f, f->at, given);
        if (why) {
                buf_printf(out, "  %s\r\n", why);
                ask(f, out);
                return FORM_MORE;
        }
        if (f->at == FORM_SURE && strcmp(given, "no") == 0) {
                form_begin(f, out);
                return FORM_MORE;
        }
        if (f->at == FORM_SURE)
                return FORM_DONE;
        memcpy(f->answers[f->at], given, sizeof given);
        step(f, 1);
        ask(f, out);
        return FORM_MORE;
}

static enum form_rc end_line(struct form *f, struct buf *out)
{
        enum form_rc rc = FORM_MORE;
        buf_str(out, "\r\n");
        if (f->line.failed) {
                buf_str(out, "  that line is too long\r\n");
                if (f->at == FORM_TEXT)
                        f->text.failed = true;
        } else if (f->at != FORM_TEXT) {
                rc = answer(f, out);
        } else if (paste(f, out)) {
                write_result(f);
                summary(f, out);
                step(f, 1);
                ask(f, out);
        }
        buf_reset(&f->line);
        return rc;
}

static void rub_out(struct form *f, size_t n, struct buf *out)
{
        for (; n && f->line.n; n--) {
                f->line.n--;
                buf_str(out, "\b \b");
        }
}

enum form_rc form_input(struct form *f, struct span in, struct buf *out)
{
        for (size_t i = 0; i < in.n; i++) {
                uint8_t ch = in.p[i];
                bool lf_of_crlf = ch == '\n' && f->skip_lf;
                f->skip_lf = ch == '\r';
                if (lf_of_crlf)
                        continue;
                if (ch == '\r' || ch == '\n') {
                        if (end_line(f, out) == FORM_DONE)
                                return FORM_DONE;
                } else if (ch == 0x7f || ch == '\b') {
                        rub_out(f, 1, out);
                } else if (ch == 0x15) { /* Ctrl-U */
                        rub_out(f, f->line.n, out);
                } else if (ch >= 0x20 || (ch == '\t' && f->at == FORM_TEXT)) {
                        buf_add(&f->line, &ch, 1);
                        if (f->at != FORM_TEXT) /* a kubeconfig is not shown */
                                buf_add(out, &ch, 1);
                }
        }
        return FORM_MORE;
}

struct span form_result(const struct form *f)
{
        return buf_span(&f->result);
}

void form_refused(struct form *f, const char *why, struct buf *out)
{
        buf_printf(out, "\r\nRefused: ");
        for (; *why; why++)
                buf_printf(out, "%c", (uint8_t)*why < 0x20 || (uint8_t)*why > 0x7e ? '?' : *why);
        buf_str(out, "\r\n");
        form_begin(f, out);
}
