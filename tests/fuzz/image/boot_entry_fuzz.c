/* tests/fuzz/image/boot_entry_fuzz.c - a file name of the ESP -> boot entry.
 * Holds: what is accepted has a name that reads back as the same entry. */
#include "lib/base.h"

#include "image/core/boot_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct boot_entry e, back;
        char name[BOOT_ENTRY_NAME_MAX];
        if (!boot_entry_parse(SPAN(data, size), &e))
                return 0;
        BUG_ON(!boot_entry_parse(span_str(boot_entry_name(&e, name)), &back));
        BUG_ON(version_cmp(&e.version, &back.version) != 0 || e.counted != back.counted || e.left != back.left || e.done != back.done);
        BUG_ON(boot_entry_cmp(&e, &back) != 0);
        return 0;
}
