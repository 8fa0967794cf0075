/* SPDX-License-Identifier: BSD-3-Clause
 * The judgements. Each is a function that says what is wrong with a segment, or NULL.
 */
#include "tests/sim/wire_oracle.h"
#include "tests/sim/frame.h"
#include "tests/sim/sim.h"

#define MSS_DEFAULT4 536 /* RFC 9293 s3.7.1 */
#define MSS_DEFAULT6 1220

static uint32_t edge_of(uint32_t ack, uint16_t window, bool syn, bool scaled, uint8_t shift)
{
    return ack + ((uint32_t)window << (scaled && !syn ? shift : 0));
}

static bool scaled(const struct wire_flow *f)
{
    return f->wscale_in && f->wscale_out;
}

/* --- what arrives ------------------------------------------------------------------------------------------- */

/* Another connection of the same name begins: whatever was known is of the old one. */
static void begin_again(struct wire_flow *f)
{
    struct wire_flow fresh = {.used = true,
                              .local = f->local,
                              .remote = f->remote,
                              .local_port = f->local_port,
                              .remote_port = f->remote_port};
    *f = fresh;
}

static void take_syn_in(struct wire_flow *f, const struct wire_seen *s)
{
    f->syn_in = true;
    f->isn_in = s->seq;
    f->syn_flags_in = s->flags;
    f->wscale_in = s->has_wscale;
    f->shift_in = s->shift;
    f->sack_in = s->has_sack_permitted;
    f->ts_in = s->has_ts;
    f->ts_arrived = s->ts_value;
    f->mss_in = s->has_mss ? s->mss : ip_addr_is4(&s->remote) ? MSS_DEFAULT4 : MSS_DEFAULT6;
    f->ack_sent = f->arrived_end = s->seq;
    f->edge_in = edge_of(s->flags & TCP_ACK ? s->ack : 0, s->window, true, false, 0);
}

static void note_syn_in(struct wire_flow *f, const struct wire_seen *s)
{
    bool again = f->syn_in && f->isn_in != s->seq;
    if (again && !(s->flags & TCP_ACK))
        begin_again(f);
    else if (f->syn_in && !(again && !f->ack_known)) {
        if (!again) /* the same again; the card may have dropped the one before, with its flags */
            f->syn_flags_in |= s->flags;
        return; /* or a lie */
    }
    if (s->flags & TCP_ACK)
        f->answers[f->answer_count++ % TG_ARRAY_LEN(f->answers)] = *s;
    f->range_count = 0;
    take_syn_in(f, s);
}

/* Our first ACK says which of two SYN-ACKs it was that we have taken. */
static void choose_answer(struct wire_flow *f, uint32_t ack)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(f->answers) && i < f->answer_count; i++)
        if (f->answers[i].seq + 1 == ack && f->answers[i].seq != f->isn_in) {
            take_syn_in(f, &f->answers[i]);
            f->arrived_end = ack;
            f->ranges_lost = true;
        }
}

static void take_syn_out(struct wire_flow *f, const struct wire_seen *s)
{
    f->syn_out = true;
    f->syn_sent = *s;
    f->isn_out = s->seq;
    f->syn_flags_out = s->flags;
    f->wscale_out = s->has_wscale;
    f->shift_out = s->shift;
    f->ts_out = s->has_ts;
}

/* The peer takes the first of two SYN-ACKs that we have sent. */
static void go_back_to_first(struct wire_flow *f)
{
    f->answered_twice = false;
    take_syn_out(f, &f->syn_before);
    f->acked_out = f->isn_out;
    f->sent_end = f->isn_out + 1;
    f->ts_sent = f->syn_sent.ts_value;
}

static void note_ack_in(struct wire_flow *f, const struct wire_seen *s)
{
    if (f->answered_twice && !f->answered && s->ack == f->syn_before.seq + 1)
        go_back_to_first(f);
    uint32_t edge = edge_of(s->ack, s->window, s->flags & TCP_SYN, scaled(f), f->shift_in);
    if (wire_before(f->sent_end, s->ack) || !wire_before(f->isn_out, s->ack))
        return; /* of something that we never sent: no stack may believe it */
    if (!f->answered || wire_before(f->edge_in, edge))
        f->edge_in = edge;
    if (!f->answered || wire_before(f->acked_out, s->ack))
        f->acked_out = s->ack;
    f->answered = true;
}

