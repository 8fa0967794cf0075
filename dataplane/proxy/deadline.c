/* SPDX-License-Identifier: BSD-3-Clause
 * Deadlines over the timer wheel, re-armed lazily: a later deadline only changes a field, the timer
 * fires at the old point and moves itself. Called by client and origin. Floor 3.
 */
#include "proxy/parts.h"

void deadline_set(struct proxy *p, struct deadline *d, tg_ns at)
{
    d->at = at;
    if (at && (!timer_armed(&d->timer) || at < d->timer.deadline))
        timer_arm(p->wheel, &d->timer, at);
}

bool deadline_passed(struct proxy *p, struct deadline *d, tg_ns now)
{
    if (d->at && d->at > now)
        timer_arm(p->wheel, &d->timer, d->at);
    return d->at && d->at <= now;
}
