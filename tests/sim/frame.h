/* SPDX-License-Identifier: BSD-3-Clause
 * Where the parts of a TCP frame lie, for middleboxes, oracles and writers of traces: IPv4 without options
 * and IPv6 without extension headers, which is what our stacks send. Reads nothing outside of the frame.
 */
#ifndef TESTS_SIM_FRAME_H
#define TESTS_SIM_FRAME_H

#include "net/wire.h"

struct sim_layout {
    size_t ip_header, tcp, payload, end; /* offsets in the frame; end: behind the IP packet */
    bool v4;
};

/* False: the frame is no TCP, or damaged in its lengths. Checksums are not looked at. */
bool sim_layout_find(struct span frame, struct sim_layout *l);
/* True: IPv4's header checksum and TCP's are right. */
bool sim_checksums_good(struct span frame, const struct sim_layout *l);
/* Put lengths and checksums right for a packet that ends at `end`. */
void sim_checksums_put(uint8_t *frame, const struct sim_layout *l, size_t end);
/* The option of this kind: its first byte, or NULL. Its length fits in the header and is at least 2. */
uint8_t *sim_tcp_option(uint8_t *frame, const struct sim_layout *l, uint8_t kind);
/* Both addresses, as struct ip_addr. */
void sim_addresses(const uint8_t *frame, const struct sim_layout *l, struct ip_addr *source,
                   struct ip_addr *destination);

#endif
