/* SPDX-License-Identifier: BSD-3-Clause
 * Addresses and prefixes as text: "192.0.2.0/24", "2001:db8::/32", "192.0.2.1". As bytes: 16, IPv4
 * as IPv4-mapped with 96 added to the length, as contract/tables.h wants them. Pure.
 */
#ifndef CTRLPLANE_PREFIX_H
#define CTRLPLANE_PREFIX_H

#include "base/types.h"

struct prefix {
    uint8_t address[16];
    uint8_t bits; /* 0..128; IPv4: 96..128 */
};

#define PREFIX_TEXT_MAX 64 /* bytes that prefix_text needs at most, NUL included */

/* Parse text; a missing length means one host. `strict` refuses host bits behind the length.
 * Returns NULL, or what is wrong (in `problem` or static storage; valid until the next use of
 * problem). */
const char *prefix_parse(const char *text, bool strict, struct prefix *out, char problem[160]);

/* Parse an address without a length; false when it is none. */
bool address_parse(const char *text, uint8_t out[16]);
bool address_is4(const uint8_t address[16]);

/* Canonical text; an address form of one host loses its length. Returns out. */
char *prefix_text(const struct prefix *prefix, char out[PREFIX_TEXT_MAX]);
char *address_text(const uint8_t address[16], char out[PREFIX_TEXT_MAX]);

#endif
