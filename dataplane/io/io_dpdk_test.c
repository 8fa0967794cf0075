/* SPDX-License-Identifier: BSD-3-Clause
 * The DPDK back end over virtual devices that need neither root nor hugepages: net_null, net_ring (what is
 * sent comes back), net_memif (two ends in one process). EAL starts once a process, so all ports are
 * opened together, with two workers on one-queue ports; the tests share them.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "io/io.h"
#include <string.h>
#include <time.h>

enum { PORT_NULL, PORT_RING, PORT_MEMIF_A, PORT_MEMIF_B, PORTS };

static struct io_host *host;
static struct io *io[2];
static struct stats stats[2];

static int open_all(void **state)
{
    static const uint8_t key[52] = {1};
    char problem[256] = "";
    const struct io_config config = {
        .workers = 2,
        .ports = {{.device = "net_null0"},
                  {.device = "net_ring0"},
                  {.device = "net_memif0,role=server,id=0,socket=@tidegate-io-test,rsize=10"},
                  {.device = "net_memif1,role=client,id=0,socket=@tidegate-io-test,rsize=10"}},
        .port_count = PORTS,
        .buffers = 4096,
        .rss_key = key,
    };
    if (io_host_open(&config, &host, problem) != TG_OK) {
        print_error("%s\n", problem);
        return -1;
    }
    for (unsigned w = 0; w < 2; w++)
        if (io_open(host, w, &stats[w], &io[w]) != TG_OK)
            return -1;
    return 0;
}

static int close_all(void **state)
{
    io_close(io[0]);
    io_close(io[1]);
    io_host_close(host);
    return 0;
}

static struct buf *make_frame(struct io *from, unsigned port, uint16_t len, uint8_t fill)
{
    struct buf *b = buf_alloc(io_pool(from));
    assert_non_null(b);
    memset(buf_put(b, len), fill, len);
    b->port = (uint8_t)port;
    return b;
}

/* Receive on one port only: net_null delivers without end, so its frames are given back. */
static struct buf *receive_on(struct io *at, unsigned port)
{
    struct buf *burst[TG_BURST], *found = NULL;
    for (unsigned turn = 0; turn < 2000 && !found; turn++) {
        unsigned n = io_rx(at, burst, TG_BURST);
        for (unsigned i = 0; i < n; i++)
            if (burst[i]->port == port && !found)
                found = burst[i];
            else
                buf_unref(io_pool(at), burst[i]);
    }
    return found;
}

static void assert_frame(const struct buf *b, uint16_t len, uint8_t fill)
{
    assert_non_null(b);
    assert_int_equal(b->len, len);
    assert_int_equal(b->refs, 1);
    assert_null(b->next);
    assert_true(buf_headroom(b) >= BUF_HEADROOM);
    for (unsigned i = 0; i < len; i++)
        assert_int_equal(b->data[i], fill);
}

static void capabilities_are_told(void **state)
{
    assert_int_equal(io_port_count(io[0]), PORTS);
    assert_string_equal(io_caps(io[0], PORT_RING)->device, "net_ring0");
    assert_int_equal(io_caps(io[0], PORT_RING)->queues, 1);
    assert_int_equal(io_caps(io[0], PORT_RING)->mtu, 1500);
    assert_false(io_caps(io[0], PORT_RING)->rss);
}

static void null_port_receives_and_swallows(void **state)
{
    uint64_t before = stats[0].value[TG_C_io_rx_packets];
    struct buf *b = receive_on(io[0], PORT_NULL);
    assert_non_null(b);
    assert_true(stats[0].value[TG_C_io_rx_packets] > before);
    assert_int_equal(b->worker, 0);
    uint64_t sent = stats[0].value[TG_C_io_tx_packets];
    b->port = PORT_NULL;
    assert_int_equal(io_tx(io[0], &b, 1), 1);
    io_flush(io[0]);
    assert_int_equal(stats[0].value[TG_C_io_tx_packets], sent + 1);
}

static void ring_port_returns_what_was_sent(void **state)
{
    struct buf *b = make_frame(io[0], PORT_RING, 777, 0x5a);
    io_tx(io[0], &b, 1);
    io_flush(io[0]);
    struct buf *got = receive_on(io[0], PORT_RING);
    assert_frame(got, 777, 0x5a);
    assert_true(got->rx_ns > 0);
    buf_unref(io_pool(io[0]), got);
}

/* The sender keeps a reference, as tcp does for retransmission: the port's hold shows, ends, and the
 * frame is whole in both hands. */
