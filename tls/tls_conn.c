/* SPDX-License-Identifier: BSD-3-Clause
 * One connection: bytes in, bytes out, over libssl. Called by the proxy, on the worker that owns
 * the connection. It must not know certificates (tls_set.c) or where the peer is.
 *
 *   CONN_EARLY -> CONN_HANDSHAKE -> CONN_OPEN -> CONN_ENDED        any of them -> CONN_FAILED
 *
 * Back-pressure. tls_feed takes application data only while libssl holds none, so at most one
 * record (16 KiB) is decrypted ahead of tls_read; what follows stays in TCP and closes its window.
 */
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <stdlib.h>

/* Post-handshake messages (key updates, tickets) that one tls_feed works through before it comes
 * back: a flood of them costs the peer more than us, and never more than about 100 us a call. */
#define MESSAGES_PER_FEED 16
/* Bytes that one record adds at most: header 5 + explicit nonce 8 + tag 16 (TLS 1.2 AES-GCM). */
#define RECORD_OVERHEAD 29
/* A record is not cut below this only because the output is nearly full (bytes). */
#define RECORD_MIN 1024

static void conn_phase_set(struct tls_conn *conn, enum conn_phase next)
{
    static const uint8_t allowed[] = {
        [CONN_EARLY] = 1u << CONN_HANDSHAKE | 1u << CONN_FAILED,
        [CONN_HANDSHAKE] = 1u << CONN_OPEN | 1u << CONN_FAILED,
        [CONN_OPEN] = 1u << CONN_ENDED | 1u << CONN_FAILED,
        [CONN_ENDED] = 1u << CONN_FAILED,
        [CONN_FAILED] = 0,
    };
    tg_assert(allowed[conn->phase] & 1u << next);
    conn->phase = (uint8_t)next;
}

static bool conn_is_open(const struct tls_conn *conn)
{
    return conn->phase == CONN_OPEN || conn->phase == CONN_ENDED;
}

static enum tg_err conn_fail(struct tls_conn *conn)
{
    if (conn->phase != CONN_FAILED)
        conn_phase_set(conn, CONN_FAILED);
    return conn->pipe.out.out_of_memory ? TG_NO_MEMORY : TG_BAD_INPUT;
}

/* What a libssl call that did not succeed means. */
static enum tg_err conn_result(struct tls_conn *conn, int result)
{
    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TG_AGAIN;
    case SSL_ERROR_WANT_WRITE: /* at OUT_LIMIT_HARD_BYTES: goes on after a drain */
        return TG_OK;
    case SSL_ERROR_ZERO_RETURN:
        if (conn->phase == CONN_OPEN) {
            conn_phase_set(conn, CONN_ENDED);
            return TG_END;
        }
        return conn_fail(conn);
    case SSL_ERROR_WANT_ASYNC:
        tg_assert(key_is_out(conn));
        return TG_WANT_KEY;
    default:
        return conn_fail(conn);
    }
}

/* Handshake while 0-RTT data may come. libssl has no peek for them, so the first byte is taken and
 * kept. */
static enum tg_err step_early(struct tls_conn *conn)
{
    size_t n = 0;
    if (conn->early_byte_waits)
        return TG_OK;
    switch (SSL_read_early_data(conn->ssl, &conn->early_byte, 1, &n)) {
    case SSL_READ_EARLY_DATA_SUCCESS:
        conn->early_byte_waits = n == 1;
        if (!conn->early_open) /* a ticket opened: no key operation can be needed any more */
            SSL_clear_mode(conn->ssl, SSL_MODE_ASYNC);
        conn->early_open = true;
        return TG_OK;
    case SSL_READ_EARLY_DATA_FINISH:
        conn_phase_set(conn, CONN_HANDSHAKE);
        return TG_OK;
    default:
        return conn_result(conn, 0);
    }
}

static enum tg_err step_handshake(struct tls_conn *conn)
{
    if (conn->client &&
        conn->now_s) /* certificates are judged by the worker's time, not by libssl's */
        X509_VERIFY_PARAM_set_time(SSL_get0_param(conn->ssl), (time_t)conn->now_s);
    int result = SSL_do_handshake(conn->ssl);
    if (result != 1)
        return conn_result(conn, result);
    SSL_clear_mode(conn->ssl,
                   SSL_MODE_ASYNC); /* only handshakes wait for keys: data needs no job */
    conn_phase_set(conn, CONN_OPEN);
    return TG_OK;
}

