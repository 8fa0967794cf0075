/* SPDX-License-Identifier: BSD-3-Clause
 * When the next new segment may leave (tcp_pace.c). Called by tcp_out.
 */
#ifndef DATAPLANE_TCP_PACE_H
#define DATAPLANE_TCP_PACE_H

#include "tcp/tcp_internal.h"

bool tcp_pace_allows(const struct tcp *tcp, const struct tcp_pcb *pcb, tg_ns now);
/* A new segment of so many bytes has left. */
void tcp_pace_sent(const struct tcp *tcp, struct tcp_pcb *pcb, uint32_t bytes, tg_ns now);
/* When it will be allowed, after it was not: for TCP_D_PACE. */
tg_ns tcp_pace_next(const struct tcp_pcb *pcb, tg_ns now);

#endif
