/* SPDX-License-Identifier: BSD-3-Clause
 * Nodes of the fleet, and the setting that is the fleet's own. Called by api_nodes, api_fleet, model, fleet_merge and
 * compile_owners.
 */
#include "contract/tables.h"
#include "ctrlplane/resource.h"

#include <string.h>

/* A member that holds an address of one family, in canonical form; NULL: absent or at fault. */
static json_t *tunnel_address_read(const struct fields *f, const char *name, bool is4)
{
    uint8_t address[16];
    char canonical[PREFIX_TEXT_MAX];
    const char *text = fields_string(f, name, false, 1, 64);
    if (!text)
        return NULL;
    if (!address_parse(text, address) || address_is4(address) != is4)
        fields_fault(f, name, "\"%.64s\" is not an IPv%c address", text, is4 ? '4' : '6');
    else if (!address_unicast(address))
        fields_fault(f, name, "%s is no address that a packet can be sent to", text);
    return fields_ok(f) ? json_string(address_text(address, canonical)) : NULL;
}

json_t *node_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"name", "slot", "site", "address4", "address6", NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    int64_t slot = fields_integer(&f, "slot", true, 0, 0, TABLES_NODE_SLOTS - 1);
    int64_t site = fields_integer(&f, "site", true, 0, 0, 255);
    json_t *address4 = tunnel_address_read(&f, "address4", true);
    json_t *address6 = tunnel_address_read(&f, "address6", false);
    if (fields_ok(&f) && !address4 && !address6)
        fields_fault(&f, "address4",
                     "a node needs address4, address6 or both: its own, where the "
                     "other nodes' tunnels end");
    json_t *node = json_pack("{s:I, s:I, s:o*, s:o*}", "slot", (json_int_t)slot, "site",
                             (json_int_t)site, "address4", address4, "address6", address6);
    if (fields_ok(&f))
        return node;
    json_decref(node);
    return NULL;
}

static void address_take(const json_t *node, const char *member, uint8_t out[16])
{
    const char *text = json_string_value(json_object_get(node, member));
    if (text)
        tg_assert(address_parse(text, out)); /* canonical */
}

struct tables_node node_from(const json_t *node)
{
    struct tables_node out = {
        .slot = (uint16_t)json_integer_value(json_object_get(node, "slot")),
        .site = (uint8_t)json_integer_value(json_object_get(node, "site")),
    };
    address_take(node, "address4", out.address4);
    address_take(node, "address6", out.address6);
    return out;
}

json_t *fleet_setting_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"forward", NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    bool forward = fields_bool(&f, "forward", true);
    if (!fields_ok(&f))
        return NULL;
    return forward ? json_object() : json_pack("{s:b}", "forward", false);
}

bool fleet_setting_forward(const json_t *setting)
{
    return !json_is_false(json_object_get(setting, "forward"));
}
