/* SPDX-License-Identifier: BSD-3-Clause
 * The rings between workers and the kernel's thread: bytes, order, priority, limits, waking; then both ends
 * in two threads.
 */
#include "io/exception.h"
#include "net/net_test_harness.h"
#include <pthread.h>
#include <stdatomic.h>

#define KERNEL "192.0.2.2"
#define ROUTER "192.0.2.254"

struct fixture {
    struct harness *h;
    struct exception_host *host;
    struct exception worker[3];
    struct stats stats[3];
    unsigned wakes;
    struct exception_frame frames[64];
};

static void count_wake(void *arg)
{
    struct fixture *f = arg;
    f->wakes++;
}

static int set_up(void **state)
{
    void *h;
    harness_set_up(&h);
    struct fixture *f = aligned_alloc(TG_CACHE_LINE, sizeof *f);
    memset(f, 0, sizeof *f);
    f->h = h;
    assert_int_equal(exception_host_create(3, &f->host), TG_OK);
    exception_host_use_waker(f->host, count_wake, f);
    for (unsigned w = 0; w < 3; w++)
        exception_open(&f->worker[w], f->host, w, &f->stats[w]);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    void *h = f->h;
    exception_host_destroy(f->host);
    free(f);
    return harness_tear_down(&h);
}

static struct buf *parsed(struct fixture *f, struct buf *b)
{
    assert_int_equal(wire_parse(b, &f->h->toeplitz), TG_C_none);
    return b;
}

/* To BGP's port, or another; `mark` is the sequence number. */
static struct buf *tcp(struct fixture *f, uint16_t port, uint32_t mark)
{
    struct ip_tuple t = {test_addr(KERNEL), test_addr(ROUTER), port, 40000};
    return parsed(f, test_frame_tcp(&f->h->pool.pool, &t, mark, 1, TCP_ACK, 1, SPAN_EMPTY,
                                    SPAN_LITERAL("bytes that go along")));
}

static void punt(struct fixture *f, unsigned worker, uint16_t port, uint32_t mark, tg_ns now)
{
    struct buf *b = tcp(f, port, mark);
    exception_punt(&f->worker[worker], b, now);
    buf_unref(&f->h->pool.pool, b);
}

static uint32_t mark_of(const struct exception_frame *frame)
{
    return wire_get32(frame->bytes + ETH_BYTES + IP4_BYTES + 4);
}

static uint64_t count_of(const struct fixture *f, unsigned worker, enum tg_counter c)
{
    return f->stats[worker].value[c];
}

static void a_frame_arrives_whole(void **state)
{
    struct fixture *f = *state;
    struct buf *b = tcp(f, 2379, 7);
    exception_punt(&f->worker[0], b, TG_S);
    assert_int_equal(b->refs, 1);
    assert_int_equal(exception_host_take(f->host, f->frames, 64), 1);
    assert_int_equal(f->frames[0].len, b->len);
    assert_memory_equal(f->frames[0].bytes, b->data, b->len);
    assert_int_equal(exception_host_take(f->host, f->frames, 64), 0);
    assert_int_equal(count_of(f, 0, TG_C_exception_in), 1);
    buf_unref(&f->h->pool.pool, b);
}

static void a_chain_arrives_as_one_frame(void **state)
{
    struct fixture *f = *state;
    struct buf *b = tcp(f, 2379, 7), *rest = test_buf(&f->h->pool.pool, "tail", 4);
    b->next = rest;
    exception_punt(&f->worker[0], b, TG_S);
    assert_int_equal(exception_host_take(f->host, f->frames, 64), 1);
    assert_int_equal(f->frames[0].len, b->len + 4);
    assert_memory_equal(f->frames[0].bytes, b->data, b->len);
    assert_memory_equal(f->frames[0].bytes + b->len, "tail", 4);
    buf_unref(&f->h->pool.pool, b);
}

static void a_giant_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct buf *b = tcp(f, 2379, 7);
    uint16_t room = (uint16_t)(EXCEPTION_FRAME_BYTES - b->len);
    memset(buf_put(b, room), 0, room);
    exception_punt(&f->worker[0], b, TG_S);
    assert_int_equal(count_of(f, 0, TG_C_exception_in), 1); /* the largest */
    (void)buf_put(b, 1);
    exception_punt(&f->worker[0], b, TG_S);
    assert_int_equal(count_of(f, 0, TG_C_io_rx_too_big), 1);
    assert_int_equal(exception_host_take(f->host, f->frames, 64), 1);
    assert_int_equal(f->frames[0].len, EXCEPTION_FRAME_BYTES);
    buf_unref(&f->h->pool.pool, b);
}

