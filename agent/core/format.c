/* agent/core/format.c - the API's text formats as hand-written linear scans. */
#include "lib/base.h"

#include "agent/core/format.h"
#include "lib/core/ipaddr.h"

static bool is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }
static bool is_alpha(uint8_t c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool is_alnum(uint8_t c) { return is_alpha(c) || is_digit(c); }
static bool is_one_of(uint8_t c, const char *set) { return c && strchr(set, c) != NULL; }

static bool any(struct span s) { return true; }

/* [a-z0-9]([-a-z0-9]*[a-z0-9])? of any length */
static bool lower_word(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!is_lower(s.p[i]) && !is_digit(s.p[i]) && !(s.p[i] == '-' && i && i + 1 < s.n))
                        return false;
        return s.n > 0;
}
static bool dns_label(struct span s) { return s.n <= 63 && lower_word(s); }
static bool service_name(struct span s) { return dns_label(s) && is_lower(s.p[0]); }
static bool subdomain(struct span s)
{
        size_t from = 0;
        for (size_t i = 0; i <= s.n; i++) {
                if (i < s.n && s.p[i] != '.')
                        continue;
                if (!lower_word(SPAN(s.p + from, i - from)))
                        return false;
                from = i + 1;
        }
        return s.n > 0 && s.n <= 253;
}
static bool hostname(struct span s)
{
        if (s.n > 2 && s.p[0] == '*' && s.p[1] == '.')
                return s.n <= 253 && subdomain(SPAN(s.p + 2, s.n - 2));
        return subdomain(s);
}
static bool group(struct span s) { return s.n == 0 || subdomain(s); }
static bool word(struct span s) /* [A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])? */
{
        for (size_t i = 0; i < s.n; i++)
                if (!is_alnum(s.p[i]) && !(s.p[i] == '-' && i && i + 1 < s.n))
                        return false;
        return s.n > 0;
}
static bool kind(struct span s) { return s.n <= 63 && word(s) && is_alpha(s.p[0]); }

