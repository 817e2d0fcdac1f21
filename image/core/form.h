/* image/core/form.h - the console form: a conversation over a terminal that ends with a gatehouse.cfg.  Layer: image/core,
 * pure: bytes typed go in, bytes to show come out.  Thread rule: one thread.  Ownership: everything lives in the form.
 * A line is edited with backspace and Ctrl-U; an empty one takes what stands in brackets; "<" goes back one question.
 * Texts (kubeconfig, manifests) are pasted and end with a line that holds only a dot. */
#pragma once
#include "lib/core/buf.h"

/* F(id, key in the answers, question, default) - asked in this order; which are asked depends on answers before. */
#define FORM_FIELDS(F)                                                                             \
        F(NAME, "Name of this appliance", "edge-1")                                                \
        F(MANAGEMENT, "Management NIC (number, MAC address or name)", "1")                         \
        F(ADDRESS, "Management address, ADDRESS/LENGTH or dhcp", "dhcp")                           \
        F(GATEWAY, "Management gateway", "")                                                       \
        F(DNS, "DNS server", "")                                                                   \
        F(DATA, "Data NIC (number, MAC or PCI address)", "2")                                      \
        F(DATA_ADDRESS, "Data address, ADDRESS/LENGTH", "")                                        \
        F(DATA_GATEWAY, "Data gateway", "")                                                        \
        F(VIPS, "Virtual addresses, a prefix such as 198.51.100.0/26", "")                         \
        F(SHARDS, "Number of layer-7 shards", "2")                                                 \
        F(SOURCE, "Configuration from: kubernetes or directory", "kubernetes")                     \
        F(TEXT, "", "")                                                                            \
        F(SURE, "Put this in force? yes or no", "yes")
enum form_field {
#define F(id, question, def) FORM_##id,
        FORM_FIELDS(F)
#undef F
                FORM_N
};

#define FORM_LINE_MAX 65536
#define FORM_MAX_NICS 16
struct form_nic {
        char name[24], mac[24], detail[64];
};
enum form_rc { FORM_MORE, FORM_DONE };
struct form;
/* nics are shown for choosing by number; copied. */
struct form *form_new(const struct form_nic *nics, size_t n);
void form_free(struct form *f); /* wipes what was pasted */
/* What is to be shown first: heading, NICs, first question. */
void form_begin(struct form *f, struct buf *out) NONNULL(1, 2);
/* DONE: form_result holds a gatehouse.cfg; until then out holds echo, complaints and the next question. */
enum form_rc form_input(struct form *f, struct span in, struct buf *out) NONNULL(1, 3) MUST_USE;
struct span form_result(const struct form *f) NONNULL(1); /* borrowed */
/* The file was refused: says why and starts over, with the answers as what stands in brackets. */
void form_refused(struct form *f, const char *why, struct buf *out) NONNULL(1, 2, 3);
