/* SPDX-License-Identifier: BSD-3-Clause
 * Echo, its rate limit, and errors that quote our packets, with every lie a quote can hold.
 */
#include "net/net_test_harness.h"

#define US     "192.0.2.1"
#define PEER   "192.0.2.9"
#define ROUTER "203.0.113.1"
#define FAR    "198.51.100.7"
#define US6    "2001:db8:1::1"
#define PEER6  "2001:db8:1::9"
#define FAR6   "2001:db8:ffff::7"

static int set_up(void **state)
{
    harness_set_up(state);
    struct harness *h = *state;
    net_tick(h->net, 0);
    output(h, PEER, 1, 0);
    output(h, PEER6, 1, 0);
    feed_arp(h, 2, PEER, test_mac_peer, US, 0);
    feed(h, nd_frame(h, 136, PEER6, US6, PEER6, 0x60, test_mac_peer), 0);
    take_all(h);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, harness_tear_down)

static struct buf *icmp(struct harness *h, const char *from, const char *to, uint8_t type,
                        uint8_t code, uint32_t word, struct span body)
{
    struct ip_addr s = test_addr(from), d = test_addr(to);
    return test_frame_icmp(&h->pool.pool, &s, &d, type, code, word, body);
}

static void expect_echo(struct harness *h, const char *from, const char *to, uint8_t type,
                        struct span body)
{
    struct buf *b = take(h);
    assert_non_null(b);
    assert_memory_equal(b->data, test_mac_peer, 6);
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_none); /* checksums and lengths */
    struct ip_addr s = test_addr(from), d = test_addr(to);
    struct ip_addr source = wire_source(b), destination = wire_destination(b);
    assert_true(ip_addr_equal(&source, &s) && ip_addr_equal(&destination, &d));
    assert_int_equal(wire_ip(b)[ip_addr_is4(&s) ? 8 : 7], 64);
    assert_int_equal(wire_l4(b)[0], type);
    assert_int_equal(wire_get32(wire_l4(b) + 4), 0x12340007); /* identifier, sequence */
    assert_int_equal(b->l4_len, 8 + body.len);
    assert_memory_equal(b->data + b->payload, body.data, body.len);
    buf_unref(&h->pool.pool, b);
}

static void echo_is_answered_with_the_same_bytes(void **state)
{
    struct harness *h = *state;
    struct span body = SPAN_LITERAL("an odd number of bytes.");
    feed(h, icmp(h, PEER, US, 8, 0, 0x12340007, body), 0);
    expect_echo(h, US, PEER, 0, body);
    feed(h, icmp(h, PEER6, US6, 128, 0, 0x12340007, body), 0);
    expect_echo(h, US6, PEER6, 129, body);
    expect_silence(h);
    assert_int_equal(counted(h, TG_C_net_icmp_echo), 2);
    assert_int_equal(counted(h, TG_C_net_icmp_in), 2);
}

static void echo_with_padding_is_answered_clean(void **state)
{
    struct harness *h = *state;
    struct buf *b = icmp(h, PEER, US, 8, 0, 0x12340007, SPAN_LITERAL("x"));
    memset(buf_put(b, 17), 0xee, 17); /* link padding */
    feed(h, b, 0);
    expect_echo(h, US, PEER, 0, SPAN_LITERAL("x"));
}

static void echo_of_a_chain_is_answered(void **state)
{
    struct harness *h = *state;
    struct buf *b = icmp(h, PEER, US, 8, 0, 0x12340007, SPAN_LITERAL("abcdefg"));
    b->next = test_buf(&h->pool.pool, "defg", 4);
    buf_trim(b, (uint16_t)(b->len - 4));
    feed(h, b, 0);
    b = take(h);
    struct buf *flat = buf_linearise(&h->pool.pool, b);
    buf_unref(&h->pool.pool, b);
    assert_int_equal(wire_parse(flat, &h->toeplitz), TG_C_none);
    assert_memory_equal(flat->data + flat->payload, "abcdefg", 7);
    buf_unref(&h->pool.pool, flat);
}

static void echo_from_afar_goes_by_the_gateway(void **state)
{
    struct harness *h = *state;
    feed(h, icmp(h, FAR, US, 8, 0, 1, SPAN_EMPTY), 0);
    expect_arp(h, 1, mac_broadcast, US, "192.0.2.254");
}

static void echo_to_others_or_groups_is_not_answered(void **state)
{
    struct harness *h = *state;
    feed(h, icmp(h, PEER, "192.0.2.77", 8, 0, 1, SPAN_EMPTY), 0);
    feed(h, icmp(h, PEER, "192.0.2.255", 8, 0, 1, SPAN_EMPTY), 0);
    feed(h, icmp(h, PEER6, "ff02::1", 128, 0, 1, SPAN_EMPTY), 0);
    feed(h, icmp(h, PEER6, "ff02::1:ff00:1", 128, 0, 1, SPAN_EMPTY), 0);
    assert_int_equal(counted(h, TG_C_net_not_for_us), 4);
    expect_silence(h);
}

