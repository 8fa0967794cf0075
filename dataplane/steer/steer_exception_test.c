/* SPDX-License-Identifier: BSD-3-Clause
 * What is not ours: each kind of packet, with an exception port and without.
 */
#include "net/net_test_harness.h"
#include "steer/steer.h"

#define US      "192.0.2.1"
#define KERNEL  "192.0.2.2"
#define ROUTER  "192.0.2.254"
#define US6     "2001:db8:1::1"
#define KERNEL6 "2001:db8:1::2"
#define ROUTER6 "2001:db8:1::fe"

struct fixture {
    struct harness *h;
    struct steer steer;
};

static int set_up(void **state)
{
    void *h;
    harness_set_up(&h);
    struct fixture *f = calloc(1, sizeof *f);
    f->h = h;
    f->steer = (struct steer){.net = f->h->net,
                              .toeplitz = &f->h->toeplitz,
                              .stats = &f->h->stats,
                              .workers = 1,
                              .exception = true};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    void *h = f->h;
    free(f);
    return harness_tear_down(&h);
}

struct outcome {
    uint8_t verdict;
    uint16_t reason;
    bool concerns_kernel;
};
static struct outcome steer(struct fixture *f, struct buf *b)
{
    assert_int_equal(wire_parse(b, &f->h->toeplitz), TG_C_none);
    steer_burst(&f->steer, &b, 1, 0);
    struct outcome o = {b->verdict, b->reason, steer_concerns_kernel(&f->steer, b)};
    buf_unref(&f->h->pool.pool, b);
    return o;
}

static struct buf *tcp(struct fixture *f, const char *to, const char *from)
{
    struct ip_tuple t = {test_addr(to), test_addr(from), 179, 40000};
    return test_frame_tcp(&f->h->pool.pool, &t, 1, 1, TCP_SYN, 1, SPAN_EMPTY, SPAN_EMPTY);
}

static struct buf *udp(struct fixture *f, const char *to, const char *from)
{
    struct ip_tuple t = {test_addr(to), test_addr(from), 3784, 49152};
    return test_frame_udp(&f->h->pool.pool, &t, SPAN_EMPTY);
}

static struct buf *icmp(struct fixture *f, const char *to, const char *from, uint8_t type)
{
    struct ip_addr s = test_addr(from), d = test_addr(to);
    return test_frame_icmp(&f->h->pool.pool, &s, &d, type, 0, 0, SPAN_EMPTY);
}

static struct buf *arp(struct fixture *f, uint16_t operation, const char *from, const char *about)
{
    struct ip_addr s = test_addr(from), t = test_addr(about);
    return test_frame_arp(&f->h->pool.pool, operation, test_mac_peer, &s, test_mac_ours, &t);
}

static struct buf *nd(struct fixture *f, uint8_t type, const char *to, const char *about)
{
    return nd_frame(f->h, type, ROUTER6, to, about, 0, test_mac_peer);
}

static void expect_drop(struct outcome o, enum tg_counter reason)
{
    assert_int_equal(o.verdict, BUF_DROP);
    assert_string_equal(stats_name(o.reason), stats_name(reason));
}

/* TCP, UDP, ICMP, and neighbour discovery that comes by unicast, of both families. */
#define NOT_OURS_KINDS 8
static struct buf *not_ours(struct fixture *f, unsigned kind)
{
    switch (kind) {
    case 0:
        return tcp(f, KERNEL, ROUTER);
    case 1:
        return tcp(f, KERNEL6, ROUTER6);
    case 2:
        return udp(f, KERNEL, ROUTER);
    case 3:
        return udp(f, KERNEL6, ROUTER6);
    case 4:
        return icmp(f, KERNEL, ROUTER, 8);
    case 5:
        return icmp(f, KERNEL6, ROUTER6, 128);
    case 6:
        return nd(f, 135, KERNEL6, KERNEL6);
    default:
        return nd(f, 136, KERNEL6, ROUTER6);
    }
}

static void what_is_not_ours_is_the_kernels(void **state)
{
    struct fixture *f = *state;
    for (unsigned kind = 0; kind < NOT_OURS_KINDS; kind++)
        assert_int_equal(steer(f, not_ours(f, kind)).verdict, BUF_PUNT);
    assert_int_equal(counted(f->h, TG_C_steer_punt), NOT_OURS_KINDS);
}

static void without_an_exception_port_it_is_dropped(void **state)
{
    struct fixture *f = *state;
    f->steer.exception = false;
    for (unsigned kind = 0; kind < NOT_OURS_KINDS; kind++)
        expect_drop(steer(f, not_ours(f, kind)), TG_C_net_not_for_us);
    assert_int_equal(counted(f->h, TG_C_steer_punt), 0);
}

