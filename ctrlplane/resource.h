/* SPDX-License-Identifier: BSD-3-Clause
 * The resources of the API as C: each reader takes the JSON that a client (or the state file)
 * gives, checks every member, and yields the canonical form that the model keeps, GET returns and
 * compile turns into tables. Pure: what a resource says about others (a site's origin) is model's
 * business.
 */
#ifndef CTRLPLANE_RESOURCE_H
#define CTRLPLANE_RESOURCE_H

#include "contract/tables.h"
#include "ctrlplane/json_fields.h"
#include "ctrlplane/prefix.h"
#include "waf/waf.h"

#define RESOURCE_NAME_MAX      64          /* bytes of a site's, origin's or certificate's name */
#define RESOURCE_HOSTS_MAX     64          /* hosts of one site, names of one certificate */
#define RESOURCE_PEM_MAX       (64 * 1024) /* bytes of one chain or key */
#define RESOURCE_WAF_RULES_MAX 4096
#define RESOURCE_PATTERN_MAX   8192 /* bytes */

/* A drop rule: a packet that matches all parts is dropped. */
struct drop_rule {
    bool has_source, has_destination;
    struct prefix source, destination;
    uint8_t protocol; /* IP protocol number; 0: any */
    bool icmp;        /* "icmp": 1 with IPv4, 58 with IPv6; protocol is 0 then */
    bool has_source_port, has_destination_port;
    uint16_t source_port_low, source_port_high;
    uint16_t destination_port_low, destination_port_high;
};

/* Read a rule. extra[]: further member names that the caller handles ("id"; NULL-terminated, at
 * most 6). False: the problem says what is wrong. */
bool rule_read(const json_t *in, const char *pointer, const char *const extra[],
               struct drop_rule *out, struct problem *problem);
/* The canonical JSON of a rule, without id and hits. New reference. */
json_t *rule_json(const struct drop_rule *rule);
/* Protocol as it is written in JSON ("tcp", "any", "icmp", "47") to number; false: not one. */
bool protocol_parse(const char *text, uint8_t *protocol, bool *icmp);

/* The others yield the canonical JSON at once: a new reference, or NULL with the problem filled
 * in. */
json_t *site_read(const json_t *in, const char *pointer, struct problem *problem);
json_t *origin_read(const json_t *in, const char *pointer, struct problem *problem);
json_t *certificate_read(const json_t *in, const char *pointer, struct problem *problem);
json_t *keyserver_read(const json_t *in, const char *pointer, struct problem *problem);
json_t *node_read(const json_t *in, const char *pointer, struct problem *problem);
json_t *waf_rule_read(const json_t *in, const char *pointer, struct problem *problem);
/* What the fleet as a whole is set to: {"forward": true|false}. The canonical form says only what differs from the
 * default, which is to forward. */
json_t *fleet_setting_read(const json_t *in, const char *pointer, struct problem *problem);
bool fleet_setting_forward(const json_t *setting);
/* A canonical node as the tables have it. */
struct tables_node node_from(const json_t *node);
/* The whole program: an array of rules with distinct ids. */
json_t *waf_rules_read(const json_t *in, struct problem *problem);

/* A canonical WAF rule for waf_compile; spans borrow from the JSON. */
struct waf_rule waf_rule_from(const json_t *rule);
/* "uri", "headers", ...; NULL for a value that is none. */
const char *waf_target_name(enum waf_target target);

/* Name of a resource in a path: letters, digits, '.', '_', '-'; 1..64 bytes; not starting with a
 * dot. */
bool resource_name_valid(const char *name);
/* A host name, "*.rest", an IPv4 address or a bracketed IPv6 address, without port; copied in
 * lower case. */
bool host_canonical(const char *text, char out[256]);
/* "192.0.2.1:2407", "[2001:db8::1]:2407"; without a port: 2407. */
bool keyserver_address_parse(const char *text, uint8_t address[16], unsigned *port);
/* An address that a connection can be opened to: not unspecified, multicast or broadcast. */
bool address_unicast(const uint8_t address[16]);
/* The member "server_name": a host name in lower case, or an address, as a certificate has it; text NULL: out is "". */
void server_name_check(const struct fields *f, const char *text, char out[256]);
/* A string member that must hold a PEM block with this label. */
const char *fields_pem(const struct fields *f, const char *name, bool required, const char *label);
/* Read an array member of host names into a new canonical array; NULL with the problem filled
 * in. */
json_t *hosts_read(const struct fields *f, const char *name, bool required);

#endif