/* SUBDOMAIN "/" one or more of alphanumeric and extra */
static bool domain_path(struct span s, const char *extra)
{
        const uint8_t *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
        if (!slash || !subdomain(SPAN(s.p, (size_t)(slash - s.p))) || slash + 1 == s.p + s.n)
                return false;
        for (const uint8_t *p = slash + 1; p < s.p + s.n; p++)
                if (!is_alnum(*p) && !is_one_of(*p, extra))
                        return false;
        return true;
}
static bool controller(struct span s) { return domain_path(s, "/-._~%!$&'()*+,;=:"); }
static bool protocol(struct span s) { return word(s) || domain_path(s, ""); }
static bool address_type(struct span s)
{
        return span_eq_str(s, "IPAddress") || span_eq_str(s, "Hostname") || span_eq_str(s, "NamedAddress") ||
               controller(s);
}
static bool well_known_ca(struct span s) { return span_eq_str(s, "System") || controller(s); }
static bool absolute_uri(struct span s) /* ^(([^:/?#]+):)(//([^/?#]*))([^?#]*)... : a scheme, "://", then visible ASCII */
{
        size_t n = 0;
        while (n < s.n && !is_one_of(s.p[n], ":/?#"))
                n++;
        if (n == 0 || s.n < n + 3 || memcmp(s.p + n, "://", 3) != 0)
                return false;
        for (size_t i = 0; i < s.n; i++)
                if (s.p[i] <= ' ' || s.p[i] > '~')
                        return false;
        return true;
}
static bool token(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!is_alnum(s.p[i]) && !is_one_of(s.p[i], "!#$%&'*+-.^_`|~"))
                        return false;
        return s.n > 0;
}
static bool header_value(struct span s) /* ^[!-~]+([\t ]?[!-~]+)*$ */
{
        bool blank = true; /* the byte before was a blank, or there was none */
        for (size_t i = 0; i < s.n; i++) {
                bool now = s.p[i] == ' ' || s.p[i] == '\t';
                if ((now && blank) || (!now && (s.p[i] < '!' || s.p[i] > '~')))
                        return false;
                blank = now;
        }
        return !blank;
}
static bool is_hex(uint8_t c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static bool uri_path(struct span s) /* RFC 3986 3.3: pchar and "/"; "" is for the length limits to refuse */
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] == '%' && i + 2 < s.n && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]))
                        i += 2;
                else if (!is_alnum(s.p[i]) && !is_one_of(s.p[i], "-/._~!$&'()*+,;=:@"))
                        return false;
        }
        return true;
}
/* http[s]:// then "*" or [*.]labels, then an optional port of one to five digits */
static bool origin(struct span s)
{
        if (span_eq_str(s, "*"))
                return true;
        size_t i = s.n > 4 && s.p[4] == 's' ? 8 : 7;
        if (s.n <= i || memcmp(s.p, i == 8 ? "https://" : "http://", i) != 0)
                return false;
        const uint8_t *colon = memchr(s.p + i, ':', s.n - i);
        size_t end = colon ? (size_t)(colon - s.p) : s.n;
        if (colon && (s.n - end - 1 < 1 || s.n - end - 1 > 5))
                return false;
        for (size_t k = end + 1; k < s.n; k++)
                if (!is_digit(s.p[k]))
                        return false;
        if (end == i + 1 && s.p[i] == '*')
                return true;
        if (end > i + 2 && s.p[i] == '*' && s.p[i + 1] == '.')
                i += 2;
        bool dot = true; /* at the start of a label */
        for (; i < end; i++) {
                if (!is_alnum(s.p[i]) && s.p[i] != '-' && (s.p[i] != '.' || dot))
                        return false;
                dot = s.p[i] == '.';
        }
        return !dot;
}
static bool name_part(struct span s, size_t max) /* [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])? */
{
        for (size_t i = 0; i < s.n; i++)
                if (!is_alnum(s.p[i]) && !(is_one_of(s.p[i], "-_.") && i && i + 1 < s.n))
                        return false;
        return s.n > 0 && s.n <= max;
}
static bool label_key(struct span s)
{
        const uint8_t *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
        if (!slash)
                return name_part(s, 63);
        size_t n = (size_t)(slash - s.p);
        return n < 253 && subdomain(SPAN(s.p, n)) && name_part(SPAN(slash + 1, s.n - n - 1), 63);
}
static bool label_value(struct span s) { return s.n == 0 || name_part(s, 63); }
static bool data_key(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!is_alnum(s.p[i]) && !is_one_of(s.p[i], "-_."))
                        return false;
        return s.n > 0 && s.n <= 253 && !span_eq_str(s, ".") && !(s.n >= 2 && s.p[0] == '.' && s.p[1] == '.');
}
static bool network(struct span s)
{
        struct ipprefix p;
        return memchr(s.p, '/', s.n) && ipprefix_parse(s, &p) == 0;
}
static bool status_code(struct span s)
{
        return s.n == 3 && s.p[0] >= '1' && s.p[0] <= '5' && s.p[1] >= '0' && s.p[1] <= '9' && s.p[2] >= '0' && s.p[2] <= '9';
}
static bool status_range(struct span s)
{
        if (s.n != 7)
                return status_code(s);
        return s.p[3] == '-' && status_code(SPAN(s.p, 3)) && status_code(SPAN(s.p + 4, 3)) && memcmp(s.p, s.p + 4, 3) <= 0;
}
static bool port_name(struct span s) /* IANA service name: a letter somewhere, no "--" */
{
        bool letter = false;
        for (size_t i = 0; i < s.n; i++) {
                letter |= is_lower(s.p[i]);
                if (s.p[i] == '-' && i + 1 < s.n && s.p[i + 1] == '-')
                        return false;
        }
        return s.n <= 15 && lower_word(s) && letter;
}

static const struct {
        bool (*ok)(struct span s);
        const char *text;
} formats[FORMAT_N] = {
#define F(id, fn, text) { fn, text },
        FORMATS(F)
#undef F
};
bool format_ok(enum format f, struct span s)
{
        BUG_ON((unsigned)f >= FORMAT_N);
        return formats[f].ok(s);
}
const char *format_str(enum format f)
{
        BUG_ON((unsigned)f >= FORMAT_N);
        return formats[f].text;
}

bool text_int(struct span s, int64_t *ret)
{
        size_t i = s.n && s.p[0] == '-';
        if (s.n == i || s.n - i > 18 || (s.p[i] == '0' && s.n > 1))
                return false;
        int64_t v = 0;
        for (size_t k = i; k < s.n; k++) {
                if (!is_digit(s.p[k]))
                        return false;
                v = v * 10 + (s.p[k] - '0');
        }
        *ret = i ? -v : v;
        return true;
}

