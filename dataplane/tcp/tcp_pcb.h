/* SPDX-License-Identifier: BSD-3-Clause
 * A connection as data: its two parts, their flags and deadlines, and the constants of the protocol.
 * Included by tcp_internal.h only, which has the stack around it and who may call whom.
 */
#ifndef DATAPLANE_TCP_PCB_H
#define DATAPLANE_TCP_PCB_H

#include "tcp/tcp.h"
#include "tcp/tcp_options.h"
#include "tcp/tcp_recovery.h"

#define TCP_LISTENERS_MAX 64
#define TCP_MSS_FLOOR                                                                              \
    272u /* smallest MSS we believe a peer (CVE-2019-11479): 256 bytes always fit */
#define TCP_MSS_DEFAULT4     536u /* RFC 9293 s3.7.1: no MSS option */
#define TCP_MSS_DEFAULT6     1220u
#define TCP_MTU_FLOOR4       552u       /* blind PMTU attacks end here (Linux's min_pmtu) */
#define TCP_MTU_FLOOR6       1280u      /* RFC 8201 s4 */
#define TCP_INITIAL_SEGMENTS 10u        /* RFC 6928 */
#define TCP_DUP_THRESHOLD    3u         /* RFC 5681 s3.2 */
#define TCP_DSACK_AGE        (1u << 30) /* bytes below snd_una: what a DSACK may tell of */
#define TCP_RTO_AFTER_SYN    (3 * TG_S) /* RFC 6298 s5.7: the SYN was lost and there is no sample */
#define TCP_ORPHAN_WAIT      (60 * TG_S)   /* FIN-WAIT-2 without a user */
#define TCP_RTO_COUNTED      (200 * TG_MS) /* timeout with which limits of retransmissions count */
#define TCP_ORPHAN_RETRIES   8u /* retransmissions or probes of a connection without a user */
#define TCP_ACK_INTERVAL     (500 * TG_MS) /* answers to suspect segments, per connection */
#define TCP_CHALLENGES       100u /* such answers a second and stack, plus jitter (RFC 5961 s7) */
#define TCP_CORK_MAX         (200 * TG_MS)                  /* a cork holds no longer (tcp(7)) */
#define TCP_REPAIR           (10 * TG_MS)                   /* come back after an empty pool */
#define TCP_PAWS_IDLE        ((tg_ns)24 * 24 * 3600 * TG_S) /* RFC 7323 s5.5 */
#define TCP_OUTPUT_BUDGET    64u                            /* segments of one tcp_output call */
#define TCP_OUTPUT_QUANTUM   16u /* of one connection before the next one's turn */
#define TCP_HEADERS_MAX      (ETH_BYTES + IP6_BYTES + 60u) /* in front of a payload */

static_assert(TCP_HEADERS_MAX <= BUF_HEADROOM, "every fresh frame has room for our headers");

