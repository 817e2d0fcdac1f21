/* tests/unit/image/config_test.c - gatehouse.cfg: the example is good, values arrive, every refusal names line and reason. */
#include "lib/base.h"
#include "image/io/config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define HEAD "version = 1; name = \"e\";\n"
#define DATA "data = ( { name = \"up\"; nic = \"ens9\"; addresses = [ \"192.0.2.2/24\", \"2001:db8::2/64\" ]; } );\n"
#define VIPS "vip_pools = [ \"198.51.100.0/26\" ];\n"
#define SHARDS "shards = ( { pool = \"default\"; } );\n"
#define AGENT "agent = { source = \"directory\"; };\n"
#define REST VIPS SHARDS AGENT
#define ALL HEAD DATA REST /* lines 1-5: the least there can be */
/* Load balancer and shards as boxes of their own. */
#define PEM "\"-----BEGIN CERTIFICATE-----\""
#define CRED(name) "{ name = \"" name "\"; certificate = " PEM "; key = " PEM "; }"
#define CONTROL(more, creds) "control = { ca = " PEM "; " more " credentials = ( " creds " ); };\n"
#define L4_DATA "data = ( { name = \"up\"; nic = \"ens9\"; addresses = [ \"192.0.2.2/24\" ]; },\n" \
        "{ name = \"back\"; nic = \"ens8\"; faces = \"shards\"; addresses = [ \"10.30.0.1/24\", \"fd00:30::1/64\" ]; } );\n"
#define L4_SHARDS "shards = ( { pool = \"default\"; first = 3; addresses = [ \"10.30.0.11\", \"10.30.0.12\" ]; addresses6 = [ \"fd00:30::11\", \"fd00:30::12\" ]; } );\n"
#define L4_CONTROL CONTROL("listen = [ \"0.0.0.0:7443\", \"[::]:7443\" ];", CRED("edge"))
#define L4(data, shards, control) "version = 1; name = \"e\"; role = \"l4\";\n" data VIPS shards AGENT control
#define FAR_DATA "data = ( { name = \"seg\"; nic = \"ens8\"; mtu = 9000; } );\n"
#define FAR_ROUTES "routes = ( { prefix = \"0.0.0.0/0\"; via = \"10.30.0.1\"; } );\n"
#define FAR_SHARDS "shards = ( { pool = \"default\"; first = 3; addresses = [ \"10.30.0.11/24\", \"10.30.0.12/24\" ]; threads = 2; } );\n"
#define FAR_CONTROL CONTROL("agents = [ \"10.0.0.5:7443\" ];", CRED("default-3") ", " CRED("default-4"))
#define FAR(data, routes, shards, control) "version = 1; name = \"e\"; role = \"shards\";\n" data routes VIPS shards control
#define UP(more) "data = ( { name = \"up\"; addresses = [ \"192.0.2.2/24\" ]; " more " } );\n"

