/* SPDX-License-Identifier: BSD-3-Clause
 * The DPDK back end of io.h, hot half: bursts between ethdev queues and struct buf, software hand-off
 * between workers, linearising, the clock. Called by worker/; knows nothing of protocols.
 *
 * References. An mbuf's own count is "the software's hold as a whole" (1) plus one for each time the
 * port holds it. buf.refs counts the software's holders. So the last buf_unref takes 1 from the mbuf,
 * and whoever comes last, we or the port's completion, returns it to the mempool.
 */
#include "io/io_dpdk.h"
#include <poll.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_thash.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

static unsigned io_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct io_host *host = pool->arg;
    struct rte_mbuf *mbufs[TG_ARRAY_LEN(pool->cache)];
    if (rte_mempool_get_bulk(host->frames, (void **)mbufs, n) != 0) {
        n = 1; /* nearly empty: one by one */
        if (rte_mempool_get_bulk(host->frames, (void **)mbufs, n) != 0) {
            stats_count(tg_container_of(pool, struct io, pool)->stats, TG_C_io_pool_empty);
            return 0;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        out[i] = io_buf_of(mbufs[i]);
        buf_reset(out[i]);
    }
    return n;
}

void io_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct io_host *host = pool->arg;
    struct rte_mbuf *home[TG_BURST];
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++) {
        struct rte_mbuf *m = rte_pktmbuf_prefree_seg(io_mbuf_of(bufs[i]));
        if (m) /* else the port still reads it, and its completion takes it home */
            home[count++] = m;
        if (count == TG_BURST || (count && i + 1 == n)) {
            rte_mempool_put_bulk(host->frames, (void **)home, count);
            count = 0;
        }
    }
}

/* Others' caches are none of ours. rte_mempool_avail_count would add them, a cache line for each of 128 lcores. */
static uint32_t io_available(const struct buf_pool *pool)
{
    const struct io_host *host = pool->arg;
    struct rte_mempool *frames = host->frames;
    const struct rte_mempool_cache *mine = rte_mempool_default_cache(frames, rte_lcore_id());
    return rte_mempool_get_ops(frames->ops_index)->get_count(frames) + (mine ? mine->len : 0) +
           pool->cached;
}

/* Frames when the queues of all ports have all that they may hold; an eighth at least. */
static uint32_t io_frames_free(const struct io_host *host)
{
    unsigned held = RTE_MIN(host->frames_held, host->frames_count);
    return RTE_MAX(host->frames_count - held, host->frames_count / 8);
}

static struct io_clock io_clock_read(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct io_clock){rte_rdtsc(), (tg_ns)t.tv_sec * TG_S + (tg_ns)t.tv_nsec};
}

enum tg_err io_open(struct io_host *host, unsigned worker, struct stats *stats, struct io **out)
{
    if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() != 0)
        return TG_SYSTEM;
    struct io *io = rte_zmalloc("io", sizeof *io, TG_CACHE_LINE);
    if (!io)
        return TG_NO_MEMORY;
    io->host = host;
    io->worker = worker;
    io->stats = stats;
    io->clock_first = io->clock = io_clock_read();
    io->ns_per_tsc_q32 = (uint64_t)(((unsigned __int128)TG_S << 32) / rte_get_tsc_hz());
    io->tsc_resync = rte_get_tsc_hz() / 10;
    for (unsigned p = 0; p < host->port_count; p++)
        io->queue[p] = worker < host->ports[p].caps.queues ? (uint16_t)worker : IO_NO_QUEUE;
    buf_pool_init(&io->pool, io_refill, io_drain, host);
    io->pool.available = io_available;
    io->pool.total = io_frames_free(host);
    /* the default slack of 50 us would double the shortest sleep of an idle worker */
    (void)prctl(PR_SET_TIMERSLACK, 1000ul);
    *out = io;
    return TG_OK;
}

static void io_drain_ring(struct io *io, struct rte_ring *ring)
{
    struct rte_mbuf *m;
    while (ring && rte_ring_sc_dequeue(ring, (void **)&m) == 0)
        rte_pktmbuf_free(m);
}

void io_close(struct io *io)
{
    io_flush(io);
    for (unsigned from = 0; from < io->host->workers; from++)
        io_drain_ring(io, io->host->handoff[io->worker][from]);
    buf_pool_flush(&io->pool);
    rte_free(io);
}

/* EAL knows the TSC's rate to 10 MHz only. Ten times a second the clock is set by CLOCK_MONOTONIC (a vDSO
 * read, no syscall) and the rate taken over the whole time since the start. */