enum tcp_flag_bit {
    TCP_F_TIMESTAMPS = 1u << 0, /* negotiated */
    TCP_F_SACK = 1u << 1,       /* negotiated */
    TCP_F_WSCALE = 1u << 2,     /* the peer's SYN had the option */
    TCP_F_PASSIVE = 1u << 3,    /* made by a listener */
    TCP_F_ORPHAN = 1u << 4,     /* the user has closed: handle dead, no events */
    TCP_F_DETACHED =
        1u << 5, /* over: no more packets; waits for the user to read or fetch CLOSED */
    TCP_F_SYN_WISH = 1u << 6,    /* send SYN or SYN-ACK */
    TCP_F_ACK_NOW = 1u << 7,     /* send an ACK at the next output */
    TCP_F_ACK_DELAYED = 1u << 8, /* an ACK is owed by the delayed-ACK deadline */
    TCP_F_CORK = 1u << 9,        /* only full segments leave */
    TCP_F_FIN_WISH = 1u << 10,   /* the user is done writing, FIN not queued yet */
    TCP_F_FIN_QUEUED = 1u << 11, /* the last segment of the send queue carries FIN */
    TCP_F_FIN_SEEN = 1u << 12,   /* fin_seq is known, bytes before it may be missing */
    TCP_F_FIN_TAKEN = 1u << 13,  /* the peer's FIN is counted in rcv_nxt */
    TCP_F_WANT_WRITE = 1u << 14, /* a write met TG_AGAIN */
    TCP_F_RECOVERY = 1u << 15,   /* fast recovery until snd_una reaches recover */
    TCP_F_TIMEOUT = 1u << 16,    /* recovery after a retransmission timeout, likewise */
    TCP_F_RESEND = 1u << 17,     /* one retransmission may leave whatever cwnd says */
    TCP_F_CWND_LIMITED =
        1u << 18,              /* the window was full since the last ACK: it may grow (RFC 7661) */
    TCP_F_PROBE = 1u << 19,    /* send a zero window probe */
    TCP_F_OVERRIDE = 1u << 20, /* silly-window override: send what fits (RFC 9293 s3.8.6.2.1) */
    TCP_F_SYN_LOST = 1u << 21, /* our SYN or SYN-ACK was sent more than once */
    TCP_F_OWNER = 1u << 22,    /* timestamps and ISN are an owner's cookie */
    TCP_F_RECENT = 1u << 23,   /* something moved since the search for idle connections came by */
    TCP_F_WAITING = 1u << 24,  /* asleep, and the user wants to send: in line for an active part */
    TCP_F_CORK_SPENT = 1u << 25, /* the cork has held the last segment for its time: it leaves */
    TCP_F_KEEP_PROBE = 1u << 26, /* send a keepalive probe */
    TCP_F_DSACK = 1u << 27,      /* a duplicate came: the next ACK names it (RFC 2883) */
    TCP_F_ECN = 1u << 29,        /* negotiated */
    TCP_F_PINGPONG = 1u << 28,   /* our data has carried an ACK that was owed: answers will again */
};

/* Deadlines of a connection, absolute, 0 = none. Those that are due at once act in this order: what finds a
 * loss more gently comes before the timeout. */
enum tcp_deadline {
    TCP_D_RACK,       /* the reordering window of a segment ends */
    TCP_D_TLP,        /* tail loss probe */
    TCP_D_RETRANSMIT, /* RTO */
    TCP_D_PERSIST,    /* zero window probe or silly-window override */
    TCP_D_DELACK,
    TCP_D_LIFE,      /* connect timeout; FIN-WAIT-2 of an orphan */
    TCP_D_REPAIR,    /* an allocation failed: try again */
    TCP_D_CORK,      /* the cork has held long enough */
    TCP_D_KEEPALIVE, /* the next look at a silent peer: does not keep a connection awake */
    TCP_D_USER,      /* user timeout: what was written has waited long enough */
    TCP_D_PACE,      /* the next new segment may leave */
    TCP_D_KINDS,
};

enum tcp_list_kind {
    TCP_L_DIRTY, /* tcp_output must look at it */
    TCP_L_READY, /* has events */
    TCP_L_AWAKE, /* established, with an active part: where sleepers are looked for */
    TCP_L_KINDS,
};
#define TCP_INDEX_NONE UINT32_MAX /* end of a list */
#define TCP_UNLISTED   (UINT32_MAX - 1)

struct tcp_congestion;

/* A connection lies in two parts. This one has what an established connection must keep while nothing moves
 * on it: who it is, where both directions stand, what was negotiated, how far away the peer is. Sequence
 * numbers keep the RFC's names. Together with its slot of the flow table and of the pool an idle connection
 * costs about 210 bytes (asserted below, shown by scripts/bench tcp). */
struct tcp_pcb {
    /* every segment */
    uint64_t user;
    uint32_t snd_una, snd_nxt; /* oldest unacknowledged; next new byte to send */
    uint32_t snd_end;          /* behind the last queued byte, FIN included */
    uint32_t snd_wnd;          /* bytes, scaled */
    uint32_t snd_wl1, snd_wl2; /* seq and ack of the segment that set snd_wnd */
    uint32_t rcv_nxt;
    uint32_t rcv_adv;   /* right edge that we have advertised: never moves back */
    uint32_t rcv_acked; /* rcv_nxt of our last segment: Last.ACK.sent of RFC 7323 */
    uint32_t rcv_read;  /* first byte that the user has not consumed */
    uint32_t ts_recent;
    uint32_t snd_wnd_max;
    uint16_t mss;  /* payload bytes of a full segment to the peer */
    uint8_t state; /* enum tcp_state; written by tcp_state.c only */
    uint8_t quick_acks;
    uint8_t snd_scale, rcv_scale;
    uint16_t rcv_mss; /* largest payload seen: what "full segment" means when delaying ACKs */

