/* image/core/nics.c - see nics.h. */
#include "lib/base.h"
#include "image/core/nics.h"

static int nic_cmp(const void *a, const void *b)
{
        const struct nic *x = a, *y = b;
        bool x_pci = *x->pci, y_pci = *y->pci;
        if (x_pci != y_pci)
                return x_pci ? -1 : 1;
        int r = strcmp(x->pci, y->pci);
        return r ? r : strcmp(x->ifname, y->ifname);
}

void nics_sort(struct nics *ns)
{
        qsort(ns->v, ns->n, sizeof ns->v[0], nic_cmp);
}

static bool matches(const struct nic *n, const struct nic_match *m)
{
        switch (m->by) {
        case NIC_MAC:
                return strcmp(n->mac, m->text) == 0;
        case NIC_PCI:
                return strcmp(n->pci, m->text) == 0;
        case NIC_NAME:
                return strcmp(n->ifname, m->text) == 0;
        case NIC_ANY:
                return true;
        case NIC_SHARED:
                return false;
        }
        return false;
}

struct round {
        const struct nics *ns;
        bool taken[NICS_MAX];
        bool any; /* this round: those who take any, else those who name one */
};

static void take(struct round *r, const struct nic_match *m, const struct nic **at)
{
        if (*at || (m->by == NIC_ANY) != r->any)
                return;
        for (size_t i = 0; i < r->ns->n; i++)
                if (!r->taken[i] && matches(&r->ns->v[i], m)) {
                        r->taken[i] = true;
                        *at = &r->ns->v[i];
                        return;
                }
}

void nics_assign(const struct config *c, const struct nics *ns, struct nic_assignment *ret)
{
        static const struct nic_match any = { .by = NIC_ANY };
        struct round r = { .ns = ns };
        struct nic_assignment a = { NULL };
        for (int round = 0; round < 2; round++, r.any = true) {
                take(&r, c->management.present ? &c->management.nic : &any, &a.management);
                if (c->backend.present)
                        take(&r, &c->backend.nic, &a.backend);
                for (size_t i = 0; i < c->n_data; i++)
                        take(&r, &c->data[i].nic, &a.data[i]);
        }
        *ret = a;
}

int nic_missing(const char *what, const struct nic_match *m, struct err *reterr)
{
        static const char *const by[] = { [NIC_ANY] = "", [NIC_MAC] = "MAC address ", [NIC_PCI] = "PCI address ",
                                          [NIC_NAME] = "name ", [NIC_SHARED] = "" };
        if (m->by == NIC_ANY)
                return err_set(reterr, ENODEV, what, "no NIC is left for it");
        return err_set(reterr, ENODEV, what, "no NIC of %s\"%s\" is in this box, or another took it", by[m->by], m->text);
}
