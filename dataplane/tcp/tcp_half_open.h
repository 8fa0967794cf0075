/* SPDX-License-Identifier: BSD-3-Clause
 * Passive opens between SYN and ACK: what happens to an entry of the SYN cache (tcp_half_open.c), and the making of
 * the connection once the client's ACK has proved that it is there. Called by tcp_open, tcp_in, tcp_cookie,
 * tcp_close. A half-open connection has no PCB, no frame and no timer of its own.
 */
#ifndef DATAPLANE_TCP_HALF_OPEN_H
#define DATAPLANE_TCP_HALF_OPEN_H

#include "tcp/tcp_internal.h"

/* Cold. */
enum tg_err tcp_half_open_init(struct tcp *tcp);
void tcp_half_open_destroy(struct tcp *tcp);

/* A SYN for a listener: keep it and answer. False, and nothing done: its bucket is full, or half_open_max
 * is reached, or memory is short. floor as in tcp_open_passive. */
struct tcp_floor;
bool tcp_half_open_add(struct tcp *tcp, const struct tcp_rx *rx, const struct tcp_floor *floor);

/* A segment for entry `number` (RFC 9293 s3.10.7.4 for SYN-RECEIVED after a passive open). Returns the connection
 * that it has made, established, and the segment itself is then the caller's to process; NULL: done with. */
struct tcp_pcb *tcp_half_open_arrives(struct tcp *tcp, uint32_t number, struct tcp_rx *rx);
/* An ICMP error quotes our SYN-ACK, or says so. */
void tcp_half_open_unreachable(struct tcp *tcp, uint32_t number, uint32_t seq, bool hard);
/* Nobody listens on this port any more: its half-open connections end, silently. */
void tcp_half_open_forget(struct tcp *tcp, uint16_t port);

/* A handshake that the client's ACK has completed, whatever had kept its first half. */
struct tcp_proof {
    uint32_t iss, irs, ts_offset, ts_recent;
    uint32_t syn_window; /* that the client's SYN told; 0: not known */
    tg_ns syn_ns;        /* when our SYN-ACK left; not known: now */
    uint8_t retries;
    bool sampled; /* syn_ns is a sample of the round trip */
    bool small;   /* our SYN-ACK told the small window */
    bool owner;   /* timestamps and ISN are an owner's cookie */
    struct owner_syn syn;
};
/* Make the connection, established and told to the user; NULL: there is no room for one (counted). */
struct tcp_pcb *tcp_open_proven(struct tcp *tcp, const struct tcp_rx *rx,
                                const struct tcp_proof *proof);

/* For tcp_check. */
const char *tcp_half_open_check(const struct tcp *tcp);

#endif