/* Decrypt the next record of application data, if libssl holds none, and leave it for tls_read. */
static enum tg_err step_open(struct tls_conn *conn)
{
    for (unsigned i = 0; i < MESSAGES_PER_FEED; i++) {
        uint8_t byte;
        size_t n;
        ERR_clear_error();
        int result = SSL_peek_ex(conn->ssl, &byte, 1, &n);
        if (result == 1)
            return TG_OK;
        enum tg_err err = conn_result(conn, result);
        if (err != TG_AGAIN || !in_left(&conn->pipe.in))
            return err;
    }
    return TG_OK;
}

static enum tg_err step_ended(struct tls_conn *conn)
{
    return TG_END;
}

static enum tg_err step_failed(struct tls_conn *conn)
{
    return conn_fail(conn);
}

enum tg_err conn_advance(struct tls_conn *conn)
{
    static enum tg_err (*const steps[])(struct tls_conn *) = {
        [CONN_EARLY] = step_early, [CONN_HANDSHAKE] = step_handshake, [CONN_OPEN] = step_open,
        [CONN_ENDED] = step_ended, [CONN_FAILED] = step_failed,
    };
    for (;;) {
        uint8_t before = conn->phase;
        ERR_clear_error();
        enum tg_err err = steps[before](conn);
        fibre_leave(&conn->pipe.worker_stack);
        if (err != TG_OK || conn->phase == before)
            return err;
    }
}

enum tg_err tls_feed(struct tls_conn *conn, const struct span cipher[], unsigned n,
                     size_t *consumed, uint64_t now_s)
{
    *consumed = 0;
    if (key_is_out(conn))
        return TG_WANT_KEY;
    conn->now_s = now_s;
    in_set(&conn->pipe.in, cipher, n);
    enum tg_err err = conn_advance(conn);
    *consumed = conn->pipe.in.consumed;
    if (conn->phase == CONN_ENDED) /* what follows close_notify is ignored (RFC 8446 s6.1) */
        for (*consumed = 0; n > 0; n--)
            *consumed += cipher[n - 1].len;
    in_set(&conn->pipe.in, NULL, 0);
    return err;
}

/* 0-RTT data: the byte that tls_feed had to take, then what is left of the record. */
static enum tg_err read_early(struct tls_conn *conn, uint8_t *out, size_t cap, size_t *n)
{
    if (conn->early_byte_waits) {
        conn->early_byte_waits = false;
        out[(*n)++] = conn->early_byte;
    }
    if (*n == cap)
        return TG_OK;
    size_t more = 0;
    enum tg_err err = TG_AGAIN;
    int result = SSL_read_early_data(conn->ssl, out + *n, cap - *n, &more);
    fibre_leave(&conn->pipe.worker_stack);
    switch (result) {
    case SSL_READ_EARLY_DATA_SUCCESS:
        *n += more;
        break;
    case SSL_READ_EARLY_DATA_FINISH:
        conn_phase_set(conn, CONN_HANDSHAKE);
        break;
    default:
        err = conn_result(conn, 0);
    }
    if (*n > 0)
        return TG_OK;
    return err == TG_OK ? TG_AGAIN : err;
}

enum tg_err tls_read(struct tls_conn *conn, uint8_t *out, size_t cap, size_t *n, bool *early)
{
    *n = 0;
    *early = conn->phase == CONN_EARLY;
    if (conn->phase == CONN_FAILED)
        return conn_fail(conn);
    if (conn->phase == CONN_ENDED)
        return TG_END;
    if (cap == 0 || conn->phase == CONN_HANDSHAKE || key_is_out(conn))
        return TG_AGAIN;
    ERR_clear_error();
    if (conn->phase == CONN_EARLY)
        return read_early(conn, out, cap, n);
    int result = SSL_read_ex(conn->ssl, out, cap, n);
    if (result == 1)
        return TG_OK;
    *n = 0;
    enum tg_err err = conn_result(conn, result);
    return err == TG_OK ? TG_AGAIN : err;
}

/* Bytes of the next record: as much as a record and the output limit allow; 0: none now. */
static size_t record_size(const struct tls_conn *conn, size_t left)
{
    size_t waiting = conn->pipe.out.waiting + RECORD_OVERHEAD;
    size_t room = waiting < OUT_LIMIT_BYTES ? OUT_LIMIT_BYTES - waiting : 0;
    size_t size = left < SSL3_RT_MAX_PLAIN_LENGTH ? left : SSL3_RT_MAX_PLAIN_LENGTH;
    if (size <= room)
        return size;
    return room >= RECORD_MIN ? room : 0;
}

