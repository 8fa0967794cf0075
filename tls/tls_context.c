/* SPDX-License-Identifier: BSD-3-Clause
 * The policy: what we offer and accept, as settings of an SSL_CTX. Called when a set or an origin's
 * context is built (cold), and by libssl through the callbacks. It must not know certificates.
 */
#include "tls/tls_internal.h"

#include <openssl/rand.h>

/* AES-128-GCM first: the cheapest with AES-NI (5.1 GB/s against 4.7 for ChaCha20 on the reference
 * machine); a client that puts ChaCha20 first gets it (SSL_OP_PRIORITIZE_CHACHA). Forward secrecy
 * and AEAD only. */
static const char suites_tls13[] =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
static const char suites_tls12[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
static const char groups[] = "X25519:P-256:P-384";
/* No SHA-1 (RFC 9155). */
static const char signatures[] =
    "ECDSA+SHA256:ed25519:RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:RSA+SHA384:"
    "ECDSA+SHA512:RSA-PSS+SHA512:RSA+SHA512";

/* Remember the last alert of either direction, for tls_get_info. */
static void alert_note(const SSL *ssl, int where, int value)
{
    if (where & SSL_CB_ALERT)
        conn_of(ssl)->alert = (uint8_t)(value & 0xff);
}

bool context_policy_common(SSL_CTX *ctx, bool tls12)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_info_callback(ctx, alert_note);
    return SSL_CTX_set_min_proto_version(ctx, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, suites_tls13) == 1 &&
           SSL_CTX_set_cipher_list(ctx, suites_tls12) == 1 &&
           SSL_CTX_set1_groups_list(ctx, groups) == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1;
}

/* ALPN (RFC 7301 s3.2): http/1.1 when the client offers it; an offer without it ends the handshake
 * with no_application_protocol. A client without ALPN never comes here and gets HTTP/1.1 unsaid. */
static int alpn_choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const struct span http1 = SPAN_LITERAL("http/1.1");
    struct span_reader r = span_reader_make(span_make(offered, offered_len));
    while (span_reader_left(&r) > 0) {
        uint8_t len = span_read_u8(&r);
        const uint8_t *name = span_read(&r, len);
        if (!name)
            break;
        if (span_equal(span_make(name, len), http1)) {
            *out = name;
            *out_len = len;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A ticket's issue time is the worker's, so that virtual time counts. */
static int ticket_stamp(SSL *ssl, void *arg)
{
    struct tls_conn *conn = conn_of(ssl);
    SSL_SESSION *session = SSL_get_session(ssl);
    if (session && conn->now_s)
        SSL_SESSION_set_time(session, (long)conn->now_s);
    return !session || early_ticket_stamp(conn, session);
}

/* The time by libssl's own clock, which a new session carries. */
static long libssl_now(void)
{
    SSL_SESSION *fresh = SSL_SESSION_new();
    long now = fresh ? SSL_SESSION_get_time(fresh) : 0;
    SSL_SESSION_free(fresh);
    return now;
}

/* A ticket counts for the server name that it was issued for. The RFCs leave most of that to the
 * client (RFC 8446 s4.6.1); a server of many customers does not. */
static bool ticket_name_fits(const struct tls_conn *conn, const SSL_SESSION *session)
{
    const char *issued = SSL_SESSION_get0_hostname(session), *asked = conn->server_name;
    return issued && asked ? span_equal_nocase(span_from_string(issued), span_from_string(asked))
                           : !issued && !asked;
}

/* libssl compares a ticket's time with its own clock. Under virtual time the age is moved onto that
 * clock. */
static SSL_TICKET_RETURN ticket_open(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                     size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    struct tls_conn *conn = conn_of(ssl);
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!ticket_name_fits(conn, session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (conn->set->deterministic) {
        long age = (long)conn->now_s - SSL_SESSION_get_time(session);
        SSL_SESSION_set_time(session, libssl_now() - (age > 0 ? age : 0));
    }
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* Ticket keys: the process's, or in a seeded set ones that follow from the seed. */
static bool tickets_set_up(SSL_CTX *ctx, const struct tls_policy *policy)
{
    uint8_t keys[sizeof tls_process_get()->ticket_keys];
    memcpy(keys, tls_process_get()->ticket_keys, sizeof keys);
    if (policy->random_seed && RAND_bytes(keys, sizeof keys) != 1)
        return false;
    bool ok = SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof keys) == 1 &&
              SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
              SSL_CTX_set_session_ticket_cb(ctx, ticket_stamp, ticket_open, NULL) == 1;
    OPENSSL_cleanse(keys, sizeof keys);
    return ok;
}

bool context_policy_server(SSL_CTX *ctx, const struct tls_policy *policy)
{
    static const unsigned char session_context[] = "tidegate";
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* Own bound on how long one tls_feed runs: libssl comes back after every post-handshake
     * message. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    if (policy->alpn_http1)
        SSL_CTX_set_alpn_select_cb(ctx, alpn_choose, NULL);
    if (policy->early_data_max && !early_set_up(ctx, policy))
        return false;
    return SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) == 1 &&
           tickets_set_up(ctx, policy);
}
