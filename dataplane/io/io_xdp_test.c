/* SPDX-License-Identifier: BSD-3-Clause
 * The AF_XDP back end over a veth pair in a namespace of the test's own: bursts in and out, holds, hand-off,
 * full rings, empty pools. Two workers on the pair's one queue. Needs root; a missing right fails.
 */
#include "io/io_xdp_lab.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 2048

static struct io_host *host;
static struct io *io[2];
static struct stats stats[2];
static int peer, kernel; /* the other end of the link; what the kernel sees on our end */

static int open_all(void **state)
{
    char problem[256] = "";
    struct io_config config = {
        .workers = 2,
        .ports = {{.device = LAB_OURS, .queues = 2, .address_count = 1}},
        .port_count = 1,
        .buffers = BUFFERS,
        .idle_sleep = true,
    };
    lab_address4(config.ports[0].addresses[0], LAB_EDGE4);
    if (!lab_network())
        return -1;
    /* larger than what we serve, so that too large a frame can come */
    for (unsigned i = 0; i < 2; i++)
        lab_run(
            (const char *[]){"ip", "link", "set", i ? LAB_PEER : LAB_OURS, "mtu", "2400", NULL});
    if (io_host_open(&config, &host, problem) != TG_OK) {
        print_error("%s\n", problem);
        return -1;
    }
    for (unsigned w = 0; w < 2; w++)
        if (io_open(host, w, &stats[w], &io[w]) != TG_OK)
            return -1;
    peer = lab_raw_open(LAB_PEER);
    kernel = lab_raw_open(LAB_OURS);
    return 0;
}

static int close_all(void **state)
{
    io_close(io[0]);
    io_close(io[1]);
    io_host_close(host);
    return close(peer) | close(kernel);
}

static struct buf *make_frame(struct io *from, uint16_t len, uint8_t fill)
{
    struct buf *b = buf_alloc(io_pool(from));
    assert_non_null(b);
    memset(buf_put(b, len), fill, len);
    return b;
}

/* The next frame, within a second. */
static struct buf *receive(struct io *at)
{
    struct buf *b;
    for (unsigned i = 0; i < 20000; i++) {
        if (io_rx(at, &b, 1) == 1)
            return b;
        io_wait(at, io_now(at) + 50 * TG_US);
    }
    return NULL;
}

/* Turns in which what was sent can come back. */
static void turn(struct io *at, unsigned turns)
{
    struct buf *burst[TG_BURST];
    for (unsigned i = 0; i < turns; i++)
        for (unsigned n = io_rx(at, burst, TG_BURST); n > 0; n--)
            buf_unref(io_pool(at), burst[n - 1]);
}

static bool comes_back(struct io *at, const struct buf *b)
{
    for (unsigned i = 0; i < 20000 && !io_tx_done(at, b); i++)
        turn(at, 1);
    return io_tx_done(at, b);
}

/* Frames that software has out, over both workers. */
static uint64_t frames_out(void)
{
    return io_pool(io[0])->in_use + io_pool(io[1])->in_use;
}

/* Every frame but those that wait to be received into lies in its own home. */
static void assert_all_at_home(void)
{
    static const unsigned so_far[2] = {BUFFERS - BUFFERS / 2, 2 * BUFFERS - BUFFERS / 2};
    struct buf_queue all = {0};
    for (unsigned w = 0; w < 2; w++)
        buf_pool_flush(io_pool(io[w]));
    for (unsigned w = 0; w < 2; w++) {
        assert_int_equal(io_pool(io[w])->available(io_pool(io[w])), so_far[w] - all.count);
        for (struct buf *b; (b = buf_alloc(io_pool(io[w])));)
            buf_queue_push(&all, b);
        assert_int_equal(all.count, so_far[w]);
    }
    for (struct buf *b; (b = buf_queue_pop(&all));)
        buf_unref(io_pool(io[0]), b);
    for (unsigned w = 0; w < 2; w++)
        buf_pool_flush(io_pool(io[w]));
}

static void assert_bytes(const struct buf *b, const struct lab_packet *p)
{
    assert_non_null(b);
    assert_int_equal(b->len, p->len);
    assert_memory_equal(b->data, p->bytes, p->len);
    assert_int_equal(b->refs, 1);
    assert_null(b->next);
    assert_true(buf_headroom(b) >= BUF_HEADROOM);
}

