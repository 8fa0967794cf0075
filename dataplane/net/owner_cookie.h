/* SPDX-License-Identifier: BSD-3-Clause
 * Owner cookies: the bits of a TCP connection that its client must echo, and that name the node which
 * owns it. tcp encodes them in its SYN or SYN-ACK, steer decodes them when a packet of somebody else's
 * connection arrives; neither includes the other, so every bit is defined here and nowhere else. All
 * nodes of a fleet must agree on them: a change of this file is a change of the wire format. Pure: no
 * state, no clock. Floor 1: base, net/wire.
 *
 * The timestamp (RFC 7323) that an owner sends, and that comes back as TSecr:
 *
 *      31            24 23              14 13       10 9                0
 *     +----------------+------------------+-----------+------------------+
 *     | name, bits 11-4|      clock       | name, 3-0 |       tag        |   base: the clock's start
 *     +----------------+------------------+-----------+------------------+
 *                       TSval = base + (ticks << 14), modulo 2^32
 *
 *     name    12 bits: the owner's slot ^ bits 0-11 of NAMES (below)
 *     tag     10 bits: bits 0-9 of TAG: says that the name is no accident
 *     clock   10 bits: starts at 0; at wscale(4) | sack(1) | ecn(1) = 0..63 in a SYN cookie; anywhere an
 *             active open likes. One tick for each 4 hours of the connection's life, one more for each
 *             2^30 bytes that it has sent: RFC 7323 s5.4 asks for one per 2^31 bytes, and for no more,
 *             because PAWS accepts a value again (s5.3 R1: only an older one is dropped).
 *
 * The clock lies above the low cookie bits and carries into the high ones, so the timestamp never falls,
 * however long a client idles: 2^31 / 2^14 ticks, or 59 years, until it would look old. (The other way
 * round, cookie above clock, a wrap needs a version bit, and a Linux client then drops packets after
 * about a minute of idling: measured.) It is decoded exactly until the clock has run over: start + ticks
 * < 1024, 160 days or 961 GiB at least. After that the carry spoils bit 4 of the name and up; the decoder
 * tries carries of 0, 1 and 2, so that three times as much still names its owner. A forged value passes
 * once in 1024 / 3 tries for each valid key, and then names one of 4096 slots at random: only slots that
 * live are believed.
 *
 * The initial sequence number, for clients without timestamps: SEG.ACK - 1 = ISN + bytes sent, so the
 * high byte comes back as it is until 2^23 bytes have been sent, and one higher or the same until 2^24.
 * (Until then one lower must be tried, too, which names site ^ (2^k - 1): sites whose numbers differ so,
 * such as 2 and 3, are asked for each other's connections now and then.)
 *
 *      31            24 23 22                                           0
 *     +----------------+--+----------------------------------------------+
 *     |   site ^ mask  | 0|  (ISN clock + offset of the tuple) mod 2^23  |
 *     +----------------+--+----------------------------------------------+
 *     SYN cookie, client with timestamps:     key(1) | MSS(3) | MAC(19)
 *     SYN cookie, client without:             key(1) | MSS(3) | window scale(3) | SACK(1) | MAC(15)
 *
 *     mask    bits 12-19 of NAMES; offset: bits 32-54 of NAMES; ISN clock: 4 us (RFC 6528 s3)
 *     key     lowest bit of the id of the SYN key in use
 *     MSS     index into 272, 536, 1220, 1300, 1360, 1400, 1440, 1460: the largest that is not above what
 *             the client offered. 272 is the least that tcp believes; 1220 IPv6 at the minimum MTU; 1300,
 *             1360, 1400 tunnels and mobile networks; 1440 and 1460 Ethernet with IPv6 and IPv4
 *     window scale  without timestamps an index into none, 0, 1, 2, 4, 6, 7, 8 (rounded down); in the
 *             clock's four bits the number itself, 15 for none
 *     MAC     lowest bits of SYN (below): covers all of these bits, the tuple and the client's ISN
 *
 * The three functions, all SipHash-2-4 under a 128-bit secret. Input, in this order, numbers big-endian:
 *
 *     byte 0       label: 1 NAMES, 2 TAG, 3 SYN
 *     bytes 1-2    NAMES: 0. TAG: the owner's slot. SYN: the options' bits:
 *                  15 timestamps | 10-8 MSS index | 5-2 window scale or its index | 1 SACK | 0 ECN
 *     then         our address, the peer's: 4 bytes each for IPv4, 16 for IPv6
 *     then         our port, the peer's: 2 bytes each
 *     SYN only     the client's ISN: 4 bytes
 */
#ifndef DATAPLANE_NET_OWNER_COOKIE_H
#define DATAPLANE_NET_OWNER_COOKIE_H

#include "net/wire.h"

#define OWNER_SLOTS       4096u /* slots 0 .. 4094; the last is never given out */
#define OWNER_SLOT_NONE   0xffffu
#define OWNER_SITES       256u
#define OWNER_KEYS        2u /* valid at once, so that one can follow the other */
#define OWNER_TICK        ((tg_ns)4 * 3600 * TG_S)
#define OWNER_TICK_BYTES  ((uint64_t)1 << 30)
#define OWNER_CLOCK_SHIFT 14
#define OWNER_CLOCK_MASK  1023u
#define OWNER_CARRIES     3u /* run-overs of the clock that the decoder tries: 0, 1, 2 */
#define OWNER_ISN_CARRIES 2u
#define OWNER_SITES_FOUND (OWNER_KEYS * OWNER_ISN_CARRIES)

