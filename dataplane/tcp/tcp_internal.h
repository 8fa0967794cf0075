/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of dataplane/tcp share: the stack, and who may call whom (tcp_pcb.h: the connection). Nobody
 * outside this folder includes it (tests and the fuzz target of this folder do).
 *
 *   tcp_gro        a run of a burst that continues one stream, in one pass
 *   tcp_in         one segment through RFC 9293 s3.10.7, in its order; calls
 *     tcp_open       SYN for a listener, SYN-SENT, becoming established
 *     tcp_half_open  SYN-RECEIVED after a passive open: an entry of tcp_syncache until the ACK comes
 *     tcp_cookie     SYN for a listener without a place in the cache, and the ACK that comes back
 *     tcp_ack        snd_una, send window, round-trip time        -> tcp_loss, tcp_sack, tcp_cong
 *     tcp_reassembly payload into the receive queue
 *     tcp_timewait   the 32-byte records that outlive connections
 *   tcp_owner      ISN and timestamps: secrets of a tuple, or the owner's cookie
 *   tcp_out        what may leave now (one pass over the dirty list)  -> tcp_emit writes headers
 *   tcp_cong       how windows grow and shrink: tcp_cubic, tcp_newreno, with tcp_hystart; tcp_ecn: marks instead of losses
 *   tcp_tso        rows of new segments as one frame
 *   tcp_pace       when the next segment of a window is due
 *   tcp_idle       connections asleep and awake
 *   tcp_governor   what is done when memory gets short
 *   tcp_timer      deadlines of a connection behind its one wheel timer
 *   tcp_keepalive  silent peers: keepalive, user timeout
 *   tcp_settings   the knobs of connections, shared by those that have the same
 *   tcp_user       reads, writes, closes
 *   tcp_state      the only writer of pcb->state
 */
#ifndef DATAPLANE_TCP_INTERNAL_H
#define DATAPLANE_TCP_INTERNAL_H

#include "base/hash.h"
#include "base/pool.h"
#include "tcp/tcp.h"
#include "tcp/tcp_cookie_state.h"
#include "tcp/tcp_options.h"
#include "tcp/tcp_pcb.h"
#include "tcp/tcp_profile.h"
#include "tcp/tcp_syncache.h"
#include "tcp/tcp_tso.h"

/* TIME-WAIT: what is left of a closed connection (tcp_timewait.c). IPv6 addresses lie in a parallel
 * array that stays untouched, so unmapped, while all connections are IPv4. */
struct tcp_tw {
    uint32_t snd_nxt, rcv_nxt;
    uint32_t ts_recent;
    uint32_t expiry;  /* TW_FLAGS in the low bits, milliseconds of worker clock above */
    uint32_t ts_last; /* TW_OWNER: TSval of our last segment */
    uint32_t local4_be, remote4_be; /* network order, as stored in the address */
    uint16_t local_port, remote_port;
};
static_assert(sizeof(struct tcp_tw) == 32, "TIME-WAIT record");

struct tcp_tw_ring {
    struct tcp_tw *records;         /* NULL with time_wait_max 0 */
    struct ip_addr (*addresses)[2]; /* IPv6: local, remote */
    uint32_t capacity, head, used;  /* slots from head on, dead ones among them */
    uint32_t live;
    struct timer timer;
};

struct tcp_listener {
    uint16_t port;
    uint8_t settings;
    uint32_t tag;
};

/* What tcp_set_option sets and an idle connection keeps. Connections with the same share an entry of a
 * table and name it by a byte (tcp_settings.c); entry 0 is tcp_config's and always there. */
struct tcp_settings {
    uint32_t keep_idle_ms, keep_interval_ms, user_timeout_ms; /* 0: no user timeout */
    uint32_t unsent_low, receive_window, send_buffer;         /* bytes */
    uint16_t mss_max;                                         /* 0: no cap */
    uint8_t keep_count;
    uint8_t congestion; /* enum tcp_congestion_id */
    uint16_t switches;  /* bit per enum tcp_option_name */
    uint8_t dscp, zero;
};
static_assert(sizeof(struct tcp_settings) == 32, "compared as bytes: no padding");
#define TCP_SETTINGS_MAX 256

