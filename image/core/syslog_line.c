/* image/core/syslog_line.c - see syslog_line.h. */
#include "lib/base.h"
#include "image/core/syslog_line.h"

#define PRIORITY_MAX 191     /* RFC 5424, 6.2.1: facility 23, severity 7 */
#define PRIORITY_DEFAULT 13  /* RFC 3164, 4.3.3: user.notice */
#define APP_NAME_MAX 48      /* RFC 5424, 6 */
#define PROCID_MAX 128
#define OLD_TIME 15 /* "Nov 23 06:31:43" */

static bool is_digit(uint8_t c)
{
        return c >= '0' && c <= '9';
}

/* "<30>" off the front; false and nothing taken when there is none. */
static bool take_priority(struct span *in, unsigned *ret)
{
        unsigned v = 0;
        size_t i = 1;
        if (in->n < 3 || in->p[0] != '<')
                return false;
        for (; i < in->n && i < 4 && is_digit(in->p[i]); i++)
                v = v * 10 + (unsigned)(in->p[i] - '0');
        if (i == 1 || i == in->n || in->p[i] != '>' || v > PRIORITY_MAX)
                return false;
        *in = SPAN(in->p + i + 1, in->n - i - 1);
        *ret = v;
        return true;
}

static void take_old_time(struct span *in)
{
        static const char shape[] = "Mmm dD HH:MM:SS "; /* letters of months are not looked at, digits and signs are */
        if (in->n <= OLD_TIME)
                return;
        for (size_t i = 3; i <= OLD_TIME; i++) {
                uint8_t c = in->p[i];
                bool fits = shape[i] == ' ' || shape[i] == ':' ? c == (uint8_t)shape[i] : is_digit(c) || (shape[i] == 'd' && c == ' ');
                if (!fits)
                        return;
        }
        *in = SPAN(in->p + OLD_TIME + 1, in->n - OLD_TIME - 1);
}

static bool is_print(uint8_t c)
{
        return c > ' ' && c < 0x7f; /* RFC 5424, 6: PRINTUSASCII */
}

/* "l4lb[812]: " off the front; false and nothing taken when it is not that. */
static bool take_tag(struct span *in, struct span *app, struct span *pid)
{
        size_t i = 0, end;
        while (i < in->n && is_print(in->p[i]) && in->p[i] != '[' && in->p[i] != ':')
                i++;
        if (i == 0 || i == in->n)
                return false;
        struct span name = SPAN(in->p, MIN(i, (size_t)APP_NAME_MAX)), number = SPAN_NULL;
        if (in->p[i] == '[') {
                for (end = i + 1; end < in->n && is_digit(in->p[end]); end++)
                        ;
                if (end == i + 1 || end == in->n || in->p[end] != ']')
                        return false;
                number = SPAN(in->p + i + 1, MIN(end - i - 1, (size_t)PROCID_MAX));
                i = end + 1;
        }
        if (i + 1 >= in->n || in->p[i] != ':' || in->p[i + 1] != ' ')
                return false;
        *in = SPAN(in->p + i + 2, in->n - i - 2);
        *app = name;
        *pid = number;
        return true;
}

size_t syslog_line(struct span in, const char *host, const char *timestamp, char ret[SYSLOG_LINE_MAX + 1])
{
        unsigned priority = PRIORITY_DEFAULT;
        struct span app = SPAN_LIT("-"), pid = SPAN_NULL;
        if (take_priority(&in, &priority)) { /* RFC 3164, 4.3.3: without it, all of it is the message */
                take_old_time(&in);
                (void)take_tag(&in, &app, &pid); /* no tag: the rest is the message */
        }
        if (pid.n == 0)
                pid = SPAN_LIT("-");
        int n = snprintf(ret, SYSLOG_LINE_MAX + 1, "<%u>1 %.40s %.255s %.*s %.*s - - ", priority, timestamp, *host ? host : "-", SPAN_FMT(app),
                         SPAN_FMT(pid));
        BUG_ON(n < 0 || n > SYSLOG_LINE_MAX); /* the parts are bounded: 500 bytes at most */
        size_t at = (size_t)n;
        for (size_t i = 0; i < in.n && at < SYSLOG_LINE_MAX; i++)
                ret[at++] = in.p[i] < ' ' || in.p[i] == 0x7f ? ' ' : (char)in.p[i];
        while (at > (size_t)n && ret[at - 1] == ' ')
                at--;
        ret[at] = '\0';
        return at;
}
