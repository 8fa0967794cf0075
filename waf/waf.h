/* SPDX-License-Identifier: BSD-3-Clause
 * The web application firewall: inspects one HTTP transaction as it streams by and gives a verdict
 * after each step. Pure: spans in, verdict out; no packets, no clock. Behind it Hyperscan (only
 * waf/ includes hs.h). Floor 2: base only.
 *
 *   control plane:  rules -> waf_compile -> program blob -> shared region
 *   worker:         waf_program_open(blob) -> begin -> head -> body* -> end -> resp_* -> finish
 *
 * A blob is self-contained, position independent and checksummed; it can be mapped read-only.
 * Scratch space belongs to a worker (struct waf_worker), so any number of workers use one blob.
 */
#ifndef WAF_WAF_H
#define WAF_WAF_H

#include "base/field.h"
#include "base/result.h"
#include "base/span.h"

enum waf_verdict { WAF_PASS, WAF_BLOCK };

/* Where a rule looks. Each value is a subject of its own: ^ and $ mean its start and end, and
 * nothing matches across two values. "Decoded" is URL decoding, once: %XX, and '+' as a space
 * except in paths.
 *
 *   URI         the target raw; the path decoded; each name and value of the query decoded
 *   HEADERS     every field value (of Cookie: every pair), raw and decoded
 *   USER_AGENT  raw and decoded
 *   BODY        streamed, whatever its length. application/x-www-form-urlencoded: each name and
 *               value decoded; any other type: the bytes as one subject
 *   COOKIE      every "name=value" pair of Cookie, raw and decoded
 *   RESP_BODY   streamed, raw, one subject without an end: $ never matches
 */
enum waf_target {
    WAF_IN_URI = 1u << 0,
    WAF_IN_HEADERS = 1u << 1,
    WAF_IN_USER_AGENT = 1u << 2,
    WAF_IN_BODY = 1u << 3,
    WAF_IN_COOKIE = 1u << 4,
    WAF_IN_RESP_BODY = 1u << 5,
};

#define WAF_MATCHES_MAX  8 /* matches kept of a transaction */
#define WAF_PROGRAMS_MAX 4 /* programs that one worker has prepared at once */
/* A value of a head that needs decoding and is longer is not inspected, so it is blocked. */
#define WAF_VALUE_BYTES_MAX 65536

struct waf_rule {
    uint32_t id;
    unsigned targets;    /* enum waf_target */
    struct span pattern; /* PCRE as Hyperscan takes it; caseless, '.' matches newline too */
    struct span message; /* for the audit line, at most 127 bytes */
    bool block;          /* false: only detect */
};

struct waf_program; /* an opened blob (process wide, read only) */
struct waf_worker;  /* a worker's scratch and transactions pool */
struct waf_tx;      /* one transaction */

/* Compile rules into a blob (cold; malloc'd, caller frees *blob). TG_BAD_INPUT: *bad is the
 * index of the rule that does not compile and `problem` says why (Hyperscan's words, with the
 * position when known). An empty rule list is a valid program that passes everything.
 * TG_TOO_BIG: more than 4096 rules. The patterns' databases suit the machine's processor family;
 * on another one the blob opens with TG_VERSION. */
enum tg_err waf_compile(const struct waf_rule rules[], unsigned count, void **blob,
                        size_t *blob_len, unsigned *bad, char problem[256]);

/* Open a blob in place (cold; allocates): verifies magic, lengths, checksum; the blob must
 * outlive the program. TG_VERSION: damaged or of another version. */
enum tg_err waf_program_open(struct span blob, struct waf_program **program);
/* After every worker has released it. NULL is allowed. */
void waf_program_close(struct waf_program *program);

/* A worker's state with room for `transactions` at once (cold). */
enum tg_err waf_worker_create(unsigned transactions, struct waf_worker **worker);

/* Programs of a worker. All memory that scanning will need (scratch, two streams a transaction) is
 * made here, off the hot path, before the first waf_begin with the program. Prepare and release may
 * run on another thread than the worker's while it works under other programs; one thread at a
 * time, with open programs.
 *
 * prepare  TG_OK (also when it was prepared already), TG_FULL: WAF_PROGRAMS_MAX are prepared,
 *          TG_NO_MEMORY.
 * running  transactions under the program that are not finished; any thread.
 * release  gives the memory back. The worker no longer begins transactions with it, and its last
 *          one has finished: else TG_AGAIN and nothing happens. TG_NOT_FOUND: was not prepared. */
enum tg_err waf_worker_prepare(struct waf_worker *worker, const struct waf_program *program);
unsigned waf_worker_running(const struct waf_worker *worker, const struct waf_program *program);
enum tg_err waf_worker_release(struct waf_worker *worker, const struct waf_program *program);

/* Releases all programs; no transaction is used afterwards. NULL is allowed. */
void waf_worker_destroy(struct waf_worker *worker);

/* Start a transaction under a program; the program must stay open until waf_finish. TG_FULL: no
 * room (the caller decides: fail open or 503). TG_NOT_FOUND: the program was not prepared for
 * this worker. */
enum tg_err waf_begin(struct waf_worker *worker, const struct waf_program *program,
                      struct waf_tx **tx);

/* Each step gives the verdict so far: WAF_BLOCK from the first match of a blocking rule on.
 * After WAF_BLOCK further steps are allowed and change nothing. No step allocates; each takes
 * time linear in its bytes. Should the engine itself fail, the verdict is WAF_BLOCK with a match
 * of rule 0. */
enum waf_verdict waf_head(struct waf_tx *tx, const struct head_view *head);
/* A head that the parser refused: the raw line is inspected as if it were a target, then the
 * fields found so far. error_offset is for the audit line only. */
enum waf_verdict waf_bad_head(struct waf_tx *tx, const struct head_view *head, size_t error_offset);
enum waf_verdict waf_body(struct waf_tx *tx, struct span piece); /* any cut, in order */
/* The request is complete: the body's last value ends here. Once. */
enum waf_verdict waf_end(struct waf_tx *tx);
/* A response head (interim ones too): no target looks at it yet; the response body starts
 * afresh. */
enum waf_verdict waf_resp_head(struct waf_tx *tx, const struct head_view *head);
enum waf_verdict waf_resp_body(struct waf_tx *tx, struct span piece); /* any cut, in order */

/* What matched, in order of discovery, one entry a rule and target; at most WAF_MATCHES_MAX
 * kept, the match that blocked always among them (the last). The message is borrowed from the
 * blob. Returns how many were written to out. */
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