/* Levels of the memory governor, and what it knows (tcp_governor.c). Frames. */
enum tcp_pressure { TCP_CALM, TCP_TIGHT, TCP_COOKIES, TCP_SHED, TCP_LEVELS };
struct tcp_governor {
    uint8_t level; /* enum tcp_pressure, as last sampled */
    uint8_t looks; /* left until the next sample, at the latest */
    int32_t spare; /* free above the reserve at the last sample, less what we have taken since */
    int32_t spare_calm; /* at or below: sample anew */
    uint32_t reserve;   /* never held for long */
    uint32_t to_revive; /* connections that have not been told yet that a drought is over */
    tg_ns dry_since;    /* not even a burst could be received; 0: it can */
    uint32_t begins[TCP_LEVELS]; /* a level begins when no more than so many are free */
    tg_ns starved_until;         /* nobody could sleep when an active part was wanted */
};

struct tcp {
    struct tcp_config config; /* defaults filled in */
    struct tcp_owner owner;
    bool has_owner;
    struct net *net;
    struct buf_pool *pool;
    struct timer_wheel *wheel;
    struct stats *stats;
    const struct toeplitz *toeplitz;
    bool (*tx_done)(const void *arg, const struct buf *b);
    const void *tx_done_arg;

    struct pool pcbs;
    struct pool actives;                  /* struct tcp_active */
    uint32_t waiting_first, waiting_last; /* TCP_F_WAITING, through wait_next */
    struct flow_table flows;              /* values: PCB index, or TCP_FLOW_TW | record index */
    struct {
        uint32_t first, last;
    } lists[TCP_L_KINDS];
    struct tcp_tw_ring tw;
    struct tcp_governor governor;
    struct tcp_syncache syncache; /* passive opens in SYN-RECEIVED */
    struct tcp_listener listeners[TCP_LISTENERS_MAX];
    unsigned listener_count;
    uint32_t segments_max; /* frames in one send queue */
    uint8_t rcv_scale;     /* window scale that we offer */
    uint16_t next_port;    /* of active opens without pick_port */
    unsigned challenges_left;
    tg_ns challenge_ns; /* start of the current second's budget */
    tg_ns now;          /* of the last call that brought one */
    struct prng prng;
    struct tcp_row row; /* of the connection whose turn to send it is */
    struct tcp_cookies cookies;
    struct timer keep_timer; /* armed while connections with keepalive sleep */
    uint32_t keep_hand;      /* next connection that it looks at */
    bool keep_seen;          /* one of those in this round */
    struct tcp_settings settings[TCP_SETTINGS_MAX];
    uint32_t settings_users[TCP_SETTINGS_MAX]; /* connections and listeners; 0: free, but entry 0 */
};

/* FLOW_TABLE_NONE has both bits: ask for TCP_FLOW_TW first. */
#define TCP_FLOW_TW  0x80000000u
#define TCP_FLOW_SYN 0x40000000u

/* A received segment on its way through tcp_in. */
struct tcp_rx {
    struct buf *b; /* owned; NULL once a queue has taken it */
    struct tcp_segment seg;
    struct tcp_options options;
    struct ip_tuple tuple;
    uint32_t seq;   /* seg.seq, moved when the front is trimmed */
    uint32_t bytes; /* payload left after trimming; SYN and FIN not counted */
    uint32_t hash;
    uint8_t flags; /* enum tcp_flag, SYN or FIN taken out when trimmed */
    bool marked;   /* congestion was experienced on its way */
    tg_ns now;
};

/* --- sequence space (RFC 9293 s3.4) ---------------------------------------------------------- */
static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}
static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? b : a;
}
static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}
static inline uint32_t u32_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}
static inline uint32_t u32_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* --- segments in the send queue ------------------------------------------------------------------ */
/* Sequence numbers that it occupies, FIN included. */
static inline uint32_t segment_len(const struct buf *b)
{
    return b->seq_end - b->seq;
}
static inline uint32_t segment_payload(const struct buf *b)
{
    return segment_len(b) - (b->flags & BUF_TX_FIN ? 1 : 0);
}
/* Sent, and neither acknowledged nor sacked nor marked lost: counted in `pipe`, listed by time. */
static inline bool segment_in_flight(const struct buf *b)
{
    return (b->flags & (BUF_TX_SENT | BUF_TX_SACKED | BUF_TX_LOST)) == BUF_TX_SENT;
}
/* The payload always ends where the frame ends, whatever headers a transmission has put in front. */
static inline uint8_t *segment_bytes(const struct buf *b)
{
    return b->data + b->len - segment_payload(b);
}
/* Nobody else reads or holds the frame: its bytes in front of the payload are ours again. */
static inline bool segment_writable(const struct tcp *tcp, const struct buf *b)
{
    return b->refs == 1 && tcp->tx_done(tcp->tx_done_arg, b);
}

