/* SPDX-License-Identifier: BSD-3-Clause
 * The web application firewall: inspects one HTTP transaction as it streams by and gives a verdict after
 * each step. Pure: spans in, verdict out; no packets, no clock. Behind it Hyperscan (only waf/
 * includes hs.h). Floor 2: base only.
 *
 *   compile (control plane): rules -> program blob -> shared region
 *   worker:                  waf_program_open(blob) -> waf_begin -> head -> body* -> end -> resp_* -> finish
 *
 * A blob is self-contained, position independent and checksummed; it can be mapped read-only. Scratch
 * space belongs to a worker (struct waf_worker), so any number of workers use one blob.
 */
#ifndef WAF_WAF_H
#define WAF_WAF_H

#include "base/field.h"
#include "base/result.h"
#include "base/span.h"

enum waf_verdict { WAF_PASS, WAF_BLOCK };

/* Where a rule looks. Values are decoded before the scan: URL decoding (%XX and +), lower case. */
enum waf_target {
    WAF_IN_URI = 1u << 0,     /* path and query, raw and decoded */
    WAF_IN_HEADERS = 1u << 1, /* every field value */
    WAF_IN_USER_AGENT = 1u << 2,
    WAF_IN_BODY = 1u << 3, /* urlencoded form bodies, streamed; names and values, decoded */
    WAF_IN_COOKIE = 1u << 4,
    WAF_IN_RESP_BODY = 1u << 5,
};

struct waf_rule {
    uint32_t id;
    unsigned targets; /* enum waf_target */
    struct span
        pattern; /* PCRE syntax as Hyperscan takes it; matched caselessly, '.' matches newline */
    struct span message; /* for the audit line, at most 127 bytes */
    bool block;          /* false: only detect */
};

struct waf_program; /* an opened blob (process wide, read only) */
struct waf_worker;  /* a worker's scratch and transactions pool */
struct waf_tx;      /* one transaction */

/* Compile rules into a blob (cold; malloc'd, caller frees *blob). TG_BAD_INPUT: *bad is the index of the rule that
 * does not compile and `problem` says why (Hyperscan's words, with the position when known). An
 * empty rule list is a valid program that passes everything. */
enum tg_err waf_compile(const struct waf_rule rules[], unsigned count, void **blob,
                        size_t *blob_len, unsigned *bad, char problem[256]);

/* Open a blob in place: verifies magic, lengths, checksum; the blob must outlive the program. TG_VERSION:
 * damaged or of another version. */
enum tg_err waf_program_open(struct span blob, struct waf_program **program);
void waf_program_close(struct waf_program *program);

/* A worker's state with room for `transactions` at once (cold). */
enum tg_err waf_worker_create(unsigned transactions, struct waf_worker **worker);
/* Make scratch fit a program, off the hot path, before the first waf_begin with it. */
enum tg_err waf_worker_prepare(struct waf_worker *worker, const struct waf_program *program);
void waf_worker_destroy(struct waf_worker *worker);

/* Start a transaction under a program; the program must stay open until waf_finish. TG_FULL: no room
 * (the caller decides: fail open or 503). */
enum tg_err waf_begin(struct waf_worker *worker, const struct waf_program *program,
                      struct waf_tx **tx);

/* Each step gives the verdict so far. After WAF_BLOCK further steps are allowed and change nothing. */
enum waf_verdict waf_head(struct waf_tx *tx, const struct head_view *head);
/* A head that the parser refused: raw line and the fields found so far. */
enum waf_verdict waf_bad_head(struct waf_tx *tx, const struct head_view *head, size_t error_offset);
enum waf_verdict waf_body(struct waf_tx *tx, struct span piece); /* any cut, in order */
enum waf_verdict waf_end(struct waf_tx *tx);
enum waf_verdict waf_resp_head(struct waf_tx *tx, const struct head_view *head);
enum waf_verdict waf_resp_body(struct waf_tx *tx, struct span piece);

/* What matched, in order of discovery, at most 8 kept; message borrowed from the program. */
struct waf_match {
    uint32_t rule_id;
    enum waf_target where;
    bool block;
    struct span message;
};
unsigned waf_matches(const struct waf_tx *tx, struct waf_match out[], unsigned n);

/* End and give back. */
void waf_finish(struct waf_tx *tx);

#endif
