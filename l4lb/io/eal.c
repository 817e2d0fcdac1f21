/* l4lb/io/eal.c - see eal.h.  EAL's own messages become our log lines (event=eal), so there is one log format. */
#include "lib/base.h"
#include "l4lb/io/eal.h"
#include "lib/core/hash.h"
#include "lib/core/buf.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#define ARG_MAX_BYTES 512
struct args {
        char text[SETTINGS_MAX_EAL_ARGS + L4_MAX_PORTS + 16][ARG_MAX_BYTES];
        char *argv[SETTINGS_MAX_EAL_ARGS + L4_MAX_PORTS + 17];
        int n;
};

PRINTF(2, 3) static void arg_add(struct args *a, const char *fmt, ...)
{
        va_list ap;
        BUG_ON((size_t)a->n >= ARRAY_SIZE(a->text));
        va_start(ap, fmt);
        int r = vsnprintf(a->text[a->n], ARG_MAX_BYTES, fmt, ap);
        va_end(ap);
        BUG_ON(r < 0 || r >= ARG_MAX_BYTES);
        a->argv[a->n] = a->text[a->n];
        a->n++;
}

/* EAL writes whole lines through stdio; each becomes one event.  Their levels are not passed on: the cookie is the
 * level of all, since EAL is told to say warnings and errors only, or everything when we debug. */
static ssize_t eal_log_write(void *cookie, const char *p, size_t n)
{
        const enum log_level *level = cookie;
        for (size_t at = 0; at < n;) {
                const char *nl = memchr(p + at, '\n', n - at);
                size_t len = nl ? (size_t)(nl - p) - at : n - at;
                if (len)
                        log_event(*level, "eal", "msg=%s", log_esc(SPAN(p + at, len)));
                at += len + 1;
        }
        return (ssize_t)n;
}

static void eal_log_open(const struct settings *s)
{
        static enum log_level level;
        level = s->log_level == LOG_DEBUG ? LOG_DEBUG : LOG_WARN;
        FILE *f = fopencookie(&level, "w", (cookie_io_functions_t){.write = eal_log_write});
        BUG_ON(!f); /* boot-time allocation */
        setvbuf(f, NULL, _IOLBF, 1024);
        rte_openlog_stream(f); /* never fails in 22.11; lives as long as the process */
        rte_log_set_global_level(s->log_level == LOG_DEBUG ? RTE_LOG_DEBUG : RTE_LOG_WARNING);
}

/* net_af_xdp brings libxdp and libbpf, which print to stderr by themselves; what matters the PMD says again. */
typedef int lib_print_fn(int level, const char *fmt, va_list ap);
static int PRINTF(2, 0) lib_print(int level, const char *fmt, va_list ap)
{
        char line[256];
        (void)level;
        vsnprintf(line, sizeof line, fmt, ap);
        line[strcspn(line, "\n")] = 0;
        log_debug("libxdp", "msg=%s", LOG_ESC(line));
        return 0;
}

static void lib_print_take(const char *lib, const char *setter)
{
        void *h = dlopen(lib, RTLD_LAZY | RTLD_NOLOAD);
        if (!h)
                return; /* not installed, or another version: then it prints */
        void *sym = dlsym(h, setter);
        lib_print_fn *(*set)(lib_print_fn *);
        memcpy(&set, &sym, sizeof set);
        if (set)
                (void)set(lib_print); /* the previous one is of no use */
        dlclose(h);
}

void device_name(const char *device, char ret[64])
{
        snprintf(ret, 64, "%.*s", (int)strcspn(device, ","), device);
}

bool device_is_pci(const char *device)
{
        return memchr(device, ':', strcspn(device, ",")) != NULL;
}

/* "0@(0,2),1@1": the control thread may use every CPU of ours that no worker owns; all of them when the workers own
 * all. */