/* --- connections (tcp.c) --------------------------------------------------------------------- */
static inline struct tcp_pcb *tcp_pcb_at(const struct tcp *tcp, uint32_t index)
{
    return pool_at(&tcp->pcbs, index);
}
static inline uint32_t tcp_pcb_index(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    return pool_index(&tcp->pcbs, pcb);
}
static inline bool tcp_has(const struct tcp_pcb *pcb, uint32_t flag)
{
    return (pcb->flags & flag) != 0;
}
/* A zeroed connection in CLOSED, awake; NULL: a pool is empty (counted). Not in the flow table yet. */
struct tcp_pcb *tcp_pcb_new(struct tcp *tcp);
/* Put it into the flow table under tuple and hash, which are set. TG_FULL. */
enum tg_err tcp_pcb_attach(struct tcp *tcp, struct tcp_pcb *pcb);
/* Give everything back; the handle dies. */
void tcp_pcb_free(struct tcp *tcp, struct tcp_pcb *pcb);
/* The connection is over: stop packets and deadlines, drop what was to be sent. The user, if any, gets
 * CLOSED with `error` once it has read what waits (as Linux does; RFC 9293 would flush); without a
 * user the PCB is freed. pcb may be gone afterwards. */
void tcp_pcb_finish(struct tcp *tcp, struct tcp_pcb *pcb, enum tg_err error);
/* The live connection of a handle, or NULL. */
struct tcp_pcb *tcp_pcb_find(const struct tcp *tcp, tcp_handle h);
tcp_handle tcp_pcb_handle(const struct tcp *tcp, const struct tcp_pcb *pcb);
/* What a received tuple belongs to: PCB index, TCP_FLOW_TW | index, TCP_FLOW_SYN | number of the SYN cache's entry,
 * FLOW_TABLE_NONE. */
uint32_t tcp_lookup(const struct tcp *tcp, const struct ip_tuple *tuple, uint32_t hash);
/* The same without the SYN cache; and for n <= TG_BURST segments at a time, with prefetch (tcp_demux.c). */
uint32_t tcp_flow_find(const struct tcp *tcp, const struct ip_tuple *tuple, uint32_t hash);
void tcp_lookup_burst(const struct tcp *tcp, const struct ip_tuple tuples[],
                      const uint32_t hashes[], uint32_t flows[], unsigned n);
/* Fetch into the cache what segments of these flows are going to touch; of no flow: half-open connections. */
void tcp_prefetch_burst(const struct tcp *tcp, const uint32_t hashes[], const uint32_t flows[],
                        unsigned n);
bool tcp_flow_matches(const struct tcp *tcp, uint32_t value, const struct ip_tuple *tuple);
/* It is that connection, and not over. */
static inline bool tcp_pcb_matches(const struct tcp_pcb *pcb, const struct ip_tuple *tuple)
{
    return !tcp_has(pcb, TCP_F_DETACHED) && wire_tuple_equal(&pcb->tuple, tuple);
}
void tcp_queue_free(struct tcp *tcp, struct buf *first);
/* What waits to be read is dropped, as if it had been; pcb may be asleep. */
void tcp_receive_queue_free(struct tcp *tcp, struct tcp_pcb *pcb);
/* The user has closed: its handle dies, what it has not read is dropped, the connection goes on. */
void tcp_pcb_disown(struct tcp *tcp, struct tcp_pcb *pcb);
/* End a reservation that was not committed. */
void tcp_reservation_free(struct tcp *tcp, struct tcp_pcb *pcb);

