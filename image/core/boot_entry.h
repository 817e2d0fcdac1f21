/* image/core/boot_entry.h - names of boot entries in EFI/Linux of the ESP, and what systemd-boot makes of them.
 * Layer: image/core, pure.  "gatehouse_VERSION.efi", or "gatehouse_VERSION+LEFT[-DONE].efi" with boot counters
 * (systemd.io/AUTOMATIC_BOOT_ASSESSMENT): two slots, so at most two are ours.  Thread rule: values. */
#pragma once
#include "image/core/version.h"

#define BOOT_ENTRY_TRIES 2u /* of a new entry */
#define BOOT_ENTRY_NAME_MAX 64

struct boot_entry {
        struct version version;
        bool counted; /* not yet proved good */
        uint32_t left, done;
};
bool boot_entry_parse(struct span name, struct boot_entry *ret) NONNULL(2) MUST_USE;
const char *boot_entry_name(const struct boot_entry *e, char buf[BOOT_ENTRY_NAME_MAX]) NONNULL(1, 2);
/* No tries left.  True also of the entry that runs its last try: the loader counts before it starts it. */
static inline bool boot_entry_failed(const struct boot_entry *e)
{
        return e->counted && e->left == 0;
}
/* Tried and given up, in contrast to one that `rollback` has set aside (+0, never tried). */
static inline bool boot_entry_lost(const struct boot_entry *e)
{
        return boot_entry_failed(e) && e->done > 0;
}
/* systemd-boot's order (252, config_entry_compare): <0 when a is tried before b. */
int boot_entry_cmp(const struct boot_entry *a, const struct boot_entry *b) NONNULL(1, 2);
