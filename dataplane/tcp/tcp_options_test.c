/* SPDX-License-Identifier: BSD-3-Clause
 * Options: what a strict reader takes, what it refuses, and the writer's layouts byte by byte.
 */
#include "tcp/tcp_options.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Parsed from a heap block of exactly this size, so that ASan sees a byte too many. */
static bool parse(const void *bytes, size_t len, struct tcp_options *o)
{
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    bool ok = tcp_options_parse(span_make(copy, len), o);
    free(copy);
    return ok;
}
#define PARSE(text, o) parse(text, sizeof(text) - 1, o)

static void takes_what_a_syn_has(void **state)
{
    struct tcp_options o;
    assert_true(PARSE("\2\4\5\xb4\4\2\x8\xa\0\0\0\7\0\0\0\x9\1\3\3\7", &o));
    assert_true(o.has_mss && o.has_wscale && o.has_timestamps && o.sack_permitted);
    assert_int_equal(o.mss, 1460);
    assert_int_equal(o.wscale, 7);
    assert_int_equal(o.ts_value, 7);
    assert_int_equal(o.ts_echo, 9);
    assert_int_equal(o.sack_count, 0);
}

static void takes_four_sack_blocks(void **state)
{
    struct tcp_options o;
    assert_true(PARSE(
        "\1\1\5\x22\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6\xff\xff\xff\xff\0\0\0\5", &o));
    assert_int_equal(o.sack_count, 4);
    assert_int_equal(o.sack[0].left, 1);
    assert_int_equal(o.sack[2].right, 6);
    assert_int_equal(o.sack[3].left, 0xffffffffu);
    assert_int_equal(o.sack[3].right, 5);
}

static void empty_is_fine(void **state)
{
    struct tcp_options o;
    assert_true(PARSE("", &o));
    assert_false(o.has_mss || o.has_wscale || o.has_timestamps || o.sack_permitted || o.sack_count);
    assert_true(PARSE(
        "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", &o));
    assert_false(o.has_mss);
}

static void nothing_counts_behind_the_end(void **state)
{
    struct tcp_options o;
    assert_true(PARSE("\0\2\4\5\xb4\xff\0", &o));
    assert_false(o.has_mss);
}

static void unknown_kinds_are_skipped(void **state)
{
    struct tcp_options o;
    assert_true(PARSE("\xfd\6\1\2\3\4\x22\2\2\4\1\0", &o));
    assert_true(o.has_mss);
    assert_int_equal(o.mss, 256);
}

static void a_scale_above_14_is_14(void **state)
{
    struct tcp_options o;
    assert_true(PARSE("\3\3\xff", &o));
    assert_int_equal(o.wscale, 14);
    assert_true(PARSE("\3\3\16", &o));
    assert_int_equal(o.wscale, 14);
}

static void refuses_lengths_that_lie(void **state)
{
    struct tcp_options o;
    assert_false(PARSE("\2\0\5\xb4", &o)); /* 0 */
    assert_false(PARSE("\2\1\5\xb4", &o)); /* 1 */
    assert_false(PARSE("\x63\0", &o));     /* of an unknown kind too */
    assert_false(PARSE("\x63\1", &o));
    assert_false(PARSE("\2\xff\5\xb4", &o)); /* beyond the end */
    assert_false(PARSE("\x63\xff\0\0", &o));
    assert_false(PARSE("\2", &o)); /* no length at all */
    assert_false(PARSE("\1\1\1\x8", &o));
    assert_false(PARSE("\2\3\5", &o)); /* not MSS's length */
    assert_false(PARSE("\2\5\5\xb4\0", &o));
    assert_false(PARSE("\3\2", &o));
    assert_false(PARSE("\3\4\7\7", &o));
    assert_false(PARSE("\4\3\0", &o));
    assert_false(PARSE("\x8\x9\0\0\0\1\0\0\0", &o));
    assert_false(PARSE("\x8\xb\0\0\0\1\0\0\0\0\0", &o));
    assert_false(PARSE("\x8\xa\0\0\0\1\0\0\0", &o)); /* one byte short */
    assert_false(PARSE("\5\2", &o));                 /* SACK without a block */
    assert_false(PARSE("\5\6\0\0\0\1", &o));         /* half a block */
    assert_false(PARSE("\5\xb\0\0\0\1\0\0\0\2\0", &o));
}

static void refuses_a_kind_twice(void **state)
{
    struct tcp_options o;
    assert_false(PARSE("\2\4\5\xb4\2\4\5\xb4", &o));
    assert_false(PARSE("\3\3\1\3\3\1", &o));
    assert_false(PARSE("\4\2\4\2", &o));
    assert_false(PARSE("\x8\xa\0\0\0\1\0\0\0\1\x8\xa\0\0\0\1\0\0\0\1", &o));
    assert_false(PARSE("\5\xa\0\0\0\1\0\0\0\2\5\xa\0\0\0\1\0\0\0\2", &o));
}

