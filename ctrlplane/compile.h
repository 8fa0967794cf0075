/* SPDX-License-Identifier: BSD-3-Clause
 * Resources -> the blocks of contract/tables.h. A block that comes out has passed tables_valid;
 * what does not compile yields a problem and no block. Deterministic: equal resources give equal
 * bytes, so that a restarted tidegate-ctl sees whether the region already holds them. Pure but for
 * memory.
 */
#ifndef CTRLPLANE_COMPILE_H
#define CTRLPLANE_COMPILE_H

#include "contract/tables.h"
#include "ctrlplane/problem.h"

struct block {
    void *bytes; /* malloc'd; starts with struct tables_header, whose number is 0 */
    size_t len;
    bool secret; /* wiped when freed */
};

/* Compile one kind from the model. False: the problem says what is wrong; *out is empty.
 * node_slot  this node's owner slot, for TABLES_OWNERS */
bool compile_tables(enum tables_kind kind, const json_t *model, uint32_t node_slot,
                    struct block *out, struct problem *problem);
void block_free(struct block *block);

/* One kind each; called by compile_tables only. The name of the certificate or the index of the
 * WAF rule that is to blame goes into the problem's extras ("certificate", "index"). */
bool compile_rules(const json_t *model, struct block *out, struct problem *problem);
bool compile_routes(const json_t *model, struct block *out, struct problem *problem);
bool compile_certificates(const json_t *model, struct block *out, struct problem *problem);
bool compile_waf(const json_t *model, struct block *out, struct problem *problem);
bool compile_owners(uint32_t node_slot, struct block *out, struct problem *problem);

/* Zeroed block of `len` bytes with its header filled in; asserts that memory is there and len
 * fits 32 bits. */
void block_make(struct block *out, enum tables_kind kind, size_t len);

/* Names of sites and origins by the ids in the tables: id = position in model_keys + 1. NULL:
 * none. */
const char *compile_site_name(const json_t *model, uint32_t id);
const char *compile_origin_name(const json_t *model, uint32_t id);

#endif