static void capabilities_are_told(void **state)
{
    const struct io_caps *caps = io_caps(io[0], 0);
    assert_int_equal(io_port_count(io[0]), 1);
    assert_string_equal(caps->device, LAB_OURS);
    assert_int_equal(caps->queues, 1); /* two wanted, the pair has one */
    assert_int_equal(caps->mtu, 1500);
    assert_false(caps->rss || caps->rx_checksum || caps->tx_ip_checksum || caps->tx_l4_checksum);
    assert_true(caps->mac[0] | caps->mac[5]);
}

static void frame_for_our_address_comes_to_us_alone(void **state)
{
    struct lab_packet p = lab_udp4(1000, 53, 777, 0x5a);
    const struct stats was = stats[0];
    tg_ns before = io_now(io[0]);
    lab_raw_send(peer, p.bytes, p.len);
    struct buf *b = receive(io[0]);
    assert_bytes(b, &p);
    assert_int_equal(b->worker, 0);
    assert_int_equal(b->port, 0);
    assert_int_equal(b->flags, 0);
    assert_int_equal(b->flow, BUF_FLOW_NONE);
    assert_true(b->rx_ns >= before && b->rx_ns <= io_now(io[0]));
    assert_int_equal(stats[0].value[TG_C_io_rx_packets], was.value[TG_C_io_rx_packets] + 1);
    assert_int_equal(stats[0].value[TG_C_io_rx_bytes], was.value[TG_C_io_rx_bytes] + p.len);
    buf_unref(io_pool(io[0]), b);
    assert_true(lab_raw_silent(kernel, p.bytes, 40));
}

static void frame_for_another_address_goes_to_the_kernel(void **state)
{
    uint8_t udp[12] = {3, 0xe8, 0, 22, 0, 12};
    struct lab_packet p = lab_ip4(LAB_CLIENT4, LAB_OTHER4, 17, udp, sizeof udp);
    uint64_t packets = stats[0].value[TG_C_io_rx_packets];
    lab_raw_send(peer, p.bytes, p.len);
    assert_true(lab_raw_expect(kernel, p.bytes, p.len, p.len));
    turn(io[0], 100);
    assert_int_equal(stats[0].value[TG_C_io_rx_packets], packets);
}

static void burst_keeps_its_order(void **state)
{
    struct buf *burst[TG_BURST];
    unsigned got = 0;
    for (uint8_t i = 0; i < 100; i++) {
        struct lab_packet p = lab_udp4(1000, 53, 20, i);
        lab_raw_send(peer, p.bytes, p.len);
    }
    for (unsigned tries = 0; tries < 20000 && got < 100; tries++)
        for (unsigned i = 0, n = io_rx(io[0], burst, TG_BURST); i < n; i++) {
            assert_int_equal(burst[i]->data[60], got++);
            buf_unref(io_pool(io[0]), burst[i]);
        }
    assert_int_equal(got, 100);
}

static void sent_frame_arrives_byte_for_byte(void **state)
{
    for (uint16_t len = 60; len <= 1514; len = (uint16_t)(len + 97)) {
        uint8_t expect[1514];
        struct buf *b = make_frame(io[0], len, 0);
        for (unsigned i = 0; i < len; i++)
            b->data[i] = expect[i] = (uint8_t)(i * 7 + len);
        uint64_t out = frames_out();
        assert_int_equal(io_tx(io[0], &b, 1), 1);
        io_flush(io[0]);
        assert_int_equal(frames_out(), out - 1); /* the port's now */
        assert_true(lab_raw_expect(peer, expect, len, len));
    }
}

/* The sender keeps a reference, as tcp does for retransmission: the port's hold shows, and ends when the
 * kernel has sent the frame. */