static void refuses_more_than_a_header_holds(void **state)
{
    struct tcp_options o;
    uint8_t bytes[44];
    memset(bytes, 1, sizeof bytes);
    assert_true(parse(bytes, 40, &o));
    assert_false(parse(bytes, 41, &o));
}

static void emits_linux_layouts(void **state)
{
    uint8_t out[TCP_OPTIONS_MAX];
    struct tcp_options o = {.has_mss = true,
                            .mss = 1460,
                            .sack_permitted = true,
                            .has_wscale = true,
                            .wscale = 8,
                            .has_timestamps = true,
                            .ts_value = 0x01020304,
                            .ts_echo = 0x05060708};
    assert_int_equal(tcp_options_emit(&o, out, 40), 20);
    assert_memory_equal(out, "\2\4\5\xb4\4\2\x8\xa\1\2\3\4\5\6\7\x8\1\3\3\x8", 20);
    o.has_timestamps = false;
    assert_int_equal(tcp_options_emit(&o, out, 40), 12);
    assert_memory_equal(out, "\2\4\5\xb4\1\1\4\2\1\3\3\x8", 12);
    o.sack_permitted = false;
    o.has_timestamps = true;
    assert_int_equal(tcp_options_emit(&o, out, 40), 20);
    assert_memory_equal(out, "\2\4\5\xb4\1\1\x8\xa\1\2\3\4\5\6\7\x8\1\3\3\x8", 20);
    o = (struct tcp_options){0};
    assert_int_equal(tcp_options_emit(&o, out, 40), 0);
}

static void emits_the_sack_blocks_that_fit(void **state)
{
    uint8_t out[TCP_OPTIONS_MAX];
    struct tcp_options o = {
        .has_timestamps = true, .sack_count = 4, .sack = {{1, 2}, {3, 4}, {5, 6}, {7, 8}}};
    assert_int_equal(tcp_options_emit(&o, out, 40), 12 + 4 + 24);
    assert_memory_equal(out + 12, "\1\1\5\x1a\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6", 28);
    assert_int_equal(tcp_options_emit(&o, out, 24), 24);
    assert_int_equal(out[15], 10);
    assert_int_equal(tcp_options_emit(&o, out, 20), 12); /* not even one */
    assert_int_equal(tcp_options_emit(&o, out, 12), 12);
    o.has_timestamps = false;
    assert_int_equal(tcp_options_emit(&o, out, 40), 4 + 32);
}

static void what_is_emitted_is_read_back(void **state)
{
    for (unsigned i = 0; i < 64; i++) {
        uint8_t out[TCP_OPTIONS_MAX];
        struct tcp_options back, o = {.has_mss = i & 1,
                                      .mss = i & 1 ? 1200 : 0,
                                      .has_wscale = i & 2,
                                      .wscale = i & 2 ? 9 : 0,
                                      .has_timestamps = i & 4,
                                      .ts_value = i & 4 ? 0xdeadbeef : 0,
                                      .ts_echo = i & 4 ? 5 : 0,
                                      .sack_permitted = i & 8,
                                      .sack_count = i >> 4 & 1,
                                      .sack = {{i >> 4 & 1, i >> 3 & 2}}};
        unsigned n = tcp_options_emit(&o, out, 40);
        assert_int_equal(n % 4, 0);
        assert_true(tcp_options_parse(span_make(out, n), &back));
        assert_int_equal(back.has_mss, o.has_mss);
        assert_int_equal(back.mss, o.mss);
        assert_int_equal(back.has_wscale, o.has_wscale);
        assert_int_equal(back.wscale, o.wscale);
        assert_int_equal(back.has_timestamps, o.has_timestamps);
        assert_int_equal(back.ts_value, o.ts_value);
        assert_int_equal(back.sack_permitted, o.sack_permitted);
        assert_int_equal(back.sack_count, o.sack_count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_a_syn_has),
        cmocka_unit_test(takes_four_sack_blocks),
        cmocka_unit_test(empty_is_fine),
        cmocka_unit_test(nothing_counts_behind_the_end),
        cmocka_unit_test(unknown_kinds_are_skipped),
        cmocka_unit_test(a_scale_above_14_is_14),
        cmocka_unit_test(refuses_lengths_that_lie),
        cmocka_unit_test(refuses_a_kind_twice),
        cmocka_unit_test(refuses_more_than_a_header_holds),
        cmocka_unit_test(emits_linux_layouts),
        cmocka_unit_test(emits_the_sack_blocks_that_fit),
        cmocka_unit_test(what_is_emitted_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