static int lcores_arg(const struct settings *s, struct args *a, struct err *reterr)
{
        cpu_set_t ours, rest;
        if (sched_getaffinity(0, sizeof ours, &ours) < 0)
                return err_set(reterr, errno, "dpdk.cores", "cannot read the CPU affinity: %s", strerror(errno));
        rest = ours;
        for (size_t i = 0; i < s->n_cores; i++) {
                if (!CPU_ISSET(s->cores[i], &ours))
                        return err_set(reterr, EINVAL, "dpdk.cores", "CPU %u does not exist or is not ours to use",
                                       s->cores[i]);
                CPU_CLR(s->cores[i], &rest);
        }
        if (CPU_COUNT(&rest) == 0)
                rest = ours;
        struct buf b;
        buf_init(&b, ARG_MAX_BYTES - 16);
        const char *sep = "";
        for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, &rest)) {
                        buf_printf(&b, "%s%u", sep, cpu);
                        sep = ",";
                }
        buf_str(&b, ")");
        for (size_t i = 0; i < s->n_cores; i++)
                buf_printf(&b, ",%zu@%u", i + 1, s->cores[i]);
        bool failed = b.failed;
        if (!failed)
                arg_add(a, "--lcores=0@(%s", buf_cstr(&b));
        buf_fini(&b);
        return failed ? err_set(reterr, E2BIG, "dpdk.cores", "too many CPUs for one EAL argument") : 0;
}

static void memory_args(const struct settings *s, struct args *a)
{
        if (s->hugepages)
                arg_add(a, "--huge-unlink=always"); /* nothing stays in hugetlbfs, not even after SIGKILL */
        else
                arg_add(a, "--no-huge");
        arg_add(a, "-m");
        arg_add(a, "%u", s->memory_mb);
}

static int build_args(const struct settings *s, struct args *a, struct err *reterr)
{
        arg_add(a, "l4lb");
        int r = lcores_arg(s, a, reterr);
        if (r < 0)
                return r;
        struct sha256 h;
        char hex[65];
        sha256_of(span_str(s->state_dir), &h);
        sha256_hex(&h, hex);
        arg_add(a, "--main-lcore=0");
        arg_add(a, "--log-level=lib.telemetry:error"); /* else it warns about its own defaults */
        arg_add(a, "--file-prefix=gatehouse-%s-%.8s", s->name, hex);
        memory_args(s, a);
        bool pci = false;
        for (size_t i = 0; i < s->n_ports; i++)
                if (device_is_pci(s->ports[i].device)) {
                        pci = true;
                        arg_add(a, "--allow=%s", s->ports[i].device);
                }
        if (!pci) {
                arg_add(a, "--no-pci");
                /* No device here wants physical addresses.  With them, hugepages that do not lie side by side would break
                 * the packet pool into pieces, which net_af_xdp cannot use (port.c, paged_pool_create). */
                arg_add(a, "--iova-mode=va");
        }
        for (size_t i = 0; i < s->n_eal; i++)
                arg_add(a, "%s", s->eal[i]);
        return 0;
}

int eal_init(const struct settings *s, struct err *reterr)
{
        static struct args a; /* EAL keeps pointers into argv */
        int r = build_args(s, &a, reterr);
        if (r < 0)
                return r;
        eal_log_open(s);
        /* libxdp's program dispatcher wants a bpffs and leaves pins behind; a single program per port is all we need.
         */
        setenv("LIBXDP_SKIP_DISPATCHER", "1", 0);
        if (rte_eal_init(a.n, a.argv) < 0)
                return err_set(reterr, rte_errno ? rte_errno : EIO, "dpdk", "EAL refused to start: %s%s",
                               rte_strerror(rte_errno),
                               s->hugepages ? " (no hugepages or no hugetlbfs mounted? or set dpdk.hugepages = false)"
                                            : "");
        lib_print_take("libxdp.so.1", "libxdp_set_print");
        lib_print_take("libbpf.so.1", "libbpf_set_print");
        return 0;
}

static void remove_dir(const char *path)
{
        DIR *d = opendir(path);
        if (!d)
                return;
        for (struct dirent *e; (e = readdir(d));)
                (void)unlinkat(dirfd(d), e->d_name,
                               0); /* "." and ".." fail, and what else fails the next start reuses */
        closedir(d);
        (void)rmdir(path); /* litter at worst */
}

void eal_fini(void)
{
        char dir[512];
        snprintf(dir, sizeof dir, "%s", rte_eal_get_runtime_dir());
        int r = rte_eal_cleanup();
        if (r < 0)
                log_warn("eal_cleanup_failed", "error=%d", r);
        remove_dir(dir);
}