void wire_oracle_in(struct wire_oracle *o, struct span frame)
{
    struct wire_seen s;
    if (o->sim->lied || !wire_seen_read(frame, false, &s))
        return;
    struct wire_flow *f = wire_flow_find(o, &s);
    if (s.flags & TCP_ACK)
        f->acks[f->ack_count++ % WIRE_ACKS_MAX] = s.ack;
    if (s.flags & TCP_SYN)
        note_syn_in(f, &s);
    if (s.flags & TCP_ACK && f->syn_out)
        note_ack_in(f, &s);
    if (!f->syn_in)
        return;
    if (s.flags & TCP_FIN) {
        f->fin_in = true;
        f->fin_end = s.seq_end;
    }
    if (wire_before(f->arrived_end, s.seq_end))
        f->arrived_end = s.seq_end;
    f->marked |= s.ecn == 3 && s.bytes;
    if (s.seq_end != s.seq)
        wire_ranges_add(f, s.seq, s.seq_end);
    if (s.has_ts && wire_before(f->ts_arrived, s.ts_value))
        f->ts_arrived = s.ts_value;
}

/* --- what leaves -------------------------------------------------------------------------------------------- */

static void note_syn_out(struct wire_flow *f, const struct wire_seen *s)
{
    if (f->syn_out && f->isn_out != s->seq && !(s->flags & TCP_ACK))
        begin_again(f);
    if (!f->syn_out || f->isn_out != s->seq) {
        f->answered_twice = f->syn_out;
        f->syn_before = f->syn_sent;
        f->sent_end = f->acked_out = s->seq;
        f->answered = f->edge_known = f->ack_known = f->fin_in = false; /* a late SYN opens anew */
        f->ts_sent = s->ts_value;
    }
    take_syn_out(f, s);
}

static const char *judge_data(const struct wire_oracle *o, const struct wire_flow *f,
                              const struct wire_seen *s)
{
    unsigned header = ip_addr_is4(&s->local) ? IP4_BYTES : IP6_BYTES;
    if (header + TCP_BYTES + s->option_bytes + s->bytes > o->mtu)
        return "a packet larger than the link's MTU";
    if (s->bytes == 0)
        return NULL;
    if (!f->syn_out || !f->syn_in || !f->answered)
        return "data before the end of the handshake";
    if (s->bytes + s->option_bytes > f->mss_in)
        return "a segment larger than the peer's MSS";
    bool probe = s->bytes == 1 && !wire_before(f->edge_in, s->seq);
    if (wire_before(f->edge_in, s->seq + s->bytes) && !probe)
        return "data beyond the edge of the peer's window";
    return NULL;
}

static const char *judge_ack(struct wire_flow *f, const struct wire_seen *s)
{
    if (!f->syn_in)
        return "an ACK although nothing has come";
    if (!f->ack_known && f->answer_count > 1)
        choose_answer(f, s->ack);
    if (f->ack_known && wire_before(s->ack, f->ack_sent))
        return "an ACK that goes back";
    if (wire_before(f->arrived_end, s->ack))
        return "an ACK of what was never sent";
    if (!f->ranges_lost && s->ack != f->isn_in + 1 &&
        !wire_ranges_cover(f, f->ack_known ? f->ack_sent : f->isn_in, s->ack) &&
        s->ack != f->ack_sent)
        return "an ACK over a gap";
    f->ack_known = true;
    f->ack_sent = s->ack;
    return NULL;
}

/* After the peer's FIN nothing more can come, and the window means nothing. A SYN that is sent again has no scale
 * and cannot say more than 65,535. */
static const char *judge_window(struct wire_flow *f, const struct wire_seen *s)
{
    uint32_t edge = edge_of(s->ack, s->window, s->flags & TCP_SYN, scaled(f), f->shift_out);
    if (f->fin_in && !wire_before(s->ack, f->fin_end))
        return NULL;
    if (f->edge_known && s->flags & TCP_SYN)
        return NULL;
    if (f->edge_known && wire_before(edge, f->edge_out))
        return "the window's right edge moves back";
    f->edge_known = true;
    f->edge_out = edge;
    return NULL;
}

static const char *judge_sack(const struct wire_flow *f, const struct wire_seen *s)
{
    if (s->sack_count && !f->sack_in)
        return "SACK blocks that nobody permitted";
    for (unsigned i = 0; i < s->sack_count; i++) {
        const struct wire_range *b = &s->sack[i];
        if (!wire_before(b->left, b->right))
            return "an empty SACK block";
        if (wire_before(f->arrived_end, b->right))
            return "a SACK block of what was never sent";
        if (wire_before(b->left, s->ack) && i > 0)
            return "a SACK block below the ACK that is not the first";
        if (!f->ranges_lost && !wire_before(b->left, s->ack) &&
            !wire_ranges_cover(f, b->left, b->right))
            return "a SACK block of what has not arrived";
    }
    return NULL;
}