static const struct {
        const char *name, *text, *place, *msg; /* place and msg: parts of the error; NULL = accepted */
} cases[] = {
        {"the least there can be", ALL, NULL, NULL},
        {"nothing at all", "", "f:0", "version: is missing"},
        {"another version", "version = 2; name = \"e\";\n" DATA REST, "f:1", "version: must be 1 to 1"},
        {"unknown setting", ALL "colour = 1;", "f:6", "colour: unknown setting"},
        {"unknown setting in a group", ALL "ntp = {\n server = [ ]; };", "f:7", "server: unknown setting"},
        {"no syntax", ALL "x = = 1;", "f:6", "syntax error"},
        {"an include", ALL " @include \"/etc/shadow\"\n", "f:6", "@include"},
        {"an include in capitals", "@INCLUDE \"/etc/shadow\"\n", "f:1", "@include"},
        {"a name with a slash", "version = 1; name = \"a/b\";\n" DATA REST, "f:1", "is no name"},
        {"a name that is an option", "version = 1; name = \"-a\";\n" DATA REST, "f:1", "is no name"},
        {"a role that is none", ALL "role = \"l5\";", "f:6", "must be all-in-one"},
        {"role l4", L4(L4_DATA, L4_SHARDS, L4_CONTROL), NULL, NULL},
        {"role l4 without control", L4(L4_DATA, L4_SHARDS, ""), "f:0", "control: role \"l4\" needs it"},
        {"role l4 that dials", L4(L4_DATA, L4_SHARDS, CONTROL("agents = [ \"10.0.0.5:7443\" ];", CRED("edge"))), "f:7", "agents: is not for role \"l4\": listen is"},
        {"role l4 that listens at a name", L4(L4_DATA, L4_SHARDS, CONTROL("listen = [ \"edge:7443\" ];", CRED("edge"))), "f:7", "expected ADDRESS:PORT"},
        {"role l4 with two credentials", L4(L4_DATA, L4_SHARDS, CONTROL("listen = [ \"0.0.0.0:7443\" ];", CRED("a") ", " CRED("b"))), "f:7", "the agent's are needed, and no others"},
        {"role l4 whose key is none", L4(L4_DATA, L4_SHARDS, "control = { ca = " PEM "; listen = [ \"0.0.0.0:1\" ]; credentials = ( { name = \"e\"; certificate = " PEM ";\n key = \"x\"; } ); };"), "f:8", "key: is no PEM text"},
        {"role l4 with nothing towards the shards", L4(DATA, L4_SHARDS, L4_CONTROL), "f:2", "faces = \"shards\""},
        {"role l4 with nothing towards the clients", L4("data = ( { name = \"b\"; nic = \"ens8\"; faces = \"shards\"; addresses = [ \"10.30.0.1/24\", \"fd00:30::1/64\" ]; } );\n", L4_SHARDS, L4_CONTROL), "f:2", "faces = \"clients\""},
        {"role l4 with a shard elsewhere", L4(L4_DATA, "shards = ( { pool = \"default\"; addresses = [ \"10.30.0.11\", \"10.31.0.12\" ]; } );\n", L4_CONTROL), "f:5", "shard 2 lies on the network of no data NIC"},
        {"role l4 with a count", L4(L4_DATA, "shards = ( { pool = \"default\"; count = 2; } );\n", L4_CONTROL), "f:5", "addresses: one for each shard"},
        {"role l4 with one shard twice", L4(L4_DATA, "shards = ( { pool = \"default\"; addresses = [ \"10.30.0.11\", \"10.30.0.11\" ]; } );\n", L4_CONTROL), "f:5", "there twice"},
        {"role l4 with a shard of half the addresses", L4(L4_DATA, "shards = ( { pool = \"default\"; addresses = [ \"10.30.0.11\", \"10.30.0.12\" ]; addresses6 = [ \"fd00:30::11\" ]; } );\n", L4_CONTROL), "f:5", "each shard has one of either"},
        {"role l4 with IPv6 as IPv4", L4(L4_DATA, "shards = ( { pool = \"default\"; addresses = [ \"fd00:30::11\" ]; } );\n", L4_CONTROL), "f:5", "is not IPv4"},
        {"role shards", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, FAR_CONTROL), NULL, NULL},
        {"role shards without its agent", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, CONTROL("", CRED("default-3") ", " CRED("default-4"))), "f:6", "agents: 1 to 8 are needed"},
        {"role shards with an agent", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, FAR_CONTROL) AGENT, "f:7", "agent: is on another box"},
        {"role shards without one's credentials", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, CONTROL("agents = [ \"10.0.0.5:7443\" ];", CRED("default-3"))), "f:6", "none for shard \"default-4\""},
        {"role shards with a stranger's credentials", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, CONTROL("agents = [ \"10.0.0.5:7443\" ];", CRED("default-3") ", " CRED("default-4") ", " CRED("x"))), "f:6", "some are for no shard"},
        {"role shards without a way back", FAR(FAR_DATA, "", FAR_SHARDS, FAR_CONTROL), "f:0", "routes: where replies"},
        {"role shards with a way back by nowhere", FAR(FAR_DATA, "routes = ( { prefix = \"0.0.0.0/0\"; via = \"10.31.0.1\"; } );\n", FAR_SHARDS, FAR_CONTROL), "f:3", "does not lie on the network of every shard"},
        {"role shards with addresses of the NIC", FAR("data = ( { name = \"seg\"; nic = \"ens8\"; addresses = [ \"10.30.0.2/24\" ]; } );\n", FAR_ROUTES, FAR_SHARDS, FAR_CONTROL), "f:2", "each shard has its own"},
        {"role shards with two segments", FAR(L4_DATA, FAR_ROUTES, FAR_SHARDS, FAR_CONTROL), "f:2", "one data NIC is needed"},
        {"role shards with an address without length", FAR(FAR_DATA, FAR_ROUTES, "shards = ( { pool = \"default\"; addresses = [ \"10.30.0.11\" ]; } );\n", FAR_CONTROL), "f:5", "is not ADDRESS/LENGTH"},
        {"role shards with a host's length", FAR(FAR_DATA, FAR_ROUTES, "shards = ( { pool = \"default\"; addresses = [ \"10.30.0.11/32\" ]; } );\n", FAR_CONTROL), "f:5", "length of the segment's network"},
        {"role shards with a load balancer's setting", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, FAR_CONTROL) "l4 = { flows = 4096; };", "f:7", "no load balancer in a box"},
        {"role shards behind a shared NIC", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, FAR_CONTROL) "management = { shared_with = \"seg\"; };", "f:1", "no load balancer to share"},
        {"role shards with BGP", FAR(FAR_DATA, FAR_ROUTES, FAR_SHARDS, FAR_CONTROL) "bgp = { as = 1; router_id = \"10.0.0.1\"; neighbours = ( { address = \"10.0.0.2\"; as = 2; } ); };", "f:7", "bgp: is the load balancer's"},
        {"role shards on our links' addresses", FAR(FAR_DATA, "routes = ( { prefix = \"0.0.0.0/0\"; via = \"198.18.0.1\"; } );\n", "shards = ( { pool = \"default\"; first = 3; addresses = [ \"198.18.0.11/24\", \"198.18.0.12/24\" ]; } );\n", FAR_CONTROL), "f:5", "our own links"},
        {"all in one with control", ALL L4_CONTROL, "f:6", "here all are in one box"},
        {"no data NIC", HEAD REST, "f:0", "data: 1 to 8"},
        {"a data NIC without address", HEAD "data = ( { name = \"up\"; } );\n" REST, "f:2", "at least one address"},
        {"a data NIC named as a link of ours", HEAD "data = ( { name = \"s1\"; nic = \"ens9\"; addresses = [ \"192.0.2.2/24\" ]; } );\n" REST, "f:2", "link of ours"},
        {"two data NICs of one name", HEAD "data = ( { name = \"up\"; nic = \"ens9\"; addresses = [ \"192.0.2.2/24\" ]; },\n"
         "{ name = \"up\"; nic = \"ens8\"; addresses = [ \"192.0.3.2/24\" ]; } );\n" REST, "f:3", "there twice"},
        {"two data NICs of one MAC", HEAD "data = ( { name = \"a\"; nic = \"52:54:00:00:00:0A\"; addresses = [ \"192.0.2.2/24\" ]; },\n"
         "{ name = \"b\"; nic = \"52:54:00:00:00:0a\"; addresses = [ \"192.0.3.2/24\" ]; } );\n" REST, "f:3", "is data NIC \"a\" already"},
        {"a data NIC that could be any", HEAD "data = ( { name = \"up\"; addresses = [ \"192.0.2.2/24\" ]; } );\n" REST, "f:2", "nic: is missing, and nothing else"},
        {"a data NIC that is the other one", HEAD "data = ( { name = \"up\"; addresses = [ \"192.0.2.2/24\" ]; } );\n" REST "management = { nic = \"ens3\"; };", NULL, NULL},
        {"a NIC by nothing known", HEAD UP("nic = \"52:54:00:12:34\";") REST, "f:2", "nic: \"52:54:00:12:34\" is no MAC"},
        {"a driver that is none", HEAD UP("nic = \"ens9\"; driver = \"ixgbe\";") REST, "f:2", "driver: must be auto"},
        {"an MTU below IPv6's", HEAD UP("nic = \"ens9\"; mtu = 576;") REST, "f:2", "mtu: must be 1280"},
        {"an address without length", HEAD "data = ( { name = \"up\"; nic = \"ens9\"; addresses = [ \"192.0.2.2\" ]; } );\n" REST, "f:2", "is not ADDRESS/LENGTH"},
        {"VIPs with host bits", HEAD DATA "vip_pools = [ \"198.51.100.1/26\" ];\n" SHARDS AGENT, "f:3", "has bits behind its length"},
        {"no VIPs", HEAD DATA SHARDS AGENT, "f:0", "vip_pools: at least one"},
        {"VIPs that are our links'", HEAD DATA "vip_pools = [ \"198.18.1.0/24\" ];\n" SHARDS AGENT, "f:3", "overlap"},
        {"links of their own", HEAD DATA "vip_pools = [ \"198.18.1.0/24\" ];\n" SHARDS AGENT "links = { v4 = \"10.9.0.0/20\"; };", NULL, NULL},
        {"links too small", ALL "links = { v4 = \"10.9.0.0/24\"; };", "f:6", "length 22 or less"},
        {"a management NIC", ALL "management = { nic = \"ens3\"; addresses = [ \"10.0.0.5/24\" ]; gateway = \"10.0.0.1\"; };", NULL, NULL},
        {"a gateway on no link", ALL "management = { addresses = [ \"10.0.0.5/24\" ]; gateway = \"10.0.1.1\"; };", "f:6", "gateway: lies on the network of no address"},
        {"a gateway of the other family", ALL "management = { addresses = [ \"10.0.0.5/24\" ]; gateway = \"fe80::1\"; };", "f:6", "gateway: must be an IPv4"},
        {"a link-local gateway", ALL "management = { addresses = [ \"2001:db8:a::5/64\" ]; gateway6 = \"fe80::1\"; };", NULL, NULL},
        {"management on a data NIC's MAC", HEAD UP("nic = \"52:54:00:00:00:0a\";") REST "management = { nic = \"52:54:00:00:00:0A\"; };", "f:6", "shared_with = \"up\""},
        {"one NIC shared", ALL "management = { shared_with = \"up\"; addresses = [ \"192.0.2.3/24\" ]; };", NULL, NULL},
        {"shared with nobody", ALL "management = { shared_with = \"down\"; };", "f:6", "no data NIC \"down\""},
        {"shared and of its own", ALL "management = { nic = \"ens3\"; shared_with = \"up\"; };", "f:6", "either nic or shared_with"},
        {"a backend without NIC", ALL "backend = { };", "f:6", "nic: is missing"},
        {"a backend that is management", ALL "management = { nic = \"ens3\"; }; backend = { nic = \"ens3\"; };", "f:6", "leave backend out"},
        {"a route", ALL "routes = ( { prefix = \"0.0.0.0/0\"; via = \"192.0.2.1\"; } );", NULL, NULL},
        {"a route via nowhere", ALL "routes = ( { prefix = \"0.0.0.0/0\"; via = \"192.0.3.1\"; } );", "f:6", "network of no data NIC"},
        {"a route of two families", ALL "routes = ( { prefix = \"::/0\"; via = \"192.0.2.1\"; } );", "f:6", "other address family"},
        {"cores that are none", ALL "l4 = { cores = \"1,\"; };", "f:6", "cores: \"1,\" is not a list"},
        {"no shards", HEAD DATA VIPS AGENT, "f:0", "groups of shards"},
        {"too many shards", HEAD DATA VIPS "shards = ( { pool = \"a\"; count = 30; },\n{ pool = \"b\"; count = 3; } );\n" AGENT, "f:5", "more than 32 shards"},
        {"a pool twice", HEAD DATA VIPS "shards = ( { pool = \"a\"; },\n{ pool = \"a\"; } );\n" AGENT, "f:5", "there twice"},
        {"a selector without value", HEAD DATA VIPS "shards = ( { pool = \"a\"; select = [ \"team\" ]; } );\n" AGENT, "f:4", "is not LABEL=VALUE"},
        {"a Gateway without namespace", HEAD DATA VIPS "shards = ( { pool = \"a\"; gateways = [ \"web\" ]; } );\n" AGENT, "f:4", "is not NAMESPACE/NAME"},
        {"no agent", HEAD DATA VIPS SHARDS, "f:0", "agent: is missing"},
        {"a source that is none", HEAD DATA VIPS SHARDS "agent = { source = \"etcd\"; };", "f:5", "source: must be"},
        {"a kubeconfig for a directory", HEAD DATA VIPS SHARDS "agent = { source = \"directory\"; kubeconfig = \"x\"; };", "f:5", "kubeconfig: source is"},
        {"an NTP server with a newline", ALL "ntp = { servers = [ \"a\\nb\" ]; };", "f:6", "no host name"},
        {"a DNS server by name", ALL "dns = { servers = [ \"ns\" ]; };", "f:6", "not an IP address"},
        {"syslog by pigeon", ALL "syslog = { address = \"10.0.0.9\"; protocol = \"rfc1149\"; };", "f:6", "protocol: must be"},
        {"BGP without neighbours", ALL "bgp = { as = 1; router_id = \"1.1.1.1\"; };", "f:6", "neighbours: 1 to 8"},
        {"a BGP password that ends its string", ALL "bgp = { as = 1; router_id = \"1.1.1.1\"; neighbours = ( { address = \"1.1.1.2\"; as = 2; password = \"a\\\"b\"; } ); };", "f:6", "password: at most 80"},
        {"an update by ftp", ALL "update = { url = \"ftp://x\"; };", "f:6", "no http or https URL"},
        {"a key that is none", ALL "update = { keys = [ \"abc\" ]; };", "f:6", "no public key"},
};

