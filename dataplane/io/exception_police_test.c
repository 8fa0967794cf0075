/* SPDX-License-Identifier: BSD-3-Clause
 * Kinds of frames for the kernel; that each kind has a bucket of its own, with the granted rate and burst.
 */
#include "io/exception.h"
#include "net/net_test_harness.h"

#define KERNEL  "192.0.2.2"
#define ROUTER  "192.0.2.254"
#define KERNEL6 "2001:db8:1::2"
#define ROUTER6 "2001:db8:1::fe"

/* Parse, classify, free. */
static enum exception_kind kind_of(struct harness *h, struct buf *b)
{
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_none);
    enum exception_kind kind = exception_classify(b);
    buf_unref(&h->pool.pool, b);
    return kind;
}

static struct ip_tuple tuple(bool is4, uint16_t local_port, uint16_t remote_port)
{
    return (struct ip_tuple){test_addr(is4 ? KERNEL : KERNEL6), test_addr(is4 ? ROUTER : ROUTER6),
                             local_port, remote_port};
}

/* From the link, or from afar: the hop limit of a frame as the makers leave it is 64. */
static struct buf *with_hops(struct buf *b, bool is4, uint8_t hops)
{
    uint8_t *ip = b->data + ETH_BYTES;
    if (is4) {
        ip[8] = hops;
        wire_put16(ip + 10, 0);
        wire_put16(ip + 10, wire_sum_finish(wire_sum(0, span_make(ip, IP4_BYTES))));
    } else {
        ip[7] = hops;
    }
    return b;
}

static enum exception_kind tcp_kind(struct harness *h, bool is4, uint16_t to, uint16_t from,
                                    uint8_t hops)
{
    struct ip_tuple t = tuple(is4, to, from);
    struct buf *b = test_frame_tcp(&h->pool.pool, &t, 1, 1, TCP_ACK, 1, SPAN_EMPTY, SPAN_EMPTY);
    return kind_of(h, with_hops(b, is4, hops));
}

static enum exception_kind udp_kind(struct harness *h, bool is4, uint16_t to, uint16_t from,
                                    uint8_t hops)
{
    struct ip_tuple t = tuple(is4, to, from);
    return kind_of(h, with_hops(test_frame_udp(&h->pool.pool, &t, SPAN_EMPTY), is4, hops));
}

static enum exception_kind icmp_kind(struct harness *h, bool is4, uint8_t type)
{
    struct ip_tuple t = tuple(is4, 0, 0);
    return kind_of(h, test_frame_icmp(&h->pool.pool, &t.remote, &t.local, type, 0, 0, SPAN_EMPTY));
}

static void bgp_at_either_end_is_routing(void **state)
{
    struct harness *h = *state;
    for (unsigned is4 = 0; is4 < 2; is4++) {
        assert_int_equal(tcp_kind(h, is4, 179, 40000, 255), EXCEPTION_ROUTING);
        assert_int_equal(tcp_kind(h, is4, 40000, 179, 255), EXCEPTION_ROUTING);
        for (unsigned hops = 1; hops < 255; hops += 63) {
            assert_int_equal(tcp_kind(h, is4, 179, 40000, (uint8_t)hops), EXCEPTION_FAR);
            assert_int_equal(tcp_kind(h, is4, 40000, 179, (uint8_t)hops), EXCEPTION_FAR);
        }
        assert_int_equal(tcp_kind(h, is4, 180, 178, 255), EXCEPTION_OTHER);
        assert_int_equal(tcp_kind(h, is4, 3784, 40000, 255), EXCEPTION_OTHER);
        assert_int_equal(tcp_kind(h, is4, 2379, 40000, 64), EXCEPTION_OTHER);
    }
}

static void bfd_is_udp_to_its_ports(void **state)
{
    struct harness *h = *state;
    for (unsigned is4 = 0; is4 < 2; is4++) {
        assert_int_equal(udp_kind(h, is4, 3784, 49152, 255), EXCEPTION_BFD);
        assert_int_equal(udp_kind(h, is4, 3785, 49152, 255), EXCEPTION_BFD);
        assert_int_equal(udp_kind(h, is4, 3784, 49152, 254), EXCEPTION_OTHER); /* RFC 5881 s5 */
        assert_int_equal(udp_kind(h, is4, 3785, 49152, 254), EXCEPTION_BFD);
        assert_int_equal(udp_kind(h, is4, 3785, 49152, 253), EXCEPTION_OTHER);
        assert_int_equal(udp_kind(h, is4, 4784, 49152, 255), EXCEPTION_FAR);
        assert_int_equal(udp_kind(h, is4, 4784, 49152, 60), EXCEPTION_FAR);
        assert_int_equal(udp_kind(h, is4, 49152, 3784, 255), EXCEPTION_OTHER);
        assert_int_equal(udp_kind(h, is4, 179, 49152, 255), EXCEPTION_OTHER);
    }
}

