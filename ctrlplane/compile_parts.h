/* SPDX-License-Identifier: BSD-3-Clause
 * What compilers share that write into one block: compile_certificates and compile_keyservers, compile_routes and
 * compile_origins.
 */
#ifndef CTRLPLANE_COMPILE_PARTS_H
#define CTRLPLANE_COMPILE_PARTS_H

#include "ctrlplane/compile.h"

/* A string member of a canonical resource; empty when absent. */
struct span block_member(const json_t *o, const char *name);
/* Append a string to the block's strings. */
struct tables_string block_put(void *block, size_t *at, struct span s);

/* The model's key servers, sorted by name: the index of each is its place in the table. */
struct keyservers {
    const json_t *all;
    const char *names[TABLES_KEYSERVERS_MAX];
    unsigned count;
};
void keyservers_begin(struct keyservers *k, const json_t *model);
size_t keyservers_string_bytes(const struct keyservers *k);
/* UINT32_MAX: no such one, or name is NULL. */
uint32_t keyservers_index(const struct keyservers *k, const char *name);
/* Write them at servers_at, their strings from *at on. */
void keyservers_emit(const struct keyservers *k, struct tables_certificates *t, size_t servers_at,
                     size_t *at);
/* Does tls/ take them? False: the problem names the first that it refuses ("keyserver"). */
bool keyservers_check(const struct keyservers *k, struct problem *problem);

/* An origin: the bytes of its strings beside the name; written into its place, strings from *at on; does tls/ take it?
 * False: the problem names it ("origin"). */
size_t origin_string_bytes(const json_t *origin);
void origin_emit(void *block, struct tables_origin *out, const json_t *origin, size_t *at);
bool origin_check(const char *name, const json_t *origin, struct problem *problem);

#endif
