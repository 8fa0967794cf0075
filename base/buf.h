/* SPDX-License-Identifier: BSD-3-Clause
 * The packet buffer of every floor: one frame, or one piece of a chain. It is our own struct, never
 * an rte_mbuf: in the DPDK build it lies in the mbuf's private area, in the AF_XDP build beside the
 * UMEM frame, in the simulator on the heap. Floor 0.
 *
 * Life of a frame, and who writes what:
 *
 *      head        data              data+len            head+cap
 *       |  headroom  |    bytes in use    |    tailroom     |
 *
 *   io_rx        sets data/len/worker/rx_ns/rx_hash/flags, refs = 1
 *   filter       parses (net/wire): l3, l4, payload, ip_version, ip_proto; verdict and reason
 *   steer        flow, verdict
 *   tcp          trims data/len to the payload and queues it: for reading, or as one segment to send
 *   tcp_out      writes headers into the headroom and hands a reference to io_tx
 *
 * Super-segments. tcp_out gives net one frame for several segments: a buffer with the headers alone, which belongs
 * to nobody else (refs = 1), and behind it, through `next`, `segments` pieces of the send queue with the payload of
 * one segment each. The port cuts it (TSO), or net does for a port that does not. The frame holds one reference of
 * each piece; whoever frees the frame unties them, because the queue goes on using them one by one. The rest of the
 * record of such a frame is `super`.
 *
 * References. `refs` counts the holders in software (all in the worker that owns the buffer, so it is
 * a plain integer). The port's own hold is not in `refs`: io_tx takes one software reference over, and
 * io_tx_done tells when the port has let go. A buffer that is sent and kept for retransmission has
 * two holders; its headers may be rewritten only when io_tx_done is true.
 *
 * Ownership between workers: a buffer belongs to one worker at a time. io_handoff passes it on, as a
 * message. When the last reference goes, the buffer returns to its home pool, from whichever worker.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/span.h"
#include "base/types.h"

/* Bytes of headroom that io_rx and buf_alloc leave in front of `data` at least: Ethernet 14 + tunnel
 * (IPv6 40 + UDP 8 + GUE 32) + IPv6 40 + TCP 60, rounded up, so that any segment can get its headers
 * in place, and a foreign one its tunnel. */
#define BUF_HEADROOM 128

/* Bytes of `data` that a fresh buffer can hold at least behind the headroom: an Ethernet MTU of 1500
 * with its header and a VLAN tag, rounded up. */
#define BUF_ROOM 2048

/* Pieces below this are copied into a shared frame rather than pin a whole one (bytes). */
#define BUF_COPY_BELOW 256

/* steer's answer; PASS until it has spoken */
enum buf_verdict {
    BUF_PASS = 0, /* not yet decided */
    BUF_LOCAL,    /* this worker's connection, or a new one */
    BUF_CORE,     /* another worker of this node: buf.worker names it */
    BUF_NODE,     /* another node: buf.flow names its slot, buf.path where the packet has been */
    BUF_RST,      /* nobody's: answer RST at once, a reset beats a hang */
    BUF_PUNT,     /* not ours: to the kernel through the exception port */
    BUF_DROP,     /* drop and count buf.reason */
    BUF_CONSUMED, /* taken by net (ARP, ND, ICMP): the stage that set it owns the buffer */
};

enum buf_flag {
    BUF_RX_IP_CSUM_GOOD = 1u << 0, /* the port checked the IPv4 header checksum */
    BUF_RX_IP_CSUM_BAD = 1u << 1,  /* neither bit: software must check */
    BUF_RX_L4_CSUM_GOOD = 1u << 2, /* the port checked TCP or UDP */
    BUF_RX_L4_CSUM_BAD = 1u << 3,
    BUF_RX_HASH = 1u << 4,          /* rx_hash is the port's Toeplitz hash under our key */
    BUF_PARSED = 1u << 5,           /* l3, l4, payload, ip_version, ip_proto are valid */
    BUF_HANDED_OVER = 1u << 6,      /* filtered and steered by another worker already */
    BUF_TX_IP_CSUM = 1u << 7,       /* ask the port for the IPv4 header checksum */
    BUF_TX_L4_CSUM = 1u << 8,       /* ask the port for TCP's; the pseudo-header sum is in place */
    BUF_TX_RETRANSMITTED = 1u << 9, /* tcp: sent more than once (Karn, RACK) */
    BUF_TX_SACKED = 1u << 10,       /* tcp: the receiver holds it (RFC 2018) */
    BUF_TX_LOST = 1u << 11,         /* tcp: marked lost, waits for retransmission (RFC 8985) */
    BUF_TX_FIN = 1u << 12,          /* tcp: a FIN follows the last byte of this segment */
    BUF_TX_SENT = 1u << 13,         /* tcp: sent at least once */
    BUF_TX_APP_LIMITED = 1u << 14,  /* tcp: sender had nothing more to send (rate samples) */
    BUF_PORT_HOLDS = 1u << 15, /* io: the port may still read it, see io_tx_done; such a buffer is
                                       drained home, never reused from a worker's cache */
};

