/* SPDX-License-Identifier: BSD-3-Clause
 * Lies and oddities of IPv4 and IPv6 headers: lengths, fragments, extension header chains,
 * martians.
 */
#include "net/net_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CSUM_GOOD (BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD)

static struct test_pool pool;
static struct toeplitz toeplitz;

static int set_up(void **state)
{
    test_pool_init(&pool, 0);
    test_toeplitz_init(&toeplitz, 7);
    return 0;
}

static int tear_down(void **state)
{
    return pool.outstanding != 0;
}

static struct ip_tuple tuple_of(const char *local, const char *remote)
{
    return (struct ip_tuple){test_addr(local), test_addr(remote), 80, 40000};
}

static struct buf *ack4(void)
{
    struct ip_tuple t = tuple_of("192.0.2.1", "198.51.100.7");
    return test_frame_tcp(&pool.pool, &t, 1, 0, TCP_ACK, 1000, SPAN_EMPTY, SPAN_LITERAL("hello"));
}

static struct buf *ack6(void)
{
    struct ip_tuple t = tuple_of("2001:db8::1", "2001:db8:9::7");
    return test_frame_tcp(&pool.pool, &t, 1, 0, TCP_ACK, 1000, SPAN_EMPTY, SPAN_LITERAL("hello"));
}

/* Parse a tight copy with checksums vouched for; frees b. */
static enum tg_counter parse_free(struct buf *b)
{
    struct buf *tight = test_buf_tight(&pool.pool, b->data, b->len);
    tight->flags = CSUM_GOOD;
    enum tg_counter c = wire_parse(tight, &toeplitz);
    buf_unref(&pool.pool, tight);
    buf_unref(&pool.pool, b);
    return c;
}

/* ... with one byte of the IP header set. */
static enum tg_counter with_byte(struct buf *b, unsigned offset, uint8_t value)
{
    b->data[ETH_BYTES + offset] = value;
    return parse_free(b);
}

static enum tg_counter with_16(struct buf *b, unsigned offset, uint16_t value)
{
    wire_put16(b->data + ETH_BYTES + offset, value);
    return parse_free(b);
}

static void ip4_version_and_header_length(void **state)
{
    for (unsigned version = 0; version < 16; version++)
        for (unsigned words = 0; words < 16; words++) {
            enum tg_counter want = version != 4 || words < 5 ? TG_C_net_ip4_header
                                   : words > 5               ? TG_C_net_ip4_options
                                                             : TG_C_none;
            assert_int_equal(with_byte(ack4(), 0, (uint8_t)(version << 4 | words)), want);
        }
}

static void ip4_total_length(void **state)
{
    for (uint16_t total = 0; total < 200; total++) {
        enum tg_counter want = total < 20 || total > 45 ? TG_C_net_ip4_length
                               : total < 40             ? TG_C_net_l4_short
                                                        : TG_C_none;
        assert_int_equal(with_16(ack4(), 2, total), want);
    }
    assert_int_equal(with_16(ack4(), 2, UINT16_MAX), TG_C_net_ip4_length);
}

static void ip4_checksum_is_verified(void **state)
{
    for (unsigned bit = 0; bit < IP4_BYTES * 8; bit++) {
        struct buf *b = ack4();
        b->data[ETH_BYTES + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(wire_parse(b, &toeplitz), TG_C_none);
        buf_unref(&pool.pool, b);
    }
    struct buf *b = ack4();
    b->data[ETH_BYTES + 8]--; /* TTL: nothing else looks at it */
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_net_ip4_checksum);
    buf_unref(&pool.pool, b);
}

static void ip4_fragments_are_dropped(void **state)
{
    assert_int_equal(with_16(ack4(), 6, 0x2000), TG_C_net_fragment); /* first */
    assert_int_equal(with_16(ack4(), 6, 0x2001), TG_C_net_fragment); /* middle */
    assert_int_equal(with_16(ack4(), 6, 0x0001), TG_C_net_fragment); /* last */
    assert_int_equal(with_16(ack4(), 6, 0x1fff), TG_C_net_fragment); /* ping of death's offset */
    assert_int_equal(with_16(ack4(), 6, 0x0000), TG_C_none);         /* DF is not asked for */
}

static void ip4_protocols(void **state)
{
    for (unsigned proto = 0; proto < 256; proto++) {
        bool known = proto == 6 || proto == 17 || proto == 1;
        enum tg_counter got = with_byte(ack4(), 9, (uint8_t)proto);
        assert_int_equal(got == TG_C_net_protocol, !known);
    }
}

