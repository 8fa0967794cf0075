/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/nodes: the fleet's nodes, and where their tunnels end. Nodes may be told in any order; this one is alone until
 * it is among them.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/publish.h"
#include "ctrlplane/resource.h"

/* What is said of this node must be what its configuration says. Of others we cannot know. */
static bool node_check_here(struct call *call, const json_t *candidate)
{
    struct compile_node self = publish_self(call->control);
    return compile_node_check(candidate, call->key, &self, &call->problem);
}

const struct collection nodes_collection = {
    .name = "nodes",
    .what = "node",
    .path = "/v1/nodes",
    .kind = TABLES_OWNERS,
    .max = TABLES_NODES_MAX,
    .read = node_read,
    .check = model_node_check,
    .check_here = node_check_here,
};