bool text_duration_ms(struct span s, uint32_t *ret)
{
        uint64_t sum = 0;
        size_t i = 0, parts = 0;
        while (i < s.n) {
                uint64_t v = 0;
                size_t digits = 0;
                for (; i < s.n && is_digit(s.p[i]); i++, digits++)
                        v = digits < 5 ? v * 10 + (uint64_t)(s.p[i] - '0') : v;
                if (digits == 0 || digits > 5 || i == s.n || ++parts > 4)
                        return false;
                bool ms = s.p[i] == 'm' && i + 1 < s.n && s.p[i + 1] == 's';
                if (!is_one_of(s.p[i], "hms"))
                        return false;
                sum += v * (ms ? 1 : s.p[i] == 'h' ? 3600000 : s.p[i] == 'm' ? 60000 : 1000);
                i += ms ? 2 : 1;
        }
        if (parts == 0)
                return false;
        *ret = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
        return true;
}

static bool digits(struct span s, size_t at, size_t n, int64_t lo, int64_t hi, int64_t *ret)
{
        int64_t v = 0;
        if (at + n > s.n)
                return false;
        for (size_t i = at; i < at + n; i++) {
                if (!is_digit(s.p[i]))
                        return false;
                v = v * 10 + (s.p[i] - '0');
        }
        *ret = v;
        return v >= lo && v <= hi;
}
/* Days since 1970-01-01 of a Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
        y -= m <= 2;
        int64_t era = y / 400, yoe = y - era * 400;
        int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
        return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}
bool text_time(struct span s, int64_t *ret)
{
        int64_t y, mo, d, h, mi, sec, oh = 0, om = 0;
        if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' || (s.p[10] != 'T' && s.p[10] != 't') || s.p[13] != ':' ||
            s.p[16] != ':')
                return false;
        if (!digits(s, 0, 4, 1, 9999, &y) || !digits(s, 5, 2, 1, 12, &mo) || !digits(s, 8, 2, 1, 31, &d) ||
            !digits(s, 11, 2, 0, 23, &h) || !digits(s, 14, 2, 0, 59, &mi) || !digits(s, 17, 2, 0, 60, &sec))
                return false;
        size_t i = 19;
        if (s.p[i] == '.')
                for (i++; i < s.n && is_digit(s.p[i]); i++)
                        ;
        if (i >= s.n)
                return false;
        bool minus = s.p[i] == '-';
        if (s.p[i] == 'Z' || s.p[i] == 'z') {
                if (i + 1 != s.n)
                        return false;
        } else if ((s.p[i] != '+' && !minus) || i + 6 != s.n || s.p[i + 3] != ':' || !digits(s, i + 1, 2, 0, 23, &oh) ||
                   !digits(s, i + 4, 2, 0, 59, &om)) {
                return false;
        }
        int64_t off = (oh * 60 + om) * 60;
        *ret = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - (minus ? -off : off);
        return true;
}

static int base64_value(uint8_t c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (is_lower(c))
                return c - 'a' + 26;
        if (is_digit(c))
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}
bool text_base64(struct span s, uint8_t *out, size_t *ret_n)
{
        uint32_t acc = 0;
        unsigned have = 0, pad = 0; /* characters of this group, and how many of them are "=" */
        size_t n = 0;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] == '\n' || s.p[i] == '\r')
                        continue;
                int v = base64_value(s.p[i]);
                if (s.p[i] == '=' && have >= 2)
                        pad++;
                else if (v < 0 || pad)
                        return false;
                acc = acc << 6 | (v < 0 ? 0 : (uint32_t)v);
                if (++have < 4)
                        continue;
                for (unsigned k = 0; k < 3 - pad; k++)
                        out[n++] = (uint8_t)(acc >> (16 - 8 * k));
                if ((pad == 1 && (acc & 0xff)) || (pad == 2 && (acc & 0xffff)))
                        return false;
                for (size_t k = i + 1; pad && k < s.n; k++) /* nothing may follow the padding */
                        if (s.p[k] != '\n' && s.p[k] != '\r')
                                return false;
                acc = have = 0;
                if (pad)
                        break;
        }
        *ret_n = n;
        return have == 0;
}
