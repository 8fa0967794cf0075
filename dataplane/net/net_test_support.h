/* SPDX-License-Identifier: BSD-3-Clause
 * For tests only: a buffer pool on malloc that counts what is out, and makers of whole frames.
 * Included by the tests of net, filter, steer and tcp; must never be included by the programs.
 *
 * Every buffer is a heap block of its own and goes back to the heap with its last reference
 * (nothing rests in the worker's cache), so that ASan sees each overrun and each use after the end.
 */
#ifndef DATAPLANE_NET_NET_TEST_SUPPORT_H
#define DATAPLANE_NET_NET_TEST_SUPPORT_H

#include "net/net.h"
#include <stdlib.h>

struct test_pool {
    struct buf_pool pool; /* give &pool to whatever is tested */
    struct buf_pool home; /* of the buffers: another one, so that frees go through at once */
    unsigned outstanding; /* buffers taken and not yet given back */
    unsigned limit;       /* buf_alloc answers NULL when so many are out: fault injection */
};

static inline unsigned test_pool_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct test_pool *t = pool->arg;
    if (n == 0 || t->outstanding >= t->limit)
        return 0;
    struct buf *b = aligned_alloc(TG_CACHE_LINE, sizeof *b);
    tg_assert(b);
    memset(b, 0, sizeof *b);
    b->cap = BUF_HEADROOM + BUF_ROOM;
    b->head = malloc(b->cap);
    tg_assert(b->head);
    memset(b->head, 0xA5, b->cap);
    b->pool = &t->home;
    buf_reset(b);
    out[0] = b;
    t->outstanding++;
    return 1;
}

static inline void test_pool_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct test_pool *t = pool->arg;
    for (unsigned i = 0; i < n; i++) {
        tg_assert(bufs[i]->refs == 0 && t->outstanding > 0);
        free(bufs[i]->head);
        free(bufs[i]);
        t->outstanding--;
    }
}

static inline void test_pool_drain_home(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    test_pool_drain(pool, bufs, n);
}

static inline uint32_t test_pool_available(const struct buf_pool *pool)
{
    const struct test_pool *t = pool->arg;
    return t->outstanding < t->limit ? t->limit - t->outstanding : 0;
}

/* From now on so many frames are there, and the pool's user can ask how many are left. */
static inline void test_pool_limit(struct test_pool *t, unsigned limit)
{
    t->limit = t->pool.total = limit;
    t->pool.available = test_pool_available;
}

/* `limit` 0: no limit. The struct must not move afterwards. */
static inline void test_pool_init(struct test_pool *t, unsigned limit)
{
    memset(t, 0, sizeof *t);
    t->limit = limit ? limit : UINT32_MAX;
    buf_pool_init(&t->pool, test_pool_refill, test_pool_drain, t);
    buf_pool_init(&t->home, test_pool_refill, test_pool_drain_home, t);
}

/* A random-looking but fixed RSS key for a seed. */
static inline void test_toeplitz_init(struct toeplitz *t, uint64_t seed)
{
    struct prng p;
    uint8_t key[TOEPLITZ_KEY_BYTES];
    prng_seed(&p, seed);
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)prng_next(&p);
    toeplitz_init(t, key);
}

static inline struct ip_addr test_addr(const char *text)
{
    struct ip_addr a = {{0}};
    tg_assert(ip_addr_parse(text, &a) == TG_OK);
    return a;
}

/* A buffer with a copy of the bytes. */
static inline struct buf *test_buf(struct buf_pool *pool, const void *bytes, size_t len)
{
    struct buf *b = buf_alloc(pool);
    tg_assert(b && len <= buf_tailroom(b));
    if (len)
        memcpy(buf_put(b, (uint16_t)len), bytes, len);
    return b;
}

/* The same with the bytes at the very end of the storage: reading one byte too many is a heap
 * overrun. */
static inline struct buf *test_buf_tight(struct buf_pool *pool, const void *bytes, size_t len)
{
    struct buf *b = buf_alloc(pool);
    tg_assert(b && len <= (size_t)b->cap);
    b->data = b->head + b->cap - len;
    b->len = (uint16_t)len;
    if (len)
        memcpy(b->data, bytes, len);
    return b;
}

static const uint8_t test_mac_peer[6] = {0x02, 0, 0,
                                         0,    0, 0x01}; /* source of the frames made here */
static const uint8_t test_mac_ours[6] = {0x02, 0, 0, 0, 0, 0x02}; /* their destination */

