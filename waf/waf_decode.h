/* SPDX-License-Identifier: BSD-3-Clause
 * Streaming URL decoder: %XX and, where asked, '+' (RFC 3986 s2.1; WHATWG URL, urlencoded parsing).
 * Used by waf.c for values that lie in memory and by waf_form.c for bodies cut anywhere. Knows no
 * targets and no rules.
 *
 * A '%' that two hex digits do not follow stays as it is, as browsers and servers keep it.
 */
#ifndef WAF_WAF_DECODE_H
#define WAF_WAF_DECODE_H

#include "base/span.h"

/* What of an escape has been seen: nothing, "%", or "%" and a first hex digit. */
struct waf_decode {
    uint8_t held; /* bytes of an unfinished escape, 0..2 */
    uint8_t high; /* the first hex digit as received, when held is 2 */
};

/* Most bytes that one input byte, or the end, can release. */
#define WAF_DECODE_RELEASE_MAX 3

/* Feed one raw byte; writes the bytes that it releases to out (room for WAF_DECODE_RELEASE_MAX)
 * and returns how many. plus_is_space: '+' means a space (queries and forms), else it stays. */
unsigned waf_decode_byte(struct waf_decode *d, uint8_t byte, bool plus_is_space, uint8_t *out);

/* The value ends: what was held is released as it is; the decoder is fresh again. */
unsigned waf_decode_end(struct waf_decode *d, uint8_t *out);

/* True when decoding would change the value: the raw scan alone does not suffice. */
bool waf_decode_changes(struct span value, bool plus_is_space);

/* Decode a whole value into out (room for value.len bytes: decoding never grows a value). */
size_t waf_decode_value(struct span value, bool plus_is_space, uint8_t *out);

#endif
