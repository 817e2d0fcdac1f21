/* ctl/pki.c - `gatectl pki ...`: certificates for control sockets between boxes, in files.
 *
 *   DIR/ca.pem, DIR/ca.key                            init: stays with the operator, needed to issue
 *   DIR/NAME/certificate.pem, key.pem, ca.pem         issue: goes to the box of that name, nothing else does */
#include "lib/base.h"
#include "ctl/commands.h"
#include "ctl/pki_make.h"
#include "lib/io/cert_identity.h"

#include <fcntl.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIR_DEFAULT "gatehouse-pki"
#define CA_DAYS 3650
#define LEAF_DAYS 365
#define DAYS_MAX 36500
#define DAY_S 86400
#define BEFORE_S 300 /* clocks of boxes differ a little */
#define PATH_SIZE 512

static const char usage[] =
        "usage: gatectl pki init [--dir DIR] [--days N]\n"
        "       gatectl pki issue [--dir DIR] [--days N] agent NAME | l4 NAME | l7 POOL/NAME\n"
        "       gatectl pki show FILE...\n"
        "\n"
        "Certificates for control sockets between boxes: the agent's, and one for each data plane that dials it over TLS.\n"
        "  init    makes a CA: DIR/ca.pem and DIR/ca.key (" DIR_DEFAULT " by default; 3650 days).  Keep DIR off the boxes.\n"
        "  issue   makes DIR/NAME/certificate.pem, key.pem and ca.pem, the `tls` group of that daemon's settings (365 days).\n"
        "          NAME and POOL are those of agent.cfg.  Again for the same: renews; daemons use new files without a restart.\n"
        "  show    who a certificate is for, and until when\n";

struct place { /* of one call */
        const char *dir;
        int days; /* 0 = the default */
};

static int complain(const struct err *e)
{
        fprintf(stderr, "gatectl: %s%s%s\n", e->place, *e->place ? ": " : "", e->msg);
        return CTL_FAILED;
}

static int path_make(char ret[PATH_SIZE], const char *dir, const char *name, const char *file, struct err *reterr)
{
        int n = snprintf(ret, PATH_SIZE, "%s/%s%s%s", dir, name, *name ? "/" : "", file);
        return n < 0 || n >= PATH_SIZE ? err_set(reterr, ENAMETOOLONG, dir, "the path is too long") : 0;
}

/* ---------------------------------------------------------------- files */

struct pem { /* what one file holds: a certificate or a key */
        const X509 *cert;
        const EVP_PKEY *key;
};

static int file_write(const char *path, const struct pem *what, struct err *reterr)
{
        char tmp[PATH_SIZE + 8];
        snprintf(tmp, sizeof tmp, "%s.new", path);
        int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, what->key ? 0600 : 0644);
        FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
        if (!f) {
                int r = err_set(reterr, errno, tmp, "cannot write: %s", strerror(errno));
                if (fd >= 0)
                        close(fd);
                return r;
        }
        bool ok = what->key ? PEM_write_PrivateKey(f, what->key, NULL, NULL, 0, NULL, NULL) == 1 : PEM_write_X509(f, what->cert) == 1;
        ok = fflush(f) == 0 && ok && fsync(fd) == 0;
        ok = fclose(f) == 0 && ok;
        if (ok && rename(tmp, path) == 0)
                return 0;
        int r = err_set(reterr, errno ? errno : EIO, path, "cannot write: %s", errno ? strerror(errno) : "input/output error");
        (void)unlink(tmp); /* what is left of it */
        return r;
}

static int bad_pem(const char *path, const char *what, struct err *reterr)
{
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        err_set(reterr, EINVAL, path, "is not %s%s%s", what, why ? ": " : "", why ? why : "");
        ERR_clear_error();
        return -EINVAL;
}

static FILE *file_open(const char *path, struct err *reterr)
{
        FILE *f = fopen(path, "re");
        if (!f)
                err_set(reterr, errno, path, "cannot read: %s", strerror(errno));
        return f;
}

static int cert_read(const char *path, X509 **ret, struct err *reterr)
{
        FILE *f = file_open(path, reterr);
        if (!f)
                return -errno;
        X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
        fclose(f);
        *ret = x;
        return x ? 0 : bad_pem(path, "a certificate (PEM)", reterr);
}

