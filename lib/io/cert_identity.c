/* lib/io/cert_identity.c - see cert_identity.h. */
#include "lib/base.h"
#include "lib/io/cert_identity.h"

#include <openssl/x509v3.h>

int cert_identity(const struct x509_st *cert, struct identity *ret, const char **ret_why)
{
        size_t found = 0;
        int r = -EINVAL;
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        *ret_why = "has no " IDENTITY_SCHEME " URI";
        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) { /* NULL: -1 */
                const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
                if (g->type != GEN_URI)
                        continue;
                struct span uri = SPAN(ASN1_STRING_get0_data(g->d.uniformResourceIdentifier),
                                       (size_t)ASN1_STRING_length(g->d.uniformResourceIdentifier));
                size_t n = sizeof IDENTITY_SCHEME - 1;
                if (uri.n < n || memcmp(uri.p, IDENTITY_SCHEME, n) != 0)
                        continue;
                found++;
                r = identity_parse(uri, ret);
                if (r < 0)
                        *ret_why = "has a malformed " IDENTITY_SCHEME " URI";
        }
        GENERAL_NAMES_free(names);
        if (found > 1) {
                *ret_why = "has more than one " IDENTITY_SCHEME " URI";
                return -EINVAL;
        }
        return r;
}
