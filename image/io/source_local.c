/* image/io/source_local.c - credential, seed disk and ESP.  See source.h. */
#include "lib/base.h"
#include "image/io/source.h"
#include "image/io/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <strings.h>
#include <sys/mount.h>
#include <unistd.h>

#define CREDENTIALS "/run/credentials/@system"
#define SEED_MOUNT "/run/gatehouse/seed"
#define ESP_SEED "/efi/gatehouse"
#define LABEL_MAX 32
#define DMI_ENTRIES "/sys/firmware/dmi/entries"
#define PAGE_BYTES 4096

bool source_is_ours(struct span text)
{
        static const char first[] = "# gatehouse.cfg";
        return text.n >= sizeof first - 1 && memcmp(text.p, first, sizeof first - 1) == 0;
}

/* Labels are padded with blanks. */
static bool same_label(const uint8_t *p, size_t n, const char *label)
{
        while (n && (p[n - 1] == ' ' || p[n - 1] == '\0'))
                n--;
        return n == strlen(label) && strncasecmp((const char *)p, label, n) == 0;
}

/* ECMA-119 8.4: the primary volume descriptor is sector 16, its volume identifier at 40.  Microsoft's FAT specification
 * 3.2 and 3.3: BS_VolLab of FAT12/16 at 43, of FAT32 at 71, before the type's name. */
static const char *volume_fs(int fd, const char *label)
{
        uint8_t b[512];
        if (pread(fd, b, sizeof b, 16 * 2048) == (ssize_t)sizeof b && b[0] == 1 && memcmp(b + 1, "CD001", 5) == 0 &&
            same_label(b + 40, LABEL_MAX, label))
                return "iso9660";
        if (pread(fd, b, sizeof b, 0) != (ssize_t)sizeof b || b[510] != 0x55 || b[511] != 0xaa)
                return NULL;
        if ((memcmp(b + 54, "FAT1", 4) == 0 && same_label(b + 43, 11, label)) ||
            (memcmp(b + 82, "FAT32", 5) == 0 && same_label(b + 71, 11, label)))
                return "vfat";
        return NULL;
}

int source_find_volume(const struct host *h, const char *label, char ret[HOST_PATH_MAX], const char **ret_fs)
{
        char path[HOST_PATH_MAX];
        const char *fs = NULL;
        DIR *d = opendir(host_path(h, path, "/sys/class/block"));
        for (const struct dirent *e; d && !fs && (e = readdir(d));) {
                if (e->d_name[0] == '.' || strlen(e->d_name) > 64)
                        continue;
                int fd = open(host_path(h, path, "/dev/%s", e->d_name), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
                if (fd < 0)
                        continue; /* a drive without a medium */
                fs = volume_fs(fd, label);
                close(fd);
        }
        if (d)
                closedir(d);
        if (!fs)
                return -ENOENT;
        memcpy(ret, path, sizeof path);
        *ret_fs = fs;
        return 0;
}

static size_t file_bytes(const char *path)
{
        char b[PAGE_BYTES];
        size_t n = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        for (ssize_t r; fd >= 0 && (r = read(fd, b, sizeof b)) > 0;)
                n += (size_t)r;
        if (fd >= 0)
                close(fd);
        return n;
}

/* systemd 252 reads one page of the table that holds the credentials and takes what is cut off for all of it: half a
 * file that happens to be well-formed must not be put in force. */
static int credentials_whole(const struct host *h, struct err *reterr)
{
        char path[HOST_PATH_MAX];
        size_t most = 0;
        DIR *d = opendir(host_path(h, path, DMI_ENTRIES));
        for (const struct dirent *e; d && (e = readdir(d));)
                if (strncmp(e->d_name, "11-", 3) == 0 && strlen(e->d_name) < 32)
                        most = MAX(most, file_bytes(host_path(h, path, DMI_ENTRIES "/%s/raw", e->d_name)));
        if (d)
                closedir(d);
        if (most > PAGE_BYTES)
                return err_set(reterr, EFBIG, "SMBIOS",
                               "its strings (type 11) are %zu bytes, and only the first %d arrive: use a seed disk",
                               most, PAGE_BYTES);
        return 0;
}

static int from_credential(const struct host *h, struct seed_copy *ret, struct err *reterr)
{
        char dir[HOST_PATH_MAX];
        int r = seed_copy_read(host_path(h, dir, CREDENTIALS), ret, reterr);
        return r < 0 ? r : credentials_whole(h, reterr);
}

/* gatehouse.cfg, or user data that begins like one. */
static int from_directory(const char *dir, struct seed_copy *ret, struct err *reterr)
{
        static const char *const names[] = {"user-data", "openstack/latest/user_data"};
        char path[PATH_MAX];
        int r = seed_copy_read(dir, ret, reterr);
        for (size_t i = 0; r == -ENOENT && i < ARRAY_SIZE(names); i++) {
                snprintf(path, sizeof path, "%s/%s", dir, names[i]);
                r = path_read(path, IMAGE_MAX_FILE_BYTES, &ret->arena, &ret->cfg, reterr);
                if (r == 0 && !source_is_ours(ret->cfg)) {
                        ret->cfg = SPAN_NULL;
                        r = err_set(reterr, ENOENT, path, "does not begin with \"# gatehouse.cfg\"");
                } else if (r == 0) {
                        r = seed_copy_beside(dir, ret, reterr);
                }
        }
        return r;
}

static int from_seed_disk(const struct host *h, struct seed_copy *ret, struct err *reterr)
{
        static const char *const labels[] = {"cidata", "config-2"};
        char device[HOST_PATH_MAX], dir[HOST_PATH_MAX];
        const char *fs;
        int r = -ENOENT;
        for (size_t i = 0; r == -ENOENT && i < ARRAY_SIZE(labels); i++)
                r = source_find_volume(h, labels[i], device, &fs);
        if (r < 0)
                return r;
        r = path_mkdirs(host_path(h, dir, SEED_MOUNT), 0700, reterr);
        if (r < 0)
                return r;
        if (mount(device, dir, fs, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return err_set(reterr, errno == ENOENT ? EIO : errno, device, "cannot mount the seed disk (%s): %s", fs,
                               strerror(errno));
        r = from_directory(dir, ret, reterr);
        if (umount2(dir, MNT_DETACH) < 0 && r == 0)
                r = err_set(reterr, errno, dir, "cannot unmount the seed disk: %s", strerror(errno));
        (void)rmdir(dir); /* a tmpfs: nobody minds an empty directory */
        return r;
}

static int from_esp(const struct host *h, struct seed_copy *ret, struct err *reterr)
{
        char dir[HOST_PATH_MAX];
        return from_directory(host_path(h, dir, ESP_SEED), ret, reterr);
}

int source_local(const struct host *h, struct seed_copy *ret, struct err *reterr)
{
        static const struct {
                enum source source;
                int (*fn)(const struct host *h, struct seed_copy *ret, struct err *reterr);
        } places[] = {{FROM_SMBIOS, from_credential}, {FROM_SEED_DISK, from_seed_disk}, {FROM_ESP, from_esp}};
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                int r = places[i].fn(h, ret, reterr);
                if (r == -ENOENT)
                        continue;
                ret->source = places[i].source;
                return r;
        }
        return err_set(reterr, ENOENT, "", "no source has a gatehouse.cfg");
}
