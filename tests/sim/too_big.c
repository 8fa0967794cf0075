/* SPDX-License-Identifier: BSD-3-Clause
 * A narrow link: what does not fit is dropped, and a router says so by ICMP (RFC 1191, RFC 4443 s3.2), or does
 * not. Called by path.c.
 */
#include "net/wire.h"
#include "tests/sim/sim.h"

#define ROUTER     254 /* 10.0.0.254, fd00::fe */
#define QUOTE4_MAX 200 /* bytes quoted: IPv4 header and some more */
#define QUOTE6_MAX 600

static size_t too_big4(const uint8_t *ip, size_t len, uint16_t mtu, uint8_t *out)
{
    size_t quote = len < QUOTE4_MAX ? len : QUOTE4_MAX;
    uint8_t *icmp = out + IP4_BYTES;
    memset(out, 0, IP4_BYTES + 8);
    out[0] = 0x45;
    wire_put16(out + 2, (uint16_t)(IP4_BYTES + 8 + quote));
    out[8] = 64;
    out[9] = IP_PROTO_ICMP;
    memcpy(out + 12, (const uint8_t[4]){10, 0, 0, ROUTER}, 4);
    memcpy(out + 16, ip + 12, 4); /* to its source */
    wire_put16(out + 10, wire_sum_finish(wire_sum(0, span_make(out, IP4_BYTES))));
    icmp[0] = 3; /* destination unreachable */
    icmp[1] = 4; /* fragmentation needed and DF set */
    wire_put16(icmp + 6, mtu);
    memcpy(icmp + 8, ip, quote);
    wire_put16(icmp + 2, wire_sum_finish(wire_sum(0, span_make(icmp, 8 + quote))));
    return IP4_BYTES + 8 + quote;
}

static size_t too_big6(const uint8_t *ip, size_t len, uint16_t mtu, uint8_t *out)
{
    size_t quote = len < QUOTE6_MAX ? len : QUOTE6_MAX;
    uint8_t *icmp = out + IP6_BYTES;
    struct ip_addr source = {{0xfd, [15] = ROUTER}}, destination;
    memset(out, 0, IP6_BYTES + 8);
    out[0] = 0x60;
    wire_put16(out + 4, (uint16_t)(8 + quote));
    out[6] = IP_PROTO_ICMP6;
    out[7] = 64;
    memcpy(destination.bytes, ip + 8, 16);
    memcpy(out + 8, source.bytes, 16);
    memcpy(out + 24, destination.bytes, 16);
    icmp[0] = 2; /* packet too big */
    wire_put32(icmp + 4, mtu);
    memcpy(icmp + 8, ip, quote);
    uint32_t sum = wire_sum_pseudo(&source, &destination, IP_PROTO_ICMP6, (uint32_t)(8 + quote));
    wire_put16(icmp + 2, wire_sum_finish(wire_sum(sum, span_make(icmp, 8 + quote))));
    return IP6_BYTES + 8 + quote;
}

bool sim_too_big(struct sim *sim, unsigned from, struct span frame, uint16_t mtu, tg_ns when)
{
    uint8_t out[ETH_BYTES + IP6_BYTES + 8 + QUOTE6_MAX];
    const uint8_t *ip = frame.data + ETH_BYTES;
    size_t len = frame.len - ETH_BYTES;
    uint16_t type = wire_get16(frame.data + 12);
    if (len <= mtu || (type != ETHERTYPE_IP4 && type != ETHERTYPE_IP6))
        return false;
    sim->counts.too_big++;
    if (when == 0) /* a black hole */
        return true;
    unsigned to = sim->too_big_to[from] ? sim->too_big_to[from] - 1u : from;
    memcpy(out, sim->ports[to].mac, 6);
    memcpy(out + 6, (const uint8_t[6]){2, 0, 0, 0, 0, ROUTER}, 6);
    wire_put16(out + 12, type);
    size_t n = type == ETHERTYPE_IP4 ? too_big4(ip, len, mtu, out + ETH_BYTES)
                                     : too_big6(ip, len, mtu, out + ETH_BYTES);
    sim_schedule(sim, when, to, span_make(out, ETH_BYTES + n));
    return true;
}
