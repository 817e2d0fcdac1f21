/* image/io/command_ports.c - `gatehouse-system ports`: looks, chooses (core/port_choice.h), does (ports_apply.h), and writes
 * what l4lb and the namespaces' units need to know. */
#include "lib/base.h"
#include "image/core/plan.h"
#include "image/core/port_links.h"
#include "image/core/render.h"
#include "image/io/commands.h"
#include "image/io/config_load.h"
#include "image/io/nics_read.h"
#include "image/io/ports_apply.h"
#include "lib/core/json.h"

#include <sys/stat.h>
#include <unistd.h>

#define CONFIG "/var/lib/gatehouse/config/current/gatehouse.cfg"
#define CANDIDATE "/var/lib/gatehouse/config/candidate/gatehouse.cfg"
#define ETC RENDER_ETC
#define DROP_IN_DIR "/run/systemd/system/l4lb.service.d"
#define DROP_IN DROP_IN_DIR "/60-ports.conf"
#define MEMORY_SPARE_MB 64 /* of hugepages: EAL's own rings, tables, fragmentation */

struct work {
        const struct host *h;
        struct config *c;
        struct nics nics;
        struct box box;
        struct nic_assignment whose;
        struct taken taken, keep;
        struct port_choice choice[IMAGE_MAX_DATA_NICS];
        unsigned uplinks; /* bit per driver */
        enum link_kind links;
        unsigned workers;
        bool hugepages;
        char huge_note[400];
};

static int put(const struct work *w, const char *path, struct buf *b, struct err *reterr)
{
        char full[HOST_PATH_MAX], tmp[HOST_PATH_MAX + 8];
        const char *text = buf_cstr(b);
        host_path(w->h, full, "%s", path);
        snprintf(tmp, sizeof tmp, "%s.new", full);
        FILE *f = b->failed ? NULL : fopen(tmp, "we");
        bool bad = !f || fputs(text, f) == EOF;
        if (f)
                bad |= fclose(f) == EOF;
        buf_reset(b);
        if (bad || rename(tmp, full) < 0)
                return err_set(reterr, errno ? errno : ENOMEM, path, "cannot write: %s", strerror(errno ? errno : ENOMEM));
        return 0;
}

/* ---- choose ---- */

static int choose(struct work *w, struct err *reterr)
{
        for (size_t i = 0; i < w->c->n_data; i++) {
                const struct data_nic *d = &w->c->data[i];
                const struct nic *n = w->whose.data[i];
                int r = n ? port_choose(n, &w->box, d->driver, &w->choice[i], reterr) : nic_missing(d->name, &d->nic, reterr);
                if (r < 0)
                        return r;
                w->uplinks |= 1u << w->choice[i].driver;
                printf("port %s: %s%s%s: %s%s%s\n", d->name, *n->pci ? n->pci : n->ifname, *n->mac ? " " : "", n->mac,
                       port_driver_names[w->choice[i].driver], w->choice[i].overruled ? ": WARNING: " : ": ", w->choice[i].reason);
        }
        bool links = config_shards(w->c) > 0;
        for (size_t i = 0; i < w->c->n_data; i++)
                links |= render_has_exception(w->c, i);
        w->links = links ? link_choose(w->box.vhost_net, w->uplinks) : LINK_VHOST; /* none: no right for them */
        printf("links to the shards: %s%s\n", links ? link_kind_names[w->links] : "none here", links && !w->box.vhost_net ? ": no /dev/vhost-net" : "");
        return 0;
}

/* ---- do ---- */

static bool by_pci(enum port_driver d)
{
        return d == DRIVER_VFIO || d == DRIVER_UIO;
}

static const struct nic *taken_find(const struct taken *t, const char *pci)
{
        for (size_t i = 0; i < t->n; i++)
                if (strcmp(t->v[i].pci, pci) == 0)
                        return &t->v[i];
        return NULL;
}

/* What an earlier configuration took and this one does not want goes back to the kernel. */
static void give_back(struct work *w)
{
        for (size_t i = 0; i < w->taken.n; i++) {
                struct err e = { 0 };
                bool wanted = false;
                for (size_t k = 0; k < w->c->n_data; k++)
                        wanted |= by_pci(w->choice[k].driver) && strcmp(w->whose.data[k]->pci, w->taken.v[i].pci) == 0;
                if (wanted)
                        continue;
                if (port_give_back(w->h, &w->taken.v[i], &e) < 0)
                        fprintf(stderr, "%s: %s\n", e.place, e.msg);
                else
                        printf("%s: back to the kernel\n", w->taken.v[i].pci);
        }
}

