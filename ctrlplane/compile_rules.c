/* SPDX-License-Identifier: BSD-3-Clause
 * Drop rules -> struct tables_rules. "icmp" without a family needs two entries of the table, which
 * knows one protocol each; they share id and hit counter. Ports with any protocol need one: the
 * filter knows that only TCP and UDP have ports.
 */
#include "ctrlplane/compile.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <string.h>

enum { ICMP = 1, ICMP6 = 58 };

/* The family that the prefixes leave open: 4, 6, or 0 for both. */
static unsigned rule_family(const struct drop_rule *r)
{
    const struct prefix *known = r->has_source && r->source.bits ? &r->source : NULL;
    if (!known && r->has_destination && r->destination.bits)
        known = &r->destination;
    if (!known)
        return 0;
    return address_is4(known->address) ? 4 : 6;
}

/* The protocols that a rule drops, as table entries have them. */
static unsigned rule_protocols(const struct drop_rule *r, uint8_t out[2])
{
    unsigned n = 0, family = rule_family(r);
    if (r->icmp) {
        if (family != 6)
            out[n++] = ICMP;
        if (family != 4)
            out[n++] = ICMP6;
    } else {
        out[n++] = r->protocol;
    }
    return n;
}

static struct tables_rule rule_entry(const struct drop_rule *r, uint32_t id, uint32_t slot,
                                     uint8_t protocol)
{
    struct tables_rule e = {
        .id = id,
        .slot = slot,
        .proto = protocol,
        .source_port_low = r->source_port_low,
        .source_port_high = r->source_port_high,
        .destination_port_low = r->destination_port_low,
        .destination_port_high = r->destination_port_high,
    };
    if (r->has_source) {
        memcpy(e.source, r->source.address, 16);
        e.source_bits = r->source.bits;
    }
    if (r->has_destination) {
        memcpy(e.destination, r->destination.address, 16);
        e.destination_bits = r->destination.bits;
    }
    return e;
}

/* Append the entries of one rule; false when the table is full. */
static bool rule_append(struct tables_rules *t, const json_t *rule, uint32_t id)
{
    static const char *const extra[] = {"slot", "hits_base", NULL};
    struct drop_rule r;
    struct problem none = {0};
    bool good = rule_read(rule, "", extra, &r, &none);
    tg_assert(good); /* the model holds canonical forms only */
    uint32_t slot = (uint32_t)json_integer_value(json_object_get(rule, "slot"));
    uint8_t protocols[2];
    unsigned n = rule_protocols(&r, protocols);
    if (t->count + n > TABLES_RULES_MAX)
        return false;
    for (unsigned i = 0; i < n; i++)
        t->rules[t->count++] = rule_entry(&r, id, slot, protocols[i]);
    return true;
}

bool compile_rules(const json_t *model, struct block *out, struct problem *problem)
{
    const char *keys[TABLES_RULES_MAX];
    unsigned n = model_keys(model, "rules", keys, TABLES_RULES_MAX);
    struct tables_rules *t;
    block_make(out, TABLES_RULES, sizeof *t + TABLES_RULES_MAX * sizeof t->rules[0]);
    t = out->bytes;
    for (unsigned i = 0; i < n; i++) {
        uint32_t id = 0;
        bool good = rule_id_parse(keys[i], &id);
        tg_assert(good);
        if (!rule_append(t, json_object_get(model_get(model, "rules"), keys[i]), id)) {
            problem_set(
                problem, 507, "table-full", "",
                "the rules need more than %u table entries (icmp without an address takes two)",
                TABLES_RULES_MAX);
            return false;
        }
    }
    out->len = sizeof *t + t->count * sizeof t->rules[0];
    t->header.bytes = (uint32_t)out->len;
    return true;
}
