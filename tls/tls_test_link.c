/* SPDX-License-Identifier: BSD-3-Clause
 * Two ends in memory: see tls_test_link.h. Not linked into any program.
 */
#include "tls/tls_test_link.h"

#include <openssl/err.h>
#include <stdlib.h>

void test_bytes_add(struct test_bytes *q, const void *data, size_t len)
{
    if (q->at == q->len)
        q->at = q->len = 0;
    if (q->cap - q->len < len) {
        q->cap = q->len + len + 65536;
        q->data = realloc(q->data, q->cap);
        tg_assert(q->data);
    }
    if (len)
        memcpy(q->data + q->len, data, len);
    q->len += len;
}

void test_bytes_free(struct test_bytes *q)
{
    free(q->data);
    *q = (struct test_bytes){0};
}

/* The next window of `in` as 1..4 spans; returns how many. */
static unsigned end_window(struct test_end *end, struct span spans[4])
{
    struct span all = test_bytes_span(&end->in);
    size_t len = end->cut && end->cut < all.len ? end->cut : all.len;
    if (!end->random || len == 0) {
        spans[0] = span_slice(all, 0, len);
        return len ? 1 : 0;
    }
    len = 1 + prng_below(end->random, len);
    unsigned n = 0;
    for (size_t at = 0; at < len; n++) {
        size_t size = n == 3 ? len - at : prng_below(end->random, len - at + 1);
        spans[n] = span_slice(all, at, size);
        at += size;
    }
    return n;
}

/* Read while there is plaintext and the reader has room; returns bytes read. */
static size_t end_read(struct test_end *end)
{
    size_t all = 0;
    for (;;) {
        uint8_t room[32768];
        size_t want = end->read_max ? end->read_max : 4096, n;
        if (end->got_max && end->got_max - end->got.len < want)
            want = end->got_max - end->got.len;
        if (want == 0)
            return all;
        bool early;
        enum tg_err err = tls_read(end->conn, room, want, &n, &early);
        tg_assert((err == TG_OK) == (n > 0));
        end->ends += err == TG_END;
        if (err != TG_OK)
            return all;
        test_bytes_add(&end->got, room, n);
        end->early += early ? n : 0;
        all += n;
    }
}

void test_end_turn(struct test_end *end)
{
    size_t moved;
    do {
        struct span spans[4];
        unsigned n = end_window(end, spans);
        size_t window = 0, consumed;
        for (unsigned i = 0; i < n; i++)
            window += spans[i].len;
        end->last = tls_feed(end->conn, spans, n, &consumed, end->now_s);
        end->feeds++;
        tg_assert(consumed <= window);
        tg_assert(end->last != TG_AGAIN || consumed == window);
        end->in.at += consumed;
        moved = consumed + end_read(end);
        /* A window is smaller than what has arrived: go on with the next one. */
        if (end->last == TG_AGAIN && end->in.at == end->in.len)
            break;
    } while (moved && (end->last == TG_OK || end->last == TG_AGAIN));
}

size_t test_end_drain(struct test_end *end, struct test_bytes *to, size_t max)
{
    size_t all = 0;
    uint8_t room[4096];
    while (all < max) {
        size_t n = tls_drain(end->conn, room, max - all < sizeof room ? max - all : sizeof room);
        if (n == 0)
            break;
        test_bytes_add(to, room, n);
        all += n;
    }
    return all;
}

void test_end_free(struct test_end *end)
{
    if (end->conn)
        tls_abort(end->conn);
    test_bytes_free(&end->in);
    test_bytes_free(&end->got);
    *end = (struct test_end){0};
}

void test_ends_run(struct test_end *a, struct test_end *b)
{
    size_t moved;
    do {
        moved = test_end_drain(a, &b->in, SIZE_MAX);
        test_end_turn(b);
        moved += test_end_drain(b, &a->in, SIZE_MAX);
        test_end_turn(a);
    } while (moved);
}

/* Keep the newest ticket. */
static int session_keep(SSL *ssl, SSL_SESSION *session)
{
    struct test_peer *peer = SSL_get_app_data(ssl);
    SSL_SESSION_free(peer->session);
    peer->session = session;
    return 1;
}

