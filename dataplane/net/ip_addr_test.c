/* SPDX-License-Identifier: BSD-3-Clause
 * Addresses: text forms, prefixes, the mapped form.
 */
#include "net/net_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void text_comes_back_as_written(void **state)
{
    const char *const texts[] = {
        "0.0.0.0", "192.0.2.1",   "255.255.255.255", "::",
        "::1",     "2001:db8::1", "fe80::1:2:3:4",   "2001:db8:1111:2222:3333:4444:5555:6666"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(texts); i++) {
        char out[46];
        struct ip_addr a = test_addr(texts[i]);
        assert_ptr_equal(ip_addr_text(&a, out), out);
        assert_string_equal(out, texts[i]);
        assert_int_equal(ip_addr_is4(&a), strchr(texts[i], ':') == NULL);
    }
}

static void bad_text_is_refused_and_changes_nothing(void **state)
{
    const char *const texts[] = {"",
                                 " ",
                                 "1",
                                 "1.2.3",
                                 "1.2.3.4.5",
                                 "1.2.3.256",
                                 "01.2.3.4",
                                 "1.2.3.4 ",
                                 ":::",
                                 "1::2::3",
                                 "2001:db8::g",
                                 "fe80::1%eth0",
                                 "2001:db8:1:2:3:4:5:6:7",
                                 "192.0.2.1/24",
                                 "localhost"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(texts); i++) {
        struct ip_addr a = test_addr("192.0.2.9"), before = a;
        assert_int_equal(ip_addr_parse(texts[i], &a), TG_BAD_INPUT);
        assert_true(ip_addr_equal(&a, &before));
    }
}

static void mapped_text_is_the_ip4_address(void **state)
{
    struct ip_addr a = test_addr("::ffff:192.0.2.1"), b = test_addr("192.0.2.1");
    assert_true(ip_addr_equal(&a, &b));
    assert_true(ip_addr_equal(&a, &(struct ip_addr){{[10] = 0xff, 0xff, 192, 0, 2, 1}}));
}

static void prefix_compares_exactly_its_bits(void **state)
{
    struct ip_addr prefix = test_addr("2001:db8:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa");
    for (unsigned bits = 0; bits <= 128; bits++) {
        for (unsigned flip = 0; flip < 128; flip++) {
            struct ip_addr a = prefix;
            a.bytes[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
            assert_int_equal(ip_addr_in_prefix(&a, &prefix, bits), flip >= bits);
        }
        assert_true(ip_addr_in_prefix(&prefix, &prefix, bits));
    }
    struct ip_addr net4 = test_addr("192.0.2.0"), in = test_addr("192.0.2.255"),
                   out = test_addr("192.0.3.0"), six = test_addr("2001:db8::1");
    assert_true(ip_addr_in_prefix(&in, &net4, 96 + 24));
    assert_false(ip_addr_in_prefix(&out, &net4, 96 + 24));
    assert_true(ip_addr_in_prefix(&out, &net4, 96));  /* 0.0.0.0/0: all of IPv4 ... */
    assert_false(ip_addr_in_prefix(&six, &net4, 96)); /* ... and nothing of IPv6 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back_as_written),
        cmocka_unit_test(bad_text_is_refused_and_changes_nothing),
        cmocka_unit_test(mapped_text_is_the_ip4_address),
        cmocka_unit_test(prefix_compares_exactly_its_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
