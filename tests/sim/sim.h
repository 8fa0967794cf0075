/* SPDX-License-Identifier: BSD-3-Clause
 * The simulator's world: virtual time, frames in flight, nodes that take turns, paths that damage what
 * they carry. One seed drives everything; the same seed gives the same bytes at the same times, so no
 * draw may depend on a pointer, a clock or the machine. Used by the scenarios in this folder.
 *
 *   scenario      what the hosts' applications do, and what must be true at the end
 *   host, edge    stacks: our own net + tcp (host.c), or the real worker (edge.c)
 *   path          loss, delay, reordering, duplication, corruption, rate, per direction (path.c)
 *   box           a middlebox that rewrites segments in both directions (box.c)
 *   fault         which of all that happens (fault.c)
 *   sim           time, events, who has its turn next (sim.c)
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/hash.h"
#include "base/span.h"
#include "base/types.h"
#include "tests/sim/box.h"
#include "tests/sim/capture.h"
#include "tests/sim/fault.h"

#define SIM_NODES_MAX 12
#define SIM_PORTS_MAX 5
#define SIM_FLOWS     256 /* names of connections: their ports, mixed */
#define SIM_NEVER     UINT64_MAX

struct sim;

/* Somebody who takes turns: a host, or one worker of an edge node. */
struct sim_node {
    struct sim *sim;
    const char *name;
    tg_ns wake; /* time of the next turn; SIM_NEVER: sleeps until a frame or a call wakes it */
    /* One turn; returns true when it found work (then it soon gets another). */
    bool (*turn)(struct sim_node *node, tg_ns now);
    /* When it wants a turn if nothing arrives; SIM_NEVER: not at all. Asked after an idle turn. */
    tg_ns (*next)(const struct sim_node *node);
    /* A frame has arrived at the port of this node; borrowed. */
    void (*receive)(struct sim_node *node, struct span frame);
    struct sim_node *sibling; /* ring of workers that hand frames to each other; NULL: alone */
};

/* One direction of a link. Rates are in millionths of the frames. */
struct sim_path {
    uint32_t frames[SIM_FLOWS]; /* sent so far, by flow: names what happens to them */
    tg_ns delay, jitter;        /* jitter above the spacing of frames reorders them */
    uint32_t loss, duplicate, reorder, corrupt, truncate, garbage;
    uint32_t resegment;        /* a middlebox cuts a TCP segment in two, which may overlap */
    uint32_t ce;               /* of ECN-capable packets: marked as having met congestion */
    tg_ns reorder_delay;       /* what a reordered or duplicated frame is late at most */
    uint64_t bytes_per_second; /* 0: no limit */
    tg_ns queue_max;           /* a frame that would wait longer for its turn is dropped */
    uint16_t mtu;              /* of the narrowest link, 0: no limit; in force from mtu_from on */
    bool mtu_silent;           /* it says nothing about what it drops */
    tg_ns mtu_from;
    tg_ns busy_until;                  /* the wire is taken until then */
    tg_ns down_from, down_until;       /* nothing passes in between */
    uint32_t clog, partition;          /* begin with so many of the frames ... */
    tg_ns clog_max, partition_max;     /* ... for so long at most */
    tg_ns clog_until, partition_until; /* all arrives at once then; all is lost until then */
    uint32_t forge;                    /* self-test: flip payload bits and put the checksum right */
};

struct sim_event {
    tg_ns time;
    uint64_t order; /* ties: first scheduled, first delivered */
    unsigned port;  /* arrives here */
    uint32_t len;
    uint8_t *bytes; /* owned */
};

struct sim {
    uint64_t seed;
    struct prng rng; /* of paths and turns only; applications have their own */
    tg_ns now;
    tg_ns start;
    bool verbose, trace;
    bool healed; /* the ills are over: faults inside of nodes, too */
    bool lied;   /* a card has called a damaged frame good: see nic.h */

    struct sim_event *heap; /* binary heap by (time, order) */
    unsigned heap_count, heap_cap;
    uint64_t order;

