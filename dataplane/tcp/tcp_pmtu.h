/* SPDX-License-Identifier: BSD-3-Clause
 * The path's MTU: ICMP's claims and whether to believe them (RFC 1191, RFC 8201, RFC 5927 s7), black holes
 * and the way up again without ICMP (RFC 4821, RFC 8899). Called by tcp_out, tcp_timer, tcp_in and
 * tcp_close. It decides sizes; tcp_loss resends.
 *
 * A connection starts with the MTU of its port, as Linux does, not from below as RFC 8899 s5.2 would: most paths
 * bear it. Only when the MTU has had to fall does the search begin, from what is known to pass up to what
 * the port and the peer bear.
 */
#ifndef DATAPLANE_TCP_PMTU_H
#define DATAPLANE_TCP_PMTU_H

#include "tcp/tcp_internal.h"

/* ICMP says that a packet with sequence number `seq`, in flight, was larger than `mtu`. */
void tcp_pmtu_too_big(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t seq, uint32_t mtu, tg_ns now);
/* A retransmission timeout, before its segments are marked: perhaps it is their size. */
void tcp_pmtu_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* The first segment is about to leave again, once more: perhaps it is its size. The MSS may be smaller
 * afterwards. */
void tcp_pmtu_resends(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b);
/* A segment is about to leave: for the first time, or again. */
void tcp_pmtu_sends(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b, tg_ns now);
/* snd_una has moved. */
void tcp_pmtu_acked(struct tcp *tcp, struct tcp_pcb *pcb);
/* Make the next unsent segment a probe when one is due and the connection can afford its loss. Returns the
 * size of its packet, and the segment may leave without more ado; 0: no probe. TCP_PMTU_WAIT: one is due, and
 * nothing else should leave before the next ACK has made room for it. */
#define TCP_PMTU_WAIT 1
uint16_t tcp_pmtu_probe(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* It has left. */
void tcp_pmtu_probe_sent(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b, uint16_t size);
/* Before a recovery is entered: the first segment is a probe, and nothing else is missing. Its loss is no sign
 * of congestion (RFC 4821 s7.7): the window stays what it is. */
bool tcp_pmtu_excuses(const struct tcp_pcb *pcb);
/* A fresh active part for a connection whose path takes less than its port. */
void tcp_pmtu_wakes(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);

#endif
