/* SPDX-License-Identifier: BSD-3-Clause
 * Differences by design, second half: which bytes and acknowledgements count, what is said of them and when, and how
 * much is sent.
 */
#include "tests/diff/rules.h"

#define WINDOW_MAX (1u << 20) /* no segment so far away is acceptable to either */

static bool same_but_sack(const struct answer *a, const struct answer *b)
{
    return a->flags == b->flags && a->seq == b->seq && a->ack == b->ack && a->len == b->len;
}

/* Only what is said of received bytes differs: RCV.NXT and blocks, whether there is an ACK, what can be read. */
static bool received_differs(const struct difference *d)
{
    if (one_says_ack(d))
        return true;
    if (d->ours->count != d->kernels->count)
        return false;
    for (unsigned i = 0; i < d->ours->count; i++) {
        const struct answer *a = &d->ours->answers[i], *b = &d->kernels->answers[i];
        if (a->flags != b->flags || a->seq != b->seq || a->len != b->len)
            return false;
    }
    return true;
}

/* Somewhere up to this step, a segment with this flag. */
static bool had_flag(const struct difference *d, uint8_t flag)
{
    for (unsigned i = 0; i <= d->step; i++)
        if (d->script->steps[i].kind == STEP_SEGMENT && d->script->steps[i].flags & flag)
            return true;
    return false;
}

/* Every acknowledgement is of a whole segment: its bytes, or its FIN. */
static bool acks_are_edges(const struct difference *d, const struct observation *o)
{
    for (unsigned i = 0; i < o->count; i++) {
        bool edge = !(o->answers[i].flags & TCP_ACK) || o->answers[i].flags & TCP_SYN;
        for (unsigned k = 0; k <= d->step && !edge; k++) {
            const struct step *s = &d->script->steps[k];
            edge = s->kind == STEP_SEGMENT &&
                   (o->answers[i].ack == s->seq + s->len || o->answers[i].ack == step_end(s));
        }
        if (!edge)
            return false;
    }
    return true;
}

/* Where the user closes, or has closed, bytes that were taken are a reason to reset. */
static bool reset_for_bytes(const struct difference *d)
{
    return closed_before(d) && says_one_rst(d->ours) && !says_one_rst(d->kernels);
}

/* What two stacks that hold different streams may differ in: what they say of received bytes; and, as each judges a RST,
 * bytes that nobody reads and what lies behind a FIN by its own RCV.NXT, whether there is a connection at all. */
static bool streams_differ(const struct difference *d)
{
    if (!acks_are_edges(d, d->ours) || !acks_are_edges(d, d->kernels))
        return false;
    if (received_differs(d) || has_none(d->kernels) || reset_for_bytes(d))
        return true;
    return had_flag(d, TCP_RST) &&
           (says_nothing(d->kernels) || (says_one_rst(d->ours) && !says_one_rst(d->kernels)));
}

static bool closed_sack(const struct difference *d)
{
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    return closed_before(d) && d->ours->count == 1 && d->kernels->count == 1 &&
           a->sack_count != b->sack_count && same_but_sack(a, b);
}

static bool silly_window(const struct difference *d)
{
    uint32_t first = d->ours->count ? d->ours->answers[0].len : 0;
    uint32_t theirs = d->kernels->count ? d->kernels->answers[0].len : 0;
    if (d->what->kind == STEP_WRITE)
        return first && first < 600 && theirs < first;
    /* an ACK of all that was written, of which we hold a part back */
    return is_segment(d) && says_one_ack(d->ours) && says_nothing(d->kernels) && d->step > 5 &&
           before(d->ours->answers[0].seq, d->what->ack);
}

static bool shut_window(const struct difference *d)
{
    bool shut = false;
    for (unsigned i = 0; i <= d->step; i++)
        shut |= d->script->steps[i].kind == STEP_SEGMENT && d->script->steps[i].window == 0;
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    return shut && is_segment(d) && both_say_ack(d) && a->ack == b->ack &&
           a->sack_count == b->sack_count && before(b->seq, a->seq);
}

/* Some FIN so far, not an old one, lay in front of bytes of another segment, or of its FIN. */
static bool had_fin_in_front(const struct difference *d)
{
    for (unsigned i = 0; i <= d->step; i++) {
        const struct step *fin = &d->script->steps[i];
        uint32_t end = fin->seq + fin->len;
        if (fin->kind != STEP_SEGMENT || !(fin->flags & TCP_FIN) ||
            end - d->our_view->before[i].rcv_nxt > WINDOW_MAX)
            continue;
        for (unsigned k = 0; k <= d->step; k++) {
            const struct step *s = &d->script->steps[k];
            if (s->kind == STEP_SEGMENT && k != i && step_end(s) != s->seq &&
                s->seq + s->len - end - 1 < WINDOW_MAX)
                return true;
        }
    }
    return false;
}

