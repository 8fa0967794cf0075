/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/sites: which hosts are served, from which origin, with or without the WAF.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

const struct collection sites_collection = {
    .name = "sites",
    .what = "site",
    .path = "/v1/sites",
    .kind = TABLES_ROUTES,
    .max = TABLES_SITES_MAX,
    .read = site_read,
    .check = model_site_check,
};
