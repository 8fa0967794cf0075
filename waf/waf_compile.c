/* SPDX-License-Identifier: BSD-3-Clause
 * Rules to a program blob. Called by the control plane and by tests; cold, may take seconds.
 * Knows nothing of transactions.
 */
#include "waf/waf_program.h"

#include <stdio.h>
#include <stdlib.h>

/* SINGLEMATCH: one report a subject is enough for a verdict, and keeps scans cheap. No UTF8:
 * bytes as they are, a peer may send anything. No ALLOWEMPTY: a pattern that matches nothing
 * matches everything. */
#define COMPILE_FLAGS (HS_FLAG_CASELESS | HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH)

/* Hyperscan wants arrays of terminated strings; this is one set of them, made once. */
struct compile_input {
    const struct waf_rule *rules;
    unsigned count;
    char **patterns;
    const char **chosen; /* the patterns of the database being compiled */
    unsigned *flags, *ids;
};

static void input_free(struct compile_input *in)
{
    for (unsigned i = 0; in->patterns && i < in->count; i++)
        free(in->patterns[i]);
    free(in->patterns);
    free(in->chosen);
    free(in->flags);
    free(in->ids);
}

static enum tg_err input_init(struct compile_input *in, const struct waf_rule rules[],
                              unsigned count)
{
    *in = (struct compile_input){.rules = rules, .count = count};
    in->patterns = calloc(count + 1, sizeof *in->patterns);
    in->chosen = calloc(count + 1, sizeof *in->chosen);
    in->flags = calloc(count + 1, sizeof *in->flags);
    in->ids = calloc(count + 1, sizeof *in->ids);
    bool ok = in->patterns && in->chosen && in->flags && in->ids;
    for (unsigned i = 0; ok && i < count; i++) {
        in->patterns[i] = strndup((const char *)rules[i].pattern.data, rules[i].pattern.len);
        ok = in->patterns[i];
    }
    if (ok)
        return TG_OK;
    input_free(in);
    return TG_NO_MEMORY;
}

/* What is wrong with a rule before Hyperscan sees it; NULL: nothing. */
static const char *rule_problem(const struct waf_rule rules[], unsigned index)
{
    const struct waf_rule *rule = &rules[index];
    if (rule->targets == 0 || (rule->targets & ~WAF_ALL_TARGETS))
        return "no target or an unknown one";
    if (rule->pattern.len == 0)
        return "the pattern is empty";
    if (rule->pattern.len > WAF_PATTERN_BYTES_MAX)
        return "the pattern is longer than 8192 bytes";
    if (memchr(rule->pattern.data, 0, rule->pattern.len))
        return "the pattern holds a NUL byte (write \\x00)";
    if (rule->message.len > WAF_MESSAGE_BYTES_MAX)
        return "the message is longer than 127 bytes";
    for (unsigned i = 0; i < index; i++)
        if (rules[i].id == rule->id)
            return "the id is used twice";
    return NULL;
}

static enum tg_err rules_check(const struct waf_rule rules[], unsigned count, unsigned *bad,
                               char problem[256])
{
    if (count > WAF_RULES_MAX) {
        *bad = WAF_RULES_MAX;
        snprintf(problem, 256, "more than %u rules", WAF_RULES_MAX);
        return TG_TOO_BIG;
    }
    for (unsigned i = 0; i < count; i++) {
        const char *what = rule_problem(rules, i);
        if (what) {
            *bad = i;
            snprintf(problem, 256, "%s", what);
            return TG_BAD_INPUT;
        }
    }
    return TG_OK;
}

/* Parse each pattern alone first: the report then names the first bad rule whatever database it
 * goes to. Width 0 ("a*", "^", "\b") would match in every value: that is a slip, not a rule. */
static enum tg_err patterns_check(const struct compile_input *in, unsigned *bad, char problem[256])
{
    for (unsigned i = 0; i < in->count; i++) {
        hs_expr_info_t *info = NULL;
        hs_compile_error_t *error = NULL;
        hs_error_t result = hs_expression_info(in->patterns[i], COMPILE_FLAGS, &info, &error);
        bool empty = info && info->min_width == 0;
        free(info);
        if (result == HS_SUCCESS && !empty)
            continue;
        *bad = i;
        const char *what = empty ? "the pattern matches the empty string" : "refused by Hyperscan";
        snprintf(problem, 256, "%s", error ? error->message : what);
        hs_free_compile_error(error);
        return TG_BAD_INPUT;
    }
    return TG_OK;
}