static void odd_echoes_are_not_answered(void **state)
{
    struct harness *h = *state;
    feed(h, icmp(h, PEER, US, 8, 1, 1, SPAN_EMPTY), 0); /* code */
    feed(h, icmp(h, PEER6, US6, 128, 255, 1, SPAN_EMPTY), 0);
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 2);
    feed(h, icmp(h, PEER, US, 128, 0, 1, SPAN_EMPTY), 0); /* the other family's type */
    feed(h, icmp(h, PEER6, US6, 8, 0, 1, SPAN_EMPTY), 0);
    feed(h, icmp(h, PEER, US, 0, 0, 1, SPAN_EMPTY), 0); /* replies, timestamps, masks, quench */
    feed(h, icmp(h, PEER, US, 4, 0, 1, SPAN_EMPTY), 0);
    feed(h, icmp(h, PEER, US, 5, 0, 1, SPAN_EMPTY), 0);
    feed(h, icmp(h, PEER, US, 13, 0, 1, SPAN_EMPTY), 0);
    feed(h, icmp(h, PEER6, US6, 129, 0, 1, SPAN_EMPTY), 0);
    expect_silence(h);
    assert_int_equal(h->errors, 0);
}

static void echo_answers_are_limited(void **state)
{
    struct harness *h = *state;
    for (unsigned i = 0; i < 1000; i++)
        feed(h, icmp(h, PEER, US, 8, 0, 1, SPAN_EMPTY), 5 * TG_S);
    assert_int_equal(take_all(h), 100);
    assert_int_equal(counted(h, TG_C_net_icmp_limited), 900);
    for (unsigned i = 0; i < 5000; i++) /* five a millisecond for a second: one is answered */
        feed(h, icmp(h, PEER, US, 8, 0, 1, SPAN_EMPTY), 5 * TG_S + (i / 5) * TG_MS);
    assert_in_range(take_all(h), 999, 1000);
    feed(h, icmp(h, PEER, US, 8, 0, 1, SPAN_EMPTY), 60 * TG_S);
    assert_int_equal(take_all(h), 1);
}

/* --- errors -------------------------------------------------------------------------------------
 */

/* The head of a TCP packet that we sent: IP header, ports 80 -> 40000, sequence 0x01020304. */
static struct span quote4(uint8_t out[28])
{
    memcpy(out, "\x45\0\5\xdc\0\0\x40\0\x40\6\0\0\xc0\0\2\1\xc6\x33\x64\7\0\x50\x9c\x40\1\2\3\4",
           28);
    return span_make(out, 28);
}

static struct span quote6(uint8_t out[48])
{
    struct ip_addr s = test_addr(US6), d = test_addr(FAR6);
    memcpy(out, "\x60\0\0\0\5\xb4\6\x40", 8);
    memcpy(out + 8, s.bytes, 16);
    memcpy(out + 24, d.bytes, 16);
    memcpy(out + 40, "\0\x50\x9c\x40\1\2\3\4", 8);
    return span_make(out, 48);
}

static void expect_error(struct harness *h, const char *remote, uint32_t mtu, bool hard)
{
    struct ip_addr r = test_addr(remote), l = test_addr(ip_addr_is4(&r) ? US : US6);
    assert_int_equal(h->errors, 1);
    h->errors = 0;
    assert_true(ip_addr_equal(&h->error.tuple.remote, &r));
    assert_true(ip_addr_equal(&h->error.tuple.local, &l));
    assert_int_equal(h->error.tuple.local_port, 80);
    assert_int_equal(h->error.tuple.remote_port, 40000);
    assert_int_equal(h->error.seq, 0x01020304);
    assert_int_equal(h->error.mtu, mtu);
    assert_int_equal(h->error.hard, hard);
}

static void errors_reach_tcp(void **state)
{
    struct harness *h = *state;
    uint8_t q4[28], q6[48];
    struct span four = quote4(q4), six = quote6(q6);
    const struct {
        uint8_t type, code;
        bool hard;
    } cases4[] = {{3, 0, false},  {3, 1, false},  {3, 2, true},  {3, 3, true},
                  {3, 13, false}, {11, 0, false}, {12, 0, false}},
      cases6[] = {{1, 0, false}, {1, 3, false}, {1, 4, true},
                  {3, 0, false}, {4, 0, false}, {4, 1, true}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases4); i++) {
        feed(h, icmp(h, ROUTER, US, cases4[i].type, cases4[i].code, 0, four), 0);
        expect_error(h, FAR, 0, cases4[i].hard);
    }
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases6); i++) {
        feed(h, icmp(h, PEER6, US6, cases6[i].type, cases6[i].code, 0, six), 0);
        expect_error(h, FAR6, 0, cases6[i].hard);
    }
    assert_int_equal(counted(h, TG_C_net_icmp_too_big), 0);
}

