/* image/io/source_metadata.c - user data of a cloud: EC2 by IMDSv2 (a session token first), then GCE.  See source.h. */
#include "lib/base.h"
#include "image/io/source.h"

#include <curl/curl.h>

#define TIMEOUT_MS 5000L
#define CONNECT_MS 2000L
#define TOKEN_MAX 256

struct answer {
        struct buf body;
        char flavor[16]; /* of the header Metadata-Flavor */
        long status;
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
        struct answer *a = arg;
        buf_add(&a->body, p, size * n);
        return a->body.failed ? 0 : size * n; /* 0: libcurl gives up */
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
        static const char name[] = "metadata-flavor:";
        struct answer *a = arg;
        size_t len = size * n;
        if (len > sizeof name - 1 && span_ieq(SPAN(p, sizeof name - 1), SPAN_LIT("metadata-flavor:"))) {
                while (len > sizeof name - 1 && (p[len - 1] == '\r' || p[len - 1] == '\n'))
                        len--;
                snprintf(a->flavor, sizeof a->flavor, "%.*s", (int)(len - (sizeof name - 1)), p + sizeof name - 1);
        }
        return size * n;
}

static void answer_init(struct answer *a)
{
        *a = (struct answer){0};
        buf_init(&a->body, IMAGE_MAX_FILE_BYTES);
}

/* 0 with a->status, or -errno: nobody answers, or too much. */
static int ask(const char *method, const char *base, const char *path, const char *header, struct answer *a)
{
        char url[512];
        CURL *c = curl_easy_init();
        struct curl_slist *headers = curl_slist_append(NULL, header);
        int r = -ENOMEM;
        snprintf(url, sizeof url, "%s%s", base, path);
        if (c && headers) {
                curl_easy_setopt(c, CURLOPT_URL, url);
                curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
                curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
                curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
                curl_easy_setopt(c, CURLOPT_PROXY, "");
                curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
                curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
                curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
                curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
                curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
                curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
                curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
                CURLcode rc = curl_easy_perform(c);
                r = rc == CURLE_OK ? 0 : a->body.failed ? -EFBIG : -EHOSTUNREACH;
                curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
        }
        curl_slist_free_all(headers);
        curl_easy_cleanup(c);
        return r;
}

static int take(struct answer *a, enum source source, const char *place, struct seed_copy *ret, struct err *reterr)
{
        if (a->status == 404 || (a->status == 200 && !source_is_ours(buf_span(&a->body))))
                return err_set(reterr, ENOENT, place, "the user data is no gatehouse.cfg (its first line is \"# gatehouse.cfg\")");
        if (a->status != 200)
                return err_set(reterr, EPROTO, place, "answers with status %ld", a->status);
        ret->cfg = arena_span(&ret->arena, buf_span(&a->body));
        ret->source = source;
        return ret->cfg.p ? 0 : err_set(reterr, ENOMEM, place, "does not fit in memory");
}

static bool is_token(struct span t)
{
        for (size_t i = 0; i < t.n; i++)
                if (t.p[i] <= 0x20 || t.p[i] > 0x7e)
                        return false;
        return t.n > 0 && t.n <= TOKEN_MAX;
}

/* -EHOSTUNREACH: nobody there speaks IMDSv2. */
static int from_ec2(const char *base, struct seed_copy *ret, struct err *reterr)
{
        struct answer token, data;
        char header[TOKEN_MAX + 64];
        answer_init(&token);
        answer_init(&data);
        int r = ask("PUT", base, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60", &token);
        if (r == 0 && (token.status != 200 || !is_token(buf_span(&token.body))))
                r = -EHOSTUNREACH;
        if (r == 0) {
                snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %.*s", SPAN_FMT(buf_span(&token.body)));
                r = ask("GET", base, "/latest/user-data", header, &data);
        }
        r = r < 0 ? err_set(reterr, -r, "ec2", "the metadata service does not answer") : take(&data, FROM_EC2, "ec2", ret, reterr);
        buf_fini(&token.body);
        buf_fini(&data.body);
        return r;
}

static int from_gce(const char *base, struct seed_copy *ret, struct err *reterr)
{
        static const char *const keys[] = {"/computeMetadata/v1/instance/attributes/gatehouse-cfg",
                                           "/computeMetadata/v1/instance/attributes/user-data"};
        int r = -ENOENT;
        for (size_t i = 0; r == -ENOENT && i < ARRAY_SIZE(keys); i++) {
                struct answer a;
                answer_init(&a);
                r = ask("GET", base, keys[i], "Metadata-Flavor: Google", &a);
                if (r == 0 && !strstr(a.flavor, "Google"))
                        r = -EHOSTUNREACH; /* somebody else's web server */
                r = r < 0 ? err_set(reterr, -r, "gce", "the metadata service does not answer") : take(&a, FROM_GCE, "gce", ret, reterr);
                buf_fini(&a.body);
        }
        return r;
}

int source_metadata(const char *base, struct seed_copy *ret, struct err *reterr)
{
        int r = from_ec2(base, ret, reterr);
        return r == -EHOSTUNREACH ? from_gce(base, ret, reterr) : r;
}
