/* SPDX-License-Identifier: BSD-3-Clause
 * New segments of one connection that leave in a row become one frame, which the port cuts (TSO; tcp_tso.c). What may
 * leave and when is decided segment by segment as ever (tcp_out), and each keeps its own record in the send queue:
 * what is on the wire is the same, and loss recovery does not notice. Called by tcp_emit and tcp_out.
 */
#ifndef DATAPLANE_TCP_TSO_H
#define DATAPLANE_TCP_TSO_H

#include "base/buf.h"
#include "tcp/tcp_options.h"

struct tcp;
struct tcp_pcb;

/* The IP length field of the whole counts the headers in. */
#define TCP_TSO_BYTES_MAX (UINT16_MAX - IP6_BYTES - 60u)

/* A TCP header about to be written (tcp_emit.c). */
struct tcp_header {
    const struct ip_tuple *tuple;
    uint32_t seq, ack;
    uint16_t window;
    uint8_t flags;
    uint8_t traffic_class;
    uint8_t option_bytes;
    uint8_t options[TCP_OPTIONS_MAX];
};
/* Put the header in front of the payload and let net route it. Takes one reference of b. A frame that net drops is a
 * lost segment: the deadlines deal with it. */
void tcp_header_send(struct tcp *tcp, struct buf *b, const struct tcp_header *h, tg_ns now);

/* The row that is being gathered; none is open between two calls of tcp_output. */
struct tcp_row {
    struct buf *first,
        *last; /* of the send queue, one reference of each is the row's; NULL: none is open */
    unsigned count;
    uint32_t bytes;           /* payload so far */
    uint32_t segment_bytes;   /* of the first, and of each but the last */
    struct tcp_header header; /* the first one's; FIN and PSH: the last one's */
};

/* The queued segment b, which leaves now, continues the row that is open. */
bool tcp_tso_continues(const struct tcp *tcp, const struct buf *b);
/* It may be the first of a row: another one is behind it, and they would have the same header. */
bool tcp_tso_begins(const struct tcp *tcp, const struct tcp_pcb *pcb, const struct buf *b);
/* Put b, whose bytes are its payload alone, at the end of the row. Takes one reference. */
void tcp_tso_open(struct tcp *tcp, struct buf *b, const struct tcp_header *h);
void tcp_tso_add(struct tcp *tcp, struct buf *b, uint8_t flags);
/* Send the row, if one is open. Call before anything else of the connection leaves, and when its turn ends. */
void tcp_tso_flush(struct tcp *tcp, tg_ns now);

#endif