static void files(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct config *c = NULL;
                struct err e = {0};
                int r = config_load_text(span_str(cases[i].text), "f", &c, &e);
                if (!cases[i].msg != (r == 0))
                        fail_msg("%s: %d, %s: %s", cases[i].name, r, e.place, e.msg);
                if (cases[i].msg && (strcmp(e.place, cases[i].place) != 0 || !strstr(e.msg, cases[i].msg)))
                        fail_msg("%s: refused by \"%s: %s\"", cases[i].name, e.place, e.msg);
                config_free(c);
        }
}

static void example(void **state)
{
        struct config *c = NULL;
        struct err e = {0};
        (void)state;
        if (config_load(EXAMPLE, &c, &e) < 0)
                fail_msg("%s: %s", e.place, e.msg);
        assert_string_equal(c->name, "edge-1");
        assert_int_equal(c->management.nic.by, NIC_MAC);
        assert_false(c->management.dhcp4);
        assert_int_equal(c->management.gateway6.af, 6);
        assert_int_equal(c->n_allow, 2);
        assert_int_equal(c->n_data, 1);
        assert_string_equal(c->data[0].nic.text, "52:54:00:12:34:02");
        assert_int_equal(c->data[0].driver, DRIVER_AUTO);
        assert_int_equal(c->data[0].addresses[0].addr.b[3], 2); /* our own address keeps its host bits */
        assert_int_equal(c->n_routes, 2);
        assert_int_equal(c->n_vips, 2);
        assert_int_equal(config_shards(c), 2);
        assert_int_equal(c->agent.source, SOURCE_KUBERNETES);
        config_free(c);
}

