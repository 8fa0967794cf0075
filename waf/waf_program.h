/* SPDX-License-Identifier: BSD-3-Clause
 * The program blob's bytes and the opened program. Shared by waf_compile.c (writes), waf_program.c
 * (opens) and the scanning side; not for users of waf.h.
 *
 *   blob: header | rule entries | messages | serialized databases, each 64-byte aligned
 *
 * Offsets count from the blob's first byte; numbers are the machine's own order, because the
 * databases inside are made for this machine's processor family anyway. The reader assumes no
 * alignment and trusts nothing before the checksum has matched and every offset was checked.
 */
#ifndef WAF_WAF_PROGRAM_H
#define WAF_WAF_PROGRAM_H

#include <hs.h>

#include "base/hash.h"
#include "waf/waf.h"

#define WAF_BLOB_MAGIC        0x46574754u /* "TGWF" in a little-endian dump */
#define WAF_BLOB_VERSION      1u
#define WAF_BLOB_ALIGN        64u
#define WAF_RULES_MAX         4096u
#define WAF_PATTERN_BYTES_MAX 8192u
#define WAF_MESSAGE_BYTES_MAX 127u

/* One database per way of scanning. A database exists when a rule asks for it. */
enum waf_database {
    WAF_DB_BLOCK, /* block mode: values whole in memory, of heads and forms */
    WAF_DB_BODY,  /* stream mode: request body */
    WAF_DB_RESP,  /* stream mode: response body */
    WAF_DBS,
};
#define WAF_HEAD_TARGETS (WAF_IN_URI | WAF_IN_HEADERS | WAF_IN_USER_AGENT | WAF_IN_COOKIE)
#define WAF_ALL_TARGETS  (WAF_HEAD_TARGETS | WAF_IN_BODY | WAF_IN_RESP_BODY)

/* Which targets' rules go into a database. Those for bodies are in the block-mode one too: form
 * values that arrive in one piece are scanned there. */
static inline unsigned waf_database_targets(enum waf_database db)
{
    return db == WAF_DB_BLOCK  ? WAF_HEAD_TARGETS | WAF_IN_BODY
           : db == WAF_DB_BODY ? WAF_IN_BODY
                               : WAF_IN_RESP_BODY;
}

struct waf_blob_part {
    uint32_t offset, len;
};

struct waf_blob_header {
    uint32_t magic, version;
    uint32_t bytes; /* of the whole blob */
    uint32_t crc;   /* CRC-32C of the whole blob with this field 0 */
    uint32_t rule_count;
    uint32_t pad;
    struct waf_blob_part rules;              /* struct waf_blob_rule[rule_count] */
    struct waf_blob_part messages;           /* text without terminators */
    struct waf_blob_part databases[WAF_DBS]; /* serialized by Hyperscan; len 0: none */
};
static_assert(sizeof(struct waf_blob_header) == 64, "layout of the blob");

struct waf_blob_rule {
    uint32_t id;
    uint32_t targets;
    uint32_t block; /* 0 or 1 */
    struct waf_blob_part message;
};
static_assert(sizeof(struct waf_blob_rule) == 20, "layout of the blob");

/* The blob's checksum as its header should carry it. blob: at least a header long. */
static inline uint32_t waf_blob_crc(struct span blob)
{
    struct waf_blob_header header;
    memcpy(&header, blob.data, sizeof header);
    header.crc = 0;
    uint32_t crc = hash_crc32c(0, span_make(&header, sizeof header));
    return hash_crc32c(crc, span_slice(blob, sizeof header, blob.len));
}

struct waf_program_rule {
    uint32_t id;
    unsigned targets;
    bool block;
    struct span message; /* in the blob */
};

struct waf_program {
    hs_database_t *databases[WAF_DBS]; /* NULL: no rule asks for it */
    unsigned targets;                  /* of all rules */
    unsigned rule_count;
    struct waf_program_rule rules[]; /* a pattern's Hyperscan id is its index here */
};

#endif
