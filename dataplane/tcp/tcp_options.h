/* SPDX-License-Identifier: BSD-3-Clause
 * TCP options: a strict reader, and a writer in an order that a profile gives. Called by tcp_in and
 * tcp_emit; knows no connection.
 */
#ifndef DATAPLANE_TCP_OPTIONS_H
#define DATAPLANE_TCP_OPTIONS_H

#include "base/span.h"

#define TCP_OPTIONS_MAX      40 /* bytes; data offset is 4 bits */
#define TCP_SACK_BLOCKS_MAX  4  /* RFC 2018 s3 */
#define TCP_WSCALE_MAX       14 /* RFC 7323 s2.3 */
#define TCP_TIMESTAMPS_BYTES 12 /* the option and its padding */

enum tcp_option_kind {
    TCP_OPTION_END = 0,
    TCP_OPTION_NOP = 1,
    TCP_OPTION_MSS = 2,
    TCP_OPTION_WSCALE = 3,
    TCP_OPTION_SACK_PERMITTED = 4,
    TCP_OPTION_SACK = 5,
    TCP_OPTION_TIMESTAMPS = 8,
};

/* Where options lie in a header: one after the other, each behind as many NOPs as put it at an offset of
 * `residue` modulo `modulus`. An order is part of what a stack is known by. */
struct tcp_option_place {
    uint8_t kind;             /* enum tcp_option_kind; 0 ends the list */
    uint8_t modulus, residue; /* modulus: 1, 2 or 4 */
};
struct tcp_option_order {
    struct tcp_option_place places[6];
    uint8_t padding; /* fills up to four bytes at the end: TCP_OPTION_NOP or TCP_OPTION_END */
    bool sack_permitted_pairs; /* SACK-permitted stands in for the NOPs in front of timestamps */
};
/* Linux's order, which middleboxes have seen most. */
#define TCP_ORDER_LINUX                                                                            \
    {                                                                                              \
        .places = {{TCP_OPTION_MSS, 1, 0},                                                         \
                   {TCP_OPTION_SACK_PERMITTED, 4, 2},                                              \
                   {TCP_OPTION_TIMESTAMPS, 4, 2},                                                  \
                   {TCP_OPTION_WSCALE, 4, 1},                                                      \
                   {TCP_OPTION_SACK, 4, 2}},                                                       \
        .padding = TCP_OPTION_NOP, .sack_permitted_pairs = true,                                   \
    }

struct tcp_sack_block {
    uint32_t left, right; /* right is behind the last byte */
};

struct tcp_options {
    bool has_mss, has_wscale, has_timestamps, sack_permitted;
    uint8_t wscale;
    uint8_t sack_count;
    uint16_t mss;
    uint32_t ts_value, ts_echo;
    struct tcp_sack_block sack[TCP_SACK_BLOCKS_MAX];
};

/* Read the options of a segment (at most TCP_OPTIONS_MAX bytes, borrowed). False when one is malformed:
 * a length of 0 or 1, beyond the end, not the one its kind has, or a known kind twice. Unknown kinds
 * are skipped (RFC 9293 s3.2, MUST-6, MUST-7). A window scale above 14 reads as 14. */
bool tcp_options_parse(struct span bytes, struct tcp_options *out);

/* Write the options that are present and that the order names, padded to four bytes; returns the bytes
 * written. As many SACK blocks as fit in `room` (<= TCP_OPTIONS_MAX, multiple of 4); everything else must
 * fit. */
unsigned tcp_options_emit_in(const struct tcp_option_order *order,
                             const struct tcp_options *options, uint8_t *out, unsigned room);
/* The same in Linux's order. */
unsigned tcp_options_emit(const struct tcp_options *options, uint8_t *out, unsigned room);

#endif