static void martians_are_dropped(void **state)
{
    const char *const ours4 = "192.0.2.1", *const ours6 = "2001:db8::1";
    const struct {
        const char *local, *remote;
    } bad[] = {{ours4, "0.0.0.0"},
               {ours4, "0.1.2.3"},
               {ours4, "127.0.0.1"},
               {ours4, "127.255.255.254"},
               {ours4, "224.0.0.1"},
               {ours4, "239.255.255.255"},
               {ours4, "240.0.0.1"},
               {ours4, "255.255.255.255"},
               {ours4, ours4},
               {"0.0.0.0", "198.51.100.7"},
               {"127.0.0.1", "198.51.100.7"},
               {"224.0.0.5", "198.51.100.7"},
               {"255.255.255.255", "198.51.100.7"},
               {ours6, "::"},
               {ours6, "::1"},
               {ours6, "::7:8"},
               {ours6, "ff02::1"},
               {ours6, "ff0e::1:2"},
               {ours6, ours6},
               {"::", "2001:db8:9::7"},
               {"::1", "2001:db8:9::7"},
               {"ff02::1", "2001:db8:9::7"}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct ip_tuple t = tuple_of(bad[i].local, bad[i].remote);
        struct buf *b = test_frame_tcp(&pool.pool, &t, 1, 0, TCP_SYN, 1, SPAN_EMPTY, SPAN_EMPTY);
        assert_int_equal(wire_parse(b, &toeplitz), TG_C_net_address);
        buf_unref(&pool.pool, b);
    }
    const char *const good[] = {"1.0.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.255"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(good); i++) {
        struct ip_tuple t = tuple_of(ours4, good[i]);
        struct buf *b = test_frame_tcp(&pool.pool, &t, 1, 0, TCP_SYN, 1, SPAN_EMPTY, SPAN_EMPTY);
        assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
        buf_unref(&pool.pool, b);
    }
}

/* Inside, ::ffff:a.b.c.d is IPv4: from a wire it would be another machine's name. */
static void mapped_addresses_are_dropped(void **state)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    for (unsigned offset = 8; offset <= 24; offset += 16) {
        struct buf *b = ack6();
        memcpy(b->data + ETH_BYTES + offset, mapped, sizeof mapped);
        assert_int_equal(parse_free(b), TG_C_net_address);
    }
}

static void ip6_version_and_payload_length(void **state)
{
    for (unsigned version = 0; version < 16; version++)
        assert_int_equal(with_byte(ack6(), 0, (uint8_t)(version << 4)),
                         version == 6 ? TG_C_none : TG_C_net_ip6_length);
    for (uint16_t payload = 0; payload < 100; payload++) {
        enum tg_counter want = payload == 0 || payload > 25 ? TG_C_net_ip6_length
                               : payload < 20               ? TG_C_net_l4_short
                                                            : TG_C_none;
        assert_int_equal(with_16(ack6(), 4, payload), want);
    }
    assert_int_equal(with_16(ack6(), 4, UINT16_MAX), TG_C_net_ip6_length);
}

/* Put extension headers between the IPv6 header and TCP: bytes as given, their first "next header"
 * in `first`. */
static struct buf *extended(uint8_t first, struct span chain)
{
    struct buf *b = ack6();
    uint8_t copy[ETH_BYTES + IP6_BYTES];
    memcpy(copy, b->data, sizeof copy);
    copy[ETH_BYTES + 6] = first;
    wire_put16(copy + ETH_BYTES + 4, (uint16_t)(b->len - sizeof copy + chain.len));
    struct buf *x = buf_alloc(&pool.pool);
    memcpy(buf_put(x, sizeof copy), copy, sizeof copy);
    memcpy(buf_put(x, (uint16_t)chain.len), chain.data, chain.len);
    uint16_t rest = (uint16_t)(b->len - sizeof copy);
    memcpy(buf_put(x, rest), b->data + sizeof copy, rest);
    buf_unref(&pool.pool, b);
    return x;
}
#define EXTENDED(first, chain) parse_free(extended(first, SPAN_LITERAL(chain)))