static void control_overtakes_the_rest(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 100; i++)
        punt(f, 0, 2379, 1000 + i, TG_S);
    punt(f, 0, 179, 1, TG_S);
    punt(f, 2, 179, 2, TG_S);
    punt(f, 1, 2379, 3000, TG_S);
    assert_int_equal(exception_host_take(f->host, f->frames, 10), 10);
    assert_int_equal(mark_of(&f->frames[0]), 1);
    assert_int_equal(mark_of(&f->frames[1]), 2);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(mark_of(&f->frames[2 + i]), 1000 + i);
    /* worker 0's flood does not keep worker 1 waiting: they take turns */
    assert_int_equal(exception_host_take(f->host, f->frames, 10), 10);
    assert_int_equal(mark_of(&f->frames[0]), 3000);
}

static void a_flood_is_policed_and_bgp_goes_on(void **state)
{
    struct fixture *f = *state;
    uint32_t burst = exception_grant(EXCEPTION_OTHER).burst;
    for (uint32_t i = 0; i < 10 * burst; i++)
        punt(f, 0, 80, i, TG_S);
    assert_int_equal(count_of(f, 0, TG_C_exception_in), burst);
    assert_int_equal(count_of(f, 0, TG_C_exception_policed), 9 * burst);
    for (uint32_t i = 0; i < 10; i++)
        punt(f, 0, 179, i, TG_S);
    assert_int_equal(count_of(f, 0, TG_C_exception_in), burst + 10);
    assert_int_equal(count_of(f, 0, TG_C_exception_policed_control), 0);
    for (uint32_t i = 0; i < 1000; i++)
        punt(f, 0, 179, i, TG_S);
    assert_int_equal(count_of(f, 0, TG_C_exception_policed_control),
                     1010 - exception_grant(EXCEPTION_FAR).burst);
}

/* Nobody takes: the ring fills at the granted rate, then drops and counts. */
static void a_full_ring_drops(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < EXCEPTION_REST_ENTRIES + 5; i++)
        punt(f, 1, 80, i, TG_S + i * TG_MS);
    assert_int_equal(count_of(f, 1, TG_C_exception_in), EXCEPTION_REST_ENTRIES);
    assert_int_equal(count_of(f, 1, TG_C_exception_full), 5);
    punt(f, 1, 179, 1, TG_S); /* the other ring is another */
    assert_int_equal(count_of(f, 1, TG_C_exception_full), 5);
}

static void fill(struct exception_frame *frame, uint16_t len, uint8_t byte)
{
    frame->len = len;
    memset(frame->bytes, byte, len);
}

static void the_kernel_s_frames_are_worker_0_s(void **state)
{
    struct fixture *f = *state;
    struct buf *burst[TG_BURST];
    fill(&f->frames[0], 14, 1);
    fill(&f->frames[1], EXCEPTION_FRAME_BYTES, 2);
    exception_host_give(f->host, f->frames, 2);
    assert_int_equal(exception_take(&f->worker[1], &f->h->pool.pool, burst, TG_BURST), 0);
    assert_int_equal(exception_take(&f->worker[0], &f->h->pool.pool, burst, 1), 1);
    assert_int_equal(exception_take(&f->worker[0], &f->h->pool.pool, burst + 1, TG_BURST - 1), 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(burst[i]->len, f->frames[i].len);
        assert_memory_equal(burst[i]->data, f->frames[i].bytes, f->frames[i].len);
        assert_int_equal(burst[i]->port, 0);
        buf_unref(&f->h->pool.pool, burst[i]);
    }
    assert_int_equal(count_of(f, 0, TG_C_exception_out), 2);
}

static void without_buffers_they_wait(void **state)
{
    struct fixture *f = *state;
    struct buf *burst[TG_BURST];
    for (unsigned i = 0; i < 4; i++)
        fill(&f->frames[i], 60, (uint8_t)i);
    exception_host_give(f->host, f->frames, 4);
    f->h->pool.limit = 2;
    assert_int_equal(exception_take(&f->worker[0], &f->h->pool.pool, burst, TG_BURST), 2);
    assert_int_equal(exception_host_room(f->host), EXCEPTION_KERNEL_ENTRIES - 2);
    f->h->pool.limit = 10;
    assert_int_equal(exception_take(&f->worker[0], &f->h->pool.pool, burst + 2, TG_BURST - 2), 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(burst[i]->data[0], i);
        buf_unref(&f->h->pool.pool, burst[i]);
    }
}

static void room_is_told(void **state)
{
    struct fixture *f = *state;
    fill(&f->frames[0], 60, 0);
    for (unsigned left = EXCEPTION_KERNEL_ENTRIES; left > 0; left--) {
        assert_int_equal(exception_host_room(f->host), left);
        exception_host_give(f->host, f->frames, 1);
    }
    assert_int_equal(exception_host_room(f->host), 0);
}

