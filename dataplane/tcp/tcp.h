/* SPDX-License-Identifier: BSD-3-Clause
 * The whole API of the TCP stack. One `struct tcp` per worker; a connection lives and dies on one
 * worker. The user (proxy/) never gets a callback in mid-packet: input and timers record events, the
 * user fetches a batch of them and pulls bytes. Floor 2: base, net.
 *
 *   io burst -> tcp_input -> events -> tcp_events() -> user reads / writes -> tcp_output -> net -> io
 *
 * A connection is named by worker + index + generation; a handle outlives its connection safely
 * (calls answer TG_STALE). No allocation after tcp_create, no clock, no randomness of its own.
 *
 * Shape for what comes later (RACK-TLP, SACK, PRR, CUBIC): one frame is one segment is one delivery
 * record, kept in struct buf (seq, seq_end, tx_ns, tx_delivered, BUF_TX_*); congestion control is a
 * `const struct tcp_congestion` of functions; each connection has exactly one timer in the wheel, which is
 * re-armed lazily: the kinds of deadline are in the connection, the wheel holds the earliest.
 */
#ifndef DATAPLANE_TCP_TCP_H
#define DATAPLANE_TCP_TCP_H

#include "base/buf.h"
#include "base/result.h"
#include "base/stats.h"
#include "base/timer.h"
#include "net/net.h"
#include "net/owner_cookie.h"

struct tcp;

/* 8 bits worker, 24 bits index, 32 bits generation (never 0); 0 as a whole names nothing. */
typedef uint64_t tcp_handle;
#define TCP_NONE ((tcp_handle)0)
static inline tcp_handle tcp_handle_make(unsigned worker, uint32_t index, uint32_t generation)
{
    return (tcp_handle)worker << 56 | (tcp_handle)(index & 0xffffffu) << 32 | generation;
}
static inline unsigned tcp_handle_worker(tcp_handle h)
{
    return (unsigned)(h >> 56);
}
static inline uint32_t tcp_handle_index(tcp_handle h)
{
    return (uint32_t)(h >> 32) & 0xffffffu;
}

/* RFC 9293 s3.3.2. TCP_S_LISTEN is a listener's, no connection has it. */
enum tcp_state {
    TCP_S_CLOSED,
    TCP_S_LISTEN,
    TCP_S_SYN_SENT,
    TCP_S_SYN_RECEIVED,
    TCP_S_ESTABLISHED,
    TCP_S_FIN_WAIT_1,
    TCP_S_FIN_WAIT_2,
    TCP_S_CLOSE_WAIT,
    TCP_S_CLOSING,
    TCP_S_LAST_ACK,
    TCP_S_TIME_WAIT,
    TCP_S_COUNT,
};

struct tcp_profile; /* tcp_profile.h */

/* Explicit congestion notification (RFC 3168): agree when a peer asks (as Linux does), ask as well, or never. */
enum tcp_ecn { TCP_ECN_AGREE, TCP_ECN_ON, TCP_ECN_OFF };