enum tg_err tls_write(struct tls_conn *conn, struct span plain, size_t *taken)
{
    *taken = 0;
    if (conn->phase == CONN_FAILED)
        return conn_fail(conn);
    bool early = tls_early_open(conn);
    if ((!conn_is_open(conn) && !early) || conn->shutdown_queued)
        return TG_AGAIN;
    while (*taken < plain.len) {
        size_t size = record_size(conn, plain.len - *taken), n = 0;
        if (size == 0)
            break;
        ERR_clear_error();
        const uint8_t *from = plain.data + *taken;
        int result = early ? SSL_write_early_data(conn->ssl, from, size, &n)
                           : SSL_write_ex(conn->ssl, from, size, &n);
        if (result != 1) {
            enum tg_err err = conn_result(conn, result);
            if (err != TG_OK && err != TG_AGAIN)
                return err;
            break;
        }
        *taken += n;
    }
    return *taken > 0 || plain.len == 0 ? TG_OK : TG_AGAIN;
}

size_t tls_drain(struct tls_conn *conn, uint8_t *room, size_t cap)
{
    return out_drain(&conn->pipe.out, room, cap);
}

size_t tls_pending_out(const struct tls_conn *conn)
{
    return conn->pipe.out.waiting;
}

void tls_shutdown(struct tls_conn *conn)
{
    if (conn->shutdown_queued || !conn_is_open(conn))
        return;
    conn->shutdown_queued = true;
    ERR_clear_error();
    (void)SSL_shutdown(conn->ssl); /* 0: sent, the peer's is still to come; nothing to wait for */
    ERR_clear_error();
}

bool tls_handshake_done(const struct tls_conn *conn)
{
    return conn_is_open(conn);
}

void *tls_conn_user(const struct tls_conn *conn)
{
    return conn->user;
}

/* libssl 3.0 has no names for two alerts of TLS 1.3 (RFC 8446 s6). */
static const char *alert_text(unsigned alert)
{
    if (alert == SSL_AD_MISSING_EXTENSION)
        return "missing extension";
    if (alert == SSL_AD_CERTIFICATE_REQUIRED)
        return "certificate required";
    return alert ? SSL_alert_desc_string_long((int)alert) : NULL;
}

void tls_get_info(const struct tls_conn *conn, struct tls_info *info)
{
    const unsigned char *alpn;
    unsigned alpn_len;
    SSL_get0_alpn_selected(conn->ssl, &alpn, &alpn_len);
    long verified =
        conn->client && conn->client->verify ? SSL_get_verify_result(conn->ssl) : X509_V_OK;
    *info = (struct tls_info){
        .alert_text = alert_text(conn->alert),
        .problem = verified == X509_V_OK ? NULL : X509_verify_cert_error_string(verified),
        .version = SSL_get_version(conn->ssl),
        .cipher = SSL_get_cipher_name(conn->ssl),
        .server_name = conn->server_name ? span_from_string(conn->server_name) : SPAN_EMPTY,
        .alpn = span_make(alpn, alpn_len),
        .resumed = SSL_session_reused(conn->ssl) == 1,
        .alert = conn->alert,
    };
}

bool conn_server_name_set(struct tls_conn *conn, struct span name)
{
    free(conn->server_name);
    conn->server_name = NULL;
    if (name.len == 0 || memchr(name.data, 0, name.len))
        return true;
    char *copy = malloc(name.len + 1);
    if (!copy)
        return false;
    for (size_t i = 0; i < name.len; i++)
        copy[i] = (char)span_lower_byte(name.data[i]);
    copy[name.len] = 0;
    conn->server_name = copy;
    return true;
}

struct tls_conn *conn_make(SSL_CTX *ctx, enum conn_phase phase, void *user)
{
    struct tls_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->phase = (uint8_t)phase;
    conn->user = user;
    conn->ssl = SSL_new(ctx);
    BIO *bio = conn->ssl ? bio_make(tls_process_get()->bio_method, &conn->pipe) : NULL;
    if (!bio) {
        SSL_free(conn->ssl);
        free(conn);
        return NULL;
    }
    SSL_set_bio(conn->ssl, bio, bio); /* one reference serves both directions */
    SSL_set_app_data(conn->ssl, conn);
    return conn;
}

enum tg_err tls_accept(struct tls_set *set, void *user, struct tls_conn **out)
{
    struct tls_conn *conn =
        conn_make(set->ctx, set->early_data_max ? CONN_EARLY : CONN_HANDSHAKE, user);
    if (!conn)
        return TG_NO_MEMORY;
    SSL_set_accept_state(conn->ssl);
    conn->set = set;
    tls_set_ref(set);
    if (set->keys_remote && !key_operations_allow(conn)) {
        tls_abort(conn);
        return TG_NO_MEMORY;
    }
    *out = conn;
    return TG_OK;
}

void tls_abort(struct tls_conn *conn)
{
    key_abandon(conn);
    SSL_free(conn->ssl);
    out_free(&conn->pipe.out);
    free(conn->server_name);
    if (conn->set)
        tls_set_unref(conn->set);
    if (conn->client)
        tls_client_unref(conn->client);
    free(conn);
}
