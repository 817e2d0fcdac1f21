/* lib/io/agents.c - see agents.h. */
#include "lib/base.h"
#include "lib/io/agents.h"

void agents_conf_read(const struct conf_group *control, struct agents_conf *ret)
{
        *ret = (struct agents_conf){ 0 };
        size_t n = conf_list_len(control, "agents");
        if (n > AGENTS_MAX) {
                conf_error(control, "agents", "at most %d", AGENTS_MAX);
                n = 0;
        }
        for (size_t i = 0; i < n; i++) {
                const char *text = conf_list_str(control, "agents", i), *why;
                if (control_addr_parse(span_str(text), &ret->at[ret->n], &why) < 0) {
                        conf_error(control, "agents", "\"%s\": %s", text, why);
                        continue;
                }
                ret->tls |= ret->at[ret->n].kind == CONTROL_TLS;
                ret->n++;
        }
        const struct conf_group *g = ret->tls ? conf_sub(control, "tls") : conf_sub_or_null(control, "tls");
        if (g)
                credentials_conf_read(g, &ret->credentials);
}

int agents_identity(enum identity_role role, const char *pool, const char *name, struct identity *ret, struct err *reterr)
{
        if (identity_make(role, pool, name, ret) == 0)
                return 0;
        return err_set(reterr, EINVAL, "name", "\"%s%s%s\" cannot stand in a certificate: names and pools are letters, digits, '.', '_' and '-', "
                       "at most %d", pool ? pool : "", pool && *pool ? "/" : "", name, IDENTITY_WORD_MAX);
}

int agents_conf_check(const struct agents_conf *a, enum identity_role role, const char *pool, const char *name, struct err *reterr)
{
        struct identity self;
        if (!a->tls)
                return 0;
        int r = agents_identity(role, pool, name, &self, reterr);
        if (r < 0)
                return r;
        struct credentials *c = credentials_new(&a->credentials, &self);
        BUG_ON(!c); /* boot */
        r = credentials_refresh(c, reterr);
        credentials_free(c);
        return r;
}