struct tcp_config {
    unsigned worker;          /* goes into every handle */
    uint32_t connections_max; /* full PCBs; <= 2^24 - 1 */
    uint32_t active_max;      /* of them not idle at a time; 0: all */
    uint32_t
        half_open_max; /* places of the SYN cache, beside them; 0: as many. The rest gets cookies */
    uint32_t time_wait_max;      /* oldest is evicted when full */
    uint32_t receive_window_max; /* bytes a connection may hold unread; decides the window scale */
    uint32_t receive_window_initial; /* where it starts; grows as the reader keeps up. 0: 64 KiB */
    uint32_t send_buffer_max;        /* bytes a connection may hold unacknowledged + unsent */
    uint32_t unsent_low;       /* WRITABLE is reported when unsent falls to this (notsent_lowat) */
    uint32_t ooo_segments_max; /* per connection */
    uint16_t mss_max;    /* cap of the MSS we offer, 0: from the MTU. Origins never get more than
                                     clients, so that an origin's segment fits one client segment */
    uint64_t isn_key[2]; /* secret of ISNs and timestamp offsets (RFC 6528) */
    uint64_t seed;       /* jitter */
    tg_ns msl;           /* TIME-WAIT lasts 2 of them; 0: 30 s */
    const struct tcp_profile *profile; /* what we look like, outlives the stack; NULL: Linux */
    tg_ns rto_min, rto_max;            /* 0: the profile's (Linux: 200 ms), 120 s */
    unsigned syn_retries, retries;     /* 0: 7 (4 minutes), 15: R2 of RFC 9293 s3.8.3 */
    /* What a connection starts with, by tcp_set_option's names and units; 0: the default given there. */
    bool nagle, keepalive;
    uint32_t keep_idle_ms, keep_interval_ms, keep_count, user_timeout_ms;
    uint32_t congestion; /* enum tcp_congestion_id */
    uint32_t ecn;        /* enum tcp_ecn */
    bool no_pacing;      /* a window may leave at once */
    /* Super-segments: what the ports that cut them take (TSO; io_caps). For those that do not, net does. */
    uint32_t tso_bytes_max; /* payload of one frame; 0: one segment a frame */
    uint8_t tso_segments_max;
    /* The memory governor's levels (tcp_governor.h): per cent of the pool's frames in use at which each begins; 0:
     * 50, 75, 88. It ends when a twelfth of the pool more is free. */
    uint8_t pressure_tight, pressure_cookies, pressure_shed;
    uint32_t
        pressure_window; /* bytes a connection may receive ahead of its reader meanwhile; 0: 16 KiB */
    tg_ns pressure_idle; /* nobody is reset who has moved anything for so long; 0: 10 s */
    /* Choose the local port of an active open so that the answers reach this worker (steer knows how).
     * try_number counts from 0; returns 0 when no port is left. */
    uint16_t (*pick_port)(void *arg, const struct ip_tuple *tuple, unsigned try_number);
    void *pick_port_arg;
};

/* Make a worker's stack (cold). net, pool, wheel, stats belong to the same worker and outlive it.
 * `tx_done` says whether the port has let go of a frame (io_tx_done with its io as arg). */
enum tg_err tcp_create(const struct tcp_config *config, struct net *net, struct buf_pool *pool,
                       struct timer_wheel *wheel, struct stats *stats,
                       const struct toeplitz *toeplitz,
                       bool (*tx_done)(const void *arg, const struct buf *b),
                       const void *tx_done_arg, struct tcp **tcp);
/* Abort everything without a packet, give every buffer back. */
void tcp_destroy(struct tcp *tcp);

/* Who this node is to its fleet: what strangers' packets are recognised by (net/owner_cookie.h). */
struct tcp_owner {
    struct owner_identity me;
    /* Bytes of a path's MTU that the MSS which we offer leaves free, so that a peer's full segment fits into
     * the tunnel: to IPv4 and to IPv6 peers. */
    uint16_t reserve[2];
};
/* From now on new connections carry the owner's cookie in timestamps and ISN; those that live keep what they
 * have, under whatever key. NULL: no fleet. owner is copied. */
void tcp_use_owner(struct tcp *tcp, const struct tcp_owner *owner);

/* --- packets and time: called by worker ------------------------------------------------------- */

/* Take n parsed TCP packets (any verdict but DROP; BUF_RST answers RST). Ownership passes. Two passes
 * over the burst: look up with prefetch, then RFC 9293 s3.10.7 in its own order. */
void tcp_input(struct tcp *tcp, struct buf *burst[], unsigned n, tg_ns now);

/* Fetch into the cache what tcp_owns is going to read for each of n <= TG_BURST parsed packets. Changes nothing. */
void tcp_look_ahead(const struct tcp *tcp, struct buf *const burst[], unsigned n);

/* Send what input, timers and the user made ready: at most one pass over the dirty connections, ACKs
 * merged with data. Returns true when something is left for want of budget (call again). */
bool tcp_output(struct tcp *tcp, tg_ns now);

/* An ICMP error that quotes one of our segments (given to net_create as on_icmp_error). */
void tcp_icmp_error(void *tcp, const struct net_icmp_error *error, tg_ns now);

/* True when the tuple (received packet's view) belongs to a connection of this worker; steer's ladder
 * asks, step 1. Stores the flow index in *flow. */
bool tcp_owns(const struct tcp *tcp, const struct ip_tuple *tuple, uint32_t hash, uint32_t *flow);

