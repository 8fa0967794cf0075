/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/origins: servers that sites get their answers from. The key of our own certificate for them goes in and
 * never comes out.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

const struct collection origins_collection = {
    .name = "origins",
    .what = "origin",
    .path = "/v1/origins",
    .kind = TABLES_ROUTES,
    .max = TABLES_ORIGINS_MAX,
    .read = origin_read,
    .secret = "key_pem",
};

void origin_delete(struct call *call)
{
    const char *site = model_origin_user(call->control->model, call->key);
    if (site) {
        problem_set(&call->problem, 409, "in-use", "", "site \"%s\" uses origin \"%.64s\"", site,
                    call->key);
        problem_extra(&call->problem, "site", json_string(site));
        return;
    }
    collection_delete(call);
}
