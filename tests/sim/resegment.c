/* SPDX-License-Identifier: BSD-3-Clause
 * A middlebox that cuts TCP segments: two segments of the same bytes, which may overlap. Legal for a
 * network to do, and the only way that two of our own stacks ever see partial overlaps. Called by path.c.
 */
#include "net/wire.h"
#include "tests/sim/sim.h"

/* Where the parts of a TCP frame lie; false: it is none, or it is damaged. */
struct layout {
    size_t ip_header, tcp, payload, end;
    bool v4;
};

static bool layout_find(struct span frame, struct layout *l)
{
    const uint8_t *ip = frame.data + ETH_BYTES;
    uint16_t type = frame.len >= ETH_BYTES + IP4_BYTES ? wire_get16(frame.data + 12) : 0;
    l->v4 = type == ETHERTYPE_IP4;
    if (!(l->v4 ? ip[9] == IP_PROTO_TCP : type == ETHERTYPE_IP6 && ip[6] == IP_PROTO_TCP))
        return false;
    l->ip_header = l->v4 ? IP4_BYTES : IP6_BYTES;
    l->tcp = ETH_BYTES + l->ip_header;
    l->end = ETH_BYTES + (l->v4 ? wire_get16(ip + 2) : (size_t)wire_get16(ip + 4) + IP6_BYTES);
    if (l->tcp + TCP_BYTES > frame.len || l->end > frame.len)
        return false;
    l->payload = l->tcp + (size_t)(frame.data[l->tcp + 12] >> 4) * 4;
    return l->payload <= l->end;
}

static void checksums_put(uint8_t *frame, const struct layout *l, size_t end)
{
    uint8_t *ip = frame + ETH_BYTES, *tcp = frame + l->tcp;
    size_t tcp_len = end - l->tcp;
    struct ip_addr source, destination;
    if (l->v4) {
        wire_put16(ip + 2, (uint16_t)(end - ETH_BYTES));
        wire_put16(ip + 10, 0);
        wire_put16(ip + 10, wire_sum_finish(wire_sum(0, span_make(ip, IP4_BYTES))));
        source = ip_addr_from4(ip + 12);
        destination = ip_addr_from4(ip + 16);
    } else {
        wire_put16(ip + 4, (uint16_t)tcp_len);
        memcpy(source.bytes, ip + 8, 16);
        memcpy(destination.bytes, ip + 24, 16);
    }
    uint32_t sum = wire_sum_pseudo(&source, &destination, IP_PROTO_TCP, (uint32_t)tcp_len);
    wire_put16(tcp + 16, 0);
    wire_put16(tcp + 16, wire_sum_finish(wire_sum(sum, span_make(tcp, tcp_len))));
}

/* A copy of the frame with payload bytes [from, to) only. */
static size_t part_make(struct span frame, const struct layout *l, size_t from, size_t to,
                        uint8_t *out)
{
    size_t n = to - from;
    memcpy(out, frame.data, l->payload);
    memcpy(out + l->payload, frame.data + l->payload + from, n);
    uint8_t *tcp = out + l->tcp;
    wire_put32(tcp + 4, wire_get32(tcp + 4) + (uint32_t)from);
    if (l->payload + to < l->end)
        tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    checksums_put(out, l, l->payload + n);
    return l->payload + n;
}

bool sim_resegment(struct prng *rng, struct span frame, uint8_t *first, size_t *first_len,
                   uint8_t *second, size_t *second_len)
{
    struct layout l;
    if (!layout_find(frame, &l) || l.end - l.payload < 2 ||
        frame.data[l.tcp + 13] & (TCP_SYN | TCP_RST))
        return false;
    size_t n = l.end - l.payload;
    size_t begin = prng_below(rng, n);                   /* of the second part */
    size_t end = begin + prng_below(rng, n - begin + 1); /* of the first part: >= begin */
    if (end == 0)
        end = 1;
    if (begin == 0 && end == n)
        return false;
    *first_len = part_make(frame, &l, 0, end, first);
    *second_len = part_make(frame, &l, begin, n, second);
    return true;
}
