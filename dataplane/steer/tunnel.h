/* SPDX-License-Identifier: BSD-3-Clause
 * The tunnel between the nodes of a fleet: a packet that arrived at the wrong node travels, whole from its
 * IP header on, in GUE (draft-ietf-intarea-gue-09, variant 0) over UDP over IPv4 or IPv6 to the node that
 * owns its connection, which answers the client directly. All nodes must agree on these bytes: a change
 * here is a change of the wire format. Called by steer. Must not know connections. Floor 2: net, fleet.
 *
 *   Ethernet 14 | IPv4 20 or IPv6 40 | UDP 8 | GUE 32 | IP packet
 *
 *   UDP   source port 49152 + low 14 bits of the packet's hash, so that paths and queues are spread;
 *         destination port 6080 (IANA: gue)
 *
 *   GUE, offsets in bytes, numbers big-endian:
 *
 *       0      0x07: version 0 (2 bits), C 0: data (1 bit), Hlen 7: words behind the fourth byte (5 bits)
 *       1      protocol of what follows: 4 IPv4, 41 IPv6
 *       2-3    flags 0: no standard fields; all that follows is private data
 *       4-5    0x7467: this layout
 *       6      kind: 1 packet, for the node that owns its connection
 *                    2 returned: that node has no such connection; back to the ingress, nowhere else
 *       7      key id, low 8 bits
 *       8      hops: tunnels that the packet has been through, this one included: 1 or 2
 *       9      tries: owners that the ingress has asked, this one included; the owner returns it as it is
 *      10-11   sender's slot
 *      12-13   ingress's slot: who got the packet from outside
 *      14-15   receiver's slot
 *      16-23   time: milliseconds since 1970 at the sender
 *      24-31   MAC: SipHash-2-4 under the key of that id
 *
 *   The MAC covers, in this order: outer source and destination address (16 bytes each, IPv4 mapped),
 *   bytes 0-23 of GUE, the length of the IP packet (2 bytes), and its first 64 bytes (fewer if it is
 *   shorter): IP header, ports, numbers, flags and checksum of TCP. What lies behind them has been
 *   through the Internet without a MAC already.
 *
 *   Nothing is kept of packets that went through, so one that is replayed within the time window of
 *   2 seconds passes; it is a duplicate then, and TCP knows duplicates. Clocks must agree within it.
 */
#ifndef DATAPLANE_STEER_TUNNEL_H
#define DATAPLANE_STEER_TUNNEL_H

#include "base/buf.h"
#include "base/stats.h"
#include "steer/fleet.h"

#define TUNNEL_PORT      6080
#define TUNNEL_GUE_BYTES 32
#define TUNNEL_HOPS_MAX  2
#define TUNNEL_WINDOW_MS 2000u

/* Bytes that a packet grows by, Ethernet not counted. The MSS that tcp offers to its peers leaves room for
 * them (tcp_fleet.reserve): MTU - overhead - 40 or 60, so that a full segment of a client can be forwarded
 * in one frame. What we send goes to the client directly and needs none. */
#define TUNNEL_OVERHEAD4 (IP4_BYTES + UDP_BYTES + TUNNEL_GUE_BYTES)
#define TUNNEL_OVERHEAD6 (IP6_BYTES + UDP_BYTES + TUNNEL_GUE_BYTES)
#define TUNNEL_OVERHEAD  TUNNEL_OVERHEAD6 /* of any */
#define TUNNEL_CHECKSUM  6 /* offset of the checksum in the UDP header, for net_output */

static_assert(ETH_BYTES + TUNNEL_OVERHEAD <= BUF_HEADROOM,
              "any received frame can be encapsulated");

enum tunnel_kind { TUNNEL_PACKET = 1, TUNNEL_RETURNED = 2 };

struct tunnel_header {
    enum tunnel_kind kind;
    uint8_t key_id, hops, tries;
    uint16_t sender, ingress, receiver;
    uint64_t time_ms;
};

/* Largest overhead towards any node of the fleet for a client of this family. */
uint16_t tunnel_reserve(const struct fleet *fleet, enum fleet_family client);

/* Put UDP and GUE in front of an IP packet, in place: b is one piece, data at the IP header, at least
 * TUNNEL_OVERHEAD + ETH_BYTES of headroom. The UDP checksum is left to net_output. h: all fields. */
void tunnel_seal(struct buf *b, const struct tunnel_header *h, const struct owner_key *key,
                 const struct ip_addr *source, const struct ip_addr *destination);

/* True for a UDP packet to the tunnel's port. b is parsed. */
bool tunnel_is(const struct buf *b);

/* Check a packet for which tunnel_is: from a node of the fleet at its own address, for us at ours, fresh,
 * with a known key and a right MAC, and not in a circle. TG_C_none: *h is filled in; else the reason to
 * drop. b is not changed. wall_ms: now, milliseconds since 1970. */
enum tg_counter tunnel_open(const struct fleet *fleet, const struct buf *b, uint64_t wall_ms,
                            struct tunnel_header *h);

/* Turn an opened frame into the frame that the ingress received: the Ethernet header stands in front of
 * the packet, nothing is parsed and nothing verified. */
void tunnel_strip(struct buf *b);

#endif
