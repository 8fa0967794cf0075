/* SPDX-License-Identifier: BSD-3-Clause
 * What the wire oracle reads and remembers: segments, connections, ranges of bytes. Judges nothing.
 */
#include "tests/sim/frame.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire_oracle.h"
#include <stdlib.h>

static void read_syn_options(uint8_t *frame, const struct sim_layout *l, struct wire_seen *seen)
{
    const uint8_t *mss = sim_tcp_option(frame, l, 2), *shift = sim_tcp_option(frame, l, 3);
    if (mss && mss[1] == 4)
        seen->has_mss = true, seen->mss = wire_get16(mss + 2);
    if (shift && shift[1] == 3)
        seen->has_wscale = true, seen->shift = shift[2] > 14 ? 14 : shift[2];
    seen->has_sack_permitted = sim_tcp_option(frame, l, 4) != NULL;
}

static void read_options(uint8_t *frame, const struct sim_layout *l, struct wire_seen *seen)
{
    const uint8_t *ts = sim_tcp_option(frame, l, 8), *sack = sim_tcp_option(frame, l, 5);
    if (seen->flags & TCP_SYN)
        read_syn_options(frame, l, seen);
    if (ts && ts[1] == 10) {
        seen->has_ts = true;
        seen->ts_value = wire_get32(ts + 2);
        seen->ts_echo = wire_get32(ts + 6);
    }
    for (unsigned at = 2; sack && at + 8 <= sack[1] && seen->sack_count < 4; at += 8)
        seen->sack[seen->sack_count++] =
            (struct wire_range){wire_get32(sack + at), wire_get32(sack + at + 4)};
}

bool wire_seen_read(struct span frame, bool outgoing, struct wire_seen *seen)
{
    struct sim_layout l;
    if (!sim_layout_find(frame, &l) || !sim_checksums_good(frame, &l))
        return false;
    const uint8_t *tcp = frame.data + l.tcp;
    struct ip_addr source, destination;
    uint16_t from = wire_get16(tcp), to = wire_get16(tcp + 2);
    sim_addresses(frame.data, &l, &source, &destination);
    *seen = (struct wire_seen){
        .local = outgoing ? source : destination,
        .remote = outgoing ? destination : source,
        .local_port = outgoing ? from : to,
        .remote_port = outgoing ? to : from,
        .seq = wire_get32(tcp + 4),
        .ack = wire_get32(tcp + 8),
        .bytes = (uint32_t)(l.end - l.payload),
        .flags = tcp[13],
        .ecn = l.v4 ? frame.data[ETH_BYTES + 1] & 3 : frame.data[ETH_BYTES + 1] >> 4 & 3,
        .window = wire_get16(tcp + 14),
        .option_bytes = (unsigned)(l.payload - l.tcp - TCP_BYTES),
    };
    seen->seq_end =
        seen->seq + seen->bytes + (seen->flags & TCP_SYN ? 1 : 0) + (seen->flags & TCP_FIN ? 1 : 0);
    /* sim_tcp_option gives a pointer to write by; here it only reads. */
    read_options((uint8_t *)(uintptr_t)frame.data, &l, seen);
    return true;
}

/* --- connections -------------------------------------------------------------------------------------------- */

static bool is_of(const struct wire_flow *f, const struct wire_seen *s)
{
    return f->local_port == s->local_port && f->remote_port == s->remote_port &&
           ip_addr_equal(&f->remote, &s->remote) && ip_addr_equal(&f->local, &s->local);
}

static unsigned place_of(const struct wire_oracle *o, const struct ip_addr *remote,
                         uint16_t local_port, uint16_t remote_port)
{
    uint32_t mix = wire_get32(remote->bytes + 12) * 31 + local_port * 65537u + remote_port;
    return mix * 0x9e3779b1u >> 8 & (o->flow_cap - 1);
}

static struct wire_flow *slot_for(struct wire_oracle *o, const struct wire_seen *s)
{
    unsigned at = place_of(o, &s->remote, s->local_port, s->remote_port);
    while (o->flows[at].used && !is_of(&o->flows[at], s))
        at = (at + 1) & (o->flow_cap - 1);
    return &o->flows[at];
}

static void grow(struct wire_oracle *o)
{
    struct wire_flow *old = o->flows;
    unsigned old_cap = o->flow_cap;
    o->flow_cap = old_cap ? 2 * old_cap : 32;
    o->flows = calloc(o->flow_cap, sizeof *o->flows);
    tg_assert(o->flows);
    for (unsigned i = 0; i < old_cap; i++) {
        const struct wire_seen name = {.local = old[i].local,
                                       .remote = old[i].remote,
                                       .local_port = old[i].local_port,
                                       .remote_port = old[i].remote_port};
        if (old[i].used)
            *slot_for(o, &name) = old[i];
    }
    free(old);
}

struct wire_flow *wire_flow_find(struct wire_oracle *o, const struct wire_seen *s)
{
    if (2 * (o->flow_count + 1) > o->flow_cap)
        grow(o);
    struct wire_flow *f = slot_for(o, s);
    if (f->used)
        return f;
    o->flow_count++;
    f->used = true;
    f->local = s->local;
    f->remote = s->remote;
    f->local_port = s->local_port;
    f->remote_port = s->remote_port;
    return f;
}

void wire_oracle_init(struct wire_oracle *o, struct sim *sim, const char *name, uint16_t mtu)
{
    *o = (struct wire_oracle){.sim = sim, .name = name, .mtu = mtu};
}

void wire_oracle_free(struct wire_oracle *o)
{
    free(o->flows);
    o->flows = NULL;
    o->flow_count = o->flow_cap = 0;
}

/* --- what has arrived ---------------------------------------------------------------------------------------- */

void wire_ranges_add(struct wire_flow *f, uint32_t left, uint32_t right)
{
    struct wire_range *r = f->ranges;
    unsigned first = 0, n = f->range_count;
    while (first < n && wire_before(r[first].right, left))
        first++;
    unsigned last = first; /* ranges [first, last) touch the new one */
    for (; last < n && !wire_before(right, r[last].left); last++) {
        left = wire_before(r[last].left, left) ? r[last].left : left;
        right = wire_before(right, r[last].right) ? r[last].right : right;
    }
    if (last == first && n == WIRE_RANGES_MAX) {
        f->ranges_lost = true;
        return;
    }
    memmove(r + first + 1, r + last, (n - last) * sizeof *r);
    r[first] = (struct wire_range){left, right};
    f->range_count = n + 1 - (last - first);
}

bool wire_ranges_cover(const struct wire_flow *f, uint32_t left, uint32_t right)
{
    for (unsigned i = 0; i < f->range_count; i++)
        if (!wire_before(left, f->ranges[i].left) && !wire_before(f->ranges[i].right, right))
            return true;
    return false;
}
