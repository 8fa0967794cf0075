/* SPDX-License-Identifier: BSD-3-Clause
 * Private key operations that are out. The handshake runs in a job of libcrypto's (a stack of its
 * own, 32 KiB); where it needs the key, the job pauses and tls_feed returns TG_WANT_KEY;
 * tls_key_done gives the answer and lets the job go on. Called by the provider (tls_keyless.c) and
 * by the proxy.
 *
 *   NULL -> KEY_OUT -> KEY_ANSWERED or KEY_FAILED -> NULL
 *
 * A paused job is never freed as it is: SSL_free would leak its stack (34.7 KB measured,
 * haproxy#3453). tls_abort lets the operation fail, resumes once, then frees.
 */
#include "tls/tls_internal.h"

#include <openssl/async.h>

enum key_state { KEY_OUT, KEY_ANSWERED, KEY_FAILED };

/* Lies on the job's stack while the operation is out. */
struct key_wait {
    struct tls_key_op op;
    enum key_state state;
    struct span result; /* borrowed from tls_key_done's caller */
};

/* The connection whose handshake this job runs: libssl hands its SSL to the job's wait context;
 * NULL outside a job. */
static struct tls_conn *conn_of_job(void)
{
    ASYNC_JOB *job = ASYNC_get_current_job();
    ASYNC_WAIT_CTX *wait = job ? ASYNC_get_wait_ctx(job) : NULL;
    ASYNC_callback_fn callback;
    void *ssl = NULL;
    if (!wait || ASYNC_WAIT_CTX_get_callback(wait, &callback, &ssl) != 1 || !ssl)
        return NULL;
    return conn_of(ssl);
}

/* Never called: nobody signals a job, tls_key_done resumes it. libssl passes the SSL on only with a
 * callback. */
static int job_signal(SSL *ssl, void *arg)
{
    return 1;
}

bool key_operations_allow(struct tls_conn *conn)
{
    SSL_set_mode(conn->ssl, SSL_MODE_ASYNC);
    return SSL_set_async_callback(conn->ssl, job_signal) == 1;
}

TLS_ON_JOB_STACK
int key_operation_run(const struct tls_key_op *op, uint8_t *out, size_t *out_len)
{
    struct tls_conn *conn = conn_of_job();
    if (!conn)
        return 0;
    tg_assert(!conn->key && conn->set);
    struct key_wait wait = {.op = *op, .state = KEY_OUT};
    wait.op.id = conn->set->serial << 40 | ++conn->set->key_operations;
    conn->key = &wait;
    while (wait.state == KEY_OUT) {
        fibre_enter(&conn->pipe.worker_stack);
        if (ASYNC_pause_job() != 1)
            wait.state = KEY_FAILED;
    }
    fibre_enter(&conn->pipe.worker_stack);
    conn->key = NULL;
    if (wait.state == KEY_FAILED || wait.result.len == 0 || wait.result.len > *out_len)
        return 0;
    memcpy(out, wait.result.data, wait.result.len);
    *out_len = wait.result.len;
    return 1;
}

bool key_is_out(const struct tls_conn *conn)
{
    return conn->key != NULL;
}

enum tg_err tls_key_op(const struct tls_conn *conn, struct tls_key_op *op)
{
    if (!conn->key)
        return TG_NOT_FOUND;
    *op = conn->key->op;
    return TG_OK;
}

enum tg_err tls_key_done(struct tls_conn *conn, uint64_t op_id, struct span result)
{
    if (!conn->key || conn->key->op.id != op_id)
        return TG_STALE;
    conn->key->state = result.len ? KEY_ANSWERED : KEY_FAILED;
    conn->key->result = result;
    return conn_advance(conn);
}

void key_abandon(struct tls_conn *conn)
{
    if (!conn->key)
        return;
    conn->key->state = KEY_FAILED;
    enum tg_err err = conn_advance(conn);
    tg_assert(err != TG_WANT_KEY && !conn->key);
}