static void ip6_extension_headers_are_walked(void **state)
{
    assert_int_equal(EXTENDED(0, "\6\0\1\4\0\0\0\0"), TG_C_none);  /* hop-by-hop, PadN */
    assert_int_equal(EXTENDED(60, "\6\0\0\0\0\0\0\0"), TG_C_none); /* destination, Pad1 x 6 */
    assert_int_equal(EXTENDED(0, "\6\0\5\2\0\0\1\0"), TG_C_none);  /* router alert */
    assert_int_equal(EXTENDED(60, "\6\0\x1e\4abcd"), TG_C_none);   /* unknown, skippable */
    assert_int_equal(EXTENDED(43, "\6\0\2\0\0\0\0\0"), TG_C_none); /* routing, used up */
    assert_int_equal(EXTENDED(0, "\x3c\0\1\4\0\0\0\0\x2b\0\1\4\0\0\0\0\6\0\4\0\0\0\0\0"),
                     TG_C_none);
    assert_int_equal(EXTENDED(60, "\6\1\1\3\0\0\0\x1e\0\1\3\0\0\0\0\0"), TG_C_none); /* 5, 7 */
    struct buf *b = extended(60, SPAN_LITERAL("\6\0\1\4\0\0\0\0"));
    assert_int_equal(wire_parse(b, &toeplitz),
                     TG_C_none); /* the checksum covers what it covered before */
    assert_int_equal(b->l4, ETH_BYTES + IP6_BYTES + 8);
    assert_int_equal(b->l4_len, 25);
    assert_int_equal(wire_tcp(b).payload_bytes, 5);
    buf_unref(&pool.pool, b);
}

