/* SPDX-License-Identifier: BSD-3-Clause
 * Differences by design, first half: what each stack looks at first, and what it does to a peer that errs.
 */
#include "tests/diff/rules.h"

/* Before the good ACK: the handshake is not complete. */
static bool in_handshake(const struct difference *d, unsigned step)
{
    for (unsigned i = 0; i < step; i++)
        if (d->script->steps[i].kind == STEP_SEGMENT &&
            strcmp(d->script->steps[i].name, "good ACK") == 0)
            return false;
    return true;
}

/* The peer's FIN has been taken. */
static bool fin_taken(const struct standing *s)
{
    return s->state == TCP_S_CLOSE_WAIT || s->state == TCP_S_CLOSING ||
           s->state == TCP_S_LAST_ACK || s->state == TCP_S_TIME_WAIT;
}

static bool no_ack_bit(const struct difference *d)
{
    return is_segment(d) && !(d->what->flags & (TCP_ACK | TCP_RST | TCP_SYN)) &&
           says_one_ack(d->ours) && says_nothing(d->kernels);
}

static bool rst_form(const struct difference *d)
{
    const struct answer *a = &d->ours->answers[0], *b = &d->kernels->answers[0];
    return says_one_rst(d->ours) && says_one_rst(d->kernels) &&
           (a->seq == b->seq || closed_before(d)) && (a->ack == b->ack || !(b->flags & TCP_ACK));
}

static bool half_open_reset(const struct difference *d)
{
    return is_segment(d) && in_handshake(d, d->step) && says_one_ack(d->ours) &&
           d->kernels->count >= 1 && d->kernels->answers[0].flags & TCP_RST;
}

static bool half_open_syn(const struct difference *d)
{
    return half_open_reset(d) && d->what->flags & TCP_SYN;
}

static bool half_open_echo(const struct difference *d)
{
    if (!d->script->ts || d->step > 4)
        return false;
    for (unsigned i = 1; i < d->step; i++)
        if (in_handshake(d, i) && d->kernel_view->seen[i].count)
            return d->kernels->count >= 1 && is_bare_ack(&d->kernels->answers[0]) &&
                   d->kernels->answers[0].ack == 1;
    return false;
}

static bool half_open_paws(const struct difference *d)
{
    return is_segment(d) && d->script->ts && in_handshake(d, d->step) &&
           d->what->flags & (TCP_SYN | TCP_RST) && before(d->what->ts, DIFF_START_TS) &&
           !says_one_rst(d->ours) && !says_one_rst(d->kernels);
}

/* Such a RST has ended the handshake for us, and its last ACK comes. */
static bool half_open_paws_rst(const struct difference *d)
{
    for (unsigned i = 1; i < d->step && d->script->ts; i++) {
        const struct step *s = &d->script->steps[i];
        if (in_handshake(d, i) && s->flags & TCP_RST && before(s->ts, DIFF_START_TS))
            return says_one_rst(d->ours) && !says_one_rst(d->kernels);
    }
    return false;
}

/* The connection was reset, and a SYN has begun another one. */
static bool opened_again(const struct difference *d)
{
    for (unsigned i = 1; i < d->step; i++)
        for (unsigned k = 0; k < d->our_view->seen[i].count; k++)
            if (!in_handshake(d, i) && d->our_view->seen[i].answers[k].flags & TCP_SYN)
                return true;
    return false;
}

static bool text_after_fin(const struct difference *d)
{
    return is_segment(d) && fin_taken(d->before) && d->what->len && says_one_rst(d->kernels) &&
           !says_one_rst(d->ours);
}

static bool closed_reset(const struct difference *d)
{
    return is_segment(d) && closed_before(d) && !says_one_rst(d->ours) &&
           says_one_rst(d->kernels) &&
           (before(d->before->rcv_nxt, step_end(d->what)) || d->before->state == TCP_S_FIN_WAIT_2);
}

static bool closed_record(const struct difference *d)
{
    return is_segment(d) && closed_before(d) && d->before->state == TCP_S_FIN_WAIT_2 &&
           one_says_ack(d);
}

/* Believed by one: at once or later it shows. */
static bool rst_behind_fin(const struct difference *d)
{
    for (unsigned i = 0; i <= d->step; i++) {
        const struct step *s = &d->script->steps[i];
        const struct standing *at = &d->our_view->before[i];
        if (s->kind == STEP_SEGMENT && s->flags & TCP_RST && fin_taken(at) &&
            s->seq == at->rcv_nxt - 1)
            return says_nothing(d->kernels) || has_none(d->kernels);
    }
    return false;
}

static const struct rule rules[] = {
    {"no-ack-bit",
     "a segment without ACK, RST and SYN outside of the window: we answer with an ACK as RFC 9293 "
     "s3.10.7.4 says (first step: sequence number), the kernel drops it before it looks at "
     "anything",
     NULL, no_ack_bit},
    {"rst-form", "both reset; ours carries an ACK, because firewalls want one", NULL, rst_form},
    {"half-open-syn",
     "SYN-RECEIVED: the kernel resets a SYN that is not the first one's copy; we look at the "
     "sequence number first (RFC 9293 s3.10.7.4) and answer with an ACK",
     "the kernel has forgotten the peer", half_open_syn},
    {"half-open-order",
     "SYN-RECEIVED: the kernel looks at the ACK first and resets; we look at the sequence number "
     "first (RFC 9293 s3.10.7.4) and answer with an ACK",
     NULL, half_open_reset},
    {"half-open-echo",
     "SYN-RECEIVED: the kernel's answer to a wrong segment has a timestamp that its own check of "
     "the final ACK's echo then refuses (Linux 6.14 and later)",
     "the kernel has no connection", half_open_echo},
    {"half-open-paws",
     "SYN-RECEIVED: the kernel judges a SYN or RST by its timestamp; we answer the SYN again, and "
     "RFC 7323 s5.2 exempts the RST",
     NULL, half_open_paws},
    {"half-open-paws-rst", "the same, seen by the ACK behind the RST", "we have no connection",
     half_open_paws_rst},
    {"opened-again",
     "the connection was reset and a SYN has begun another one, which the kernel's end of this "
     "test does not serve",
     "the kernel has no connection", opened_again},
    {"text-after-fin",
     "bytes behind the peer's FIN: RFC 9293 s3.10.7.4 says to ignore them (seventh step), the "
     "kernel resets",
     "the kernel has no connection", text_after_fin},
    {"closed-reset",
     "the user has closed: the kernel resets for whatever reaches beyond RCV.NXT, an early FIN, "
     "too, and in FIN-WAIT-2, where it keeps a small record only, for a wrong ACK",
     "the kernel has no connection", closed_reset},
    {"closed-record",
     "the user has closed and our FIN is acknowledged: the kernel's small record judges segments "
     "in another order than FIN-WAIT-2 does",
     NULL, closed_record},
    {"rst-behind-fin",
     "a RST one below RCV.NXT after the peer's FIN: the kernel believes it (some peers send it "
     "so), we ask for RCV.NXT (RFC 5961 s3.2)",
     "the kernel has no connection", rst_behind_fin},
};

const struct rules rules_of_order = {rules, TG_ARRAY_LEN(rules)};