/* True when a segment with this ACK number fits the connection (or TIME-WAIT) of a flow index that tcp_owns has
 * just given. Else the tuple may be another node's by now, and only if it is not, ours to judge. */
bool tcp_expects(const struct tcp *tcp, uint32_t flow, uint32_t ack);

/* What a segment that belongs to no connection here is to the SYN cookies of this worker. */
enum tcp_answer {
    TCP_ANSWER_NONE, /* no ACK, or none is awaited */
    TCP_ANSWER_BAD,  /* a stranger's */
    TCP_ANSWER_PERHAPS, /* it may have overtaken the proof; or, to tcp_awaits, it is one without timestamps:
                         * of 32,768 segments of another node's connection one looks like that */
    TCP_ANSWER_PROOF, /* it makes a connection */
};
enum tcp_answer tcp_awaits(const struct tcp *tcp, const struct ip_tuple *tuple,
                           const struct tcp_segment *segment);

/* --- opening ---------------------------------------------------------------------------------- */

/* Accept SYNs for a port on any of our addresses. `tag` comes back in TCP_EV_ACCEPTED. */
enum tg_err tcp_listen(struct tcp *tcp, uint16_t port, uint32_t tag);
void tcp_unlisten(struct tcp *tcp, uint16_t port);

/* Open to remote:port. TCP_EV_CONNECTED or TCP_EV_CLOSED follows, within `timeout` (0: the SYN
 * retries decide). local may be NULL (route decides). Results: TG_OK, TG_FULL, TG_UNREACHABLE. */
enum tg_err tcp_connect(struct tcp *tcp, const struct ip_addr *local, const struct ip_addr *remote,
                        uint16_t remote_port, tg_ns timeout, uint64_t user, tg_ns now,
                        tcp_handle *handle);

/* --- events ----------------------------------------------------------------------------------- */

enum tcp_event_bit {
    TCP_EV_ACCEPTED = 1u << 0,  /* new passive connection; tag = listener's */
    TCP_EV_CONNECTED = 1u << 1, /* active open succeeded */
    TCP_EV_READABLE = 1u << 2,  /* in-order bytes wait */
    TCP_EV_WRITABLE = 1u << 3,  /* room again after a write met TG_AGAIN */
    TCP_EV_PEER_FIN = 1u << 4,  /* no more bytes will come after those that wait */
    TCP_EV_CLOSED = 1u << 5,    /* the handle is dead after this event; `error` says why: TG_END in
                                   order, TG_RESET, TG_TIMEOUT, TG_UNREACHABLE (ICMP said so) */
};
struct tcp_event {
    tcp_handle handle;
    uint64_t user; /* tcp_set_user's value; 0 at ACCEPTED */
    uint32_t tag;  /* at ACCEPTED */
    uint16_t bits;
    uint16_t error; /* enum tg_err, with CLOSED */
};
/* Fetch up to n events: one per connection with all its bits. Level-less: a bit is reported once per
 * cause; what the user leaves unread is not reported again until more arrives. */
unsigned tcp_events(struct tcp *tcp, struct tcp_event out[], unsigned n);

void tcp_set_user(struct tcp *tcp, tcp_handle h, uint64_t user);
/* What the sender is doing, by the names that Linux's TCP_INFO has for it. */
enum tcp_ca_state {
    TCP_CA_OPEN,     /* nothing is missing */
    TCP_CA_DISORDER, /* something came out of order, or twice: loss or reordering, not known yet */
    TCP_CA_CWR,      /* the window shrinks for ECN's sake */
    TCP_CA_RECOVERY, /* fast recovery */
    TCP_CA_LOSS,     /* recovery after a retransmission timeout */
};
/* Names and MSS of a connection; TG_STALE leaves *info untouched. Costs a walk over what is in flight. */
struct tcp_info {
    struct ip_tuple tuple;
    uint16_t mss;                     /* payload bytes a full segment carries */
    uint32_t unsent, unacked, unread; /* bytes */
    uint32_t receive_space;           /* bytes that may wait unread at present */
    uint32_t cwnd, ssthresh;          /* bytes */
    tg_ns srtt, rto;
    uint8_t state;    /* enum tcp_state */
    uint8_t ca_state; /* enum tcp_ca_state */
    bool unreachable; /* ICMP has said so since the peer was last heard; retransmission goes on */
    uint32_t retransmits; /* segments sent again so far */
    tg_ns min_rtt;        /* of the last minutes; 0: no sample */
    uint64_t delivered;   /* bytes that the peer has acknowledged or sacked */
    uint32_t delivered_segments, reordering_seen; /* so far */
    struct
    { /* segments in flight now: sent and not acknowledged; of them sacked, marked lost, and sent again
              * and neither */
        uint32_t unacked, sacked, lost, retransmitted;
    } segments;
};
enum tg_err tcp_get_info(const struct tcp *tcp, tcp_handle h, struct tcp_info *info);

