/* SPDX-License-Identifier: BSD-3-Clause
 * The memory governor of a worker: what is done at three levels of shortage of frames, so that nobody ever waits for an
 * empty pool. The level is sampled by tcp_in and tcp_out (tcp_governor_look); whoever would hold memory compares it or
 * asks here: tcp_half_open, tcp_open, tcp_autotune, tcp_reassembly, tcp_write. Knows nothing of where frames lie.
 *
 *   TIGHT    a connection may receive no more than pressure_window ahead of its reader; the edge that was told stays
 *            (RFC 9293 s3.8.6), so windows shrink as data comes
 *   COOKIES  SYNs are answered with cookies only, no connection is opened by us
 *   SHED     no connection is accepted; early pieces are dropped where there are most (RFC 2018 s8 allows it), small
 *            segments share frames, and who holds most frames for the longest time without moving is reset
 *
 * Below all of them lies a reserve of frames: what a peer or a user could hold for long may not be put into it, so that
 * there is always one for an ACK, a RST, a retransmission, and for receiving. Without that a pool that is full stays full.
 *
 * Connections and active parts are memory, too. With few left of them SYNs get cookies only, and who is made out of a
 * proof may take the place of a connection whose user has gone and whose peer is silent.
 */
#ifndef DATAPLANE_TCP_GOVERNOR_H
#define DATAPLANE_TCP_GOVERNOR_H

#include "tcp/tcp_internal.h"

#define TCP_GOVERNOR_LOOKS 64u /* in good times one look in so many asks the pool */

/* Work out the thresholds; the first sample. */
void tcp_governor_init(struct tcp *tcp);
/* Ask the pool, change the level, shed if need be. Spans that the user has borrowed end here. */
void tcp_governor_sample(struct tcp *tcp, tg_ns now);

/* Once a burst, with the frames that came by it: a subtraction and two compares, until this worker alone could have
 * used up what was left above TIGHT, or others may have. */
static inline void tcp_governor_look(struct tcp *tcp, unsigned frames, tg_ns now)
{
    struct tcp_governor *g = &tcp->governor;
    g->spare -= (int32_t)frames;
    if (TG_UNLIKELY(g->spare <= g->spare_calm || --g->looks == 0))
        tcp_governor_sample(tcp, now);
}

/* May one more frame be held until a peer or a user lets go of it? */
static inline bool tcp_governor_spares(const struct tcp *tcp)
{
    return TG_LIKELY(tcp->governor.spare > 0);
}
/* May this connection queue one more frame to send? One that has nothing queued may go into the first half of the
 * reserve: what waits elsewhere to be sent by it would never come free. Counted as taken. */
static inline bool tcp_governor_sends(struct tcp *tcp, const struct tcp_pcb *pcb)
{
    struct tcp_governor *g = &tcp->governor;
    if (TG_UNLIKELY(g->spare <= 0) &&
        (pcb->act->snd_first || g->spare <= -(int32_t)(g->reserve / 2)))
        return false;
    g->spare--;
    return true;
}
/* A frame to be queued so; NULL: none, or it may not. */
static inline struct buf *tcp_governor_alloc(struct tcp *tcp, const struct tcp_pcb *pcb)
{
    struct buf *b = tcp_governor_sends(tcp, pcb) ? buf_alloc(tcp->pool) : NULL;
    if (TG_UNLIKELY(!b))
        tcp->governor.looks = 1;
    return b;
}
/* There was no frame, not even of the reserve, or an answer did not come: look anew soon. */
static inline void tcp_governor_dry(struct tcp *tcp)
{
    tcp->governor.looks = 1;
}

/* SYNs may have cookies only. */
bool tcp_governor_cookies_only(const struct tcp *tcp, tg_ns now);
/* May a connection be accepted, or opened by us? (Counted, if not.) */
bool tcp_governor_accepts(struct tcp *tcp);
bool tcp_governor_connects(struct tcp *tcp);
/* An active part was wanted, and nobody near could sleep. */
void tcp_governor_starved(struct tcp *tcp);
/* Make room in the table of connections: the one among some whose user has gone and whose peer has been silent for
 * longest, and long, is reset. False: there is none. */
bool tcp_governor_evict(struct tcp *tcp);

#endif