static void kept_frame_is_held_by_the_port(void **state)
{
    struct buf *b = make_frame(io[0], PORT_RING, 100, 0x11);
    struct buf *sent = buf_ref(b);
    io_tx(io[0], &sent, 1);
    io_flush(io[0]);
    assert_int_equal(b->refs, 1);
    assert_false(io_tx_done(io[0], b)); /* it lies in the ring */
    struct buf *got = receive_on(io[0], PORT_RING);
    assert_ptr_equal(got, b); /* net_ring passes the very frame on, with both holds on its mbuf */
    got->flags |= BUF_PORT_HOLDS;
    buf_unref(io_pool(io[0]), got); /* plays the port's completion */
    assert_true(io_tx_done(io[0], b));
    b->refs = 1;
    b->flags = 0;
    buf_unref(io_pool(io[0]), b);
}

static void memif_carries_between_ports_and_copies_nothing_away(void **state)
{
    struct buf *got = NULL;
    /* the two ends find each other in the background: send until one arrives */
    for (unsigned turn = 0; turn < 200 && !got; turn++) {
        struct buf *b = make_frame(io[0], PORT_MEMIF_A, 1400, 0x77);
        io_tx(io[0], &b, 1);
        io_flush(io[0]);
        got = receive_on(io[0], PORT_MEMIF_B);
        if (!got)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    assert_frame(got, 1400, 0x77);
    buf_unref(io_pool(io[0]), got);
}

static void chain_is_linearised_where_the_port_wants_it(void **state)
{
    uint64_t before = stats[0].value[TG_C_io_tx_linearised];
    struct buf *b = make_frame(io[0], PORT_RING, 60, 1);
    b->next = make_frame(io[0], PORT_RING, 40, 1);
    bool chains = io_caps(io[0], PORT_RING)->tx_chains;
    io_tx(io[0], &b, 1);
    io_flush(io[0]);
    struct buf *got = receive_on(io[0], PORT_RING);
    assert_non_null(got);
    assert_int_equal(buf_chain_len(got), 100);
    assert_int_equal(stats[0].value[TG_C_io_tx_linearised], before + (chains ? 0 : 1));
    buf_unref(io_pool(io[0]), got);
}

static unsigned external_released;
static void release_external(void *arg, const uint8_t *data)
{
    external_released++;
}

static void external_bytes_are_copied_and_released(void **state)
{
    static uint8_t page[300];
    struct buf_external external = {release_external, NULL};
    memset(page, 0x3c, sizeof page);
    struct buf *b = make_frame(io[0], PORT_RING, 0, 0);
    b->data = page;
    b->len = sizeof page;
    b->external = &external;
    io_tx(io[0], &b, 1);
    io_flush(io[0]);
    assert_int_equal(external_released, 1);
    struct buf *got = receive_on(io[0], PORT_RING);
    assert_frame(got, sizeof page, 0x3c);
    buf_unref(io_pool(io[0]), got);
}

/* Worker 1 has no queue: worker 0 receives for it and sends for it. */
static void handoff_reaches_the_other_worker(void **state)
{
    struct buf *b = make_frame(io[0], PORT_RING, 90, 9), *burst[TG_BURST];
    b->worker = 1;
    io_handoff(io[0], &b, 1);
    assert_int_equal(io_rx(io[1], burst, TG_BURST), 1);
    assert_frame(burst[0], 90, 9);
    assert_true(burst[0]->flags & BUF_HANDED_OVER);
    assert_int_equal(stats[1].value[TG_C_io_handoff_in], 1);
    burst[0]->port = PORT_RING;
    io_tx(io[1], burst, 1);
    io_flush(io[1]);
    struct buf *got =
        receive_on(io[0], PORT_RING); /* worker 0 moves it to the port, then gets it */
    assert_frame(got, 90, 9);
    buf_unref(io_pool(io[0]), got);
}

static void full_handoff_ring_drops_and_counts(void **state)
{
    uint64_t in_use = io_pool(io[0])->in_use;
    for (unsigned i = 0; i < 1500; i++) {
        struct buf *b = make_frame(io[0], PORT_RING, 60, 0);
        b->worker = 1;
        io_handoff(io[0], &b, 1);
    }
    assert_int_equal(stats[0].value[TG_C_io_handoff_full], 1500 - 1023);
    struct buf *burst[TG_BURST];
    for (unsigned n; (n = io_rx(io[1], burst, TG_BURST));)
        for (unsigned i = 0; i < n; i++)
            buf_unref(io_pool(io[1]), burst[i]);
    assert_int_equal(io_pool(io[0])->in_use + io_pool(io[1])->in_use, in_use);
}

static void full_transmit_queue_drops_and_counts(void **state)
{
    uint64_t before = stats[0].value[TG_C_io_tx_full];
    for (unsigned i = 0; i < 3000; i++) {
        struct buf *b = make_frame(io[0], PORT_RING, 60, 0);
        io_tx(io[0], &b, 1);
    }
    io_flush(io[0]);
    assert_true(stats[0].value[TG_C_io_tx_full] > before);
    for (struct buf *got; (got = receive_on(io[0], PORT_RING));)
        buf_unref(io_pool(io[0]), got);
}

/* Every frame can be out at once, the pool then says so, and comes back whole. */
static void pool_runs_dry_and_recovers(void **state)
{
    struct buf_queue all = {0};
    const struct buf_pool *pool = io_pool(io[1]);
    uint64_t exhausted = pool->exhausted;
    uint32_t before = pool->available(pool);
    for (struct buf *b; (b = buf_alloc(io_pool(io[1])));) {
        buf_queue_push(&all, b);
        assert_int_equal(pool->available(pool), before - all.count);
    }
    assert_true(all.count > 1000);
    assert_int_equal(pool->available(pool), 0);
    assert_true(pool->total >= 1024 && pool->total < 8192);
    assert_int_equal(io_pool(io[1])->exhausted, exhausted + 1);
    assert_true(stats[1].value[TG_C_io_pool_empty] > 0);
    uint32_t count = all.count;
    for (struct buf *b; (b = buf_queue_pop(&all));)
        buf_unref(io_pool(io[1]), b);
    assert_int_equal(pool->available(pool), before);
    buf_pool_flush(io_pool(io[1]));
    assert_int_equal(pool->available(pool), before);
    for (uint32_t i = 0; i < count; i++) {
        struct buf *b = buf_alloc(io_pool(io[1]));
        assert_non_null(b);
        buf_queue_push(&all, b);
    }
    for (struct buf *b; (b = buf_queue_pop(&all));)
        buf_unref(io_pool(io[1]), b);
}

/* net_af_xdp computes the size of its UMEM from the count of frames and the size of one: no gaps may lie between them,
 * or frames lie outside and the port falls silent. */
static void frames_lie_side_by_side(void **state)
{
    const uint8_t *low = NULL, *high = NULL;
    struct buf_queue all = {0};
    for (struct buf *b; (b = buf_alloc(io_pool(io[0])));) {
        low = !low || b->head < low ? b->head : low;
        high = b->head > high ? b->head : high;
        buf_queue_push(&all, b);
    }
    assert_in_range(all.count, 4096, 8192);
    assert_true((size_t)(high - low) <= 8192 * (size_t)(BUF_HEADROOM + BUF_ROOM + 512));
    for (struct buf *b; (b = buf_queue_pop(&all));)
        buf_unref(io_pool(io[0]), b);
}

static tg_ns system_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (tg_ns)t.tv_sec * TG_S + (tg_ns)t.tv_nsec;
}

