/* SPDX-License-Identifier: BSD-3-Clause
 * See adapter.h: poll and epoll (level-triggered; EPOLLET is taken as that).
 */
#include "tests/packet/adapter/adapter.h"
#include <errno.h>

short adapter_poll(struct adapter *a, int fd, short events)
{
    return sock_poll(&a->socks, fd) & (short)(events | POLLERR | POLLHUP | POLLNVAL);
}

static tg_ns deadline_of(const struct adapter *a, int timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : a->host.node.now + (tg_ns)timeout_ms * TG_MS;
}

int entry_poll(void *u, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct adapter *a = u;
    pthread_mutex_lock(&a->lock);
    tg_ns deadline = deadline_of(a, timeout_ms);
    for (;;) {
        int ready = 0;
        for (nfds_t i = 0; i < count; i++) {
            fds[i].revents = adapter_poll(a, fds[i].fd, fds[i].events);
            ready += fds[i].revents != 0;
        }
        if (ready || a->host.node.now >= deadline) {
            pthread_mutex_unlock(&a->lock);
            return ready;
        }
        adapter_settle(a);
        waiter_sleep(a, fds, (unsigned)count, deadline);
    }
}

static struct epoll_set *set_of(struct adapter *a, int fd)
{
    int i = fd - ADAPTER_EPOLL_FIRST;
    return i >= 0 && i < ADAPTER_EPOLLS_MAX && a->epolls[i].used ? &a->epolls[i] : NULL;
}

int entry_epoll_create(void *u, int size)
{
    struct adapter *a = u;
    int fd = -1;
    pthread_mutex_lock(&a->lock);
    for (int i = 0; i < ADAPTER_EPOLLS_MAX && fd < 0; i++)
        if (!a->epolls[i].used) {
            a->epolls[i] = (struct epoll_set){.used = true};
            fd = ADAPTER_EPOLL_FIRST + i;
        }
    pthread_mutex_unlock(&a->lock);
    errno = EMFILE;
    return fd;
}

static int member_find(const struct epoll_set *set, int fd)
{
    for (int i = 0; i < SOCKS_MAX; i++)
        if (set->members[i].fd == fd)
            return i;
    return -1;
}

/* 0 or an errno. */
static int set_change(struct adapter *a, struct epoll_set *set, int operation, int fd,
                      const struct epoll_event *event)
{
    if (!set || !sock_of(&a->socks, fd))
        return EBADF;
    int i = member_find(set, fd);
    if (operation == EPOLL_CTL_ADD) {
        if (i >= 0)
            return EEXIST;
        i = member_find(set, 0);
        if (i < 0)
            return ENOSPC;
    } else if (i < 0) {
        return ENOENT;
    }
    set->members[i].fd = operation == EPOLL_CTL_DEL ? 0 : fd;
    if (operation != EPOLL_CTL_DEL)
        set->members[i].event = *event;
    return 0;
}

int entry_epoll_ctl(void *u, int epoll, int operation, int fd, struct epoll_event *event)
{
    struct adapter *a = u;
    pthread_mutex_lock(&a->lock);
    int error = set_change(a, set_of(a, epoll), operation, fd, event);
    pthread_mutex_unlock(&a->lock);
    errno = error;
    return error ? -1 : 0;
}

static int set_collect(struct adapter *a, const struct epoll_set *set, struct epoll_event *events,
                       int max)
{
    int n = 0;
    for (int i = 0; i < SOCKS_MAX && n < max; i++) {
        if (!set->members[i].fd)
            continue;
        short bits = adapter_poll(a, set->members[i].fd, (short)set->members[i].event.events);
        if (bits) {
            events[n] = set->members[i].event;
            events[n++].events =
                (uint32_t)(uint16_t)bits; /* EPOLL* and POLL* agree in these bits */
        }
    }
    return n;
}

int entry_epoll_wait(void *u, int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    struct adapter *a = u;
    pthread_mutex_lock(&a->lock);
    const struct epoll_set *set = set_of(a, epoll);
    tg_ns deadline = deadline_of(a, timeout_ms);
    int n = 0;
    while (set && (n = set_collect(a, set, events, max)) == 0 && a->host.node.now < deadline) {
        struct pollfd fds[SOCKS_MAX];
        unsigned count = 0;
        for (int i = 0; i < SOCKS_MAX; i++)
            if (set->members[i].fd)
                fds[count++] = (struct pollfd){.fd = set->members[i].fd,
                                               .events = (short)set->members[i].event.events};
        adapter_settle(a);
        waiter_sleep(a, fds, count, deadline);
    }
    pthread_mutex_unlock(&a->lock);
    errno = EBADF;
    return set ? n : -1;
}

bool epoll_close(struct adapter *a, int fd)
{
    struct epoll_set *set = set_of(a, fd);
    if (set)
        set->used = false;
    return set != NULL;
}

void epoll_forget(struct adapter *a, int fd)
{
    for (int i = 0; i < ADAPTER_EPOLLS_MAX; i++)
        for (int k = 0; k < SOCKS_MAX; k++)
            if (a->epolls[i].members[k].fd == fd)
                a->epolls[i].members[k].fd = 0;
}