static inline bool tcp_listed(const struct tcp_pcb *pcb, enum tcp_list_kind kind)
{
    return pcb->act && pcb->act->links[kind].prev != TCP_UNLISTED;
}
void tcp_list_push(struct tcp *tcp, enum tcp_list_kind kind, struct tcp_pcb *pcb);
void tcp_list_remove(struct tcp *tcp, enum tcp_list_kind kind, struct tcp_pcb *pcb);
struct tcp_pcb *tcp_list_pop(struct tcp *tcp, enum tcp_list_kind kind);
/* tcp_output must look at it. */
static inline void tcp_mark_dirty(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (!tcp_listed(pcb, TCP_L_DIRTY) && !tcp_has(pcb, TCP_F_DETACHED))
        tcp_list_push(tcp, TCP_L_DIRTY, pcb);
}
/* Tell the user; nothing for orphans. */
void tcp_event_post(struct tcp *tcp, struct tcp_pcb *pcb, uint16_t bits);
/* After a wish to write: report WRITABLE when there is room. */
void tcp_event_writable(struct tcp *tcp, struct tcp_pcb *pcb);

/* --- tcp_idle.c ------------------------------------------------------------------------------ */
/* Give the connection an active part if it has none. False: there is none to be had (counted). */
bool tcp_wake(struct tcp *tcp, struct tcp_pcb *pcb);
/* Put up to n idle connections to sleep; returns how many. */
unsigned tcp_sleep(struct tcp *tcp, unsigned n);
/* Connections that a burst was for (flow indices): those that are idle now sleep at once when active parts are scarce. */
void tcp_sleep_burst(struct tcp *tcp, const uint32_t flows[], unsigned n);
/* An active part without an owner, zeroed; may put another connection to sleep. NULL: none (counted). */
struct tcp_active *tcp_active_take(struct tcp *tcp, struct tcp_pcb *pcb);
/* Give the active part back, which holds nothing any more; the next in line gets it. */
void tcp_active_give(struct tcp *tcp, struct tcp_pcb *pcb);
/* The user of a sleeping connection wants to send and got no active part: it will get the next one, and
 * then goes on by itself (a FIN) or by WRITABLE. */
void tcp_wait_in_line(struct tcp *tcp, struct tcp_pcb *pcb);
/* Once a turn: who has become idle makes room for the first in line. */
void tcp_line_serve(struct tcp *tcp);
/* It waits no longer: it is over. */
void tcp_wait_end(struct tcp *tcp, struct tcp_pcb *pcb);
/* For tcp_check: NULL or what is wrong with a sleeping connection; with the line of those who wait. */
const char *tcp_asleep_check(const struct tcp *tcp, const struct tcp_pcb *pcb);
const char *tcp_waiting_check(const struct tcp *tcp);

/* --- tcp_state.c ----------------------------------------------------------------------------- */
void tcp_state_set(struct tcp *tcp, struct tcp_pcb *pcb, enum tcp_state to);
/* The peer may still send payload that counts (RFC 9293 s3.10.7.4, seventh). */
bool tcp_state_receives(uint8_t state);
/* We may still send or resend payload. */
bool tcp_state_sends(uint8_t state);

/* --- tcp_timer.c ------------------------------------------------------------------------------- */
void tcp_timer_init(struct tcp *tcp, struct tcp_pcb *pcb);
void tcp_deadline_set(struct tcp *tcp, struct tcp_pcb *pcb, enum tcp_deadline kind, tg_ns at);
static inline void tcp_deadline_clear(struct tcp_pcb *pcb, enum tcp_deadline kind)
{
    pcb->act->deadline[kind] = 0; /* the wheel finds out when it fires */
}
/* rto with its backoff, capped. */
tg_ns tcp_rto(const struct tcp *tcp, const struct tcp_pcb *pcb);

/* --- tcp_open.c ------------------------------------------------------------------------------ */
const struct tcp_listener *tcp_listener_find(const struct tcp *tcp, uint16_t port);
struct tcp_floor;
/* A SYN for a listener: answer it, from the SYN cache or with a cookie. floor: TIME-WAIT's; NULL: there was
 * none. */