static void kept_frame_is_held_by_the_port(void **state)
{
    struct buf *b = make_frame(io[0], 100, 0x11), *sent = buf_ref(b);
    assert_true(io_tx_done(io[0], b));
    io_tx(io[0], &sent, 1);
    assert_int_equal(b->refs, 1);
    assert_true(b->flags & BUF_PORT_HOLDS);
    assert_false(io_tx_done(io[0], b));
    io_flush(io[0]);
    assert_true(comes_back(io[0], b));
    assert_int_equal(b->refs, 1);
    assert_int_equal(b->data[99], 0x11);
    memset(b->data, 0x12, 100); /* now it may be rewritten, and sent again */
    sent = buf_ref(b);
    io_tx(io[0], &sent, 1);
    io_flush(io[0]);
    uint8_t expect[100];
    memset(expect, 0x12, sizeof expect);
    assert_true(lab_raw_expect(peer, expect, 100, 100));
    uint64_t out = frames_out();
    buf_unref(io_pool(io[0]), b); /* the port may still hold it: the completion takes it home */
    assert_int_equal(frames_out(), out - 1);
}

/* Kept frames that are freed before and after the port lets go: none is lost, none comes home twice. */
static void every_order_of_letting_go_brings_frames_home(void **state)
{
    uint64_t out = frames_out();
    for (unsigned round = 0; round < 4 * BUFFERS; round++) {
        struct buf *b = make_frame(io[0], 60, 0x33), *sent = buf_ref(b);
        io_tx(io[0], &sent, 1);
        if (round % 3 == 0)
            buf_unref(io_pool(io[0]), b);
        io_flush(io[0]);
        if (round % 3 == 1)
            buf_unref(io_pool(io[0]), b);
        if (round % 3 == 2) {
            assert_true(comes_back(io[0], b));
            buf_unref(io_pool(io[0]), b);
        }
        turn(io[0], 1);
    }
    assert_int_equal(frames_out(), out);
    assert_int_equal(stats[0].value[TG_C_io_tx_full], 0);
}

static void chain_is_linearised(void **state)
{
    uint64_t before = stats[0].value[TG_C_io_tx_linearised], out = frames_out();
    struct buf *b = make_frame(io[0], 60, 0x21);
    uint8_t expect[100];
    b->next = make_frame(io[0], 40, 0x22);
    memset(expect, 0x21, 60);
    memset(expect + 60, 0x22, 40);
    assert_int_equal(io_tx(io[0], &b, 1), 1);
    io_flush(io[0]);
    assert_true(lab_raw_expect(peer, expect, 100, 100));
    assert_int_equal(stats[0].value[TG_C_io_tx_linearised], before + 1);
    assert_int_equal(frames_out(), out);
    /* longer than a frame: dropped, nothing leaks */
    b = make_frame(io[0], BUF_ROOM, 1);
    b->next = make_frame(io[0], 1, 1);
    assert_int_equal(io_tx(io[0], &b, 1), 0);
    assert_int_equal(frames_out(), out);
}

static void release_external(void *arg, const uint8_t *data)
{
    ++*(unsigned *)arg;
}

static void external_bytes_are_copied_and_released(void **state)
{
    static uint8_t page[300];
    unsigned external_released = 0;
    struct buf_external external = {release_external, &external_released};
    memset(page, 0x3c, sizeof page);
    struct buf *b = make_frame(io[0], 0, 0);
    b->data = page;
    b->len = sizeof page;
    b->external = &external;
    io_tx(io[0], &b, 1);
    io_flush(io[0]);
    assert_int_equal(external_released, 1);
    assert_true(lab_raw_expect(peer, page, sizeof page, sizeof page));
}

/* Worker 1 has no queue: worker 0 receives for it and sends for it. */
static void handoff_reaches_the_other_worker(void **state)
{
    struct lab_packet p = lab_udp4(7, 8, 90, 9);
    uint64_t out = frames_out();
    lab_raw_send(peer, p.bytes, p.len);
    struct buf *b = receive(io[0]), *sent;
    assert_non_null(b);
    b->worker = 1;
    io_handoff(io[0], &b, 1);
    b = receive(io[1]);
    assert_bytes(b, &p);
    assert_true(b->flags & BUF_HANDED_OVER);
    assert_int_equal(stats[1].value[TG_C_io_handoff_in], 1);
    b->data[0] = 0x42; /* not a frame that the test has sent */
    memcpy(p.bytes, b->data, 1);
    sent = buf_ref(b);
    io_tx(io[1], &sent, 1);
    io_flush(io[1]);
    assert_false(io_tx_done(io[1], b));
    turn(io[0], 1); /* worker 0 moves it to the port */
    assert_true(lab_raw_expect(peer, p.bytes, p.len, p.len));
    assert_true(comes_back(io[0], b));
    assert_true(io_tx_done(io[1], b));
    buf_unref(io_pool(io[1]), b);
    assert_int_equal(frames_out(), out);
}

