/* image/io/path.c - see path.h. */
#include "lib/base.h"
#include "image/io/path.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *path, const char *what, struct err *reterr)
{
        int e = errno ? errno : EIO;
        return err_set(reterr, e, path, "cannot %s: %s", what, strerror(e));
}

static void closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

int path_read(const char *path, size_t max, struct arena *a, struct span *ret, struct err *reterr)
{
        struct stat st;
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return failed(path, "read", reterr);
        if (!S_ISREG(st.st_mode))
                return err_set(reterr, EINVAL, path, "is no file");
        if ((uint64_t)st.st_size > max)
                return err_set(reterr, EFBIG, path, "is over %zu bytes", max);
        /* /proc and /sys say 0 or a page: read to the end, whatever the size was */
        size_t cap = MIN(max, (size_t)st.st_size + 4096), n = 0;
        uint8_t *p = arena_alloc(a, cap + 1);
        if (!p)
                return err_set(reterr, ENOMEM, path, "does not fit in memory");
        for (;;) {
                ssize_t got = read(fd, p + n, cap + 1 - n);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return failed(path, "read", reterr);
                if (got == 0)
                        break;
                n += (size_t)got;
                if (n > cap)
                        return err_set(reterr, EFBIG, path, "grows while it is read, or is over %zu bytes", max);
        }
        *ret = SPAN(p, n);
        return 0;
}

int path_mkdirs(const char *dir, unsigned mode, struct err *reterr)
{
        char path[PATH_MAX];
        size_t n = strlen(dir);
        if (n >= sizeof path)
                return err_set(reterr, ENAMETOOLONG, dir, "path too long");
        memcpy(path, dir, n + 1);
        for (char *p = path + 1; *p; p++) {
                if (*p != '/')
                        continue;
                *p = '\0';
                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return failed(path, "make the directory", reterr);
                *p = '/';
        }
        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return failed(path, "make the directory", reterr);
        return 0;
}

int path_mkparent(const char *path, struct err *reterr)
{
        const char *slash = strrchr(path, '/');
        char dir[PATH_MAX];
        if (!slash || slash == path)
                return 0;
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
        return path_mkdirs(dir, 0755, reterr);
}

int path_sync_dir(const char *dir, struct err *reterr)
{
        CLEANUP(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return failed(dir, "sync", reterr);
        return 0;
}

static int sync_parent(const char *path, struct err *reterr)
{
        char dir[PATH_MAX];
        const char *slash = strrchr(path, '/');
        snprintf(dir, sizeof dir, "%.*s", slash ? (int)MAX(slash - path, 1) : 1, slash ? path : ".");
        return path_sync_dir(dir, reterr);
}

static int fill(int fd, struct span s)
{
        while (s.n) {
                ssize_t w = write(fd, s.p, s.n);
                if (w < 0 && errno == EINTR)
                        continue;
                if (w < 0)
                        return -errno;
                s.p += w;
                s.n -= (size_t)w;
        }
        return 0;
}

int path_write(const char *path, struct span bytes, unsigned mode, unsigned gid, bool synced, struct err *reterr)
{
        char tmp[PATH_MAX];
        if ((size_t)snprintf(tmp, sizeof tmp, "%s.new", path) >= sizeof tmp)
                return err_set(reterr, ENAMETOOLONG, path, "path too long");
        if (unlink(tmp) < 0 && errno != ENOENT)
                return failed(tmp, "replace", reterr);
        CLEANUP(closep) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return failed(tmp, "write", reterr);
        if (fill(fd, bytes) < 0 || (gid != UINT32_MAX && fchown(fd, (uid_t)-1, gid) < 0) || fchmod(fd, mode) < 0 ||
            (synced && fsync(fd) < 0) || rename(tmp, path) < 0) {
                int r = failed(path, "write", reterr);
                unlink(tmp);
                return r;
        }
        return synced ? sync_parent(path, reterr) : 0;
}

int path_link(const char *to, const char *path, bool synced, struct err *reterr)
{
        char tmp[PATH_MAX];
        if ((size_t)snprintf(tmp, sizeof tmp, "%s.new", path) >= sizeof tmp)
                return err_set(reterr, ENAMETOOLONG, path, "path too long");
        if (unlink(tmp) < 0 && errno != ENOENT)
                return failed(tmp, "replace", reterr);
        if (symlink(to, tmp) < 0 || rename(tmp, path) < 0) {
                int r = failed(path, "link", reterr);
                unlink(tmp);
                return r;
        }
        return synced ? sync_parent(path, reterr) : 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int path_remove_tree(const char *path, struct err *reterr)
{
        struct stat st;
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : failed(path, "remove", reterr);
        if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
                return failed(path, "remove", reterr);
        return 0;
}
