/* SPDX-License-Identifier: BSD-3-Clause
 * TCP frames, read and put right again.
 */
#include "tests/sim/frame.h"

bool sim_layout_find(struct span frame, struct sim_layout *l)
{
    const uint8_t *ip = frame.data + ETH_BYTES;
    uint16_t type = frame.len >= ETH_BYTES + IP4_BYTES ? wire_get16(frame.data + 12) : 0;
    l->v4 = type == ETHERTYPE_IP4;
    l->ip_header = l->v4 ? IP4_BYTES : IP6_BYTES;
    l->tcp = ETH_BYTES + l->ip_header;
    if (!(l->v4 || type == ETHERTYPE_IP6) || l->tcp + TCP_BYTES > frame.len ||
        ip[0] >> 4 != (l->v4 ? 4 : 6) || (l->v4 && (ip[0] & 15) != IP4_BYTES / 4) ||
        ip[l->v4 ? 9 : 6] != IP_PROTO_TCP)
        return false;
    l->end = ETH_BYTES + (l->v4 ? wire_get16(ip + 2) : (size_t)wire_get16(ip + 4) + IP6_BYTES);
    l->payload = l->tcp + (size_t)(frame.data[l->tcp + 12] >> 4) * 4;
    return l->end <= frame.len && l->payload >= l->tcp + TCP_BYTES && l->payload <= l->end;
}

void sim_addresses(const uint8_t *frame, const struct sim_layout *l, struct ip_addr *source,
                   struct ip_addr *destination)
{
    const uint8_t *ip = frame + ETH_BYTES;
    if (l->v4) {
        *source = ip_addr_from4(ip + 12);
        *destination = ip_addr_from4(ip + 16);
    } else {
        memcpy(source->bytes, ip + 8, 16);
        memcpy(destination->bytes, ip + 24, 16);
    }
}

static uint16_t tcp_sum(const uint8_t *frame, const struct sim_layout *l, size_t end)
{
    struct ip_addr source, destination;
    size_t len = end - l->tcp;
    sim_addresses(frame, l, &source, &destination);
    uint32_t sum = wire_sum_pseudo(&source, &destination, IP_PROTO_TCP, (uint32_t)len);
    return wire_sum_finish(wire_sum(sum, span_make(frame + l->tcp, len)));
}

bool sim_checksums_good(struct span frame, const struct sim_layout *l)
{
    if (l->v4 && wire_sum_finish(wire_sum(0, span_make(frame.data + ETH_BYTES, IP4_BYTES))))
        return false;
    return tcp_sum(frame.data, l, l->end) == 0;
}

void sim_checksums_put(uint8_t *frame, const struct sim_layout *l, size_t end)
{
    uint8_t *ip = frame + ETH_BYTES;
    if (l->v4) {
        wire_put16(ip + 2, (uint16_t)(end - ETH_BYTES));
        wire_put16(ip + 10, 0);
        wire_put16(ip + 10, wire_sum_finish(wire_sum(0, span_make(ip, IP4_BYTES))));
    } else {
        wire_put16(ip + 4, (uint16_t)(end - l->tcp));
    }
    wire_put16(frame + l->tcp + 16, 0);
    wire_put16(frame + l->tcp + 16, tcp_sum(frame, l, end));
}

uint8_t *sim_tcp_option(uint8_t *frame, const struct sim_layout *l, uint8_t kind)
{
    for (size_t at = l->tcp + TCP_BYTES; at < l->payload;) {
        if (frame[at] == 0)
            return NULL;
        if (frame[at] == 1) {
            at++;
            continue;
        }
        if (at + 1 >= l->payload || frame[at + 1] < 2 || at + frame[at + 1] > l->payload)
            return NULL;
        if (frame[at] == kind)
            return frame + at;
        at += frame[at + 1];
    }
    return NULL;
}