static void io_clock_resync(struct io *io)
{
    struct io_clock at = io_clock_read();
    io->ns_per_tsc_q32 = (uint64_t)(((unsigned __int128)(at.ns - io->clock_first.ns) << 32) /
                                    (at.tsc - io->clock_first.tsc));
    io->clock = at;
}

tg_ns io_now(struct io *io)
{
    uint64_t ticks = rte_rdtsc() - io->clock.tsc;
    if (TG_UNLIKELY(ticks > io->tsc_resync)) {
        io_clock_resync(io);
        ticks = rte_rdtsc() - io->clock.tsc;
    }
    tg_ns now = (tg_ns)(((unsigned __int128)ticks * io->ns_per_tsc_q32) >> 32) + io->clock.ns;
    if (TG_LIKELY(now >
                  io->now)) /* a resync may have set it back a little: stand still meanwhile */
        io->now = now;
    return io->now;
}

/* Describe a received frame: every field that later stages read before they write. */
static void io_describe(struct io *io, unsigned port, struct rte_mbuf *m)
{
    struct buf *b = io_buf_of(m);
    uint64_t flags = m->ol_flags;
    b->data = rte_pktmbuf_mtod(m, uint8_t *);
    b->next = m->next ? io_buf_of(m->next) : NULL;
    b->link = NULL;
    b->len = m->data_len;
    b->refs = 1;
    b->ip_version = b->ip_proto = 0;
    b->verdict = BUF_PASS;
    b->reason = 0;
    b->segments = 0;
    b->worker = (uint8_t)io->worker;
    b->port = (uint8_t)port;
    b->rx_ns = io->now;
    b->flow = BUF_FLOW_NONE;
    b->external = NULL;
    b->flags = 0;
    if ((flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
        b->flags |= BUF_RX_IP_CSUM_GOOD;
    if ((flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
        b->flags |= BUF_RX_L4_CSUM_GOOD;
    if ((flags & RTE_MBUF_F_RX_RSS_HASH) && io->host->ports[port].caps.rss) {
        b->flags |= BUF_RX_HASH;
        b->rx_hash = m->hash.rss;
    }
    stats_add(io->stats, TG_C_io_rx_bytes, m->pkt_len);
    if (TG_UNLIKELY(m->next)) /* pieces of a chain are freed through our refs */
        for (struct rte_mbuf *s = m->next; s; s = s->next) {
            struct buf *piece = io_buf_of(s);
            buf_reset(piece);
            piece->data = rte_pktmbuf_mtod(s, uint8_t *);
            piece->len = s->data_len;
            piece->next = s->next ? io_buf_of(s->next) : NULL;
        }
}

static unsigned io_rx_handed_over(struct io *io, struct buf *burst[], unsigned n)
{
    unsigned got = 0;
    for (unsigned from = 0; from < io->host->workers && got < n; from++) {
        struct rte_ring *ring = io->host->handoff[io->worker][from];
        if (from == io->worker || rte_ring_empty(ring))
            continue;
        got += rte_ring_sc_dequeue_burst(ring, (void **)(burst + got), n - got, NULL);
    }
    stats_add(io->stats, TG_C_io_handoff_in, got);
    return got;
}

/* Cards that cut super-segments want their headers made ready by their own driver (rte_ethdev.h, rte_eth_tx_prepare).
 * Frames that it refuses go; returns how many are left. */
static uint16_t io_prepare(struct io *io, unsigned port, struct rte_mbuf *mbufs[], uint16_t n)
{
    uint16_t id = io->host->ports[port].id, queue = io->queue[port], ready = 0;
    while (ready < n) {
        ready = (uint16_t)(ready + rte_eth_tx_prepare(id, queue, mbufs + ready, n - ready));
        if (ready == n)
            break;
        stats_count(io->stats, TG_C_io_tx_refused);
        rte_pktmbuf_free(mbufs[ready]);
        n--;
        memmove(mbufs + ready, mbufs + ready + 1, (n - ready) * sizeof mbufs[0]);
    }
    return n;
}

static void io_transmit(struct io *io, unsigned port, struct rte_mbuf *mbufs[], uint16_t n)
{
    if (io->host->ports[port].caps.tso_bytes_max)
        n = io_prepare(io, port, mbufs, n);
    uint16_t sent = rte_eth_tx_burst(io->host->ports[port].id, io->queue[port], mbufs, n);
    if (TG_UNLIKELY(sent < n)) {
        stats_add(io->stats, TG_C_io_tx_full, (uint64_t)(n - sent));
        rte_pktmbuf_free_bulk(mbufs + sent, (unsigned)(n - sent));
    }
}

/* Send what workers without a queue on this port have put into their rings: worker w is served by the
 * owner of queue w % queues. */
static void io_serve_others(struct io *io, unsigned port)
{
    struct io_host *host = io->host;
    unsigned queues = host->ports[port].caps.queues;
    for (unsigned w = queues; w < host->workers; w++) {
        struct rte_mbuf *mbufs[TG_BURST];
        if (w % queues != io->worker)
            continue;
        unsigned n =
            rte_ring_sc_dequeue_burst(host->outgoing[port][w], (void **)mbufs, TG_BURST, NULL);
        if (n)
            io_transmit(io, port, mbufs, (uint16_t)n);
    }
}

static unsigned io_rx_port(struct io *io, unsigned port, struct buf *burst[], unsigned n)
{
    struct rte_mbuf *mbufs[TG_BURST];
    uint16_t id = io->host->ports[port].id;
    uint16_t got = rte_eth_rx_burst(id, io->queue[port], mbufs, (uint16_t)n);
    if (got)
        (void)io_now(io);
    for (uint16_t i = 0; i < got; i++) {
        io_describe(io, port, mbufs[i]);
        burst[i] = io_buf_of(mbufs[i]);
    }
    stats_add(io->stats, TG_C_io_rx_packets, got);
    return got;
}

/* Ports take turns to be first, so that a flooded one does not starve the others. */
unsigned io_rx(struct io *io, struct buf *burst[], unsigned n)
{
    struct io_host *host = io->host;
    unsigned got = host->workers > 1 ? io_rx_handed_over(io, burst, n) : 0;
    unsigned first = io->first_port++;
    for (unsigned i = 0; i < host->port_count; i++) {
        unsigned p = (first + i) % host->port_count;
        if (io->queue[p] == IO_NO_QUEUE)
            continue;
        io_serve_others(io, p);
        if (got < n)
            got += io_rx_port(io, p, burst + got, n - got);
    }
    if (got)
        io->idle_turns = 0;
    return got;
}

/* The frame as one piece of our own: for ports that take no chains, and for external bytes. Takes the
 * caller's reference of b; NULL when the pool is empty (dropped and counted). */
static struct buf *io_linearise(struct io *io, struct buf *b)
{
    struct buf *flat = buf_linearise(&io->pool, b);
    if (flat) {
        flat->port = b->port;
        flat->flags |= b->flags & (BUF_TX_IP_CSUM | BUF_TX_L4_CSUM);
        flat->l3 = b->l3;
        flat->l4 = b->l4;
        stats_count(io->stats, TG_C_io_tx_linearised);
    }
    buf_unref(&io->pool, b);
    return flat;
}

/* Offload flags for the port (mbuf_core.h: l2_len + l3_len lead to the transport header). */
static void io_ask_offloads(struct rte_mbuf *m, const struct buf *b)
{
    enum { PROTO_TCP = 6 };
    m->ol_flags = 0;
    if (!(b->flags & (BUF_TX_IP_CSUM | BUF_TX_L4_CSUM)))
        return;
    m->l2_len = b->l3;
    m->l3_len = (uint16_t)(b->l4 - b->l3);
    m->ol_flags |= b->ip_version == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    if (b->flags & BUF_TX_IP_CSUM)
        m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
    if (b->flags & BUF_TX_L4_CSUM)
        m->ol_flags |= b->ip_proto == PROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
    if (b->segments) {
        m->l4_len = (uint8_t)(b->len - b->l4);
        m->tso_segsz = b->super.segment_bytes;
        m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
    }
}

/* Somebody keeps the piece (retransmission): the port's hold is a second one. */
static void io_share_with_port(struct buf *piece)
{
    piece->flags |= BUF_PORT_HOLDS;
    rte_mbuf_refcnt_update(io_mbuf_of(piece), 1);
}

/* The pieces of a super-segment are given one by one: each may have another holder, who must not find it chained. */
static void io_untie(struct buf *b)
{
    for (struct buf *piece = b->next, *next; piece; piece = next) {
        next = piece->next;
        piece->next = NULL;
        if (piece->refs > 1) {
            io_share_with_port(piece);
            piece->refs--;
        }
    }
    b->next = NULL;
    b->segments = 0;
}

/* Give one software reference of b to the port: its mbuf, described for sending. */
static struct rte_mbuf *io_mbuf_for_tx(struct buf *b)
{
    struct rte_mbuf *first = io_mbuf_of(b);
    uint32_t bytes = 0;
    uint16_t pieces = 0;
    for (struct buf *p = b; p; p = p->next, pieces++) {
        struct rte_mbuf *m = io_mbuf_of(p);
        m->data_off = (uint16_t)(p->data - p->head);
        m->data_len = p->len;
        m->next = p->next ? io_mbuf_of(p->next) : NULL;
        bytes += p->len;
        if (b->refs > 1)
            io_share_with_port(p);
    }
    first->pkt_len = bytes;
    first->nb_segs = pieces;
    io_ask_offloads(first, b);
    if (b->refs > 1)
        b->refs--;
    return first;
}

static void io_flush_port(struct io *io, unsigned port)
{
    struct io_tx_batch *batch = &io->tx[port];
    uint16_t n = batch->count;
    if (!n)
        return;
    batch->count = 0;
    if (io->queue[port] != IO_NO_QUEUE) {
        io_transmit(io, port, batch->mbufs, n);
        return;
    }
    struct rte_ring *ring = io->host->outgoing[port][io->worker];
    unsigned put = rte_ring_sp_enqueue_burst(ring, (void **)batch->mbufs, n, NULL);
    if (TG_UNLIKELY(put < n)) {
        stats_add(io->stats, TG_C_io_tx_full, n - put);
        rte_pktmbuf_free_bulk(batch->mbufs + put, n - put);
    }
}

unsigned io_tx(struct io *io, struct buf *burst[], unsigned n)
{
    unsigned queued = 0;
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        unsigned port = b->port;
        tg_assert(port < io->host->port_count);
        if (TG_UNLIKELY(b->external || (b->next && !io->host->ports[port].caps.tx_chains)))
            b = io_linearise(io, b);
        if (!b)
            continue;
        struct io_tx_batch *batch = &io->tx[port];
        struct rte_mbuf *m = io_mbuf_for_tx(b);
        if (b->segments) {
            stats_count(io->stats, TG_C_io_tx_tso_frames);
            stats_add(io->stats, TG_C_io_tx_tso_segments, b->segments);
            io_untie(b);
        }
        stats_count(io->stats, TG_C_io_tx_packets);
        stats_add(io->stats, TG_C_io_tx_bytes, m->pkt_len);
        batch->mbufs[batch->count++] = m;
        queued++;
        if (batch->count >= TG_BURST)
            io_flush_port(io, port);
    }
    return queued;
}

void io_flush(struct io *io)
{
    for (unsigned p = 0; p < io->host->port_count; p++)
        io_flush_port(io, p);
}

bool io_tx_done(const struct io *io, const struct buf *buf)
{
    return rte_mbuf_refcnt_read(io_mbuf_of(buf)) == 1;
}

void io_handoff(struct io *io, struct buf *burst[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        tg_assert(b->refs == 1 && b->worker < io->host->workers && b->worker != io->worker);
        b->flags |= BUF_HANDED_OVER;
        if (rte_ring_sp_enqueue(io->host->handoff[b->worker][io->worker], b) != 0) {
            stats_count(io->stats, TG_C_io_handoff_full);
            buf_unref(&io->pool, b);
            continue;
        }
        stats_count(io->stats, TG_C_io_handoff_out);
    }
}

/* Sleep in growing steps: 5, 10, 20, 50, then 100 us. A port with a descriptor wakes us early; the
 * software rings do not, so the owner of nothing never sleeps long after work. */
void io_wait(struct io *io, tg_ns until)
{
    static const tg_ns steps[] = {5 * TG_US, 10 * TG_US, 20 * TG_US, 50 * TG_US, 100 * TG_US};
    tg_ns now = io_now(io);
    if (!io->host->idle_sleep || until <= now)
        return;
    unsigned step = RTE_MIN(io->idle_turns, (unsigned)TG_ARRAY_LEN(steps) - 1);
    tg_ns sleep = RTE_MIN(steps[step], until - now);
    struct timespec time = {.tv_nsec = (long)sleep};
    io->idle_turns++;
    stats_count(io->stats, TG_C_io_waits);
    int fd = io->queue[0] == 0 ? io->host->ports[0].poll_fd : -1;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    (void)ppoll(&wait, fd >= 0 ? 1 : 0, &time, NULL);
}

const struct io_caps *io_caps(const struct io *io, unsigned port)
{
    return &io->host->ports[port].caps;
}

unsigned io_port_count(const struct io *io)
{
    return io->host->port_count;
}

struct buf_pool *io_pool(struct io *io)
{
    return &io->pool;
}