static void full_handoff_ring_drops_and_counts(void **state)
{
    uint64_t out = frames_out(), sent = stats[0].value[TG_C_io_handoff_out];
    for (unsigned i = 0; i < 1400; i++) {
        struct buf *b = buf_alloc(io_pool(i % 2 ? io[1] : io[0]));
        if (!b)
            continue;
        buf_put(b, 60);
        b->worker = 1;
        io_handoff(io[0], &b, 1);
    }
    assert_true(stats[0].value[TG_C_io_handoff_full] > 0);
    assert_int_equal(stats[0].value[TG_C_io_handoff_out] - sent, 1024);
    turn(io[1], 1024 / TG_BURST);
    assert_int_equal(frames_out(), out);
}

/* Worker 0 does not turn: what worker 1 sends has nowhere to go. */
static void full_outgoing_ring_drops_and_counts(void **state)
{
    uint64_t out = frames_out();
    for (unsigned i = 0; i < 1500; i++) {
        struct buf *b = buf_alloc(io_pool(i % 2 ? io[1] : io[0]));
        if (!b)
            continue;
        memset(buf_put(b, 60), 0x55, 60);
        io_tx(io[1], &b, 1);
        io_flush(io[1]);
    }
    assert_true(stats[1].value[TG_C_io_tx_full] > 0);
    assert_int_equal(frames_out(), out);
    turn(io[0], 2000); /* they leave */
    assert_all_at_home();
}

/* The interface takes nothing: the ring fills, then frames are dropped; all is well when it is up again. */
static void full_transmit_ring_drops_and_counts(void **state)
{
    uint64_t before = stats[0].value[TG_C_io_tx_full], out = frames_out();
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "down", NULL});
    for (unsigned i = 0; i < 2 * BUFFERS; i++) {
        struct buf *b = buf_alloc(io_pool(i % 2 ? io[1] : io[0]));
        if (!b)
            continue;
        memset(buf_put(b, 60), 0x66, 60);
        io_tx(io[0], &b, 1);
        io_flush(io[0]);
    }
    assert_true(stats[0].value[TG_C_io_tx_full] > before);
    assert_int_equal(frames_out(), out);
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "up", NULL});
    turn(io[0], 2000);
    assert_all_at_home();
}

static void flood(unsigned frames)
{
    struct lab_packet p = lab_udp4(9, 9, 10, 9);
    for (unsigned i = 0; i < frames; i++)
        lab_raw_send(peer, p.bytes, p.len);
}

/* Nobody gives frames back: the kernel has none to receive into, says so, and it goes on afterwards. */
static void no_free_frame_is_counted_and_passes(void **state)
{
    struct buf_queue held = {0};
    struct buf *burst[TG_BURST];
    uint64_t out = frames_out(), missed = stats[0].value[TG_C_io_rx_missed];
    for (struct buf *b; (b = buf_alloc(io_pool(io[0])));)
        buf_queue_push(&held, b);
    uint64_t empty = stats[0].value[TG_C_io_pool_empty];
    for (unsigned round = 0; round < 40; round++) {
        flood(50);
        for (unsigned i = 0; i < 50; i++)
            for (unsigned n = io_rx(io[0], burst, TG_BURST); n > 0; n--)
                buf_queue_push(&held, burst[n - 1]);
    }
    assert_true(stats[0].value[TG_C_io_pool_empty] > empty);
    nanosleep(&(struct timespec){.tv_nsec = 11000000}, NULL); /* counters are read every 2 ms */
    (void)io_now(io[0]);
    turn(io[0], 2);
    assert_true(stats[0].value[TG_C_io_rx_missed] > missed);
    for (struct buf *b; (b = buf_queue_pop(&held));)
        buf_unref(io_pool(io[0]), b);
    turn(io[0], 100);
    assert_int_equal(frames_out(), out);
    flood(1);
    struct buf *b = receive(io[0]);
    assert_non_null(b);
    buf_unref(io_pool(io[0]), b);
}