void tcp_open_passive(struct tcp *tcp, const struct tcp_rx *rx, const struct tcp_floor *floor);
/* The MSS that a SYN offers, or the default of its family; not below TCP_MSS_FLOOR. */
uint16_t tcp_syn_mss(const struct tcp_rx *rx);
/* RFC 9293 s3.10.7.3. */
void tcp_syn_sent_arrives(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx);
/* SYN-RECEIVED or SYN-SENT -> ESTABLISHED. */
void tcp_establish(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* Effective payload size from peer_mss, mtu and timestamps. */
void tcp_mss_update(struct tcp_pcb *pcb);
/* The MTU of the path to a peer as far as it is known before the first segment. */
uint16_t tcp_path_mtu(const struct tcp *tcp, const struct ip_addr *remote);
/* The MSS that we offer to a peer over a path of this mtu. */
uint16_t tcp_mss_offer(const struct tcp *tcp, const struct ip_addr *remote, uint16_t mtu);

/* --- tcp_owner.c ------------------------------------------------------------------------------- */
/* ISN and timestamp offset of a tuple (RFC 6528 s3, RFC 7323 s5.4), where there is no fleet. */
struct tcp_secrets {
    uint32_t isn, ts_offset;
};
struct tcp_secrets tcp_secrets_of(const struct tcp *tcp, const struct ip_tuple *tuple, tg_ns now);
/* The rest of its face is in tcp_owner.h. */

/* --- tcp_gro.c ------------------------------------------------------------------------------------ */
/* Take the run of segments at the front of burst[n], looked up, that continue each other and change nothing but the
 * receive queue; takes them. Returns how many, 0: the first must go the long way. */
unsigned tcp_gro_take(struct tcp *tcp, struct buf *burst[], unsigned n, tg_ns now);

/* --- tcp_in.c ---------------------------------------------------------------------------------- */
/* Answer a suspect segment with an ACK, at most now and then (RFC 5961 s7). */
void tcp_challenge(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* One of this second's budget for such answers is left, and taken. */
bool tcp_challenge_allowed(struct tcp *tcp, tg_ns now);
/* The answer to a segment that belongs to nothing (RFC 9293 s3.10.7.1). */
void tcp_refuse(struct tcp *tcp, const struct tcp_rx *rx);

/* --- tcp_ack.c, tcp_loss.c, tcp_sack.c; see tcp_recovery.h ------------------------------------------- */
/* An acceptable ACK in a synchronised state: queue, window, RTT, congestion. */
void tcp_ack_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx);
void tcp_rtt_sample(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns rtt);
/* After each ACK: enter, continue or leave recovery. */
void tcp_loss_on_ack(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news,
                     tg_ns now);
void tcp_loss_on_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* TCP_D_RACK. */
void tcp_loss_on_reorder_timer(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* The path takes less: resegment, send again what was too large. */
void tcp_loss_on_mtu(struct tcp *tcp, struct tcp_pcb *pcb, uint16_t mtu);
void tcp_segment_mark_lost(struct tcp_pcb *pcb, struct buf *b);
/* Mark what the peer holds (RFC 2018), note a duplicate (RFC 2883): blocks of a segment with this ACK number. */
void tcp_sack_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_options *options,
                   uint32_t ack, struct tcp_ack_news *news, tg_ns now);
/* The peer has dropped what it had sacked (RFC 2018 s8): all of it is lost. */
void tcp_sack_forget(struct tcp_pcb *pcb);

/* --- tcp_cong.c -------------------------------------------------------------------------------- */
/* A congestion control: functions over pcb->act->cwnd, ssthresh, cc[]. Integers only. */
struct tcp_congestion {
    const char *name;
    void (*start)(struct tcp_pcb *pcb);
    /* New data acknowledged outside fast recovery while cwnd was in use. */
    void (*acked)(struct tcp_pcb *pcb, uint32_t bytes, tg_ns now);
    /* Congestion: set ssthresh (cwnd follows in tcp_loss). Keep what `undo` needs. */
    void (*congested)(struct tcp_pcb *pcb, tg_ns now);
    /* A retransmission timeout, after `congested` if it was the loss event's first: slow start follows. */
    void (*timed_out)(struct tcp_pcb *pcb);
    /* The last `congested` was for nothing: put private state back as it was before (cwnd and ssthresh are put
     * back by the caller). At most once after each `congested`. */
    void (*undo)(struct tcp_pcb *pcb);
    /* The flow was idle: what was learnt of time is void. */
    void (*idle)(struct tcp_pcb *pcb);
};
extern const struct tcp_congestion tcp_newreno, tcp_cubic;
const struct tcp_congestion *tcp_congestion_of(enum tcp_congestion_id id);
uint32_t tcp_initial_window(const struct tcp_pcb *pcb);

/* --- tcp_reassembly.c, tcp_ooo.c -------------------------------------------------------------- */
/* RFC 9293 s3.10.7.4, seventh and eighth: payload and FIN. Takes rx->b when it queues it. */
void tcp_text_take(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx);
/* Text has come in order, the largest segment of `bytes`: choose when to acknowledge it (at once where a hole was
 * or is), size the window, tell the user. */
void tcp_text_arrived(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t bytes, bool hole, tg_ns now);
/* Append a frame's payload to the receive queue; takes it. */
void tcp_receive_append(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b);
/* Keep a piece that came early (b->seq .. b->seq_end set, trimmed to payload); takes it. */
void tcp_ooo_insert(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b);
/* Forget all early pieces: the peer sends them again. */
void tcp_ooo_drop(struct tcp *tcp, struct tcp_pcb *pcb);
/* Move what has become in order to the receive queue. */
void tcp_ooo_drain(struct tcp *tcp, struct tcp_pcb *pcb);
/* A piece came early at seq: its block is the next ACK's first. */
void tcp_ooo_recent(struct tcp_pcb *pcb, uint32_t seq);
/* These bytes came twice: the next ACK says so (RFC 2883), where SACK is in use. */
void tcp_ooo_duplicate(struct tcp_pcb *pcb, uint32_t left, uint32_t right);
/* Blocks for the SACK option, at most n: a duplicate, then early pieces, the newest first; returns how many. */
unsigned tcp_ooo_blocks(const struct tcp_pcb *pcb, struct tcp_sack_block out[], unsigned n);

/* --- tcp_out.c, tcp_emit.c, tcp_segment.c --------------------------------------------------------- */
/* Window edge that the receive buffer allows now. */
uint32_t tcp_window_edge(const struct tcp *tcp, const struct tcp_pcb *pcb);
/* A window update is worth a segment of its own (RFC 9293 s3.8.6.2.2). */
bool tcp_window_update_due(const struct tcp *tcp, const struct tcp_pcb *pcb);
/* Send a pure ACK, a SYN or SYN-ACK, or a probe. False: pool empty. */
bool tcp_emit_ack(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t seq, tg_ns now);
bool tcp_emit_syn(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
void tcp_emit_rst(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* Send a queued segment, its own frame or a copy while the port still holds it. False: pool empty. */
bool tcp_emit_queued(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, tg_ns now);
/* A segment without a connection: RST, TIME-WAIT's ACK, a SYN cookie. options may be NULL. False: pool empty, and
 * the peer asks again. */
struct tcp_stateless {
    const struct ip_tuple *tuple;
    uint32_t seq, ack;
    uint16_t window;
    uint8_t flags;
    const struct tcp_options *options;
};
bool tcp_emit_stateless(struct tcp *tcp, const struct tcp_stateless *what, tg_ns now);
uint32_t tcp_timestamp(uint32_t ts_offset, tg_ns now);

/* Append a frame to the send queue: its bytes are the payload. */
void tcp_segment_append(struct tcp_pcb *pcb, struct buf *b);
/* Remove and free the first one. */
void tcp_segment_drop_first(struct tcp *tcp, struct tcp_pcb *pcb);
/* Cut b (in the queue) after its first `bytes` of payload; false: pool empty, nothing changed. */
bool tcp_segment_split(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, uint32_t bytes);

/* --- tcp_timewait.c ---------------------------------------------------------------------------- */
enum tg_err tcp_timewait_init(struct tcp *tcp);
void tcp_timewait_destroy(struct tcp *tcp);
/* The connection is over but for late segments: acknowledge, leave a record in the flow table in its
 * place, finish it. pcb may be gone afterwards. */
void tcp_timewait_add(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
void tcp_timewait_arrives(struct tcp *tcp, uint32_t record, struct tcp_rx *rx);
bool tcp_timewait_expects(const struct tcp *tcp, uint32_t record, uint32_t ack);
bool tcp_timewait_matches(const struct tcp *tcp, uint32_t record, const struct ip_tuple *tuple);
/* For tcp_check: NULL or what is wrong. */
const char *tcp_timewait_check(const struct tcp *tcp);

#include "tcp/tcp_knobs.h"

#endif
