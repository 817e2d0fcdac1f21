/* tests/fuzz/image/update_manifest_fuzz.c - bytes -> manifest of an update.
 * Holds: a refusal has a line and a message; what is accepted, written again, is the same bytes: there is one way to say it. */
#include "lib/base.h"

#include "image/core/update_manifest.h"

#include <inttypes.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct update_manifest m;
        struct err err = {.place = "", .msg = ""};
        char text[UPDATE_MANIFEST_MAX + 1], a[VERSION_STR_MAX], b[VERSION_STR_MAX], hex[65];
        int r = update_manifest_parse(SPAN(data, size), &m, &err);
        BUG_ON(r < 0 && (!err.place[0] || !err.msg[0]));
        if (r < 0)
                return 0;
        sha256_hex(&m.roothash, hex);
        size_t n = (size_t)snprintf(text, sizeof text, "gatehouse-update 1\nversion=%s\nminimum=%s\narchitecture=" UPDATE_ARCHITECTURE
                                    "\nroothash=%s\n", version_str(&m.version, a), version_str(&m.minimum, b), hex);
        for (enum update_file f = UPDATE_ROOT; f < UPDATE_FILE_N; f++) {
                sha256_hex(&m.file[f].sha, hex);
                n += (size_t)snprintf(text + n, sizeof text - n, "%s=%" PRIu64 " %s\n", update_file_names[f], m.file[f].bytes, hex);
        }
        BUG_ON(!span_eq(SPAN(text, n), SPAN(data, size)));
        return 0;
}
