/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the host name table: exact before wildcard, one label for the star, bad names refused.
 */
#include "tls/tls_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

static const uint64_t test_key[2] = {1, 2};

static struct name_table table_of(const char *const names[], unsigned count)
{
    struct name_table t;
    assert_int_equal(name_table_init(&t, count, 4096, test_key), TG_OK);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(name_table_add(&t, span_from_string(names[i]), NAME_KEY_ECDSA, i), TG_OK);
    return t;
}

static uint32_t look(const struct name_table *t, const char *name)
{
    const struct name_choice *c = name_table_find(t, span_from_string(name));
    return c ? c->certificate[NAME_KEY_ECDSA] : NAME_NONE;
}

static void exact_wins_over_wildcard(void **state)
{
    static const char *const names[] = {"*.example.com", "www.example.com", "Example.COM", "host"};
    struct name_table t = table_of(names, 4);
    assert_int_equal(look(&t, "www.example.com"), 1);
    assert_int_equal(look(&t, "WWW.example.Com"), 1);
    assert_int_equal(look(&t, "api.example.com"), 0);
    assert_int_equal(look(&t, "example.com"), 2);
    assert_int_equal(look(&t, "host"), 3);
    name_table_free(&t);
}

static void star_is_one_label(void **state)
{
    static const char *const names[] = {"*.example.com"};
    struct name_table t = table_of(names, 1);
    assert_int_equal(look(&t, "a.b.example.com"), NAME_NONE);
    assert_int_equal(look(&t, "example.com"), NAME_NONE);
    assert_int_equal(look(&t, ".example.com"), NAME_NONE);
    assert_int_equal(look(&t, "*.example.com"), NAME_NONE);
    assert_int_equal(look(&t, "aexample.com"), NAME_NONE);
    name_table_free(&t);
}

static void bad_names_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "a..b",
                                      "a.",
                                      ".a",
                                      "*",
                                      "*.",
                                      "a.*.b",
                                      "*a.b",
                                      "a b",
                                      "a/b",
                                      "a:443",
                                      "*.*.b",
                                      "**.b",
                                      "\xc3\xa4.example",
                                      "www.*",
                                      "[2001:db8::1]"};
    struct name_table t = table_of(NULL, 0);
    for (unsigned i = 0; i < TG_ARRAY_LEN(bad); i++) {
        assert_int_equal(name_table_add(&t, span_from_string(bad[i]), NAME_KEY_RSA, 0),
                         TG_BAD_INPUT);
        assert_null(name_table_find(&t, span_from_string(bad[i])));
    }
    name_table_free(&t);
}

static void lengths_have_limits(void **state)
{
    char name[300];
    memset(name, 'a', sizeof name);
    for (unsigned i = 63; i < sizeof name; i += 64)
        name[i] = '.';
    struct name_table t = table_of(NULL, 0);
    assert_int_equal(name_table_add(&t, span_make(name, 253), NAME_KEY_RSA, 7), TG_OK);
    assert_int_equal(name_table_add(&t, span_make(name, 254), NAME_KEY_RSA, 7), TG_BAD_INPUT);
    name[63] = 'a'; /* a label of 64 and more */
    assert_int_equal(name_table_add(&t, span_make(name, 200), NAME_KEY_RSA, 7), TG_BAD_INPUT);
    assert_null(name_table_find(&t, span_make(name, 300)));
    name_table_free(&t);
}

static void key_types_share_a_name(void **state)
{
    struct name_table t = table_of(NULL, 0);
    struct span name = SPAN_LITERAL("pair.example");
    assert_int_equal(name_table_add(&t, name, NAME_KEY_RSA, 4), TG_OK);
    assert_int_equal(name_table_add(&t, name, NAME_KEY_ECDSA, 5), TG_OK);
    assert_int_equal(name_table_add(&t, name, NAME_KEY_ECDSA, 6), TG_OK);
    const struct name_choice *c = name_table_find(&t, name);
    assert_non_null(c);
    assert_int_equal(c->certificate[NAME_KEY_RSA], 4);
    assert_int_equal(c->certificate[NAME_KEY_ECDSA], 5); /* the first stays */
    assert_int_equal(c->certificate[NAME_KEY_ED25519], NAME_NONE);
    name_table_free(&t);
}

static void many_names(void **state)
{
    enum { COUNT = 20000 };
    struct name_table t;
    assert_int_equal(name_table_init(&t, COUNT, COUNT * 24, test_key), TG_OK);
    char name[32];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "host%u.example.net", i);
        assert_int_equal(name_table_add(&t, span_from_string(name), NAME_KEY_ECDSA, i), TG_OK);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "host%u.example.net", i);
        assert_int_equal(look(&t, name), i);
    }
    assert_int_equal(look(&t, "host20000.example.net"), NAME_NONE);
    name_table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_wins_over_wildcard), cmocka_unit_test(star_is_one_label),
        cmocka_unit_test(bad_names_are_refused),    cmocka_unit_test(lengths_have_limits),
        cmocka_unit_test(key_types_share_a_name),   cmocka_unit_test(many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
