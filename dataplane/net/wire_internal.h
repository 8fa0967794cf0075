/* SPDX-License-Identifier: BSD-3-Clause
 * Between the files of the parser only. Floor 1.
 */
#ifndef DATAPLANE_NET_WIRE_INTERNAL_H
#define DATAPLANE_NET_WIRE_INTERNAL_H

#include "net/wire.h"

/* Parse IPv4 or IPv6 at b->l3: fills in l4, l4_len, ip_version, ip_proto and trims link padding.
 * Returns TG_C_none or the reason to drop. */
enum tg_counter wire_parse_ip4(struct buf *b);
enum tg_counter wire_parse_ip6(struct buf *b);

/* Cut a frame to its first `bytes` bytes; pieces of a chain behind them stay, empty. */
void wire_trim(struct buf *b, uint32_t bytes);

#endif