static int take(struct work *w, struct err *reterr)
{
        for (size_t i = 0; i < w->c->n_data; i++) {
                const struct nic *n = w->whose.data[i];
                enum port_driver d = w->choice[i].driver;
                if (!by_pci(d)) {
                        int r = port_quiet(w->h, n, w->c->data[i].mtu, reterr);
                        if (r < 0)
                                return r;
                        continue;
                }
                const struct nic *before = taken_find(&w->taken, n->pci);
                w->keep.v[w->keep.n++] = before ? *before : *n;
                int r = taken_write(w->h, &w->keep, reterr); /* before it is taken: its MAC address must not be lost */
                if (r == 0)
                        r = port_take(w->h, n, d, reterr);
                if (r < 0)
                        return r;
        }
        return taken_write(w->h, &w->keep, reterr);
}

static void memory(struct work *w)
{
        struct err e = { 0 };
        if (!w->c->l4_hugepages) {
                snprintf(w->huge_note, sizeof w->huge_note, "not asked for");
        } else if (hugepages_take(w->h, w->c->l4_memory_mb + MEMORY_SPARE_MB, &e) < 0) {
                snprintf(w->huge_note, sizeof w->huge_note, "%s: going on without", e.msg);
        } else {
                w->hugepages = true;
                snprintf(w->huge_note, sizeof w->huge_note, "%u MiB", w->c->l4_memory_mb);
        }
        printf("hugepages: %s\n", w->huge_note);
}

static int links_make(struct work *w, struct err *reterr)
{
        struct buf b;
        unsigned mtu = w->c->data[0].mtu;
        buf_init(&b, 256 * 1024);
        for (unsigned k = 1; k <= IMAGE_MAX_SHARDS; k++)
                link_unmake(k, false, &b);
        for (unsigned k = 0; k < IMAGE_MAX_DATA_NICS; k++)
                link_unmake(k, true, &b);
        int r = b.failed ? err_set(reterr, ENOMEM, "links", "too many") : ip_batch(w->h, buf_cstr(&b), true, reterr);
        buf_reset(&b);
        for (size_t i = 0; i < config_shards(w->c); i++)
                link_make(w->links, (unsigned)i + 1, mtu, w->workers, &b);
        for (size_t i = 0; i < w->c->n_data; i++)
                if (render_has_exception(w->c, i))
                        link_make_kernel(w->links, (unsigned)i, w->whose.data[i]->mac, w->c->data[i].mtu, w->workers, &b);
        if (r == 0)
                r = b.failed ? err_set(reterr, ENOMEM, "links", "too many") : ip_batch(w->h, buf_cstr(&b), false, reterr);
        buf_fini(&b);
        for (size_t i = 0; r == 0 && w->links != LINK_VHOST && i < config_shards(w->c); i++) {
                char lower[16];
                link_quiet(w->h, link_lower(w->links, (unsigned)i + 1, lower));
        }
        return r;
}

/* ---- write ---- */

static void uplink_device(const struct work *w, size_t i, struct buf *b)
{
        const struct nic *n = w->whose.data[i];
        unsigned queues = w->c->data[i].queues ? w->c->data[i].queues : w->workers;
        switch (w->choice[i].driver) {
        case DRIVER_VFIO:
        case DRIVER_UIO:
                buf_printf(b, "device = \"%s\";\n", n->pci);
                return;
        case DRIVER_AF_XDP:
                buf_printf(b, "device = \"net_af_xdp%zu,iface=%s", 100 + i, n->ifname);
                if (queues > 1)
                        buf_printf(b, ",queue_count=%u", queues);
                buf_str(b, "\";\n");
                return;
        case DRIVER_AF_PACKET:
                buf_printf(b, "device = \"net_af_packet%zu,iface=%s,qpairs=%u\";\n", 100 + i, n->ifname, queues);
                return;
        case DRIVER_AUTO:
        case DRIVER_N:
                break;
        }
        BUG_ON(true);
}

