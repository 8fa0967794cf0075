/* SPDX-License-Identifier: BSD-3-Clause
 * The numbers that a connection starts with and the timestamps that it sends: secrets of its tuple, or, in a
 * fleet, the cookie that names its owner in every segment that the peer answers (net/owner_cookie.h). Called
 * by tcp_open, tcp_emit and tcp_timewait.
 *
 * With a cookie the timestamps tick every four hours, so they measure nothing; round-trip times come from
 * each segment's own time of sending in any case (tcp_ack.c).
 */
#include "tcp/tcp_owner.h"

#define ISN_TICK (4 * TG_US) /* RFC 6528 s3 */

/* Active opens: the clock starts higher every 8 seconds, for 68 minutes, so that a peer that holds the tuple
 * in TIME-WAIT sees a younger timestamp (RFC 6191 s2). The other half of the clock is left to run. */
#define ACTIVE_STEP   (8 * TG_S)
#define ACTIVE_STARTS 512u

void tcp_use_owner(struct tcp *tcp, const struct tcp_owner *owner)
{
    tcp->has_owner = owner != NULL;
    tcp->cookies.minute = UINT64_MAX; /* other keys from now on */
    if (owner)
        tcp->owner = *owner;
}

uint32_t tcp_reserve_of(const struct tcp *tcp, const struct ip_addr *remote)
{
    return tcp->has_owner ? tcp->owner.reserve[ip_addr_is4(remote) ? 0 : 1] : 0;
}

/* What ack_check of tcp_in.c takes, before the segment gets there. */
bool tcp_expects(const struct tcp *tcp, uint32_t flow, uint32_t ack)
{
    if (flow & TCP_FLOW_TW)
        return tcp_timewait_expects(tcp, flow & ~TCP_FLOW_TW, ack);
    if (flow & TCP_FLOW_SYN)
        return ack == tcp->syncache.entries[flow & ~TCP_FLOW_SYN].iss + 1;
    const struct tcp_pcb *pcb = tcp_pcb_at(tcp, flow);
    if (pcb->state == TCP_S_SYN_SENT || pcb->state == TCP_S_SYN_RECEIVED)
        return ack == pcb->act->iss + 1;
    return seq_le(ack, pcb->snd_nxt) && seq_le(pcb->snd_una - pcb->snd_wnd_max, ack);
}

/* --- where a connection starts --------------------------------------------------------------------------- */

struct tcp_secrets tcp_secrets_of(const struct tcp *tcp, const struct ip_tuple *tuple, tg_ns now)
{
    uint64_t h = hash_sip24(tcp->config.isn_key, span_make(tuple, sizeof *tuple));
    return (struct tcp_secrets){.isn = (uint32_t)(now / ISN_TICK) + (uint32_t)h,
                                .ts_offset = (uint32_t)(h >> 32)};
}

static struct tcp_numbers cookie_numbers(const struct tcp *tcp, const struct ip_tuple *tuple,
                                         bool passive, tg_ns now)
{
    unsigned start = passive ? 0 : (unsigned)(now / ACTIVE_STEP) % ACTIVE_STARTS;
    struct owner_cookie c =
        owner_cookie_make(&tcp->owner.me, tuple, start, (uint32_t)(now / ISN_TICK));
    return (struct tcp_numbers){.iss = c.isn, .ts_offset = c.ts_base, .owner = true};
}

/* Late segments of the former connection must not fit into the new one: by their timestamps, where both
 * have them, which leaves the ISN its cookie; else by their sequence numbers. */
static void numbers_raise(struct tcp_numbers *n, const struct tcp_floor *floor, bool timestamps)
{
    if (n->owner && timestamps && floor->has_ts) {
        uint32_t behind = floor->ts - n->ts_offset;
        if ((int32_t)behind >= 0)
            n->ts_offset += ((behind >> OWNER_CLOCK_SHIFT) + 1) << OWNER_CLOCK_SHIFT;
        return;
    }
    if (seq_lt(n->iss, floor->isn)) /* it sent faster than the ISN's clock runs */
        n->iss = floor->isn;
}

struct tcp_numbers tcp_numbers_choose(const struct tcp *tcp, const struct ip_tuple *tuple,
                                      bool passive, const struct tcp_floor *floor, bool timestamps,
                                      tg_ns now)
{
    struct tcp_numbers n;
    if (tcp->has_owner) {
        n = cookie_numbers(tcp, tuple, passive, now);
    } else {
        struct tcp_secrets s = tcp_secrets_of(tcp, tuple, now);
        n = (struct tcp_numbers){.iss = s.isn, .ts_offset = s.ts_offset};
    }
    if (floor)
        numbers_raise(&n, floor, timestamps);
    return n;
}

void tcp_start_numbers(const struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_numbers n = tcp_numbers_choose(tcp, &pcb->tuple, false, NULL, true, now);
    pcb->flags |= n.owner ? TCP_F_OWNER : 0;
    pcb->ts_offset = n.ts_offset;
    pcb->act->iss = n.iss;
    pcb->snd_una = pcb->snd_nxt = pcb->snd_end = pcb->ts_mark = n.iss;
}

/* --- timestamps ---------------------------------------------------------------------------------------------- */

/* A tick per 2^30 bytes acknowledged. A window is smaller than that, and nothing is acknowledged that was not
 * sent with a timestamp, so snd_una is never two ticks ahead. */
static void bytes_tick(struct tcp_pcb *pcb)
{
    if (pcb->snd_una - pcb->ts_mark < OWNER_TICK_BYTES)
        return;
    pcb->ts_mark += (uint32_t)OWNER_TICK_BYTES;
    pcb->ts_offset += 1u << OWNER_CLOCK_SHIFT;
}

uint32_t tcp_pcb_timestamp(struct tcp_pcb *pcb, tg_ns now)
{
    if (!tcp_has(pcb, TCP_F_OWNER))
        return tcp_timestamp(pcb->ts_offset, now);
    bytes_tick(pcb);
    return owner_cookie_value(pcb->ts_offset, now - pcb->syn_ns, 0);
}