static void defaults(void **state)
{
        struct config *c = NULL;
        struct err e = {0};
        (void)state;
        assert_int_equal(config_load_text(SPAN_LIT(ALL), "f", &c, &e), 0);
        assert_true(c->management.present && c->management.dhcp4 && c->management.dhcp6_ra);
        assert_int_equal(c->management.nic.by, NIC_ANY);
        assert_false(c->backend.present);
        assert_int_equal(c->role, ROLE_ALL_IN_ONE);
        assert_int_equal(c->health_port, 9000);
        assert_string_equal(c->update.url, "");
        assert_string_equal(c->agent.kubeconfig, "");
        assert_true(c->l4_hugepages);
        config_free(c);
}

static void nic_texts(void **state)
{
        struct nic_match m;
        (void)state;
        assert_int_equal(nic_match_parse("52:54:00:AB:cd:EF", &m), 0);
        assert_int_equal(m.by, NIC_MAC);
        assert_string_equal(m.text, "52:54:00:ab:cd:ef");
        assert_int_equal(nic_match_parse("03:00.1", &m), 0);
        assert_int_equal(m.by, NIC_PCI);
        assert_string_equal(m.text, "0000:03:00.1");
        assert_int_equal(nic_match_parse("0000:0A:00.0", &m), 0);
        assert_string_equal(m.text, "0000:0a:00.0");
        assert_int_equal(nic_match_parse("enp0s31f6", &m), 0);
        assert_int_equal(m.by, NIC_NAME);
        static const char *const bad[] = {"", "a/b", "..", "abcdefghijklmnop", "52:54:00:ab:cd:eg", "e n", "0000:00:00"};
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (nic_match_parse(bad[i], &m) == 0)
                        fail_msg("\"%s\" is taken for a NIC", bad[i]);
}

static void nul_bytes_and_size(void **state)
{
        struct config *c;
        struct err e = {0};
        (void)state;
        assert_int_equal(config_load_text(SPAN("a\0b", 3), "f", &c, &e), -EINVAL);
        assert_non_null(strstr(e.msg, "NUL"));
        char *big = calloc(1, IMAGE_MAX_FILE_BYTES + 1);
        assert_non_null(big);
        memset(big, ' ', IMAGE_MAX_FILE_BYTES + 1);
        assert_int_equal(config_load_text(SPAN(big, IMAGE_MAX_FILE_BYTES + 1), "f", &c, &e), -EFBIG);
        free(big);
        assert_int_equal(config_load("/nonexistent/gatehouse.cfg", &c, &e), -ENOENT);
        assert_non_null(strstr(e.msg, "cannot read"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(files),     cmocka_unit_test(example),           cmocka_unit_test(defaults),
                cmocka_unit_test(nic_texts), cmocka_unit_test(nul_bytes_and_size),
        };
        return cmocka_run_group_tests_name("image-config", tests, NULL, NULL);
}
