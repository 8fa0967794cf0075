/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/nodes: the fleet's nodes, and where their tunnels end. Nodes may be told in any order; this one is alone until
 * it is among them.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/publish.h"
#include "ctrlplane/resource.h"

static json_t *node_show(const json_t *value)
{
    return json_copy((json_t *)(uintptr_t)value);
}

/* What is said of this node must be what its configuration says. Of others we cannot know. */
static bool node_check_here(struct call *call, const json_t *candidate)
{
    struct compile_node self = publish_self(call->control);
    return compile_node_check(candidate, call->key, &self, &call->problem);
}

static const struct collection nodes = {
    .name = "nodes",
    .what = "node",
    .path = "/v1/nodes",
    .kind = TABLES_OWNERS,
    .max = TABLES_NODES_MAX,
    .read = node_read,
    .check = model_node_check,
    .check_here = node_check_here,
    .show = node_show,
};

void nodes_list(struct call *call)
{
    collection_list(call, &nodes);
}

void node_get(struct call *call)
{
    collection_get(call, &nodes);
}

void node_put(struct call *call)
{
    collection_put(call, &nodes);
}

void node_delete(struct call *call)
{
    collection_delete(call, &nodes);
}
