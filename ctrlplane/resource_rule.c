/* SPDX-License-Identifier: BSD-3-Clause
 * Drop rules: JSON to struct and back. Called by api_rules, model and compile.
 */
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

bool protocol_parse(const char *text, uint8_t *protocol, bool *icmp)
{
    static const struct {
        const char *name;
        uint8_t number;
    } names[] = {{"any", 0}, {"tcp", 6}, {"udp", 17}};
    *icmp = strcmp(text, "icmp") == 0;
    *protocol = 0;
    if (*icmp)
        return true;
    for (size_t i = 0; i < TG_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *protocol = names[i].number;
            return true;
        }
    }
    unsigned v = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 3 || text[digits])
        return false;
    for (; *text; text++)
        v = v * 10 + (unsigned)(*text - '0');
    *protocol = (uint8_t)v;
    return v >= 1 && v <= 255;
}

static void protocol_read(const struct fields *f, struct drop_rule *out)
{
    const json_t *value = json_object_get(f->object, "protocol");
    if (value && json_is_integer(value)) {
        out->protocol = (uint8_t)fields_integer(f, "protocol", true, 0, 1, 255);
        return;
    }
    const char *text = fields_string(f, "protocol", false, 1, 16);
    if (text && !protocol_parse(text, &out->protocol, &out->icmp))
        fields_fault(f, "protocol", "must be tcp, udp, icmp, any or a number from 1 to 255");
}

static bool prefix_read(const struct fields *f, const char *name, struct prefix *out)
{
    const char *text = fields_string(f, name, false, 1, 64);
    if (!text)
        return false;
    char problem[160];
    const char *wrong = prefix_parse(text, true, out, problem);
    if (wrong) {
        fields_fault(f, name, "\"%.64s\" %s", text, wrong);
        return false;
    }
    return true;
}

/* The table has no way to say "IPv6 only" with an empty prefix (0 bits match both families): such a
 * rule must get its family from the other side, or say what it means. */
static void families_check(const struct fields *f, const struct drop_rule *r)
{
    bool source4 = address_is4(r->source.address);
    bool destination4 = address_is4(r->destination.address);
    if (r->has_source && r->has_destination && source4 != destination4)
        fields_fault(f, "destination", "is of another address family than source: never matches");
    bool source_all6 = r->has_source && r->source.bits == 0;
    bool destination_all6 = r->has_destination && r->destination.bits == 0;
    bool family_known =
        (r->has_source && !source_all6) || (r->has_destination && !destination_all6);
    if ((source_all6 || destination_all6) && !family_known)
        fields_fault(
            f, source_all6 ? "source" : "destination",
            "::/0 would match IPv4 too: use 2000::/3 for all of the IPv6 internet, or leave "
            "the member out for any address");
}

static void ports_check(const struct fields *f, const struct drop_rule *r)
{
    bool has_ports = r->protocol == 6 || r->protocol == 17 || (r->protocol == 0 && !r->icmp);
    if (has_ports)
        return;
    if (r->has_source_port || r->has_destination_port)
        fields_fault(f, r->has_destination_port ? "destination_port" : "source_port",
                     "only tcp and udp have ports");
}

bool rule_read(const json_t *in, const char *pointer, const char *const extra[],
               struct drop_rule *out, struct problem *problem)
{
    const char *known[12] = {"source", "destination", "protocol", "source_port",
                             "destination_port"};
    unsigned own = 5;
    for (unsigned i = 0; extra[i] && own + i < TG_ARRAY_LEN(known) - 1; i++)
        known[own + i] = extra[i];
    struct fields f = fields_begin(in, pointer, known, problem);
    memset(out, 0, sizeof *out);
    out->has_source = prefix_read(&f, "source", &out->source);
    out->has_destination = prefix_read(&f, "destination", &out->destination);
    protocol_read(&f, out);
    out->has_source_port =
        fields_port_range(&f, "source_port", &out->source_port_low, &out->source_port_high);
    out->has_destination_port = fields_port_range(
        &f, "destination_port", &out->destination_port_low, &out->destination_port_high);
    /* All ports are no condition: canonically there is none. */
    out->has_source_port &= out->source_port_low > 0 || out->source_port_high < 65535;
    out->has_destination_port &=
        out->destination_port_low > 0 || out->destination_port_high < 65535;
    if (!fields_ok(&f))
        return false;
    families_check(&f, out);
    ports_check(&f, out);
    if (!out->has_source && !out->has_destination && !fields_has(&f, "protocol") &&
        !out->has_source_port && !out->has_destination_port)
        problem_set(problem, 422, "invalid-field", pointer,
                    "a rule without a condition would drop all traffic: if that is meant, say "
                    "\"protocol\": \"any\"");
    return fields_ok(&f);
}

static void json_set_prefix(json_t *o, const char *name, const struct prefix *p)
{
    char text[PREFIX_TEXT_MAX];
    json_object_set_new(o, name, json_string(prefix_text(p, text)));
}

static void json_set_ports(json_t *o, const char *name, uint16_t low, uint16_t high)
{
    char text[16];
    if (low == high) {
        json_object_set_new(o, name, json_integer(low));
        return;
    }
    snprintf(text, sizeof text, "%u-%u", low, high);
    json_object_set_new(o, name, json_string(text));
}

json_t *rule_json(const struct drop_rule *r)
{
    json_t *o = json_object();
    if (r->has_source)
        json_set_prefix(o, "source", &r->source);
    if (r->has_destination)
        json_set_prefix(o, "destination", &r->destination);
    const char *name = r->icmp             ? "icmp"
                       : !r->protocol      ? "any"
                       : r->protocol == 6  ? "tcp"
                       : r->protocol == 17 ? "udp"
                                           : NULL;
    json_object_set_new(o, "protocol", name ? json_string(name) : json_integer(r->protocol));
    if (r->has_source_port)
        json_set_ports(o, "source_port", r->source_port_low, r->source_port_high);
    if (r->has_destination_port)
        json_set_ports(o, "destination_port", r->destination_port_low, r->destination_port_high);
    return o;
}
