/* tests/unit/image/render_test.c - what a configuration becomes: files by path, what each must and must not hold, the same
 * bytes twice, and what a change restarts.  That the daemons take the files is tests/e2e/image_config.py's. */
#include "lib/base.h"
#include "image/core/activate.h"
#include "image/core/render.h"
#include "image/io/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BASE                                                                                                            \
        "version = 1; name = \"edge\"; vip_pools = [ \"198.51.100.0/26\", \"2001:db8:10::/64\" ];\n"                    \
        "data = ( { name = \"up\"; nic = \"0000:00:05.0\"; addresses = [ \"192.0.2.2/24\" ]; } );\n"                    \
        "shards = ( { pool = \"a\"; count = 2; select = [ \"x=\\\"y\\\\\" ]; }, { pool = \"b\"; memory_mb = 300; } );\n"
#define DIRECTORY "agent = { source = \"directory\"; manifests = \"kind: A\"; };\n"

struct made {
        struct config *c;
        struct arena arena;
        struct files files;
};

static int make(const char *text, const struct seed *seed, struct made *ret, struct err *e)
{
        static const struct seed nothing;
        *ret = (struct made){0};
        arena_init(&ret->arena, 4096, 32u << 20);
        files_init(&ret->files, &ret->arena);
        if (config_load_text(span_str(text), "f", &ret->c, e) < 0)
                fail_msg("%s: %s", e->place, e->msg);
        const struct render r = {.c = ret->c, .seed = seed ? seed : &nothing, .machine = {.cpus = 4, .memory_mb = 4096}, .root = ""};
        return render_all(&r, &ret->files, e);
}

static void drop(struct made *m)
{
        config_free(m->c);
        files_fini(&m->files);
        arena_fini(&m->arena);
}

static void holds(const struct made *m, const char *path, const char *part, bool want)
{
        const struct file *f = files_find(&m->files, path);
        if (!f)
                fail_msg("%s is not there", path);
        bool found = memmem(f->bytes.p, f->bytes.n, part, strlen(part)) != NULL;
        if (found != want)
                fail_msg("%s %s \"%s\":\n%.*s", path, want ? "lacks" : "holds", part, SPAN_FMT(f->bytes));
}

static void daemons(void **state)
{
        struct made m;
        struct err e = {0};
        (void)state;
        assert_int_equal(make(BASE DIRECTORY, NULL, &m, &e), 0);
        holds(&m, RENDER_ETC "/l4lb.cfg", "name = \"s3\"; role = \"shard\"", true);
        holds(&m, RENDER_ETC "/l4lb.cfg", "kernel", false);
        holds(&m, RENDER_ETC "/l4lb.cfg", "cores = \"1\"", true);
        holds(&m, RENDER_ETC "/l7gw/b-1.cfg", "addresses = [ \"198.18.0.14\", \"fd67:6174:6500:3::2\" ]; port = 9000;", true);
        holds(&m, RENDER_ETC "/agent.cfg", "uids = [ \"902\", \"911\", \"912\", \"913\" ]", true);
        holds(&m, RENDER_ETC "/agent.cfg", "select = [ \"x=\\\"y\\\\\" ]", true); /* escaped as it was */
        holds(&m, RENDER_UNITS "/l7gw@b-1.service.d/50-gatehouse.conf", "User=shard3\nAllowedCPUs=0,2-3\nMemoryMax=300M", true);
        holds(&m, RENDER_UNITS "/system.slice.d/50-gatehouse.conf", "AllowedCPUs=0,2-3", true);
        assert_int_equal(files_find(&m.files, RENDER_ETC "/manifests/gatehouse.yaml")->mode, 0640);
        assert_null(files_find(&m.files, RENDER_ETC "/bird.conf"));
        assert_null(files_find(&m.files, RENDER_ETC "/ports/up.cfg")); /* `ports` decides that */
        assert_string_equal(files_find(&m.files, RENDER_WANTS "/l7gw@a-2.service")->link_to, "/usr/lib/systemd/system/l7gw@.service");
        drop(&m);
}

