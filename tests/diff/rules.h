/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of rules share: the difference that a rule looks at, and questions about it. Included by diff_rules*.c
 * only.
 */
#ifndef TESTS_DIFF_RULES_H
#define TESTS_DIFF_RULES_H

#include "tcp/tcp.h"
#include "tests/diff/diff.h"

struct difference {
    const struct script *script;
    unsigned step;
    const struct step *what;
    const struct standing *before; /* of our stack */
    const struct view *our_view, *kernel_view;
    const struct observation *ours, *kernels;
};

/* The rules of a file: first match decides. */
struct rules {
    const struct rule *rule;
    unsigned count;
};
extern const struct rules rules_of_order, rules_of_bytes;

static inline bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool says_nothing(const struct observation *o)
{
    return o->count == 0;
}

static inline bool is_bare_ack(const struct answer *a)
{
    return a->flags == TCP_ACK && a->len == 0;
}

static inline bool says_one_ack(const struct observation *o)
{
    return o->count == 1 && is_bare_ack(&o->answers[0]);
}

static inline bool says_one_rst(const struct observation *o)
{
    return o->count == 1 && o->answers[0].flags & TCP_RST;
}

/* An answer of a stack that has no connection: a RST, or a new SYN-ACK. */
static inline bool has_none(const struct observation *o)
{
    return says_one_rst(o) || (o->count && o->answers[0].flags & TCP_SYN);
}

/* One stack gives a bare ACK, and the other says nothing. */
static inline bool one_says_ack(const struct difference *d)
{
    return (says_one_ack(d->ours) && says_nothing(d->kernels)) ||
           (says_one_ack(d->kernels) && says_nothing(d->ours));
}

static inline bool both_say_ack(const struct difference *d)
{
    return says_one_ack(d->ours) && says_one_ack(d->kernels);
}

static inline bool is_segment(const struct difference *d)
{
    return d->what->kind == STEP_SEGMENT;
}

/* Behind a segment's last number. */
static inline uint32_t step_end(const struct step *s)
{
    return s->seq + s->len + (s->flags & TCP_FIN ? 1 : 0);
}

/* The user has closed, at this step or before. */
static inline bool closed_before(const struct difference *d)
{
    for (unsigned i = 0; i <= d->step; i++)
        if (d->script->steps[i].kind == STEP_CLOSE)
            return true;
    return false;
}

#endif
