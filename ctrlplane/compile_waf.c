/* SPDX-License-Identifier: BSD-3-Clause
 * WAF rules -> struct tables_waf with waf_compile's blob.
 */
#include "ctrlplane/compile.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <stdlib.h>
#include <string.h>

static void waf_fault(struct problem *problem, enum tg_err err, unsigned bad, const char *why)
{
    char pointer[64] = "";
    if (err != TG_BAD_INPUT) {
        problem_set(problem, 500, "internal", "", "the WAF program was not made: %s",
                    tg_err_text(err));
        return;
    }
    pointer_append_index(pointer, sizeof pointer, bad);
    pointer_append(pointer, sizeof pointer, "pattern");
    problem_set(problem, 422, "pattern", pointer, "%s", why);
    problem_extra(problem, "index", json_integer(bad));
}

bool compile_waf(const json_t *model, struct block *out, struct problem *problem)
{
    const json_t *rules = model_get(model, "waf");
    unsigned count = (unsigned)json_array_size(rules), bad = 0;
    struct waf_rule *input = calloc(count + 1, sizeof *input);
    tg_assert(input);
    for (unsigned i = 0; i < count; i++)
        input[i] = waf_rule_from(json_array_get(rules, i));
    char why[256] = "";
    void *blob = NULL;
    size_t blob_len = 0;
    enum tg_err err = waf_compile(input, count, &blob, &blob_len, &bad, why);
    free(input);
    if (err != TG_OK) {
        waf_fault(problem, err, bad, why);
        return false;
    }
    size_t at = (sizeof(struct tables_waf) + 63) & ~(size_t)63;
    block_make(out, TABLES_WAF, at + blob_len);
    struct tables_waf *t = out->bytes;
    t->program_offset = (uint32_t)at;
    t->program_len = (uint32_t)blob_len;
    memcpy((uint8_t *)out->bytes + at, blob, blob_len);
    free(blob);
    return true;
}
