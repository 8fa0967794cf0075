/* SPDX-License-Identifier: BSD-3-Clause
 * Private key operations on their way: a parked handshake's operation goes to a key server that has
 * the key, the answer wakes the client. It ends in any case: answered, refused, or at its deadline.
 * Called by client and proxy; see keyless_parts.h for who names whom. Floor 3.
 */
#include "proxy/keyless_parts.h"

#include <stdlib.h>

/* --- beginning and end ------------------------------------------------------------------------ */

static void keyless_fire(struct timer *timer, void *arg, tg_ns now)
{
    struct keyless *k = arg;
    k->due = true; /* the turn's proxy_run does it, with its own `now` */
}

enum tg_err keyless_create(struct proxy *p)
{
    struct keyless *k = calloc(1, sizeof *k);
    if (!k)
        return TG_NO_MEMORY;
    timer_init(&k->timer, keyless_fire, k);
    p->keyless = k;
    enum tg_err err = pool_init(&k->ops, p->config.keyless_ops_max, sizeof(struct key_op));
    if (err == TG_OK)
        err = pool_init(&k->conns, KEYLESS_CONNS_MAX, sizeof(struct key_conn));
    return err;
}

void keyless_destroy(struct proxy *p)
{
    struct keyless *k = p->keyless;
    if (!k)
        return;
    for (uint32_t i = 0; i < k->conns.count; i++)
        if (pool_is_taken(&k->conns, i))
            key_conn_free(p, pool_at(&k->conns, i));
    timer_cancel(p->wheel, &k->timer);
    keyless_plan_destroy(k->plan);
    pool_free(&k->conns);
    pool_free(&k->ops);
    free(k);
    p->keyless = NULL;
}

/* The timer fires at `at` at the latest. */
static void tick_by(struct proxy *p, tg_ns at)
{
    struct timer *timer = &p->keyless->timer;
    if (!timer_armed(timer) || timer->deadline > at)
        timer_arm(p->wheel, timer, at);
}

/* --- the list --------------------------------------------------------------------------------- */

static void op_link(struct keyless *k, struct key_op *op)
{
    op->next = NULL;
    op->prev = k->last;
    if (k->last)
        k->last->next = op;
    else
        k->first = op;
    k->last = op;
}

static void op_unlink(struct keyless *k, struct key_op *op)
{
    if (op->prev)
        op->prev->next = op->next;
    else
        k->first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        k->last = op->prev;
}

/* What it still has out counts no longer; its answers will be late. */
static void tries_forget(struct key_op *op)
{
    for (unsigned i = 0; i < op->tries_made; i++) {
        if (op->tries[i].conn)
            op->tries[i].conn->ops--;
        op->tries[i].conn = NULL;
    }
}

/* The operation is over; the client goes on with it in its own step. An empty result: failed. */
static void op_over(struct proxy *p, struct key_op *op, struct span result)
{
    tg_assert(op->state != KEY_OP_OVER && result.len <= sizeof op->result);
    op_unlink(p->keyless, op);
    tries_forget(op);
    if (op->server)
        op->server->ops--;
    op->state = KEY_OP_OVER;
    op->result_len = (uint16_t)result.len;
    if (result.len)
        memcpy(op->result, result.data, result.len);
    run_queue_push(p, op->client);
}

