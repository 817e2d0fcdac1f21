/* image/io/config_far.c - what a gatehouse.cfg needs when load balancer and shards are boxes of their own.  See config_read.h. */
#include "lib/base.h"
#include "image/core/config_blank.h"
#include "image/core/plan.h"
#include "image/io/config_read.h"

/* Role l4: "ADDRESS", as l4lb dials it.  Role shards: "ADDRESS/LENGTH", as the shard has it on its link. */
static size_t read_at(const struct config *c, const struct conf_group *g, const char *key, unsigned af, struct ipprefix *ret)
{
        size_t n = conf_list_len(g, key);
        if (n > IMAGE_MAX_SHARDS) {
                conf_error(g, key, "more than %d", IMAGE_MAX_SHARDS);
                return 0;
        }
        for (size_t i = 0; i < n; i++) {
                const char *text = conf_list_str(g, key, i);
                unsigned bits = af == 4 ? 32 : 128;
                ret[i] = (struct ipprefix){.len = (uint8_t)bits};
                if (c->role == ROLE_SHARDS)
                        read_prefix(g, key, text, true, &ret[i]);
                else if (ipaddr_parse(span_str(text), &ret[i].addr) < 0)
                        conf_error(g, key, "\"%s\" is not an IP address", text);
                if (ret[i].addr.af && ret[i].addr.af != af)
                        conf_error(g, key, "\"%s\" is not IPv%u", text, af);
                if (c->role == ROLE_SHARDS && ret[i].len == bits)
                        conf_error(g, key, "\"%s\": the length of the segment's network is meant, not %u", text, bits);
                for (size_t k = 0; k < i; k++)
                        if (ipaddr_eq(&ret[k].addr, &ret[i].addr))
                                conf_error(g, key, "\"%s\" is there twice", text);
        }
        return n;
}

void read_far_group(struct config *c, const struct conf_group *g, struct shard_group *s)
{
        size_t n4 = read_at(c, g, "addresses", 4, s->at[0]), n6 = read_at(c, g, "addresses6", 6, s->at[1]);
        s->first = (unsigned)conf_int_or(g, "first", 1, 9000, 1);
        s->count = (unsigned)MAX(n4, n6);
        if (s->count == 0)
                conf_error(g, "addresses", "one for each shard is needed, or addresses6, on the segment between load balancer and shards");
        if (n4 && n6 && n4 != n6)
                conf_error(g, "addresses6", "%zu, and %zu addresses: each shard has one of either", n6, n4);
}

static void check_links(const struct config *c, const struct conf_group *root, size_t i)
{
        for (unsigned k = 0; k < c->groups[i].count; k++)
                for (int f = 0; f < 2; f++)
                        if (c->groups[i].at[f][k].addr.af && ipprefix_contains(f ? &c->links6 : &c->links4, &c->groups[i].at[f][k].addr))
                                conf_error(conf_list_group(root, "shards", i), f ? "addresses6" : "addresses",
                                           "overlap with the addresses of our own links: set links");
}

static bool on_link(const struct ipprefix *v, size_t n, const struct ipaddr *a)
{
        for (size_t i = 0; i < n; i++)
                if (v[i].addr.af && ipprefix_contains(&v[i], a))
                        return true;
        return false;
}

/* ---------------------------------------------------------------- control */

static void read_places(struct config *c, const struct conf_group *g, const char *key, const char *not_this)
{
        struct control_conf *k = &c->control;
        size_t n = conf_list_len(g, key);
        if (conf_list_len(g, not_this))
                conf_error(g, not_this, "is not for role \"%s\": %s is", config_role_names[c->role], key);
        if (n == 0 || n > IMAGE_MAX_AGENTS) {
                conf_error(g, key, "1 to %d are needed, not %zu", IMAGE_MAX_AGENTS, n);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const char *text = conf_list_str(g, key, i), *why;
                if (control_addr_parse_ip(span_str(text), &k->at[i], &why) < 0)
                        conf_error(g, key, "\"%s\": %s", text, why);
        }
        k->n_at = n;
}

static const char *read_pem(struct config *c, const struct conf_group *g, const char *key)
{
        const char *s = read_str(c, g, key, "");
        if (!strstr(s, "-----BEGIN ") && !span_eq_str(SPAN(s, strlen(s)), CONFIG_SEALED))
                conf_error(g, key, *s ? "is no PEM text" : "is missing");
        return s;
}