/* RFC 9293 s3.9.2.2, MUST-55; RFC 6633: source quench is dropped in silence. */
static void source_quench_is_ignored(void **state)
{
    struct harness *h = *state;
    uint8_t q4[28];
    struct span four = quote4(q4);
    feed(h, icmp(h, ROUTER, US, 4, 0, 0, four), 0);
    assert_int_equal(h->errors, 0);
}

static void too_big_carries_the_mtu(void **state)
{
    struct harness *h = *state;
    uint8_t q4[28], q6[48];
    struct span four = quote4(q4), six = quote6(q6);
    feed(h, icmp(h, ROUTER, US, 3, 4, 1400, four), 0);
    expect_error(h, FAR, 1400, false);
    feed(h, icmp(h, PEER6, US6, 2, 0, 1400, six), 0);
    expect_error(h, FAR6, 1400, false);
    feed(h, icmp(h, ROUTER, US, 3, 4, 68, four), 0);
    expect_error(h, FAR, 68, false);
    feed(h, icmp(h, PEER6, US6, 2, 0, 1280, six), 0);
    expect_error(h, FAR6, 1280, false);
    assert_int_equal(counted(h, TG_C_net_icmp_too_big), 4);

    /* RFC 1191 s5: an old router tells nothing; the quoted packet had 1500 bytes. */
    feed(h, icmp(h, ROUTER, US, 3, 4, 0, four), 0);
    expect_error(h, FAR, 1492, false);
    q4[2] = 4, q4[3] = 0; /* 1024 */
    feed(h, icmp(h, ROUTER, US, 3, 4, 0, four), 0);
    expect_error(h, FAR, 1006, false);
    q4[2] = 0, q4[3] = 40;
    feed(h, icmp(h, ROUTER, US, 3, 4, 0, four), 0);
    expect_error(h, FAR, 68, false);
}

/* A router that quotes more than it must shows our timestamp: steer finds the owner by it. */
static void quoted_timestamps_are_read(void **state)
{
    struct harness *h = *state;
    uint8_t q[20 + 32];
    quote4(q);
    memset(q + 28, 0, 12);
    q[32] = 0x80; /* data offset: 8 words */
    memcpy(q + 40, "\1\1\x8\xa\x11\x22\x33\x44\0\0\0\1", 12);
    for (unsigned len = 28; len <= sizeof q; len++) {
        uint8_t *exact = malloc(len);
        memcpy(exact, q, len);
        feed(h, icmp(h, ROUTER, US, 3, 4, 1400, span_make(exact, len)), 0);
        free(exact);
        expect_error(h, FAR, 1400, false);
        assert_int_equal(h->error.has_timestamp, len == sizeof q);
    }
    assert_int_equal(h->error.timestamp, 0x11223344);
    q[32] = 0x70; /* a header that ends in the middle of the option */
    feed(h, icmp(h, ROUTER, US, 3, 4, 1400, span_make(q, sizeof q)), 0);
    expect_error(h, FAR, 1400, false);
    assert_false(h->error.has_timestamp);
    for (unsigned words = 0; words < 6; words++) { /* no options at all, or a lie */
        q[32] = (uint8_t)(words << 4);
        feed(h, icmp(h, ROUTER, US, 3, 4, 1400, span_make(q, sizeof q)), 0);
        expect_error(h, FAR, 1400, false);
        assert_false(h->error.has_timestamp);
    }
    uint8_t q6[40 + 32];
    quote6(q6);
    memcpy(q6 + 48, q + 28, 24);
    q6[40 + 12] = 0x80;
    feed(h, icmp(h, PEER6, US6, 2, 0, 1400, span_make(q6, sizeof q6)), 0);
    expect_error(h, FAR6, 1400, false);
    assert_true(h->error.has_timestamp);
    assert_int_equal(h->error.timestamp, 0x11223344);
}

/* Blind attackers name tiny MTUs (RFC 8201 s4: below 1280 is discarded). */
static void absurd_mtus_are_refused(void **state)
{
    struct harness *h = *state;
    uint8_t q4[28], q6[48];
    for (uint32_t mtu = 1; mtu < 68; mtu++)
        feed(h, icmp(h, ROUTER, US, 3, 4, mtu, quote4(q4)), 0);
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 67);
    feed(h, icmp(h, PEER6, US6, 2, 0, 0, quote6(q6)), 0);
    feed(h, icmp(h, PEER6, US6, 2, 0, 1279, quote6(q6)), 0);
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 69);
    assert_int_equal(h->errors, 0);
}

