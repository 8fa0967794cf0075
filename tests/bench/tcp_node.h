/* SPDX-License-Identifier: BSD-3-Clause
 * For the bench of the TCP stack alone: one stack in memory, without a port, and a peer that holds no state of its own: it
 * makes segments and reads answers. Time is counted in processor cycles of our side's calls only (node_begin, node_end);
 * virtual time passes as the bench says. Frames come parsed by nobody, with checksum and hash as a NIC gives them.
 */
#ifndef TESTS_BENCH_TCP_NODE_H
#define TESTS_BENCH_TCP_NODE_H

#include "net/net.h"
#include "tcp/tcp.h"
#include <x86intrin.h>

#define NODE_PORT 80

struct node {
    struct buf *bufs; /* frames, and their storage */
    uint8_t *storage;
    struct buf **free_list;
    uint32_t free_count, frame_count;
    struct buf_pool pool;
    struct stats stats;
    struct toeplitz toeplitz;
    struct timer_wheel wheel;
    struct net *net;
    struct tcp *tcp;
    tg_ns now;
    uint64_t cycles, begun; /* of our side */
    struct ip_addr local;
    uint64_t
        resident_before; /* bytes, before the stack was made: frames and the peer's arrays are there */
};

/* A flow of the peer: number -> address and port, 32,768 ports an address of 10.0.0.0/8. */
struct ip_tuple node_tuple(const struct node *node, uint32_t flow);
/* The flow that a frame of ours goes to. */
uint32_t node_flow(const struct buf *out);

struct node_config {
    uint32_t frames, connections, active, time_wait;
};
void node_open(struct node *node, const struct node_config *config);

/* A frame that has arrived: a segment of the flow with n payload bytes. */
struct node_segment {
    struct ip_tuple tuple;
    uint32_t hash; /* 0: computed */
    uint32_t seq, ack;
    uint16_t window, len;
    uint8_t flags;
    bool options; /* a SYN's: MSS 1460, SACK, window scale 7 */
};
struct buf *node_frame(struct node *node, const struct node_segment *segment);

static inline void node_begin(struct node *node)
{
    node->begun = __rdtsc();
}
static inline void node_end(struct node *node)
{
    node->cycles += __rdtsc() - node->begun;
}

/* Our side's work on a burst: parse, tcp_input, events by `app`, output. Timed. What leaves comes into out[] (at most max,
 * the peer's to give back with node_free); returns how many. */
typedef void node_app(struct node *node, void *arg);
unsigned node_turn(struct node *node, struct buf *burst[], unsigned n, node_app *app, void *arg,
                   struct buf *out[], unsigned max);
void node_free(struct node *node, struct buf *b);

/* Cycles of the time stamp counter in a second. */
double node_hertz(void);
/* Resident bytes of this process. */
uint64_t node_resident(void);

#endif