    /* names */
    struct ip_tuple tuple;
    uint32_t hash; /* Toeplitz, as received packets have it */
    uint32_t generation;
    uint32_t ts_offset; /* with TCP_F_OWNER the cookie, its clock moved by the bytes sent */
    uint32_t ts_mark;   /* TCP_F_OWNER: snd_una at the last tick by bytes */
    /* a look-up of many reads this line only: is it that connection, is it over, what is to be fetched next */
    uint32_t flags;         /* enum tcp_flag_bit */
    struct tcp_active *act; /* NULL: asleep (tcp_idle.c) */

    /* the path and the peer */
    const struct tcp_congestion *congestion;
    tg_ns srtt, rttvar; /* 0: no sample yet */
    tg_ns rto;          /* without backoff */
    tg_ns ts_recent_ns; /* when ts_recent was taken */
    tg_ns syn_ns;       /* first transmission of our SYN: first RTT sample */
    uint32_t ssthresh;
    uint32_t wait_next; /* TCP_F_WAITING: the next that waits for an active part */
    uint16_t mtu;       /* of the path, bytes of IP packet */
    uint16_t peer_mss;  /* as the peer said */
    uint16_t heard;     /* asleep: when the peer was last heard, in units of 2^36 ns */
    uint8_t settings;   /* entry of the table of settings */
} TG_CACHE_ALIGN;

static_assert(offsetof(struct tcp_pcb, tuple) == TG_CACHE_LINE, "line 0: sequence state");
static_assert(offsetof(struct tcp_pcb, congestion) == 2 * TG_CACHE_LINE, "line 1: names");
static_assert(sizeof(struct tcp_pcb) == 3 * TG_CACHE_LINE, "an idle connection");

/* What is known of the path's MTU (tcp_pmtu.c). Sizes are those of IP packets; 0: none. */
struct tcp_pmtu {
    uint16_t acked;   /* largest that an ACK has proved to pass, since the MTU was last lowered */
    uint16_t high;    /* largest that is worth a try; 0: the MTU was never lowered */
    uint16_t probe;   /* in flight */
    uint16_t tried;   /* last probe */
    uint16_t witness; /* in flight, larger than `acked` */
    uint16_t hint;    /* ICMP's claim that waits for proof */
    uint8_t failures; /* probes of size `tried` that were lost */
    uint8_t timeouts; /* in a row, without progress */
    uint8_t resends;  /* of the first segment, without progress */
    bool excusable;   /* probe_end is not acknowledged yet */
    bool whole;       /* try `high` itself next, not the middle */
    uint32_t probe_seq, probe_end; /* of the last probe, until all of it is acknowledged */
    uint32_t hint_seq, witness_seq, witness_end;
    tg_ns retry_ns; /* no probe before */
    tg_ns raise_ns; /* no new search before */
};

/* Right-sizing of the receive window (tcp_autotune.c). */
struct tcp_tune {
    uint32_t space;           /* bytes that may wait unread; 0: as at the start */
    uint32_t most;            /* bytes that the reader has taken in one round, at most */
    uint32_t read_seq;        /* rcv_read when this round began */
    uint32_t window_end;      /* behind the window that is being timed */
    tg_ns read_ns, window_ns; /* when they began; 0: not yet */
    tg_ns round_ns;           /* least time in which a window has arrived */
};

/* HyStart++ (tcp_hystart.c); names of RFC 9406. */
enum tcp_hystart_phase { TCP_HYSTART_OFF, TCP_HYSTART_SLOW_START, TCP_HYSTART_CONSERVATIVE };
struct tcp_hystart {
    tg_ns last_min, current_min; /* least round trip of the last and of this round; 0: none */
    tg_ns baseline_min;          /* of the round that led into conservative slow start */
    uint32_t window_end;         /* the round is over when this is acknowledged */
    uint16_t samples;
    uint8_t css_rounds;
    uint8_t phase; /* enum tcp_hystart_phase */
};

