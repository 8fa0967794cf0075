/* SPDX-License-Identifier: BSD-3-Clause
 * Two workers of the AF_XDP back end in two threads, as tidegate runs them, on a veth pair's one queue: worker 0
 * owns the queue, receives a flood and hands all of it over; worker 1 frees that, and sends through
 * worker 0 what it keeps and lets go in a different order. At the end every frame is at home, once.
 * Needs root.
 */
#include "io/io_xdp_lab.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 2048
#define KEPT    64
#define ROUNDS  30000
#define HANDED  20000

static struct io_host *host;
static struct stats stats[2];
static struct io *io[2];
static char does_not_open[] = "a worker does not open its view";
static _Atomic bool worker1_done, stop;
static _Atomic unsigned too_early; /* a frame that was done and then was not */

static void *run_worker0(void *arg)
{
    if (io_open(host, 0, &stats[0], &io[0]) != TG_OK)
        return does_not_open;
    while (!atomic_load(&stop)) {
        struct buf *burst[TG_BURST];
        unsigned n = io_rx(io[0], burst, TG_BURST);
        (void)io_now(io[0]);
        for (unsigned i = 0; i < n; i++)
            burst[i]->worker = 1;
        io_handoff(io[0], burst, n);
        io_flush(io[0]);
    }
    return NULL;
}

/* A ring of frames that were sent and are kept: the oldest is let go, done or not, or sent again when done. */
static void worker1_send(struct buf *kept[KEPT], unsigned at)
{
    struct buf *b = kept[at], *sent;
    if (b && at % 3 && io_tx_done(io[1], b)) {
        if (at % 3 == 1 && !io_tx_done(io[1], b))
            atomic_fetch_add(&too_early, 1);
        memset(b->data, (int)at, b->len); /* ours to rewrite */
    } else {
        buf_unref(io_pool(io[1]), b);
        kept[at] = b = buf_alloc(io_pool(io[1]));
        if (!b)
            return;
        memset(buf_put(b, 60 + (uint16_t)at), (int)at, 60 + at);
    }
    sent = buf_ref(b);
    io_tx(io[1], &sent, 1);
}

static void *run_worker1(void *arg)
{
    struct buf *kept[KEPT] = {NULL}, *burst[TG_BURST];
    if (io_open(host, 1, &stats[1], &io[1]) != TG_OK)
        return does_not_open;
    tg_ns end = io_now(io[1]) + 30 * TG_S;
    for (unsigned round = 0;
         (round < ROUNDS || stats[1].value[TG_C_io_handoff_in] < HANDED) && io_now(io[1]) < end;
         round++) {
        worker1_send(kept, round % KEPT);
        if (round % 8 == 0)
            io_flush(io[1]);
        for (unsigned n = io_rx(io[1], burst, TG_BURST); n > 0; n--)
            buf_unref(io_pool(io[1]), burst[n - 1]);
        if (round % 16 == 0)
            sched_yield();
    }
    for (unsigned i = 0; i < KEPT; i++)
        buf_unref(io_pool(io[1]), kept[i]);
    io_flush(io[1]);
    atomic_store(&worker1_done, true);
    return NULL;
}

