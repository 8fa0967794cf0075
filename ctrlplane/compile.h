/* SPDX-License-Identifier: BSD-3-Clause
 * Resources -> the blocks of contract/tables.h. A block that comes out has passed tables_valid;
 * what does not compile yields a problem and no block. Deterministic: equal resources give equal
 * bytes, so that a restarted tidegate-ctl sees whether the region already holds them. Pure but for
 * memory.
 */
#ifndef CTRLPLANE_COMPILE_H
#define CTRLPLANE_COMPILE_H

#include "contract/config.h"
#include "contract/secrets.h"
#include "ctrlplane/problem.h"

struct block {
    void *bytes; /* malloc'd; starts with struct tables_header, whose number is 0 */
    size_t len;
    bool secret; /* wiped when freed */
};

/* Who this node is, for TABLES_OWNERS. Borrowed. */
struct compile_node {
    const struct config *config;
    const struct secrets *secrets; /* NULL: the configuration names no file */
    /* The owners in force: buckets that move keep their former owners. NULL: none. */
    const struct tables_owners *before;
};

/* Compile one kind from the model. False: the problem says what is wrong; *out is empty.
 * self  only TABLES_OWNERS needs it */
bool compile_tables(enum tables_kind kind, const json_t *model, const struct compile_node *self,
                    struct block *out, struct problem *problem);
void block_free(struct block *block);

/* One kind each; called by compile_tables only. The name of the certificate or the index of the
 * WAF rule that is to blame goes into the problem's extras ("certificate", "index"). */
bool compile_rules(const json_t *model, struct block *out, struct problem *problem);
bool compile_routes(const json_t *model, struct block *out, struct problem *problem);
bool compile_certificates(const json_t *model, struct block *out, struct problem *problem);
bool compile_waf(const json_t *model, struct block *out, struct problem *problem);
/* Never fails: a node that cannot be one of the fleet is alone (compile_member). */
bool compile_owners(const json_t *model, const struct compile_node *self, struct block *out);

/* Is this node one of the model's nodes? Only then its owners table is a fleet's; else it serves alone, as without
 * nodes: strangers' packets are answered with RST. False: `why` says in one sentence what is amiss, "" when there
 * are no nodes. */
bool compile_member(const json_t *model, const struct compile_node *self, char why[640]);
/* If the node `name` has our slot: does it say what our configuration says, and are there secrets? 422 with the
 * member's pointer: "not-ours"; "no-secrets". */
bool compile_node_check(const json_t *model, const char *name, const struct compile_node *self,
                        struct problem *problem);

/* Zeroed block of `len` bytes with its header filled in; asserts that memory is there and len
 * fits 32 bits. */
void block_make(struct block *out, enum tables_kind kind, size_t len);

/* Names of sites and origins by the ids in the tables: id = position in model_keys + 1. NULL:
 * none. */
const char *compile_site_name(const json_t *model, uint32_t id);
const char *compile_origin_name(const json_t *model, uint32_t id);

#endif