void test_peer_make(struct test_peer *peer, const struct test_peer_options *options)
{
    *peer = (struct test_peer){.ctx = SSL_CTX_new(TLS_client_method())};
    tg_assert(peer->ctx);
    SSL_CTX_set_session_cache_mode(peer->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(peer->ctx, session_keep);
    SSL_CTX_set_min_proto_version(peer->ctx, options->version ? options->version : TLS1_VERSION);
    SSL_CTX_set_max_proto_version(peer->ctx, options->version);
    SSL_CTX_set_security_level(peer->ctx, 0); /* the peer offers what we must refuse */
    peer->ssl = SSL_new(peer->ctx);
    SSL_set_app_data(peer->ssl, peer);
    SSL_set_bio(peer->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(peer->ssl);
    if (options->server_name)
        tg_assert(SSL_set_tlsext_host_name(peer->ssl, options->server_name) == 1);
    if (options->alpn)
        tg_assert(SSL_set_alpn_protos(peer->ssl, (const unsigned char *)options->alpn,
                                      (unsigned)strlen(options->alpn)) == 0);
    if (options->signatures)
        tg_assert(SSL_set1_sigalgs_list(peer->ssl, options->signatures) == 1);
    if (options->groups)
        tg_assert(SSL_set1_groups_list(peer->ssl, options->groups) == 1);
    if (options->session) { /* a copy: libssl uses a TLS 1.3 ticket once, the tests do not */
        SSL_SESSION *copy = SSL_SESSION_dup(options->session);
        tg_assert(copy && SSL_set_session(peer->ssl, copy) == 1);
        SSL_SESSION_free(copy);
    }
}

/* Keep a final error, forget "come back". */
static void peer_result(struct test_peer *peer, int result)
{
    int error = SSL_get_error(peer->ssl, result);
    if (error == SSL_ERROR_ZERO_RETURN)
        peer->ended = true;
    else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE && !peer->error)
        peer->error = error;
}

void test_peer_turn(struct test_peer *peer)
{
    if (peer->error)
        return;
    ERR_clear_error();
    if (!SSL_is_init_finished(peer->ssl)) {
        int result = SSL_do_handshake(peer->ssl);
        if (result != 1) {
            peer_result(peer, result);
            return;
        }
    }
    uint8_t room[16384];
    size_t n;
    int result;
    while ((result = SSL_read_ex(peer->ssl, room, sizeof room, &n)) == 1)
        test_bytes_add(&peer->got, room, n);
    peer_result(peer, result);
    ERR_clear_error();
}

void test_peer_write(struct test_peer *peer, const void *data, size_t len)
{
    size_t n;
    tg_assert(SSL_write_ex(peer->ssl, data, len, &n) == 1 && n == len);
}

size_t test_peer_drain(struct test_peer *peer, struct test_bytes *to)
{
    char *data;
    long len = BIO_get_mem_data(SSL_get_wbio(peer->ssl), &data);
    if (len <= 0)
        return 0;
    test_bytes_add(to, data, (size_t)len);
    (void)BIO_reset(SSL_get_wbio(peer->ssl));
    return (size_t)len;
}

void test_peer_feed(struct test_peer *peer, struct span bytes)
{
    if (bytes.len)
        tg_assert(BIO_write(SSL_get_rbio(peer->ssl), bytes.data, (int)bytes.len) == (int)bytes.len);
}

void test_peer_free(struct test_peer *peer)
{
    SSL_SESSION_free(peer->session);
    /* libssl forgets the session of a connection that was not shut down */
    SSL_set_shutdown(peer->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->ctx);
    test_bytes_free(&peer->got);
    *peer = (struct test_peer){0};
}

void test_link_run(struct test_peer *peer, struct test_end *end)
{
    struct test_bytes back = {0};
    size_t moved;
    do {
        test_peer_turn(peer);
        moved = test_peer_drain(peer, &end->in);
        test_end_turn(end);
        moved += test_end_drain(end, &back, SIZE_MAX);
        test_peer_feed(peer, test_bytes_span(&back));
        back.at = back.len;
    } while (moved);
    test_bytes_free(&back);
}
