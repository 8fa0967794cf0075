/* SPDX-License-Identifier: BSD-3-Clause
 * The simulator's side of the simulated ports: one `struct io` per simulated worker, virtual time, frames
 * in and out by calls. Used by tests/sim and by unit tests that want a whole stack. Floor 2: base only.
 */
#ifndef DATAPLANE_IO_IO_SIM_H
#define DATAPLANE_IO_IO_SIM_H

#include "io/io.h"

/* What may go wrong with a port, asked for whenever it could. */
enum io_sim_fault {
    IO_SIM_TX_FULL,  /* this frame and the rest of its burst find no room in the ring */
    IO_SIM_NO_FRAME, /* the pool gives nothing to whoever asks now */
};

struct io_sim_config {
    unsigned buffers;   /* frames of the pool, on the heap */
    const tg_ns *clock; /* virtual time, owned by the simulator */
    unsigned worker, workers;
    uint8_t mac[6];
    uint16_t mtu;
    bool
        tx_checksum_offload; /* report tx checksum offload: the back end then fills the checksums in, as a NIC would */
    uint32_t
        tso_bytes_max; /* with it: take super-segments of so much payload and cut them; 0: none */
    /* A frame leaves (linear, complete); borrowed for the call. */
    void (*transmit)(void *arg, unsigned port, struct span frame, tg_ns now);
    /* A frame has found no room in the ring; NULL: nobody wants to know. */
    void (*refused)(void *arg, unsigned port, struct span frame, tg_ns now);
    /* True: let it happen; NULL: nothing ever does. With it the worker's cache is emptied before every receive
     * and filled frame by frame, so that the question comes about nearly every allocation. */
    bool (*fault)(void *arg, enum io_sim_fault kind);
    void *arg;
};

/* A worker's view with its own pool. TG_NO_MEMORY. */
enum tg_err io_sim_open(const struct io_sim_config *config, struct stats *stats, struct io **io);

/* Let the workers of one node hand frames to each other. Call once, with all of them. */
void io_sim_join(struct io *const ios[], unsigned n);

/* A frame has arrived at a port: copied; the next io_rx returns it, with BUF_RX_*_CSUM_* `flags` as the port
 * claims them. When the pool is empty it is dropped and counted, as a NIC without descriptors does. */
void io_sim_receive(struct io *io, unsigned port, struct span frame, uint16_t flags);

/* Frames that the pool has given out and not got back (leak oracle), after io_pool's cache is flushed. */
unsigned io_sim_outstanding(struct io *io);

/* Fail the next `n`-th buffer refill from now on (0: never): fault injection. */
void io_sim_fail_refill_after(struct io *io, unsigned n);

#endif
