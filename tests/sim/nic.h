/* SPDX-License-Identifier: BSD-3-Clause
 * A network card that is not perfect, between the wire and io_sim: its transmit ring fills up, its pool runs
 * dry for one caller, it merges segments that follow each other (LRO), it says of checksums what is not true,
 * and puts a frame into the queue of another worker. One for each worker. Used by host.c and edge.c.
 *
 * What may be expected of a lie: a good frame that is called bad is a loss like any other. A bad one that is
 * called good cannot be noticed by anybody above, so from the first one on (sim.lied) bytes and ends of
 * connections mean nothing any more; but nothing may crash, leak or break tcp_check, and all must end.
 */
#ifndef TESTS_SIM_NIC_H
#define TESTS_SIM_NIC_H

#include "io/io_sim.h"
#include "tests/sim/sim.h"

#define NIC_FRAME_MAX 2048 /* BUF_ROOM: what one buffer of the pool holds */

struct nic {
    struct sim *sim;
    struct io *io;
    unsigned place; /* names it in decisions */
    bool checks;    /* it looks at checksums and says so */
    uint32_t tx_full, no_frame, lie_bad, lie_good, merge,
        wrong_queue; /* millionths of the chances */
    struct prng rng;
    uint64_t chances;       /* so far: names decisions */
    bool rows;              /* its stack makes super-segments */
    uint32_t tso_bytes_max; /* the card cuts those of so much payload; 0: it does not */
    uint32_t held_len;      /* a frame that waits for one to be merged with; 0: none */
    uint16_t held_flags;
    uint8_t held[NIC_FRAME_MAX];
};

/* What a scenario can bear beside full rings, wrong queues and good frames that are called bad. */
enum nic_may {
    NIC_MAY_LIE = 1,    /* bad frames are called good */
    NIC_MAY_STARVE = 2, /* allocations fail */
    NIC_MAY_MERGE = 4,  /* not where frames are forwarded: nobody would cut them again */
};
/* Draw what is wrong with it. Most have nothing. */
void nic_draw(struct nic *nic, struct sim *sim, unsigned place, struct prng *rng, unsigned may);
/* For io_sim_config.fault, whose arg leads to the nic. */
bool nic_fails(struct nic *nic, enum io_sim_fault kind);
/* Whether io_sim_config.fault is to be set at all: it slows the pool down. */
bool nic_is_broken(const struct nic *nic);
/* A frame comes from the wire. */
void nic_receive(struct nic *nic, struct span frame);
/* Give what is held to the worker: call when its turn begins. */
void nic_flush(struct nic *nic);
/* The frame goes to another of n queues than it should; n >= 1. Returns how many further. */
unsigned nic_queue_off(struct nic *nic, unsigned n);

/* True: out[] holds one segment with the payloads of both, and is *out_len long (nic_merge.c). */
bool nic_merge(struct span first, struct span second, uint8_t out[NIC_FRAME_MAX], size_t *out_len);

#endif
