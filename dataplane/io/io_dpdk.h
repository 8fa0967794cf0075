/* SPDX-License-Identifier: BSD-3-Clause
 * What the two halves of the DPDK back end share: io_dpdk_port.c opens ports (cold), io_dpdk.c moves
 * bursts (hot). The only files of the tree that include rte_*.h.
 */
#ifndef DATAPLANE_IO_IO_DPDK_H
#define DATAPLANE_IO_IO_DPDK_H

#include "io/io.h"
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#define IO_HANDOFF_ENTRIES 1024 /* frames between two workers, each direction */
#define IO_NO_QUEUE        UINT16_MAX

struct io_port {
    struct io_caps caps;
    uint16_t id; /* ethdev port */
    int poll_fd; /* becomes readable when frames arrive; -1: the port has none */
    bool in_use;
};

struct io_host {
    unsigned workers, port_count, open_count;
    struct io_port ports[IO_PORTS_MAX];
    struct rte_mempool *frames; /* all workers': the ring in it is every buffer's way home */
    unsigned frames_count, frames_held; /* made; of them what the queues of ports may hold */
    struct buf_pool home; /* what buf.pool points to: shares drain and arg with every worker's */
    bool idle_sleep;
    /* [to][from]: frames of buf.worker `to`; SPSC */
    struct rte_ring *handoff[TG_WORKERS_MAX][TG_WORKERS_MAX];
    /* [port][from]: outgoing mbufs of a worker without a queue on that port; SPSC */
    struct rte_ring *outgoing[IO_PORTS_MAX][TG_WORKERS_MAX];
};

struct io_tx_batch {
    uint16_t count;
    struct rte_mbuf *mbufs[TG_BURST * 2];
};

/* One point in time on both scales. */
struct io_clock {
    uint64_t tsc;
    tg_ns ns; /* CLOCK_MONOTONIC */
};

struct io {
    struct io_host *host;
    struct stats *stats;
    unsigned worker;
    unsigned first_port; /* who is received from first: rotates */
    unsigned idle_turns; /* io_wait calls in a row: sleep longer and longer */
    tg_ns now;
    struct io_clock clock_first, clock; /* at the start, and at the last resync */
    uint64_t tsc_resync;                /* ticks after which the clock is set anew */
    uint64_t ns_per_tsc_q32;            /* nanoseconds per TSC tick, 32.32 fixed point */
    uint16_t queue[IO_PORTS_MAX];       /* IO_NO_QUEUE: another worker's queue serves */
    struct io_tx_batch tx[IO_PORTS_MAX];
    struct buf_pool pool;
};

/* buf_pool.drain of every worker and of io_host.home (arg: the host). */
void io_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n);

/* Our struct lies in the mbuf's private area, right behind the mbuf. */
static inline struct buf *io_buf_of(struct rte_mbuf *m)
{
    return (struct buf *)(void *)(m + 1);
}
static inline struct rte_mbuf *io_mbuf_of(const struct buf *b)
{
    return (struct rte_mbuf *)(uintptr_t)b - 1;
}

#endif
