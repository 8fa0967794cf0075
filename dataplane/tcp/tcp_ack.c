/* SPDX-License-Identifier: BSD-3-Clause
 * What an acceptable ACK changes: the send queue, the send window, the round-trip time (RFC 9293
 * s3.10.7.4 fifth; RFC 6298). Called by tcp_in for synchronised states; hands congestion to tcp_loss.
 */
#include "tcp/tcp_congestion.h"

#define RTT_MS_MAX 600000u /* an older echo is no measurement */

/* RFC 6298 s2, in nanoseconds, alpha 1/8, beta 1/4. One sample per ACK at most. */
void tcp_rtt_sample(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns rtt)
{
    if (rtt == 0)
        rtt = 1; /* srtt 0 means "none" */
    if (pcb->srtt == 0) {
        pcb->srtt = rtt;
        pcb->rttvar = rtt / 2;
    } else {
        tg_ns distance = rtt > pcb->srtt ? rtt - pcb->srtt : pcb->srtt - rtt;
        pcb->rttvar = pcb->rttvar - pcb->rttvar / 4 + distance / 4;
        pcb->srtt = pcb->srtt - pcb->srtt / 8 + rtt / 8;
        if (pcb->srtt == 0)
            pcb->srtt = 1;
    }
    tg_ns variance = 4 * pcb->rttvar;
    pcb->rto = pcb->srtt + (variance > TIMER_TICK ? variance : TIMER_TICK);
    pcb->act->backoff = 0; /* Karn: until a sample came, the doubled timeout stood */
    if (pcb->rto < tcp->config.rto_min)
        pcb->rto = tcp->config.rto_min;
    if (pcb->rto > tcp->config.rto_max)
        pcb->rto = tcp->config.rto_max;
}

/* A segment (or `bytes` at its front) is acknowledged: what it counted for no longer counts. */
static void segment_uncount(struct tcp_pcb *pcb, const struct buf *b, uint32_t bytes)
{
    if (b->flags & BUF_TX_SACKED) {
        tg_assert(pcb->act->sacked >= bytes);
        pcb->act->sacked -= bytes; /* delivered already */
        return;
    }
    pcb->act->delivered += bytes;
    if (!(b->flags & BUF_TX_LOST)) {
        tg_assert(pcb->act->pipe >= bytes);
        pcb->act->pipe -= bytes;
    }
}

/* Remove what is acknowledged. */
static void queue_acknowledge(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t ack,
                              struct tcp_ack_news *news, tg_ns now)
{
    struct buf *b;
    while ((b = pcb->act->snd_first) && b != pcb->act->snd_unsent && seq_le(b->seq_end, ack)) {
        segment_uncount(pcb, b, segment_len(b));
        news->resent = news->resent || b->flags & BUF_TX_RETRANSMITTED;
        if (!(b->flags & BUF_TX_SACKED))
            tcp_rack_arrived(pcb, b, news, now);
        news->segments++;
        tcp_segment_drop_first(tcp, pcb);
    }
    if (b && b != pcb->act->snd_unsent && seq_lt(b->seq, ack)) {
        segment_uncount(pcb, b, ack - b->seq);
        b->seq = ack; /* the payload is found from the frame's end: nothing else to do */
    }
    pcb->snd_una = ack;
}

/* RFC 9293 s3.10.7.4: SND.WL1, SND.WL2 keep old segments from setting the window. One that acknowledges more is not
 * old, even when another one ahead of a hole has set it before (as Linux). True: it changed. */
static bool window_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    if (!(seq_lt(pcb->snd_una, rx->seg.ack) || seq_lt(pcb->snd_wl1, rx->seg.seq) ||
          (pcb->snd_wl1 == rx->seg.seq && seq_le(pcb->snd_wl2, rx->seg.ack))))
        return false;
    uint32_t window = (uint32_t)rx->seg.window << pcb->snd_scale;
    bool changed = window != pcb->snd_wnd;
    pcb->snd_wnd = window;
    pcb->snd_wnd_max = u32_max(pcb->snd_wnd_max, window);
    pcb->snd_wl1 = rx->seg.seq;
    pcb->snd_wl2 = rx->seg.ack;
    if (changed)
        tcp_mark_dirty(tcp, pcb);
    return changed;
}

/* RFC 6298 s5.2, s5.3: stop when all is acknowledged, else start anew. */
static void retransmit_timer_restart(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (pcb->snd_una == pcb->snd_nxt)
        tcp_deadline_clear(pcb, TCP_D_RETRANSMIT);
    else
        tcp_deadline_set(tcp, pcb, TCP_D_RETRANSMIT, now + tcp_rto(tcp, pcb));
}

