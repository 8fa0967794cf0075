/* SPDX-License-Identifier: BSD-3-Clause
 * Words, numbers, times and comments of .pkt scripts.
 */
#include "tests/packet/lex.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char error[300];

static struct lex lex_over(const char *text)
{
    error[0] = 0;
    return (struct lex){text, text, text + strlen(text), error};
}

static void comments_are_blanks(void **state)
{
    struct lex lex = lex_over(" // one\n# two\n/* three\n * four */\tword");
    char word[16];
    assert_true(lex_word(&lex, word, sizeof word));
    assert_string_equal(word, "word");
    assert_int_equal(lex_line(&lex), 4);
    assert_true(lex_at_end(&lex));
}

static void an_open_comment_ends_with_the_text(void **state)
{
    struct lex lex = lex_over("/* never closed");
    assert_true(lex_at_end(&lex));
}

static void numbers_keep_their_range(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } cases[] = {{"0", true, 0},
                 {"4294967296", true, 4294967296u},
                 {"0x1F", true, 31},
                 {"18446744073709551615", true, UINT64_MAX},
                 {"18446744073709551616", false, 0},
                 {"x", false, 0},
                 {"", false, 0}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lex lex = lex_over(cases[i].text);
        uint64_t value;
        assert_int_equal(lex_number(&lex, &value), cases[i].good);
        if (cases[i].good)
            assert_int_equal(value, cases[i].value);
        else
            assert_true(error[0] != 0);
    }
}

static void seconds_are_nanoseconds(void **state)
{
    static const struct {
        const char *text, *rest;
        int64_t ns;
    } cases[] = {{"1", "", 1000000000},       {".1", "", 100000000}, {"0.0000000019", "", 1},
                 {"2.5~3", "~3", 2500000000}, {"0...1", "...1", 0},  {"3 <", " <", 3000000000}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lex lex = lex_over(cases[i].text);
        int64_t ns;
        assert_true(lex_seconds(&lex, &ns));
        assert_int_equal(ns, cases[i].ns);
        assert_string_equal(lex.at, cases[i].rest);
    }
    struct lex lex = lex_over("...");
    int64_t ns;
    assert_false(lex_seconds(&lex, &ns));
}

static void words_are_taken_whole(void **state)
{
    struct lex lex = lex_over("sackOK,sack 1");
    char small[4];
    assert_false(lex_take_word(&lex, "sack"));
    assert_false(lex_word(&lex, small, sizeof small));
    assert_true(lex_take_word(&lex, "sackOK"));
    assert_true(lex_take(&lex, ","));
    assert_true(lex_take_word(&lex, "sack"));
}

static void the_first_error_is_kept_with_its_place(void **state)
{
    struct lex lex = lex_over("a\n  b");
    lex.at += 4;
    assert_false(lex_expect(&lex, "("));
    assert_false(lex_error(&lex, "another"));
    assert_string_equal(error, "2:3: '(' was expected");
}

static void a_text_that_is_not_closed_is_refused(void **state)
{
    struct lex lex = lex_over("abc");
    char out[8];
    assert_false(lex_until(&lex, "`", out, sizeof out));
    lex = lex_over("abcdefgh`");
    assert_false(lex_until(&lex, "`", out, sizeof out));
    lex = lex_over("abcdefg`h");
    assert_true(lex_until(&lex, "`", out, sizeof out));
    assert_string_equal(out, "abcdefg");
    assert_string_equal(lex.at, "h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comments_are_blanks),
        cmocka_unit_test(an_open_comment_ends_with_the_text),
        cmocka_unit_test(numbers_keep_their_range),
        cmocka_unit_test(seconds_are_nanoseconds),
        cmocka_unit_test(words_are_taken_whole),
        cmocka_unit_test(the_first_error_is_kept_with_its_place),
        cmocka_unit_test(a_text_that_is_not_closed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