static int write_devices(struct work *w, struct buf *b, struct err *reterr)
{
        char path[128], device[LINK_DEVICE_MAX];
        int r = 0;
        for (size_t i = 0; r == 0 && i < w->c->n_data; i++) {
                uplink_device(w, i, b);
                snprintf(path, sizeof path, ETC "/ports/%s.cfg", w->c->data[i].name);
                r = put(w, path, b, reterr);
                if (r < 0 || !render_has_exception(w->c, i))
                        continue;
                link_device(w->links, true, (unsigned)i, w->workers, device);
                buf_printf(b, "device = \"%s\";\n", device);
                snprintf(path, sizeof path, ETC "/ports/k%zu.cfg", i);
                r = put(w, path, b, reterr);
        }
        for (size_t i = 0; r == 0 && i < config_shards(w->c); i++) {
                struct shard_plan p;
                plan_shard(w->c, i, &p);
                link_device(w->links, false, p.index, w->workers, device);
                buf_printf(b, "device = \"%s\";\n", device);
                snprintf(path, sizeof path, ETC "/ports/%s.cfg", p.link);
                r = put(w, path, b, reterr);
                if (r < 0)
                        break;
                link_batch(w->links, &p, w->c->data[0].mtu, b);
                snprintf(path, sizeof path, ETC "/net/%s.link.batch", p.name);
                r = put(w, path, b, reterr);
        }
        if (r < 0)
                return r;
        buf_printf(b, "hugepages = %s; memory_mb = %u;\n", w->hugepages ? "true" : "false", w->c->l4_memory_mb);
        if (w->hugepages)
                buf_str(b, "eal = [ \"--huge-dir=" PORTS_HUGE_DIR "\" ];\n");
        return put(w, ETC "/ports/memory.cfg", b, reterr);
}

/* Choices and reasons, for `status`. */
static int write_status(struct work *w, struct buf *b, struct err *reterr)
{
        struct json j;
        json_init(&j, b);
        json_obj(&j);
        json_key(&j, "ports");
        json_arr(&j);
        for (size_t i = 0; i < w->c->n_data; i++) {
                const struct nic *n = w->whose.data[i];
                json_obj(&j);
                json_key(&j, "name"), json_str(&j, w->c->data[i].name);
                json_key(&j, "nic"), json_str(&j, *n->pci ? n->pci : n->ifname);
                json_key(&j, "mac"), json_str(&j, n->mac);
                json_key(&j, "driver"),
                        json_str(&j, w->c->role == ROLE_SHARDS ? "kernel" : port_driver_names[w->choice[i].driver]);
                json_key(&j, "overruled"), json_bool(&j, w->choice[i].overruled);
                json_key(&j, "reason"), json_str(&j, w->choice[i].reason);
                json_end(&j);
        }
        json_end(&j);
        json_key(&j, "links"), json_str(&j, w->c->role == ROLE_SHARDS ? "macvlan" : link_kind_names[w->links]);
        json_key(&j, "hugepages"), json_str(&j, w->huge_note);
        json_end(&j);
        return put(w, ETC "/ports/status.json", b, reterr);
}

static int write_rights(struct work *w, struct buf *b, struct err *reterr)
{
        static const char *const reload[] = { "daemon-reload", NULL };
        char full[HOST_PATH_MAX];
        int r = 0;
        bool was = access(host_path(w->h, full, DROP_IN), F_OK) == 0, any = link_rights(w->links, w->uplinks, b);
        if (any) {
                (void)mkdir(host_path(w->h, full, DROP_IN_DIR), 0755); /* there already, or put says why not */
                r = put(w, DROP_IN, b, reterr);
        } else if (was && unlink(full) < 0) {
                r = err_set(reterr, errno, DROP_IN, "cannot remove: %s", strerror(errno));
        }
        if (r == 0 && (any || was))
                r = host_systemctl(w->h, reload, reterr);
        return r;
}

static int write_all(struct work *w, struct err *reterr)
{
        char full[HOST_PATH_MAX];
        struct buf b;
        (void)mkdir(host_path(w->h, full, ETC "/ports"), 0755); /* there already, or put says why not */
        (void)mkdir(host_path(w->h, full, ETC "/net"), 0755);
        buf_init(&b, 256 * 1024);
        int r = write_devices(w, &b, reterr);
        if (r == 0)
                r = write_status(w, &b, reterr);
        if (r == 0)
                r = write_rights(w, &b, reterr);
        buf_fini(&b);
        return r;
}

/* ---- a box of shards alone: the data NIC stays with the kernel, each shard's eth0 stands on it ---- */

