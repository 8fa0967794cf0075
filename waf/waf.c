/* SPDX-License-Identifier: BSD-3-Clause
 * The steps of a transaction (waf.h). Called by proxy/ on the packet path: no allocation, no
 * locks, no clock. HTTP's values are in waf_head.c, the engine in waf_scan.c, memory in
 * waf_worker.c.
 */
#include "waf/waf.h"

#include "waf/waf_head.h"

/* Decoded bytes that are given to the engine at once; a longer piece takes several turns. */
#define BODY_CHUNK_BYTES 4096

enum tg_err waf_begin(struct waf_worker *worker, const struct waf_program *program,
                      struct waf_tx **tx)
{
    struct waf_bench *bench = waf_worker_bench(worker, program);
    if (!bench)
        return TG_NOT_FOUND;
    if (worker->free_count == 0)
        return TG_FULL;
    struct waf_tx *t = &worker->txs[worker->free_slots[--worker->free_count]];
    tg_assert(!t->bench && !t->body_dirty && !t->resp_dirty);
    t->bench = bench;
    t->verdict = WAF_PASS;
    t->body_kind = WAF_BODY_RAW;
    t->match_count = 0;
    waf_form_start(&t->form);
    atomic_fetch_add_explicit(&bench->running, 1, memory_order_relaxed);
    *tx = t;
    return TG_OK;
}

enum waf_verdict waf_head(struct waf_tx *tx, const struct head_view *head)
{
    waf_head_scan_target(tx, head->target, head->path, head->query);
    waf_head_scan_fields(tx, head);
    tx->body_kind = waf_head_body_kind(head);
    return tx->verdict;
}

/* Split at the first '?', as a parser would have done with a target. */
enum waf_verdict waf_bad_head(struct waf_tx *tx, const struct head_view *head, size_t error_offset)
{
    struct span line = head->raw_line, path = line, query = SPAN_EMPTY;
    const uint8_t *mark = line.len ? memchr(line.data, '?', line.len) : NULL;
    if (mark) {
        size_t at = (size_t)(mark - line.data);
        path = span_slice(line, 0, at);
        query = span_slice(line, at + 1, line.len);
    }
    waf_head_scan_target(tx, line, path, query);
    waf_head_scan_fields(tx, head);
    return tx->verdict;
}

/* The next bytes of a body's subject. */
static void body_bytes(struct waf_tx *tx, struct span bytes)
{
    if (bytes.len == 0)
        return;
    tx->body_dirty = true;
    waf_scan_stream(tx, WAF_IN_BODY, tx->bench->body[tx->slot], bytes);
}

/* The last bytes of a subject. One that lies in them from its start needs no stream: a block
 * scan says the same and costs less than half for the short values that forms are made of. */
static void body_last_bytes(struct waf_tx *tx, struct span bytes)
{
    if (!tx->body_dirty) {
        waf_scan_value(tx, WAF_IN_BODY, bytes);
        return;
    }
    body_bytes(tx, bytes);
    waf_scan_stream_end(tx, WAF_IN_BODY, tx->bench->body[tx->slot]);
    tx->body_dirty = tx->verdict == WAF_BLOCK; /* then the end was not fed */
}

/* Names and values of a form, each a subject. */
static void body_form(struct waf_tx *tx, struct span piece)
{
    uint8_t *decoded = tx->worker->decoded;
    while (piece.len > 0 && tx->verdict == WAF_PASS) {
        size_t n;
        enum waf_form_event event = waf_form_next(&tx->form, &piece, decoded, BODY_CHUNK_BYTES, &n);
        if (event == WAF_FORM_SUBJECT)
            body_last_bytes(tx, span_make(decoded, n));
        else
            body_bytes(tx, span_make(decoded, n));
    }
}

enum waf_verdict waf_body(struct waf_tx *tx, struct span piece)
{
    if (tx->verdict == WAF_BLOCK || !tx->bench->body)
        return tx->verdict;
    if (tx->body_kind == WAF_BODY_FORM)
        body_form(tx, piece);
    else
        body_bytes(tx, piece);
    return tx->verdict;
}

enum waf_verdict waf_end(struct waf_tx *tx)
{
    if (tx->verdict == WAF_BLOCK || !tx->bench->body)
        return tx->verdict;
    uint8_t held[WAF_DECODE_RELEASE_MAX];
    size_t n = waf_form_end(&tx->form, held);
    body_last_bytes(tx, span_make(held, n));
    return tx->verdict;
}

enum waf_verdict waf_resp_head(struct waf_tx *tx, const struct head_view *head)
{
    if (tx->resp_dirty)
        waf_scan_stream_drop(tx->bench->resp[tx->slot]);
    tx->resp_dirty = false;
    return tx->verdict;
}

enum waf_verdict waf_resp_body(struct waf_tx *tx, struct span piece)
{
    if (tx->verdict == WAF_BLOCK || !tx->bench->resp)
        return tx->verdict;
    tx->resp_dirty = true;
    waf_scan_stream(tx, WAF_IN_RESP_BODY, tx->bench->resp[tx->slot], piece);
    return tx->verdict;
}

unsigned waf_matches(const struct waf_tx *tx, struct waf_match out[], unsigned n)
{
    if (n > tx->match_count)
        n = tx->match_count;
    for (unsigned i = 0; i < n; i++)
        out[i] = tx->matches[i];
    return n;
}

void waf_finish(struct waf_tx *tx)
{
    struct waf_worker *worker = tx->worker;
    struct waf_bench *bench = tx->bench;
    tg_assert(bench && worker->free_count < worker->transactions);
    if (tx->body_dirty)
        waf_scan_stream_drop(bench->body[tx->slot]);
    if (tx->resp_dirty)
        waf_scan_stream_drop(bench->resp[tx->slot]);
    tx->body_dirty = tx->resp_dirty = false;
    tx->bench = NULL;
    worker->free_slots[worker->free_count++] = tx->slot;
    /* Last: from here on another thread may free the bench. */
    atomic_fetch_sub_explicit(&bench->running, 1, memory_order_release);
}