#define PEM(what) "\"-----BEGIN " what "-----\\nAAAA\\n\""
#define CRED(name) "{ name = \"" name "\"; certificate = " PEM("CERTIFICATE") "; key = " PEM("PRIVATE KEY") "; }"
#define L4 "version = 1; name = \"edge\"; role = \"l4\"; vip_pools = [ \"198.51.100.0/26\" ];\n" \
        "data = ( { name = \"up\"; nic = \"0000:00:05.0\"; addresses = [ \"192.0.2.2/24\" ]; },\n" \
        "{ name = \"back\"; nic = \"0000:00:06.0\"; faces = \"shards\"; addresses = [ \"10.30.0.1/24\" ]; } );\n" \
        "shards = ( { pool = \"a\"; addresses = [ \"10.30.0.11\", \"10.30.0.12\" ]; select = [ \"x=y\" ]; }, { pool = \"b\"; first = 7; addresses = [ \"10.30.0.17\" ]; } );\n" \
        "control = { ca = " PEM("CERTIFICATE") "; listen = [ \"10.0.0.5:7443\", \"[::]:7443\" ]; credentials = ( " CRED("edge") " ); };\n" DIRECTORY
#define FAR "version = 1; name = \"far\"; role = \"shards\"; vip_pools = [ \"198.51.100.0/26\", \"2001:db8:10::/64\" ];\n" \
        "data = ( { name = \"seg\"; nic = \"52:54:00:00:00:0a\"; mtu = 9000; } );\n" \
        "routes = ( { prefix = \"0.0.0.0/0\"; via = \"10.30.0.1\"; }, { prefix = \"::/0\"; via = \"fd00:30::1\"; } );\n" \
        "shards = ( { pool = \"a\"; addresses = [ \"10.30.0.11/24\" ]; addresses6 = [ \"fd00:30::11/64\" ]; }, { pool = \"b\"; first = 7; addresses = [ \"10.30.0.17/24\" ]; } );\n" \
        "control = { ca = " PEM("CERTIFICATE") "; agents = [ \"10.0.0.5:7443\", \"[fd00::5]:7443\" ]; credentials = ( " CRED("a-1") ", " CRED("b-7") " ); };\n"

static void absent(const struct made *m, const char *path)
{
        if (files_find(&m->files, path))
                fail_msg("%s is there", path);
}

/* Load balancer and agent in one box; its shards are elsewhere. */
static void role_l4(void **state)
{
        struct made m;
        struct err e = {0};
        (void)state;
        assert_int_equal(make(L4 "bgp = { as = 64512; router_id = \"192.0.2.2\"; neighbours = ( { address = \"192.0.2.1\"; as = 64513; } ); };", NULL, &m, &e), 0);
        holds(&m, RENDER_ETC "/l4lb.cfg", "{ name = \"up\"; role = \"uplink\"; kernel = \"k0\";", true);
        holds(&m, RENDER_ETC "/l4lb.cfg", "{ name = \"back\"; role = \"shard\"; mtu = 1500; queues = 0; addresses = [ \"10.30.0.1/24\" ]", true);
        holds(&m, RENDER_ETC "/l4lb.cfg", "name = \"s1\"", false); /* no link of ours */
        holds(&m, RENDER_ETC "/l4lb.cfg", "kernel = \"k1\"", false);
        holds(&m, RENDER_ETC "/l4lb.cfg", "agents = [ \"unix:/run/gatehouse/agent/agent.sock\" ];", true);
        holds(&m, RENDER_ETC "/agent.cfg", "uids = [ \"902\" ];", true);
        holds(&m, RENDER_ETC "/agent.cfg", "tls = { addresses = [ \"10.0.0.5:7443\", \"[::]:7443\" ]; certificate = \"" RENDER_ETC "/tls/edge/certificate.pem\";", true);
        holds(&m, RENDER_ETC "/agent.cfg", "{ name = \"a-2\"; address = \"10.30.0.12\"; health_port = 9000; }", true);
        holds(&m, RENDER_ETC "/agent.cfg", "{ name = \"b-7\"; address = \"10.30.0.17\"; health_port = 9000; }", true);
        holds(&m, RENDER_ETC "/tls/edge/key.pem", "PRIVATE KEY", true);
        assert_int_equal(files_find(&m.files, RENDER_ETC "/tls/edge/key.pem")->mode, 0640);
        assert_string_equal(files_find(&m.files, RENDER_ETC "/tls/edge/key.pem")->group, "gatehouse-agent");
        assert_non_null(files_find(&m.files, RENDER_WANTS "/l4lb.service"));
        assert_non_null(files_find(&m.files, RENDER_WANTS "/gatehouse-agent.service"));
        for (size_t i = 0; i < m.files.n; i++)
                if (strstr(m.files.v[i].path, "l7gw") || strstr(m.files.v[i].path, "/net/"))
                        fail_msg("%s: of no shard here", m.files.v[i].path);
        drop(&m);
}