/* The worker clock never goes back and, once it has been set a few times, shows the system's. */
static void clock_goes_forward_with_the_system(void **state)
{
    tg_ns last = io_now(io[0]), end = system_now() + 350 * TG_MS;
    while (system_now() < end) {
        tg_ns now = io_now(io[0]);
        assert_true(now >= last);
        last = now;
    }
    /* both are read between two readings of the other: no assumption on how long a reading takes */
    tg_ns before = system_now(), now = io_now(io[0]), after = system_now();
    assert_true(now + TG_MS >= before && now <= after + TG_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_are_told),
        cmocka_unit_test(null_port_receives_and_swallows),
        cmocka_unit_test(ring_port_returns_what_was_sent),
        cmocka_unit_test(kept_frame_is_held_by_the_port),
        cmocka_unit_test(memif_carries_between_ports_and_copies_nothing_away),
        cmocka_unit_test(chain_is_linearised_where_the_port_wants_it),
        cmocka_unit_test(external_bytes_are_copied_and_released),
        cmocka_unit_test(handoff_reaches_the_other_worker),
        cmocka_unit_test(full_handoff_ring_drops_and_counts),
        cmocka_unit_test(full_transmit_queue_drops_and_counts),
        cmocka_unit_test(pool_runs_dry_and_recovers),
        cmocka_unit_test(frames_lie_side_by_side),
        cmocka_unit_test(clock_goes_forward_with_the_system),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
