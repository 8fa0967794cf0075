/* SPDX-License-Identifier: BSD-3-Clause
 * For tests and the fuzz target only: one good frame of every kind that the parser lets through.
 */
#ifndef DATAPLANE_NET_NET_TEST_CORPUS_H
#define DATAPLANE_NET_NET_TEST_CORPUS_H

#include "net/net_test_support.h"

enum corpus_kind {
    CORPUS_TCP4,
    CORPUS_TCP6,
    CORPUS_UDP4,
    CORPUS_UDP6,
    CORPUS_TCP6_EXTENDED, /* a destination options header of 8 bytes before TCP */
    CORPUS_ECHO4,
    CORPUS_ECHO6,
    CORPUS_ERROR4, /* too big, quoting a TCP packet of ours */
    CORPUS_ERROR6,
    CORPUS_SOLICIT,
    CORPUS_ADVERT,
    CORPUS_ARP_REQUEST,
    CORPUS_ARP_REPLY,
    CORPUS_KINDS,
};

static inline struct buf *corpus_extended(struct buf_pool *pool, const struct ip_tuple *t)
{
    struct buf *b = test_frame_tcp(pool, t, 1, 2, TCP_ACK, 99, SPAN_EMPTY, SPAN_LITERAL("data"));
    uint8_t head[ETH_BYTES + IP6_BYTES];
    memcpy(head, b->data, sizeof head);
    buf_pull(b, sizeof head);
    memcpy(buf_push(b, 8), "\6\0\x1e\4abcd", 8);
    memcpy(buf_push(b, sizeof head), head, sizeof head);
    b->data[ETH_BYTES + 6] = 60;
    wire_put16(b->data + ETH_BYTES + 4, (uint16_t)(b->len - sizeof head));
    return b;
}

/* The head of a packet that we sent: as much of it as `bytes` says, without Ethernet. */
static inline struct buf *corpus_error(struct buf_pool *pool, const struct ip_tuple *t,
                                       const struct ip_addr *router, uint16_t bytes)
{
    struct ip_tuple sent = {t->remote, t->local, t->remote_port, t->local_port};
    struct buf *q = test_frame_tcp(pool, &sent, 7, 8, TCP_ACK, 99, SPAN_EMPTY, SPAN_LITERAL("hi"));
    bool is4 = ip_addr_is4(router);
    struct buf *b = test_frame_icmp(pool, router, &t->local, is4 ? 3 : 2, is4 ? 4 : 0, 1400,
                                    span_make(q->data + ETH_BYTES, bytes));
    buf_unref(pool, q);
    return b;
}

static inline struct buf *corpus_nd(struct buf_pool *pool, uint8_t type, const char *source,
                                    const char *destination, const char *target)
{
    struct ip_addr s = test_addr(source), d = test_addr(destination), t = test_addr(target);
    return test_frame_nd(pool, type, &s, &d, &t, type == 135 ? 0 : 0x60, test_mac_peer);
}

/* Frames for the addresses of net_test_harness.h. */
static inline struct buf *corpus_frame(struct buf_pool *pool, enum corpus_kind kind)
{
    struct ip_tuple four = {test_addr("192.0.2.1"), test_addr("192.0.2.9"), 80, 40000};
    struct ip_tuple six = {test_addr("2001:db8:1::1"), test_addr("2001:db8:1::9"), 80, 40000};
    struct ip_addr router4 = test_addr("203.0.113.1"), router6 = test_addr("2001:db8:5::1");
    struct span options = SPAN_LITERAL("\2\4\5\xb4\1\3\3\7"), data = SPAN_LITERAL("payload");
    switch (kind) {
    case CORPUS_TCP4:
        return test_frame_tcp(pool, &four, 1, 2, TCP_ACK | TCP_PSH, 99, SPAN_EMPTY, data);
    case CORPUS_TCP6:
        return test_frame_tcp(pool, &six, 1, 2, TCP_SYN, 99, options, SPAN_EMPTY);
    case CORPUS_UDP4:
        return test_frame_udp(pool, &four, data);
    case CORPUS_UDP6:
        return test_frame_udp(pool, &six, data);
    case CORPUS_TCP6_EXTENDED:
        return corpus_extended(pool, &six);
    case CORPUS_ECHO4:
        return test_frame_icmp(pool, &four.remote, &four.local, 8, 0, 0x10001, data);
    case CORPUS_ECHO6:
        return test_frame_icmp(pool, &six.remote, &six.local, 128, 0, 0x10001, data);
    case CORPUS_ERROR4:
        return corpus_error(pool, &four, &router4, 28);
    case CORPUS_ERROR6:
        return corpus_error(pool, &six, &router6, 60);
    case CORPUS_SOLICIT:
        return corpus_nd(pool, 135, "2001:db8:1::9", "ff02::1:ff00:1", "2001:db8:1::1");
    case CORPUS_ADVERT:
        return corpus_nd(pool, 136, "2001:db8:1::9", "2001:db8:1::1", "2001:db8:1::9");
    case CORPUS_ARP_REQUEST:
        return test_frame_arp(pool, 1, test_mac_peer, &four.remote, test_mac_ours, &four.local);
    default:
        return test_frame_arp(pool, 2, test_mac_peer, &four.remote, test_mac_ours, &four.local);
    }
}

/* Put an ICMP checksum right (no port vouches for it), so that damage reaches the code behind it.
 */
static inline void corpus_fix_icmp(struct buf *b)
{
    uint8_t *h = b->data + ETH_BYTES;
    bool four = b->data[12] == 0x08 && b->data[13] == 0 && h[9] == IP_PROTO_ICMP;
    bool six = b->data[12] == 0x86 && b->data[13] == 0xdd && h[6] == IP_PROTO_ICMP6;
    unsigned at = ETH_BYTES + (four ? IP4_BYTES : IP6_BYTES);
    if ((!four && !six) || b->len < at + 8u)
        return;
    uint16_t len = (uint16_t)(b->len - at);
    uint32_t sum = 0;
    if (six) { /* sums by hand: the addresses may look like IPv4 now */
        sum = wire_sum(0, span_make(h + 8, 32));
        sum += IP_PROTO_ICMP6 + (uint32_t)len;
    }
    wire_put16(b->data + at + 2, 0);
    wire_put16(b->data + at + 2, wire_sum_finish(wire_sum(sum, span_make(b->data + at, len))));
}

#endif
