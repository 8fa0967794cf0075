/* SPDX-License-Identifier: BSD-3-Clause
 * Loss recovery: what its files know of a connection, and who may call whom. Included by tcp_pcb.h (the state)
 * and through it by everybody.
 *
 *   tcp_ack     an ACK: what has arrived (tcp_sack: SACK blocks)       -> struct tcp_ack_news
 *   tcp_loss    what follows: enters, continues and leaves a recovery; timeouts; asks
 *     tcp_rack    what is lost, by time (RFC 8985 s6)                      peers with SACK
 *     tcp_dupack  what is lost, by duplicate ACKs (RFC 5681, RFC 6582)     peers without
 *     tcp_tlp     a probe for a tail that nobody acknowledges (RFC 8985 s7)
 *     tcp_prr     how much may leave in a recovery (RFC 9937)
 *     tcp_undo    that it was for nothing (RFC 3522, RFC 3708, RFC 5682)
 */
#ifndef DATAPLANE_TCP_RECOVERY_H
#define DATAPLANE_TCP_RECOVERY_H

#include "tcp/tcp.h"
#include "tcp/tcp_options.h"

struct tcp_pcb;
struct tcp_active;

/* RFC 8985 s5.3, by its names. */
struct tcp_rack {
    tg_ns xmit_ns;    /* of the segment that left last among those that have arrived; 0: none has */
    tg_ns rtt;        /* its round trip */
    uint32_t end_seq; /* likewise */
    uint32_t fack;    /* highest sequence number that has arrived */
    uint32_t
        dsack_round;     /* with in_round: no further growth of reo_mult until it is acknowledged */
    uint8_t reo_mult;    /* reordering window in quarters of min_rtt; 0 means 1 */
    uint8_t reo_persist; /* recoveries for which reo_mult > 1 is kept */
    bool resent;         /* the segment of xmit_ns was sent again then */
    bool in_round;
    bool reordering;    /* seen on this connection */
    tg_ns min_rtt_next; /* minimum since `min_rtt_ns`: takes over when the older one is too old */
    tg_ns min_rtt_ns;   /* 0: no sample yet */
    uint32_t sacked_count;         /* segments marked BUF_TX_SACKED */
    uint32_t resent_count;         /* segments in flight that were sent more than once */
    struct buf *oldest, *newest;   /* in flight, by time of transmission, through buf.sent */
    struct buf *sack_high;         /* highest sacked segment, a hint; NULL: unknown */
    struct buf *sack_cursor;       /* sacked last, likewise */
    struct tcp_sack_block seen[4]; /* blocks whose segments are all marked */
};

/* RFC 8985 s7.2. */
struct tcp_tlp {
    uint32_t end_seq; /* SND.NXT behind the probe, while `out` */
    bool out;         /* a probe has been sent and not been judged */
    bool again;       /* it was a retransmission: TLP.is_retrans */
    bool wish;        /* send one at the next output, whatever cwnd says */
};

/* RFC 9937 s6, bytes. */
struct tcp_prr {
    uint32_t delivered, out;
    uint32_t flight; /* RecoverFS: what was outstanding at the start */
};

/* The last cut of the window, while it may turn out to have been for nothing (tcp_undo.c). */
struct tcp_undo {
    bool open;          /* the rest is valid */
    bool timeout;       /* one was among the reasons: no sign of reordering */
    bool stamped;       /* `stamp` is */
    uint8_t frto;       /* enum tcp_frto */
    uint32_t stamp;     /* timestamp of the first retransmission since */
    uint32_t low, high; /* what was sent again since lies in there */
    uint32_t bytes;     /* sent again since, and not reported as a duplicate */
    uint32_t end;       /* with the recovery over: DSACKs may come until this is acknowledged */
    uint32_t cwnd, ssthresh; /* before the cut */
};

/* What one ACK has told: gathered by tcp_ack and tcp_sack, judged by tcp_loss. */
struct tcp_ack_news {
    uint32_t acked;     /* sequence numbers newly acknowledged */
    uint32_t segments;  /* that left the queue */
    uint32_t delivered; /* bytes newly acknowledged or sacked */
    tg_ns
        sent_ns; /* when the newest of the segments that were sent once left; 0: none such arrived */
    bool resent;    /* the ACK number covers segments that were sent more than once */
    bool duplicate; /* RFC 5681 s2 */
    bool sack_news; /* segments newly sacked */
    bool original;  /* a segment arrived that left once, before the recovery began (RFC 5682) */
    bool has_dsack; /* the peer had these bytes twice (RFC 2883) */
    bool has_echo;  /* TSecr, where it is a clock of ours */
    uint32_t echo;
    struct tcp_sack_block dsack;
};

