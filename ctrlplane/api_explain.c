/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/explain: what the data plane would do with a packet and a host, by the data plane's own
 * look-ups over tables compiled from the model in force.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/compile.h"
#include "ctrlplane/model.h"
#include "ctrlplane/prefix.h"
#include "ctrlplane/publish.h"
#include "ctrlplane/resource.h"
#include "filter/filter.h"
#include "route/route.h"

#include <string.h>

/* The packet that is asked about. */
struct question {
    struct ip_addr source, destination;
    uint8_t protocol;
    uint16_t source_port, destination_port;
    const char *host; /* NULL: not asked */
};

/* An address from a query parameter; without one the unspecified address of `like`'s family,
 * which matches only rules that leave that side open. */
static void address_query(struct call *call, const char *name, const struct ip_addr *like,
                          struct ip_addr *out)
{
    const char *text = call_query(call, name);
    memset(out, 0, sizeof *out);
    if (!text && like && address_is4(like->bytes))
        address_parse("0.0.0.0", out->bytes);
    else if (text && !address_parse(text, out->bytes))
        call_query_fault(call, name, "must be an IPv4 or IPv6 address");
}

static bool question_read(struct call *call, struct question *q)
{
    static const char *const known[] = {
        "source", "destination", "protocol", "source_port", "destination_port", "host", NULL};
    memset(q, 0, sizeof *q);
    if (!call_query_check(call, known))
        return false;
    const char *source = call_query(call, "source"), *protocol = call_query(call, "protocol");
    q->host = call_query(call, "host");
    if (!source && !q->host)
        call_query_fault(call, "source", "is missing: give source, host, or both");
    address_query(call, "source", NULL, &q->source);
    address_query(call, "destination", &q->source, &q->destination);
    if (source && address_is4(q->source.bytes) != address_is4(q->destination.bytes))
        call_query_fault(call, "destination", "is of another address family than source");
    bool icmp = false;
    q->protocol = IP_PROTO_TCP;
    if (protocol && (!protocol_parse(protocol, &q->protocol, &icmp) || (!icmp && !q->protocol)))
        call_query_fault(call, "protocol", "must be tcp, udp, icmp or a number from 1 to 255");
    if (icmp)
        q->protocol = address_is4(q->source.bytes) ? IP_PROTO_ICMP : IP_PROTO_ICMP6;
    bool ports = q->protocol == IP_PROTO_TCP || q->protocol == IP_PROTO_UDP;
    q->source_port = (uint16_t)call_query_number(call, "source_port", 0, 0, 65535);
    q->destination_port =
        (uint16_t)call_query_number(call, "destination_port", ports ? 443 : 0, 0, 65535);
    return call->problem.status == 0;
}

static json_t *protocol_json(uint8_t protocol)
{
    if (protocol == IP_PROTO_TCP || protocol == IP_PROTO_UDP)
        return json_string(protocol == IP_PROTO_TCP ? "tcp" : "udp");
    return json_integer(protocol);
}

static json_t *packet_json(const struct question *q)
{
    char source[PREFIX_TEXT_MAX], destination[PREFIX_TEXT_MAX];
    return json_pack("{s:s, s:s, s:o, s:i, s:i}", "source", address_text(q->source.bytes, source),
                     "destination", address_text(q->destination.bytes, destination), "protocol",
                     protocol_json(q->protocol), "source_port", q->source_port, "destination_port",
                     q->destination_port);
}

/* Which rule drops the packet. */
static bool packet_explain(struct call *call, const struct question *q, json_t *answer)
{
    struct block block;
    const struct control *c = call->control;
    if (!compile_tables(TABLES_RULES, c->model, 0, &block, &call->problem))
        return false;
    const struct tables_rules *rules = block.bytes;
    int index = filter_match(rules, &q->source, &q->destination, q->protocol, q->source_port,
                             q->destination_port);
    json_object_set_new(answer, "packet", packet_json(q));
    json_object_set_new(answer, "action", json_string(index < 0 ? "pass" : "drop"));
    json_object_set_new(answer, "rule",
                        index < 0 ? json_null() : json_integer(rules->rules[index].id));
    block_free(&block);
    return index >= 0;
}

static json_t *origin_json(const struct control *c, const struct tables_origin *origin)
{
    char address[PREFIX_TEXT_MAX];
    return json_pack("{s:s, s:s, s:i}", "name", compile_origin_name(c->model, origin->id),
                     "address", address_text(origin->address, address), "port", origin->port);
}

/* Which site answers for the host, and its origin. */
static void host_explain(struct call *call, const struct question *q, json_t *answer)
{
    struct block block;
    const struct control *c = call->control;
    if (!compile_tables(TABLES_ROUTES, c->model, 0, &block, &call->problem))
        return;
    const struct tables_routes *routes = block.bytes;
    const struct tables_site *site = route_site(routes, span_from_string(q->host));
    json_object_set_new(answer, "host", json_string(q->host));
    json_object_set_new(answer, "site",
                        site ? json_string(compile_site_name(c->model, site->id)) : json_null());
    if (site) {
        struct span host = tables_string_span(routes, site->host);
        json_object_set_new(answer, "matched_host",
                            json_stringn((const char *)host.data, host.len));
        json_object_set_new(answer, "waf", json_boolean(site->flags & TABLES_SITE_WAF));
        json_object_set_new(answer, "origin", origin_json(c, route_origin(routes, site->origin)));
    }
    block_free(&block);
}

void explain_get(struct call *call)
{
    struct question q;
    if (!question_read(call, &q))
        return;
    json_t *answer = json_object();
    bool dropped = call_query(call, "source") && packet_explain(call, &q, answer);
    if (!dropped && q.host && !call->problem.status)
        host_explain(call, &q, answer);
    json_t *generations = json_pack(
        "{s:I, s:I}", "rules", (json_int_t)publish_generation(call->control, TABLES_RULES),
        "routes", (json_int_t)publish_generation(call->control, TABLES_ROUTES));
    json_object_set_new(answer, "generations", generations);
    call_answer(call, 200, answer);
}
