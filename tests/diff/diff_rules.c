/* SPDX-License-Identifier: BSD-3-Clause
 * The differences between the two stacks that are meant, each with its reason. What no rule explains is a defect
 * of one of them.
 */
#include "tests/diff/diff.h"

struct difference {
    const struct script *script;
    unsigned step;
    const struct step *what;
    const struct view *our_view, *kernel_view;
    const struct observation *ours, *kernels;
};

static bool answer_equal(const struct answer *a, const struct answer *b)
{
    return a->flags == b->flags && a->seq == b->seq && a->ack == b->ack && a->len == b->len &&
           a->has_mss == b->has_mss && a->has_wscale == b->has_wscale && a->has_ts == b->has_ts &&
           a->sack_permitted == b->sack_permitted && a->sack_count == b->sack_count &&
           a->sack.left == b->sack.left && a->sack.right == b->sack.right;
}

/* One stack had acknowledged before and says the same again; the other one's first ACK of those bytes comes only
 * now and was left out as progress: both have answered. */
static bool answered_late(const struct observation *more, const struct observation *less)
{
    const struct answer *last = &more->answers[less->count];
    return more->count == less->count + 1 && less->progress && last->flags == TCP_ACK &&
           last->len == 0 && last->sack_count == 0 && last->ack == less->progress_ack;
}

static bool observation_equal(const struct observation *a, const struct observation *b)
{
    if (a->result != b->result)
        return false;
    if (a->count != b->count && !answered_late(a, b) && !answered_late(b, a))
        return false;
    for (unsigned i = 0; i < a->count && i < b->count; i++)
        if (!answer_equal(&a->answers[i], &b->answers[i]))
            return false;
    return true;
}

/* --- what the rules look at -------------------------------------------------------------------------- */

static bool says_nothing(const struct observation *o)
{
    return o->count == 0;
}

static bool is_bare_ack(const struct answer *a)
{
    return a->flags == TCP_ACK && a->len == 0;
}

static bool says_one_ack(const struct observation *o)
{
    return o->count == 1 && is_bare_ack(&o->answers[0]);
}

static bool says_one_rst(const struct observation *o)
{
    return o->count == 1 && o->answers[0].flags & TCP_RST;
}

static bool is_segment(const struct difference *d)
{
    return d->what->kind == STEP_SEGMENT;
}

/* Before the good ACK: the handshake is not complete. */
static bool in_handshake(const struct script *s, unsigned step)
{
    for (unsigned i = 0; i < step; i++)
        if (s->steps[i].kind == STEP_SEGMENT && strcmp(s->steps[i].name, "good ACK") == 0)
            return false;
    return true;
}

static bool closed_before(const struct script *s, unsigned step)
{
    for (unsigned i = 0; i <= step; i++)
        if (s->steps[i].kind == STEP_CLOSE)
            return true;
    return false;
}

