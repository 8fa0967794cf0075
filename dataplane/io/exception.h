/* SPDX-License-Identifier: BSD-3-Clause
 * The way between the packet path and the kernel. What comes in on port 0 and is not tidegate's goes to
 * the kernel, policed, and what the kernel sends leaves by port 0: so BIRD, and the control plane's own
 * connections, use the NIC that tidegate owns. Here are the rings and no system call: each worker copies
 * its frames into rings of its own; one thread beside main (dataplane/exception_tap.c) moves them to a TAP
 * and the kernel's into one more ring, which worker 0 empties. Neither lock nor wait: a full ring drops
 * and counts. Floor 2: base only.
 *
 *   worker w -- CONTROL, 1,024 frames --.   thread:
 *            -- REST,    1,024 frames --+-> CONTROL of all workers first --> TAP
 *   worker 0 <- 512 frames -------------------------------------------- TAP
 *
 * Loops: a frame of the kernel's is sent as it is and never looked at, so it cannot come back to the
 * kernel from here. The kernel therefore does not reach tidegate's own addresses on the same port.
 *
 * Waking the thread. A wake-up is a system call, so the packet path makes none: a worker calls
 * exception_wake when it has nothing to do and is about to sleep in the kernel anyway. A worker that is
 * never idle never calls it; the thread therefore sleeps at most 10 ms (1 ms while there is traffic),
 * which is what a frame then waits at most. The other way needs no waking: worker 0 looks every turn, and
 * its own sleep ends after 100 us.
 */
#ifndef DATAPLANE_IO_EXCEPTION_H
#define DATAPLANE_IO_EXCEPTION_H

#include "base/buf.h"
#include "base/result.h"
#include "base/stats.h"
#include "io/exception_police.h"

/* Rings: the bursts of their class (exception_police.c), and what comes while the thread sleeps; 3.1 MB a worker, and 0.8 MB for the kernel's frames. */
#define EXCEPTION_CONTROL_ENTRIES 1024
#define EXCEPTION_REST_ENTRIES    1024
/* The kernel's frames, to us; when it is full they wait in the TAP's own queue. */
#define EXCEPTION_KERNEL_ENTRIES 512
#define EXCEPTION_FRAME_BYTES    1534 /* MTU 1500 + Ethernet 14 + VLAN 4, rounded up */

struct exception_frame {
    uint16_t len;
    uint8_t bytes[EXCEPTION_FRAME_BYTES];
};

struct exception_host; /* all rings of the process, owned by exception_tap.c */

/* One worker's end. */
struct exception {
    struct exception_host *host; /* NULL: there is no way to the kernel */
    struct stats *stats;
    unsigned worker;
    bool wake_wanted; /* frames since the last exception_wake */
    struct exception_police police;
    uint64_t refused_seen; /* worker 0 */
};

/* Cold. TG_NO_MEMORY. Ends after all workers and the thread. */
enum tg_err exception_host_create(unsigned workers, struct exception_host **host);
void exception_host_destroy(struct exception_host *host); /* NULL: nothing */

/* How a sleeping thread is woken; called by exception_wake from any worker's thread. NULL: nobody sleeps. */
void exception_host_use_waker(struct exception_host *host, void (*wake)(void *arg), void *arg);

/* --- a worker's side ------------------------------------------------------------------------- */
/* host may be NULL: then the functions below may be called and do nothing. */
void exception_open(struct exception *e, struct exception_host *host, unsigned worker,
                    struct stats *stats);

/* Copy a parsed frame, from its Ethernet header on, towards the kernel; b stays the caller's. Counts what
 * became of it: exception_in, exception_policed, exception_policed_control, exception_full. */
void exception_punt(struct exception *e, const struct buf *b, tg_ns now);

/* Worker 0: up to n of the kernel's frames for io_tx, by port 0, each owned by the caller. Without a
 * buffer they wait. Counts exception_out, and for the thread exception_refused. Others: 0. */
unsigned exception_take(struct exception *e, struct buf_pool *pool, struct buf *burst[],
                        unsigned n);

/* About to sleep: make the thread look at what was punted, if it sleeps. */
void exception_wake(struct exception *e);

/* --- the thread's side: one thread only ------------------------------------------------------- */
/* Up to n frames for the kernel, control frames of all workers before the rest; workers take turns. */
unsigned exception_host_take(struct exception_host *host, struct exception_frame frames[],
                             unsigned n);
/* How many frames exception_host_give can take. */
unsigned exception_host_room(const struct exception_host *host);
/* n frames of the kernel's, n <= room; each has 14..EXCEPTION_FRAME_BYTES bytes. */
void exception_host_give(struct exception_host *host, const struct exception_frame frames[],
                         unsigned n);
/* The kernel took n frames not: they are counted. */
void exception_host_refused(struct exception_host *host, unsigned n);
/* Before sleeping: true when there is nothing to do; from then on exception_wake wakes, until
 * exception_host_awake. False: go on. */
bool exception_host_may_sleep(struct exception_host *host);
void exception_host_awake(struct exception_host *host);

#endif
