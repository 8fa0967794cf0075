/* SPDX-License-Identifier: BSD-3-Clause
 * The steps of a transaction: where each target looks, what a match does, limits, and programs
 * that come and go under a working worker. Bodies cut anywhere are in waf_body_test.c.
 */
#include "waf/waf_test_help.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define RULE(rule_id, in, text, blocks)                                                            \
    {                                                                                              \
        .id = rule_id, .targets = in, .pattern = SPAN_LITERAL(text),                               \
        .message = SPAN_LITERAL("m" #rule_id), .block = blocks                                     \
    }

/* One word a target, so that a match says where it was seen. */
static const struct waf_rule target_rules[] = {
    RULE(1, WAF_IN_URI, "evil-uri", true),
    RULE(2, WAF_IN_HEADERS, "evil-header", true),
    RULE(3, WAF_IN_USER_AGENT, "evil-ua", true),
    RULE(4, WAF_IN_BODY, "evil-body", true),
    RULE(5, WAF_IN_COOKIE, "evil-cookie", true),
    RULE(6, WAF_IN_RESP_BODY, "evil-resp", true),
    RULE(7, WAF_IN_URI, "^whole value$", true),
    RULE(8, WAF_IN_URI, "new\nline.", true),
    RULE(9, WAF_IN_COOKIE | WAF_IN_HEADERS, "evil-both", true),
    RULE(10, WAF_IN_URI, "left&right=", true),
    RULE(11, WAF_IN_URI, "\\x00\\xff", true),
    RULE(12, WAF_IN_URI, "plus sign", true),
    RULE(13, WAF_IN_URI, "^tail%$", true),
};

static struct waf_rig rig_targets(void)
{
    return rig_open(target_rules, TG_ARRAY_LEN(target_rules), 2);
}

static void target_says(struct waf_rig *rig, const char *target, uint32_t rule)
{
    struct head_view head = head_make(target, NULL, 0);
    struct waf_said said = rig_head(rig, &head);
    if (said.rule_id != rule)
        fail_msg("%s: rule %u, not %u", target, said.rule_id, rule);
    assert_int_equal(said.verdict, rule ? WAF_BLOCK : WAF_PASS);
    assert_int_equal(said.where, rule ? WAF_IN_URI : 0);
}

static void uri_is_seen_raw_and_decoded(void **state)
{
    struct waf_rig rig = rig_targets();
    target_says(&rig, "/", 0);
    target_says(&rig, "/evil-uri", 1);
    target_says(&rig, "/EVIL-uRI", 1);
    target_says(&rig, "/e%76il-uri", 1);
    target_says(&rig, "/x?evil-uri", 1);
    target_says(&rig, "/x?evil%2duri=1", 1);
    target_says(&rig, "/x?a=evil%2Duri", 1);
    target_says(&rig, "/x?a=1&b=e%76il-uri&c=3", 1);
    target_says(&rig, "/x?a=whole+value", 7);
    target_says(&rig, "/x?whole%20value=1",
                0); /* a space is no name byte: all of it is one value */
    target_says(&rig, "/x?whole%20value", 7);
    target_says(&rig, "/x?a=whole+value&b", 7);
    target_says(&rig, "/x?a=the+whole+value", 0);
    target_says(&rig, "/x?a=whole+value+x", 0);
    target_says(&rig, "/x?a=whole&b=value", 0);
    target_says(&rig, "/x?a=new%0Alinex", 8);
    target_says(&rig, "/x?a=new%0aline%0a", 8); /* '.' is a newline too */
    target_says(&rig, "/x?a=new%0aline", 0);
    target_says(&rig, "/x?left&right=", 10);  /* the raw scan */
    target_says(&rig, "/x?le%66t&right=", 0); /* but no match across decoded values */
    target_says(&rig, "/x?a=%00%ff", 11);
    target_says(&rig, "/plus+sign", 0); /* '+' is a space in queries only */
    target_says(&rig, "/plus%20sign", 12);
    target_says(&rig, "/x?a=plus+sign", 12);
    target_says(&rig, "/x?a=tail%", 13); /* an escape that the end cuts off */
    target_says(&rig, "/x?a=tail%&b", 13);
    target_says(&rig, "/x?a=tail%4", 0);
    target_says(&rig, "/x?a=evil-header", 0);
    target_says(&rig, "/x?a=evil%252Duri", 0); /* decoded once */
    rig_close(&rig);
}

static void field_says(struct waf_rig *rig, const char *name, const char *value, uint32_t rule,
                       unsigned where)
{
    struct field fields[] = {field_make("Host", "example.com"), field_make(name, value)};
    struct head_view head = head_make("/", fields, 2);
    struct waf_said said = rig_head(rig, &head);
    if (said.rule_id != rule)
        fail_msg("%s: %s: rule %u, not %u", name, value, said.rule_id, rule);
    assert_int_equal(said.verdict, rule ? WAF_BLOCK : WAF_PASS);
    assert_int_equal(said.where, where);
}

static void fields_are_seen(void **state)
{
    struct waf_rig rig = rig_targets();
    field_says(&rig, "X-A", "evil-header", 2, WAF_IN_HEADERS);
    field_says(&rig, "X-A", "evil%2dheader", 2, WAF_IN_HEADERS);
    field_says(&rig, "X-A", "", 0, 0);
    field_says(&rig, "evil-header", "x", 0, 0); /* names are not looked at */
    field_says(&rig, "X-A", "evil-uri", 0, 0);
    field_says(&rig, "User-Agent", "evil-ua/1.0", 3, WAF_IN_USER_AGENT);
    field_says(&rig, "USER-AGENT", "x evil%2Dua", 3, WAF_IN_USER_AGENT);
    field_says(&rig, "User-Agent", "evil-header", 2, WAF_IN_HEADERS);
    field_says(&rig, "X-User-Agent", "evil-ua", 0, 0);
    field_says(&rig, "Cookie", "a=1; b=evil-cookie", 5, WAF_IN_COOKIE);
    field_says(&rig, "cookie", "a=evil%2Dcookie;b=2", 5, WAF_IN_COOKIE);
    field_says(&rig, "Cookie", "a=evil-header", 2, WAF_IN_HEADERS);
    field_says(&rig, "Cookie", "a=evil-both", 9, WAF_IN_COOKIE);
    field_says(&rig, "X-A", "evil-both", 9, WAF_IN_HEADERS);
    field_says(&rig, "Cookie", "a=evil-;cookie", 0, 0);
    field_says(&rig, "Cookie", ";;; ;", 0, 0);
    field_says(&rig, "Set-Cookie", "a=evil-cookie", 0, 0);
    rig_close(&rig);
}

/* The parser refused the head: the raw line and the fields so far are still looked at. */
static void refused_heads_are_seen(void **state)
{
    struct waf_rig rig = rig_targets();
    static const struct {
        const char *line;
        uint32_t rule;
    } cases[] = {{"GET /evil-uri HTTP/9.9", 1},
                 {"GET /\x01?a=e%76il-uri&b=1", 1},
                 {"evil-uri", 1},
                 {"", 0},
                 {"GET /e%76il-uri", 1},
                 {"???", 0},
                 {"GET /?a=whole+value&x", 7},
                 {"GET / HTTP/1.1 extra", 0}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct waf_tx *tx = rig_begin(&rig);
        struct head_view head = {.raw_line = span_from_string(cases[i].line)};
        struct waf_said said = said_of(tx, waf_bad_head(tx, &head, 3));
        assert_int_equal(said.rule_id, cases[i].rule);
        assert_int_equal(said.verdict, cases[i].rule ? WAF_BLOCK : WAF_PASS);
        waf_finish(tx);
    }
    struct field field = field_make("X", "evil-header");
    struct head_view head = {
        .raw_line = SPAN_LITERAL("GET / HTTP/1.1"), .fields = &field, .field_count = 1};
    struct waf_tx *tx = rig_begin(&rig);
    assert_int_equal(waf_bad_head(tx, &head, 40), WAF_BLOCK);
    waf_finish(tx);
    rig_close(&rig);
}

static void response_bodies_are_seen(void **state)
{
    struct waf_rig rig = rig_targets();
    struct head_view request = head_make("/", NULL, 0);
    struct head_view response = {.raw_line = SPAN_LITERAL("HTTP/1.1 200 OK"), .status = 200};
    struct span body = SPAN_LITERAL("some text evil-resp more");
    for (size_t cut = 0; cut <= body.len; cut++) {
        struct waf_tx *tx = rig_begin(&rig);
        assert_int_equal(waf_head(tx, &request), WAF_PASS);
        assert_int_equal(waf_body(tx, SPAN_LITERAL("evil-resp")), WAF_PASS);
        assert_int_equal(waf_end(tx), WAF_PASS);
        assert_int_equal(waf_resp_head(tx, &response), WAF_PASS);
        (void)waf_resp_body(tx, span_slice(body, 0, cut));
        struct waf_said said = said_of(tx, waf_resp_body(tx, span_slice(body, cut, body.len)));
        assert_int_equal(said.rule_id, 6);
        assert_int_equal(said.where, WAF_IN_RESP_BODY);
        waf_finish(tx);
    }
    /* A second head starts a fresh body: halves of two responses do not join. */
    struct waf_tx *tx = rig_begin(&rig);
    assert_int_equal(waf_resp_body(tx, SPAN_LITERAL("evil-")), WAF_PASS);
    assert_int_equal(waf_resp_head(tx, &response), WAF_PASS);
    assert_int_equal(waf_resp_body(tx, SPAN_LITERAL("resp")), WAF_PASS);
    waf_finish(tx);
    rig_close(&rig);
}

static void a_block_is_final(void **state)
{
    struct waf_rig rig = rig_targets();
    struct head_view bad = head_make("/evil-uri", NULL, 0), clean = head_make("/", NULL, 0);
    struct waf_tx *tx = rig_begin(&rig);
    assert_int_equal(waf_head(tx, &bad), WAF_BLOCK);
    assert_int_equal(waf_head(tx, &clean), WAF_BLOCK);
    assert_int_equal(waf_bad_head(tx, &clean, 0), WAF_BLOCK);
    assert_int_equal(waf_body(tx, SPAN_LITERAL("evil-body")), WAF_BLOCK);
    assert_int_equal(waf_end(tx), WAF_BLOCK);
    assert_int_equal(waf_resp_head(tx, &clean), WAF_BLOCK);
    assert_int_equal(waf_resp_body(tx, SPAN_LITERAL("evil-resp")), WAF_BLOCK);
    struct waf_match matches[WAF_MATCHES_MAX];
    assert_int_equal(waf_matches(tx, matches, WAF_MATCHES_MAX), 1);
    assert_int_equal(matches[0].rule_id, 1);
    waf_finish(tx);
    /* The next transaction of the same slot starts clean. */
    assert_int_equal(rig_head(&rig, &clean).verdict, WAF_PASS);
    rig_close(&rig);
}

/* Twelve rules that only detect and one that blocks. */
static void matches_are_bounded(void **state)
{
    char words[13][8];
    struct waf_rule rules[13];
    for (unsigned i = 0; i < 13; i++) {
        snprintf(words[i], sizeof words[i], "word%c", 'a' + (int)i);
        rules[i] = (struct waf_rule){.id = 100 + i,
                                     .targets = WAF_IN_URI | WAF_IN_HEADERS,
                                     .pattern = span_from_string(words[i]),
                                     .message = SPAN_LITERAL("seen"),
                                     .block = i == 12};
    }
    struct waf_rig rig = rig_open(rules, 13, 1);
    struct waf_tx *tx = rig_begin(&rig);
    struct waf_match matches[WAF_MATCHES_MAX];
    struct head_view head = head_make("/worda/worda?x=worda&y=w%6frda", NULL, 0);
    assert_int_equal(waf_head(tx, &head), WAF_PASS);
    assert_int_equal(waf_matches(tx, matches, WAF_MATCHES_MAX), 1); /* once a rule and target */
    struct field field = field_make("X", "worda wordb");
    head = head_make("/", &field, 1);
    assert_int_equal(waf_head(tx, &head), WAF_PASS);
    assert_int_equal(waf_matches(tx, matches, WAF_MATCHES_MAX), 3);
    assert_int_equal(matches[1].where, WAF_IN_HEADERS);
    head = head_make("/wordc/wordd/worde/wordf/wordg/wordh/wordi/wordj/wordk/wordl", NULL, 0);
    assert_int_equal(waf_head(tx, &head), WAF_PASS);
    assert_int_equal(waf_matches(tx, matches, WAF_MATCHES_MAX), WAF_MATCHES_MAX);
    head = head_make("/wordm", NULL, 0);
    assert_int_equal(waf_head(tx, &head), WAF_BLOCK);
    assert_int_equal(waf_matches(tx, matches, WAF_MATCHES_MAX), WAF_MATCHES_MAX);
    assert_int_equal(matches[WAF_MATCHES_MAX - 1].rule_id, 112);
    assert_true(matches[WAF_MATCHES_MAX - 1].block);
    assert_int_equal(waf_matches(tx, matches, 2), 2);
    waf_finish(tx);
    rig_close(&rig);
}

/* A value that needs decoding and does not fit the buffer must not slip through. */
static void values_too_long_are_refused(void **state)
{
    struct waf_rig rig = rig_targets();
    static char text[WAF_VALUE_BYTES_MAX + 64];
    memset(text, 'a', sizeof text - 1);
    field_says(&rig, "X", text, 0, 0); /* raw: any length */
    text[5] = '%';
    struct field field = field_make("X", text);
    struct head_view head = head_make("/", &field, 1);
    struct waf_said said = rig_head(&rig, &head);
    assert_int_equal(said.verdict, WAF_BLOCK);
    assert_int_equal(said.rule_id, 0);
    memcpy(text, "/?x", 3);
    head = head_make(text, NULL, 0);
    said = rig_head(&rig, &head);
    assert_int_equal(said.verdict, WAF_BLOCK);
    assert_int_equal(said.where, WAF_IN_URI);
    text[WAF_VALUE_BYTES_MAX - 16] = '\0';
    assert_int_equal(rig_head(&rig, &(struct head_view){.target = span_from_string(text),
                                                        .query = span_from_string(text + 2)})
                         .verdict,
                     WAF_PASS);
    rig_close(&rig);
}

static void rooms_are_limited(void **state)
{
    struct waf_rig rig = rig_targets();
    struct waf_tx *a = rig_begin(&rig), *b = rig_begin(&rig), *c = NULL;
    assert_ptr_not_equal(a, b);
    assert_int_equal(waf_begin(rig.worker, rig.program, &c), TG_FULL);
    assert_null(c);
    assert_int_equal(waf_worker_running(rig.worker, rig.program), 2);
    waf_finish(a);
    c = rig_begin(&rig);
    assert_int_equal(waf_begin(rig.worker, rig.program, &a), TG_FULL);
    waf_finish(b);
    waf_finish(c);
    assert_int_equal(waf_worker_running(rig.worker, rig.program), 0);
    rig_close(&rig);
    struct waf_worker *none = NULL;
    assert_int_equal(waf_worker_create(0, &none), TG_BAD_CONFIG);
    assert_null(none);
    waf_worker_destroy(NULL);
    waf_program_close(NULL);
}

static struct waf_program *program_open(struct waf_rig *rig)
{
    struct waf_program *program = NULL;
    assert_int_equal(waf_program_open(span_make(rig->blob, rig->blob_len), &program), TG_OK);
    return program;
}

static void programs_are_prepared_and_released(void **state)
{
    struct waf_rig rig = rig_targets();
    struct waf_program *more[WAF_PROGRAMS_MAX];
    struct waf_tx *tx = NULL;
    for (unsigned i = 0; i < WAF_PROGRAMS_MAX; i++) {
        more[i] = program_open(&rig);
        assert_int_equal(waf_begin(rig.worker, more[i], &tx), TG_NOT_FOUND);
        assert_int_equal(waf_worker_release(rig.worker, more[i]), TG_NOT_FOUND);
        bool room = i + 1 < WAF_PROGRAMS_MAX;
        assert_int_equal(waf_worker_prepare(rig.worker, more[i]), room ? TG_OK : TG_FULL);
    }
    assert_int_equal(waf_worker_prepare(rig.worker, rig.program), TG_OK); /* again: nothing to do */
    assert_int_equal(waf_begin(rig.worker, more[0], &tx), TG_OK);
    assert_int_equal(waf_worker_release(rig.worker, more[0]), TG_AGAIN);
    assert_int_equal(waf_worker_running(rig.worker, more[0]), 1);
    waf_finish(tx);
    assert_int_equal(waf_worker_release(rig.worker, more[0]), TG_OK);
    assert_int_equal(waf_begin(rig.worker, more[0], &tx), TG_NOT_FOUND);
    assert_int_equal(waf_worker_prepare(rig.worker, more[WAF_PROGRAMS_MAX - 1]), TG_OK);
    rig_close(&rig); /* destroys the worker with programs still prepared */
    for (unsigned i = 0; i < WAF_PROGRAMS_MAX; i++)
        waf_program_close(more[i]);
}

/* A transaction in the middle of a body goes on under its own program when the next one is in
 * force. */
static void old_transactions_keep_their_program(void **state)
{
    static const struct waf_rule old_rules[] = {RULE(21, WAF_IN_BODY, "oldword", true)};
    static const struct waf_rule new_rules[] = {RULE(22, WAF_IN_BODY, "newword", true),
                                                RULE(23, WAF_IN_BODY, "other", false)};
    struct waf_rig old = rig_open(old_rules, 1, 2);
    struct waf_rig new = rig_open(new_rules, 2, 2); /* only its program is used */
    struct waf_tx *a = rig_begin(&old), *b = NULL;
    assert_int_equal(waf_body(a, SPAN_LITERAL("some old")), WAF_PASS);
    assert_int_equal(waf_worker_prepare(old.worker, new.program), TG_OK);
    assert_int_equal(waf_begin(old.worker, new.program, &b), TG_OK);
    assert_int_equal(waf_body(b, SPAN_LITERAL("other oldword new")), WAF_PASS);
    assert_int_equal(waf_body(a, SPAN_LITERAL("word")), WAF_BLOCK);
    assert_int_equal(said_of(a, WAF_BLOCK).rule_id, 21);
    assert_int_equal(waf_worker_release(old.worker, old.program), TG_AGAIN);
    waf_finish(a);
    assert_int_equal(waf_worker_release(old.worker, old.program), TG_OK);
    assert_int_equal(waf_body(b, SPAN_LITERAL("word")), WAF_BLOCK);
    struct waf_match matches[2];
    assert_int_equal(waf_matches(b, matches, 2), 2);
    assert_int_equal(matches[0].rule_id, 23);
    assert_int_equal(matches[1].rule_id, 22);
    waf_finish(b);
    assert_int_equal(waf_worker_release(old.worker, new.program), TG_OK);
    assert_int_equal(waf_worker_prepare(old.worker, old.program), TG_OK);
    rig_close(&old);
    rig_close(&new);
}

/* What housekeeping does while a worker scans: opens and prepares the next program, tells the
 * worker, waits until it has taken it and the old one's transactions have finished, releases and
 * closes the old one. */
struct swap {
    struct waf_rig rig;
    _Atomic(struct waf_program *) offered, taken;
    atomic_bool stop;
    unsigned scans, swaps;
};

static void *swap_worker(void *arg)
{
    struct swap *swap = arg;
    struct head_view bad = head_make("/evil-uri", NULL, 0), clean = head_make("/a?b=c", NULL, 0);
    struct waf_program *program = atomic_load(&swap->taken);
    while (!atomic_load(&swap->stop)) {
        struct waf_tx *held = NULL, *tx = NULL;
        tg_assert(waf_begin(swap->rig.worker, program, &held) == TG_OK); /* lives across the swap */
        program = atomic_load(&swap->offered);
        atomic_store(&swap->taken, program);
        tg_assert(waf_begin(swap->rig.worker, program, &tx) == TG_OK);
        bool attack = swap->scans++ & 1;
        enum waf_verdict want = attack ? WAF_BLOCK : WAF_PASS;
        tg_assert(waf_head(held, attack ? &bad : &clean) == want);
        tg_assert(waf_head(tx, attack ? &bad : &clean) == want);
        waf_finish(held);
        waf_finish(tx);
    }
    return NULL;
}

static void swap_once(struct swap *swap)
{
    struct waf_program *old = atomic_load(&swap->offered), *next = program_open(&swap->rig);
    assert_int_equal(waf_worker_prepare(swap->rig.worker, next), TG_OK);
    atomic_store(&swap->offered, next);
    while (atomic_load(&swap->taken) != next)
        sched_yield();
    enum tg_err err;
    while ((err = waf_worker_release(swap->rig.worker, old)) == TG_AGAIN)
        sched_yield();
    assert_int_equal(err, TG_OK);
    waf_program_close(old);
    swap->swaps++;
}

static void programs_swap_under_load(void **state)
{
    struct swap swap = {.rig = rig_targets()};
    atomic_store(&swap.offered, swap.rig.program);
    atomic_store(&swap.taken, swap.rig.program);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, swap_worker, &swap), 0);
    while (swap.swaps < 50)
        swap_once(&swap);
    atomic_store(&swap.stop, true);
    pthread_join(thread, NULL);
    assert_true(swap.scans >= swap.swaps);
    swap.rig.program = atomic_load(&swap.offered);
    rig_close(&swap.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uri_is_seen_raw_and_decoded),
        cmocka_unit_test(fields_are_seen),
        cmocka_unit_test(refused_heads_are_seen),
        cmocka_unit_test(response_bodies_are_seen),
        cmocka_unit_test(a_block_is_final),
        cmocka_unit_test(matches_are_bounded),
        cmocka_unit_test(values_too_long_are_refused),
        cmocka_unit_test(rooms_are_limited),
        cmocka_unit_test(programs_are_prepared_and_released),
        cmocka_unit_test(old_transactions_keep_their_program),
        cmocka_unit_test(programs_swap_under_load),
    };
    return cmocka_run_group_tests_name("waf", tests, NULL, NULL);
}