/* --- tcp_rack.c ------------------------------------------------------------------------------------------ */

/* Sequence numbers start at seq: nothing has arrived yet. */
void tcp_rack_init(struct tcp_pcb *pcb, uint32_t seq);
/* The list of what is in flight, oldest transmission first. */
void tcp_sent_append(struct tcp_active *act, struct buf *b);
void tcp_sent_remove(struct tcp_active *act, struct buf *b);
/* Behind `at`, which is in the list; NULL: in front of all. */
void tcp_sent_insert(struct tcp_active *act, struct buf *at, struct buf *b);
/* A sample for the windowed minimum. */
void tcp_min_rtt_sample(struct tcp_pcb *pcb, tg_ns rtt, tg_ns now);
/* A segment has arrived (RFC 8985 s6.2 steps 1 to 3); its marks are still those from before. */
void tcp_rack_arrived(struct tcp_pcb *pcb, const struct buf *b, struct tcp_ack_news *news,
                      tg_ns now);
/* Step 4: DSACKs widen the reordering window, */
void tcp_rack_round(struct tcp_pcb *pcb, bool dsack);
/* sixteen recoveries without any narrow it. */
void tcp_rack_left_recovery(struct tcp_pcb *pcb);
tg_ns tcp_rack_window(const struct tcp_pcb *pcb);
/* Step 5: mark what is lost by now; true: something is. Arms TCP_D_RACK for what may be soon. */
bool tcp_rack_detect(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* RFC 8985 s6.3: a timeout of the first segment says the same of this one. */
bool tcp_rack_timed_out(const struct tcp_pcb *pcb, const struct buf *b, tg_ns now);

/* --- tcp_tlp.c ------------------------------------------------------------------------------------------- */

/* After new data has left or snd_una has moved. */
void tcp_tlp_schedule(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* TCP_D_TLP. */
void tcp_tlp_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* tcp_out has sent it: new data, or the last segment again. */
void tcp_tlp_sent(struct tcp *tcp, struct tcp_pcb *pcb, bool again);
/* True: the probe has repaired a loss, which is congestion. */
bool tcp_tlp_on_ack(struct tcp_pcb *pcb, const struct tcp_ack_news *news);

/* --- tcp_prr.c ------------------------------------------------------------------------------------------- */

void tcp_prr_begin(struct tcp_prr *prr, uint32_t flight);
/* Bytes that may leave after an ACK that delivered some (not 0). pipe, ssthresh, mss: bytes; safe: snd_una has
 * moved and nothing more was found lost. */
uint32_t tcp_prr_send(struct tcp_prr *prr, uint32_t delivered, uint32_t pipe, uint32_t ssthresh,
                      uint32_t mss, bool safe);

/* --- tcp_undo.c ------------------------------------------------------------------------------------------ */

enum tcp_frto {
    TCP_FRTO_OFF,
    TCP_FRTO_RESENT, /* the first segment has been sent again, its ACK is awaited */
    TCP_FRTO_NEW,    /* new segments have leave to go, lost ones wait */
};

/* The window is about to be cut: remember it, unless an earlier cut of the same recovery is remembered. */
void tcp_undo_begin(struct tcp_pcb *pcb);
/* A timeout; fresh: no recovery was under way. */
void tcp_undo_timeout(struct tcp_pcb *pcb, bool fresh);
/* A segment leaves again in a recovery. */
void tcp_undo_resent(struct tcp_pcb *pcb, const struct buf *b, tg_ns now);
/* The recovery is over: late DSACKs may still undo it. */
void tcp_undo_left_recovery(struct tcp_pcb *pcb);
/* Judge by an ACK, whose marks are made. True: the recovery was for nothing; window and marks are as before it,
 * and the connection is in none. */
bool tcp_undo_on_ack(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news);
/* New segments could not leave either: resend, as without F-RTO. */
void tcp_frto_give_up(struct tcp_pcb *pcb);

/* --- tcp_dupack.c ---------------------------------------------------------------------------------------- */

/* Bytes that the network still holds as we believe, duplicates counted as arrivals (RFC 5681). */
uint32_t tcp_pipe(const struct tcp_pcb *pcb);
/* An ACK of a peer without SACK. True: a loss has been found, a recovery is to begin. */
bool tcp_dupack_take(struct tcp_pcb *pcb, const struct tcp_ack_news *news);
/* In a recovery a partial ACK: the next hole. */
void tcp_dupack_continue(struct tcp_pcb *pcb, const struct tcp_ack_news *news);

#endif