/* --- reading: pull style; not consuming closes the window ---------------------------------------- */

/* Borrow in-order bytes: fills up to n spans from offset 0, returns how many; they stay valid until
 * consumed or until the next call that takes `now`. */
unsigned tcp_peek(struct tcp *tcp, tcp_handle h, struct span out[], unsigned n);
/* Bytes that wait in order. */
uint32_t tcp_unread(const struct tcp *tcp, tcp_handle h);
/* Drop the first n bytes (n <= unread) and open the window by the silly-window rule. */
void tcp_consume(struct tcp *tcp, tcp_handle h, uint32_t n);
/* Take the first in-order frame itself, trimmed to payload, at most `max` bytes of it (a longer frame
 * is copied or split). Ownership passes: the zero-copy way from one connection to another. NULL when
 * nothing waits or the pool is empty. Counts as consumed. */
struct buf *tcp_take(struct tcp *tcp, tcp_handle h, uint32_t max);
/* True when the peer's FIN has been received and everything before it consumed. */
bool tcp_at_end(const struct tcp *tcp, tcp_handle h);

/* --- writing: back-pressure by TG_AGAIN, then TCP_EV_WRITABLE -------------------------------------- */

/* Bytes that may be written now: send_buffer_max minus queued, 0 after shutdown or when the unsent part
 * has reached its limit. */
uint32_t tcp_writable(const struct tcp *tcp, tcp_handle h);
/* Borrow room for at least `min` (<= mss, <= 256 when in doubt) contiguous bytes at the end of the send queue: the
 * tail of the last unsent segment, else a fresh frame with headroom. TG_AGAIN (a WRITABLE event follows), TG_NO_MEMORY,
 * TG_STALE. Nothing is queued until tcp_commit(n), n <= room->len. One reservation at a time. */
struct span_room {
    uint8_t *data;
    size_t len;
};
enum tg_err tcp_reserve(struct tcp *tcp, tcp_handle h, size_t min, struct span_room *room);
void tcp_commit(struct tcp *tcp, tcp_handle h, size_t n);
/* Copy bytes; returns how many were taken (0 sets the WRITABLE wish). */
size_t tcp_write(struct tcp *tcp, tcp_handle h, struct span bytes);
/* Queue a frame whose bytes (data, len) are the payload, without a copy when its headroom suffices
 * and len <= mss; pieces below BUF_COPY_BELOW are copied. Ownership passes when TG_OK. TG_AGAIN,
 * TG_STALE: the caller keeps it. */
enum tg_err tcp_send_buf(struct tcp *tcp, tcp_handle h, struct buf *b);
/* Corked, only full segments leave; uncork sends the rest. The cork is per connection, off at start. */
void tcp_cork(struct tcp *tcp, tcp_handle h, bool corked);

/* --- knobs of one connection ------------------------------------------------------------------- */

enum tcp_congestion_id { TCP_CC_CUBIC, TCP_CC_NEWRENO, TCP_CC_COUNT };

