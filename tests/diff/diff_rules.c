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
    for (unsigned i = 0; i < step; i++)
        for (unsigned k = 0; k < v->seen[i].count; k++)
            if (is_bare_ack(&v->seen[i].answers[k]))
                return true;
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
           d->ours->answers[0].seq == d->kernels->answers[0].seq;
}

static bool half_open_order(const struct difference *d)
{
    return is_segment(d) && in_handshake(d->script, d->step) && says_one_ack(d->ours) &&
           d->kernels->count >= 1 && d->kernels->answers[0].flags & TCP_RST;
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

static bool orphan_early_bytes(const struct difference *d)
{
    return closed_before(d->script, d->step) && d->ours->count == 1 && d->kernels->count == 1 &&
           d->kernels->answers[0].sack_count && !d->ours->answers[0].sack_count &&
           d->ours->answers[0].flags == d->kernels->answers[0].flags;
}

static bool silly_window(const struct difference *d)
{
    uint32_t first = d->ours->count ? d->ours->answers[0].len : 0;
    return first && first < 600 && d->kernels->count < d->ours->count &&
           d->what->kind == STEP_WRITE;
}

static bool limits(const struct difference *d)
{
    return is_segment(d) && says_nothing(d->ours) && says_one_ack(d->kernels) &&
           acked_before(d->our_view, d->step);
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
           d->ours->answers[0].sack_count && d->ours->answers[0].sack.left == d->what->seq;
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
    {"rst-form",
     "both reset, at the same sequence number; ours carries an ACK, because firewalls want one",
     rst_form},
    {"half-open-order",
     "SYN-RECEIVED: the kernel looks at ACK and SYN first and resets; we look at the sequence "
     "number first (RFC 9293 "
     "s3.10.7.4) and answer with an ACK",
     half_open_order},
    {"half-open-echo",
     "SYN-RECEIVED: the kernel's answer to a wrong segment has a timestamp that its own check of "
     "the final ACK's echo "
     "then refuses (Linux 6.14 and later)",
     half_open_echo},
    {"text-after-fin",
     "bytes behind the peer's FIN: RFC 9293 s3.10.7.4 says to ignore them (seventh step), the "
     "kernel resets",
     text_after_fin},
    {"orphan-early-bytes",
     "the user has closed: we drop early bytes at once, since nobody will read them, the kernel "
     "still names them",
     orphan_early_bytes},
    {"silly-window",
     "the rest of the window is half of the largest ever seen: we fill it (RFC 9293 s3.8.6.2.1 "
     "rule 3), the kernel "
     "waits",
     silly_window},
    {"limits",
     "answers to suspect segments are limited in both, to one in 500 ms; which ones count differs",
     limits},
    {"paws-names-bytes",
     "a segment that PAWS refuses: the kernel names its bytes as duplicates, whatever they are",
     paws_names_bytes},
    {"overlap-acked-late",
     "a segment that begins with old bytes: we say so at once (RFC 2883 s4), the kernel with its "
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
