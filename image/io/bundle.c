/* image/io/bundle.c - see bundle.h.  Two questions, answered once: where do bytes come from (descriptor or fetch), and
 * is a file a stream of its own or a member of one archive. */
#include "lib/base.h"
#include "image/io/bundle.h"
#include "image/core/ustar.h"
#include "image/io/fetch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct bundle {
        char source[512];
        struct fetch *fetch; /* NULL: local */
        int fd;              /* of the file or archive; -1 */
        bool archive;
        char name[USTAR_NAME_MAX]; /* of the current file, for errors */
        uint64_t left, padding;    /* archive: bytes of the current member, and of what follows it */
};

static ssize_t raw_read(struct bundle *b, void *p, size_t n, struct err *reterr)
{
        if (b->fetch)
                return fetch_read(b->fetch, p, n, reterr);
        for (;;) {
                ssize_t r = read(b->fd, p, n);
                if (r >= 0)
                        return r;
                if (errno != EINTR)
                        return err_set(reterr, errno, b->source, "cannot read: %s", strerror(errno));
        }
}

static int raw_read_all(struct bundle *b, uint8_t *p, size_t n, struct err *reterr)
{
        while (n) {
                ssize_t r = raw_read(b, p, n, reterr);
                if (r <= 0)
                        return r < 0 ? (int)r : err_set(reterr, EBADMSG, b->source, "the archive ends too early");
                p += r;
                n -= (size_t)r;
        }
        return 0;
}

static int stream_open(struct bundle *b, const char *path, struct err *reterr)
{
        if (b->fetch)
                return fetch_start(b->fetch, path, reterr);
        if (b->fd >= 0)
                close(b->fd);
        b->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return b->fd < 0 ? err_set(reterr, errno, path, "cannot open: %s", strerror(errno)) : 0;
}

int bundle_open(const char *source, struct bundle **ret, struct err *reterr)
{
        struct bundle *b = calloc(1, sizeof *b);
        struct stat st;
        size_t n = strlen(source);
        int r = 0;
        if (!b)
                return err_set(reterr, ENOMEM, "update", "out of memory");
        b->fd = -1;
        if (n == 0 || n + UINT64_C(128) > sizeof b->source)
                r = err_set(reterr, ENAMETOOLONG, "update", "the source's name is empty or too long");
        else
                memcpy(b->source, source, n + 1);
        if (r == 0 && (strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0)) {
                b->archive = source[n - 1] != '/';
                r = fetch_new(&b->fetch, reterr);
        } else if (r == 0 && source[0] != '/') {
                r = err_set(reterr, EINVAL, source, "not http://, https:// or an absolute path");
        } else if (r == 0) {
                r = stat(source, &st) < 0 ? err_set(reterr, errno, source, "cannot open: %s", strerror(errno)) : 0;
                b->archive = r == 0 && !S_ISDIR(st.st_mode);
        }
        if (r == 0 && b->archive)
                r = stream_open(b, source, reterr);
        if (r < 0) {
                bundle_close(b);
                return r;
        }
        *ret = b;
        return 0;
}

void bundle_close(struct bundle *b)
{
        if (!b)
                return;
        fetch_free(b->fetch);
        if (b->fd >= 0)
                close(b->fd);
        free(b);
}

/* Skips the rest of the current member and reads the next header. */
static int member_next(struct bundle *b, const char *name, struct err *reterr)
{
        uint8_t block[USTAR_BLOCK];
        struct ustar_member m;
        for (uint64_t skip = b->left + b->padding; skip;) {
                size_t n = (size_t)MIN(skip, (uint64_t)sizeof block);
                int r = raw_read_all(b, block, n, reterr);
                if (r < 0)
                        return r;
                skip -= n;
        }
        b->left = b->padding = 0;
        int r = raw_read_all(b, block, sizeof block, reterr);
        if (r == 0)
                r = ustar_parse(block, &m, reterr);
        if (r == -ENODATA)
                return err_set(reterr, EBADMSG, b->source, "%s is missing", name);
        if (r < 0)
                return r;
        if (strcmp(m.name, name) != 0)
                return err_set(reterr, EBADMSG, b->source, "%s is expected next", name);
        b->left = m.bytes;
        b->padding = ustar_padding(m.bytes);
        return 0;
}

int bundle_next(struct bundle *b, const char *name, struct err *reterr)
{
        char path[sizeof b->source + USTAR_NAME_MAX + 1];
        BUG_ON(strlen(name) >= USTAR_NAME_MAX);
        memcpy(b->name, name, strlen(name) + 1);
        if (b->archive)
                return member_next(b, name, reterr);
        snprintf(path, sizeof path, "%s%s%s", b->source, b->source[strlen(b->source) - 1] == '/' ? "" : "/", name);
        return stream_open(b, path, reterr);
}

ssize_t bundle_read(struct bundle *b, void *p, size_t n, struct err *reterr)
{
        if (!b->archive)
                return raw_read(b, p, n, reterr);
        if (b->left == 0)
                return 0;
        ssize_t r = raw_read(b, p, (size_t)MIN((uint64_t)n, b->left), reterr);
        if (r == 0)
                return err_set(reterr, EBADMSG, b->name, "the archive ends inside it");
        if (r > 0)
                b->left -= (uint64_t)r;
        return r;
}

int bundle_read_small(struct bundle *b, const char *name, uint8_t *p, size_t max, size_t *ret_n, struct err *reterr)
{
        size_t n = 0;
        uint8_t more;
        int r = bundle_next(b, name, reterr);
        if (r < 0)
                return r;
        for (;;) {
                ssize_t got = bundle_read(b, n < max ? p + n : &more, n < max ? max - n : 1, reterr);
                if (got < 0)
                        return (int)got;
                if (got == 0)
                        break;
                if (n == max)
                        return err_set(reterr, EFBIG, name, "larger than %zu bytes", max);
                n += (size_t)got;
        }
        *ret_n = n;
        return 0;
}