static void read_credentials(struct config *c, const struct conf_group *g)
{
        struct control_conf *k = &c->control;
        size_t n = conf_list_len(g, "credentials");
        if (n == 0 || n > IMAGE_MAX_SHARDS || (c->role == ROLE_L4 && n > 1)) {
                conf_error(g, "credentials", c->role == ROLE_L4 ? "the agent's are needed, and no others" : "one for each shard is needed");
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const struct conf_group *cg = conf_list_group(g, "credentials", i);
                struct control_credential *v = &k->credentials[i];
                read_name(c, cg, "name", 47, &v->name);
                if (config_credential(c, v->name))
                        conf_error(cg, "name", "\"%s\" is there twice", v->name);
                v->certificate = read_pem(c, cg, "certificate");
                v->key = read_pem(c, cg, "key");
                k->n_credentials = i + 1;
        }
}

static void check_credentials(const struct config *c, const struct conf_group *g)
{
        struct shard_plan p;
        for (size_t i = 0; i < config_shards(c); i++) {
                plan_shard(c, i, &p);
                if (!config_credential(c, p.name))
                        conf_error(g, "credentials", "none for shard \"%s\"", p.name);
        }
        if (c->role == ROLE_SHARDS && c->control.n_credentials > config_shards(c))
                conf_error(g, "credentials", "some are for no shard of this box");
}

/* ---------------------------------------------------------------- what fits together */

static void check_l4(const struct config *c, const struct conf_group *root)
{
        size_t n = 0;
        for (size_t i = 0; i < c->n_data; i++)
                n += c->data[i].to_shards;
        if (n == 0 || n == c->n_data)
                conf_error(root, "data", "role \"l4\" needs a data NIC with faces = \"%s\"", n ? "clients" : "shards");
        for (size_t i = 0; i < c->n_groups; i++)
                for (unsigned k = 0; k < c->groups[i].count; k++)
                        for (int f = 0; f < 2; f++) {
                                const struct ipaddr *a = &c->groups[i].at[f][k].addr;
                                bool linked = a->af == 0;
                                for (size_t d = 0; d < c->n_data; d++)
                                        linked |= c->data[d].to_shards && on_link(c->data[d].addresses, c->data[d].n_addresses, a);
                                if (!linked)
                                        conf_error(conf_list_group(root, "shards", i), f ? "addresses6" : "addresses",
                                                   "shard %u lies on the network of no data NIC that faces shards", k + 1);
                        }
}

static void check_shards(const struct config *c, const struct conf_group *root)
{
        if (c->management.nic.by == NIC_SHARED || c->backend.nic.by == NIC_SHARED)
                conf_error(root, "role", "\"shards\" has no load balancer to share a data NIC with: give management and backend NICs of their own");
        if (c->n_neighbours)
                conf_error(root, "bgp", "is the load balancer's: it announces the virtual addresses");
        if (c->n_routes == 0)
                conf_error(root, "routes", "where replies to clients go is needed: to the load balancer's address on the segment");
        for (size_t i = 0; i < c->n_routes; i++)
                for (size_t k = 0; k < c->n_groups; k++) {
                        const struct ipaddr *via = &c->routes[i].via;
                        for (unsigned s = 0; s < c->groups[k].count; s++)
                                if (via->af && c->groups[k].at[via->af == 6][s].addr.af && !on_link(&c->groups[k].at[via->af == 6][s], 1, via))
                                        conf_error(conf_list_group(root, "routes", i), "via", "does not lie on the network of every shard");
                }
}

void read_far(struct config *c, const struct conf_group *root)
{
        const struct conf_group *g = conf_sub_or_null(root, "control");
        if (c->role == ROLE_ALL_IN_ONE) {
                if (g)
                        conf_error(root, "control", "is for roles \"l4\" and \"shards\": here all are in one box");
                return;
        }
        if (!g) {
                conf_error(root, "control", "role \"%s\" needs it: how agent and data planes of other boxes find and know each other",
                           config_role_names[c->role]);
                return;
        }
        if (c->role == ROLE_L4)
                read_places(c, g, "listen", "agents");
        else
                read_places(c, g, "agents", "listen");
        c->control.ca = read_pem(c, g, "ca");
        read_credentials(c, g);
        check_credentials(c, g);
        for (size_t i = 0; i < c->n_groups; i++)
                check_links(c, root, i);
        if (c->role == ROLE_L4)
                check_l4(c, root);
        else
                check_shards(c, root);
}
