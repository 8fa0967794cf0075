/* SPDX-License-Identifier: BSD-3-Clause
 * The path's MTU: see tcp_pmtu.h. A size is that of an IP packet; a segment's is its payload and the headers
 * that every data segment has.
 */
#include "tcp/tcp_pmtu.h"

#define PMTU_BASE       1280u        /* RFC 8899 s5.1.2: BASE_PLPMTU; IPv6's least */
#define PMTU_GAP        32u          /* a search ends when less than this is to be won */
#define PMTU_RAISE      (600 * TG_S) /* RFC 8899 s5.1.1: PMTU_RAISE_TIMER */
#define PMTU_TRIES      2u           /* probes of one size before it counts as too large */
#define PMTU_RETRY      (1 * TG_S)   /* after a probe was lost */
#define LOSSES_NEW      2u /* in a row: a size that has never passed is taken to be too large */
#define LOSSES_PROVEN   4u /* one that has, or an ordinary one: routes change, but hosts die, too */
#define SEGMENTS_BEHIND 3u /* that leave after a probe, so that its loss shows without a timeout */

/* --- sizes ------------------------------------------------------------------------------------------------ */

static uint32_t headers_of(const struct tcp_pcb *pcb)
{
    return (ip_addr_is4(&pcb->tuple.remote) ? IP4_BYTES : IP6_BYTES) + TCP_BYTES +
           (tcp_has(pcb, TCP_F_TIMESTAMPS) ? TCP_TIMESTAMPS_BYTES : 0);
}

static uint32_t size_of(const struct tcp_pcb *pcb, const struct buf *b)
{
    return headers_of(pcb) + segment_payload(b);
}

static uint32_t floor_of(const struct tcp_pcb *pcb)
{
    return ip_addr_is4(&pcb->tuple.remote) ? TCP_MTU_FLOOR4 : TCP_MTU_FLOOR6;
}

/* What the port, the peer and one frame bear. */
static uint16_t ceiling_of(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint32_t options = tcp_has(pcb, TCP_F_TIMESTAMPS) ? TCP_TIMESTAMPS_BYTES : 0;
    uint32_t peer =
        pcb->peer_mss + headers_of(pcb) - options; /* RFC 6691: MSS has no options in it */
    uint32_t size = u32_min(tcp_path_mtu(tcp, &pcb->tuple.remote), peer);
    return (uint16_t)u32_min(size, BUF_ROOM + headers_of(pcb) - TCP_HEADERS_MAX);
}

static void probe_forget(struct tcp_pmtu *p)
{
    p->probe = 0;
}

static void witness_forget(struct tcp_pmtu *p)
{
    p->witness = 0;
}

/* --- down ------------------------------------------------------------------------------------------------- */

/* From now on segments of `mtu`; what has been larger is sent again. `high`: the largest size that is worth a
 * try; raise_ns: when nothing is, the next search does not begin before. */
static void mtu_lower(struct tcp *tcp, struct tcp_pcb *pcb, uint16_t mtu, uint16_t high,
                      tg_ns raise_ns)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    stats_count(tcp->stats, TG_C_tcp_mtu_reduced);
    *p = (struct tcp_pmtu){.high = high, .raise_ns = raise_ns, .whole = true};
    if (pcb->state == TCP_S_SYN_SENT || pcb->state == TCP_S_SYN_RECEIVED)
        pcb->mtu = mtu; /* the SYN was small; what it offers shrinks */
    else
        tcp_loss_on_mtu(tcp, pcb, mtu);
}

/* The queued segment that has left and holds this sequence number. */
static struct buf *segment_at(const struct tcp_pcb *pcb, uint32_t seq)
{
    for (struct buf *b = pcb->act->snd_first; b && b != pcb->act->snd_unsent; b = b->link)
        if (seq_lt(seq, b->seq_end))
            return seq_le(b->seq, seq) ? b : NULL;
    return NULL;
}

/* An answer to a probe: the search has its upper end, and nothing else is lost. */
static void probe_too_big(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, uint32_t mtu)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    p->high = (uint16_t)mtu; /* which is said to pass: the next try */
    p->whole = true;
    p->failures = 0;
    probe_forget(p);
    stats_count(tcp->stats, TG_C_tcp_mtu_probes_lost);
    tcp_segment_mark_lost(pcb, b);
    tcp_mark_dirty(tcp, pcb);
}

void tcp_pmtu_too_big(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t seq, uint32_t mtu, tg_ns now)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    bool opening = pcb->state == TCP_S_SYN_SENT || pcb->state == TCP_S_SYN_RECEIVED;
    struct buf *b = opening ? NULL : segment_at(pcb, seq);
    mtu = u32_max(mtu, floor_of(pcb)); /* blind attacks end here */
    if (!opening && (!b || size_of(pcb, b) <= mtu))
        return; /* nothing so large was sent there: a lie, or old news */
    if (p->probe && b && b->seq == p->probe_seq && mtu >= pcb->mtu) {
        probe_too_big(tcp, pcb, b, mtu);
        return;
    }
    if (mtu >= pcb->mtu)
        return;
    if (p->acked >
        mtu) { /* RFC 5927 s7.2: larger ones have arrived. Believed if this one does not. */
        p->hint = (uint16_t)mtu;
        p->hint_seq = seq;
        return;
    }
    mtu_lower(tcp, pcb, (uint16_t)mtu, (uint16_t)mtu, now + PMTU_RAISE);
}

