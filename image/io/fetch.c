/* image/io/fetch.c - see fetch.h.  libcurl pushes, we pull: its callback fills a buffer and pauses the transfer when
 * that is full. */
#include "lib/base.h"
#include "image/io/fetch.h"

#include <curl/curl.h>

#define BUFFER_BYTES (256u * 1024)
#define WAIT_MS 1000

struct fetch {
        CURLM *multi;
        CURL *easy; /* NULL between transfers */
        char *url;
        char error[CURL_ERROR_SIZE];
        size_t at, n; /* buffered: buffer[at, n) */
        bool paused, ended;
        CURLcode result; /* once ended */
        uint8_t buffer[BUFFER_BYTES];
};

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
        struct fetch *f = arg;
        size_t n = size * count;
        if (n > BUFFER_BYTES)
                return 0; /* never: libcurl hands out 16 KiB; an error then, not growth */
        if (f->at) {
                memmove(f->buffer, f->buffer + f->at, f->n - f->at);
                f->n -= f->at;
                f->at = 0;
        }
        if (n > BUFFER_BYTES - f->n) {
                f->paused = true;
                return CURL_WRITEFUNC_PAUSE;
        }
        memcpy(f->buffer + f->n, p, n);
        f->n += n;
        return n;
}

static void transfer_end(struct fetch *f)
{
        if (f->easy) {
                (void)curl_multi_remove_handle(f->multi, f->easy); /* of this multi: cannot fail */
                curl_easy_cleanup(f->easy);
        }
        f->easy = NULL;
        free(f->url);
        f->url = NULL;
        f->at = f->n = 0;
        f->paused = f->ended = false;
}

int fetch_new(struct fetch **ret, struct err *reterr)
{
        struct fetch *f = calloc(1, sizeof *f);
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !f || !(f->multi = curl_multi_init())) {
                free(f);
                return err_set(reterr, ENOMEM, "http", "libcurl cannot begin");
        }
        *ret = f;
        return 0;
}

void fetch_free(struct fetch *f)
{
        if (!f)
                return;
        transfer_end(f);
        (void)curl_multi_cleanup(f->multi); /* empty: cannot fail */
        free(f);
}

int fetch_start(struct fetch *f, const char *url, struct err *reterr)
{
        transfer_end(f);
        f->url = strdup(url);
        f->easy = curl_easy_init();
        *f->error = '\0';
        CURL *c = f->easy;
        bool ok = f->url && c && curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 20L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 512L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_USERAGENT, "gatehouse/" GH_VERSION) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->error) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_WRITEDATA, f) == CURLE_OK;
        if (ok && curl_multi_add_handle(f->multi, c) == CURLM_OK)
                return 0;
        transfer_end(f);
        return err_set(reterr, ENOMEM, url, "libcurl cannot begin");
}

/* One step of the transfer: data arrives, or it ends. */
static int transfer_turn(struct fetch *f, struct err *reterr)
{
        int running, left;
        if (f->paused) {
                f->paused = false;
                if (curl_easy_pause(f->easy, CURLPAUSE_CONT) != CURLE_OK) /* may call on_body right here */
                        return err_set(reterr, EIO, f->url, "libcurl cannot go on");
                if (f->n > f->at)
                        return 0;
        }
        if (curl_multi_perform(f->multi, &running) != CURLM_OK)
                return err_set(reterr, EIO, f->url, "libcurl failed");
        for (CURLMsg *m; (m = curl_multi_info_read(f->multi, &left));)
                if (m->msg == CURLMSG_DONE) {
                        f->ended = true;
                        f->result = m->data.result;
                }
        if (!f->ended && f->n == f->at && curl_multi_poll(f->multi, NULL, 0, WAIT_MS, NULL) != CURLM_OK)
                return err_set(reterr, EIO, f->url, "libcurl cannot wait");
        return 0;
}

ssize_t fetch_read(struct fetch *f, void *p, size_t n, struct err *reterr)
{
        if (!f->easy)
                return err_set(reterr, EBADF, "http", "nothing was asked for");
        while (f->at == f->n && !f->ended) {
                int r = transfer_turn(f, reterr);
                if (r < 0)
                        return r;
        }
        if (f->at == f->n && f->result != CURLE_OK)
                return err_set(reterr, EIO, f->url, "%s", *f->error ? f->error : curl_easy_strerror(f->result));
        size_t got = MIN(n, f->n - f->at);
        memcpy(p, f->buffer + f->at, got);
        f->at += got;
        return (ssize_t)got;
}