static int segment_write(struct work *w, const struct nic *n, struct buf *b, struct err *reterr)
{
        char path[128], full[HOST_PATH_MAX];
        (void)mkdir(host_path(w->h, full, ETC "/ports"), 0755); /* there already, or put says why not */
        (void)mkdir(host_path(w->h, full, ETC "/net"), 0755);
        int r = 0;
        for (size_t i = 0; r == 0 && i < config_shards(w->c); i++) {
                struct shard_plan p;
                plan_shard(w->c, i, &p);
                link_segment_batch(&p, n->ifname, w->c->data[0].mtu, b);
                snprintf(path, sizeof path, ETC "/net/%s.link.batch", p.name);
                r = put(w, path, b, reterr);
        }
        snprintf(w->huge_note, sizeof w->huge_note, "no load balancer here");
        snprintf(w->choice[0].reason, sizeof w->choice[0].reason, "stays with the kernel: the shards' links stand on it");
        return r < 0 ? r : write_status(w, b, reterr);
}

static int segment(struct work *w, struct err *reterr)
{
        struct buf b;
        give_back(w); /* nothing is chosen: whatever was taken from the kernel returns to it */
        nics_read(w->h, &w->nics);
        nics_assign(w->c, &w->nics, &w->whose);
        const struct nic *n = w->whose.data[0];
        if (!n || !*n->ifname)
                return nic_missing(w->c->data[0].name, &w->c->data[0].nic, reterr);
        buf_init(&b, 256 * 1024);
        for (unsigned k = 1; k <= IMAGE_MAX_SHARDS; k++)
                link_unmake(k, false, &b);
        for (unsigned k = 0; k < IMAGE_MAX_DATA_NICS; k++)
                link_unmake(k, true, &b);
        int r = b.failed ? err_set(reterr, ENOMEM, "links", "too many") : ip_batch(w->h, buf_cstr(&b), true, reterr);
        buf_reset(&b);
        buf_printf(&b, "link set %s mtu %u up\n", n->ifname, w->c->data[0].mtu);
        if (r == 0)
                r = ip_batch(w->h, buf_cstr(&b), false, reterr);
        buf_reset(&b);
        if (r == 0)
                r = segment_write(w, n, &b, reterr);
        buf_fini(&b);
        if (r == 0)
                printf("port %s: %s %s: the shards' links stand on it\n", w->c->data[0].name, n->ifname, n->mac);
        return r;
}

/* ---- */

static unsigned count_workers(const struct config *c)
{
        struct machine m = { .cpus = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L) };
        char text[PLAN_CPU_TEXT];
        struct cpu_list l;
        plan_l4_cores(c, &m, text);
        return cpu_list_parse(text, &l) == 0 && l.n ? (unsigned)l.n : 1;
}

static int ports(struct work *w, struct err *reterr)
{
        static const char *const modules[] = { "tun", "vhost_net", "macvlan", "veth", "vfio_iommu_type1", "vfio-pci" };
        static const char *const uio[] = { "uio_pci_generic" };
        char candidate[HOST_PATH_MAX], current[HOST_PATH_MAX];
        host_path(w->h, candidate, CANDIDATE);
        int r = config_load(access(candidate, F_OK) == 0 ? candidate : host_path(w->h, current, CONFIG), &w->c, reterr);
        if (r < 0)
                return r;
        modules_load(w->h, modules, ARRAY_SIZE(modules));
        box_read(w->h, &w->box);
        if (w->box.lockdown == LOCKDOWN_NONE) {
                modules_load(w->h, uio, 1);
                box_read(w->h, &w->box);
        }
        nics_read(w->h, &w->nics);
        taken_read(w->h, &w->taken);
        taken_fill(&w->taken, &w->nics);
        nics_assign(w->c, &w->nics, &w->whose);
        if (w->c->role == ROLE_SHARDS)
                return segment(w, reterr);
        w->workers = count_workers(w->c);
        r = choose(w, reterr);
        if (r < 0)
                return r;
        give_back(w);
        r = take(w, reterr);
        if (r < 0)
                return r;
        memory(w);
        r = links_make(w, reterr);
        return r < 0 ? r : write_all(w, reterr);
}

int command_ports(const struct host *h, int argc, char **argv)
{
        static const char help[] = "usage: gatehouse-system ports\n"
                                   "Chooses how l4lb drives each data NIC (vfio > af_xdp > uio > af_packet), says why, takes the NICs,\n"
                                   "makes the links to the shards, and writes what l4lb includes.  l4lb must not run.\n"
                                   "In a box of shards alone: puts the shards' links on the data NIC, which stays with the kernel.\n";
        static struct work w;
        struct err e = { 0 };
        if (command_help(argc, argv, help))
                return COMMAND_OK;
        if (argc != 1) {
                fputs(help, stderr);
                return COMMAND_USAGE;
        }
        w = (struct work){ .h = h };
        int r = ports(&w, &e);
        config_free(w.c);
        return r < 0 ? command_fail(&e) : COMMAND_OK;
}