/* Compile the rules of one database and serialize it; no rule: *bytes stays NULL. */
static enum tg_err database_compile(struct compile_input *in, enum waf_database which, char **bytes,
                                    size_t *len, unsigned *bad, char problem[256])
{
    unsigned n = 0;
    for (unsigned i = 0; i < in->count; i++) {
        if (!(in->rules[i].targets & waf_database_targets(which)))
            continue;
        in->chosen[n] = in->patterns[i];
        in->flags[n] = COMPILE_FLAGS;
        in->ids[n++] = i;
    }
    if (n == 0)
        return TG_OK;
    hs_database_t *db = NULL;
    hs_compile_error_t *error = NULL;
    unsigned mode = which == WAF_DB_BLOCK ? HS_MODE_BLOCK : HS_MODE_STREAM;
    hs_error_t result =
        hs_compile_multi(in->chosen, in->flags, in->ids, n, mode, NULL, &db, &error);
    if (result != HS_SUCCESS) {
        bool known = error && error->expression >= 0 && (unsigned)error->expression < n;
        *bad = known ? in->ids[error->expression] : in->ids[0];
        snprintf(problem, 256, "%s", error ? error->message : "refused by Hyperscan");
        hs_free_compile_error(error);
        return TG_BAD_INPUT;
    }
    result = hs_serialize_database(db, bytes, len);
    hs_free_database(db);
    return result == HS_SUCCESS ? TG_OK : TG_NO_MEMORY;
}

/* The parts to be laid out, and where the blob's end is so far. */
struct compile_output {
    char *databases[WAF_DBS];
    size_t database_len[WAF_DBS];
    size_t end;
};

static struct waf_blob_part part_place(struct compile_output *out, size_t len)
{
    size_t at = (out->end + WAF_BLOB_ALIGN - 1) / WAF_BLOB_ALIGN * WAF_BLOB_ALIGN;
    out->end = at + len;
    return (struct waf_blob_part){(uint32_t)at, (uint32_t)len};
}

static struct waf_blob_header parts_place(const struct compile_input *in,
                                          struct compile_output *out)
{
    struct waf_blob_header header = {
        .magic = WAF_BLOB_MAGIC, .version = WAF_BLOB_VERSION, .rule_count = in->count};
    size_t messages = 0;
    for (unsigned i = 0; i < in->count; i++)
        messages += in->rules[i].message.len;
    out->end = sizeof header;
    header.rules = part_place(out, in->count * sizeof(struct waf_blob_rule));
    header.messages = part_place(out, messages);
    for (unsigned i = 0; i < WAF_DBS; i++)
        if (out->databases[i])
            header.databases[i] = part_place(out, out->database_len[i]);
    header.bytes = (uint32_t)out->end;
    return header;
}

static void rules_write(const struct compile_input *in, const struct waf_blob_header *header,
                        uint8_t *blob)
{
    uint32_t text = 0;
    for (unsigned i = 0; i < in->count; i++) {
        const struct waf_rule *rule = &in->rules[i];
        struct waf_blob_rule entry = {.id = rule->id,
                                      .targets = rule->targets,
                                      .block = rule->block,
                                      .message = {text, (uint32_t)rule->message.len}};
        memcpy(blob + header->rules.offset + i * sizeof entry, &entry, sizeof entry);
        if (rule->message.len)
            memcpy(blob + header->messages.offset + text, rule->message.data, rule->message.len);
        text += entry.message.len;
    }
}

static enum tg_err blob_write(const struct compile_input *in, struct compile_output *out,
                              void **blob, size_t *blob_len)
{
    struct waf_blob_header header = parts_place(in, out);
    if (out->end > UINT32_MAX)
        return TG_TOO_BIG;
    uint8_t *bytes = calloc(1, out->end);
    if (!bytes)
        return TG_NO_MEMORY;
    rules_write(in, &header, bytes);
    for (unsigned i = 0; i < WAF_DBS; i++)
        if (out->databases[i])
            memcpy(bytes + header.databases[i].offset, out->databases[i], out->database_len[i]);
    memcpy(bytes, &header, sizeof header);
    header.crc = waf_blob_crc(span_make(bytes, out->end));
    memcpy(bytes, &header, sizeof header);
    *blob = bytes;
    *blob_len = out->end;
    return TG_OK;
}

enum tg_err waf_compile(const struct waf_rule rules[], unsigned count, void **blob,
                        size_t *blob_len, unsigned *bad, char problem[256])
{
    problem[0] = '\0';
    *bad = 0;
    enum tg_err err = rules_check(rules, count, bad, problem);
    if (err)
        return err;
    struct compile_input in;
    err = input_init(&in, rules, count);
    if (err)
        return err;
    struct compile_output out = {0};
    err = patterns_check(&in, bad, problem);
    for (unsigned i = 0; err == TG_OK && i < WAF_DBS; i++)
        err = database_compile(&in, i, &out.databases[i], &out.database_len[i], bad, problem);
    if (err == TG_OK)
        err = blob_write(&in, &out, blob, blob_len);
    for (unsigned i = 0; i < WAF_DBS; i++)
        free(out.databases[i]);
    input_free(&in);
    return err;
}