static const char *judge_timestamps(struct wire_flow *f, const struct wire_seen *s)
{
    bool negotiated = f->ts_in && f->ts_out && !(s->flags & TCP_SYN);
    if (negotiated && !s->has_ts)
        return "no timestamps in a segment";
    if (!s->has_ts)
        return NULL;
    if (!negotiated && !(s->flags & TCP_SYN))
        return "timestamps that were not agreed on";
    if (wire_before(s->ts_value, f->ts_sent))
        return "a timestamp that goes back";
    if (negotiated && wire_before(f->ts_arrived, s->ts_echo))
        return "an echo of a timestamp that never came";
    f->ts_sent = s->ts_value;
    return NULL;
}

/* Both asked and agreed, as far as this side can know (RFC 3168 s6.1.1). */
static bool ecn_agreed(const struct wire_flow *f)
{
    bool server = f->syn_flags_out & TCP_ACK;
    uint8_t asked = server ? f->syn_flags_in : f->syn_flags_out;
    uint8_t agreed = server ? f->syn_flags_out : f->syn_flags_in;
    return (asked & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR) &&
           (agreed & (TCP_ECE | TCP_CWR)) == TCP_ECE;
}

static const char *judge_ecn(const struct wire_flow *f, const struct wire_seen *s)
{
    if (s->ecn == 3)
        return "a packet that claims to have met congestion already";
    if (s->ecn && (s->bytes == 0 || s->flags & (TCP_SYN | TCP_RST)))
        return "an ECN-capable packet without data";
    if (s->ecn && wire_before(s->seq, f->sent_end))
        return "an ECN-capable retransmission";
    if (s->flags & TCP_SYN)
        return NULL;
    if ((s->ecn || s->flags & (TCP_ECE | TCP_CWR)) && !ecn_agreed(f))
        return "ECN that was not agreed on";
    if (s->flags & TCP_ECE && !f->marked)
        return "an echo of a mark that never came";
    return NULL;
}

/* Both sides have had all, or it was reset. A late ACK of the handshake may open it anew if a cookie vouches for it, and whoever has
 * accepted that knows nothing of it. */
static bool is_over(const struct wire_flow *f)
{
    return f->reset_out ||
           (f->fin_in && !wire_before(f->ack_sent, f->fin_end) && f->acked_out == f->sent_end);
}

/* One of ours lies at our next number, or between what is acknowledged and that; one that answers a stranger's
 * segment has that one's ACK, or, where it had none, 0 and ours acknowledges it (s3.10.7.1). */
static const char *judge_reset(const struct wire_flow *f, const struct wire_seen *s)
{
    /* Our next may lie behind what the wire has seen: the card may have dropped the rest. */
    bool ours = f->syn_out && !wire_before(s->seq, f->acked_out) &&
                !(wire_before(f->sent_end, s->seq) && wire_before(f->edge_in + 1, s->seq));
    if (ours || (s->seq == f->isn_out + 1 && is_over(f)))
        return NULL;
    if (s->flags & TCP_ACK)
        return s->seq == 0 && f->syn_in ? NULL : "a reset with an ACK that answers nothing";
    for (unsigned i = 0; i < f->ack_count && i < WIRE_ACKS_MAX; i++)
        if (f->acks[i] == s->seq)
            return NULL;
    return "a reset whose number nobody has asked for";
}

static const char *judge(struct wire_oracle *o, struct wire_flow *f, const struct wire_seen *s)
{
    const char *wrong = judge_data(o, f, s);
    if (!wrong && s->flags & TCP_RST)
        return judge_reset(f, s);
    if (!wrong && s->flags & TCP_ACK)
        wrong = judge_ack(f, s);
    if (!wrong && s->flags & TCP_ACK)
        wrong = judge_window(f, s);
    if (!wrong)
        wrong = judge_sack(f, s);
    if (!wrong)
        wrong = judge_ecn(f, s);
    return wrong ? wrong : judge_timestamps(f, s);
}

void wire_oracle_out(struct wire_oracle *o, struct span frame)
{
    struct wire_seen s;
    if (o->sim->lied)
        return;
    if (!wire_seen_read(frame, true, &s)) {
        struct sim_layout l;
        if (sim_layout_find(frame, &l))
            sim_fail(o->sim, "%s: wire: a wrong checksum was sent", o->name);
        return;
    }
    o->judged++;
    struct wire_flow *f = wire_flow_find(o, &s);
    if (s.flags & TCP_SYN)
        note_syn_out(f, &s);
    const char *wrong = judge(o, f, &s);
    if (wrong)
        sim_fail(o->sim,
                 "%s: wire: %s (port %u to %u, flags %02x, seq %u + %u, ack %u, window %u, %u "
                 "bytes of options)",
                 o->name, wrong, s.local_port, s.remote_port, s.flags, s.seq, s.bytes, s.ack,
                 s.window, s.option_bytes);
    f->reset_out |= (s.flags & TCP_RST) != 0;
    if (f->syn_out && wire_before(f->sent_end, s.seq_end) && !(s.flags & TCP_RST))
        f->sent_end = s.seq_end;
}
