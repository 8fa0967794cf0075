/* SPDX-License-Identifier: BSD-3-Clause
 * Two whole workers on simulated ports, and the rings to the kernel: what goes which way, what never does.
 */
#include "io/exception.h"
#include "io/io_sim.h"
#include "net/net_test_harness.h"
#include "worker/worker.h"

#define US      "192.0.2.1"
#define KERNEL  "192.0.2.2"
#define ROUTER  "192.0.2.254"
#define WORKERS 2

struct fixture {
    struct test_pool pool; /* of the frames made here */
    struct toeplitz toeplitz;
    struct exception_host *host;
    struct worker *worker[WORKERS];
    struct io *io[WORKERS];
    struct stats stats[WORKERS];
    tg_ns now;
    unsigned sent;      /* frames that left, by either worker */
    uint8_t last[2048]; /* the last of them */
    size_t last_bytes;
    struct exception_frame frames[64];
};

static void transmit(void *arg, unsigned port, struct span frame, tg_ns now)
{
    struct fixture *f = arg;
    assert_int_equal(port, 0);
    memcpy(f->last, frame.data, frame.len);
    f->last_bytes = frame.len;
    f->sent++;
}

static void open_worker(struct fixture *f, unsigned i)
{
    struct io_sim_config io = {.buffers = 512,
                               .clock = &f->now,
                               .worker = i,
                               .workers = WORKERS,
                               .mtu = 1500,
                               .transmit = transmit,
                               .arg = f};
    memcpy(io.mac, test_mac_ours, 6);
    assert_int_equal(io_sim_open(&io, &f->stats[i], &f->io[i]), TG_OK);
}

static void make_worker(struct fixture *f, unsigned i, struct exception_host *host)
{
    struct worker_config config = {
        .index = i,
        .workers = WORKERS,
        .tcp = {.connections_max = 64,
                .half_open_max = 16,
                .time_wait_max = 64,
                .receive_window_max = 65536,
                .send_buffer_max = 65536,
                .unsent_low = 16384,
                .ooo_segments_max = 64},
        .proxy = {.clients_max = 16, .requests_max = 16, .origins_max = 16, .via = "test"},
        .seed = 1,
        .toeplitz = &f->toeplitz,
        .exception = host};
    harness_config(&config.net);
    assert_int_equal(worker_create(&config, f->io[i], &f->stats[i], NULL, NULL, &f->worker[i]),
                     TG_OK);
}

/* Both workers take turns until neither has work. */
static void turn(struct fixture *f)
{
    for (unsigned again = 1; again;) {
        again = 0;
        f->now += TG_MS;
        for (unsigned i = 0; i < WORKERS; i++)
            again |= worker_poll(f->worker[i], 0);
    }
}

static struct fixture *fixture_make(bool exception)
{
    struct fixture *f = aligned_alloc(TG_CACHE_LINE, sizeof *f);
    memset(f, 0, sizeof *f);
    f->now = TG_S;
    test_pool_init(&f->pool, 0);
    test_toeplitz_init(&f->toeplitz, 7);
    assert_int_equal(exception_host_create(WORKERS, &f->host), TG_OK);
    for (unsigned i = 0; i < WORKERS; i++)
        open_worker(f, i);
    io_sim_join(f->io, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        make_worker(f, i, exception ? f->host : NULL);
    f->now += TG_S;
    turn(f);
    turn(f); /* net's announcements, queued at the end of the first */
    f->sent = 0;
    return f;
}

static int set_up(void **state)
{
    *state = fixture_make(true);
    return 0;
}

static int set_up_without(void **state)
{
    *state = fixture_make(false);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    unsigned leaked = f->pool.outstanding;
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_destroy(f->worker[i]);
        buf_pool_flush(io_pool(f->io[i]));
        leaked += io_sim_outstanding(f->io[i]);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        io_close(f->io[i]);
    exception_host_destroy(f->host);
    free(f);
    return leaked != 0;
}

/* Arrives at worker i's queue; frees b. */
static void arrive(struct fixture *f, unsigned i, struct buf *b)
{
    io_sim_receive(f->io[i], 0, buf_span(b), 0);
    buf_unref(&f->pool.pool, b);
    turn(f);
}

static struct buf *bgp(struct fixture *f, const char *to, uint16_t port)
{
    struct ip_tuple t = {test_addr(to), test_addr(ROUTER), 179, port};
    return test_frame_tcp(&f->pool.pool, &t, 1, 1, TCP_SYN, 1, SPAN_EMPTY, SPAN_EMPTY);
}

static struct buf *arp(struct fixture *f, uint16_t operation, const char *about)
{
    struct ip_addr s = test_addr(ROUTER), t = test_addr(about);
    return test_frame_arp(&f->pool.pool, operation, test_mac_peer, &s, test_mac_ours, &t);
}

static unsigned kernel_gets(struct fixture *f)
{
    return exception_host_take(f->host, f->frames, TG_ARRAY_LEN(f->frames));
}

static uint64_t count(const struct fixture *f, enum tg_counter c)
{
    return f->stats[0].value[c] + f->stats[1].value[c];
}

static void not_ours_goes_to_the_kernel_as_it_came(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < WORKERS; i++) {
        struct buf *b = bgp(f, KERNEL, (uint16_t)(4000 + i)),
                   *copy = buf_linearise(&f->pool.pool, b);
        arrive(f, i, b);
        assert_int_equal(kernel_gets(f), 1);
        assert_int_equal(f->frames[0].len, copy->len);
        assert_memory_equal(f->frames[0].bytes, copy->data, copy->len);
        assert_int_equal(f->stats[i].value[TG_C_exception_in], 1);
        buf_unref(&f->pool.pool, copy);
    }
    assert_int_equal(f->sent, 0); /* and nobody answers for it */
    assert_int_equal(count(f, TG_C_net_not_for_us), 0);
}