struct owner_key {
    uint64_t secret[2]; /* SipHash's k0, k1 */
    uint32_t id;        /* of the fleet's choosing; successive keys have successive ids */
};

/* Keys in force: the first encodes, all decode. */
struct owner_keys {
    struct owner_key key[OWNER_KEYS];
    unsigned count; /* 0 .. OWNER_KEYS */
};

/* Who this node is to its fleet. Owner keys change once in the longest life of a connection; the SYN
 * keys, whose cookies live for seconds, about every minute. */
struct owner_identity {
    uint16_t slot; /* < OWNER_SLOTS - 1 */
    uint8_t site;
    struct owner_keys owner; /* count > 0 */
    struct owner_keys syn;   /* count 0: no SYN cookies */
};

/* --- a connection's cookie ------------------------------------------------------------------- */

struct owner_cookie {
    uint32_t ts_base; /* TSval of the first segment, with the clock at its start */
    uint32_t isn;
};

/* The cookie of a new connection under the current key. tuple as we see it; clock_start: 0 but for active
 * opens, < 1024; isn_clock: RFC 6528's M, 4 us a step. */
struct owner_cookie owner_cookie_make(const struct owner_identity *me, const struct ip_tuple *tuple,
                                      unsigned clock_start, uint32_t isn_clock);

/* TSval of a connection of this age that has sent so many bytes. Never falls as long as neither does. */
static inline uint32_t owner_cookie_value(uint32_t ts_base, tg_ns age, uint64_t bytes)
{
    uint64_t ticks = age / OWNER_TICK + bytes / OWNER_TICK_BYTES;
    return ts_base + (uint32_t)(ticks << OWNER_CLOCK_SHIFT);
}

/* --- whose packet? --------------------------------------------------------------------------- */

/* Sets of slots and of sites that live. */
struct owner_slots {
    uint64_t bits[OWNER_SLOTS / 64];
};
struct owner_sites {
    uint64_t bits[OWNER_SITES / 64];
};
static inline void owner_set_add(uint64_t bits[], unsigned n)
{
    bits[n / 64] |= (uint64_t)1 << n % 64;
}
static inline bool owner_set_has(const uint64_t bits[], unsigned n)
{
    return bits[n / 64] >> n % 64 & 1;
}

/* The owner that a timestamp of ours names: TSecr of a received segment, or TSval of a packet of ours
 * that an ICMP error quotes. tuple as we see it. The first slot of `live` that passes, smaller carries
 * first and, among them, the current key first. False: none. */
bool owner_cookie_slot(const struct owner_keys *keys, const struct owner_slots *live,
                       const struct ip_tuple *tuple, uint32_t ts, uint16_t *slot);

/* The sites that a sequence number of ours may name, likeliest first, each once; returns how many
 * (<= OWNER_SITES_FOUND). seq: SEG.ACK - 1 of a received segment, or SEG.SEQ of a packet of ours that an
 * ICMP error quotes. There is no tag: any number names a site, so only those of `live` are given. */
unsigned owner_cookie_sites(const struct owner_keys *keys, const struct owner_sites *live,
                            const struct ip_tuple *tuple, uint32_t seq,
                            uint8_t out[OWNER_SITES_FOUND]);

/* Find the timestamps among the options of a segment (RFC 7323 s3.2), which may be cut short. */
bool owner_cookie_timestamps(struct span options, uint32_t *value, uint32_t *echo);

/* --- SYN cookies: a connection that holds no memory before the client's ACK ------------------ */

/* What a SYN has told, as far as a cookie keeps it. */
struct owner_syn {
    uint16_t mss;   /* of the client, 0 .. 65535; comes back as one of the table, never above */
    uint8_t wscale; /* 0 .. 14 */
    bool has_wscale, sack;
    bool timestamps;
    bool ecn; /* kept with timestamps only */
};

/* The cookie to answer a SYN with, under the current keys; client_isn: its SEG.SEQ. syn.count > 0. */
struct owner_cookie owner_syn_encode(const struct owner_identity *me, const struct ip_tuple *tuple,
                                     uint32_t client_isn, const struct owner_syn *options);

/* Is this the ACK of a SYN-ACK that we answered so? client_isn: SEG.SEQ - 1; isn: SEG.ACK - 1; ts_echo:
 * NULL when the segment has no timestamps. Looks at all bits before it answers (nobody learns from the
 * time how much of a forgery was right). True: *options is what the SYN had told; the connection's
 * ts_base is *ts_echo, its ISN isn. A forgery passes once in 2^15 * 2^9 tries without timestamps (MAC,
 * site and bit 23), once in 2^19 * 2^9 * 2^26 with (also name, tag, and a clock below 64), twice that
 * while two owner keys are valid. */
bool owner_syn_verify(const struct owner_identity *me, const struct ip_tuple *tuple,
                      uint32_t client_isn, uint32_t isn, const uint32_t *ts_echo,
                      struct owner_syn *options);

#endif