struct buf;

/* Where buffers come from. io/ (or a test) fills in the two functions; the cache is the worker's. */
struct buf_pool {
    /* Fill out[n]; returns how many (0..n). Each has refs = 1, empty, data at BUF_HEADROOM. */
    unsigned (*refill)(struct buf_pool *pool, struct buf *out[], unsigned n);
    /* Take n buffers with refs = 0 back home; ownership of all of them passes. Called on the home
     * pool of a foreign buffer too, from the freeing worker: it must not touch that pool's cache. */
    void (*drain)(struct buf_pool *pool, struct buf *bufs[], unsigned n);
    void *arg;       /* of the two functions */
    unsigned cached; /* how many of cache[] are filled */
    uint64_t in_use; /* taken minus given back by this worker; wraps, only the sum over the workers
                           says how many are out: for leak checks, governor */
    uint64_t exhausted; /* times buf_alloc found nothing */
    /* Frames that could be handed out now, this cache's included. By the pool's worker only; a few loads. NULL: nobody
     * can tell, and nobody feels that memory gets short. Both are set by whoever makes the pool. */
    uint32_t (*available)(const struct buf_pool *pool);
    uint32_t total; /* what `available` says when nobody holds any but the ports, at least */
    struct buf *cache[128];
};

/* Bytes that somebody else owns and that a frame carries without a copy (a cache object, a mapped
 * page). `release` is called once, by the worker that drops the last reference. */
struct buf_external {
    void (*release)(void *arg, const uint8_t *data);
    void *arg;
};

struct buf {
    /* line 0: what every stage touches */
    uint8_t *data;      /* first byte in use */
    struct buf *next;   /* next piece of the same frame (chain), else NULL */
    struct buf *link;   /* the owner's queue: one queue at a time */
    uint8_t *head;      /* start of the frame's storage */
    uint16_t len;       /* bytes in use in this piece */
    uint16_t cap;       /* bytes of storage from head */
    uint16_t refs;      /* software holders; see above */
    uint16_t flags;     /* enum buf_flag */
    uint16_t l3;        /* offset of the IP header from data, at parse time */
    uint16_t l4;        /* offset of the transport header from data, at parse time */
    uint16_t payload;   /* offset of the transport's payload from data, at parse time */
    uint16_t l4_len;    /* bytes of transport header + payload by the IP length (no link padding) */
    uint8_t ip_version; /* 4, 6, or 0: not IP */
    uint8_t ip_proto;   /* transport protocol after extension headers */
    uint8_t worker;     /* receiving worker; with BUF_CORE the worker to hand it to */
    uint8_t verdict;    /* enum buf_verdict */
    uint16_t reason;    /* enum tg_counter of the drop; 0 = none */
    uint8_t port;       /* io port it came from or leaves by */
    uint8_t segments;   /* of a super-segment: how many are made of it; 0: an ordinary frame */
    struct buf_pool *pool; /* takes it home; rests in the freeing worker's cache if of one store */

    /* line 1: receive record, then send record */
    tg_ns rx_ns;      /* worker clock at the receive burst */
    uint32_t rx_hash; /* Toeplitz hash of the tuple: from the port, else net/wire computes it */
    uint32_t flow;    /* index of the flow, looked up once: read by steer and tcp; BUF_FLOW_NONE */
    struct buf_external *external; /* NULL: the bytes lie in the frame itself */
    /* One frame is one segment is one delivery record (RFC 8985 s5, rate samples). Host order. */
    uint32_t seq;          /* first sequence number: of the payload (rx), of the segment (tx) */
    uint32_t seq_end;      /* behind the last, FIN included */
    tg_ns tx_ns;           /* last transmission */
    uint64_t tx_delivered; /* connection's delivered bytes when it was last sent */
    union {
        /* Between the nodes of a fleet. Writer: steer; read by whoever sends it on (BUF_NODE). */
        struct {
            uint16_t
                ingress; /* slot of the node that it came in by from outside; at that node itself: of
                             the one that has just returned it */
            uint8_t hops;  /* tunnels that it has been through since its ingress; 0: that is us */
            uint8_t tries; /* owners that the ingress has asked, this one included */
        } path;
        /* tcp: neighbours in flight by time of transmission. Of a sacked segment `newer` is another one
         * further up in its run of sacked ones, or itself. */
        struct {
            struct buf *older, *newer;
        } sent;
        /* tcp, for io, of a super-segment's first piece. */
        struct {
            uint16_t segment_bytes; /* payload of each segment but the last, which may have less */
        } super;
    };
} TG_CACHE_ALIGN;

