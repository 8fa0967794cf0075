/* SPDX-License-Identifier: BSD-3-Clause
 * Explicit congestion notification (RFC 3168): who speaks it, what is marked, what is echoed. Called by tcp_open, tcp_cookie
 * (the SYNs), tcp_in (marks and echoes in), tcp_loss, tcp_emit (out).
 */
#ifndef DATAPLANE_TCP_ECN_H
#define DATAPLANE_TCP_ECN_H

#include "tcp/tcp_internal.h"

#define TCP_ECN_ECT0 2 /* in the traffic class (s5) */
#define TCP_ECN_CE   3

/* Does this SYN ask for ECN, and do we agree (s6.1.1)? Or does this SYN-ACK agree: one that reflects both bits does not
 * (s6.1.1.1). */
bool tcp_ecn_asked(const struct tcp *tcp, uint8_t flags);
bool tcp_ecn_agreed(uint8_t flags);
/* Flags of our SYN (asks, unless a former one was lost), or of our SYN-ACK (agrees). */
uint8_t tcp_ecn_syn_flags(const struct tcp *tcp, const struct tcp_pcb *pcb);
/* Our SYN was refused with RST: by something that does not know these bits, perhaps. True: it has asked for ECN, and
 * another one that does not will leave (s6.1.1.1: MAY). */
bool tcp_ecn_refused(struct tcp *tcp, struct tcp_pcb *pcb);
/* Was the packet marked on its way? Asked before its headers go. */
bool tcp_ecn_marked(const struct buf *b);

/* A segment of the connection that fits into its window: CWR ends our echo, a mark on text begins it (s6.1.3). */
void tcp_ecn_arrives(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx);
/* An acceptable ACK: its echo cuts the window, once a window's time (s6.1.2). */
void tcp_ecn_echoed(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx);

/* The window was reduced, for whatever reason: the next new text says CWR, and what is in flight now cuts it no further
 * (s6.1.2). */
void tcp_ecn_reduced(struct tcp_pcb *pcb);
/* It was reduced less than a window ago: a loss among what is in flight is no further sign. */
bool tcp_ecn_has_cut(const struct tcp_pcb *pcb);

/* What a segment of the connection carries: ECE while we echo; new text also CWR, once, and the mark ECT(0), which
 * retransmissions, probes and pure ACKs must not (s6.1.4 to s6.1.6). */
uint8_t tcp_ecn_flags(struct tcp_pcb *pcb, bool new_text);
uint8_t tcp_ecn_class(const struct tcp_pcb *pcb, bool new_text);

#endif
