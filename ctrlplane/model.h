/* SPDX-License-Identifier: BSD-3-Clause
 * All resources of this node as one JSON value of canonical forms. A value is never changed once it
 * is in force: a change makes a candidate that shares what stays the same; dropping the candidate
 * undoes it.
 *
 *   {"rules": {"7": {...}}, "waf": [...], "sites": {...}, "origins": {...}, "certificates": {...},
 *    "keyservers": {...}, "nodes": {...}, "fleet": {...}}
 *
 * A rule's "slot" is its hit counter in the region, "hits_base" what the counter said when the rule
 * got it.
 */
#ifndef CTRLPLANE_MODEL_H
#define CTRLPLANE_MODEL_H

#include "ctrlplane/problem.h"

/* An empty model. New reference. */
json_t *model_new(void);

/* The collection "rules", "sites", "origins", "certificates", "keyservers" or "nodes" (object of
 * resources), "waf" (array) or "fleet" (one object: fleet_setting_read), borrowed. */
json_t *model_get(const json_t *model, const char *collection);

/* A candidate with collection[key] = value (the reference is taken over), or without it when
 * value is NULL. */
json_t *model_with(const json_t *model, const char *collection, const char *key, json_t *value);
/* A candidate with another WAF program (the reference is taken over). */
json_t *model_with_waf(const json_t *model, json_t *rules);
/* A candidate with another setting of the fleet (the reference is taken over). */
json_t *model_with_fleet(const json_t *model, json_t *setting);
/* A candidate in which no rule's hits_base is above its counter: counters[TABLES_RULES_MAX] are
 * those of a region that may be a new one, in which all start at 0. The model itself (a new
 * reference) when that holds already. */
json_t *model_rebased(const json_t *model, const uint64_t counters[]);

/* Faults between resources, told from the point of view of the site `name`: unknown origin, host
 * taken, second default site. True when there is none. (Certificates may share names: one per
 * key type, or old and new in a roll-over.) */
bool model_site_check(const json_t *model, const char *name, struct problem *problem);
/* The first site that uses an origin, or NULL. */
const char *model_origin_user(const json_t *model, const char *origin);

/* The certificate's key server is there. */
bool model_certificate_check(const json_t *model, const char *name, struct problem *problem);
/* The first certificate whose key lies at a key server, or NULL. */
const char *model_keyserver_user(const json_t *model, const char *keyserver);

/* No other node has the slot or an address of the node `name`. */
bool model_node_check(const json_t *model, const char *name, struct problem *problem);

/* Read a model from the state file: every resource through its reader, every check between them.
 * NULL with the problem filled in (pointer from the document's root) when anything is amiss. */
json_t *model_read(const json_t *document, struct problem *problem);

/* A free hit counter slot, searched from behind the highest one in use; -1: all taken. */
int model_rule_slot(const json_t *model);
/* The lowest rule id above all in use (from 1); 0: none left. */
uint32_t model_rule_id(const json_t *model);
/* A rule's id as it is written in paths and keys: "1".."4294967295", no leading zero. */
bool rule_id_parse(const char *text, uint32_t *id);

/* Rule keys in numerical order, names in byte order: fills keys[] (borrowed, at most max),
 * returns the count. */
unsigned model_keys(const json_t *model, const char *collection, const char *keys[], unsigned max);

#endif