/* Put IP and Ethernet headers and a right checksum around a transport packet; returns b. */
static inline struct buf *test_frame_finish(struct buf *b, struct ip_emit ip,
                                            unsigned checksum_offset)
{
    wire_emit_l4_checksum(b, &ip, checksum_offset, false);
    wire_emit_ip(b, &ip, false);
    wire_emit_ethernet(b, test_mac_ours, test_mac_peer,
                       ip_addr_is4(&ip.source) ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
    return b;
}

/* A TCP frame from t.remote to t.local (a packet that we receive), with right checksums. The
 * options' length must be a multiple of 4. */
static inline struct buf *test_frame_tcp(struct buf_pool *pool, const struct ip_tuple *t,
                                         uint32_t seq, uint32_t ack, uint8_t flags, uint16_t window,
                                         struct span options, struct span payload)
{
    struct buf *b = buf_alloc(pool);
    tg_assert(b && options.len <= 40 && options.len % 4 == 0);
    uint8_t *h = buf_put(b, TCP_BYTES);
    memset(h, 0, TCP_BYTES);
    wire_put16(h, t->remote_port);
    wire_put16(h + 2, t->local_port);
    wire_put32(h + 4, seq);
    wire_put32(h + 8, ack);
    h[12] = (uint8_t)((TCP_BYTES + options.len) / 4 << 4);
    h[13] = flags;
    wire_put16(h + 14, window);
    if (options.len)
        memcpy(buf_put(b, (uint16_t)options.len), options.data, options.len);
    if (payload.len)
        memcpy(buf_put(b, (uint16_t)payload.len), payload.data, payload.len);
    struct ip_emit ip = {.source = t->remote, .destination = t->local, .proto = IP_PROTO_TCP};
    return test_frame_finish(b, ip, 16);
}

static inline struct buf *test_frame_udp(struct buf_pool *pool, const struct ip_tuple *t,
                                         struct span payload)
{
    struct buf *b = buf_alloc(pool);
    tg_assert(b);
    uint8_t *h = buf_put(b, UDP_BYTES);
    wire_put16(h, t->remote_port);
    wire_put16(h + 2, t->local_port);
    wire_put16(h + 4, (uint16_t)(UDP_BYTES + payload.len));
    if (payload.len)
        memcpy(buf_put(b, (uint16_t)payload.len), payload.data, payload.len);
    struct ip_emit ip = {.source = t->remote, .destination = t->local, .proto = IP_PROTO_UDP};
    return test_frame_finish(b, ip, 6);
}

/* An ICMP or ICMPv6 frame (by the addresses' family): type, code, the 4 bytes of `word`, then
 * `body`. Hop limit 255, as neighbour discovery asks. */
static inline struct buf *test_frame_icmp(struct buf_pool *pool, const struct ip_addr *source,
                                          const struct ip_addr *destination, uint8_t type,
                                          uint8_t code, uint32_t word, struct span body)
{
    struct buf *b = buf_alloc(pool);
    tg_assert(b);
    uint8_t *h = buf_put(b, 8);
    h[0] = type;
    h[1] = code;
    wire_put32(h + 4, word);
    if (body.len)
        memcpy(buf_put(b, (uint16_t)body.len), body.data, body.len);
    struct ip_emit ip = {.source = *source,
                         .destination = *destination,
                         .proto = ip_addr_is4(source) ? IP_PROTO_ICMP : IP_PROTO_ICMP6,
                         .hop_limit = 255};
    return test_frame_finish(b, ip, 2);
}

/* An ARP frame; `operation` 1: request, 2: reply. */
static inline struct buf *test_frame_arp(struct buf_pool *pool, uint16_t operation,
                                         const uint8_t sender_mac[6], const struct ip_addr *sender,
                                         const uint8_t target_mac[6], const struct ip_addr *target)
{
    struct buf *b = buf_alloc(pool);
    tg_assert(b);
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t *h = buf_put(b, 28);
    memcpy(h, "\0\1\x08\0\6\4", 6);
    wire_put16(h + 6, operation);
    memcpy(h + 8, sender_mac, 6);
    memcpy(h + 14, sender->bytes + 12, 4);
    memcpy(h + 18, target_mac, 6);
    memcpy(h + 24, target->bytes + 12, 4);
    wire_emit_ethernet(b, operation == 1 ? broadcast : target_mac, sender_mac, ETHERTYPE_ARP);
    return b;
}

/* Neighbour discovery (RFC 4861 s4.3, s4.4): a solicitation (type 135) or an advertisement (136) of `target`, with the
 * MAC as its option unless that is NULL. `flags`: 0x80 router, 0x40 solicited, 0x20 override. */
static inline struct buf *test_frame_nd(struct buf_pool *pool, uint8_t type,
                                        const struct ip_addr *source,
                                        const struct ip_addr *destination,
                                        const struct ip_addr *target, uint8_t flags,
                                        const uint8_t *mac)
{
    uint8_t body[24] = {[16] = type == 135 ? 1 : 2, [17] = 1};
    memcpy(body, target->bytes, 16);
    if (mac)
        memcpy(body + 18, mac, 6);
    return test_frame_icmp(pool, source, destination, type, 0, (uint32_t)flags << 24,
                           span_make(body, mac ? 24 : 16));
}

/* What a link says when the host at `local`, which is `to`, asks who `neighbour` is: it is `mac`. */
static inline struct buf *test_frame_neighbour(struct buf_pool *pool,
                                               const struct ip_addr *neighbour,
                                               const uint8_t mac[6], const struct ip_addr *local,
                                               const uint8_t to[6])
{
    if (ip_addr_is4(neighbour))
        return test_frame_arp(pool, 2, mac, neighbour, to, local);
    return test_frame_nd(pool, 136, neighbour, local, neighbour, 0x60, mac);
}

/* Is a frame (with its Ethernet header, not parsed) one of neighbour resolution: ARP, or ND from router solicitation to
 * redirect? If it asks for somebody's MAC, *asked is whose; else it is left alone. */
static inline bool test_frame_resolves(const struct buf *b, struct ip_addr *asked)
{
    const uint8_t *ip = b->data + ETH_BYTES, *icmp = ip + IP6_BYTES;
    uint16_t ethertype = wire_get16(b->data + 12);
    if (ethertype == ETHERTYPE_ARP) {
        if (wire_get16(ip + 6) == 1)
            *asked = ip_addr_from4(ip + 24);
        return true;
    }
    if (ethertype != ETHERTYPE_IP6 || ip[6] != IP_PROTO_ICMP6 || icmp[0] < 133 || icmp[0] > 137)
        return false;
    if (icmp[0] == 135)
        memcpy(asked->bytes, icmp + 8, 16);
    return true;
}

#endif
