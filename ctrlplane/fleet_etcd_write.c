/* SPDX-License-Identifier: BSD-3-Clause
 * Writes to etcd, and the heartbeat: a key that some node writes every second, so that every watch shows that it
 * lives and is not behind (etcd itself tells an idle watcher nothing for ten minutes). Called by fleet_etcd.
 */
#include "ctrlplane/fleet_etcd_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- writes --------------------------------------------------------------------------------- */

static void write_end(struct etcd *e, enum fleet_outcome outcome, const char *problem)
{
    e->answer.outcome = outcome;
    snprintf(e->answer.problem, sizeof e->answer.problem, "%s", problem);
    http_stop(e->http, &e->write);
    free(e->write_body);
    free(e->write_value);
    e->write_body = e->write_value = NULL;
}

static void write_send(struct etcd *e, tg_ns now)
{
    long ms = now < e->write_deadline ? (long)((e->write_deadline - now) / TG_MS) : 0;
    if (ms == 0) {
        write_end(e, FLEET_UNREACHABLE, "no connection in time");
        return;
    }
    char *body = strdup(e->write_body);
    tg_assert(body);
    unsigned endpoint = (e->endpoint + e->write_attempts++) % e->endpoint_count;
    http_post(e->http, &e->write, e->endpoints[endpoint], "/v3/kv/txn", body, ms);
}

void etcd_write(struct fleet_store *store, const struct fleet_op ops[], unsigned count, tg_ns now,
                tg_ns deadline)
{
    struct etcd *e = tg_container_of(store, struct etcd, store);
    tg_assert(count > 0 && count <= FLEET_OPS_MAX && !http_active(&e->write));
    e->answer = (struct fleet_answer){.outcome = FLEET_PENDING};
    e->write_body = etcd_txn_request(ops, count);
    e->write_value = ops[0].value ? strdup(ops[0].value) : NULL;
    e->write_attempts = 0;
    e->write_deadline = deadline;
    write_send(e, now);
}

/* An answer with status 200. */
static void txn_take(struct etcd *e)
{
    struct etcd_txn txn;
    if (!etcd_txn_read(span_make(e->write.bytes, e->write.len), &txn)) {
        write_end(e, FLEET_UNKNOWN, "an answer that is not etcd's");
        return;
    }
    e->answer.revision = txn.header.revision;
    e->answer.found = txn.found;
    e->answer.same = txn.value && e->write_value ? strcmp(txn.value, e->write_value) == 0
                                                 : !txn.value && !e->write_value;
    free(txn.value);
    write_end(e, txn.succeeded ? FLEET_STORED : FLEET_CONFLICT, "");
}

/* gRPC codes by which etcd says that it did nothing: INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED (its
 * quota), FAILED_PRECONDITION, UNAUTHENTICATED. Everything else (UNAVAILABLE, DEADLINE_EXCEEDED) leaves it open:
 * a proposal may come through after its answer. */
static bool code_refuses(int code)
{
    return code == 3 || code == 7 || code == 8 || code == 9 || code == 16;
}

void etcd_write_run(struct etcd *e, tg_ns now)
{
    char problem[FLEET_PROBLEM] = "";
    if (!e->write.done)
        return;
    if (e->write.result == HTTP_NOT_SENT) {
        if (e->write_attempts < e->endpoint_count && now < e->write_deadline) {
            http_stop(e->http, &e->write);
            write_send(e, now);
            return;
        }
        etcd_request_problem(&e->write, problem);
        write_end(e, FLEET_UNREACHABLE, problem);
    } else if (e->write.result == HTTP_BROKEN) {
        etcd_request_problem(&e->write, problem);
        write_end(e, FLEET_UNKNOWN, problem);
    } else if (e->write.status == 200) {
        txn_take(e);
    } else {
        int code = etcd_error_read(span_make(e->write.bytes, e->write.len), problem);
        bool stranger = code < 0 && e->write.status / 100 == 4; /* whoever it is, it did nothing */
        write_end(e, stranger || code_refuses(code) ? FLEET_REFUSED : FLEET_UNKNOWN, problem);
    }
}

/* --- the heartbeat ------------------------------------------------------------------------- */

void etcd_beat_plan(struct etcd *e, tg_ns now)
{
    unsigned wait = e->beat_mine ? ETCD_BEAT_MS : ETCD_BEAT_TAKE_MS + etcd_random(e, ETCD_BEAT_MS);
    e->beat_at = now + wait * TG_MS;
}

/* Whoever was faster wrote it; that we failed shows in life_check, if it goes on. */
static void beat_end(struct etcd *e, tg_ns now)
{
    struct etcd_txn txn;
    if (e->beat.result == HTTP_ANSWERED && e->beat.status == 200 &&
        etcd_txn_read(span_make(e->beat.bytes, e->beat.len), &txn)) {
        e->beat_revision = txn.succeeded ? txn.header.revision : txn.found;
        e->beat_mine = txn.succeeded;
        free(txn.value);
    }
    http_stop(e->http, &e->beat);
    etcd_beat_plan(e, now);
}

void etcd_beat_run(struct etcd *e, tg_ns now)
{
    if (e->beat.done)
        beat_end(e, now);
    if (e->state != ETCD_FOLLOWING || http_active(&e->beat) || now < e->beat_at)
        return;
    struct fleet_op op = {.value = e->beat_value, .expected = e->beat_revision};
    memcpy(op.key, e->heartbeat, sizeof op.key);
    http_post(e->http, &e->beat, etcd_endpoint(e), "/v3/kv/txn", etcd_txn_request(&op, 1),
              ETCD_BEAT_TIMEOUT_MS);
}
