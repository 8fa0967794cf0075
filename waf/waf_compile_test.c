/* SPDX-License-Identifier: BSD-3-Clause
 * Compiling rules and opening blobs: what is refused and how it is named, and damage anywhere in
 * a blob.
 */
#include "waf/waf_test_help.h"

#include "waf/waf_program.h"

static struct waf_rule rule_make(uint32_t id, unsigned targets, const char *pattern)
{
    return (struct waf_rule){.id = id,
                             .targets = targets,
                             .pattern = span_from_string(pattern),
                             .message = SPAN_LITERAL("message"),
                             .block = true};
}

/* The rules are refused; the words of the problem hold `word`. */
static void refused(const struct waf_rule rules[], unsigned count, enum tg_err want, unsigned index,
                    const char *word)
{
    void *blob = NULL;
    size_t len = 77;
    unsigned bad = 99;
    char problem[256];
    memset(problem, 'x', sizeof problem);
    assert_int_equal(waf_compile(rules, count, &blob, &len, &bad, problem), want);
    assert_null(blob);
    assert_int_equal(len, 77);
    assert_int_equal(bad, index);
    assert_non_null(memchr(problem, '\0', sizeof problem));
    if (!strstr(problem, word))
        fail_msg("\"%s\" does not mention \"%s\"", problem, word);
}

static void bad_patterns_are_named(void **state)
{
    static const struct {
        const char *pattern, *word;
    } cases[] = {
        {"a(b", "parenthes"}, {"a[b", "character class"},
        {"*a", "index 0"},    {"(?<=a)b", ""},
        {"(a)\\1", ""},       {"a*", "empty"},
        {"^", "empty"},       {"(?Pfoo)", ""},
        {"x{5,2}", ""},       {"\\", ""},
        {"(?i", ""},          {"a(?!b)", ""},
        {"[[:nope:]]", ""},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        for (unsigned target = WAF_IN_URI; target <= WAF_IN_RESP_BODY; target <<= 1) {
            struct waf_rule rules[] = {
                rule_make(1, WAF_IN_URI, "good"), rule_make(2, WAF_IN_BODY, "fine"),
                rule_make(3, target, cases[i].pattern), rule_make(4, WAF_IN_URI, "(also bad")};
            refused(rules, 4, TG_BAD_INPUT, 2, cases[i].word);
        }
    }
}

/* Some patterns parse alone and are refused only when a database is built; the index must still
 * be right. */
static void patterns_too_large_are_named(void **state)
{
    for (unsigned target = WAF_IN_URI; target <= WAF_IN_RESP_BODY; target <<= 1) {
        unsigned other = target == WAF_IN_RESP_BODY ? WAF_IN_URI : WAF_IN_RESP_BODY;
        struct waf_rule rules[] = {rule_make(1, other, "fine"), rule_make(2, target, "good"),
                                   rule_make(3, target, "(?:a.{5}|b.{6}|c.{7}){500}"),
                                   rule_make(4, target, "more")};
        refused(rules, 4, TG_BAD_INPUT, 2, "too large");
    }
}

static void bad_rules_are_named(void **state)
{
    struct waf_rule rules[3] = {rule_make(1, WAF_IN_URI, "a"), rule_make(2, WAF_IN_URI, "b"),
                                rule_make(3, WAF_IN_URI, "c")};
    rules[1].targets = 0;
    refused(rules, 3, TG_BAD_INPUT, 1, "target");
    rules[1].targets = WAF_IN_URI | 1u << 6;
    refused(rules, 3, TG_BAD_INPUT, 1, "target");
    rules[1] = rule_make(1, WAF_IN_URI, "b");
    refused(rules, 3, TG_BAD_INPUT, 1, "twice");
    rules[1] = rule_make(2, WAF_IN_URI, "");
    refused(rules, 3, TG_BAD_INPUT, 1, "empty");
    rules[1].pattern = SPAN_LITERAL("a\0b");
    refused(rules, 3, TG_BAD_INPUT, 1, "NUL");
    static char text[WAF_PATTERN_BYTES_MAX + 1];
    memset(text, 'a', sizeof text);
    rules[1].pattern = span_make(text, sizeof text);
    refused(rules, 3, TG_BAD_INPUT, 1, "8192");
    rules[1] = rule_make(2, WAF_IN_URI, "b");
    rules[1].message = span_make(text, 128);
    refused(rules, 3, TG_BAD_INPUT, 1, "127");
}

static void too_many_rules(void **state)
{
    struct waf_rule *rules = calloc(WAF_RULES_MAX + 1, sizeof *rules);
    assert_non_null(rules);
    for (unsigned i = 0; i <= WAF_RULES_MAX; i++)
        rules[i] = rule_make(i, WAF_IN_URI, "a");
    refused(rules, WAF_RULES_MAX + 1, TG_TOO_BIG, WAF_RULES_MAX, "4096");
    free(rules);
}