/* The kernel has one interface, and it stands for port 0. */
static void other_ports_have_no_way_to_the_kernel(void **state)
{
    struct fixture *f = *state;
    net_destroy(f->h->net);
    f->h->config.ports[1] = f->h->config.ports[0];
    f->h->config.port_count = 2;
    harness_start(f->h);
    f->steer.net = f->h->net;
    for (unsigned kind = 0; kind < NOT_OURS_KINDS; kind++) {
        struct buf *b = not_ours(f, kind);
        b->port = 1;
        expect_drop(steer(f, b), TG_C_net_not_for_us);
    }
    struct buf *b = arp(f, 1, ROUTER, KERNEL);
    b->port = 1;
    assert_false(steer(f, b).concerns_kernel);
}

static void what_the_kernel_never_gets(void **state)
{
    struct fixture *f = *state;
    struct buf *b = tcp(f, KERNEL, ROUTER);
    b->data[5] ^= 1; /* another station's frame, flooded by a switch */
    expect_drop(steer(f, b), TG_C_net_not_for_us);
    expect_drop(steer(f, icmp(f, "192.0.2.255", ROUTER, 8)), TG_C_net_not_for_us);
    expect_drop(steer(f, tcp(f, KERNEL, US)), TG_C_net_address); /* from us, says somebody */
    expect_drop(steer(f, tcp(f, KERNEL6, US6)), TG_C_net_address);
    expect_drop(steer(f, tcp(f, KERNEL, "192.0.2.255")), TG_C_net_address);
    assert_int_equal(counted(f->h, TG_C_steer_punt), 0);
}

static void what_is_ours_stays_ours(void **state)
{
    struct fixture *f = *state;
    struct outcome o = steer(f, tcp(f, US, ROUTER));
    assert_true(o.verdict == BUF_LOCAL && !o.concerns_kernel);
    o = steer(f, icmp(f, US, ROUTER, 8));
    assert_true(o.verdict == BUF_LOCAL && !o.concerns_kernel);
    o = steer(f, icmp(f, US6, ROUTER6, 128));
    assert_true(o.verdict == BUF_LOCAL && !o.concerns_kernel);
    expect_drop(steer(f, udp(f, US, ROUTER)), TG_C_net_protocol);
    expect_drop(steer(f, udp(f, US6, ROUTER6)), TG_C_net_protocol);
}

static void expect_shared(struct outcome o, bool shared)
{
    assert_int_equal(o.verdict, BUF_LOCAL);
    assert_int_equal(o.concerns_kernel, shared);
}

static void arp_about_others_is_both_sides(void **state)
{
    struct fixture *f = *state;
    expect_shared(steer(f, arp(f, 1, ROUTER, US)), false);
    expect_shared(steer(f, arp(f, 1, ROUTER, KERNEL)), true);
    expect_shared(steer(f, arp(f, 1, ROUTER, ROUTER)), true); /* gratuitous: it has moved */
    expect_shared(steer(f, arp(f, 2, ROUTER, KERNEL)), true);
    expect_shared(steer(f, arp(f, 2, ROUTER, US)), false);
}

static void groups_are_both_sides(void **state)
{
    struct fixture *f = *state;
    expect_shared(steer(f, nd(f, 135, "ff02::1:ff00:1", US6)), false);
    expect_shared(steer(f, nd(f, 135, "ff02::1:ff00:2", KERNEL6)), true);
    expect_shared(steer(f, nd(f, 136, "ff02::1", ROUTER6)), true);
    expect_shared(steer(f, nd(f, 134, "ff02::1", ROUTER6)), true);
    expect_shared(steer(f, icmp(f, "ff02::16", "fe80::1", 143)), true);
    struct ip_addr s = test_addr(ROUTER6), d = test_addr("ff02::1:ff00:1");
    struct buf *cut = test_frame_icmp(&f->h->pool.pool, &s, &d, 135, 0, 0, SPAN_LITERAL("short"));
    expect_shared(steer(f, cut), true); /* each judges it by itself */
}

static void nothing_is_shared_twice_or_without_a_port(void **state)
{
    struct fixture *f = *state;
    struct buf *b = arp(f, 1, ROUTER, KERNEL);
    b->flags |= BUF_HANDED_OVER; /* the worker that received it has shared it */
    expect_shared(steer(f, b), false);
    f->steer.exception = false;
    expect_shared(steer(f, arp(f, 1, ROUTER, KERNEL)), false);
    expect_shared(steer(f, nd(f, 135, "ff02::1:ff00:2", KERNEL6)), false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_ours_is_the_kernels),
        TEST(without_an_exception_port_it_is_dropped),
        TEST(other_ports_have_no_way_to_the_kernel),
        TEST(what_the_kernel_never_gets),
        TEST(what_is_ours_stays_ours),
        TEST(arp_about_others_is_both_sides),
        TEST(groups_are_both_sides),
        TEST(nothing_is_shared_twice_or_without_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