static void the_link_s_own_life(void **state)
{
    struct harness *h = *state;
    struct ip_addr router = test_addr(ROUTER), kernel = test_addr(KERNEL);
    for (uint16_t operation = 1; operation <= 2; operation++)
        assert_int_equal(kind_of(h, test_frame_arp(&h->pool.pool, operation, test_mac_peer, &router,
                                                   test_mac_ours, &kernel)),
                         EXCEPTION_LINK);
    const uint8_t link[] = {130, 131, 132, 133, 134, 135, 136, 137, 143};
    for (unsigned i = 0; i < TG_ARRAY_LEN(link); i++)
        assert_int_equal(icmp_kind(h, false, link[i]), EXCEPTION_LINK);
}

static void icmp_errors_are_not_pings(void **state)
{
    struct harness *h = *state;
    const uint8_t errors4[] = {3, 11, 12}, errors6[] = {1, 2, 3, 4}, others4[] = {0, 5, 8, 13},
                  others6[] = {128, 129, 138, 142, 144};
    for (unsigned i = 0; i < TG_ARRAY_LEN(errors4); i++)
        assert_int_equal(icmp_kind(h, true, errors4[i]), EXCEPTION_ERROR);
    for (unsigned i = 0; i < TG_ARRAY_LEN(errors6); i++)
        assert_int_equal(icmp_kind(h, false, errors6[i]), EXCEPTION_ERROR);
    for (unsigned i = 0; i < TG_ARRAY_LEN(others4); i++)
        assert_int_equal(icmp_kind(h, true, others4[i]), EXCEPTION_OTHER);
    for (unsigned i = 0; i < TG_ARRAY_LEN(others6); i++)
        assert_int_equal(icmp_kind(h, false, others6[i]), EXCEPTION_OTHER);
}

static unsigned granted(struct exception_police *p, enum exception_kind kind, unsigned n, tg_ns now)
{
    unsigned got = 0;
    for (unsigned i = 0; i < n; i++)
        got += exception_police_take(p, kind, now);
    return got;
}

static void a_burst_then_the_rate(void **state)
{
    for (unsigned kind = 0; kind < EXCEPTION_KINDS; kind++) {
        struct exception_police p = {0};
        struct exception_grant g = exception_grant(kind);
        tg_ns now = 77 * TG_S;
        assert_int_equal(granted(&p, kind, 2 * g.burst, now), g.burst);
        assert_int_equal(granted(&p, kind, 10, now), 0);
        unsigned got = 0;
        for (unsigned ms = 1; ms <= 2000; ms++) /* ten times the rate, for two seconds */
            got += granted(&p, kind, g.per_second / 100, now + ms * TG_MS);
        assert_in_range(got, 2 * g.per_second - 2, 2 * g.per_second + 2);
        assert_int_equal(granted(&p, kind, 2 * g.burst, now + 100 * TG_S), g.burst); /* rested */
    }
}

static void a_flood_of_one_kind_starves_no_other(void **state)
{
    for (unsigned flood = 0; flood < EXCEPTION_KINDS; flood++) {
        struct exception_police p = {0};
        for (unsigned ms = 1; ms <= 100; ms++) {
            (void)granted(&p, flood, 1000, ms * TG_MS);
            for (unsigned kind = 0; ms % 10 == 0 && kind < EXCEPTION_KINDS; kind++)
                if (kind != flood)
                    assert_int_equal(granted(&p, kind, 1, ms * TG_MS), 1);
        }
    }
}

/* A ring holds its class's bursts and what its rates add in the 10 ms that the thread may sleep; all of 16
 * workers fit one thread. */
static void the_grants_add_up(void **state)
{
    uint32_t slots[EXCEPTION_CLASSES] = {0}, rate = 0;
    for (unsigned kind = 0; kind < EXCEPTION_KINDS; kind++) {
        struct exception_grant g = exception_grant(kind);
        slots[exception_class_of(kind)] += g.burst + g.per_second / 100;
        rate += g.per_second;
    }
    assert_in_range(slots[EXCEPTION_CONTROL], 1, EXCEPTION_CONTROL_ENTRIES);
    assert_in_range(slots[EXCEPTION_REST], 1, EXCEPTION_REST_ENTRIES);
    assert_in_range(rate * TG_WORKERS_MAX, 1, 500000);
    assert_int_equal(exception_class_of(EXCEPTION_BFD), EXCEPTION_CONTROL);
    assert_int_equal(exception_class_of(EXCEPTION_OTHER), EXCEPTION_REST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(bgp_at_either_end_is_routing),
        HARNESS_TEST(bfd_is_udp_to_its_ports),
        HARNESS_TEST(the_link_s_own_life),
        HARNESS_TEST(icmp_errors_are_not_pings),
        cmocka_unit_test(a_burst_then_the_rate),
        cmocka_unit_test(a_flood_of_one_kind_starves_no_other),
        cmocka_unit_test(the_grants_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
