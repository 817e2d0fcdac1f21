/* tests/unit/l4lb/io/settings_test.c - configuration files: what is taken, and that every refusal names its line and
 * its reason. */
#include "lib/base.h"
#include "l4lb/io/control.h"
#include "l4lb/io/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

#define HEAD "name = \"l4-1\"; control = { state_dir = \"/s\"; };\n"
#define DPDK "dpdk = { cores = \"1\"; };\n"
#define UP "{ name = \"up\"; device = \"net_null0\"; role = \"uplink\"; addresses = [ \"10.0.0.2/24\" ]; }"
#define UPK "{ name = \"up\"; device = \"net_null0\"; role = \"uplink\"; kernel = \"k\"; }"
#define K "{ name = \"k\"; device = \"net_null1\"; role = \"kernel\"; }"
#define PORTS "ports = ( " UP " );\n"

static const struct {
        const char *name, *text, *place, *msg; /* place and msg: parts of the error; NULL = accepted */
} cases[] = {
        {"the least there can be", HEAD DPDK PORTS, NULL, NULL},
        {"a route", HEAD DPDK PORTS "routes = ( { prefix = \"0.0.0.0/0\"; via = \"10.0.0.1\"; } );", NULL, NULL},
        {"unknown setting", HEAD DPDK PORTS "colour = 1;", ":4", "colour"},
        {"no ports", HEAD DPDK, ":0", "ports"},
        {"no cores", HEAD "dpdk = { };\n" PORTS, ":2", "cores"},
        {"cores that are none", HEAD "dpdk = { cores = \"a\"; };\n" PORTS, ":2", "not a list of CPUs"},
        {"cores ending in a comma", HEAD "dpdk = { cores = \"1,\"; };\n" PORTS, ":2", "not a list of CPUs"},
        {"a range backwards", HEAD "dpdk = { cores = \"3-1\"; };\n" PORTS, ":2", "not a list of CPUs"},
        {"a core twice", HEAD "dpdk = { cores = \"1-3,2\"; };\n" PORTS, ":2", "listed twice"},
        {"a name with a slash", "name = \"a/b\"; control = { state_dir = \"/s\"; };\n" DPDK PORTS, ":1", "may hold"},
        {"two ports of one name", HEAD DPDK "ports = ( " UP ", " UP " );\n", ":3", "defined twice"},
        {"a role that is none",
         HEAD DPDK "ports = ( { name = \"up\"; device = \"net_null0\"; role = \"downlink\"; } );", ":3", "role"},
        {"an address without length bits",
         HEAD DPDK "ports = ( { name = \"up\"; device = \"net_null0\"; role = \"uplink\"; "
                   "addresses = [ \"10.0.0.300/24\" ]; } );",
         ":3", "not ADDRESS/LENGTH"},
        {"a next hop on no link", HEAD DPDK PORTS "routes = ( { prefix = \"0.0.0.0/0\"; via = \"10.9.0.1\"; } );", ":4",
         "link of no port"},
        {"families mixed", HEAD DPDK PORTS "routes = ( { prefix = \"::/0\"; via = \"10.0.0.1\"; } );", ":4",
         "other address family"},
        {"a next hop that is ours", HEAD DPDK PORTS "routes = ( { prefix = \"0.0.0.0/0\"; via = \"10.0.0.2\"; } );",
         ":4", "our own address"},
        {"an MTU below IPv6's",
         HEAD DPDK "ports = ( { name = \"up\"; device = \"net_null0\"; role = \"uplink\"; mtu = 576; } );", ":3",
         "mtu"},
        {"a log level that is none", HEAD DPDK PORTS "log_level = \"loud\";", ":4", "log_level"},
        {"a user by name", "name = \"l4-1\"; control = { state_dir = \"/s\"; uids = [ \"bob\" ]; };\n" DPDK PORTS, ":1",
         "numeric user id"},
        {"one address on two ports",
         HEAD DPDK "ports = ( " UP ",\n{ name = \"s1\"; device = \"net_null1\"; role = \"shard\"; "
                   "addresses = [ \"10.0.0.2/24\" ]; } );",
         "", ""},
        {"a kernel port", HEAD DPDK "ports = ( " UPK ", " K " );", NULL, NULL},
        {"a kernel port that is not there", HEAD DPDK "ports = ( " UPK " );", ":3", "no port of role \"kernel\""},
        {"a kernel port that is a shard port",
         HEAD DPDK "ports = ( " UPK ", { name = \"k\"; device = \"net_null1\"; role = \"shard\"; } );", ":3",
         "no port of role \"kernel\""},
        {"a kernel port without an uplink", HEAD DPDK "ports = ( " UP ", " K " );", "k", "no uplink names"},
        {"a kernel port of two uplinks",
         HEAD DPDK "ports = ( " UPK ", " K ", { name = \"u2\"; device = \"net_null2\"; role = \"uplink\"; kernel = \"k\"; } );",
         ":3", "kernel port \"k\" has two uplinks"},
        {"a kernel port with an address",
         HEAD DPDK "ports = ( " UPK ", { name = \"k\"; device = \"net_null1\"; role = \"kernel\"; "
                   "addresses = [ \"10.1.0.1/24\" ]; } );",
         "k", "has no addresses"},
        {"a shard port with a kernel port",
         HEAD DPDK "ports = ( " UP ", " K ",\n{ name = \"s\"; device = \"net_null2\"; role = \"shard\"; kernel = \"k\"; } );",
         ":4", "only an uplink"},
        {"no packets to the kernel", HEAD DPDK PORTS "limits = { to_kernel_pps = 0; };", ":4", "to_kernel_pps"},
        {"a sleep without end", HEAD DPDK PORTS "idle = { sleep_us_max = 10000000; };", ":4", "sleep_us_max"},
};

