/* SPDX-License-Identifier: BSD-3-Clause
 * libFuzzer: a form body and a raw body, cut as the input says, give the same matches as in one
 * piece; a head of the same bytes never trips anything. Input: one byte of flags, one seed byte
 * for the cuts, then the body.
 */
#include <stdio.h>
#include <stdlib.h>

#include "waf/waf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_RULE(number, text, blocks)                                                            \
    {                                                                                              \
        .id = number, .targets = WAF_IN_BODY | WAF_IN_URI | WAF_IN_HEADERS | WAF_IN_COOKIE,        \
        .pattern = SPAN_LITERAL(text), .block = blocks                                             \
    }

/* Short, so that the fuzzer meets them; anchored, spanning and wide ones among them. */
static const struct waf_rule rules[] = {
    FUZZ_RULE(1, "'\\s*or\\b", true),
    FUZZ_RULE(2, "^ab", false),
    FUZZ_RULE(3, "z$", false),
    FUZZ_RULE(4, "^x$", false),
    FUZZ_RULE(5, "<[^>]{1,8}>", false),
    FUZZ_RULE(6, "%4", false),
    FUZZ_RULE(7, "=.&", false),
    FUZZ_RULE(8, "\\x00|\\xff", false),
    FUZZ_RULE(9, "\\bq[0-9]+\\b", false),
};

static struct waf_program *program;
static struct waf_worker *worker;

static void require(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "waf_fuzz: %s\n", what);
        abort();
    }
}

static void fuzz_open(void)
{
    static void *blob;
    size_t len;
    unsigned bad;
    char problem[256];
    require(waf_compile(rules, TG_ARRAY_LEN(rules), &blob, &len, &bad, problem) == TG_OK, problem);
    require(waf_program_open(span_make(blob, len), &program) == TG_OK, "open");
    require(waf_worker_create(1, &worker) == TG_OK, "create");
    require(waf_worker_prepare(worker, program) == TG_OK, "prepare");
}

struct outcome {
    enum waf_verdict verdict;
    unsigned count;
    struct waf_match matches[WAF_MATCHES_MAX];
};

/* Piece lengths from a small generator: 1..16 bytes; seed 0: all at once. */
static struct outcome body_run(const char *type, struct span body, uint8_t seed)
{
    struct field field = {SPAN_LITERAL("Content-Type"), span_from_string(type)};
    struct head_view head = {.fields = &field, .field_count = 1};
    struct waf_tx *tx;
    require(waf_begin(worker, program, &tx) == TG_OK, "begin");
    (void)waf_head(tx, &head);
    uint32_t state = seed;
    while (body.len) {
        state = state * 1103515245u + 12345u;
        size_t take = seed ? 1 + (state >> 16) % 16 : body.len;
        struct span piece = span_slice(body, 0, take);
        body = span_slice(body, piece.len, body.len);
        (void)waf_body(tx, piece);
    }
    struct outcome outcome = {.verdict = waf_end(tx)};
    outcome.count = waf_matches(tx, outcome.matches, WAF_MATCHES_MAX);
    waf_finish(tx);
    return outcome;
}

/* The same verdict; without a block also the same rules. (A block ends the scan, and which rules
 * at the same place were reported before it is the engine's choice.) */
static void outcomes_equal(const struct outcome *a, const struct outcome *b)
{
    require(a->verdict == b->verdict, "verdict depends on the cut");
    if (a->verdict == WAF_BLOCK)
        return;
    require(a->count == b->count, "matches depend on the cut");
    for (unsigned i = 0; i < a->count; i++) {
        bool found = false;
        for (unsigned j = 0; j < b->count; j++)
            found |= a->matches[i].rule_id == b->matches[j].rule_id;
        require(found, "rules depend on the cut");
    }
}

static void head_run(struct span bytes)
{
    struct field fields[] = {{SPAN_LITERAL("Cookie"), bytes}, {SPAN_LITERAL("X"), bytes}};
    struct head_view head = {.raw_line = bytes,
                             .target = bytes,
                             .path = bytes,
                             .query = bytes,
                             .fields = fields,
                             .field_count = 2};
    struct waf_tx *tx;
    require(waf_begin(worker, program, &tx) == TG_OK, "begin");
    enum waf_verdict verdict = waf_head(tx, &head);
    require(verdict == WAF_BLOCK || waf_bad_head(tx, &head, 0) == WAF_PASS,
            "a refused head differs");
    waf_finish(tx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!worker)
        fuzz_open();
    if (size < 2)
        return 0;
    const char *type = data[0] & 1 ? "application/x-www-form-urlencoded" : "text/plain";
    struct span body = span_make(data + 2, size - 2);
    struct outcome whole = body_run(type, body, 0);
    struct outcome cut = body_run(type, body, data[1]);
    outcomes_equal(&whole, &cut);
    head_run(body);
    return 0;
}
