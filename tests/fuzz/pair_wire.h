/* SPDX-License-Identifier: BSD-3-Clause
 * For tcp_pair_fuzz: the wire between its two hosts. Frames lie in it as bytes, in the order in which they were sent;
 * whoever holds the wire takes them out in any order, as often as he likes, and changes them.
 */
#ifndef TESTS_FUZZ_PAIR_WIRE_H
#define TESTS_FUZZ_PAIR_WIRE_H

#include "tests/fuzz/fuzz_host.h"

#define WIRE_FRAMES 256u

struct wire_frame {
    uint16_t len;
    uint8_t to;   /* host */
    bool damaged; /* who makes its checksums right makes it a lie */
    uint8_t bytes[ETH_BYTES + 1500];
};

/* A line of places: order[0 .. count) are taken, the others free. */
struct wire {
    uint16_t count;
    uint16_t order[WIRE_FRAMES];
    struct wire_frame frames[WIRE_FRAMES];
};

static inline void wire_reset(struct wire *w)
{
    w->count = 0;
    for (unsigned i = 0; i < WIRE_FRAMES; i++)
        w->order[i] = (uint16_t)i;
}

static inline struct wire_frame *wire_at(struct wire *w, unsigned n)
{
    return &w->frames[w->order[n]];
}

/* A free place at the end; NULL: the wire is full, the frame is lost. */
static inline struct wire_frame *wire_append(struct wire *w, unsigned to, uint16_t len)
{
    if (w->count == WIRE_FRAMES)
        return NULL;
    struct wire_frame *f = wire_at(w, w->count++);
    f->len = len;
    f->to = (uint8_t)to;
    f->damaged = false;
    return f;
}

static inline void wire_remove(struct wire *w, unsigned n)
{
    uint16_t place = w->order[n];
    w->count--;
    memmove(&w->order[n], &w->order[n + 1], (w->count - n) * sizeof w->order[0]);
    w->order[w->count] = place;
}

static inline void wire_duplicate(struct wire *w, unsigned n)
{
    const struct wire_frame *old = wire_at(w, n);
    struct wire_frame *f = wire_append(w, old->to, old->len);
    if (!f)
        return;
    f->damaged = old->damaged;
    memcpy(f->bytes, old->bytes, old->len);
}

/* Whatever the host has to send. */
static inline void wire_collect(struct wire *w, struct fuzz_host *h, unsigned to)
{
    struct buf *b;
    while (net_take(h->net, &b, 1)) {
        tg_assert(b->len <= sizeof w->frames[0].bytes && !b->next);
        struct wire_frame *f = wire_append(w, to, b->len);
        if (f)
            memcpy(f->bytes, b->data, b->len);
        buf_unref(&h->pool.pool, b);
    }
}

/* The frame reaches the host, or is lost for want of a buffer. Returns what the parser said. */
static inline enum tg_counter wire_deliver(struct fuzz_host *h, const struct wire_frame *f,
                                           tg_ns now)
{
    struct buf *b = buf_alloc(&h->pool.pool);
    if (!b)
        return TG_C_io_pool_empty;
    memcpy(buf_put(b, f->len), f->bytes, f->len);
    enum tg_counter reason = wire_parse(b, &fuzz_toeplitz);
    if (reason != TG_C_none)
        buf_unref(&h->pool.pool, b);
    else if (b->ip_version == 0 || b->ip_proto != IP_PROTO_TCP)
        net_input(h->net, b, now);
    else
        tcp_input(h->tcp, &b, 1, now);
    return reason;
}

/* Make the checksums of a changed TCP frame right again, so that the change reaches the stack. False: it is not one
 * whose headers still say where they are. */
static inline bool wire_checksums_fix(struct wire_frame *f)
{
    bool ip6 = wire_get16(f->bytes + 12) == ETHERTYPE_IP6;
    unsigned l3 = ETH_BYTES, l4 = l3 + (ip6 ? 40 : 20);
    if (f->len < l4 + TCP_BYTES || f->bytes[l3 + (ip6 ? 6 : 9)] != IP_PROTO_TCP)
        return false;
    uint8_t *ip = f->bytes + l3, *tcp = f->bytes + l4;
    struct ip_addr source = {{0}}, destination = {{0}};
    if (ip6) {
        memcpy(source.bytes, ip + 8, 16);
        memcpy(destination.bytes, ip + 24, 16);
    } else {
        source = ip_addr_from4(ip + 12);
        destination = ip_addr_from4(ip + 16);
        wire_put16(ip + 10, 0);
        wire_put16(ip + 10, wire_sum_finish(wire_sum(0, span_make(ip, 20))));
    }
    uint32_t len = f->len - l4, sum = wire_sum_pseudo(&source, &destination, IP_PROTO_TCP, len);
    wire_put16(tcp + 16, 0);
    wire_put16(tcp + 16, wire_sum_finish(wire_sum(sum, span_make(tcp, len))));
    return true;
}

#endif