/* How often in a row a segment of this size may be lost before its size is taken to be the reason. */
static unsigned losses_enough(const struct tcp_pmtu *p, uint32_t size)
{
    bool doubtful = p->acked < size && size > PMTU_BASE; /* nearly all paths bear the base */
    return doubtful ? LOSSES_NEW : LOSSES_PROVEN;
}

/* Losses in a row hit a segment that is larger than the base: first the base, then the floor. */
static void black_hole_look(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *first,
                            unsigned losses)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    uint32_t size = size_of(pcb, first);
    uint32_t base = size > PMTU_BASE ? PMTU_BASE : floor_of(pcb);
    if (size <= base || losses < losses_enough(p, size))
        return;
    stats_count(tcp->stats, TG_C_tcp_black_holes);
    uint32_t high = u32_min(u32_max(p->high, pcb->mtu), ceiling_of(tcp, pcb));
    /* looking up at once: it may have been a mere outage */
    mtu_lower(tcp, pcb, (uint16_t)base, (uint16_t)high, 0);
}

void tcp_pmtu_resends(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b)
{
    if (b == pcb->act->snd_first && pcb->act->pmtu.resends)
        black_hole_look(tcp, pcb, b, pcb->act->pmtu.resends);
}

void tcp_pmtu_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    const struct buf *first = pcb->act->snd_first;
    probe_forget(p);
    witness_forget(p);
    if (p->hint && seq_le(first->seq, p->hint_seq) && seq_lt(p->hint_seq, first->seq_end)) {
        mtu_lower(tcp, pcb, p->hint, p->hint, now + PMTU_RAISE);
        return;
    }
    p->timeouts += p->timeouts < UINT8_MAX ? 1 : 0;
    black_hole_look(tcp, pcb, first, p->timeouts);
}

/* --- what passes -------------------------------------------------------------------------------------------- */

static void probe_lost(struct tcp *tcp, struct tcp_pmtu *p, tg_ns now)
{
    stats_count(tcp->stats, TG_C_tcp_mtu_probes_lost);
    probe_forget(p);
    p->retry_ns = now + PMTU_RETRY;
    if (++p->failures < PMTU_TRIES)
        return;
    p->failures = 0;
    p->whole = false;
    p->high = (uint16_t)(p->tried - 1);
}

void tcp_pmtu_sends(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b, tg_ns now)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    if (b->flags & BUF_TX_SENT) { /* again: an ACK will not tell which of the two arrived (Karn) */
        if (p->witness && seq_lt(b->seq, p->witness_end) && seq_lt(p->witness_seq, b->seq_end))
            witness_forget(p);
        if (p->probe && b->seq == p->probe_seq)
            probe_lost(tcp, p, now);
        else if (b == pcb->act->snd_first && p->resends < UINT8_MAX)
            p->resends++;
        return;
    }
    uint32_t size = size_of(pcb, b);
    if (p->witness || size <= p->acked || size > UINT16_MAX)
        return;
    p->witness = (uint16_t)size;
    p->witness_seq = b->seq;
    p->witness_end = b->seq_end;
}

static void probe_passed(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    stats_count(tcp->stats, TG_C_tcp_mtu_raised);
    pcb->mtu = p->acked = p->probe;
    p->failures = 0;
    probe_forget(p);
    tcp_mss_update(pcb);
    pcb->act->cwnd = u32_max(pcb->act->cwnd, pcb->mss);
    pcb->ssthresh = u32_max(pcb->ssthresh, 2u * pcb->mss); /* a recovery may end with it as cwnd */
}

void tcp_pmtu_acked(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    p->timeouts = p->resends = 0;
    if (p->hint && seq_lt(p->hint_seq, pcb->snd_una))
        p->hint = 0; /* it has arrived: the claim was false */
    if (p->witness && seq_le(p->witness_end, pcb->snd_una)) {
        p->acked = p->witness > p->acked ? p->witness : p->acked;
        witness_forget(p);
    }
    if (!p->excusable || seq_lt(pcb->snd_una, p->probe_end))
        return;
    p->excusable = false;
    if (p->probe)
        probe_passed(tcp, pcb);
}

bool tcp_pmtu_excuses(const struct tcp_pcb *pcb)
{
    const struct buf *first = pcb->act->snd_first;
    const struct tcp_pmtu *p = &pcb->act->pmtu;
    if (!p->excusable || !first || seq_lt(first->seq, p->probe_seq) ||
        seq_le(p->probe_end, first->seq))
        return false; /* it may lie in pieces by now */
    if (!tcp_has(pcb, TCP_F_SACK))
        return true;   /* nobody can tell */
    bool hole = false; /* behind the probe; one with sacked bytes above it is a loss, too */
    for (const struct buf *b = first->link; b && b != pcb->act->snd_unsent; b = b->link) {
        if (seq_le(b->seq_end, p->probe_end))
            continue;
        if (b->flags & BUF_TX_SACKED && hole)
            return false;
        hole = hole || !(b->flags & BUF_TX_SACKED);
    }
    return true;
}

