/* SPDX-License-Identifier: BSD-3-Clause
 * Base64 (RFC 4648 s4), in which etcd's JSON gateway writes keys and values. Pure but for memory.
 */
#ifndef CTRLPLANE_BASE64_H
#define CTRLPLANE_BASE64_H

#include "base/span.h"

/* With padding and a NUL, malloc'd. */
char *base64_encode(struct span bytes);

/* Decode the whole text: malloc'd bytes with a NUL behind them, *len of them. NULL: a letter outside the alphabet, wrong
 * padding, or bits behind the last byte that are not 0. */
uint8_t *base64_decode(const char *text, size_t text_len, size_t *len);

#endif