static void what_the_kernel_refused_is_counted(void **state)
{
    struct fixture *f = *state;
    struct buf *b;
    exception_host_refused(f->host, 3);
    assert_int_equal(exception_take(&f->worker[0], &f->h->pool.pool, &b, 1), 0);
    exception_host_refused(f->host, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(exception_take(&f->worker[0], &f->h->pool.pool, &b, 1), 0);
    assert_int_equal(count_of(f, 0, TG_C_exception_refused), 5);
}

static void only_a_sleeper_with_work_is_woken(void **state)
{
    struct fixture *f = *state;
    exception_wake(&f->worker[0]);
    assert_int_equal(f->wakes, 0);
    punt(f, 0, 179, 1, TG_S);
    exception_wake(&f->worker[0]); /* it is awake */
    assert_int_equal(f->wakes, 0);
    assert_false(exception_host_may_sleep(f->host)); /* it must look first */
    assert_int_equal(exception_host_take(f->host, f->frames, 64), 1);
    assert_true(exception_host_may_sleep(f->host));
    exception_wake(&f->worker[0]); /* nothing new */
    assert_int_equal(f->wakes, 0);
    punt(f, 2, 80, 1, TG_S);
    exception_wake(&f->worker[0]);
    exception_wake(&f->worker[2]);
    exception_wake(&f->worker[2]);
    assert_int_equal(f->wakes, 1);
    exception_host_awake(f->host);
    punt(f, 2, 80, 1, TG_S);
    exception_wake(&f->worker[2]);
    assert_int_equal(f->wakes, 1);
}

static void without_rings_nothing_happens(void **state)
{
    struct fixture *f = *state;
    struct exception none;
    struct stats stats = {0};
    struct buf *b;
    exception_open(&none, NULL, 0, &stats);
    struct buf *frame = tcp(f, 179, 1);
    exception_punt(&none, frame, TG_S);
    buf_unref(&f->h->pool.pool, frame);
    assert_int_equal(exception_take(&none, &f->h->pool.pool, &b, 1), 0);
    exception_wake(&none);
    for (unsigned c = 0; c < TG_COUNTER_COUNT; c++)
        assert_int_equal(stats.value[c], 0);
}

/* --- two threads ------------------------------------------------------------------------------- */

#define ECHOES 20000

struct echo {
    struct exception_host *host;
    _Atomic bool stop;
};

/* What the thread of exception_tap.c does, with a kernel that sends everything back. */
static void *echo_run(void *arg)
{
    struct echo *e = arg;
    static struct exception_frame frames[32];
    while (!atomic_load(&e->stop)) {
        unsigned room = exception_host_room(e->host);
        unsigned n = exception_host_take(e->host, frames, room < 32 ? room : 32);
        exception_host_give(e->host, frames, n);
    }
    return NULL;
}

static void expect_echoes(struct fixture *f, uint32_t *next)
{
    struct buf *burst[TG_BURST];
    unsigned n = exception_take(&f->worker[0], &f->h->pool.pool, burst, TG_BURST);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(wire_parse(burst[i], &f->h->toeplitz), TG_C_none); /* whole: checksum */
        assert_int_equal(wire_tcp(burst[i]).seq, (*next)++);
        buf_unref(&f->h->pool.pool, burst[i]);
    }
}

static void frames_cross_threads_in_order(void **state)
{
    struct fixture *f = *state;
    struct echo echo = {.host = f->host};
    pthread_t thread;
    uint32_t sent = 0, next = 0;
    assert_int_equal(pthread_create(&thread, NULL, echo_run, &echo), 0);
    while (next < ECHOES) {
        if (sent < ECHOES && sent - next < 400) { /* fewer than a ring holds: none is lost */
            punt(f, 0, 2379, sent, sent * TG_MS);
            sent++;
        }
        expect_echoes(f, &next);
    }
    atomic_store(&echo.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(count_of(f, 0, TG_C_exception_in), ECHOES);
    assert_int_equal(count_of(f, 0, TG_C_exception_out), ECHOES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_frame_arrives_whole),
        TEST(a_chain_arrives_as_one_frame),
        TEST(a_giant_is_dropped),
        TEST(control_overtakes_the_rest),
        TEST(a_flood_is_policed_and_bgp_goes_on),
        TEST(a_full_ring_drops),
        TEST(the_kernel_s_frames_are_worker_0_s),
        TEST(without_buffers_they_wait),
        TEST(room_is_told),
        TEST(what_the_kernel_refused_is_counted),
        TEST(only_a_sleeper_with_work_is_woken),
        TEST(without_rings_nothing_happens),
        TEST(frames_cross_threads_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
