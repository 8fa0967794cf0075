/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/keyservers: who has the private keys of certificates without one. Our own key, by which the
 * key server knows us, goes in and never comes out.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <string.h>

const struct collection keyservers_collection = {
    .name = "keyservers",
    .what = "key server",
    .path = "/v1/keyservers",
    .kind = TABLES_CERTIFICATES,
    .max = TABLES_KEYSERVERS_MAX,
    .read = keyserver_read,
    .secret = "key_pem",
};

void keyserver_delete(struct call *call)
{
    const char *certificate = model_keyserver_user(call->control->model, call->key);
    if (certificate) {
        problem_set(&call->problem, 409, "in-use", "",
                    "certificate \"%s\" uses key server \"%.64s\"", certificate, call->key);
        problem_extra(&call->problem, "certificate", json_string(certificate));
        return;
    }
    collection_delete(call);
}
