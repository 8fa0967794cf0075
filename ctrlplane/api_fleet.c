/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/fleet: what the fleet as a whole is set to; and what /v1/status says of this node's place in it.
 */
#include "contract/counters.h"
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/publish.h"
#include "ctrlplane/resource.h"

#include <string.h>

static json_t *setting_show(const json_t *setting)
{
    return json_pack("{s:b}", "forward", fleet_setting_forward(setting));
}

void fleet_get(struct call *call)
{
    static const char *const known[] = {NULL};
    if (call_query_check(call, known))
        call_answer(call, 200, setting_show(model_get(call->control->model, "fleet")));
}

void fleet_put(struct call *call)
{
    json_t *body = call_body(call);
    json_t *setting = body ? fleet_setting_read(body, "", &call->problem) : NULL;
    json_decref(body);
    if (!setting)
        return;
    json_t *shown = setting_show(setting);
    call_change(call, TABLES_OWNERS, model_with_fleet(call->control->model, setting), 200, shown);
}

/* What became of strangers' packets: the counters of owners found, of the tunnel and of resets, all workers together. */
static json_t *strangers_json(const struct control *c)
{
    static const char *const prefixes[] = {"steer_by_", "steer_tunnel_", "steer_rst"};
    json_t *o = json_object();
    for (unsigned i = TG_C_none + 1; i < TG_COUNTER_COUNT; i++) {
        const char *name = stats_name((enum tg_counter)i);
        for (unsigned k = 0; k < TG_ARRAY_LEN(prefixes); k++)
            if (strncmp(name, prefixes[k], strlen(prefixes[k])) == 0)
                json_object_set_new(
                    o, name,
                    json_integer((json_int_t)counters_sum(&c->region, (enum tg_counter)i)));
    }
    return o;
}

json_t *fleet_place_json(struct control *c)
{
    struct compile_node self = publish_self(c);
    char why[640];
    bool member = compile_member(c->model, &self, why);
    json_t *o =
        json_pack("{s:i, s:b, s:b}", "nodes", (int)json_object_size(model_get(c->model, "nodes")),
                  "member", member, "forward", fleet_setting_forward(model_get(c->model, "fleet")));
    if (why[0])
        json_object_set_new(o, "alone", json_string(why));
    if (c->attached)
        json_object_set_new(o, "strangers", strangers_json(c));
    return o;
}