static void empty_program_passes_everything(void **state)
{
    struct waf_rig rig = rig_open(NULL, 0, 1);
    struct field field = field_make("X", "' or 1=1--");
    struct head_view head = head_make("/?<script>", &field, 1);
    struct waf_tx *tx = rig_begin(&rig);
    assert_int_equal(waf_head(tx, &head), WAF_PASS);
    assert_int_equal(waf_body(tx, SPAN_LITERAL("a=1")), WAF_PASS);
    assert_int_equal(waf_end(tx), WAF_PASS);
    assert_int_equal(waf_resp_head(tx, &head), WAF_PASS);
    assert_int_equal(waf_resp_body(tx, SPAN_LITERAL("<script>")), WAF_PASS);
    assert_int_equal(waf_matches(tx, NULL, 0), 0);
    waf_finish(tx);
    rig_close(&rig);
}

/* The longest message, an empty one, and bytes that are no text come through. */
static void messages_come_through(void **state)
{
    char text[128];
    memset(text, 'm', sizeof text);
    struct waf_rule rules[] = {rule_make(7, WAF_IN_URI, "aaa"), rule_make(8, WAF_IN_URI, "bbb"),
                               rule_make(UINT32_MAX, WAF_IN_URI, "ccc")};
    rules[0].message = span_make(text, 127);
    rules[0].block = false;
    rules[1].message = SPAN_EMPTY;
    rules[1].block = false;
    rules[2].message = SPAN_LITERAL("\xff\0x");
    struct waf_rig rig = rig_open(rules, 3, 1);
    struct head_view head = head_make("/aaa/bbb/ccc", NULL, 0);
    struct waf_tx *tx = rig_begin(&rig);
    assert_int_equal(waf_head(tx, &head), WAF_BLOCK);
    struct waf_match matches[8];
    assert_int_equal(waf_matches(tx, matches, 8), 3);
    assert_int_equal(matches[0].rule_id, 7);
    assert_true(span_equal(matches[0].message, rules[0].message));
    assert_int_equal(matches[1].message.len, 0);
    assert_int_equal(matches[2].rule_id, UINT32_MAX);
    assert_true(span_equal(matches[2].message, rules[2].message));
    waf_finish(tx);
    rig_close(&rig);
}

/* A small blob with all three databases. */
static void blob_make(void **blob, size_t *len)
{
    struct waf_rule rules[] = {rule_make(1, WAF_IN_URI | WAF_IN_BODY, "attack"),
                               rule_make(2, WAF_IN_RESP_BODY, "leak")};
    unsigned bad;
    char problem[256];
    assert_int_equal(waf_compile(rules, 2, blob, len, &bad, problem), TG_OK);
}

static void same_rules_same_blob(void **state)
{
    void *a, *b;
    size_t a_len, b_len;
    blob_make(&a, &a_len);
    blob_make(&b, &b_len);
    assert_int_equal(a_len, b_len);
    assert_memory_equal(a, b, a_len);
    free(a);
    free(b);
}

static void damage_is_refused(void **state)
{
    uint8_t *blob;
    size_t len;
    blob_make((void **)&blob, &len);
    struct waf_program *program = NULL;
    for (size_t i = 0; i < len; i++) {
        uint8_t was = blob[i];
        blob[i] ^= (uint8_t)(1u << (i % 8));
        assert_int_equal(waf_program_open(span_make(blob, len), &program), TG_VERSION);
        blob[i] = was;
    }
    assert_null(program);
    assert_int_equal(waf_program_open(span_make(blob, len), &program), TG_OK);
    waf_program_close(program);
    free(blob);
}

static void every_truncation_is_refused(void **state)
{
    uint8_t *blob;
    size_t len;
    blob_make((void **)&blob, &len);
    struct waf_program *program = NULL;
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = malloc(cut + 1); /* its own block, so that ASan sees an over-read */
        memcpy(copy, blob, cut);
        assert_int_equal(waf_program_open(span_make(copy, cut), &program), TG_VERSION);
        free(copy);
    }
    uint8_t *longer = calloc(1, len + 1);
    memcpy(longer, blob, len);
    assert_int_equal(waf_program_open(span_make(longer, len + 1), &program), TG_VERSION);
    free(longer);
    free(blob);
}

/* Put the right checksum on a blob that was changed on purpose. */
static void blob_sign(uint8_t *blob, size_t len)
{
    struct waf_blob_header header;
    memcpy(&header, blob, sizeof header);
    header.crc = waf_blob_crc(span_make(blob, len));
    memcpy(blob, &header, sizeof header);
}