static void flood_until_done(int peer)
{
    struct lab_packet p = lab_udp4(9, 9, 10, 9);
    while (!atomic_load(&worker1_done)) {
        for (unsigned i = 0; i < 32; i++)
            lab_raw_send(peer, p.bytes, p.len);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    atomic_store(&stop, true);
}

/* From here on by one thread: what is under way arrives. */
static void settle(void)
{
    struct buf *burst[TG_BURST];
    for (unsigned i = 0; i < 2000; i++)
        for (unsigned w = 0; w < 2; w++)
            for (unsigned n = io_rx(io[w], burst, TG_BURST); n > 0; n--)
                buf_unref(io_pool(io[w]), burst[n - 1]);
    assert_int_equal(io_pool(io[0])->in_use + io_pool(io[1])->in_use, 0);
    for (unsigned w = 0; w < 2; w++)
        buf_pool_flush(io_pool(io[w]));
}

static void every_frame_comes_home_once(void)
{
    static bool seen[2 * BUFFERS];
    static const unsigned expect[2] = {BUFFERS / 2, BUFFERS}; /* worker 0: half wait for frames */
    for (unsigned w = 0; w < 2; w++) {
        unsigned count = 0;
        for (struct buf *b; (b = buf_alloc(io_pool(io[w]))); count++) {
            uint32_t frame = io_frame_of(host, b);
            assert_false(seen[frame]);
            assert_int_equal(frame / BUFFERS, w);
            assert_true(io_tx_done(io[w], b));
            seen[frame] = true;
        }
        assert_int_equal(count, expect[w]);
    }
}

static void two_threads_lose_nothing(void **state)
{
    struct io_config config = {.workers = 2,
                               .ports = {{.device = LAB_OURS, .queues = 1, .address_count = 1}},
                               .port_count = 1,
                               .buffers = BUFFERS};
    char problem[256] = "";
    pthread_t threads[2];
    void *said[2];
    lab_address4(config.ports[0].addresses[0], LAB_EDGE4);
    assert_true(lab_network());
    int peer = lab_raw_open(LAB_PEER);
    if (io_host_open(&config, &host, problem) != TG_OK)
        fail_msg("%s", problem);
    assert_int_equal(pthread_create(&threads[0], NULL, run_worker0, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, run_worker1, NULL), 0);
    flood_until_done(peer);
    for (unsigned w = 0; w < 2; w++) {
        pthread_join(threads[w], &said[w]);
        if (said[w])
            fail_msg("%s", (const char *)said[w]);
    }
    settle();
    every_frame_comes_home_once();
    assert_int_equal(too_early, 0);
    print_message("received %llu, handed over %llu, sent %llu, dropped %llu\n",
                  (unsigned long long)stats[0].value[TG_C_io_rx_packets],
                  (unsigned long long)stats[1].value[TG_C_io_handoff_in],
                  (unsigned long long)stats[1].value[TG_C_io_tx_packets],
                  (unsigned long long)stats[1].value[TG_C_io_tx_full]);
    assert_true(stats[1].value[TG_C_io_handoff_in] >= HANDED);
    assert_true(stats[1].value[TG_C_io_tx_packets] >= ROUNDS / 2);
    io_close(io[0]);
    io_close(io[1]);
    io_host_close(host);
    close(peer);
}

/* A worker's last reference and the port's completion at the same moment: exactly one of them takes the frame
 * home, and its next life starts with one hold. Without the kernel: its part is played by a thread. */
#define FRAMES   64
#define MEETINGS 20000
static struct buf met[FRAMES];
static _Atomic uint32_t met_holds[FRAMES];
static struct io_host meeting = {.workers = 1, .buffers = FRAMES, .bufs = met, .holds = met_holds};
static _Atomic unsigned port_round, worker_round;

/* Spin, so that both go on at once; let others run when there is but one processor for us. */
static void meet(_Atomic unsigned *at, unsigned round)
{
    for (unsigned spins = 1; atomic_load(at) != round; spins++)
        if (spins % 4096 == 0)
            sched_yield();
}

static void *run_port(void *arg)
{
    struct xdp_desc sent[FRAMES];
    for (unsigned i = 0; i < FRAMES; i++)
        sent[i] = (struct xdp_desc){.addr = (uint64_t)i << IO_FRAME_SHIFT};
    for (unsigned round = 1; round <= MEETINGS; round++) {
        meet(&worker_round, round);
        io_port_releases(&meeting, sent, FRAMES);
        atomic_store(&port_round, round);
    }
    return NULL;
}

static void two_holders_let_go_at_once(void **state)
{
    struct buf_pool pool = {.arg = &meeting};
    struct buf *bufs[FRAMES];
    pthread_t port;
    for (unsigned i = 0; i < FRAMES; i++)
        bufs[i] = &met[i];
    for (unsigned i = 0; i < FRAMES; i++)
        atomic_store(&met_holds[i], 1);
    assert_int_equal(pthread_create(&port, NULL, run_port, NULL), 0);
    for (unsigned round = 1; round <= MEETINGS; round++) {
        for (unsigned i = 0; i < FRAMES; i++)
            atomic_fetch_add(&met_holds[i], 1); /* as io_tx does for a frame that is kept */
        atomic_store(&worker_round, round);
        io_drain(&pool, bufs, FRAMES);
        meet(&port_round, round);
        unsigned home = 0;
        for (struct buf *b = atomic_exchange(&meeting.homes[0].returned, NULL); b; b = b->link)
            assert_true(++home <= FRAMES);
        assert_int_equal(home, FRAMES);
        for (unsigned i = 0; i < FRAMES; i++)
            assert_int_equal(atomic_load(&met_holds[i]), 1);
    }
    pthread_join(port, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_holders_let_go_at_once),
                                       cmocka_unit_test(two_threads_lose_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