static void short_quotes_are_refused(void **state)
{
    struct harness *h = *state;
    uint8_t q4[28], q6[48];
    struct span four = quote4(q4), six = quote6(q6);
    for (size_t n = 0; n < four.len; n++)
        feed(h, icmp(h, ROUTER, US, 3, 4, 1400, span_slice(four, 0, n)), 0);
    for (size_t n = 0; n < six.len; n++)
        feed(h, icmp(h, PEER6, US6, 2, 0, 1400, span_slice(six, 0, n)), 0);
    assert_int_equal(counted(h, TG_C_net_icmp_bad), four.len + six.len);
    assert_int_equal(h->errors, 0);
}

static void feed_lie4(struct harness *h, unsigned offset, uint8_t value)
{
    uint8_t q[28];
    struct span four = quote4(q);
    q[offset] = value;
    feed(h, icmp(h, ROUTER, US, 3, 4, 1400, four), 0);
}

static void lying_quotes_are_refused(void **state)
{
    struct harness *h = *state;
    feed_lie4(h, 0, 0x65); /* version */
    feed_lie4(h, 0, 0x44); /* header length: too short, then options that we never send */
    feed_lie4(h, 0, 0x46);
    feed_lie4(h, 0, 0x4f);
    feed_lie4(h, 6, 0x20); /* fragments */
    feed_lie4(h, 7, 0x01);
    feed_lie4(h, 15, 2); /* not sent by whom the error is addressed to */
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 7);
    feed_lie4(h, 9, 17); /* not TCP: not for us to act on */
    feed_lie4(h, 9, 1);  /* ICMP in ICMP */
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 7);
    assert_int_equal(h->errors, 0);

    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    for (unsigned offset = 8; offset <= 24; offset += 16) {
        uint8_t q[48];
        struct span six = quote6(q);
        memcpy(q + offset, mapped, sizeof mapped);
        feed(h, icmp(h, PEER6, US6, 2, 0, 1400, six), 0);
    }
    uint8_t q[48];
    struct span six = quote6(q);
    q[0] = 0x45;
    feed(h, icmp(h, PEER6, US6, 2, 0, 1400, six), 0);
    q[0] = 0x60, q[6] = 44; /* a fragment: we send none */
    feed(h, icmp(h, PEER6, US6, 2, 0, 1400, six), 0);
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 10);
    assert_int_equal(h->errors, 0);
}

/* Of a chain only the first piece is read: what lies behind is not looked at, nor is anything else. */
static void quote_in_a_later_piece_is_not_read(void **state)
{
    struct harness *h = *state;
    uint8_t q4[28];
    for (unsigned there = 0; there <= 28; there++) {
        struct buf *whole = icmp(h, ROUTER, US, 3, 4, 1400, quote4(q4));
        size_t cut = ETH_BYTES + IP4_BYTES + 8 + there;
        struct buf *b = test_buf_tight(&h->pool.pool, whole->data, cut);
        b->next = test_buf_tight(&h->pool.pool, whole->data + cut, whole->len - cut);
        feed(h, b, 0);
        buf_unref(&h->pool.pool, whole);
        assert_int_equal(h->errors, there == 28);
    }
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 28);
}

static void errors_from_ourselves_are_forged(void **state)
{
    struct harness *h = *state;
    uint8_t q4[28];
    net_destroy(h->net);
    h->config.addresses[2] = (struct net_address){test_addr("192.0.2.2"), 96 + 24, 0};
    h->config.address_count = 3;
    harness_start(h);
    feed(h, icmp(h, "192.0.2.2", US, 3, 3, 0, quote4(q4)), 0);
    feed(h, icmp(h, "192.0.2.2", US, 8, 0, 0, SPAN_EMPTY), 0);
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 2);
    assert_int_equal(h->errors, 0);
    expect_silence(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(echo_is_answered_with_the_same_bytes),
        TEST(echo_with_padding_is_answered_clean),
        TEST(echo_of_a_chain_is_answered),
        TEST(echo_from_afar_goes_by_the_gateway),
        TEST(echo_to_others_or_groups_is_not_answered),
        TEST(odd_echoes_are_not_answered),
        TEST(echo_answers_are_limited),
        TEST(errors_reach_tcp),
        TEST(source_quench_is_ignored),
        TEST(too_big_carries_the_mtu),
        TEST(quoted_timestamps_are_read),
        TEST(absurd_mtus_are_refused),
        TEST(short_quotes_are_refused),
        TEST(lying_quotes_are_refused),
        TEST(quote_in_a_later_piece_is_not_read),
        TEST(errors_from_ourselves_are_forged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
