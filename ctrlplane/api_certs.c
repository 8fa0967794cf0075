/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/certificates: chains and private keys. A key goes in and never comes out.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <string.h>

const struct collection certificates_collection = {
    .name = "certificates",
    .what = "certificate",
    .path = "/v1/certificates",
    .kind = TABLES_CERTIFICATES,
    .max = TABLES_CERTIFICATES_MAX,
    .read = certificate_read,
    .check = model_certificate_check,
    .secret = "key_pem",
};

void certificate_put(struct call *call)
{
    collection_put(call);
    /* compile_certificates knows no request; here the certificate that was just given is the
     * document, and what tls/ says about a key is about its key. */
    if (call->problem.status == 422 && strcmp(call->problem.slug, "certificate") == 0)
        problem_point(&call->problem,
                      strstr(call->problem.detail, "key") ? "/key_pem" : "/chain_pem");
}
