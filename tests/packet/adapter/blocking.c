/* SPDX-License-Identifier: BSD-3-Clause
 * See adapter.h: threads that wait for the stack, and the clock that waits for them.
 */
#include "tests/packet/adapter/adapter.h"
#include <errno.h>
#include <time.h>

static bool waiter_due(struct adapter *a, const struct waiter *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (adapter_poll(a, w->fds[i].fd, w->fds[i].events))
            return true;
    return a->host.node.now >= w->deadline;
}

void waiters_wake(struct adapter *a)
{
    for (unsigned i = 0; i < ADAPTER_WAITERS_MAX; i++) {
        struct waiter *w = &a->waiters[i];
        if (!w->used || w->ready || !waiter_due(a, w))
            continue;
        w->ready = true;
        tg_assert(a->stamps_due < ADAPTER_WAITERS_MAX);
        a->due[a->stamps_due++] = w->thread;
        pthread_cond_broadcast(&a->changed);
    }
}

tg_ns waiters_deadline(const struct adapter *a)
{
    tg_ns first = UINT64_MAX;
    for (unsigned i = 0; i < ADAPTER_WAITERS_MAX; i++)
        if (a->waiters[i].used && !a->waiters[i].ready && a->waiters[i].deadline < first)
            first = a->waiters[i].deadline;
    return first;
}

void waiter_sleep(struct adapter *a, const struct pollfd *fds, unsigned count, tg_ns deadline)
{
    struct waiter *w = NULL;
    stamp_taken(a); /* woken for nothing: nobody need wait */
    for (unsigned i = 0; i < ADAPTER_WAITERS_MAX && !w; i++)
        if (!a->waiters[i].used)
            w = &a->waiters[i];
    tg_assert(w);
    *w = (struct waiter){
        .used = true, .thread = pthread_self(), .fds = fds, .count = count, .deadline = deadline};
    while (!w->ready)
        pthread_cond_wait(&a->changed, &a->lock);
    w->used = false;
}

void stamp_taken(struct adapter *a)
{
    for (unsigned i = 0; i < a->stamps_due; i++)
        if (pthread_equal(a->due[i], pthread_self())) {
            a->due[i] = a->due[--a->stamps_due];
            pthread_cond_broadcast(&a->changed);
            return;
        }
}

void stamps_await(struct adapter *a)
{
    struct timespec until;
    stamp_taken(a); /* a thread that moves the clock itself owes nothing any more */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    while (a->stamps_due)
        if (pthread_cond_timedwait(&a->changed, &a->lock, &until) == ETIMEDOUT)
            a->stamps_due = 0;
}
