/* SPDX-License-Identifier: BSD-3-Clause
 * The connections of the peer program: each does what its plan says (peer_plan.h), driven by tcp's events, and tells of its
 * end by a line on standard output:
 *
 *   closed PORT ERROR received=BYTES sent=BYTES states=MASK     bit s of MASK: state s was seen (watched ones only)
 */
#ifndef TESTS_PEER_CONN_H
#define TESTS_PEER_CONN_H

#include "tests/peer/peer_node.h"
#include "tests/peer/peer_plan.h"

#define PEER_LISTENERS_MAX 32u

struct peer_conn {
    tcp_handle handle;
    const struct peer_plan *plan;
    uint64_t received, sent;
    tg_ns pause_until;
    uint32_t states;
    int sink; /* file descriptor; -1: none */
    bool used, paused, ready, released, fin_sent, peer_fin, in_todo;
};

struct peer {
    struct peer_node node;
    struct peer_plan listeners[PEER_LISTENERS_MAX]; /* port 0: free */
    struct peer_conn *conns;                        /* [conns_max] */
    uint32_t
        *todo; /* connections that need a turn without an event: a sink that is full, a pause */
    unsigned conns_max, todo_count, next, live;
    const uint8_t *payload;
    size_t payload_len;
    uint64_t accepted, connected, closed, failed, received, sent;
};

/* Room for conns_max connections; false: no memory. */
bool peer_conns_init(struct peer *p, unsigned conns_max);

enum tg_err peer_listen(struct peer *p, const struct peer_plan *plan);
/* False: nobody listens there, or its connections live. */
bool peer_unlisten(struct peer *p, uint16_t port);
/* plan is copied once for all plan->count connections; the copy lives as long as the program. */
enum tg_err peer_connect(struct peer *p, const struct peer_plan *plan, tg_ns now);
/* Connections that hold their FIN back may send it now. */
void peer_release(struct peer *p, tg_ns now);

/* Take tcp's events, and give a turn to those that need one. Returns whether anything was done. */
bool peer_conns_run(struct peer *p, tg_ns now);

#endif