static int load(const char *text, struct settings *ret, struct err *reterr)
{
        char path[] = "/tmp/gh-l4-settings-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
        int r = settings_load(path, ret, reterr);
        if (r == 0)
                r = control_check(ret, reterr);
        unlink(path);
        return r;
}

static void files(void **state)
{
        static struct settings s;
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct err e = {0};
                int r = load(cases[i].text, &s, &e);
                if (!cases[i].msg != (r == 0))
                        fail_msg("%s: %d, %s: %s", cases[i].name, r, e.place, e.msg);
                if (cases[i].msg && (!strstr(e.place, cases[i].place) || !strstr(e.msg, cases[i].msg) || !e.msg[0]))
                        fail_msg("%s: refused by \"%s: %s\"", cases[i].name, e.place, e.msg);
        }
}

static void values(void **state)
{
        static struct settings s;
        struct err e = {0};
        (void)state;
        assert_int_equal(
                load(HEAD "dpdk = { cores = \"0,2-4\"; hugepages = false; };\n" PORTS
                          "routes = ( { prefix = \"0.0.0.0/0\"; via = \"10.0.0.1\"; } ); idle = { sleep_us_max = 0; };",
                     &s, &e),
                0);
        static const unsigned want[] = {0, 2, 3, 4};
        assert_int_equal(s.n_cores, 4);
        assert_memory_equal(s.cores, want, sizeof want);
        assert_false(s.hugepages);
        assert_int_equal(s.n_ports, 1);
        assert_int_equal(s.ports[0].role, PORT_UPLINK);
        assert_int_equal(s.ports[0].mtu, 1500);
        assert_int_equal(s.ports[0].addrs[0].len, 24);
        assert_int_equal(s.ports[0].addrs[0].addr.b[3], 2); /* our own address keeps its host bits */
        assert_int_equal(s.n_routes, 1);
        assert_int_equal(s.sleep_us_max, 0);
        assert_int_equal(s.tcp_idle_s, 350);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(files), cmocka_unit_test(values)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