/* Shards alone: who they are to the agent elsewhere, and how they stand on the segment of the load balancer. */
static void role_shards(void **state)
{
        struct made m;
        struct err e = {0};
        (void)state;
        assert_int_equal(make(FAR, NULL, &m, &e), 0);
        absent(&m, RENDER_ETC "/l4lb.cfg");
        absent(&m, RENDER_ETC "/agent.cfg");
        absent(&m, RENDER_ETC "/kubeconfig");
        absent(&m, RENDER_WANTS "/l4lb.service");
        absent(&m, RENDER_WANTS "/gatehouse-agent.service");
        assert_non_null(files_find(&m.files, RENDER_WANTS "/l7gw@b-7.service"));
        holds(&m, RENDER_ETC "/l7gw/a-1.cfg", "agents = [ \"tls:10.0.0.5:7443\", \"tls:[fd00::5]:7443\" ];", true);
        holds(&m, RENDER_ETC "/l7gw/a-1.cfg", "key = \"" RENDER_ETC "/tls/a-1/key.pem\";", true);
        holds(&m, RENDER_ETC "/l7gw/a-1.cfg", "addresses = [ \"10.30.0.11\", \"fd00:30::11\" ]; port = 9000;", true);
        holds(&m, RENDER_ETC "/l7gw/b-7.cfg", "name = \"b-7\";\npool = \"b\";", true);
        holds(&m, RENDER_ETC "/l7gw/b-7.cfg", "addresses = [ \"10.30.0.17\" ]; port = 9000;", true);
        holds(&m, RENDER_ETC "/l7gw/b-7.cfg", "unix:", false);
        assert_string_equal(files_find(&m.files, RENDER_ETC "/tls/a-1/key.pem")->group, "shard1"); /* each reads its own only */
        assert_string_equal(files_find(&m.files, RENDER_ETC "/tls/b-7/key.pem")->group, "shard2");
        assert_int_equal(files_find(&m.files, RENDER_ETC "/tls/b-7/key.pem")->mode, 0640);
        holds(&m, RENDER_ETC "/net/a-1.batch", "link set eth0 mtu 9000 up", true);
        holds(&m, RENDER_ETC "/net/a-1.batch", "address add 10.30.0.11/24 dev eth0\n", true);
        holds(&m, RENDER_ETC "/net/a-1.batch", "route add 0.0.0.0/0 via 10.30.0.1 dev eth0 table 100\n", true);
        holds(&m, RENDER_ETC "/net/a-1.batch", "route add ::/0 via fd00:30::1 dev eth0 table 100\n", true);
        holds(&m, RENDER_ETC "/net/a-1.batch", "route add default via 198.18.2.5 dev eth1\n", true);
        holds(&m, RENDER_ETC "/net/a-1.batch", "route add local 198.51.100.0/26 dev lo\n", true);
        holds(&m, RENDER_ETC "/net/b-7.batch", "fd00:30", false); /* it has no IPv6 there */
        holds(&m, RENDER_NETWORK "/10-seg.network", "PermanentMACAddress=52:54:00:00:00:0a\nKind=!*\n[Link]\nUnmanaged=yes", true);
        holds(&m, RENDER_UNITS "/l7gw@b-7.service.d/50-gatehouse.conf", "User=shard2\nAllowedCPUs=0-3\n", true); /* no CPU is l4lb's */
        holds(&m, RENDER_ETC "/ports.in", "role=shards ", true);
        drop(&m);
}

static void networks(void **state)
{
        struct made m;
        struct err e = {0};
        (void)state;
        assert_int_equal(make(BASE DIRECTORY "management = { nic = \"52:54:00:00:00:01\"; addresses = [ \"10.0.0.5/24\" ]; gateway = \"10.0.0.1\";\n"
                                             "vlan = 7; }; dns = { servers = [ \"10.0.0.53\" ]; }; allow = [ \"10.0.0.0/24\", \"2001:db8:a::/64\" ];\n"
                                             "backend = { nic = \"ens9\"; };",
                              NULL, &m, &e), 0);
        holds(&m, RENDER_NETWORK "/20-management.network", "PermanentMACAddress=52:54:00:00:00:01", true);
        holds(&m, RENDER_NETWORK "/20-management.network", "VLAN=management", true);
        holds(&m, RENDER_NETWORK "/20-management.network", "10.0.0.5", false);
        holds(&m, RENDER_NETWORK "/21-management.netdev", "Id=7", true);
        holds(&m, RENDER_NETWORK "/22-management.network", "Address=10.0.0.5/24\nGateway=10.0.0.1\nDNS=10.0.0.53", true);
        holds(&m, RENDER_NETWORK "/20-backend.network", "DHCP=ipv4", true);
        holds(&m, RENDER_NETWORK "/10-up.network", "Path=*pci-0000:00:05.0\n[Link]\nUnmanaged=yes", true);
        holds(&m, RENDER_ETC "/nftables.conf", "ip saddr 10.0.0.0/24 accept", true);
        holds(&m, RENDER_ETC "/nftables.conf", "ip6 saddr 2001:db8:a::/64 accept", true);
        holds(&m, RENDER_ETC "/nftables.conf", "dport 179", false);
        drop(&m);
}

