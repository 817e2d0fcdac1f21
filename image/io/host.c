/* image/io/host.c - see host.h. */
#include "lib/base.h"
#include "image/io/host.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *host_path(const struct host *h, char buf[HOST_PATH_MAX], const char *fmt, ...)
{
        int n = snprintf(buf, HOST_PATH_MAX, "%s", h->root);
        BUG_ON(n < 0 || n >= HOST_PATH_MAX);
        va_list ap;
        va_start(ap, fmt);
        int m = vsnprintf(buf + n, HOST_PATH_MAX - (size_t)n, fmt, ap);
        va_end(ap);
        BUG_ON(m < 0 || n + m >= HOST_PATH_MAX);
        return buf;
}

static uint64_t now_ms(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* What is left of the time, for poll. */
static int left_ms(uint64_t deadline_ms)
{
        uint64_t now = now_ms();
        return now >= deadline_ms ? 0 : (int)MIN(deadline_ms - now, (uint64_t)INT32_MAX);
}

/* Reads until the writers are gone; what does not fit is dropped.  false: the time is over. */
static bool collect(int fd, uint64_t deadline_ms, char *out, size_t n)
{
        size_t used = 0;
        char rest[512];
        for (;;) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                int r = poll(&p, 1, left_ms(deadline_ms));
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        break;
                bool room = used + 1 < n;
                ssize_t got = read(fd, room ? out + used : rest, room ? n - 1 - used : sizeof rest);
                if (got <= 0) {
                        out[used] = '\0';
                        return true;
                }
                used += room ? (size_t)got : 0;
        }
        out[used] = '\0';
        return false;
}

/* Waits for the process; kills its group when the time is over. */
static int reap(pid_t pid, uint64_t deadline_ms, bool late)
{
        int status = 0;
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        while (!late && pidfd >= 0) {
                int r = poll(&p, 1, left_ms(deadline_ms));
                if (r > 0)
                        break;
                late = r == 0;
        }
        if (pidfd >= 0)
                close(pidfd);
        if (late)
                kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (late)
                return -ETIMEDOUT;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int start(const char *const *argv, int out_fd, pid_t *ret)
{
        posix_spawn_file_actions_t fa;
        posix_spawnattr_t at;
        sigset_t none;
        sigemptyset(&none);
        posix_spawn_file_actions_init(&fa);
        posix_spawnattr_init(&at);
        posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (out_fd >= 0) {
                posix_spawn_file_actions_adddup2(&fa, out_fd, STDOUT_FILENO);
                posix_spawn_file_actions_adddup2(&fa, out_fd, STDERR_FILENO);
        }
        posix_spawnattr_setsigmask(&at, &none); /* the loop blocks signals */
        posix_spawnattr_setpgroup(&at, 0);
        posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
        int r = posix_spawn(ret, argv[0], &fa, &at, (char *const *)(uintptr_t)argv, environ);
        posix_spawn_file_actions_destroy(&fa);
        posix_spawnattr_destroy(&at);
        return -r;
}

int host_run(const char *const *argv, unsigned timeout_ms, char *out, size_t n)
{
        uint64_t deadline = now_ms() + timeout_ms;
        int fds[2] = {-1, -1};
        pid_t pid;
        if (out && pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        int r = start(argv, fds[1], &pid);
        if (fds[1] >= 0)
                close(fds[1]);
        if (r == 0) {
                bool whole = !out || collect(fds[0], deadline, out, n);
                r = reap(pid, deadline, !whole);
        }
        if (fds[0] >= 0)
                close(fds[0]);
        return r;
}

int host_systemctl(const struct host *h, const char *const *args, struct err *reterr)
{
        const char *argv[24] = {h->systemctl};
        size_t n = 1;
        char said[512];
        if (!*h->systemctl)
                return 0;
        for (; *args; args++) {
                BUG_ON(n + 1 >= ARRAY_SIZE(argv));
                argv[n++] = *args;
        }
        int r = host_run(argv, 120000, said, sizeof said);
        if (r == 0)
                return 0;
        said[strcspn(said, "\n")] = '\0';
        if (r < 0)
                return err_set(reterr, -r, argv[0], "%s %s: %s", argv[1], n > 2 ? argv[2] : "", strerror(-r));
        return err_set(reterr, EIO, argv[0], "%s %s ended with status %d: %s", argv[1], n > 2 ? argv[2] : "", r, said);
}
