/* SPDX-License-Identifier: BSD-3-Clause
 * Hierarchical timer wheel, 4 levels of 256 slots, 1 ms ticks: about 49 days of range. It is told the
 * time and never asks. One worker owns a wheel. Deadlines round up to a tick: a timer never fires
 * early. Timers of one tick fire in the order in which they were armed (runs repeat). Floor 0.
 *
 * Lazy re-arming is the caller's business: leave the timer where it is, keep the later deadline in
 * your own state, and arm again from the callback (tcp: one timer a connection).
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/types.h"

#define TIMER_TICK TG_MS

struct timer {
    struct timer *next, **prev_next; /* slot list; prev_next NULL = not armed */
    tg_ns deadline;
    void (*fire)(struct timer *timer, void *arg, tg_ns now); /* may arm or cancel any timer */
    void *arg;
};

struct timer_wheel {
    uint64_t tick;           /* all ticks up to this one have fired */
    uint32_t armed;          /* how many timers wait */
    uint64_t occupied[4][4]; /* bitmap of non-empty slots */
    struct {
        struct timer *first, **last_next;
    } slots[4][256];
};

void timer_wheel_init(struct timer_wheel *wheel, tg_ns now);

void timer_init(struct timer *timer, void (*fire)(struct timer *, void *, tg_ns), void *arg);

static inline bool timer_armed(const struct timer *timer)
{
    return timer->prev_next != NULL;
}

/* Arm or move. A deadline in the past fires at the next timers_run. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, tg_ns deadline);
/* Cancel; harmless when not armed. */
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);

/* Fire what is due, at most `limit` timers (the rest fires next time). Returns how many fired. */
unsigned timers_run(struct timer_wheel *wheel, tg_ns now, unsigned limit);

/* No timer fires before this point in time; UINT64_MAX when none is armed. A lower bound: may be
 * early (slots of upper levels), never late. For io_wait. */
tg_ns timers_next(const struct timer_wheel *wheel);

#endif
