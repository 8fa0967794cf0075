/* SPDX-License-Identifier: BSD-3-Clause
 * The URL decoder and the form splitter: known answers, and the property that cuts never change
 * the result.
 */
#include "waf/waf_test_help.h"

#include "base/hash.h"
#include "waf/waf_form.h"

#define SUBJECTS_TEXT_MAX 4096

static void decode_is(const char *raw, bool plus_is_space, const char *want, size_t want_len)
{
    uint8_t out[256];
    struct span value = span_from_string(raw);
    size_t n = waf_decode_value(value, plus_is_space, out);
    assert_int_equal(n, want_len);
    assert_memory_equal(out, want, want_len);
    bool same = n == value.len && memcmp(out, raw, n) == 0;
    if (!waf_decode_changes(value, plus_is_space))
        assert_true(same);
}

static void escapes_decode(void **state)
{
    decode_is("", true, "", 0);
    decode_is("abc", true, "abc", 3);
    decode_is("a+b", true, "a b", 3);
    decode_is("a+b", false, "a+b", 3);
    decode_is("%41%62%2B%2b", true, "Ab++", 4);
    decode_is("%00x%ff", true, "\0x\xff", 3);
    decode_is("%25%32%37", true, "%27", 3); /* once only */
}

static void broken_escapes_stay(void **state)
{
    decode_is("%", true, "%", 1);
    decode_is("%4", true, "%4", 2);
    decode_is("%zz", true, "%zz", 3);
    decode_is("%4z", true, "%4z", 3);
    decode_is("%%41", true, "%A", 2);
    decode_is("%4%41", true, "%4A", 3);
    decode_is("100%", true, "100%", 4);
    decode_is("%+", true, "% ", 2);
    decode_is("%u0027", true, "%u0027", 6);
    decode_is("%/0%:0%@0%G0%`0%g0", true, "%/0%:0%@0%G0%`0%g0", 18); /* neighbours of hex digits */
}

/* Every byte value, escaped in both cases, comes back. */
static void every_byte_round_trips(void **state)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char raw[8];
        uint8_t want = (uint8_t)byte, out[8];
        snprintf(raw, sizeof raw, "%%%02X", byte);
        assert_int_equal(waf_decode_value(span_from_string(raw), true, out), 1);
        assert_int_equal(out[0], want);
        snprintf(raw, sizeof raw, "%%%02x", byte);
        assert_int_equal(waf_decode_value(span_from_string(raw), true, out), 1);
        assert_int_equal(out[0], want);
    }
}

/* The subjects of a form as one string: each in brackets, bytes as they are. The pieces are cut
 * by `cuts`: a piece length for each turn, 0 ends the list and means the rest. cap is the
 * decoder's room. */
static size_t subjects(struct span form_bytes, const size_t cuts[], size_t cap, uint8_t *text)
{
    struct waf_form form;
    waf_form_start(&form);
    uint8_t out[64];
    size_t len = 0;
    text[len++] = '[';
    while (form_bytes.len) {
        size_t take = *cuts ? *cuts++ : form_bytes.len;
        struct span piece = span_slice(form_bytes, 0, take);
        form_bytes = span_slice(form_bytes, piece.len, form_bytes.len);
        enum waf_form_event event;
        do {
            size_t n;
            event = waf_form_next(&form, &piece, out, cap, &n);
            assert_true(n <= cap && len + n + 3 < SUBJECTS_TEXT_MAX);
            memcpy(text + len, out, n);
            len += n;
            if (event == WAF_FORM_SUBJECT) {
                text[len++] = ']';
                text[len++] = '[';
            }
        } while (event != WAF_FORM_MORE);
        assert_int_equal(piece.len, 0);
    }
    size_t n = waf_form_end(&form, text + len);
    assert_true(n < WAF_DECODE_RELEASE_MAX);
    text[len + n] = ']';
    text[len + n + 1] = '\0';
    return len + n + 1;
}

static void form_is(const char *raw, const char *want)
{
    static const size_t whole[] = {0};
    uint8_t text[SUBJECTS_TEXT_MAX];
    (void)subjects(span_from_string(raw), whole, 64, text);
    assert_string_equal((const char *)text, want);
}

