/* SPDX-License-Identifier: BSD-3-Clause
 * The policy: what we offer and accept, as settings of an SSL_CTX. Called when a set or an origin's
 * context is built (cold), and by libssl through the callbacks. It must not know certificates.
 */
#include "tls/tls_internal.h"

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

bool context_policy_server(SSL_CTX *ctx, const struct tls_policy *policy)
{
    static const unsigned char session_context[] = "tidegate";
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* Own bound on how long one tls_feed runs: libssl comes back after every post-handshake
     * message. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    if (policy->alpn_http1)
        SSL_CTX_set_alpn_select_cb(ctx, alpn_choose, NULL);
    if (!early_set_up(ctx, policy))
        return false;
    return SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) == 1;
}