/* The peer lives, and has got something: what an RTT sample does to the backoff, this does to the count, or
 * undoubled timeouts would spend all retries in seconds (RFC 1122 s4.2.3.5: R2 >= 100 s). While probing a
 * shut window only a user's connection may wait for ever. */
static void progress_note(struct tcp_pcb *pcb, bool arrived)
{
    if (arrived || (pcb->snd_una == pcb->snd_nxt && !tcp_has(pcb, TCP_F_ORPHAN)))
        pcb->act->retries = 0;
}

/* TSecr as a clock of ours; in a fleet it is an owner's name. */
static struct tcp_ack_news news_make(const struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    return (struct tcp_ack_news){
        .has_echo = rx->options.has_timestamps && tcp_has(pcb, TCP_F_TIMESTAMPS) &&
                    !tcp_has(pcb, TCP_F_OWNER),
        .echo = rx->options.ts_echo,
    };
}

/* RTT from the newest segment that was sent once (Karn): each send has its own time, so timestamps are not needed
 * for it and may carry something else. Behind a hole that has been filled such a segment may have waited for long. Where they are a clock, they serve when everything that arrived had been
 * sent again (RFC 7323 s4.1), or a backed-off timeout would last as long as the loss does. */
static void rtt_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news,
                     tg_ns now)
{
    if (news->sent_ns && !news->resent) {
        tcp_min_rtt_sample(pcb, now - news->sent_ns, now);
        tcp_rtt_sample(tcp, pcb, now - news->sent_ns);
        tcp_hystart_sample(pcb, now - news->sent_ns);
        return;
    }
    uint32_t ms = tcp_timestamp(pcb->ts_offset, now) - news->echo;
    if (news->acked && news->has_echo && ms < RTT_MS_MAX)
        tcp_rtt_sample(tcp, pcb, u32_max(ms, 1) * TG_MS);
}

/* What the ACK number and the SACK blocks say of the queue. */
static void arrivals_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx,
                          struct tcp_ack_news *news)
{
    uint64_t delivered = pcb->act->delivered;
    if (rx->seg.ack != pcb->snd_una) {
        news->acked = rx->seg.ack - pcb->snd_una;
        queue_acknowledge(tcp, pcb, rx->seg.ack, news, rx->now);
    }
    if (tcp_has(pcb, TCP_F_SACK) && rx->options.sack_count)
        tcp_sack_take(tcp, pcb, &rx->options, rx->seg.ack, news, rx->now);
    news->delivered = (uint32_t)(pcb->act->delivered - delivered);
    rtt_take(tcp, pcb, news, rx->now);
}

/* An ACK that others have overtaken may be the only one that tells of a duplicate, or of an early segment. */
static void old_ack_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx,
                         struct tcp_ack_news *news)
{
    if (!tcp_has(pcb, TCP_F_SACK) || !rx->options.sack_count)
        return;
    uint64_t delivered = pcb->act->delivered;
    tcp_sack_take(tcp, pcb, &rx->options, rx->seg.ack, news, rx->now);
    news->delivered = (uint32_t)(pcb->act->delivered - delivered);
    if (news->sack_news || news->has_dsack)
        tcp_loss_on_ack(tcp, pcb, news, rx->now);
}

void tcp_ack_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    uint32_t ack = rx->seg.ack, una = pcb->snd_una;
    bool outstanding = una != pcb->snd_nxt;
    struct tcp_ack_news news = news_make(pcb, rx);
    if (seq_lt(ack, una)) { /* old, within MAX.SND.WND: its text counts, its ACK does not */
        old_ack_take(tcp, pcb, rx, &news);
        return;
    }
    bool window_changed = window_take(tcp, pcb, rx);
    arrivals_take(tcp, pcb, rx, &news);
    progress_note(pcb, news.acked || news.sack_news);
    /* RFC 5681 s2: outstanding data, no text, no SYN or FIN, same ACK, same window. */
    news.duplicate = outstanding && !news.acked && rx->bytes == 0 &&
                     !(rx->flags & (TCP_SYN | TCP_FIN)) && !window_changed;
    if (news.acked)
        retransmit_timer_restart(tcp, pcb, rx->now);
    if (news.acked || news.duplicate || news.sack_news || news.has_dsack)
        tcp_loss_on_ack(tcp, pcb, &news, rx->now);
    if (news.acked) {
        tcp_tlp_schedule(tcp, pcb, rx->now);
        tcp_event_writable(tcp, pcb);
    }
    if (pcb->snd_end != pcb->snd_nxt || pcb->act->snd_lost || tcp_has(pcb, TCP_F_FIN_WISH))
        tcp_mark_dirty(tcp, pcb);
}
