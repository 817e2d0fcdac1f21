/* image/core/config.c - see config.h. */
#include "lib/base.h"
#include "image/core/config.h"

const char *const port_driver_names[DRIVER_N] = {
#define R(id, name) name,
        PORT_DRIVERS(R)
#undef R
};
const char *const config_role_names[ROLE_N] = {"all-in-one", "l4", "shards"};

void config_free(struct config *c)
{
        if (!c)
                return;
        arena_wipe(&c->arena); /* kubeconfig, passwords */
        arena_fini(&c->arena);
        free(c);
}

size_t config_shards(const struct config *c)
{
        size_t n = 0;
        for (size_t i = 0; c->role != ROLE_L4 && i < c->n_groups; i++)
                n += c->groups[i].count;
        return n;
}

const struct control_credential *config_credential(const struct config *c, const char *name)
{
        for (size_t i = 0; i < c->control.n_credentials; i++)
                if (strcmp(c->control.credentials[i].name, name) == 0)
                        return &c->control.credentials[i];
        return NULL;
}

static bool is_hex(char ch)
{
        return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

/* Does text have the shape, where 'x' stands for a hexadecimal digit? */
static bool has_shape(const char *text, const char *shape)
{
        for (; *shape; shape++, text++)
                if (*shape == 'x' ? !is_hex(*text) : *text != *shape)
                        return false;
        return *text == '\0';
}

static void copy_lower(char *to, const char *from)
{
        for (; *from; from++)
                *to++ = *from >= 'A' && *from <= 'Z' ? (char)(*from | 0x20) : *from;
        *to = '\0';
}

int nic_match_parse(const char *text, struct nic_match *ret)
{
        struct nic_match m = {.by = NIC_NAME};
        size_t n = strlen(text);
        if (has_shape(text, "xx:xx:xx:xx:xx:xx")) {
                m.by = NIC_MAC;
                copy_lower(m.text, text);
        } else if (has_shape(text, "xxxx:xx:xx.x")) {
                m.by = NIC_PCI;
                copy_lower(m.text, text);
        } else if (has_shape(text, "xx:xx.x")) {
                m.by = NIC_PCI;
                memcpy(m.text, "0000:", 5);
                copy_lower(m.text + 5, text);
        } else if (n > 0 && n < 16 && strcmp(text, ".") != 0 && strcmp(text, "..") != 0 &&
                   strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n) {
                memcpy(m.text, text, n + 1);
        } else {
                return -EINVAL;
        }
        *ret = m;
        return 0;
}

/* A decimal number at *p, which moves behind it. */
static bool number(const char **p, unsigned max, unsigned *ret)
{
        unsigned v = 0;
        const char *s = *p;
        for (; *s >= '0' && *s <= '9'; s++) {
                v = v * 10 + (unsigned)(*s - '0');
                if (v > max)
                        return false;
        }
        if (s == *p)
                return false;
        *p = s;
        *ret = v;
        return true;
}

static bool cpu_add(struct cpu_list *l, unsigned cpu)
{
        for (size_t i = 0; i < l->n; i++)
                if (l->cpu[i] == cpu)
                        return false;
        if (l->n == ARRAY_SIZE(l->cpu))
                return false;
        l->cpu[l->n++] = (uint16_t)cpu;
        return true;
}

int cpu_list_parse(const char *text, struct cpu_list *ret)
{
        struct cpu_list l = {.text = text};
        for (const char *p = text; *p;) {
                unsigned lo, hi;
                if (!number(&p, IMAGE_MAX_CPUS - 1, &lo))
                        return -EINVAL;
                hi = lo;
                if (*p == '-') {
                        p++;
                        if (!number(&p, IMAGE_MAX_CPUS - 1, &hi) || hi < lo)
                                return -EINVAL;
                }
                for (; lo <= hi; lo++)
                        if (!cpu_add(&l, lo))
                                return -EINVAL;
                if (*p == ',' && p[1])
                        p++;
                else if (*p)
                        return -EINVAL;
        }
        *ret = l;
        return 0;
}