static void the_kernel_s_frame_leaves_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct exception_frame *frame = &f->frames[0];
    frame->len = 100;
    for (unsigned i = 0; i < frame->len; i++)
        frame->bytes[i] = (uint8_t)(i * 7);
    exception_host_give(f->host, frame, 1);
    turn(f);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->last_bytes, 100);
    assert_memory_equal(f->last, frame->bytes, 100);
    assert_int_equal(count(f, TG_C_exception_out), 1);
    assert_int_equal(kernel_gets(f), 0); /* even to itself it does not come back */
}

/* More than a turn takes, and in all more than a worker's pool holds: none is lost on the way. */
static void many_leave_in_order(void **state)
{
    struct fixture *f = *state;
    unsigned given = 0;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 50; i++, given++) {
            memset(&f->frames[i], 0, 64);
            f->frames[i].len = 60;
            f->frames[i].bytes[20] = (uint8_t)given;
        }
        exception_host_give(f->host, f->frames, 50);
        turn(f);
        assert_int_equal(f->sent, given);
        assert_int_equal(f->last[20], (uint8_t)(given - 1));
    }
}

static void arp_reaches_both_sides_once(void **state)
{
    struct fixture *f = *state;
    arrive(f, 1, arp(f, 1, KERNEL)); /* worker 0 gets a copy of it, the kernel does not get two */
    assert_int_equal(kernel_gets(f), 1);
    assert_int_equal(f->sent, 0);
    assert_int_equal(count(f, TG_C_net_arp_in), WORKERS);
    arrive(f, 0, arp(f, 2, KERNEL)); /* the answer to the kernel's own question */
    assert_int_equal(kernel_gets(f), 1);
    arrive(f, 1, arp(f, 1, US));
    assert_int_equal(kernel_gets(f), 0);
    assert_int_equal(f->sent, 1); /* worker 0 answers for us */
}

static void our_own_is_served_beside_a_flood(void **state)
{
    struct fixture *f = *state;
    for (uint16_t i = 0; i < 2000; i++) {
        struct ip_tuple t = {test_addr(KERNEL), test_addr(ROUTER), 80, (uint16_t)(1000 + i)};
        struct buf *b = test_frame_udp(&f->pool.pool, &t, SPAN_EMPTY);
        io_sim_receive(f->io[0], 0, buf_span(b), 0);
        buf_unref(&f->pool.pool, b);
        if (i % TG_BURST == 0)
            (void)worker_poll(f->worker[0], 0); /* no time passes */
    }
    turn(f);
    assert_true(count(f, TG_C_exception_policed) > 1000);
    struct ip_addr s = test_addr(ROUTER), d = test_addr(US);
    f->sent = 0;
    arrive(f, 0, arp(f, 1, US)); /* so that the way back is known */
    arrive(f, 0, test_frame_icmp(&f->pool.pool, &s, &d, 8, 0, 1, SPAN_LITERAL("echo")));
    assert_int_equal(count(f, TG_C_net_icmp_echo), 1);
    assert_int_equal(f->sent, 3); /* two answers, and a question: does the router still live? */
    arrive(f, 0, bgp(f, KERNEL, 4000));
    assert_int_equal(kernel_gets(f), 64);
    assert_int_equal(wire_get16(f->frames[0].bytes + ETH_BYTES + IP4_BYTES + 2), 179);
}

static void without_rings_it_is_dropped(void **state)
{
    struct fixture *f = *state;
    arrive(f, 0, bgp(f, KERNEL, 4000));
    arrive(f, 1, bgp(f, KERNEL, 4001));
    arrive(f, 0, arp(f, 1, KERNEL));
    assert_int_equal(kernel_gets(f), 0);
    assert_int_equal(count(f, TG_C_net_not_for_us), 2);
    assert_int_equal(count(f, TG_C_exception_in), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(not_ours_goes_to_the_kernel_as_it_came),
        TEST(the_kernel_s_frame_leaves_as_it_is),
        TEST(many_leave_in_order),
        TEST(arp_reaches_both_sides_once),
        TEST(our_own_is_served_beside_a_flood),
        cmocka_unit_test_setup_teardown(without_rings_it_is_dropped, set_up_without, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
