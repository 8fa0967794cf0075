/* SPDX-License-Identifier: BSD-3-Clause
 * Certificates: JSON members only. Whether chain and key parse and belong together is for
 * tls_set_create to say (compile_certificates). Called by api_certs and model.
 */
#include "ctrlplane/resource.h"

#include <string.h>

static void pem_check(const struct fields *f, const char *name, const char *text, const char *label)
{
    if (text && !strstr(text, label))
        fields_fault(f, name, "holds no PEM block \"%s\"", label);
}

json_t *certificate_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"name", "names", "chain_pem", "key_pem", "default", NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    const char *chain = fields_string(&f, "chain_pem", true, 1, RESOURCE_PEM_MAX);
    const char *key = fields_string(&f, "key_pem", true, 1, RESOURCE_PEM_MAX);
    bool is_default = fields_bool(&f, "default", false);
    pem_check(&f, "chain_pem", chain, "-----BEGIN CERTIFICATE-----");
    pem_check(&f, "key_pem", key, "PRIVATE KEY-----");
    json_t *names = fields_ok(&f) ? hosts_read(&f, "names", false) : NULL;
    if (!names)
        return NULL;
    if (json_array_size(names) == 0 && !is_default) {
        fields_fault(&f, "names", "a certificate without names must be the default certificate");
        json_decref(names);
        return NULL;
    }
    return json_pack("{s:o, s:s, s:s, s:b}", "names", names, "chain_pem", chain, "key_pem", key,
                     "default", is_default);
}
