/* agent/core/translate_tls.c - tls.options of a listener: what Gatehouse calls them, and their values in the model.  Layer:
 * agent/core, pure.  Options of other domains are other implementations' business; ours must be known and well formed. */
#include "lib/base.h"
#include "agent/core/translate_priv.h"

#define DOMAIN "gatehouse.dev/"
#define VALUE_MAX 512

static const char *version_put(const char *value, Model__Tls__Version *ret)
{
        if (strcmp(value, "1.2") == 0)
                *ret = MODEL__TLS__VERSION__TLS_1_2;
        else if (strcmp(value, "1.3") == 0)
                *ret = MODEL__TLS__VERSION__TLS_1_3;
        else
                return "must be \"1.2\" or \"1.3\"";
        return NULL;
}

/* Names of OpenSSL in a list; whether they exist is for the data plane, which has the library, to say. */
static const char *list_put(const char *value, char **ret)
{
        static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+!.:";
        size_t n = strlen(value);
        if (n == 0 || n > VALUE_MAX || strspn(value, legal) != n)
                return "must be a list of OpenSSL names, separated by colons";
        *ret = pb_str(value);
        return NULL;
}

const char *tls_options_put(struct tx *tx, const struct labels *options, Model__Tls *to)
{
        for (size_t i = 0; i < options->n; i++) {
                const char *key = options->v[i].key, *value = options->v[i].value, *why;
                if (strncmp(key, DOMAIN, strlen(DOMAIN)) != 0)
                        continue;
                const char *name = key + strlen(DOMAIN);
                if (strcmp(name, "tls-min-version") == 0)
                        why = version_put(value, &to->min_version);
                else if (strcmp(name, "tls-max-version") == 0)
                        why = version_put(value, &to->max_version);
                else if (strcmp(name, "tls-ciphers") == 0)
                        why = list_put(value, &to->ciphers);
                else if (strcmp(name, "tls-curves") == 0)
                        why = list_put(value, &to->curves);
                else
                        why = "is not an option of Gatehouse";
                if (why)
                        return tx_printf(tx, "tls.options[%s]: \"%s\" %s", key, value, why);
        }
        if (to->min_version == MODEL__TLS__VERSION__TLS_1_3 && to->max_version == MODEL__TLS__VERSION__TLS_1_2)
                return "tls.options: gatehouse.dev/tls-min-version is above gatehouse.dev/tls-max-version";
        return NULL;
}