static void op_fail(struct proxy *p, struct key_op *op, enum tg_counter why)
{
    stats_count(p->stats, why);
    op_over(p, op, SPAN_EMPTY);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* TLS's name of an operation -> the protocol's; 0: there is none. */
static uint8_t opcode_of(const struct tls_key_op *op)
{
    static const enum keymsg_kind kinds[] = {
        [TLS_KEY_SIGN_ECDSA] = KEYMSG_KIND_ECDSA,
        [TLS_KEY_SIGN_RSA_PKCS1] = KEYMSG_KIND_RSA_PKCS1,
        [TLS_KEY_SIGN_RSA_PSS] = KEYMSG_KIND_RSA_PSS,
        [TLS_KEY_SIGN_ED25519] = KEYMSG_KIND_ED25519,
        [TLS_KEY_DECRYPT_RSA] = KEYMSG_KIND_DECRYPT_RSA,
    };
    enum keymsg_hash hash = op->hash_bits == 256   ? KEYMSG_HASH_SHA256
                            : op->hash_bits == 384 ? KEYMSG_HASH_SHA384
                            : op->hash_bits == 512 ? KEYMSG_HASH_SHA512
                                                   : KEYMSG_HASH_NONE;
    return keymsg_op_find(kinds[op->kind], hash);
}

/* An address as the protocol writes it: IPv4 in 4 bytes. */
static struct span address_span(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is4 = memcmp(address, mapped, sizeof mapped) == 0;
    return is4 ? span_make(address + 12, 4) : span_make(address, 16);
}

/* A running number above the operation's index: no late answer meets a later operation. */
static uint32_t id_make(struct keyless *k, const struct key_op *op)
{
    return ++k->running % (UINT32_MAX / k->ops.count) * k->ops.count + pool_index(&k->ops, op);
}

static void op_send(struct proxy *p, struct key_op *op, struct key_conn *conn)
{
    struct tls_key_op key;
    struct tls_info info;
    struct key_try *try = &op->tries[op->tries_made++];
    enum tg_err err = tls_key_op(op->client->stream.tls, &key);
    tg_assert(err == TG_OK);
    tls_get_info(op->client->stream.tls, &info);
    *try = (struct key_try){conn, id_make(p->keyless, op), p->now};
    struct keymsg m = {
        .id = try->id,
        .op = opcode_of(&key),
        .payload = key.input,
        .sni = info.server_name,
        .client_ip = address_span(op->client->address),
    };
    memcpy(m.ski, key.ski, sizeof m.ski);
    op->state = KEY_OP_OUT;
    conn->ops++;
    key_conn_say(p, conn, &m);
}

static bool op_is_out(const struct key_op *op)
{
    for (unsigned i = 0; i < op->tries_made; i++)
        if (op->tries[i].conn)
            return true;
    return false;
}

/* To a connection that is not `other`, if it may be tried once more; false: it may not, or there is
 * none. */
static bool op_send_again(struct proxy *p, struct key_op *op, const struct key_conn *other)
{
    struct key_conn *conn = NULL;
    if (op->server && op->tries_made < TG_ARRAY_LEN(op->tries))
        conn = key_conn_choose(p, op->server, other);
    if (!conn)
        return false;
    if (op->tries_made + op->losses > 0)
        stats_count(p->stats, TG_C_keyless_retries);
    op_send(p, op, conn);
    return true;
}

bool keyless_begin(struct proxy *p, struct client *c)
{
    struct keyless *k = p->keyless;
    struct tls_key_op key;
    tg_assert(!c->key);
    enum tg_err err = tls_key_op(c->stream.tls, &key);
    tg_assert(err == TG_OK);
    stats_count(p->stats, TG_C_keyless_requests);
    struct key_server *server = keyless_plan_find(k->plan, key.ski);
    /* one customer's dead key server must not take what the others need: half of all is the most */
    if (!server || server->ops >= k->ops.count / 2 || opcode_of(&key) == 0 ||
        key.input.len > KEYLESS_RESULT_MAX || !(c->key = pool_take(&k->ops))) {
        stats_count(p->stats, TG_C_keyless_errors);
        return false;
    }
    struct key_op *op = c->key;
    memset(op, 0, offsetof(struct key_op, result));
    op->client = c;
    op->server = server;
    op->deadline = p->now + KEYLESS_DEADLINE;
    server->ops++;
    op_link(k, op);
    op_send_again(p, op, NULL);
    tick_by(p, p->now + KEYLESS_TICK);
    return true;
}

bool keyless_result(const struct client *c, struct span *result)
{
    *result = SPAN_EMPTY;
    if (!c->key)
        return true; /* it never got out */
    if (c->key->state != KEY_OP_OVER)
        return false;
    *result = span_make(c->key->result, c->key->result_len);
    return true;
}

void keyless_cancel(struct proxy *p, struct client *c)
{
    struct key_op *op = c->key;
    if (!op)
        return;
    if (op->state != KEY_OP_OVER) {
        op_unlink(p->keyless, op);
        tries_forget(op);
        if (op->server)
            op->server->ops--;
    }
    c->key = NULL;
    pool_give(&p->keyless->ops, op);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The try that this id on this connection belongs to; NULL: nobody waits for it any more. */
static struct key_op *op_of(struct keyless *k, const struct key_conn *conn, uint32_t id,
                            struct key_try **try)
{
    uint32_t index = id % k->ops.count;
    if (!pool_is_taken(&k->ops, index))
        return NULL;
    struct key_op *op = pool_at(&k->ops, index);
    for (unsigned i = 0; op->state == KEY_OP_OUT && i < op->tries_made; i++) {
        *try = &op->tries[i];
        if (op->tries[i].conn == conn && op->tries[i].id == id)
            return op;
    }
    return NULL;
}

/* Perhaps another server has the key already, or still. */
static void op_refused(struct proxy *p, struct key_op *op, struct key_try *try)
{
    const struct key_conn *here = try->conn;
    try->conn->ops--;
    try->conn = NULL;
    if (op_is_out(op))
        return;
    struct key_conn *other = op->server ? key_conn_choose(p, op->server, here) : NULL;
    if (other && other->endpoint != here->endpoint && op->tries_made < TG_ARRAY_LEN(op->tries)) {
        stats_count(p->stats, TG_C_keyless_retries);
        op_send(p, op, other);
    } else {
        op_fail(p, op, TG_C_keyless_errors);
    }
}

void key_op_answer(struct proxy *p, struct key_conn *conn, const struct keymsg *m)
{
    struct key_try *try;
    struct key_op *op = op_of(p->keyless, conn, m->id, &try);
    if (!op) {
        stats_count(p->stats, TG_C_keyless_late);
        return;
    }
    if (m->op == KEYMSG_OP_RESULT && m->payload.len > 0 && m->payload.len <= sizeof op->result) {
        stats_count(p->stats, TG_C_keyless_answers);
        op_over(p, op, m->payload);
        return;
    }
    op_refused(p, op, try);
}

/* The try goes with its connection, and does not count as one. */
static bool try_lost(struct key_op *op, struct key_conn *conn)
{
    unsigned i = 0;
    while (i < op->tries_made && op->tries[i].conn != conn)
        i++;
    if (i == op->tries_made)
        return false;
    op->tries_made--;
    op->tries[i] = op->tries[op->tries_made];
    op->losses++;
    conn->ops--;
    return true;
}

void key_ops_lost(struct proxy *p, struct key_conn *conn)
{
    for (struct key_op *op = p->keyless->first, *next; op; op = next) {
        next = op->next;
        if (!try_lost(op, conn) || op_is_out(op))
            continue;
        if (op->losses > KEYLESS_LOSSES_MAX || !op->server)
            op_fail(p, op, TG_C_keyless_errors);
        else if (!op_send_again(p, op, conn))
            op->state = KEY_OP_WAITING;
    }
    tg_assert(conn->ops == 0);
}

void key_ops_send(struct proxy *p, struct key_server *server)
{
    for (struct key_op *op = p->keyless->first; op; op = op->next)
        if (op->server == server && op->state == KEY_OP_WAITING && !op_send_again(p, op, NULL))
            return;
}

void key_ops_fail_waiting(struct proxy *p, struct key_server *server)
{
    for (struct key_op *op = p->keyless->first, *next; op; op = next) {
        next = op->next;
        if (op->server == server && op->state == KEY_OP_WAITING)
            op_fail(p, op, TG_C_keyless_errors);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

/* All have the same time, so the oldest come first. */
static void ops_tick(struct proxy *p)
{
    struct keyless *k = p->keyless;
    while (k->first && k->first->deadline <= p->now)
        op_fail(p, k->first, TG_C_keyless_timeouts);
    for (struct key_op *op = k->first; op; op = op->next) {
        if (op->state == KEY_OP_WAITING)
            op_send_again(p, op, NULL);
        else if (op->tries_made == 1 && op->tries[0].at + KEYLESS_TRY <= p->now)
            op_send_again(p, op, op->tries[0].conn);
    }
}

void keyless_turn(struct proxy *p)
{
    struct keyless *k = p->keyless;
    if (!k->due)
        return;
    k->due = false;
    ops_tick(p);
    key_conns_tick(p);
    if (k->first)
        tick_by(p, p->now + KEYLESS_TICK);
    else if (k->conns.in_use || (k->plan && k->plan->server_count))
        tick_by(p, p->now + KEYLESS_REST);
}

/* --- plans ------------------------------------------------------------------------------------ */

/* Where the key of an operation lies by the new plan. */
static void ops_rebind(struct keyless *k)
{
    for (struct key_op *op = k->first; op; op = op->next) {
        struct tls_key_op key;
        enum tg_err err = tls_key_op(op->client->stream.tls, &key);
        tg_assert(err == TG_OK);
        op->server = keyless_plan_find(k->plan, key.ski);
        if (op->server)
            op->server->ops++;
    }
}

void proxy_use_keyless(struct proxy *p, struct keyless_plan *plan, uint64_t number)
{
    struct keyless *k = p->keyless;
    struct keyless_plan *old = k->plan;
    proxy_use_certificates(p, plan->set, number);
    plan->set = NULL;
    k->plan = plan;
    ops_rebind(k);
    key_conns_rebind(p);
    keyless_plan_destroy(old);
    /* connect now: the first visitor need not wait for it */
    tick_by(p, p->now);
}

/* --- looking in ------------------------------------------------------------------------------- */

const char *keyless_check(const struct proxy *p)
{
    const struct keyless *k = p->keyless;
    uint32_t live = 0, taken = 0;
    for (const struct key_op *op = k->first; op; op = op->next, live++) {
        if (op->client->key != op || op->client->state != CLIENT_PARKED)
            return "a key operation and its client disagree";
        if (op->state == KEY_OP_OVER || op_is_out(op) != (op->state == KEY_OP_OUT))
            return "a key operation's state and its tries disagree";
        if (op->next && op->next->deadline < op->deadline)
            return "key operations are out of order";
    }
    for (uint32_t i = 0; i < k->ops.count; i++)
        if (pool_is_taken(&k->ops, i)) {
            const struct key_op *op = pool_at(&k->ops, i);
            taken += op->state != KEY_OP_OVER;
            if (op->client->key != op)
                return "a key operation has no client";
        }
    if (live != taken)
        return "key operations leak";
    if (k->first && !timer_armed(&k->timer) && !k->due)
        return "key operations wait without a timer";
    return key_conns_check(p);
}
