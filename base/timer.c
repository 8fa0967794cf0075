/* SPDX-License-Identifier: BSD-3-Clause
 * The timer wheel. A timer's place follows from two numbers only, the wheel's tick and the timer's own:
 * the highest byte in which they differ is its level, that byte of its own tick is its slot. So all
 * timers of one tick lie in one list at any moment, and a cascade, which keeps the list's order, keeps
 * the order of arming. A tick whose upper half (beyond 2^32 ticks, 49 days) differs waits in `far`.
 * Called by the worker that owns the wheel; asks nobody for the time.
 */
#include "base/timer.h"

#define LEVELS     4
#define SLOT_BITS  8
#define SLOT_COUNT (1u << SLOT_BITS)
#define NO_TICK    UINT64_MAX

static void list_init(struct timer_link *head)
{
    head->next = head->prev = head;
}

static bool list_empty(const struct timer_link *head)
{
    return head->next == head;
}

static void list_append(struct timer_link *head, struct timer_link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Move everything from one list to the end of another. */
static void list_splice(struct timer_link *to, struct timer_link *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

static struct timer *timer_of(struct timer_link *link)
{
    return tg_container_of(link, struct timer, link);
}

/* Deadlines round up, so that a timer never fires early. */
static uint64_t deadline_tick(tg_ns deadline)
{
    return deadline / TIMER_TICK + (deadline % TIMER_TICK != 0);
}

static void slot_mark(struct timer_wheel *wheel, unsigned level, unsigned slot)
{
    wheel->occupied[level][slot / 64] |= 1ull << (slot % 64);
}

static void slot_unmark(struct timer_wheel *wheel, unsigned level, unsigned slot)
{
    wheel->occupied[level][slot / 64] &= ~(1ull << (slot % 64));
}

/* First occupied slot of a level behind `slot`; SLOT_COUNT if none. */
static unsigned slot_after(const struct timer_wheel *wheel, unsigned level, unsigned slot)
{
    for (unsigned at = slot + 1; at < SLOT_COUNT; at = (at | 63) + 1) {
        uint64_t bits = wheel->occupied[level][at / 64] >> (at % 64);
        if (bits)
            return at + (unsigned)__builtin_ctzll(bits);
    }
    return SLOT_COUNT;
}

void timer_wheel_init(struct timer_wheel *wheel, tg_ns now)
{
    *wheel = (struct timer_wheel){.tick = now / TIMER_TICK};
    list_init(&wheel->due);
    list_init(&wheel->late);
    list_init(&wheel->far);
    for (unsigned level = 0; level < LEVELS; level++)
        for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
            list_init(&wheel->slots[level][slot]);
}

void timer_init(struct timer *timer, void (*fire)(struct timer *, void *, tg_ns), void *arg)
{
    tg_assert(fire);
    *timer = (struct timer){.fire = fire, .arg = arg};
}

/* Put a timer whose tick is not behind the wheel's where the two ticks say. */
static void timer_place(struct timer_wheel *wheel, struct timer *timer)
{
    uint64_t tick = deadline_tick(timer->deadline);
    uint64_t differs = tick ^ wheel->tick;
    tg_assert(tick >= wheel->tick);
    if (differs == 0) {
        list_append(&wheel->due, &timer->link);
    } else if (differs >> (LEVELS * SLOT_BITS)) {
        list_append(&wheel->far, &timer->link);
    } else {
        unsigned level = (63 - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
        unsigned slot = (tick >> (level * SLOT_BITS)) % SLOT_COUNT;
        list_append(&wheel->slots[level][slot], &timer->link);
        slot_mark(wheel, level, slot);
    }
}

static void timer_unlink(struct timer_wheel *wheel, struct timer *timer)
{
    struct timer_link *prev = timer->link.prev;
    prev->next = timer->link.next;
    timer->link.next->prev = prev;
    timer->link.next = timer->link.prev = NULL;
    tg_assert(wheel->armed > 0);
    wheel->armed--;
    if (!list_empty(prev))
        return;
    /* prev is a list's head, now empty: if it is a slot's, the bitmap must say so. Integers, because
     * pointers of different objects must not be compared. */
    uintptr_t offset = (uintptr_t)prev - (uintptr_t)wheel->slots;
    if (offset < sizeof wheel->slots) {
        unsigned index = (unsigned)(offset / sizeof wheel->slots[0][0]);
        slot_unmark(wheel, index / SLOT_COUNT, index % SLOT_COUNT);
    }
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, tg_ns deadline)
{
    tg_assert(timer->fire);
    if (timer_armed(timer))
        timer_unlink(wheel, timer);
    timer->deadline = deadline;
    wheel->armed++;
    if (deadline_tick(deadline) <= wheel->tick)
        list_append(&wheel->late, &timer->link); /* fires at the next run, never in this one */
    else
        timer_place(wheel, timer);
}

void timer_cancel(struct timer_wheel *wheel, struct timer *timer)
{
    if (timer_armed(timer))
        timer_unlink(wheel, timer);
}

/* The next tick at which the wheel has something to do: fire a slot of level 0 or cascade another. The
 * lower level is always the earlier one, since upper slots begin where the lower level ends. */
static uint64_t wheel_next_tick(const struct timer_wheel *wheel)
{
    for (unsigned level = 0; level < LEVELS; level++) {
        unsigned shift = level * SLOT_BITS;
        unsigned slot = slot_after(wheel, level, (wheel->tick >> shift) % SLOT_COUNT);
        if (slot < SLOT_COUNT)
            return (wheel->tick >> shift >> SLOT_BITS << SLOT_BITS | slot) << shift;
    }
    if (!list_empty(&wheel->far))
        return ((wheel->tick >> (LEVELS * SLOT_BITS)) + 1) << (LEVELS * SLOT_BITS);
    return NO_TICK;
}

/* Place every timer of a list anew, in order. */
static void wheel_cascade(struct timer_wheel *wheel, struct timer_link *from)
{
    struct timer_link moving;
    list_init(&moving);
    list_splice(&moving, from);
    while (!list_empty(&moving)) {
        struct timer_link *link = moving.next;
        moving.next = link->next;
        link->next->prev = &moving;
        timer_place(wheel, timer_of(link));
    }
}

/* Go to `tick`, at which wheel_next_tick said there is something: what is due moves to `due`. */
static void wheel_advance(struct timer_wheel *wheel, uint64_t tick)
{
    uint64_t differs = tick ^ wheel->tick;
    wheel->tick = tick;
    if (differs >> (LEVELS * SLOT_BITS)) {
        wheel_cascade(wheel, &wheel->far);
        return;
    }
    unsigned level = (63 - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
    unsigned slot = (tick >> (level * SLOT_BITS)) % SLOT_COUNT;
    slot_unmark(wheel, level, slot);
    wheel_cascade(wheel, &wheel->slots[level][slot]);
}

/* Fire from `due` until it is empty or the limit is reached. A callback may cancel any of the others:
 * the list's head is read again each time. */
static unsigned wheel_fire(struct timer_wheel *wheel, tg_ns now, unsigned limit)
{
    unsigned fired = 0;
    while (fired < limit && !list_empty(&wheel->due)) {
        struct timer *timer = timer_of(wheel->due.next);
        timer_unlink(wheel, timer);
        fired++;
        timer->fire(timer, timer->arg, now);
    }
    return fired;
}

unsigned timers_run(struct timer_wheel *wheel, tg_ns now, unsigned limit)
{
    uint64_t now_tick = now / TIMER_TICK;
    list_splice(&wheel->due, &wheel->late);
    unsigned fired = wheel_fire(wheel, now, limit);
    while (list_empty(&wheel->due)) {
        uint64_t tick = wheel_next_tick(wheel);
        if (tick > now_tick) {
            if (now_tick > wheel->tick)
                wheel->tick = now_tick; /* nothing lies between */
            break;
        }
        wheel_advance(wheel, tick);
        fired += wheel_fire(wheel, now, limit - fired);
    }
    return fired;
}

tg_ns timers_next(const struct timer_wheel *wheel)
{
    if (!list_empty(&wheel->due) || !list_empty(&wheel->late))
        return wheel->tick * TIMER_TICK;
    uint64_t tick = wheel_next_tick(wheel);
    return tick < NO_TICK / TIMER_TICK ? tick * TIMER_TICK : UINT64_MAX;
}
