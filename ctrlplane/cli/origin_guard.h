/* SPDX-License-Identifier: BSD-3-Clause
 * Lists of the edges' addresses in forms that an origin's host takes; see origin_guard.c.
 */
#ifndef CTRLPLANE_CLI_ORIGIN_GUARD_H
#define CTRLPLANE_CLI_ORIGIN_GUARD_H

#include <jansson.h>

/* Addresses of the edges as arrays of strings. */
struct edges {
    json_t *v4, *v6;
};

/* To stdout. ports: "443" or "80,443", digits and single commas only. */
void guard_nftables_print(const struct edges *e, const char *ports);
void guard_xdp_print(const struct edges *e, const char *ports);
/* The addresses with commas between `before` and `after`; nothing when there are none. */
void guard_list_print(const char *before, const json_t *list, const char *after);

#endif
