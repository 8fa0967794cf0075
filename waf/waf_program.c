/* SPDX-License-Identifier: BSD-3-Clause
 * Opens a program blob: checks every byte that it will rely on, brings the databases into this
 * process's memory. Cold; called by the data plane's housekeeping and by tests.
 */
#include "waf/waf_program.h"

#include <stdlib.h>

static bool part_inside(struct waf_blob_part part, size_t len)
{
    return part.offset <= len && part.len <= len - part.offset;
}

/* Everything but the databases' own content, which Hyperscan checks. */
static bool header_valid(const struct waf_blob_header *h, struct span blob)
{
    if (h->magic != WAF_BLOB_MAGIC || h->version != WAF_BLOB_VERSION || h->bytes != blob.len ||
        h->rule_count > WAF_RULES_MAX || h->crc != waf_blob_crc(blob))
        return false;
    for (unsigned i = 0; i < WAF_DBS; i++)
        if (!part_inside(h->databases[i], blob.len))
            return false;
    return part_inside(h->rules, blob.len) && part_inside(h->messages, blob.len) &&
           h->rules.len == h->rule_count * sizeof(struct waf_blob_rule);
}

static bool rules_read(struct waf_program *program, const struct waf_blob_header *h,
                       struct span blob)
{
    struct span messages = span_slice(blob, h->messages.offset, h->messages.len);
    for (unsigned i = 0; i < h->rule_count; i++) {
        struct waf_blob_rule entry;
        memcpy(&entry, blob.data + h->rules.offset + i * sizeof entry, sizeof entry);
        if (!part_inside(entry.message, messages.len) ||
            entry.message.len > WAF_MESSAGE_BYTES_MAX || entry.block > 1 || entry.targets == 0 ||
            (entry.targets & ~WAF_ALL_TARGETS))
            return false;
        program->rules[i] = (struct waf_program_rule){
            .id = entry.id,
            .targets = entry.targets,
            .block = entry.block,
            .message = span_slice(messages, entry.message.offset, entry.message.len),
        };
        program->targets |= entry.targets;
    }
    program->rule_count = h->rule_count;
    return true;
}

/* A database for targets that no rule has, or none for targets that one has, is damage too. */
static bool databases_read(struct waf_program *program, const struct waf_blob_header *h,
                           struct span blob)
{
    for (unsigned i = 0; i < WAF_DBS; i++) {
        struct span bytes = span_slice(blob, h->databases[i].offset, h->databases[i].len);
        bool wanted = program->targets & waf_database_targets(i);
        if (wanted != (bytes.len != 0))
            return false;
        if (wanted && hs_deserialize_database((const char *)bytes.data, bytes.len,
                                              &program->databases[i]) != HS_SUCCESS)
            return false;
    }
    return true;
}

enum tg_err waf_program_open(struct span blob, struct waf_program **program)
{
    struct waf_blob_header header;
    if (blob.len < sizeof header || blob.len > UINT32_MAX)
        return TG_VERSION;
    memcpy(&header, blob.data, sizeof header);
    if (!header_valid(&header, blob))
        return TG_VERSION;
    struct waf_program *p = calloc(1, sizeof *p + header.rule_count * sizeof p->rules[0]);
    if (!p)
        return TG_NO_MEMORY;
    if (!rules_read(p, &header, blob) || !databases_read(p, &header, blob)) {
        waf_program_close(p);
        return TG_VERSION;
    }
    *program = p;
    return TG_OK;
}

void waf_program_close(struct waf_program *program)
{
    if (!program)
        return;
    for (unsigned i = 0; i < WAF_DBS; i++)
        hs_free_database(program->databases[i]); /* takes NULL */
    free(program);
}
