/* SPDX-License-Identifier: BSD-3-Clause
 * Every key of the fleet store, and what its value holds. This file is the format: another program that reads or
 * writes the store goes by it, and fleet_keys_test.c holds it still. Pure.
 *
 * All keys of a fleet start with /tidegate/v1/fleet/<fleet>/ where <fleet> is control.fleet of the configuration
 * (letters, digits, '-', '_'; 1 to 64 bytes). "v1" is the version of this format: a version that old nodes could
 * not read moves to another number, and both may lie side by side. Values are JSON in UTF-8, at most 1 MiB, written
 * compact with sorted members. Readers are strict: a member that they do not know is a fault, and a value with a
 * fault is left out (what the node had under that key stays), counted, and named in /v1/status.
 *
 *   meta              {"format":1,"made_by":"edge1"}: the store has been set up: what is here rules. While it is
 *                     missing the store is new, and nodes put their own resources here rather than lose them.
 *                     Written once, by the node that ended the setting up, or with a first write.
 *   heartbeat         {"node":"edge1","run":"1f0c..."}: written about every second by whichever node finds it old.
 *                     Whoever watches sees by it that nothing is missing. "run" is random per process.
 *   fleet             {"forward":false}: what the fleet as a whole is set to. Missing: all as by default.
 *   guard/nodes       as guard/routes, for nodes/. (A slot and an address belong to one node.)
 *   guard/routes      {"node":"edge1"}: written by every write to origins/ or sites/, which also expects the revision
 *                     that its writer has seen: such writes happen one after the other, each checked against all
 *                     before it. (A site names an origin, and a host belongs to one site.)
 *   nodes/<name>      {"address4":"192.0.2.1","address6":"2001:db8::1","site":1,"slot":7}; one address at least.
 *   origins/<name>    {"address":"10.0.0.5","connect_timeout_ms":3000,"connections_max":256,"idle_timeout_ms":60000,
 *                     "port":8080,"response_timeout_ms":30000}
 *   rules/<id>        {"destination_port":80,"protocol":"tcp","source":"192.0.2.0/24"}; <id> 1 to 4294967295 without
 *                     leading zeros. Hits are a node's own and not in here.
 *   sites/<name>      {"default":false,"hosts":["www.example.com"],"origin":"app","waf":true}
 *   waf               [{"action":"block","id":1001,"message":"...","pattern":"...","targets":["uri"]},...]: the whole
 *                     program, in its order. Missing: no rules.
 *
 * <name> as in the API: 1 to 64 letters, digits, '.', '_', '-', not starting with a dot. Members are those of the
 * API's canonical forms (docs/OPERATIONS.md). Certificates, private keys and key servers are never in the store: they
 * stay on their node. A key under the fleet's prefix that is none of these counts as left out, too.
 */
#ifndef CTRLPLANE_FLEET_KEYS_H
#define CTRLPLANE_FLEET_KEYS_H

#include "contract/tables.h"
#include "ctrlplane/fleet.h"

#include <jansson.h>

enum fleet_part {
    KEY_META,
    KEY_HEARTBEAT,
    KEY_GUARD_NODES,
    KEY_GUARD_ROUTES,
    KEY_FLEET,
    KEY_NODES,
    KEY_ORIGINS,
    KEY_RULES,
    KEY_SITES,
    KEY_WAF,
    KEY_STRANGE, /* none of ours */
};

/* "/tidegate/v1/fleet/lab/" */
void fleet_prefix(const char *fleet, char out[FLEET_KEY_MAX]);

/* The whole key of a part, and of the resource `name` in it ("" where the part is one key). */
void fleet_key(const char *prefix, enum fleet_part part, const char *name, char out[FLEET_KEY_MAX]);

/* What a key stands for; *name: borrowed from it, "" where there is none. Checks names and ids. */
enum fleet_part fleet_key_parse(const char *prefix, const char *key, const char **name);

/* The parts that hold named resources, those first that others lean on. */
#define FLEET_NAMED_PARTS 4
extern const enum fleet_part fleet_named_parts[FLEET_NAMED_PARTS];
/* The parts that are one key with all there is of them. */
#define FLEET_SINGLE_PARTS 2
extern const enum fleet_part fleet_single_parts[FLEET_SINGLE_PARTS];
bool fleet_part_is_single(enum fleet_part part);
/* What the model has of a single part; NULL when it is empty, for then the store has no such key. Borrowed. */
json_t *fleet_single_get(const json_t *model, enum fleet_part part);

/* The collection in the model ("rules", "sites", "origins", "nodes", "waf", "fleet"); NULL: the part holds no resources. */
const char *fleet_collection(enum fleet_part part);
/* The tables that the part's resources are compiled into. Only for parts that hold some. */
enum tables_kind fleet_tables(enum fleet_part part);

/* The value of a resource as the store has it (malloc'd), from the form in the model. */
char *fleet_value(enum fleet_part part, const json_t *resource);
/* Values of meta, heartbeat and the guards. malloc'd. */
char *fleet_meta_value(const char *node);
char *fleet_heartbeat_value(const char *node, const char *run);
char *fleet_guard_value(const char *node);

#endif
