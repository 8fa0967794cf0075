/* SPDX-License-Identifier: BSD-3-Clause
 * The Internet checksum against the textbook loop, over spans and chains.
 */
#include "net/net_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* RFC 1071 s4.1, in big-endian words. */
static uint16_t naive_sum(uint32_t start, const uint8_t *p, size_t n)
{
    uint64_t sum = start;
    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* 0 and 0xffff are both zero in one's complement; the naive loop and ours must still agree on
 * which. */
static void sum_matches_rfc1071_example(void **state)
{
    const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(wire_sum(0, span_make(bytes, sizeof bytes)), 0xddf2); /* RFC 1071 s3 */
    assert_int_equal(wire_sum_finish(0xddf2), 0x220d);
    assert_int_equal(wire_sum(0, SPAN_EMPTY), 0);
    assert_int_equal(wire_sum_finish(0), 0xffff);
}

static void sum_matches_naive_for_every_length_and_alignment(void **state)
{
    struct prng p;
    prng_seed(&p, 1);
    uint8_t bytes[320];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)prng_next(&p);
    for (unsigned at = 0; at < 16; at++)
        for (unsigned n = 0; n <= 300; n++)
            assert_int_equal(wire_sum(0, span_make(bytes + at, n)), naive_sum(0, bytes + at, n));
}

static void sum_keeps_every_carry(void **state)
{
    static uint8_t ones[65535];
    memset(ones, 0xff, sizeof ones);
    for (size_t n = sizeof ones - 20; n <= sizeof ones; n++)
        assert_int_equal(wire_sum(0, span_make(ones, n)), naive_sum(0, ones, n));
    assert_int_equal(wire_sum(UINT32_MAX, span_make(ones, 2)), naive_sum(UINT32_MAX, ones, 2));
}

static void sum_continues(void **state)
{
    struct prng p;
    prng_seed(&p, 2);
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t bytes[64];
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)prng_next(&p);
        size_t cut = prng_below(&p, 33) * 2; /* continuing is defined at even offsets */
        uint32_t sum = wire_sum(0, span_make(bytes, cut));
        sum = wire_sum(sum, span_make(bytes + cut, sizeof bytes - cut));
        assert_int_equal(sum, naive_sum(0, bytes, sizeof bytes));
    }
}

/* Split bytes into up to 6 pieces of any length, empty and odd ones too. */
static struct buf *random_chain(struct buf_pool *pool, struct prng *p, const uint8_t *bytes,
                                size_t len)
{
    struct buf *first = NULL, **tail = &first;
    for (unsigned i = 0; i < 6; i++) {
        size_t n = i == 5 ? len : prng_below(p, len + 1);
        *tail = test_buf(pool, bytes, n);
        tail = &(*tail)->next;
        bytes += n;
        len -= n;
    }
    return first;
}

static void chain_sum_matches_naive(void **state)
{
    struct test_pool pool;
    test_pool_init(&pool, 0);
    struct prng p;
    prng_seed(&p, 3);
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t bytes[200];
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)prng_next(&p);
        size_t len = prng_below(&p, sizeof bytes + 1);
        struct buf *b = random_chain(&pool.pool, &p, bytes, len);
        uint32_t offset = (uint32_t)prng_below(&p, len + 1);
        uint32_t n = (uint32_t)prng_below(&p, len - offset + 1);
        assert_int_equal(wire_sum_chain(0, b, offset, n), naive_sum(0, bytes + offset, n));
        buf_unref(&pool.pool, b);
    }
    assert_int_equal(pool.outstanding, 0);
}

static void pseudo_header_sum_matches_naive(void **state)
{
    struct ip_addr a = test_addr("192.0.2.1"), b = test_addr("198.51.100.7");
    const uint8_t four[] = {192, 0, 2, 1, 198, 51, 100, 7, 0, 6, 0x12, 0x34};
    assert_int_equal(wire_sum_pseudo(&a, &b, 6, 0x1234), naive_sum(0, four, sizeof four));

    a = test_addr("2001:db8::1");
    b = test_addr("2001:db8:ffff::2");
    uint8_t six[40] = {0};
    memcpy(six, a.bytes, 16);
    memcpy(six + 16, b.bytes, 16);
    wire_put32(six + 32, 0x12345);
    six[39] = 58;
    assert_int_equal(wire_sum_pseudo(&a, &b, 58, 0x12345), naive_sum(0, six, sizeof six));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_matches_rfc1071_example),
        cmocka_unit_test(sum_matches_naive_for_every_length_and_alignment),
        cmocka_unit_test(sum_keeps_every_carry),
        cmocka_unit_test(sum_continues),
        cmocka_unit_test(chain_sum_matches_naive),
        cmocka_unit_test(pseudo_header_sum_matches_naive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
