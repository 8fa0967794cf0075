/* SPDX-License-Identifier: BSD-3-Clause
 * A good frame of every kind, damaged at every place: cut at every length, every bit flipped, every
 * byte replaced. No crash (ASan), no leak (tear-down), no damage to covered bytes that passes.
 */
#include "net/net_test_corpus.h"
#include "net/net_test_harness.h"

#define CSUM_GOOD (BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD)

/* What the offsets of a parsed packet promise to later stages. */
static void assert_offsets_hold(const struct buf *b)
{
    assert_true(b->flags & BUF_PARSED);
    assert_int_equal(b->l3, ETH_BYTES);
    assert_true(b->l3 <= b->l4 && b->l4 <= b->payload && b->payload <= b->len);
    if (b->ip_version == 0)
        return;
    assert_int_equal(b->l4 + b->l4_len, b->len); /* one piece, padding trimmed */
    if (b->ip_proto == IP_PROTO_TCP) {
        struct tcp_segment s = wire_tcp(b);
        assert_int_equal(TCP_BYTES + s.options.len + s.payload_bytes, b->l4_len);
    }
}

/* Bytes that no checksum covers: a flip there may pass. */
static bool is_uncovered(enum corpus_kind kind, unsigned offset)
{
    if (kind >= CORPUS_ARP_REQUEST || offset < 12)
        return true; /* ARP; MAC addresses */
    bool six = kind == CORPUS_TCP6 || kind == CORPUS_UDP6 || kind == CORPUS_TCP6_EXTENDED ||
               kind == CORPUS_ECHO6 || kind == CORPUS_ERROR6 || kind >= CORPUS_SOLICIT;
    unsigned at = offset - ETH_BYTES;
    if (!six || offset < ETH_BYTES)
        return false;
    if (at < 4 || at == 7)
        return true; /* traffic class, flow label, hop limit */
    return kind == CORPUS_TCP6_EXTENDED && at > IP6_BYTES && at < IP6_BYTES + 8;
}

static enum tg_counter parse_and_feed(struct harness *h, struct buf *b, tg_ns now)
{
    enum tg_counter c = wire_parse(b, &h->toeplitz);
    assert_true(c < TG_COUNTER_COUNT);
    if (c != TG_C_none) {
        assert_false(b->flags & BUF_PARSED);
        assert_string_equal(strndupa(stats_name(c), 4), "net_");
        buf_unref(&h->pool.pool, b);
        return c;
    }
    assert_offsets_hold(b);
    net_input(h->net, b, now);
    take_all(h);
    return c;
}

static void good_frames_pass(void **state)
{
    struct harness *h = *state;
    for (unsigned kind = 0; kind < CORPUS_KINDS; kind++)
        assert_int_equal(parse_and_feed(h, corpus_frame(&h->pool.pool, kind), 0), TG_C_none);
    assert_int_equal(counted(h, TG_C_net_icmp_echo), 2);
    assert_int_equal(counted(h, TG_C_net_icmp_too_big), 2);
    assert_int_equal(counted(h, TG_C_net_nd_in), 2);
    assert_int_equal(counted(h, TG_C_net_arp_in), 2);
    assert_int_equal(h->errors, 2);
}

static void every_cut_is_noticed(void **state)
{
    struct harness *h = *state;
    for (unsigned kind = 0; kind < CORPUS_KINDS; kind++) {
        struct buf *good = corpus_frame(&h->pool.pool, kind);
        for (unsigned len = 0; len < good->len; len++) {
            struct buf *b = test_buf_tight(&h->pool.pool, good->data, len);
            enum tg_counter c = parse_and_feed(h, b, 0);
            assert_true(c == TG_C_net_short_frame || c == TG_C_net_ip4_length ||
                        c == TG_C_net_ip6_length);
            b = test_buf_tight(&h->pool.pool, good->data, len);
            b->flags = CSUM_GOOD;
            assert_int_equal(parse_and_feed(h, b, 0), c);
        }
        buf_unref(&h->pool.pool, good);
    }
}

static void every_flip_of_a_covered_bit_is_noticed(void **state)
{
    struct harness *h = *state;
    unsigned passed = 0;
    for (unsigned kind = 0; kind < CORPUS_KINDS; kind++) {
        struct buf *good = corpus_frame(&h->pool.pool, kind);
        for (unsigned bit = 0; bit < good->len * 8u; bit++) {
            struct buf *b = test_buf_tight(&h->pool.pool, good->data, good->len);
            b->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            enum tg_counter c = parse_and_feed(h, b, bit * TG_MS);
            if (c == TG_C_none && !is_uncovered(kind, bit / 8))
                fail_msg("kind %u: flip of bit %u of byte %u passed", kind, bit % 8, bit / 8);
            passed += c == TG_C_none;
        }
        buf_unref(&h->pool.pool, good);
    }
    assert_in_range(passed, 500, 2500); /* the uncovered ones do pass: the test can see both */
}

/* Any value in any byte, with checksums that agree: the structure checks alone must hold. */
static void any_byte_may_lie(void **state)
{
    struct harness *h = *state;
    tg_ns now = 0;
    for (unsigned kind = 0; kind < CORPUS_KINDS; kind++) {
        struct buf *good = corpus_frame(&h->pool.pool, kind);
        for (unsigned offset = 0; offset < good->len; offset++)
            for (unsigned value = 0; value < 256; value += kind < 5 ? 1 : 3) {
                struct buf *b = test_buf_tight(&h->pool.pool, good->data, good->len);
                b->data[offset] = (uint8_t)value;
                b->flags = CSUM_GOOD;
                corpus_fix_icmp(b);
                parse_and_feed(h, b, now += TG_MS);
                if (value % 16 == 0)
                    net_tick(h->net, now);
            }
        buf_unref(&h->pool.pool, good);
    }
    assert_true(counted(h, TG_C_net_nd_bad) > 100);
    assert_true(counted(h, TG_C_net_icmp_bad) > 100);
    assert_true(counted(h, TG_C_net_arp_bad) > 100);
    assert_true(counted(h, TG_C_net_icmp_echo) > 100);
}

/* Frames glued together at random, several bytes damaged. */
static void random_damage_is_survived(void **state)
{
    struct harness *h = *state;
    struct prng p;
    prng_seed(&p, 31337);
    for (unsigned round = 0; round < 30000; round++) {
        struct buf *good = corpus_frame(&h->pool.pool, (unsigned)prng_below(&p, CORPUS_KINDS));
        struct buf *b = test_buf_tight(&h->pool.pool, good->data,
                                       good->len - (size_t)prng_below(&p, good->len / 4));
        for (uint64_t n = prng_below(&p, 4); n; n--)
            b->data[prng_below(&p, b->len)] = (uint8_t)prng_next(&p);
        b->flags = CSUM_GOOD;
        corpus_fix_icmp(b);
        parse_and_feed(h, b, round * TG_MS);
        buf_unref(&h->pool.pool, good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(good_frames_pass),
        HARNESS_TEST(every_cut_is_noticed),
        HARNESS_TEST(every_flip_of_a_covered_bit_is_noticed),
        HARNESS_TEST(any_byte_may_lie),
        HARNESS_TEST(random_damage_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