/* The other part: what a connection needs while something moves on it: queues, deadlines, recovery. An idle
 * one gives it up when others need it (tcp_sleep) and gets a fresh one with the next segment or write
 * (tcp_wake), as if it had been idle for longer than its timeout (RFC 5681 s4.1). */
struct tcp_active {
    /* lists and output */
    struct {
        uint32_t prev, next;
    } links[TCP_L_KINDS];
    uint32_t pipe; /* bytes sent, neither acknowledged nor sacked nor marked lost */
    uint32_t cwnd;
    uint16_t events;  /* enum tcp_event_bit to report */
    uint8_t dup_owed; /* duplicate ACKs that a peer without SACK must count */
    uint8_t backoff;  /* doublings of rto, also of the persist interval */
    uint8_t retries;  /* retransmissions or probes in a row without progress */
    uint8_t error;    /* enum tg_err of CLOSED */
    uint16_t ooo_count;
    uint32_t snd_segments; /* frames in the send queue */
    uint32_t rcv_frames;   /* frames in the receive queue */
    uint32_t sacked;       /* bytes in snd queue marked BUF_TX_SACKED */
    uint32_t tag;          /* of the listener */

    /* queues, through buf.link */
    struct buf *snd_first TG_CACHE_ALIGN; /* seq .. seq_end without a gap from snd_una to snd_end */
    struct buf *snd_last;
    struct buf *snd_unsent;           /* first segment that never left */
    struct buf *snd_lost;             /* no segment in front of it is marked lost; NULL: none is */
    struct buf *rcv_first, *rcv_last; /* in order, trimmed to payload */
    struct buf *ooo_first;            /* out of order, by seq, disjoint */
    struct buf *reserved;             /* tcp_reserve's frame: the queue's last or a fresh one */

    /* recovery, congestion */
    uint32_t snd_small; /* behind the last short segment that left (Nagle, as Minshall has it) */
    uint32_t recover;   /* snd_nxt at the start of a recovery (RFC 6582) */
    uint16_t dup_acks;  /* in a row */
    uint64_t delivered; /* bytes acknowledged or sacked so far (rate samples) */
    uint32_t delivered_segments; /* likewise */
    uint32_t reordering_seen;    /* segments that came after later ones */
    tg_ns min_rtt;               /* 0: no sample */
    tg_ns sent_ns;               /* last transmission of data: idle restart */
    uint32_t acked_bytes; /* congestion avoidance: counted towards the next segment of cwnd */
    uint32_t retransmits;
    bool unreachable;    /* ICMP has said so since the peer was last heard: a soft error */
    uint8_t keep_probes; /* keepalive probes without an answer */
    tg_ns data_ns;       /* last data of the peer; 0: none yet */
    tg_ns heard_ns;      /* last acceptable segment of the peer */
    tg_ns progress_ns;   /* with TCP_D_USER: since when what was written waits */
    uint64_t cc[8];      /* private to the congestion control */
    struct tcp_hystart hystart;
    tg_ns pace_ns;    /* new segments are paid for until then */
    uint32_t ecn_end; /* no second cut for an echo before this is acknowledged */
    bool ecn_echo;    /* we send ECE until CWR comes */
    bool ecn_cwr;     /* the next new segment says that we have cut the window */

    /* time */
    struct tcp_pcb *pcb; /* whose it is */
    struct timer timer;  /* armed at or before the earliest deadline */
    tg_ns deadline[TCP_D_KINDS];
    tg_ns answer_ns; /* last answer to a suspect segment */

    struct tcp_pmtu pmtu;
    struct tcp_rack rack;
    struct tcp_tlp tlp;
    struct tcp_prr prr;
    struct tcp_undo undo;
    struct tcp_tune tune;

    /* opening, early pieces */
    uint32_t iss, irs;
    uint32_t fin_seq; /* the peer's FIN, with TCP_F_FIN_SEEN */
    uint32_t ooo_recent
        [TCP_SACK_BLOCKS_MAX];   /* seq of early pieces, the last first: order of SACK blocks */
    struct tcp_sack_block dsack; /* with TCP_F_DSACK */
} TG_CACHE_ALIGN;

static_assert(offsetof(struct tcp_active, snd_first) == TG_CACHE_LINE, "line 0: lists, output");

#endif