void tcp_pmtu_wakes(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    if (pcb->mtu >= ceiling_of(tcp, pcb))
        return;
    p->high = pcb->mtu;
    p->raise_ns = now + PMTU_RAISE;
}

/* --- up --------------------------------------------------------------------------------------------------- */

/* The size to try next; 0: none. First the whole way, which undoes a mistaken black hole in one step, then
 * halves. */
static uint16_t size_next(const struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    if (p->high < pcb->mtu + PMTU_GAP) { /* searched; the path may be another one by now */
        if (p->raise_ns == 0)
            p->raise_ns = now + PMTU_RAISE;
        if (now < p->raise_ns)
            return 0;
        p->raise_ns = 0;
        p->whole = true;
        p->high = ceiling_of(tcp, pcb);
        if (p->high < pcb->mtu + PMTU_GAP)
            return 0;
    }
    if (p->failures)
        return p->tried;
    return p->whole ? p->high : (uint16_t)((pcb->mtu + p->high) / 2);
}

/* Nothing is amiss, and the windows bear the probe and a few segments behind it, once what is in flight has
 * made room. */
static bool probe_affordable(const struct tcp_pcb *pcb, uint32_t payload)
{
    const struct tcp_active *act = pcb->act;
    uint32_t needed = payload + SEGMENTS_BEHIND * pcb->mss;
    return !tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT) && !act->snd_lost && !act->sacked &&
           !act->reserved && pcb->snd_end - pcb->snd_nxt >= needed && pcb->snd_wnd >= needed &&
           act->cwnd >= needed;
}

static bool room_now(const struct tcp_pcb *pcb, uint32_t payload)
{
    int32_t usable = (int32_t)(pcb->snd_una + pcb->snd_wnd - pcb->snd_nxt);
    return usable >= (int32_t)payload && tcp_pipe(pcb) + payload <= pcb->act->cwnd;
}

/* The first unsent segments whose bytes make up `payload`; all are plain frames of ours. Their number. */
static unsigned pieces_of(const struct tcp *tcp, const struct tcp_pcb *pcb, uint32_t payload)
{
    unsigned n = 0;
    uint32_t bytes = 0;
    for (const struct buf *b = pcb->act->snd_unsent; b && bytes < payload; b = b->link, n++) {
        if (!segment_writable(tcp, b) || b->flags & BUF_TX_FIN)
            return 0;
        bytes += segment_payload(b);
    }
    return bytes >= payload ? n : 0;
}

/* Move `payload` bytes from the front of the unsent segments into one fresh frame in front of them. False: pool
 * empty, nothing changed. */
static bool pieces_merge(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t payload)
{
    struct tcp_active *act = pcb->act;
    struct buf *probe = buf_alloc(tcp->pool);
    if (!probe)
        return false;
    struct buf **at = &act->snd_first;
    while (*at != act->snd_unsent)
        at = &(*at)->link;
    probe->flags &= BUF_PORT_HOLDS;
    probe->seq = pcb->snd_nxt;
    probe->seq_end = probe->seq + payload;
    act->snd_segments++;
    for (uint32_t left = payload; left;) {
        struct buf *b = act->snd_unsent;
        uint32_t take = u32_min(segment_payload(b), left);
        memcpy(buf_put(probe, (uint16_t)take), segment_bytes(b), take);
        left -= take;
        if (take < segment_payload(b)) {
            buf_pull(b, (uint16_t)take);
            b->seq += take;
            break;
        }
        act->snd_unsent = b->link;
        act->snd_segments--;
        b->link = NULL;
        buf_unref(tcp->pool, b);
    }
    probe->link = act->snd_unsent;
    *at = probe;
    act->snd_unsent = probe;
    tg_assert(probe->link); /* more waits behind it: probe_affordable */
    return true;
}

uint16_t tcp_pmtu_probe(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    if (p->high == 0 || p->probe || p->acked + PMTU_GAP < pcb->mtu || now < p->retry_ns)
        return 0; /* never lowered, or not yet sure of what there is */
    uint16_t size = size_next(tcp, pcb, now);
    if (size == 0)
        return 0;
    uint32_t payload = size - headers_of(pcb);
    if (!probe_affordable(pcb, payload) || pieces_of(tcp, pcb, payload) < 2)
        return 0;
    if (!room_now(pcb, payload))
        return pcb->snd_una != pcb->snd_nxt ? TCP_PMTU_WAIT : 0;
    return pieces_merge(tcp, pcb, payload) ? size : 0;
}

void tcp_pmtu_probe_sent(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b, uint16_t size)
{
    struct tcp_pmtu *p = &pcb->act->pmtu;
    stats_count(tcp->stats, TG_C_tcp_mtu_probes);
    p->probe = p->tried = size;
    p->probe_seq = b->seq;
    p->probe_end = b->seq_end;
    p->excusable = true;
}
