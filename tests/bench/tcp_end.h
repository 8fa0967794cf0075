/* SPDX-License-Identifier: BSD-3-Clause
 * For the programs of scripts/bench tcp: one end, a whole stack over a pool of frames in ordinary memory, with the
 * turn of a worker (parse, tcp_input, timers, user, tcp_output) whose stages are timed apart, and the wire that
 * copies its frames to another end. The wire does what a port with checksum and hash offload does, and its time
 * is nobody's. Knows nothing of what the user says.
 */
#ifndef TESTS_BENCH_TCP_END_H
#define TESTS_BENCH_TCP_END_H

#include "base/timer.h"
#include "net/net.h"
#include "tcp/tcp.h"
#include "tests/bench/samples.h"
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#define END_QUEUE     8192u /* frames that have arrived and wait; a power of two */
#define END_PASSES    8u    /* of tcp_output, as worker has it */
#define END_ADDRESSES 16u

enum end_stage { STAGE_PARSE, STAGE_INPUT, STAGE_USER, STAGE_OUTPUT, STAGE_IO, STAGE_COUNT };

struct bench_end {
    struct buf_pool pool;
    struct buf **home; /* frames at home */
    unsigned home_count;
    uint8_t *frames;
    size_t frames_bytes;
    struct stats stats;
    struct toeplitz toeplitz;
    struct timer_wheel wheel;
    struct net *net;
    struct tcp *tcp;
    uint8_t mac[6];
    struct buf *arrived[END_QUEUE];
    unsigned head, count;
    bool offload;                 /* the port computes and checks checksums and gives the hash */
    uint64_t lost;                /* frames that found no frame or no room here */
    uint64_t cycles[STAGE_COUNT]; /* since end_reset */
    tg_ns last_tick;
    /* Called in each turn after input, to fetch events and to answer. */
    void (*user)(struct bench_end *end, tg_ns now);
    void *arg;
};

struct end_config {
    unsigned number;    /* last byte of its first address, 192.0.2.number, and of its MAC */
    unsigned addresses; /* from there on, <= END_ADDRESSES */
    unsigned frames;
    bool offload;
    bool tso;               /* with it: the wire takes super-segments (buf.segments) */
    struct ip_addr gateway; /* for everything else; all zero: none */
    struct tcp_config tcp;
};

/* Make an end; exits with a message when something is wrong: this is a bench. */
void end_create(struct bench_end *end, const struct end_config *config, tg_ns now);

/* Worker clock of the bench: time stamp counter scaled to nanoseconds. */
tg_ns end_now(void);
double end_cycles_per_ns(void);

/* One turn of a worker; true when it had something to do. What leaves goes to `wire`. */
typedef void (*end_wire)(struct bench_end *from, struct buf *burst[], unsigned n, void *arg);
bool end_turn(struct bench_end *end, tg_ns now, end_wire wire, void *arg);

/* The wire between two ends (arg: the other end): copies each frame. */
void end_wire_to(struct bench_end *from, struct buf *burst[], unsigned n, void *arg);
/* A frame has arrived at an end: copied; lost where there is no room, as at a port without descriptors. */
void end_receive(struct bench_end *end, const uint8_t *frame, unsigned bytes);

static inline uint64_t end_cycles(const struct bench_end *end)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < STAGE_COUNT; i++)
        sum += end->cycles[i];
    return sum;
}

struct ip_addr end_address(uint8_t last);

/* This process on one processor. */
void end_pin(unsigned cpu);

#define END_FATAL(...) (fprintf(stderr, __VA_ARGS__), exit(1))

#endif
