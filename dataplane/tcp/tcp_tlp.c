/* SPDX-License-Identifier: BSD-3-Clause
 * The tail loss probe (RFC 8985 s7): when the last segments of a flight stay unacknowledged for two round trips,
 * one more segment leaves, so that its ACK tells RACK what is missing, instead of a timeout that shuts the window.
 * If the probe itself repairs the loss, nothing else shows it: then its ACK counts as congestion. Called by
 * tcp_ack, tcp_loss, tcp_out, tcp_timer; peers with SACK only.
 */
#include "tcp/tcp_internal.h"

#define ACK_DELAY_MAX                                                                              \
    (200 * TG_MS)            /* TLP.max_ack_delay: the peer may hold the ACK of one segment */
#define PTO_FIRST (1 * TG_S) /* no round-trip time yet */
#define PTO_SLACK                                                                                  \
    (2 * TIMER_TICK) /* for a wheel's tick and a burst: two round trips may be microseconds */

static uint32_t lost_bytes(const struct tcp_pcb *pcb)
{
    return pcb->snd_nxt - pcb->snd_una - pcb->act->pipe - pcb->act->sacked;
}

/* RFC 8985 s7.2: one probe at a time, and only where nothing else is about to find the loss. */
static bool wanted(const struct tcp_pcb *pcb)
{
    return tcp_has(pcb, TCP_F_SACK) && !tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT) &&
           pcb->snd_una != pcb->snd_nxt && !pcb->act->sacked && !lost_bytes(pcb) &&
           !pcb->act->tlp.out && !pcb->act->deadline[TCP_D_RACK] && tcp_state_sends(pcb->state);
}

void tcp_tlp_schedule(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    const struct tcp_rack *rack = &pcb->act->rack;
    if (!wanted(pcb)) {
        tcp_deadline_clear(pcb, TCP_D_TLP);
        return;
    }
    tg_ns pto = (pcb->srtt ? 2 * pcb->srtt : PTO_FIRST) +
                (rack->oldest == rack->newest ? ACK_DELAY_MAX : PTO_SLACK);
    tg_ns at = now + pto, timeout = pcb->act->deadline[TCP_D_RETRANSMIT];
    tcp_deadline_set(tcp, pcb, TCP_D_TLP, timeout && timeout < at ? timeout : at);
}

/* The timeout waits anew behind the probe (RFC 8985 s7.3). */
void tcp_tlp_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (!wanted(pcb))
        return;
    pcb->act->tlp.wish = true;
    tcp_deadline_set(tcp, pcb, TCP_D_RETRANSMIT, now + tcp_rto(tcp, pcb));
    tcp_mark_dirty(tcp, pcb);
}

void tcp_tlp_sent(struct tcp *tcp, struct tcp_pcb *pcb, bool again)
{
    stats_count(tcp->stats, TG_C_tcp_tail_probes);
    pcb->act->tlp = (struct tcp_tlp){.end_seq = pcb->snd_nxt, .out = true, .again = again};
}

/* RFC 8985 s7.4.2. */
bool tcp_tlp_on_ack(struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    struct tcp_tlp *tlp = &pcb->act->tlp;
    if (!tlp->out || seq_lt(pcb->snd_una, tlp->end_seq))
        return false;
    bool twice = news->has_dsack && news->dsack.right == tlp->end_seq; /* both have arrived */
    bool beyond = seq_lt(tlp->end_seq, pcb->snd_una);
    bool bare = news->duplicate && !news->sack_news && !news->has_dsack; /* so says this, too */
    if (!tlp->again || twice || beyond || bare)
        tlp->out = false;
    return tlp->again && beyond && !twice;
}
