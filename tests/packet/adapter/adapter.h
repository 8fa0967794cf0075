/* SPDX-License-Identifier: BSD-3-Clause
 * libtidegate_pktdrill.so: our stack under a stock packetdrill, in virtual time. Time stands still until packetdrill asks for
 * it: usleep and netdev_receive move the clock from timer to timer, gettimeofday by a microsecond a call (packetdrill
 * spins on it). Packets that nobody has fetched wait in a queue, so that an unexpected one meets the next expectation.
 *
 *   adapter.c   the stack, its clock, its wire
 *   blocking.c  calls that wait: on a thread of packetdrill's, asleep in the kernel
 *   entry.c     the interface's socket calls
 *   epoll.c     epoll_create, epoll_ctl, epoll_wait, poll
 *
 * A call that blocks ends at the virtual time of its cause: whoever moves the clock stops there until the woken thread has
 * asked for the time once, which is how packetdrill stamps the call's end.
 */
#ifndef TESTS_PACKET_ADAPTER_ADAPTER_H
#define TESTS_PACKET_ADAPTER_ADAPTER_H

#include "tests/packet/adapter/packetdrill.h"
#include "tests/packet/sock.h"
#include <pthread.h>

#define ADAPTER_PACKETS_MAX 1024
#define ADAPTER_PACKET_MAX  2048
#define ADAPTER_WAITERS_MAX 8
#define ADAPTER_EPOLLS_MAX  4
#define ADAPTER_EPOLL_FIRST 1000          /* file descriptors of epoll sets */
#define ADAPTER_IDLE_MAX    (3600 * TG_S) /* netdev_receive waits no longer for a packet */

struct adapter_packet {
    tg_ns time;
    size_t len;
    uint8_t bytes[ADAPTER_PACKET_MAX];
};

/* A thread that sleeps until one of its descriptors is ready, or its time has come. */
struct waiter {
    bool used, ready;
    pthread_t thread;
    const struct pollfd *fds;
    unsigned count;
    tg_ns deadline; /* UINT64_MAX: none */
};

struct epoll_set {
    bool used;
    struct {
        int fd; /* 0: free */
        struct epoll_event event;
    } members[SOCKS_MAX];
};

struct adapter {
    pthread_mutex_t lock; /* of everything here; every entry of the interface takes it */
    pthread_cond_t changed;
    struct host host;
    struct socks socks;
    int domains[SOCKS_MAX];
    char settings[1024];            /* so_flags */
    struct adapter_packet *packets; /* ring of ADAPTER_PACKETS_MAX */
    unsigned first, end;
    struct waiter waiters[ADAPTER_WAITERS_MAX];
    unsigned stamps_due; /* threads that have been woken and not asked for the time yet */
    pthread_t due[ADAPTER_WAITERS_MAX];
    struct epoll_set epolls[ADAPTER_EPOLLS_MAX];
};

/* The stack answers to this address from now on, if nothing has been opened or listened to yet. */
void adapter_local(struct adapter *a, const struct ip_addr *local);
/* The settings may have changed: make the stack anew if nothing has been opened or listened to yet. */
void adapter_configure(struct adapter *a);
/* Let the stack finish what is due now, and wake whom it has made ready. */
void adapter_settle(struct adapter *a);
/* Move the clock, event by event. */
void adapter_advance(struct adapter *a, tg_ns until);

/* Wake the waiters whose descriptors are ready or whose time has come; each owes a stamp. */
void waiters_wake(struct adapter *a);
/* The earliest time that a waiter has asked for. */
tg_ns waiters_deadline(const struct adapter *a);
/* Sleep, with the lock given up, until one of fds is ready or the time has come. */
void waiter_sleep(struct adapter *a, const struct pollfd *fds, unsigned count, tg_ns deadline);
/* Before the clock moves: every woken thread has had its stamp (or a second of real time has passed). */
void stamps_await(struct adapter *a);
/* The calling thread asks for the time. */
void stamp_taken(struct adapter *a);

/* What of a descriptor's events holds: POLL* bits. */
short adapter_poll(struct adapter *a, int fd, short events);
int entry_poll(void *u, struct pollfd *fds, nfds_t count, int timeout_ms);
int entry_epoll_create(void *u, int size);
int entry_epoll_ctl(void *u, int epoll, int operation, int fd, struct epoll_event *event);
int entry_epoll_wait(void *u, int epoll, struct epoll_event *events, int max, int timeout_ms);
/* An epoll set is closed; false: fd is none. */
bool epoll_close(struct adapter *a, int fd);
/* Forget a closed socket. */
void epoll_forget(struct adapter *a, int fd);

/* Fill in the socket calls (entry.c), and clock and wire (adapter.c). */
void entry_fill(struct packetdrill_interface *interface);

#endif
