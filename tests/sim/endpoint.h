/* SPDX-License-Identifier: BSD-3-Clause
 * One end of a simulated TCP connection: what it is to send, receive and do at the end, and the oracle
 * of what arrives. Used by scenario_tcp. Knows nothing of the network's ills.
 */
#ifndef TESTS_SIM_ENDPOINT_H
#define TESTS_SIM_ENDPOINT_H

#include "tests/sim/host.h"

enum write_mode { WRITE_COPY, WRITE_RESERVE, WRITE_BUF, WRITE_MODES };
enum read_mode { READ_PEEK, READ_TAKE, READ_MODES };

/* How the connection ends. */
enum ending {
    END_ORDERLY, /* both sides send all, then FIN */
    END_ABORT,   /* one side resets in mid-stream */
    END_EARLY,   /* one side closes in mid-stream: no more reading */
    END_REFUSED, /* nobody listens */
    END_NONE,    /* it is never opened */
};

/* What one side does. */
struct side_plan {
    uint64_t bytes; /* to send */
    enum write_mode write;
    enum read_mode read;
    uint32_t write_chunk; /* most bytes of one write, >= 1 */
    uint32_t read_chunk;  /* most bytes of one read, >= 1 */
    tg_ns read_pause;     /* between reads; 0: reads whatever there is */
    tg_ns write_pause;    /* between writes; 0: writes whatever fits */
    bool after_peer;      /* sends only after the peer's FIN (half-close) */
    bool close;           /* ends by tcp_close where shutdown would do, too */
    bool cork;            /* corks now and then */
};

struct connection_plan {
    unsigned number;
    tg_ns start;
    bool ip6;
    uint16_t port; /* of the server */
    enum ending ending;
    unsigned ender;     /* 0 client, 1 server: who aborts or closes early */
    uint64_t end_after; /* bytes written and read by the ender before it does */
    struct side_plan side[2];
};

struct endpoint {
    struct host *host;
    struct endpoint *peer; /* the other end */
    const struct connection_plan *plan;
    unsigned side; /* 0 client, 1 server */
    tcp_handle handle;
    struct timer timer; /* pauses, and tries again after an empty pool */
    uint64_t written, read;
    tg_ns read_next, write_next; /* not before, where there are pauses */
    bool open;                   /* the handle lives */
    bool corked;
    bool shut;     /* we have sent all and said so */
    bool peer_fin; /* the peer has, as an event said */
    bool at_end;   /* and we have read everything before it */
    bool finished; /* nothing more will happen here */
    bool excused;  /* it ended by a shortage of memory, as it may */
    bool cut;      /* finished without the rest: abort, early close, reset */
};

/* Streams are named by connection and sender. */
static inline uint64_t endpoint_stream(const struct connection_plan *plan, unsigned sender)
{
    return (uint64_t)plan->number * 2 + sender + 1000;
}

void endpoint_init(struct endpoint *ep, struct host *host, const struct connection_plan *plan,
                   unsigned side);
/* Read, write and end as far as it goes now. */
void endpoint_pump(struct endpoint *ep, tg_ns now);
/* An event of tcp for this endpoint. */
void endpoint_event(struct endpoint *ep, const struct tcp_event *event, tg_ns now);
/* Note a call for the run's capture, if there is one. */
#define endpoint_note(ep, ...)                                                                     \
    capture_call((ep)->host->node.sim->capture, (ep)->host->node.sim->now, (ep)->host->port,       \
                 (ep)->plan->number, __VA_ARGS__)
/* The other end had no memory to keep the connection with: it has reset it, or it answered the SYN with a cookie and
 * never got the proof, so that this end waits for somebody who does not know of it. */
bool endpoint_is_excused(const struct endpoint *ep);
/* Reset, because the other side is gone for good. */
void endpoint_abandon(struct endpoint *ep);

#endif