static void ip6_extension_headers_lie(void **state)
{
    const enum tg_counter bad = TG_C_net_ip6_extensions;
    assert_int_equal(EXTENDED(43, "\6\0\0\0\0\0\0\0"), bad);                 /* RH0, even used up */
    assert_int_equal(EXTENDED(43, "\6\0\0\1\0\0\0\0"), bad);                 /* RH0 */
    assert_int_equal(EXTENDED(43, "\6\0\4\1\0\0\0\0"), bad);                 /* segments left */
    assert_int_equal(EXTENDED(60, "\0\0\1\4\0\0\0\0\6\0\1\4\0\0\0\0"), bad); /* hop-by-hop second */
    assert_int_equal(EXTENDED(0, "\6\0\xc2\4\0\1\0\0"), bad);                /* jumbogram */
    assert_int_equal(EXTENDED(60, "\6\0\x40\4abcd"), bad);                   /* unknown: discard */
    assert_int_equal(EXTENDED(60, "\6\0\x80\4abcd"), bad); /* unknown: discard, tell */
    assert_int_equal(EXTENDED(60, "\6\0\x1e\5abcd"), bad); /* option past its header */
    assert_int_equal(EXTENDED(60, "\6\0\1\xff\0\0\0\0"), bad);
    assert_int_equal(EXTENDED(60, "\6\0\1\3\0\0\0\1"), bad); /* one byte left of an option */
    assert_int_equal(EXTENDED(60, "\6\1\1\x0c\0\0\0\0\0\0\0\0\0\0\0\0"), bad); /* 14 of padding */
    assert_int_equal(EXTENDED(60, "\6\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), bad);
    assert_int_equal(EXTENDED(0, "\6\xff\1\4\0\0\0\0"), bad); /* longer than the packet */
    assert_int_equal(EXTENDED(51, "\6\4\0\0\0\0\0\0"), bad);  /* authentication */
    assert_int_equal(EXTENDED(50, "\6\4\0\0\0\0\0\0"), bad);
    assert_int_equal(EXTENDED(135, "\6\0\0\0\0\0\0\0"), bad);
    assert_int_equal(EXTENDED(44, "\6\0\0\0\0\0\0\1"), TG_C_net_fragment); /* atomic */
    assert_int_equal(EXTENDED(44, "\6\0\0\1\0\0\0\1"), TG_C_net_fragment);
    assert_int_equal(EXTENDED(0, "\x2c\0\1\4\0\0\0\0\6\0\0\1\0\0\0\1"), TG_C_net_fragment);
    assert_int_equal(EXTENDED(60, "\x3b\0\1\4\0\0\0\0"), TG_C_net_protocol); /* nothing follows */
    assert_int_equal(EXTENDED(60, "\x84\0\1\4\0\0\0\0"), TG_C_net_protocol); /* SCTP */
    assert_int_equal(EXTENDED(60, "\1\0\1\4\0\0\0\0"), TG_C_net_protocol);   /* ICMP of IPv4 */
}

static void ip6_chain_is_bounded(void **state)
{
    uint8_t chain[16 * 8];
    for (unsigned n = 1; n <= 16; n++) {
        for (unsigned i = 0; i < n; i++)
            memcpy(chain + 8 * i, i + 1 < n ? "\x3c\0\1\4\0\0\0\0" : "\6\0\1\4\0\0\0\0", 8);
        enum tg_counter want = n <= IP6_EXTENSIONS_MAX ? TG_C_none : TG_C_net_ip6_extensions;
        assert_int_equal(parse_free(extended(60, span_make(chain, 8 * n))), want);
    }
    uint8_t options[8 * 8] = {6, 7};
    for (unsigned n = 1; n <= 30; n++) { /* n skippable options of two bytes, then PadN's */
        memset(options + 2, 0, sizeof options - 2);
        for (unsigned i = 0; i < 31; i++)
            memcpy(options + 2 + 2 * i, i < n ? "\x1e\0" : i % 2 ? "\x1d\0" : "\1\0", 2);
        unsigned counted = n;
        for (unsigned i = n; i < 31; i++)
            counted += i % 2;
        enum tg_counter want = counted <= 8 ? TG_C_none : TG_C_net_ip6_extensions;
        assert_int_equal(parse_free(extended(60, span_make(options, sizeof options))), want);
    }
}

static void ip6_chain_must_end_inside_the_packet(void **state)
{
    for (uint8_t payload = 1; payload < 33 + 20; payload++) {
        struct buf *b =
            extended(60, SPAN_LITERAL("\x3c\1\x1e\4abcd\x1d\6\0\0\0\0\0\0\6\0\1\4\0\0\0\0"));
        enum tg_counter want = payload < 24        ? TG_C_net_ip6_extensions
                               : payload < 24 + 20 ? TG_C_net_l4_short
                               : payload <= 49     ? TG_C_none
                                                   : TG_C_net_ip6_length;
        assert_int_equal(with_16(b, 4, payload), want);
    }
}

/* The last header names another one, of which not a byte is there: nothing behind the frame is read. */
static void ip6_chain_may_end_with_the_frame(void **state)
{
    for (unsigned left = 0; left < 8; left++) {
        struct buf *b = extended(60, SPAN_LITERAL("\x3c\0\1\4\0\0\0\0"));
        buf_trim(b, (uint16_t)(ETH_BYTES + IP6_BYTES + 8 + left));
        assert_int_equal(with_16(b, 4, (uint16_t)(8 + left)), TG_C_net_ip6_extensions);
    }
}

static struct buf *icmp6(const char *source, const char *destination, uint8_t type)
{
    struct ip_addr s = test_addr(source), d = test_addr(destination);
    return test_frame_icmp(&pool.pool, &s, &d, type, 0, 0, SPAN_LITERAL("0123456789abcdef"));
}

/* RFC 4862 s5.4.2: duplicate address detection asks from ::, to a group. */
static void unspecified_source_passes_for_solicitations_only(void **state)
{
    const char *const group = "ff02::1:ff00:1";
    for (unsigned type = 0; type < 256; type++)
        assert_int_equal(parse_free(icmp6("::", group, (uint8_t)type)),
                         type >= 133 && type <= 135 ? TG_C_none : TG_C_net_address);
    assert_int_equal(parse_free(icmp6("::", "2001:db8::1", 135)), TG_C_net_address);
    assert_int_equal(parse_free(icmp6("::1", group, 135)), TG_C_net_address);
    assert_int_equal(parse_free(icmp6("fe80::1", group, 135)), TG_C_none);
    assert_int_equal(parse_free(icmp6("fe80::1", "ff02::1", 134)), TG_C_none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ip4_version_and_header_length),
        TEST(ip4_total_length),
        TEST(ip4_checksum_is_verified),
        TEST(ip4_fragments_are_dropped),
        TEST(ip4_protocols),
        TEST(martians_are_dropped),
        TEST(mapped_addresses_are_dropped),
        TEST(ip6_version_and_payload_length),
        TEST(ip6_extension_headers_are_walked),
        TEST(ip6_extension_headers_lie),
        TEST(ip6_chain_is_bounded),
        TEST(ip6_chain_must_end_inside_the_packet),
        TEST(ip6_chain_may_end_with_the_frame),
        TEST(unspecified_source_passes_for_solicitations_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