static void one_nic_and_bgp(void **state)
{
        struct made m;
        struct err e = {0};
        (void)state;
        assert_int_equal(make(BASE DIRECTORY "management = { shared_with = \"up\"; addresses = [ \"192.0.2.3/24\" ]; gateway = \"192.0.2.1\"; };\n"
                                             "bgp = { as = 64512; router_id = \"192.0.2.2\"; neighbours = ( { address = \"192.0.2.1\"; as = 64513; password = \"s\"; } ); };\n"
                                             "syslog = { address = \"10.0.0.9\"; protocol = \"tcp\"; };",
                              NULL, &m, &e), 0);
        holds(&m, RENDER_ETC "/l4lb.cfg", "role = \"uplink\"; kernel = \"k0\";", true);
        holds(&m, RENDER_ETC "/l4lb.cfg", "name = \"k0\"; role = \"kernel\";", true);
        holds(&m, RENDER_NETWORK "/20-k0.network", "Name=k0\n", true);
        holds(&m, RENDER_NETWORK "/20-k0.network", "Address=192.0.2.3/24\nAddress=192.0.2.2/24\nGateway=192.0.2.1", true);
        assert_null(files_find(&m.files, RENDER_NETWORK "/20-management.network"));
        holds(&m, RENDER_ETC "/bird.conf", "neighbor 192.0.2.1 as 64513;", true);
        holds(&m, RENDER_ETC "/bird.conf", "protocol static vips0_4 { disabled yes; ipv4; route 198.51.100.0/26 blackhole; }", true);
        holds(&m, RENDER_ETC "/bird.conf", "export where proto ~ \"vips*_4\"", true);
        holds(&m, RENDER_ETC "/advertise.cfg", "{ protocol = \"vips0_4\"; prefix = \"198.51.100.0/26\"; }", true);
        assert_non_null(files_find(&m.files, RENDER_WANTS "/gatehouse-bird.service"));
        assert_null(files_find(&m.files, RENDER_WANTS "/gatehouse-auto-update.timer"));
        assert_non_null(files_find(&m.files, RENDER_WANTS "/gatehouse-advertise.service"));
        holds(&m, RENDER_ETC "/bird.conf", "password \"s\";", true);
        assert_int_equal(files_find(&m.files, RENDER_ETC "/bird.conf")->mode, 0640);
        holds(&m, RENDER_ETC "/nftables.conf", "ip saddr 192.0.2.1 tcp dport 179 accept", true);
        holds(&m, RENDER_ETC "/syslog.cfg", "protocol = \"tcp\"", true);
        drop(&m);
}

static void sources(void **state)
{
        static const struct seed_file files[] = {{"b.yaml", {(const uint8_t *)"kind: B", 7}}};
        const struct seed seed = {.kubeconfig = SPAN_LIT("apiVersion: v1"), .manifests = files, .n_manifests = 1};
        struct made m;
        struct err e = {0};
        (void)state;
        assert_int_equal(make(BASE "agent = { source = \"kubernetes\"; context = \"c\"; };", &seed, &m, &e), 0);
        holds(&m, RENDER_ETC "/kubeconfig", "apiVersion: v1", true);
        holds(&m, RENDER_ETC "/agent.cfg", "context = \"c\"", true);
        assert_null(files_find(&m.files, RENDER_ETC "/manifests/b.yaml"));
        drop(&m);
        assert_int_equal(make(BASE "agent = { source = \"directory\"; };", &seed, &m, &e), 0);
        holds(&m, RENDER_ETC "/manifests/b.yaml", "kind: B", true);
        drop(&m);
        assert_int_equal(make(BASE "agent = { source = \"kubernetes\"; };", NULL, &m, &e), -EINVAL);
        assert_non_null(strstr(e.msg, "kubeconfig"));
        drop(&m);
        assert_int_equal(make(BASE "agent = { source = \"directory\"; };", NULL, &m, &e), 0); /* what comes later comes by apply */
        assert_non_null(files_find(&m.files, RENDER_ETC "/manifests/.gatehouse"));
        drop(&m);
}