static void too_large_a_frame_is_dropped_and_counted(void **state)
{
    struct lab_packet p = lab_udp4(9, 9, 1990, 9);
    assert_true(p.len <= BUF_ROOM);
    lab_raw_send(peer, p.bytes, p.len);
    struct buf *b = receive(io[0]);
    assert_bytes(b, &p);
    buf_unref(io_pool(io[0]), b);
    p.len = BUF_ROOM + 20; /* the IP length says less: link padding */
    lab_raw_send(peer, p.bytes, p.len);
    flood(1);
    b = receive(io[0]);
    assert_non_null(b);
    assert_int_equal(b->len, 52);
    assert_int_equal(stats[0].value[TG_C_io_rx_too_big], 1);
    buf_unref(io_pool(io[0]), b);
}

/* A rule goes down, its hits come up, the counter for all shows. */
static void drop_rule_is_in_force_in_the_driver(void **state)
{
    struct io_drop_rule rule = {.source_bits = 128,
                                .proto = 17,
                                .source_port_high = 65535,
                                .destination_port_low = 9,
                                .destination_port_high = 9,
                                .slot = 77};
    lab_address4(rule.source, LAB_CLIENT4);
    assert_int_equal(io_host_use_rules(host, &rule, 1), TG_OK);
    flood(10);
    struct lab_packet p = lab_udp4(9, 10, 10, 9);
    lab_raw_send(peer, p.bytes, p.len);
    struct buf *b = receive(io[0]); /* the first that comes is the other one */
    assert_bytes(b, &p);
    buf_unref(io_pool(io[0]), b);
    assert_int_equal(io_host_rule_hits(host, 77), 10);
    assert_int_equal(io_rule_hits_take(io[0], 77), 10);
    assert_int_equal(io_rule_hits_take(io[0], 77), 0);
    assert_int_equal(io_host_rule_hits(host, 76), 0);
    nanosleep(&(struct timespec){.tv_nsec = 11000000}, NULL);
    (void)io_now(io[0]);
    turn(io[0], 1);
    assert_int_equal(stats[0].value[TG_C_filter_rule], 10);
    assert_int_equal(io_host_use_rules(host, NULL, 0), TG_OK);
    flood(1);
    b = receive(io[0]);
    assert_non_null(b);
    buf_unref(io_pool(io[0]), b);
}

static void idle_worker_sleeps_and_a_frame_wakes_it(void **state)
{
    uint64_t waits = stats[0].value[TG_C_io_waits];
    struct timespec t;
    tg_ns start = io_now(io[0]);
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_true((tg_ns)t.tv_sec * TG_S + (tg_ns)t.tv_nsec >= start);
    for (unsigned i = 0; i < 20; i++)
        io_wait(io[0], io_now(io[0]) + 100 * TG_US);
    assert_true(io_now(io[0]) - start >= TG_MS); /* 5 + 10 + 20 + 50 + 16 * 100 us */
    assert_int_equal(stats[0].value[TG_C_io_waits], waits + 20);
    start = io_now(io[0]);
    io_wait(io[0], start); /* the time has come already */
    assert_int_equal(stats[0].value[TG_C_io_waits], waits + 20);
    flood(1);
    struct buf *b = receive(io[0]);
    assert_non_null(b);
    buf_unref(io_pool(io[0]), b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_are_told),
        cmocka_unit_test(frame_for_our_address_comes_to_us_alone),
        cmocka_unit_test(frame_for_another_address_goes_to_the_kernel),
        cmocka_unit_test(burst_keeps_its_order),
        cmocka_unit_test(sent_frame_arrives_byte_for_byte),
        cmocka_unit_test(kept_frame_is_held_by_the_port),
        cmocka_unit_test(every_order_of_letting_go_brings_frames_home),
        cmocka_unit_test(chain_is_linearised),
        cmocka_unit_test(external_bytes_are_copied_and_released),
        cmocka_unit_test(handoff_reaches_the_other_worker),
        cmocka_unit_test(full_handoff_ring_drops_and_counts),
        cmocka_unit_test(full_outgoing_ring_drops_and_counts),
        cmocka_unit_test(full_transmit_ring_drops_and_counts),
        cmocka_unit_test(no_free_frame_is_counted_and_passes),
        cmocka_unit_test(too_large_a_frame_is_dropped_and_counted),
        cmocka_unit_test(drop_rule_is_in_force_in_the_driver),
        cmocka_unit_test(idle_worker_sleeps_and_a_frame_wakes_it),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