/* Lies with a right checksum: offsets out of range, counts, targets, databases that do not
 * belong. */
static void lies_are_refused(void **state)
{
    uint8_t *blob;
    size_t len;
    blob_make((void **)&blob, &len);
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    unsigned words = sizeof(struct waf_blob_header) / 4;
    static const uint32_t values[] = {0, 1, 63, 64, 0x7fffffff, 0x80000000, 0xffffffff};
    for (unsigned word = 0; word < words + 10; word++) {
        for (unsigned v = 0; v < TG_ARRAY_LEN(values); v++) {
            memcpy(copy, blob, len);
            memcpy(copy + word * 4, &values[v], 4);
            blob_sign(copy, len);
            struct waf_program *program = NULL;
            enum tg_err err = waf_program_open(span_make(copy, len), &program);
            /* An id, the order of harmless numbers: may open. What opens must be closable. */
            if (err == TG_OK)
                waf_program_close(program);
            else
                assert_int_equal(err, TG_VERSION);
        }
    }
    free(copy);
    free(blob);
}

static void lie_is_refused(const uint8_t *blob, size_t len, size_t at, uint32_t value)
{
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, blob, len);
    memcpy(copy + at, &value, 4);
    blob_sign(copy, len);
    struct waf_program *program = NULL;
    assert_int_equal(waf_program_open(span_make(copy, len), &program), TG_VERSION);
    free(copy);
}

/* The lies that must not open, each alone. */
static void known_lies_are_refused(void **state)
{
    uint8_t *blob;
    size_t len;
    blob_make((void **)&blob, &len);
    struct waf_blob_header header;
    memcpy(&header, blob, sizeof header);
    size_t second = header.rules.offset + sizeof(struct waf_blob_rule);
    size_t message = second + offsetof(struct waf_blob_rule, message);
    lie_is_refused(blob, len, offsetof(struct waf_blob_header, version), 2);
    lie_is_refused(blob, len, offsetof(struct waf_blob_header, rule_count), 1);
    lie_is_refused(blob, len, message, UINT32_MAX);
    lie_is_refused(blob, len, message, header.messages.len);
    lie_is_refused(blob, len, message + 4, header.messages.len + 1);
    lie_is_refused(blob, len, second + offsetof(struct waf_blob_rule, block), 2);
    lie_is_refused(blob, len, second + offsetof(struct waf_blob_rule, targets), 0);
    lie_is_refused(blob, len, second + offsetof(struct waf_blob_rule, targets), 1u << 6);
    /* The response database now has no rule; then a rule has no database. */
    lie_is_refused(blob, len, second + offsetof(struct waf_blob_rule, targets), WAF_IN_URI);
    lie_is_refused(blob, len, offsetof(struct waf_blob_header, databases[WAF_DB_RESP].len), 0);
    uint8_t *longer = calloc(1, len + 8);
    assert_non_null(longer);
    memcpy(longer, blob, len);
    blob_sign(longer, len + 8);
    struct waf_program *program = NULL;
    assert_int_equal(waf_program_open(span_make(longer, len + 8), &program), TG_VERSION);
    free(longer);
    free(blob);
}

/* Position independent and unaligned. */
static void opens_at_any_address(void **state)
{
    uint8_t *blob;
    size_t len;
    blob_make((void **)&blob, &len);
    uint8_t *moved = malloc(len + 64);
    assert_non_null(moved);
    for (unsigned shift = 0; shift < 17; shift++) {
        memcpy(moved + shift, blob, len);
        struct waf_program *program = NULL;
        assert_int_equal(waf_program_open(span_make(moved + shift, len), &program), TG_OK);
        assert_int_equal(program->rule_count, 2);
        waf_program_close(program);
    }
    free(moved);
    free(blob);
}

/* What does not overwrite a caller's pointer when it fails. */
static void garbage_is_refused(void **state)
{
    struct waf_program *program = (struct waf_program *)&program;
    uint8_t zeros[128] = {0};
    assert_int_equal(waf_program_open(SPAN_EMPTY, &program), TG_VERSION);
    assert_int_equal(waf_program_open(span_make(zeros, sizeof zeros), &program), TG_VERSION);
    assert_ptr_equal(program, &program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_patterns_are_named),
        cmocka_unit_test(patterns_too_large_are_named),
        cmocka_unit_test(bad_rules_are_named),
        cmocka_unit_test(too_many_rules),
        cmocka_unit_test(empty_program_passes_everything),
        cmocka_unit_test(messages_come_through),
        cmocka_unit_test(same_rules_same_blob),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(known_lies_are_refused),
        cmocka_unit_test(opens_at_any_address),
        cmocka_unit_test(garbage_is_refused),
    };
    return cmocka_run_group_tests_name("waf_compile", tests, NULL, NULL);
}