    struct sim_node *nodes[SIM_NODES_MAX];
    unsigned node_count;
    struct {
        uint8_t mac[6];
        struct sim_node *node; /* who receives */
    } ports[SIM_PORTS_MAX];
    unsigned port_count;
    struct sim_path paths[SIM_PORTS_MAX][SIM_PORTS_MAX]; /* [from][to] */
    struct sim_box boxes[SIM_PORTS_MAX][SIM_PORTS_MAX];  /* [lower][higher port] */
    struct sim_faults faults;
    struct capture *capture; /* NULL: nobody wants to see this run again */
    /* Who gets too-big messages about what left a port, port + 1; 0: that port. (A router does not know
     * which of the nodes with one address has sent a packet.) */
    uint8_t too_big_to[SIM_PORTS_MAX];
    tg_ns poll_jitter; /* a sleeping node notices a frame so much later at most */

    uint64_t digest; /* of every delivered frame and its time */
    uint64_t turns;
    struct {
        uint64_t sent, delivered, too_big;
    } counts;

    bool failed;
    char failure[400]; /* the first one */
};

void sim_init(struct sim *sim, uint64_t seed, bool verbose);
void sim_free(struct sim *sim);

/* Note the first thing that is wrong; the run stops after the current turn. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

void sim_add_node(struct sim *sim, struct sim_node *node);
/* A port on the switch that joins all; frames for `mac` and all group frames of others arrive at node. */
unsigned sim_add_port(struct sim *sim, const uint8_t mac[6], struct sim_node *node);

/* A frame leaves a port; borrowed. */
void sim_transmit(struct sim *sim, unsigned port, struct span frame);

/* Let the node have a turn at `when` at the latest. */
void sim_wake(struct sim_node *node, tg_ns when);

/* Run until done(arg) is true (checked after each step of time), something fails, or `until` is reached.
 * Returns whether done. */
bool sim_run(struct sim *sim, tg_ns until, bool (*done)(void *arg), void *arg);

/* The name of a path in decisions about faults. */
static inline unsigned sim_place(unsigned from, unsigned to)
{
    return from * 16 + to;
}

/* Draw the ills of every path from rng: a quarter of the runs has none. */
void sim_paths_draw(struct sim *sim, struct prng *rng);
/* From now on nothing is lost, damaged, late or limited any more. */
void sim_paths_heal(struct sim *sim);
/* Send one frame over a path (path.c). */
void sim_path_send(struct sim *sim, unsigned from, unsigned to, struct span frame);
/* Cut a TCP segment at random into two whose payloads may overlap: the lengths of both frames, which are
 * written to first and second (as large as the frame); false: nothing to cut (resegment.c). */
bool sim_resegment(struct prng *rng, struct span frame, uint8_t *first, size_t *first_len,
                   uint8_t *second, size_t *second_len);
/* True: the frame's IP packet is larger than mtu; a too-big message is on the way to its sender, which gets it
 * at `when`; 0: it gets none (too_big.c). */
bool sim_too_big(struct sim *sim, unsigned from, struct span frame, uint16_t mtu, tg_ns when);
/* Print a frame that is delivered, or lost on its way (trace.c). */
void sim_trace(const struct sim *sim, unsigned port, struct span frame, bool lost);
/* Put a frame into flight. */
void sim_schedule(struct sim *sim, tg_ns time, unsigned port, struct span frame);

/* The byte at `offset` of stream `stream`: a fixed function, so that any piece can be checked. */
void sim_stream_fill(uint64_t stream, uint64_t offset, uint8_t *out, size_t n);
/* Index of the first wrong byte, n if none. */
size_t sim_stream_check(uint64_t stream, uint64_t offset, const uint8_t *bytes, size_t n);

/* A size between 0 and about max, small ones often, edges of segments often. */
uint64_t sim_draw_size(struct prng *rng, uint64_t max);
static inline bool sim_chance(struct prng *rng, unsigned percent)
{
    return prng_below(rng, 100) < percent;
}
/* Uniform in low..high, both included. */
static inline uint64_t sim_between(struct prng *rng, uint64_t low, uint64_t high)
{
    return low + prng_below(rng, high - low + 1);
}

/* --- scenarios: each runs one seed from start to end ------------------------------------------------------ */

struct sim_result {
    uint64_t digest;
    tg_ns virtual_time;
    uint64_t frames; /* delivered */
    uint32_t faults[FAULT_KINDS];
    bool failed;
    char failure[400];
};
typedef void sim_scenario(struct sim *sim);
sim_scenario scenario_tcp, scenario_http, scenario_fleet;
/* The self-test: a path forges payload bytes under right checksums; the oracle must notice. */
sim_scenario scenario_tcp_forged;
/* The control experiment: no node sends strangers' packets to their owner; every connection must break. */
sim_scenario scenario_fleet_alone;

#endif
