/* SPDX-License-Identifier: BSD-3-Clause
 * One line for every frame that is delivered or lost, for people who look for a bug (--trace). Reads the frame by
 * itself and carefully: it may be damaged.
 */
#include "net/wire.h"
#include "tests/sim/sim.h"
#include <stdio.h>

static void trace_tcp(const uint8_t *ip, size_t len, size_t header)
{
    static const char letters[] = "FSRPAUEC";
    const uint8_t *tcp = ip + header;
    bool v4 = ip[0] >> 4 == 4;
    size_t total = v4 ? wire_get16(ip + 2) : (size_t)wire_get16(ip + 4) + IP6_BYTES;
    size_t offset = (size_t)(tcp[12] >> 4) * 4;
    char flags[9] = "";
    unsigned n = 0;
    for (unsigned i = 0; i < 8; i++)
        if (tcp[13] >> i & 1)
            flags[n++] = letters[i];
    flags[n] = '\0';
    printf(" %u > %u [%s] seq %u ack %u win %u len %zd", wire_get16(tcp), wire_get16(tcp + 2),
           flags, wire_get32(tcp + 4), wire_get32(tcp + 8), wire_get16(tcp + 14),
           (ssize_t)(total - header - offset));
    for (size_t i = TCP_BYTES; i + 2 <= offset && header + i + 1 < len;) {
        if (tcp[i] == 1) {
            i++;
            continue;
        }
        if (tcp[i] == 0 || tcp[i + 1] < 2)
            break;
        if (tcp[i] == 5)
            printf(" sack %u blocks", (tcp[i + 1] - 2) / 8);
        i += tcp[i + 1];
    }
}

void sim_trace(const struct sim *sim, unsigned port, struct span frame, bool lost)
{
    printf("%14.6f %s %s:", (double)(sim->now - sim->start) / TG_S, lost ? "-x" : "->",
           sim->ports[port].node->name);
    const uint8_t *ip = frame.data + ETH_BYTES;
    size_t len = frame.len > ETH_BYTES ? frame.len - ETH_BYTES : 0;
    uint16_t type = len ? wire_get16(frame.data + 12) : 0;
    size_t header = 0;
    uint8_t proto = 0;
    if (type == ETHERTYPE_IP4 && len >= IP4_BYTES)
        header = (size_t)(ip[0] & 15) * 4, proto = ip[9];
    else if (type == ETHERTYPE_IP6 && len >= IP6_BYTES)
        header = IP6_BYTES, proto = ip[6];
    if (proto == IP_PROTO_TCP && len >= header + TCP_BYTES)
        trace_tcp(ip, len, header);
    else
        printf(" type %04x proto %u, %zu bytes", type, proto, frame.len);
    printf("\n");
}
