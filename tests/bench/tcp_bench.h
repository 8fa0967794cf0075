/* SPDX-License-Identifier: BSD-3-Clause
 * What the rows of tcp_bench share: our side (tcp_node.h), the flows of a peer that exists as headers only, and the
 * measure: nanoseconds an operation, by slices.
 */
#ifndef TESTS_BENCH_TCP_BENCH_H
#define TESTS_BENCH_TCP_BENCH_H

#include "tests/bench/samples.h"
#include "tests/bench/tcp_node.h"

#define REQUEST      64u
#define ANSWER       100u
#define BURST        32u
#define OUT_MAX      512u
#define SLICE_ROUNDS 32u

struct flow {
    uint32_t seq, ack; /* of the peer's next segment */
    uint32_t hash;
};

struct bench {
    struct node node;
    struct flow *flows;
    uint32_t count;
    struct prng rng;
    double hertz;
    uint64_t answered;      /* requests */
    struct samples samples; /* nanoseconds an operation, by slices */
};

_Noreturn void bench_die(const char *what);
/* Our side with room for so many, and `flows` that are not open yet. */
void bench_open(struct bench *b, uint32_t flows, uint32_t connections, uint32_t time_wait);
/* A slice begins; ends after so many operations. */
void slice_begin(struct bench *b);
void slice_end(struct bench *b, double operations);

/* The peer's next segment of a flow: a header, `len` bytes that nobody reads. */
struct node_segment segment(struct bench *b, uint32_t flow, uint8_t flags, uint16_t len);
/* Read what we have sent: the flow's next ACK number. Returns payload bytes. Takes the frame. */
uint32_t answer_read(struct bench *b, struct buf *out);
/* Our side's turn on a burst, and the peer reads what leaves. Returns payload bytes. */
uint32_t turn(struct bench *b, struct buf *burst[], unsigned n, node_app *app);
/* The SYNs of n flows that begin. */
void syns_make(struct bench *b, struct buf *burst[], uint32_t first, unsigned n);
/* All flows, established. */
void connections_open(struct bench *b);

/* Answers each request; answers one, then closes. */
void app_server(struct node *node, void *arg);
void app_closing_server(struct node *node, void *arg);

/* Bulk, both ways (tcp_bulk.c). */
void row_bulk(void);

#endif