/* Values are unsigned; switches take 0 or 1. */
enum tcp_option_name {
    /* Switch, off: a short segment waits while another short one is unacknowledged (RFC 9293 s3.7.4, with
     * Minshall's change as Linux has it: full segments in flight do not hold it back). */
    TCP_OPT_NAGLE,
    TCP_OPT_CORK,          /* switch, off: tcp_cork's */
    TCP_OPT_KEEPALIVE,     /* switch, off (RFC 9293 s3.8.4): probe a silent peer */
    TCP_OPT_KEEP_IDLE,     /* ms of silence before the first probe: 1 .. 2^31-1, 7,200,000 */
    TCP_OPT_KEEP_INTERVAL, /* ms between probes, likewise, 75,000 */
    TCP_OPT_KEEP_COUNT,    /* unanswered probes that end the connection: 1 .. 127, 9 */
    /* ms that written bytes may remain unacknowledged, or unsent for want of window, before the connection
     * ends with TG_TIMEOUT; with keepalive also the longest silence of a peer that is probed. Below
     * 2^31; 0, the default: the retransmissions decide (RFC 9293 s3.9.1; local use of RFC 5482). */
    TCP_OPT_USER_TIMEOUT,
    TCP_OPT_NOTSENT_LOWAT, /* bytes, as tcp_config.unsent_low: 4,096 .. 2^30-1 */
    TCP_OPT_QUICKACK,   /* 1: acknowledge at once for the next 16 segments; 0: delay from now on */
    TCP_OPT_CONGESTION, /* enum tcp_congestion_id; starts afresh with the window that there is */
    TCP_OPT_MSS, /* bytes: largest segment that we offer and send, 272 .. 65,535; 0: no cap. A
                             * connection's never grows again */
    TCP_OPT_RECEIVE_WINDOW, /* bytes: 2,048 .. receive_window_max. The edge never moves back */
    TCP_OPT_SEND_BUFFER,    /* bytes: 4,096 .. send_buffer_max */
    /* Switch, on: tcp_close while bytes are unread sends RST, so that the peer learns that nobody will read
     * them (RFC 9293 s3.6.1, SHLD-3; RFC 2525 s2.17). Off: it drops them and sends FIN. Bytes that come
     * after tcp_close are answered with RST in either case. */
    TCP_OPT_RESET_UNREAD,
    TCP_OPT_DSCP, /* Differentiated services code point of its packets: 0 .. 63, 0 (RFC 9293 s3.9.2.1, MUST-48) */
    TCP_OPT_COUNT,
};
/* Change or ask one. Right after tcp_connect (before tcp_output) it counts for the SYN too. TG_STALE;
 * TG_BAD_CONFIG: no such name or a value out of range, nothing changed; TG_FULL: connections have too many
 * different settings (255). TG_AGAIN: the connection sleeps and could not be woken (CORK, QUICKACK,
 * CONGESTION). */
enum tg_err tcp_set_option(struct tcp *tcp, tcp_handle h, enum tcp_option_name name,
                           uint64_t value);
enum tg_err tcp_get_option(const struct tcp *tcp, tcp_handle h, enum tcp_option_name name,
                           uint64_t *value);
/* The same for the connections that a listener will accept; they take it when they become established.
 * TG_NOT_FOUND: nobody listens. CORK and QUICKACK are not a listener's. */
enum tg_err tcp_set_listen_option(struct tcp *tcp, uint16_t port, enum tcp_option_name name,
                                  uint64_t value);

/* --- closing ---------------------------------------------------------------------------------- */

/* No more writing: FIN after what is queued (half-close). Idempotent. */
void tcp_shutdown(struct tcp *tcp, tcp_handle h);
/* Orderly: FIN after what is queued (RST at once when the user has left bytes unread, see
 * TCP_OPT_RESET_UNREAD); later bytes from the peer are answered with RST; the handle is dead for the user
 * at once and no further event comes. The connection goes on by itself until TIME-WAIT. */
void tcp_close(struct tcp *tcp, tcp_handle h);
/* RST now; queues freed; the handle is dead. */
void tcp_abort(struct tcp *tcp, tcp_handle h);

/* --- for tests, status and oracles --------------------------------------------------------------- */
/* All states but TIME-WAIT and passive opens in SYN-RECEIVED. */
uint32_t tcp_connection_count(const struct tcp *tcp);
uint32_t tcp_half_open_count(const struct tcp *tcp); /* passive opens in SYN-RECEIVED */
unsigned tcp_pressure(const struct tcp *tcp); /* level of the memory governor: 0 calm .. 3 sheds */
uint32_t tcp_time_wait_count(const struct tcp *tcp);
/* Walk every invariant (sequence order, timers, queues, counts); NULL when whole, else a static text
 * that names the broken one. Linear; tests and the simulator only. */
const char *tcp_check(const struct tcp *tcp);

#endif
