/* SPDX-License-Identifier: BSD-3-Clause
 * Hierarchical timer wheel, 4 levels of 256 slots, 1 ms ticks; any deadline is legal (beyond
 * about 49 days it waits in a list of its own). It is told the time and never asks. One worker owns a
 * wheel. Deadlines round up to a tick: a timer never fires early. Timers of one tick fire in the order in which they were armed (runs repeat). Floor 0.
 *
 * Lazy re-arming is the caller's business: leave the timer where it is, keep the later deadline in
 * your own state, and arm again from the callback (tcp: one timer a connection).
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/types.h"

#define TIMER_TICK TG_MS

/* A member of a circular list; a list's head is one too. */
struct timer_link {
    struct timer_link *next, *prev; /* NULL in a timer: not armed */
};

struct timer {
    struct timer_link link;
    tg_ns deadline;
    void (*fire)(struct timer *timer, void *arg, tg_ns now); /* may arm or cancel any timer */
    void *arg;
};

struct timer_wheel {
    uint64_t tick;           /* ticks up to this one have fired or wait in `due` */
    uint32_t armed;          /* how many timers wait, in all lists */
    uint64_t occupied[4][4]; /* bitmap of non-empty slots */
    struct timer_link due;   /* their tick has come; the limit of a run left them */
    struct timer_link late;  /* armed for the past: due at the next run */
    struct timer_link far;   /* in another period of 2^32 ticks */
    struct timer_link slots[4][256];
};

void timer_wheel_init(struct timer_wheel *wheel, tg_ns now);

void timer_init(struct timer *timer, void (*fire)(struct timer *, void *, tg_ns), void *arg);

static inline bool timer_armed(const struct timer *timer)
{
    return timer->link.next != NULL;
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
