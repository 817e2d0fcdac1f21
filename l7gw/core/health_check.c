/* l7gw/core/health_check.c - see health_check.h. */
#include "lib/base.h"
#include "l7gw/core/health_check.h"

static bool digits3(const char *s, unsigned *ret)
{
        for (int i = 0; i < 3; i++)
                if (s[i] < '0' || s[i] > '9')
                        return false;
        *ret = (unsigned)((s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0'));
        return *ret >= 100 && *ret <= 599;
}

/* The next range of *s, which moves behind it and its comma. */
static bool range_next(const char **s, unsigned *lo, unsigned *hi)
{
        if (!digits3(*s, lo))
                return false;
        *s += 3;
        *hi = *lo;
        if (**s == '-') {
                if (!digits3(*s + 1, hi) || *hi < *lo)
                        return false;
                *s += 4;
        }
        if (**s == ',' && (*s)[1])
                ++*s;
        else if (**s)
                return false;
        return true;
}

bool health_expect_valid(const char *expect)
{
        unsigned lo, hi;
        do
                if (!range_next(&expect, &lo, &hi))
                        return false;
        while (*expect);
        return true;
}

bool health_expected(const char *expect, unsigned status)
{
        unsigned lo, hi;
        while (*expect && range_next(&expect, &lo, &hi))
                if (status >= lo && status <= hi)
                        return true;
        return false;
}

const char *health_check_refused(const Model__HealthCheck *h, bool tls)
{
        if (!h)
                return NULL;
        switch (h->type) {
        case MODEL__HEALTH_CHECK_TYPE__HC_NONE:
        case MODEL__HEALTH_CHECK_TYPE__HC_TCP:
        case MODEL__HEALTH_CHECK_TYPE__HC_GRPC:
                return NULL;
        case MODEL__HEALTH_CHECK_TYPE__HC_HTTPS:
                if (!tls)
                        return "backend: a health check over TLS, but no TLS to the backend";
                /* fall through */
        case MODEL__HEALTH_CHECK_TYPE__HC_HTTP:
                if (h->path[0] != '/')
                        return "backend: the path of a health check begins with /";
                return health_expect_valid(h->expect) ? NULL : "backend: expected statuses of a health check: \"200-399,401\"";
        case MODEL__HEALTH_CHECK_TYPE__HC_UDP:
        case _MODEL__HEALTH_CHECK_TYPE_IS_INT_SIZE:
                break;
        }
        return "backend: a health check of a kind this version does not do";
}

void health_request(struct buf *out, const Model__HealthCheck *h, const char *authority)
{
        if (h->type == MODEL__HEALTH_CHECK_TYPE__HC_TCP)
                buf_add(out, h->send.data, h->send.len);
        else
                buf_printf(out, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: gatehouse-health\r\nAccept: */*\r\nConnection: close\r\n\r\n", h->path,
                           h->host[0] ? h->host : authority);
}

static enum health_rc tcp_answer(const Model__HealthCheck *h, struct span in, char ret_why[64])
{
        if (in.n > 0 && memcmp(in.p, h->receive.data, MIN(in.n, h->receive.len)) != 0) {
                snprintf(ret_why, 64, "another answer than expected");
                return HEALTH_BAD;
        }
        return in.n < h->receive.len ? HEALTH_MORE : HEALTH_OK;
}

enum health_rc health_answer(const Model__HealthCheck *h, struct span in, char ret_why[64])
{
        static const char begin[] = "HTTP/1.";
        unsigned status;
        if (h->type == MODEL__HEALTH_CHECK_TYPE__HC_TCP)
                return tcp_answer(h, in, ret_why);
        snprintf(ret_why, 64, "no HTTP in its answer");
        if (in.n > 0 && memcmp(in.p, begin, MIN(in.n, sizeof begin - 1)) != 0)
                return HEALTH_BAD;
        if (in.n < 13) /* HTTP/1.1 200 and a byte more */
                return HEALTH_MORE;
        if ((in.p[7] != '0' && in.p[7] != '1') || in.p[8] != ' ' || !digits3((const char *)in.p + 9, &status) || (in.p[12] != ' ' && in.p[12] != '\r'))
                return HEALTH_BAD;
        snprintf(ret_why, 64, "status %u", status);
        return health_expected(h->expect, status) ? HEALTH_OK : HEALTH_BAD;
}
