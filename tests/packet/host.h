/* SPDX-License-Identifier: BSD-3-Clause
 * The stack under test of one script, its wire and its clock: net and tcp as the worker has them, a peer at the other end
 * of the link that only the script plays. Virtual time; what the stack sends waits with its time until the script asks.
 */
#ifndef TESTS_PACKET_HOST_H
#define TESTS_PACKET_HOST_H

#include "tcp/tcp_profile.h"
#include "tcp/tcp_test_node.h"
#include "tests/packet/script.h"

#define HOST_START     (1000 * TG_S)
#define HOST_PEER_ISS  0xfffff000u /* sequence numbers wrap after 4 KiB */
#define HOST_PORT      8080
#define HOST_PEER_PORT 40000
#define HOST_QUEUE_MAX 512

struct host_packet {
    tg_ns time;
    struct script_segment segment; /* relative */
    uint32_t
        bad_byte; /* offset of the first payload byte that is not the stream's, UINT32_MAX: none */
};

struct host {
    struct node node;
    struct tcp_config config;
    tg_ns start; /* node.now then */
    uint16_t mtu;
    bool ip6;
    tg_ns neighbour_from; /* the peer's link layer answers from then on ... */
    struct ip_addr asked; /* ... this question at once */
    bool was_asked;
    bool turns; /* segments wait for host_begin_turn, and come as one burst */
    struct buf *burst[TG_BURST];
    unsigned burst_count;
    struct ip_tuple tuple;  /* of the one connection */
    uint32_t our_iss;       /* of its last SYN */
    uint32_t last_ts_value; /* TSval that the stack sent last */
    /* Scripts' timestamps are relative to the first that one names: it is this much more on the wire. */
    uint32_t ts_base, ts_base_iss;
    bool has_ts_base;
    uint8_t prefix4, prefix6; /* lengths of the link's prefixes; everything else has no route */
    /* Where IP packets go instead of to the queue; NULL: the queue. */
    void (*on_packet)(void *arg, const uint8_t *packet, size_t len, tg_ns time);
    void *on_packet_arg;
    struct host_packet queue[HOST_QUEUE_MAX];
    unsigned first, end;
};

/* The configuration that a script starts with: Linux's profile, an MTU of 1,500. */
void host_defaults(struct host *host, bool ip6);
/* Make the stack from host->config; false: it refuses. */
bool host_open(struct host *host);
/* False: something was not given back. */
bool host_close(struct host *host);

/* Give the stack the segments that wait, and run its timers: a turn's first half; host_settle is the second. */
void host_begin_turn(struct host *host);
/* Let the stack work until it has nothing to do at this time; returns tcp_check's word or NULL. */
const char *host_settle(struct host *host);
/* Move the clock to `until`, stopping at each timer; or, with `stop`, until a packet waits. */
const char *host_advance(struct host *host, tg_ns until, bool stop);

/* Give the stack a segment, or an ICMP message (false: this family has no such code). */
void host_receive(struct host *host, const struct script_segment *segment);
bool host_receive_icmp(struct host *host, const struct script_icmp *icmp);

/* Give it an IP packet as it is; false: too long for a frame. */
bool host_receive_packet(struct host *host, const uint8_t *packet, size_t len);

/* The next packet of the stack, or NULL. */
struct host_packet *host_next(struct host *host);

/* Write the packet's timestamps as the script counts them, if it counts them. */
void packet_ts_relative(struct host *host, const struct script_segment *wanted,
                        struct script_segment *got);

/* Compare a packet with what a script expects, its timestamp within ts_tolerance ms; false says why. */
bool packet_matches(const struct script_segment *wanted, const struct script_segment *got,
                    unsigned ts_tolerance, char *why, size_t size);
/* A received frame's segment, relative to the two initial numbers. */
bool packet_read(struct host *host, struct buf *b, struct host_packet *out);

/* Byte of the stream at an offset, of either direction. */
static inline uint8_t host_stream_byte(uint32_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8));
}

#endif