static bool fin_in_front(const struct difference *d)
{
    return had_fin_in_front(d) && streams_differ(d);
}

/* Some segment before this step began below the end of another one; with `shut`, and had no window. */
static bool had_duplicate(const struct difference *d, bool shut)
{
    for (unsigned i = 0; i < d->step; i++)
        for (unsigned k = 0; k < i; k++) {
            const struct step *late = &d->script->steps[i], *early = &d->script->steps[k];
            if (late->kind == STEP_SEGMENT && early->kind == STEP_SEGMENT && early->len &&
                before(late->seq, early->seq + early->len) && (!shut || late->window == 0))
                return true;
        }
    return false;
}

/* The first block lies below what is acknowledged (RFC 2883). */
static bool names_duplicate(const struct answer *a)
{
    return a->sack_count && before(a->sack.left, a->ack);
}

static bool unacked_edge(const struct difference *d)
{
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    if (!is_segment(d) || !says_one_ack(d->ours) || !before(d->what->seq, a->ack))
        return false;
    return (d->what->len == 0 && says_nothing(d->kernels)) ||
           (says_one_ack(d->kernels) && names_duplicate(a) && !names_duplicate(b));
}

static bool unacked_edge_sends(const struct difference *d)
{
    if (is_segment(d))
        return before(d->what->seq, d->before->rcv_nxt) && says_one_ack(d->ours) &&
               d->kernels->count && d->kernels->answers[0].len;
    return (says_nothing(d->ours) && d->kernels->count && had_duplicate(d, false)) ||
           (says_nothing(d->kernels) && d->ours->count && had_duplicate(d, true));
}

static bool has_old_ack(const struct difference *d, unsigned step)
{
    const struct step *s = &d->script->steps[step];
    return s->kind == STEP_SEGMENT && s->flags & TCP_ACK &&
           before(s->ack, d->our_view->before[step].snd_una);
}

/* It reaches beyond RCV.NXT, not too far. */
static bool has_news(const struct difference *d, unsigned step)
{
    const struct step *s = &d->script->steps[step];
    return s->seq != step_end(s) &&
           step_end(s) - d->our_view->before[step].rcv_nxt - 1 < WINDOW_MAX;
}

static bool old_ack(const struct difference *d)
{
    return is_segment(d) && has_old_ack(d, d->step) && !has_news(d, d->step) &&
           (one_says_ack(d) || both_say_ack(d));
}

/* Taken by one, refused by the other: at once or later it shows. */
static bool old_ack_bytes(const struct difference *d)
{
    for (unsigned i = 0; i <= d->step; i++)
        if (has_old_ack(d, i) && has_news(d, i))
            return streams_differ(d);
    return false;
}

static bool urgent_byte(const struct difference *d)
{
    return d->what->kind == STEP_READ && had_flag(d, TCP_URG) &&
           d->ours->result > d->kernels->result;
}

/* A FIN without bytes lay behind a hole: the kernel has a block for it alone, in front of the others or among them. */
static bool early_fin(const struct difference *d)
{
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    if (d->kernels->count != 1 || d->ours->count != 1 || !same_but_sack(a, b))
        return false;
    bool among = b->sack_count == a->sack_count + 1 &&
                 (a->sack_count == 0 || b->sack.right == a->sack.right);
    for (unsigned i = 0; i <= d->step; i++) {
        const struct step *s = &d->script->steps[i];
        if (s->kind == STEP_SEGMENT && s->flags & TCP_FIN && s->len == 0 &&
            before(d->our_view->before[i].rcv_nxt, s->seq) &&
            (among || (b->sack_count && b->sack.left == s->seq && b->sack.right == s->seq + 1)))
            return true;
    }
    return false;
}

static bool paws_names_bytes(const struct difference *d)
{
    return is_segment(d) && d->script->ts && before(d->what->ts, DIFF_START_TS) &&
           both_say_ack(d) && d->kernels->answers[0].sack_count > d->ours->answers[0].sack_count;
}

static bool two_duplicates(const struct difference *d)
{
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    return is_segment(d) && both_say_ack(d) && a->ack == b->ack &&
           a->sack.left - d->what->seq < d->what->len && b->sack.left - d->what->seq < d->what->len;
}

static bool overlap_acked_late(const struct difference *d)
{
    return is_segment(d) && d->what->len && says_one_ack(d->ours) && says_nothing(d->kernels) &&
           d->ours->answers[0].sack_count &&
           d->ours->answers[0].sack.left - d->what->seq < d->what->len;
}

/* Some answer of ours, before this step, began with this block. */
static bool we_named(const struct difference *d, const struct tcp_sack_block *block)
{
    for (unsigned i = 0; i < d->step; i++)
        for (unsigned k = 0; k < d->our_view->seen[i].count; k++) {
            const struct answer *a = &d->our_view->seen[i].answers[k];
            if (a->sack_count && a->sack.left == block->left && a->sack.right == block->right)
                return true;
        }
    return false;
}

