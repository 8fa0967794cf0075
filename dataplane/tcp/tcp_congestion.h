/* SPDX-License-Identifier: BSD-3-Clause
 * What the congestion controls share among themselves, and HyStart++. Included by tcp_cong.c, tcp_cubic.c, tcp_newreno.c,
 * tcp_hystart.c, tcp_ack.c.
 */
#ifndef DATAPLANE_TCP_CONGESTION_H
#define DATAPLANE_TCP_CONGESTION_H

#include "tcp/tcp_internal.h"

#define TCP_CWND_MAX (1u << 30)

/* cwnd by so many bytes more. */
void tcp_cwnd_grow(struct tcp_pcb *pcb, uint64_t bytes);
/* Slow start: grow by acknowledged bytes; those beyond ssthresh are left to congestion avoidance: returned. */
uint32_t tcp_slow_start(struct tcp_pcb *pcb, uint32_t bytes);
/* FlightSize of RFC 5681 equation 4, not more than what cwnd allowed (limited transmit). */
uint32_t tcp_flight(const struct tcp_pcb *pcb);

/* --- tcp_hystart.c: RFC 9406 ------------------------------------------------------------------------ */
/* A connection begins; or its first slow start is over (a loss, congestion). */
void tcp_hystart_begin(struct tcp_pcb *pcb);
void tcp_hystart_end(struct tcp_pcb *pcb);
/* A round-trip time, ns, of a segment that was sent once, with the ACK number that brought it (snd_una is set). May
 * end slow start: ssthresh = cwnd. */
void tcp_hystart_sample(struct tcp_pcb *pcb, tg_ns rtt);
/* How much cwnd grows for `bytes` acknowledged in slow start: all of it, or a quarter in conservative slow start. */
uint32_t tcp_hystart_growth(const struct tcp_pcb *pcb, uint32_t bytes);

#endif
