/* SPDX-License-Identifier: BSD-3-Clause
 * See offload.h. The rules for the flags are those of Linux's drivers and of DPDK's TSO: FIN and PSH go to the
 * last segment, CWR to the first (RFC 3168 s6.1.2: once), all others to each.
 */
#include "base/offload.h"

enum { TCP_FLAGS_AT = 13, TCP_CHECKSUM_AT = 16, UDP_CHECKSUM_AT = 6, PROTO_TCP = 6 };
enum { FIN = 1, PSH = 8, CWR = 0x80 };

size_t offload_gather(const struct buf *b, uint8_t out[], size_t max)
{
    size_t len = 0;
    for (; b; b = b->next) {
        tg_assert(len + b->len <= max);
        if (b->len)
            memcpy(out + len, b->data, b->len);
        len += b->len;
    }
    return len;
}

static uint32_t sum_of(uint32_t sum, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
    return sum;
}

static uint16_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static void ip4_checksum(uint8_t *ip)
{
    put16(ip + 10, 0);
    put16(ip + 10, (uint16_t)~folded(sum_of(0, ip, (size_t)(ip[0] & 15) * 4)));
}

void offload_checksums(const struct buf *b, uint8_t *frame, size_t len)
{
    if (b->flags & BUF_TX_IP_CSUM)
        ip4_checksum(frame + b->l3);
    if (b->flags & BUF_TX_L4_CSUM) {
        size_t at = b->l4 + (b->ip_proto == PROTO_TCP ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT);
        put16(frame + at, (uint16_t)~folded(sum_of(0, frame + b->l4, len - b->l4)));
    }
}

static void cut_ip(const struct buf *b, uint8_t *ip, unsigned number, size_t len)
{
    if (b->ip_version == 4) {
        put16(ip + 2, (uint16_t)len);
        put16(ip + 4, (uint16_t)(get16(ip + 4) + number));
    } else {
        put16(ip + 4, (uint16_t)(len - (b->l4 - b->l3)));
    }
}

static void cut_tcp(uint8_t *tcp, size_t offset, size_t len, bool first, bool last)
{
    uint32_t seq = (get16(tcp + 4) << 16 | get16(tcp + 6)) + (uint32_t)offset;
    put16(tcp + 4, (uint16_t)(seq >> 16));
    put16(tcp + 6, (uint16_t)seq);
    if (!last)
        tcp[TCP_FLAGS_AT] &= (uint8_t) ~(FIN | PSH);
    if (!first)
        tcp[TCP_FLAGS_AT] &= (uint8_t)~CWR;
    /* the length, which the pseudo-header's sum has been left without */
    put16(tcp + TCP_CHECKSUM_AT, folded(get16(tcp + TCP_CHECKSUM_AT) + (uint32_t)len));
}

size_t offload_cut(const struct buf *b, struct span super, unsigned number, uint8_t out[])
{
    tg_assert(b->segments && b->super.segment_bytes && b->flags & BUF_TX_L4_CSUM);
    size_t headers = b->len, offset = (size_t)number * b->super.segment_bytes;
    tg_assert(super.len > headers);
    size_t left = super.len - headers > offset ? super.len - headers - offset : 0;
    if (left == 0) {
        tg_assert(number == b->segments);
        return 0;
    }
    bool last = left <= b->super.segment_bytes;
    size_t payload = last ? left : b->super.segment_bytes;
    memcpy(out, super.data, headers);
    memcpy(out + headers, super.data + headers + offset, payload);
    cut_ip(b, out + b->l3, number, headers + payload - b->l3);
    cut_tcp(out + b->l4, offset, headers + payload - b->l4, number == 0, last);
    if (b->ip_version == 4)
        ip4_checksum(out + b->l3);
    offload_checksums(b, out, headers + payload);
    return headers + payload;
}

static void split_describe(const struct buf *b, struct buf *piece)
{
    piece->l3 = b->l3;
    piece->l4 = b->l4;
    piece->l4_len = (uint16_t)(piece->len - b->l4);
    piece->ip_version = b->ip_version;
    piece->ip_proto = b->ip_proto;
    piece->port = b->port;
    piece->flags &= (uint16_t) ~(BUF_TX_IP_CSUM | BUF_TX_L4_CSUM);
    piece->flags |= b->flags & (BUF_TX_IP_CSUM | BUF_TX_L4_CSUM);
}

void offload_split(struct buf_pool *pool, struct buf *b, struct buf *out[])
{
    tg_assert(b->refs == 1 && b->segments && b->flags & BUF_TX_L4_CSUM);
    struct buf *piece = b->next;
    size_t offset = 0;
    for (unsigned i = 0; i < b->segments; i++) {
        struct buf *next = piece->next;
        size_t payload = piece->len;
        memcpy(buf_push(piece, b->len), b->data, b->len);
        piece->next = NULL;
        split_describe(b, piece);
        cut_ip(b, piece->data + b->l3, i, piece->len - b->l3);
        cut_tcp(piece->data + b->l4, offset, piece->len - b->l4, i == 0, !next);
        if (b->ip_version == 4 && !(b->flags & BUF_TX_IP_CSUM))
            ip4_checksum(piece->data + b->l3);
        offset += payload;
        out[i] = piece;
        piece = next;
    }
    b->next = NULL;
    b->segments = 0;
    buf_unref(pool, b);
}