static_assert(sizeof(struct buf) == 2 * TG_CACHE_LINE, "buf is two cache lines");
static_assert(offsetof(struct buf, rx_ns) == TG_CACHE_LINE, "line split: hot first");

#define BUF_FLOW_NONE UINT32_MAX

/* Make an empty pool cache over the two functions; no buffer moves yet. */
void buf_pool_init(struct buf_pool *pool,
                   unsigned (*refill)(struct buf_pool *, struct buf *[], unsigned),
                   void (*drain)(struct buf_pool *, struct buf *[], unsigned), void *arg);

/* Slow halves of buf_alloc and buf_unref: move half a cache at a time. */
struct buf *buf_alloc_slow(struct buf_pool *pool);
void buf_free(struct buf_pool *pool, struct buf *b);

/* Give everything that the cache holds back home (worker end, leak checks). */
void buf_pool_flush(struct buf_pool *pool);

/* Set a frame to "fresh": refs 1, empty, data behind the headroom, no flags. For refill functions. */
static inline void buf_reset(struct buf *b)
{
    b->data = b->head + BUF_HEADROOM;
    b->next = b->link = NULL;
    b->len = 0;
    b->refs = 1;
    b->flags = 0;
    b->ip_version = b->ip_proto = 0;
    b->verdict = BUF_PASS;
    b->reason = 0;
    b->segments = 0;
    b->flow = BUF_FLOW_NONE;
    b->external = NULL;
}

/* A fresh buffer with one reference, owned by the caller; NULL when the pool is empty (counted; the
 * caller drops or comes back, it never waits). */
static inline struct buf *buf_alloc(struct buf_pool *pool)
{
    if (TG_UNLIKELY(pool->cached == 0))
        return buf_alloc_slow(pool);
    struct buf *b = pool->cache[--pool->cached];
    pool->in_use++;
    buf_reset(b);
    return b;
}

static inline struct buf *buf_ref(struct buf *b)
{
    b->refs++;
    return b;
}

/* Drop one reference of a whole chain's first piece; with the last one every piece goes home. `pool`
 * is the calling worker's own cache. NULL is allowed. */
static inline void buf_unref(struct buf_pool *pool, struct buf *b)
{
    if (b && --b->refs == 0)
        buf_free(pool, b);
}

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->data, b->len};
}

static inline uint16_t buf_headroom(const struct buf *b)
{
    return (uint16_t)(b->data - b->head);
}

static inline uint16_t buf_tailroom(const struct buf *b)
{
    return (uint16_t)(b->head + b->cap - (b->data + b->len));
}

/* Bytes of the whole chain. */
static inline uint32_t buf_chain_len(const struct buf *b)
{
    uint32_t n = 0;
    for (; b; b = b->next)
        n += b->len;
    return n;
}

/* Grow to the front by n bytes (n <= headroom); returns the new first byte. */
static inline uint8_t *buf_push(struct buf *b, uint16_t n)
{
    tg_assert(n <= buf_headroom(b));
    b->data -= n;
    b->len = (uint16_t)(b->len + n);
    return b->data;
}

/* Drop n bytes from the front (n <= len). */
static inline void buf_pull(struct buf *b, uint16_t n)
{
    tg_assert(n <= b->len);
    b->data += n;
    b->len = (uint16_t)(b->len - n);
}

/* Grow to the back by n bytes (n <= tailroom); returns the first new byte. */
static inline uint8_t *buf_put(struct buf *b, uint16_t n)
{
    tg_assert(n <= buf_tailroom(b));
    uint8_t *p = b->data + b->len;
    b->len = (uint16_t)(b->len + n);
    return p;
}

/* Keep only the first n bytes (n <= len). */
static inline void buf_trim(struct buf *b, uint16_t n)
{
    tg_assert(n <= b->len);
    b->len = n;
}

/* Copy a whole chain into one fresh frame; NULL when it is a super-segment, does not fit in BUF_ROOM or the pool is empty.
 * The parse results, hash and receive time are copied; the original is untouched. */
struct buf *buf_linearise(struct buf_pool *pool, const struct buf *b);

/* A FIFO of buffers through `link`. */
struct buf_queue {
    struct buf *first, *last;
    uint32_t count;
};

static inline void buf_queue_push(struct buf_queue *q, struct buf *b)
{
    b->link = NULL;
    if (q->last)
        q->last->link = b;
    else
        q->first = b;
    q->last = b;
    q->count++;
}

static inline struct buf *buf_queue_pop(struct buf_queue *q)
{
    struct buf *b = q->first;
    if (b) {
        q->first = b->link;
        if (!q->first)
            q->last = NULL;
        b->link = NULL;
        q->count--;
    }
    return b;
}

#endif
