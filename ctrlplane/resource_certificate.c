/* SPDX-License-Identifier: BSD-3-Clause
 * Certificates: JSON members only. Whether chain and key parse and belong together is for
 * tls_set_create to say (compile_certificates). Called by api_certs and model.
 */
#include "ctrlplane/resource.h"

#include <string.h>

const char *fields_pem(const struct fields *f, const char *name, bool required, const char *label)
{
    const char *text = fields_string(f, name, required, 1, RESOURCE_PEM_MAX);
    if (text && !strstr(text, label))
        fields_fault(f, name, "holds no PEM block \"%s\"", label);
    return text;
}

json_t *certificate_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"name",      "names",   "chain_pem", "key_pem",
                                        "keyserver", "default", NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    const char *chain = fields_pem(&f, "chain_pem", true, "-----BEGIN CERTIFICATE-----");
    const char *server = fields_string(&f, "keyserver", false, 1, RESOURCE_NAME_MAX);
    const char *key = fields_pem(&f, "key_pem", !server, "PRIVATE KEY-----");
    bool is_default = fields_bool(&f, "default", false);
    if (server && key)
        fields_fault(&f, "keyserver", "give either key_pem or keyserver");
    json_t *names = fields_ok(&f) ? hosts_read(&f, "names", false) : NULL;
    if (!names)
        return NULL;
    if (json_array_size(names) == 0 && !is_default) {
        fields_fault(&f, "names", "a certificate without names must be the default certificate");
        json_decref(names);
        return NULL;
    }
    return json_pack("{s:o, s:s, s:s, s:b}", "names", names, "chain_pem", chain,
                     server ? "keyserver" : "key_pem", server ? server : key, "default",
                     is_default);
}