static int ca_read(const char *dir, struct pki_pair *ret, struct err *reterr)
{
        char cert[PATH_SIZE], key[PATH_SIZE];
        struct pki_pair ca = { 0 };
        int r = path_make(cert, dir, "", "ca.pem", reterr);
        if (r == 0)
                r = path_make(key, dir, "", "ca.key", reterr);
        if (r == 0)
                r = cert_read(cert, &ca.cert, reterr);
        FILE *f = r == 0 ? file_open(key, reterr) : NULL;
        if (r == 0 && !f)
                r = -ENOENT;
        if (f) {
                ca.key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
                fclose(f);
                if (!ca.key)
                        r = bad_pem(key, "a private key (PEM)", reterr);
                else if (X509_check_private_key(ca.cert, ca.key) != 1)
                        r = bad_pem(key, "the key of ca.pem", reterr);
        }
        if (r < 0)
                pki_pair_fini(&ca);
        else
                *ret = ca;
        return r;
}

static int dir_make(const char *path, struct err *reterr)
{
        return mkdir(path, 0700) < 0 && errno != EEXIST ? err_set(reterr, errno, path, "cannot make it: %s", strerror(errno)) : 0;
}

/* ---------------------------------------------------------------- commands */

static int days_of(const struct place *at, int def) { return at->days ? at->days : def; }

static int init(const struct place *at)
{
        struct err e = { 0 };
        struct pki_pair ca = { 0 };
        char cert[PATH_SIZE], key[PATH_SIZE];
        int64_t now = (int64_t)time(NULL);
        const struct pki_request rq = { .from_s = now - BEFORE_S, .until_s = now + (int64_t)days_of(at, CA_DAYS) * DAY_S };
        int r = path_make(cert, at->dir, "", "ca.pem", &e);
        if (r == 0)
                r = path_make(key, at->dir, "", "ca.key", &e);
        if (r == 0)
                r = dir_make(at->dir, &e);
        if (r == 0 && (access(cert, F_OK) == 0 || access(key, F_OK) == 0))
                r = err_set(&e, EEXIST, at->dir, "there is a CA already: another one would shut out everybody it has issued for");
        if (r == 0)
                r = pki_make(&rq, &ca, &e);
        if (r == 0)
                r = file_write(key, &(struct pem){ .key = ca.key }, &e);
        if (r == 0)
                r = file_write(cert, &(struct pem){ .cert = ca.cert }, &e);
        pki_pair_fini(&ca);
        if (r < 0)
                return complain(&e);
        printf("%s\n%s\n", cert, key);
        return CTL_OK;
}

/* What is there under the name must be of the same peer: a shard and an agent may not overwrite each other. */
static int same_peer(const char *path, const struct identity *id, struct err *reterr)
{
        X509 *old = NULL;
        struct identity was;
        const char *why;
        char text[IDENTITY_URI_MAX];
        if (access(path, F_OK) < 0)
                return 0;
        int r = cert_read(path, &old, reterr);
        if (r == 0 && (cert_identity(old, &was, &why) < 0 || !identity_eq(&was, id)))
                r = err_set(reterr, EEXIST, path, "is there, and not for %s", identity_uri(id, text));
        X509_free(old);
        return r;
}

static int leaf_write(const struct place *at, const struct identity *id, const struct pki_pair *ca, const struct pki_pair *leaf, struct err *reterr)
{
        char dir[PATH_SIZE], cert[PATH_SIZE], key[PATH_SIZE], ca_path[PATH_SIZE];
        int r = path_make(dir, at->dir, "", id->name, reterr);
        if (r == 0)
                r = path_make(cert, at->dir, id->name, "certificate.pem", reterr);
        if (r == 0)
                r = path_make(key, at->dir, id->name, "key.pem", reterr);
        if (r == 0)
                r = path_make(ca_path, at->dir, id->name, "ca.pem", reterr);
        if (r == 0)
                r = dir_make(dir, reterr);
        if (r == 0)
                r = same_peer(cert, id, reterr);
        if (r == 0)
                r = file_write(key, &(struct pem){ .key = leaf->key }, reterr);
        if (r == 0)
                r = file_write(cert, &(struct pem){ .cert = leaf->cert }, reterr);
        if (r == 0)
                r = file_write(ca_path, &(struct pem){ .cert = ca->cert }, reterr);
        if (r == 0)
                printf("%s\n%s\n%s\n", cert, key, ca_path);
        return r;
}

