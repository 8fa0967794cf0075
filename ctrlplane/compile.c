/* SPDX-License-Identifier: BSD-3-Clause
 * Dispatch by kind, and blocks. Called by change, publish and explain.
 */
#include "ctrlplane/compile.h"

#include <stdlib.h>
#include <string.h>

void block_make(struct block *out, enum tables_kind kind, size_t len)
{
    tg_assert(len >= sizeof(struct tables_header) && len <= UINT32_MAX);
    out->bytes = calloc(1, len);
    tg_assert(out->bytes);
    out->len = len;
    struct tables_header *header = out->bytes;
    header->kind = kind;
    header->bytes = (uint32_t)len;
}

void block_free(struct block *block)
{
    if (block->bytes && block->secret)
        explicit_bzero(block->bytes, block->len);
    free(block->bytes);
    *block = (struct block){0};
}

bool compile_tables(enum tables_kind kind, const json_t *model, const struct compile_node *self,
                    struct block *out, struct problem *problem)
{
    *out = (struct block){0};
    bool good = false;
    switch (kind) {
    case TABLES_RULES:
        good = compile_rules(model, out, problem);
        break;
    case TABLES_ROUTES:
        good = compile_routes(model, out, problem);
        break;
    case TABLES_CERTIFICATES:
        good = compile_certificates(model, out, problem);
        break;
    case TABLES_WAF:
        good = compile_waf(model, out, problem);
        break;
    case TABLES_OWNERS:
        good = compile_owners(model, self, out);
        break;
    case TABLES_KINDS:
        tg_assert(kind != TABLES_KINDS);
    }
    if (!good) {
        block_free(out);
        return false;
    }
    tg_assert(tables_valid(kind, out->bytes, out->len));
    return true;
}
