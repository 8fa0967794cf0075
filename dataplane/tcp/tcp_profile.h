/* SPDX-License-Identifier: BSD-3-Clause
 * What a stack looks like from outside, and the times that it lives by: a fingerprint as data. Fleets that want
 * to be taken for another system, or need other timers, give tcp_create another profile. Read by
 * tcp_open, tcp_emit, tcp_reassembly; changes nothing of the protocol's rules.
 */
#ifndef DATAPLANE_TCP_TCP_PROFILE_H
#define DATAPLANE_TCP_TCP_PROFILE_H

#include "base/types.h"
#include "tcp/tcp_options.h"

#define TCP_SCALE_BY_WINDOW 255 /* the smallest scale that can tell receive_window_max */

/* Identification of our IPv4 packets, which all have DF set. */
enum tcp_ip_id {
    TCP_IP_ID_ZERO,   /* an atomic datagram needs none (RFC 6864 s4.1) */
    TCP_IP_ID_RANDOM, /* for paths with old gear that fragments in spite of DF */
};

struct tcp_profile {
    const char *name;
    struct tcp_option_order syn;  /* of SYN and SYN-ACK */
    struct tcp_option_order data; /* of everything else */
    uint8_t window_scale;         /* that we offer: 0 .. 14, TCP_SCALE_BY_WINDOW */
    uint8_t hop_limit;            /* TTL: 1 .. 255 */
    uint8_t quick_acks;           /* segments that are acknowledged at once at the start */
    uint16_t syn_window;          /* largest window that a SYN tells, bytes; never scaled */
    enum tcp_ip_id ip_id;
    tg_ns delayed_ack; /* longest wait of an ACK; below 500 ms (RFC 9293 s3.8.6.3, MUST-40) */
    tg_ns rto_min;     /* unless tcp_config says otherwise */
    tg_ns rto_syn;     /* of the first SYN (RFC 6298 s2.1) */
};

extern const struct tcp_profile tcp_profile_linux, tcp_profile_freebsd;

/* Every field within its range, and the orders name only kinds that their segments may have. */
bool tcp_profile_valid(const struct tcp_profile *profile);

#endif
