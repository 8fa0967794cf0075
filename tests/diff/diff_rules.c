/* SPDX-License-Identifier: BSD-3-Clause
 * Are two observations the same, and if not, which rule explains it? The rules themselves: diff_rules_order.c and
 * diff_rules_bytes.c. What no rule explains is a defect of one of the stacks.
 */
#include "tests/diff/rules.h"

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

unsigned rules_count(void)
{
    return rules_of_order.count + rules_of_bytes.count;
}

const struct rule *rules_at(unsigned i)
{
    return i < rules_of_order.count ? &rules_of_order.rule[i]
                                    : &rules_of_bytes.rule[i - rules_of_order.count];
}

int rules_judge(const struct script *script, unsigned step, const struct view *ours,
                const struct view *kernels)
{
    struct difference d = {script, step,    &script->steps[step], &ours->before[step],
                           ours,   kernels, &ours->seen[step],    &kernels->seen[step]};
    if (observation_equal(d.ours, d.kernels))
        return RULES_EQUAL;
    for (unsigned i = 0; i < rules_count(); i++)
        if (rules_at(i)->holds(&d))
            return (int)i;
    return RULES_UNEXPLAINED;
}
