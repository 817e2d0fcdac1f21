/* tests/fuzz/replay_main.c - runs a fuzz target over its corpus without a fuzzing engine, so that every build replays it.
 * Usage: NAME_fuzz CORPUS_DIR...  Exits 1 when no file was found: an empty corpus proves nothing. */
#include "lib/base.h"

#include <dirent.h>
#include <limits.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFIX_MAX 512 /* files up to this size are also run at every truncation */

static size_t replay_file(const char *path)
{
        FILE *f = fopen(path, "rb");
        if (!f)
                return 0;
        size_t cap = 4u << 20;
        uint8_t *p = malloc(cap);
        BUG_ON(!p);
        size_t n = fread(p, 1, cap, f);
        fclose(f);
        size_t lo = n <= PREFIX_MAX ? 0 : n;
        for (size_t len = lo; len <= n; len++) { /* an exact-size copy, so that ASan sees a read past the end */
                uint8_t *exact = malloc(len ? len : 1);
                BUG_ON(!exact);
                if (len)
                        memcpy(exact, p, len);
                LLVMFuzzerTestOneInput(exact, len);
                free(exact);
        }
        free(p);
        return n - lo + 1;
}

int main(int argc, char **argv)
{
        size_t files = 0, runs = 0;
        for (int i = 1; i < argc; i++) {
                DIR *d = opendir(argv[i]);
                if (!d)
                        continue;
                for (struct dirent *e; (e = readdir(d));) {
                        if (e->d_name[0] == '.')
                                continue;
                        char path[PATH_MAX];
                        snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
                        size_t n = replay_file(path);
                        files += n != 0;
                        runs += n;
                }
                closedir(d);
        }
        printf("replayed %zu files, %zu runs\n", files, runs);
        return files == 0;
}
