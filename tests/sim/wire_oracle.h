/* SPDX-License-Identifier: BSD-3-Clause
 * Judges one TCP from outside: everything that it sends, by what had been sent to it before. Fed with all
 * frames that leave a node and all that reach it; knows nothing of the stack inside. Used by host.c.
 *
 * What must hold for each connection (RFC 9293 unless said otherwise):
 *   checksums are right, and no segment is larger than the peer's MSS allows (s3.7.1)
 *   no data before the handshake is over, none beyond the window's edge but probes (s3.8.6.1)
 *   acknowledged is only what has arrived without gaps, and never less than before
 *   the right edge of the window never moves back (s3.8.6)
 *   SACK blocks name data that has arrived (RFC 2018 s3, RFC 2883 s4 for the first)
 *   timestamps never go back, echo one that has come, and are in every segment or in none (RFC 7323 s3.2)
 *   only new data of connections that agreed is ECN-capable, and a mark is echoed only if one came (RFC 3168)
 *   a reset answers something: its number is one that the peer has acknowledged lately, or our next (s3.10.7)
 */
#ifndef TESTS_SIM_WIRE_ORACLE_H
#define TESTS_SIM_WIRE_ORACLE_H

#include "net/wire.h"

#define WIRE_RANGES_MAX 256
#define WIRE_ACKS_MAX   1024 /* more than wait in a node at a time, when a clog has come free */

struct sim;

struct wire_range {
    uint32_t left, right;
};

/* A segment as both directions need it; addresses as the node sees them. */
struct wire_seen {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    uint32_t seq, ack, seq_end; /* seq_end: with SYN and FIN */
    uint32_t bytes;
    uint16_t window;
    uint8_t flags;
    uint8_t ecn; /* of the IP header: 0 not capable, 1 and 2 capable, 3 congestion met */
    unsigned option_bytes;
    bool has_mss, has_wscale, has_sack_permitted, has_ts;
    uint16_t mss;
    uint8_t shift;
    uint32_t ts_value, ts_echo;
    unsigned sack_count;
    struct wire_range sack[4];
};

/* One connection as the wire shows it. `out`: the judged side's; `in`: what reached it. */
struct wire_flow {
    bool used;
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;

    bool syn_out, syn_in;                               /* SYN or SYN-ACK */
    bool answered;                                      /* our SYN has been acknowledged */
    bool wscale_out, wscale_in, sack_in, ts_out, ts_in; /* options of the SYNs */
    uint8_t shift_out, shift_in;
    uint8_t syn_flags_out, syn_flags_in;
    bool marked; /* data with a congestion mark has arrived */
    uint16_t mss_in;
    uint32_t isn_in, isn_out;
    /* SYN-ACKs with different numbers: a cookie, and an answer to the same SYN sent again. We have not chosen yet. */
    struct wire_seen answers[2];
    unsigned answer_count;
    struct wire_seen syn_sent,
        syn_before; /* of ours: the last, and one before with another number */
    bool answered_twice;

    uint32_t sent_end;    /* behind the last that was sent */
    uint32_t acked_out;   /* of our own, what the peer has acknowledged */
    uint32_t edge_in;     /* we may send up to here */
    uint32_t ack_sent;    /* the highest */
    uint32_t edge_out;    /* the peer may send up to here */
    uint32_t ts_sent;     /* the latest */
    uint32_t ts_arrived;  /* the latest */
    uint32_t arrived_end; /* behind the last that arrived */
    bool ack_known, edge_known, fin_in;
    bool reset_out;       /* we have reset it */
    uint32_t fin_end;     /* behind the peer's FIN */
    unsigned range_count; /* what has arrived, from ack_sent on, in order */
    bool ranges_lost;     /* there were too many: no more judgements about them */
    struct wire_range ranges[WIRE_RANGES_MAX];
    uint32_t acks[WIRE_ACKS_MAX]; /* the latest that arrived, in a ring */
    unsigned ack_count;
};

struct wire_oracle {
    struct sim *sim;
    const char *name;
    uint16_t mtu;
    struct wire_flow *flows; /* open addressing */
    unsigned flow_count, flow_cap;
    uint64_t judged; /* segments */
};

void wire_oracle_init(struct wire_oracle *o, struct sim *sim, const char *name, uint16_t mtu);
void wire_oracle_free(struct wire_oracle *o);
/* A frame reaches the node (whether or not it has room for it). */
void wire_oracle_in(struct wire_oracle *o, struct span frame);
/* A frame leaves the node. */
void wire_oracle_out(struct wire_oracle *o, struct span frame);

/* --- between the parts of the oracle ---------------------------------------------------------------------- */

/* False: not TCP, or its checksum is wrong (wire_seen.c). */
bool wire_seen_read(struct span frame, bool outgoing, struct wire_seen *seen);
/* The connection of a segment, made if there is none (wire_seen.c). */
struct wire_flow *wire_flow_find(struct wire_oracle *o, const struct wire_seen *seen);
/* [left, right) has arrived (wire_seen.c). */
void wire_ranges_add(struct wire_flow *f, uint32_t left, uint32_t right);
/* True: all of it has (wire_seen.c). */
bool wire_ranges_cover(const struct wire_flow *f, uint32_t left, uint32_t right);

static inline bool wire_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

#endif