static int issue(const struct place *at, const struct identity *id)
{
        struct err e = { 0 };
        struct pki_pair ca = { 0 }, leaf = { 0 };
        int64_t now = (int64_t)time(NULL);
        const struct pki_request rq = { .id = id, .issuer = &ca, .from_s = now - BEFORE_S,
                                        .until_s = now + (int64_t)days_of(at, LEAF_DAYS) * DAY_S };
        int r = ca_read(at->dir, &ca, &e);
        if (r == 0)
                r = pki_make(&rq, &leaf, &e);
        if (r == 0)
                r = leaf_write(at, id, &ca, &leaf, &e);
        pki_pair_fini(&leaf);
        pki_pair_fini(&ca);
        return r < 0 ? complain(&e) : CTL_OK;
}

static int show(const char *path)
{
        struct err e = { 0 };
        X509 *x = NULL;
        struct identity id;
        struct tm tm = { 0 };
        const char *why;
        char uri[IDENTITY_URI_MAX], until[32] = "-";
        if (cert_read(path, &x, &e) < 0)
                return complain(&e);
        bool ca = X509_check_ca(x) == 1, known = cert_identity(x, &id, &why) == 0;
        if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1)
                (void)strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &tm); /* fits */
        bool over = X509_cmp_current_time(X509_get0_notAfter(x)) < 0;
        printf("%s: %s, %s %s\n", path, ca ? "a CA" : known ? identity_uri(&id, uri) : why, over ? "expired" : "until", until);
        X509_free(x);
        return (ca || known) && !over ? CTL_OK : CTL_FAILED;
}

/* agent NAME, l4 NAME, l7 POOL/NAME */
static bool identity_read(const char *role, const char *who, struct identity *ret)
{
        char uri[IDENTITY_URI_MAX + 1];
        int n = snprintf(uri, sizeof uri, IDENTITY_SCHEME "%s/%s", role, who);
        return n > 0 && (size_t)n < sizeof uri && identity_parse(span_str(uri), ret) == 0;
}

int ctl_pki(int argc, char **argv)
{
        static const struct option options[] = { { "dir", required_argument, NULL, 'd' },
                                                 { "days", required_argument, NULL, 'n' },
                                                 { "help", no_argument, NULL, 'h' },
                                                 { 0 } };
        struct place at = { .dir = DIR_DEFAULT };
        optind = 0; /* glibc: starts over, on another argv; argv[0] is `pki` */
        for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
                if (o == 'd') {
                        at.dir = optarg;
                } else if (o == 'n') {
                        char *end;
                        long v = strtol(optarg, &end, 10);
                        if (*end || v < 1 || v > DAYS_MAX) {
                                fprintf(stderr, "gatectl: --days takes 1 to %d, not %s\n", DAYS_MAX, optarg);
                                return CTL_USAGE;
                        }
                        at.days = (int)v;
                } else {
                        fputs(usage, o == 'h' ? stdout : stderr);
                        return o == 'h' ? CTL_OK : CTL_USAGE;
                }
        }
        argc -= optind;
        argv += optind;
        if (argc == 1 && strcmp(argv[0], "init") == 0)
                return init(&at);
        if (argc == 3 && strcmp(argv[0], "issue") == 0) {
                struct identity id;
                if (identity_read(argv[1], argv[2], &id))
                        return issue(&at, &id);
                fprintf(stderr, "gatectl: %s %s: expected agent NAME, l4 NAME or l7 POOL/NAME; names are letters, digits, '.', '_' and '-', at most %d\n",
                        argv[1], argv[2], IDENTITY_WORD_MAX);
                return CTL_USAGE;
        }
        if (argc >= 2 && strcmp(argv[0], "show") == 0) {
                int rc = CTL_OK;
                for (int i = 1; i < argc; i++)
                        rc |= show(argv[i]);
                return rc;
        }
        fputs(usage, stderr);
        return CTL_USAGE;
}