static bool duplicate_named_late(const struct difference *d)
{
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    return d->ours->count >= 1 && d->ours->count == d->kernels->count && same_but_sack(a, b) &&
           names_duplicate(b) && we_named(d, &b->sack);
}

static bool acked_before(const struct view *v, unsigned step)
{
    for (unsigned i = 0; i < step; i++) {
        if (v->seen[i].progress)
            return true;
        for (unsigned k = 0; k < v->seen[i].count; k++)
            if (is_bare_ack(&v->seen[i].answers[k]))
                return true;
    }
    return false;
}

static bool paws_disordered(const struct difference *d)
{
    return is_segment(d) && d->script->ts && before(d->what->ts, DIFF_START_TS) &&
           d->what->len == 0 && says_one_ack(d->ours) && says_nothing(d->kernels);
}

static bool limits(const struct difference *d)
{
    if (!is_segment(d))
        return false;
    if (says_nothing(d->ours))
        return says_one_ack(d->kernels) && acked_before(d->our_view, d->step);
    return says_one_ack(d->ours) && says_nothing(d->kernels) &&
           acked_before(d->kernel_view, d->step) &&
           (d->what->ack != d->ours->answers[0].seq || d->what->flags & (TCP_SYN | TCP_RST) ||
            d->what->seq - d->before->rcv_nxt > WINDOW_MAX || d->before->state == TCP_S_TIME_WAIT);
}

static const struct rule rules[] = {
    {"closed-sack",
     "the user has closed: we drop early bytes at once, since nobody will read them, and still "
     "name duplicates; the kernel names the former, and not the latter once it has only a small "
     "record of the connection",
     NULL, closed_sack},
    {"silly-window",
     "the rest of the window is half of the largest ever seen: we fill it (RFC 9293 s3.8.6.2.1 "
     "rule 3), the kernel waits, or sends half",
     "what is acknowledged from here on was sent by one of them only", silly_window},
    {"shut-window",
     "the window shuts below what was sent: our ACK has SND.NXT, the kernel's the window's edge",
     NULL, shut_window},
    {"unacked-edge",
     "a segment below RCV.NXT: we answer and drop it, its ACK and window with it, as RFC 9293 "
     "s3.10.7.4 says; the kernel takes it as long as it has not acknowledged further (its left "
     "edge is what it said last)",
     NULL, unacked_edge},
    {"unacked-edge-sends",
     "the same: what a duplicate said of window or ACK lets the kernel send, or forbids it",
     "one has sent more", unacked_edge_sends},
    {"old-ack-bytes",
     "bytes with an ACK older than SND.UNA: we take it within the largest window and challenge an "
     "older one (RFC 5961 s5.2); the kernel also bounds it by the bytes that were acknowledged, "
     "but its fast path takes in-order bytes with any old ACK",
     "one has the bytes", old_ack_bytes},
    {"old-ack", "the same of an ACK without bytes", NULL, old_ack},
    {"urgent-byte",
     "the byte that URG points at: we leave it in line (RFC 6093), the kernel takes it out", NULL,
     urgent_byte},
    {"early-fin",
     "a FIN without bytes behind a hole: the kernel has a SACK block for it, we name bytes, and a "
     "FIN with them",
     NULL, early_fin},
    {"paws-names-bytes",
     "a segment that PAWS refuses: the kernel names its bytes as duplicates, whatever they are",
     NULL, paws_names_bytes},
    {"two-duplicates",
     "a segment that covers two early ones: an ACK can name one duplicate (RFC 2883 s4); the "
     "stacks choose another one",
     NULL, two_duplicates},
    {"overlap-acked-late",
     "a segment with bytes that came before: we say so at once (RFC 2883 s4), the kernel with its "
     "delayed ACK while it has data of its own to send",
     NULL, overlap_acked_late},
    {"duplicate-named-late", "the kernel's delayed ACK of the same", NULL, duplicate_named_late},
    {"fin-in-front",
     "a FIN in front of bytes that have come: one of the two is a lie; we drop what came later, "
     "the kernel believes the FIN and forgets the bytes, or the bytes and forgets the FIN",
     "the two have different streams from here on", fin_in_front},
    {"paws-disordered-ack",
     "an ACK without bytes that PAWS refuses: we answer (RFC 7323 s5.3 R1), the kernel takes some "
     "as reordered",
     NULL, paws_disordered},
    {"limits",
     "answers to suspect segments are limited in both, to one in 500 ms; which ones count differs",
     NULL, limits},
};

const struct rules rules_of_bytes = {rules, TG_ARRAY_LEN(rules)};