static void forms_split(void **state)
{
    form_is("", "[]");
    form_is("a=1", "[a][1]");
    form_is("a=1&b=2", "[a][1][b][2]");
    form_is("a=1=2", "[a][1=2]");
    form_is("a", "[a]");
    form_is("a=", "[a][]");
    form_is("=a", "[][a]");
    form_is("&&", "[][][]");
    form_is("first+name=x", "[first name=x]"); /* not made of name bytes: free text */
    form_is("a%5Bb%5D=c+d", "[a[b]][c d]");
    form_is("a[b]=1", "[a[b]][1]");
    form_is("a%3Db=c", "[a=b=c]");
    form_is("a=b%26c%3Dd", "[a][b&c=d]"); /* escaped separators are text */
    form_is("1'+or+1=1--", "[1' or 1=1--]");
    form_is("a=%", "[a][%]");
    form_is("a=%4&b=%", "[a][%4][b][%]");
    form_is("a%=1", "[a%=1]");
    form_is("a%4=1&b=2", "[a%4=1][b][2]");
    form_is("\xc3\xbc=1", "[\xc3\xbc][1]");
}

/* A byte of a form that is likely to be special. */
static uint8_t random_byte(struct prng *random)
{
    static const char special[] = "%%%&&==++0aF4'<; ";
    uint64_t roll = prng_below(random, 4);
    return roll ? (uint8_t)special[prng_below(random, sizeof special - 1)]
                : (uint8_t)prng_next(random);
}

/* Any bytes, any cuts, any room for the output: the same subjects. */
static void cuts_change_nothing(void **state)
{
    struct prng random;
    prng_seed(&random, 20240229);
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t raw[200], whole_text[SUBJECTS_TEXT_MAX], cut_text[SUBJECTS_TEXT_MAX];
        size_t len = prng_below(&random, sizeof raw + 1);
        for (size_t i = 0; i < len; i++)
            raw[i] = random_byte(&random);
        size_t cuts[256] = {0};
        for (size_t i = 0; i < 255; i++)
            cuts[i] = 1 + prng_below(&random, 1 + round % 9);
        static const size_t whole[] = {0};
        size_t a = subjects(span_make(raw, len), whole, 64, whole_text);
        size_t cap = 2 * WAF_DECODE_RELEASE_MAX + prng_below(&random, 50);
        size_t b = subjects(span_make(raw, len), cuts, cap, cut_text);
        assert_int_equal(a, b);
        assert_memory_equal(whole_text, cut_text, a);
    }
}

/* Decoding never grows a value, and decoding byte by byte is decoding at once. */
static void decoder_properties(void **state)
{
    struct prng random;
    prng_seed(&random, 7);
    for (unsigned round = 0; round < 3000; round++) {
        uint8_t raw[128], whole[128], stepwise[131];
        size_t len = prng_below(&random, sizeof raw + 1);
        for (size_t i = 0; i < len; i++)
            raw[i] = random_byte(&random);
        bool plus = round & 1;
        size_t n = waf_decode_value(span_make(raw, len), plus, whole);
        assert_true(n <= len);
        struct waf_decode d = {0};
        size_t m = 0;
        for (size_t i = 0; i < len; i++) {
            unsigned released = waf_decode_byte(&d, raw[i], plus, stepwise + m);
            assert_true(released <= WAF_DECODE_RELEASE_MAX);
            m += released;
        }
        m += waf_decode_end(&d, stepwise + m);
        assert_int_equal(m, n);
        assert_memory_equal(whole, stepwise, n);
        if (!waf_decode_changes(span_make(raw, len), plus)) {
            assert_int_equal(n, len);
            assert_memory_equal(raw, whole, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_decode),         cmocka_unit_test(broken_escapes_stay),
        cmocka_unit_test(every_byte_round_trips), cmocka_unit_test(forms_split),
        cmocka_unit_test(cuts_change_nothing),    cmocka_unit_test(decoder_properties),
    };
    return cmocka_run_group_tests_name("waf_decode", tests, NULL, NULL);
}