static void same_bytes_twice(void **state)
{
        struct made a, b;
        struct err e = {0};
        (void)state;
        assert_int_equal(make(BASE DIRECTORY, NULL, &a, &e), 0);
        assert_int_equal(make(BASE DIRECTORY, NULL, &b, &e), 0);
        assert_int_equal(a.files.n, b.files.n);
        for (size_t i = 0; i < a.files.n; i++) {
                assert_string_equal(a.files.v[i].path, b.files.v[i].path);
                assert_true(span_eq(a.files.v[i].bytes, b.files.v[i].bytes));
        }
        drop(&a);
        drop(&b);
}

static bool is_gone(void *arg, const char *path)
{
        return strstr(path, arg) != NULL;
}

static void activation(void **state)
{
        static const struct {
                const char *name, *changed[4], *gone, *want;
        } cases[] = {
                {"nothing", {NULL}, "?", ""},
                {"manifests", {RENDER_ETC "/manifests/a.yaml"}, "?", "start gatehouse.target;"},
                {"a route", {RENDER_ETC "/l4lb.cfg"}, "?", "restart l4lb.service;start gatehouse.target;"},
                {"the agent's source", {RENDER_ETC "/agent.cfg", RENDER_ETC "/kubeconfig"}, "?", "restart gatehouse-agent.service;start gatehouse.target;"},
                {"a NIC", {RENDER_ETC "/ports.in", RENDER_NETWORK "/10-up.network"}, "?",
                 "restart systemd-networkd.service gatehouse-ports.service;start gatehouse.target;"},
                {"one shard", {RENDER_ETC "/l7gw/a-1.cfg", RENDER_UNITS "/l7gw@a-1.service.d/50-gatehouse.conf"}, "?",
                 "daemon-reload;restart l7gw@a-1.service;start gatehouse.target;"},
                {"VIPs in a shard", {RENDER_ETC "/net/a-1.batch", RENDER_ETC "/net/a-1.batch6"}, "?",
                 "restart gatehouse-netns@a-1.service;start gatehouse.target;"},
                {"a shard less", {RENDER_WANTS "/l7gw@a-2.service", RENDER_ETC "/l7gw/a-2.cfg"}, "a-2",
                 "stop l7gw@a-2.service;daemon-reload;start gatehouse.target;"},
                {"no BGP any more", {RENDER_ETC "/bird.conf"}, "bird", "stop gatehouse-bird.service;start gatehouse.target;"},
                {"renewed certificates", {RENDER_ETC "/tls/a-1/certificate.pem", RENDER_ETC "/tls/a-1/key.pem"}, "?", "start gatehouse.target;"},
                {"no load balancer any more", {RENDER_WANTS "/l4lb.service", RENDER_ETC "/l4lb.cfg"}, "l4lb", "stop l4lb.service;daemon-reload;stop l4lb.service;start gatehouse.target;"},
                {"the filter", {RENDER_ETC "/nftables.conf"}, "?", "reload-or-restart gatehouse-nftables.service;start gatehouse.target;"},
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct arena a;
                struct activate_step *v;
                struct buf got;
                size_t n = 0, k;
                while (n < 4 && cases[i].changed[n])
                        n++;
                arena_init(&a, 4096, 1 << 20);
                buf_init(&got, 4096);
                assert_int_equal(activate_plan(cases[i].changed, n, is_gone, (void *)(uintptr_t)cases[i].gone, &a, &v, &k), 0);
                for (size_t j = 0; j < k; j++) {
                        buf_str(&got, v[j].verb);
                        for (size_t u = 0; v[j].units[u]; u++)
                                buf_printf(&got, " %s", v[j].units[u]);
                        buf_str(&got, ";");
                }
                if (strcmp(buf_cstr(&got), cases[i].want) != 0)
                        fail_msg("%s: got \"%s\"", cases[i].name, buf_cstr(&got));
                buf_fini(&got);
                arena_fini(&a);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(daemons), cmocka_unit_test(role_l4), cmocka_unit_test(role_shards), cmocka_unit_test(networks),
                cmocka_unit_test(one_nic_and_bgp), cmocka_unit_test(sources), cmocka_unit_test(same_bytes_twice), cmocka_unit_test(activation),
        };
        return cmocka_run_group_tests_name("image-render", tests, NULL, NULL);
}