/* Somewhere before, a segment with this flag. */
static bool had_flag(const struct script *s, unsigned step, uint8_t flag)
{
    for (unsigned i = 0; i < step; i++)
        if (s->steps[i].kind == STEP_SEGMENT && s->steps[i].flags & flag)
            return true;
    return false;
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

/* --- rules ---------------------------------------------------------------------------------------------- */

static bool no_ack_bit(const struct difference *d)
{
    return is_segment(d) && !(d->what->flags & (TCP_ACK | TCP_RST | TCP_SYN)) &&
           says_one_ack(d->ours) && says_nothing(d->kernels);
}

static bool rst_form(const struct difference *d)
{
    return says_one_rst(d->ours) && says_one_rst(d->kernels) &&
           (d->ours->answers[0].seq == d->kernels->answers[0].seq ||
            closed_before(d->script, d->step));
}

static bool half_open_paws(const struct difference *d)
{
    for (unsigned i = 1; i <= d->step; i++) {
        const struct step *s = &d->script->steps[i];
        if (in_handshake(d->script, i) && s->flags & (TCP_SYN | TCP_RST) && s->ts < DIFF_START_TS)
            return d->script->ts;
    }
    return false;
}

/* The connection was reset, and a SYN has begun another one. */
static bool opened_again(const struct difference *d)
{
    for (unsigned i = 1; i < d->step; i++)
        for (unsigned k = 0; k < d->our_view->seen[i].count; k++)
            if (d->our_view->seen[i].answers[k].flags & TCP_SYN)
                return true;
    return false;
}

static bool half_open_order(const struct difference *d)
{
    return is_segment(d) && (in_handshake(d->script, d->step) || opened_again(d)) &&
           says_one_ack(d->ours) && d->kernels->count >= 1 &&
           d->kernels->answers[0].flags & TCP_RST;
}

static bool half_open_echo(const struct difference *d)
{
    if (!d->script->ts || d->step > 4)
        return false;
    for (unsigned i = 1; i < d->step; i++)
        if (in_handshake(d->script, i) && d->kernel_view->seen[i].count)
            return d->kernels->count >= 1 && is_bare_ack(&d->kernels->answers[0]) &&
                   d->kernels->answers[0].ack == 1;
    return false;
}

static bool text_after_fin(const struct difference *d)
{
    return is_segment(d) && had_flag(d->script, d->step, TCP_FIN) && d->what->len &&
           says_one_rst(d->kernels) && !says_one_rst(d->ours);
}

static bool closed_sack(const struct difference *d)
{
    return closed_before(d->script, d->step) && d->ours->count == 1 && d->kernels->count == 1 &&
           d->kernels->answers[0].sack_count != d->ours->answers[0].sack_count &&
           d->ours->answers[0].flags == d->kernels->answers[0].flags &&
           d->ours->answers[0].ack == d->kernels->answers[0].ack;
}

static bool silly_window(const struct difference *d)
{
    uint32_t first = d->ours->count ? d->ours->answers[0].len : 0;
    uint32_t theirs = d->kernels->count ? d->kernels->answers[0].len : 0;
    if (d->what->kind == STEP_WRITE)
        return first && first < 600 && theirs < first;
    /* an ACK of all that was written, of which we hold a part back */
    return is_segment(d) && says_one_ack(d->ours) && says_nothing(d->kernels) && d->step > 5 &&
           (int32_t)(d->what->ack - d->ours->answers[0].seq) > 0;
}

static bool shut_window(const struct difference *d)
{
    bool shut = false;
    for (unsigned i = 0; i <= d->step; i++)
        shut |= d->script->steps[i].kind == STEP_SEGMENT && d->script->steps[i].window == 0;
    return shut && is_segment(d) && says_one_ack(d->ours) && says_one_ack(d->kernels) &&
           d->ours->answers[0].ack == d->kernels->answers[0].ack &&
           d->ours->answers[0].sack_count == d->kernels->answers[0].sack_count &&
           d->ours->answers[0].seq != d->kernels->answers[0].seq;
}

/* Some segment so far began below the end of another one. */
static bool had_duplicate(const struct script *script, unsigned step)
{
    for (unsigned i = 0; i < step; i++)
        for (unsigned k = 0; k < i; k++) {
            const struct step *late = &script->steps[i], *early = &script->steps[k];
            if (late->kind == STEP_SEGMENT && early->kind == STEP_SEGMENT && early->len &&
                (int32_t)(late->seq - early->seq - early->len) < 0)
                return true;
        }
    return false;
}

/* Some FIN so far lay in front of bytes that had come before it. */
static bool fin_in_front(const struct difference *d)
{
    for (unsigned i = 0; i <= d->step; i++) {
        const struct step *fin = &d->script->steps[i];
        if (fin->kind != STEP_SEGMENT || !(fin->flags & TCP_FIN))
            continue;
        uint32_t end = fin->seq + fin->len;
        for (unsigned k = 0; k <= d->step; k++) {
            const struct step *s = &d->script->steps[k];
            if (s->kind == STEP_SEGMENT && k != i && (s->len || s->flags & TCP_FIN) &&
                s->seq + s->len - end - 1 < 100000)
                return true;
        }
    }
    return false;
}

static bool unacked_edge(const struct difference *d)
{
    if (!is_segment(
            d)) /* the window of a duplicate, or what it acknowledged, lets the kernel send */
        return says_nothing(d->ours) && d->kernels->count && had_duplicate(d->script, d->step);
    if (!says_one_ack(d->ours) || (int32_t)(d->what->seq - d->ours->answers[0].ack) >= 0)
        return false;
    return (d->what->len == 0 && says_nothing(d->kernels)) ||
           (says_one_ack(d->kernels) &&
            d->ours->answers[0].sack_count > d->kernels->answers[0].sack_count);
}

/* Some segment so far had bytes or a FIN, and acknowledged less than the handshake. */
static bool old_ack_bound(const struct difference *d)
{
    for (unsigned i = 0; i <= d->step; i++) {
        const struct step *s = &d->script->steps[i];
        if (s->kind == STEP_SEGMENT && s->flags & TCP_ACK && (int32_t)s->ack <= 0 &&
            (s->len || s->flags & TCP_FIN))
            return true;
    }
    return is_segment(d) && d->what->flags & TCP_ACK && says_one_ack(d->kernels) &&
           says_nothing(d->ours) && (int32_t)(d->what->ack - d->kernels->answers[0].seq) < 0;
}

/* Closed, and the FIN acknowledged. */
static bool closed_record(const struct difference *d)
{
    bool closed = false;
    if (closed_before(d->script, d->step) && says_one_ack(d->ours) && says_one_rst(d->kernels))
        return true;
    for (unsigned i = 0; i < d->step; i++) {
        const struct step *s = &d->script->steps[i];
        closed |= s->kind == STEP_CLOSE;
        if (closed && s->kind == STEP_SEGMENT && s->flags & TCP_ACK &&
            strncmp(s->name, "good", 4) == 0)
            return is_segment(d);
    }
    return false;
}

static bool urgent_byte(const struct difference *d)
{
    return d->what->kind == STEP_READ && had_flag(d->script, d->step, TCP_URG) &&
           d->ours->result > d->kernels->result;
}

/* The kernel's block ends one behind ours, or is there and ours is not: a FIN that came early. */
static bool early_fin(const struct difference *d)
{
    if (!had_flag(d->script, d->step + 1, TCP_FIN) || d->kernels->count != 1 || d->ours->count != 1)
        return false;
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    return a->flags == b->flags && a->ack == b->ack && b->sack_count >= a->sack_count &&
           (b->sack.right == a->sack.right + 1 || b->sack.right == b->sack.left + 1);
}

static bool rst_behind_fin(const struct difference *d)
{
    for (unsigned i = 0; i < d->step; i++)
        for (unsigned k = 0; k < i; k++) {
            const struct step *rst = &d->script->steps[i], *fin = &d->script->steps[k];
            if (rst->kind == STEP_SEGMENT && rst->flags & TCP_RST && fin->kind == STEP_SEGMENT &&
                fin->flags & TCP_FIN && rst->seq == fin->seq + fin->len)
                return true;
        }
    return false;
}

static bool paws_disordered(const struct difference *d)
{
    return is_segment(d) && d->script->ts && d->what->ts < DIFF_START_TS && d->what->len == 0 &&
           says_one_ack(d->ours) && says_nothing(d->kernels);
}

static bool limits(const struct difference *d)
{
    if (!is_segment(d))
        return false;
    if (says_nothing(d->ours))
        return says_one_ack(d->kernels) && acked_before(d->our_view, d->step);
    return says_one_ack(d->ours) && says_nothing(d->kernels) &&
           acked_before(d->kernel_view, d->step) &&
           (d->what->ack != d->ours->answers[0].seq || d->what->flags & (TCP_SYN | TCP_RST));
}

static bool paws_names_bytes(const struct difference *d)
{
    return is_segment(d) && d->script->ts && d->what->ts < DIFF_START_TS && says_one_ack(d->ours) &&
           says_one_ack(d->kernels) &&
           d->kernels->answers[0].sack_count > d->ours->answers[0].sack_count;
}

static bool overlap_acked_late(const struct difference *d)
{
    return is_segment(d) && d->what->len && says_one_ack(d->ours) && says_nothing(d->kernels) &&
           d->ours->answers[0].sack_count &&
           d->ours->answers[0].sack.left - d->what->seq < d->what->len;
}

static bool two_duplicates(const struct difference *d)
{
    return is_segment(d) && says_one_ack(d->ours) && says_one_ack(d->kernels) &&
           d->ours->answers[0].ack == d->kernels->answers[0].ack &&
           d->ours->answers[0].sack.left - d->what->seq < d->what->len &&
           d->kernels->answers[0].sack.left - d->what->seq < d->what->len;
}

static const struct {
    const char *name, *reason;
    bool (*holds)(const struct difference *d);
} rules[] = {
    {"no-ack-bit",
     "a segment without ACK, RST and SYN outside of the window: we answer with an ACK as RFC 9293 "
     "s3.10.7.4 says "
     "(first step: sequence number), the kernel drops it before it looks at anything",
     no_ack_bit},
    {"rst-form", "both reset; ours carries an ACK, because firewalls want one", rst_form},
    {"half-open-order",
     "SYN-RECEIVED: the kernel looks at ACK and SYN first and resets; we look at the sequence "
     "number first (RFC 9293 "
     "s3.10.7.4) and answer with an ACK",
     half_open_order},
    {"half-open-paws",
     "SYN-RECEIVED: the kernel judges a SYN or RST by its timestamp; we answer the SYN again, and "
     "RFC 7323 s5.2 exempts "
     "the RST",
     half_open_paws},
    {"half-open-echo",
     "SYN-RECEIVED: the kernel's answer to a wrong segment has a timestamp that its own check of "
     "the final ACK's echo "
     "then refuses (Linux 6.14 and later)",
     half_open_echo},
    {"text-after-fin",
     "bytes behind the peer's FIN: RFC 9293 s3.10.7.4 says to ignore them (seventh step), the "
     "kernel resets",
     text_after_fin},
    {"closed-sack",
     "the user has closed: we drop early bytes at once, since nobody will read them, and still "
     "name duplicates; the "
     "kernel names the former, and not the latter once it has only a small record of the "
     "connection",
     closed_sack},
    {"silly-window",
     "the rest of the window is half of the largest ever seen: we fill it (RFC 9293 s3.8.6.2.1 "
     "rule 3), the kernel "
     "waits, or sends half",
     silly_window},
    {"shut-window",
     "the window shuts below what was sent: our ACK has SND.NXT, the kernel's the window's edge",
     shut_window},
    {"fin-in-front",
     "a FIN in front of bytes that have come: one of the two is a lie; we drop what came later, "
     "the kernel believes "
     "the FIN and forgets the bytes, or the bytes and forgets the FIN",
     fin_in_front},
    {"unacked-edge",
     "a segment below RCV.NXT: we answer and drop it, its ACK and window with it, as RFC 9293 "
     "s3.10.7.4 says; the kernel "
     "takes it as long as it has not acknowledged further (its left edge is what it said last)",
     unacked_edge},
    {"old-ack-bound",
     "an ACK older than SND.UNA: we take it within the largest window and challenge an older one "
     "(RFC 5961 s5.2); the "
     "kernel also bounds it by the bytes that were acknowledged, but its fast path takes in-order "
     "bytes with any old "
     "ACK",
     old_ack_bound},
    {"closed-record",
     "the user has closed: the kernel resets for whatever reaches beyond RCV.NXT, an early FIN, "
     "too, and once our FIN is "
     "acknowledged it keeps a small record only, which judges segments in another order than "
     "FIN-WAIT-2 does",
     closed_record},
    {"opened-again",
     "the connection was reset and a SYN has begun another one, which the kernel's end of this "
     "test does not serve",
     opened_again},
    {"urgent-byte",
     "the byte that URG points at: we leave it in line (RFC 6093), the kernel takes it out",
     urgent_byte},
    {"early-fin",
     "a FIN ahead of a hole: the kernel counts it in its SACK block, we name bytes only",
     early_fin},
    {"rst-behind-fin",
     "a RST one below RCV.NXT after the peer's FIN: the kernel believes it (some peers send it "
     "so), we ask for "
     "RCV.NXT (RFC 5961 s3.2)",
     rst_behind_fin},
    {"paws-disordered-ack",
     "an ACK without bytes that PAWS refuses: we answer (RFC 7323 s5.3 R1), the kernel takes some "
     "as reordered",
     paws_disordered},
    {"limits",
     "answers to suspect segments are limited in both, to one in 500 ms; which ones count differs",
     limits},
    {"paws-names-bytes",
     "a segment that PAWS refuses: the kernel names its bytes as duplicates, whatever they are",
     paws_names_bytes},
    {"two-duplicates",
     "a segment that covers two early ones: an ACK can name one duplicate (RFC 2883 s4); the "
     "stacks choose another one",
     two_duplicates},
    {"overlap-acked-late",
     "a segment with bytes that came before: we say so at once (RFC 2883 s4), the kernel with its "
     "delayed ACK while it "
     "has data of its own to send",
     overlap_acked_late},
};

unsigned rules_count(void)
{
    return TG_ARRAY_LEN(rules);
}

const char *rules_name(unsigned i)
{
    return rules[i].name;
}

const char *rules_reason(unsigned i)
{
    return rules[i].reason;
}

const char *rules_judge(const struct script *script, unsigned step, const struct view *ours,
                        const struct view *kernels)
{
    struct difference d = {
        script, step, &script->steps[step], ours, kernels, &ours->seen[step], &kernels->seen[step]};
    if (observation_equal(d.ours, d.kernels))
        return NULL;
    for (unsigned i = 0; i < TG_ARRAY_LEN(rules); i++)
        if (rules[i].holds && rules[i].holds(&d))
            return rules[i].name;
    return "";
}
