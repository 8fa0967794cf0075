/* SPDX-License-Identifier: BSD-3-Clause
 * TLS as bytes in, bytes out. No sockets, no clock, no packets: the proxy feeds cipher text that TCP has
 * in order, reads plaintext, and drains cipher text straight into reserved send frames. Behind it:
 * OpenSSL 3.0 (tls/ is the only folder that includes openssl/ headers). Floor 2: base only.
 *
 *   client bytes -> tls_feed -> tls_read  -> http
 *   http bytes   -> tls_write -> tls_drain -> TCP
 *
 * Waiting for a key. The private key may lie elsewhere (keyless). Then tls_feed answers TG_WANT_KEY,
 * tls_key_op names the operation, the transport carries it, and tls_key_done (or tls_abort) continues.
 * While an operation is out nothing else enters this connection but tls_key_done and tls_abort; the
 * cipher text that arrives meanwhile simply stays in TCP (nothing is consumed).
 *
 * Early data (0-RTT). tls_read says of every byte whether it is early, so that http executes early only
 * what may be repeated.
 *
 * Every worker has its own tls_worker with its own SSL_CTX per certificate; nothing is shared between
 * cores. New certificate sets are built by the housekeeping thread (tls_set_create) and taken by the
 * worker between two bursts; connections keep the set that they started with until they end.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/result.h"
#include "base/span.h"

struct
    tls_set; /* certificates and policy of all sites, for one worker: immutable, reference counted */
struct tls_conn; /* one connection */

/* One certificate as the control plane publishes it. Spans borrow for the call. */
struct tls_certificate {
    struct span names; /* host names, each followed by a NUL; "*.example.com" matches one label */
    struct span chain_pem; /* leaf first */
    struct span key_pem;   /* empty: the key lies elsewhere (keyless), operations go out */
    bool is_default;       /* for clients without or with an unknown server name */
};

struct tls_policy {
    bool alpn_http1;         /* offer http/1.1 */
    bool tls12;              /* TLS 1.2 allowed beside 1.3 */
    uint32_t early_data_max; /* bytes of 0-RTT accepted; 0: off */
    uint64_t random_seed;    /* != 0: deterministic randomness, simulator and tests only */
};

/* Build one worker's set (cold: parses PEM, makes contexts). TG_BAD_INPUT: *bad is the index of the first
 * certificate that does not parse or whose key does not match, `problem` says why in one sentence. */
enum tg_err tls_set_create(const struct tls_certificate certificates[], unsigned count,
                           const struct tls_policy *policy, struct tls_set **set, unsigned *bad,
                           char problem[256]);
/* Reference counting by one worker: connections hold their set. */
void tls_set_ref(struct tls_set *set);
void tls_set_unref(struct tls_set *set);

/* A server-side connection. Holds a reference to the set. TG_NO_MEMORY. `user` comes back from
 * tls_conn_user (the proxy's own pointer). */
enum tg_err tls_accept(struct tls_set *set, void *user, struct tls_conn **conn);
/* A client-side connection to an origin: server_name for SNI and verification, ca_pem the trust (empty:
 * no verification), client certificate and key for authenticated origin pulls (may be empty). */
struct tls_client_config {
    struct span server_name;
    struct span ca_pem;
    struct span chain_pem, key_pem;
    bool verify;
};
enum tg_err tls_connect(const struct tls_client_config *config, void *user, struct tls_conn **conn);

/* Give bytes that arrived from the peer (RFC 8446 s5).
 *
 * conn      owned by this worker; never entered while a key operation is out.
 * cipher    n borrowed spans, in order; record edges may fall anywhere.
 * consumed  [out] bytes taken from the front; the caller releases those (tcp_consume).
 * now_s     wall clock, seconds: ticket age only.
 *
 * TG_OK        all consumed or back-pressured: plaintext may wait (tls_read), output too (tls_drain).
 * TG_AGAIN     needs more bytes.
 * TG_WANT_KEY  a key operation is out.
 * TG_END       the peer said close_notify: no more plaintext after what waits.
 * TG_BAD_INPUT the peer is wrong; an alert waits in tls_drain, then close.
 */
enum tg_err tls_feed(struct tls_conn *conn, const struct span cipher[], unsigned n,
                     size_t *consumed, uint64_t now_s);

/* Take plaintext: at most cap bytes into out; *n says how many, *early whether they were 0-RTT data (a call
 * never mixes). TG_OK with *n > 0, TG_AGAIN with 0, TG_END after the peer's close_notify. */
enum tg_err tls_read(struct tls_conn *conn, uint8_t *out, size_t cap, size_t *n, bool *early);

/* Encrypt plaintext. Takes what the output limit (64 KiB of cipher text waiting) allows: *taken. Never before
 * the handshake is done (TG_AGAIN, 0). */
enum tg_err tls_write(struct tls_conn *conn, struct span plain, size_t *taken);

/* Move waiting cipher text into the caller's room (a reserved frame); returns bytes written. */
size_t tls_drain(struct tls_conn *conn, uint8_t *room, size_t cap);
/* Bytes of cipher text that wait. */
size_t tls_pending_out(const struct tls_conn *conn);

/* Queue close_notify (once). Drain, then FIN. */
void tls_shutdown(struct tls_conn *conn);

bool tls_handshake_done(const struct tls_conn *conn);
void *tls_conn_user(const struct tls_conn *conn);

/* What the handshake agreed; for logs. Spans and strings live as long as the connection. */
struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;
    struct span server_name; /* SNI, lower case; empty if none */
    struct span alpn;
    bool resumed;
    unsigned alert; /* last alert sent or received, 0 none */
};
void tls_get_info(const struct tls_conn *conn, struct tls_info *info);

/* The key operation that is out, after TG_WANT_KEY. Borrowed until tls_key_done or tls_abort. */
enum tls_key_kind {
    TLS_KEY_SIGN_ECDSA,
    TLS_KEY_SIGN_RSA_PKCS1,
    TLS_KEY_SIGN_RSA_PSS,
    TLS_KEY_SIGN_ED25519,
    TLS_KEY_DECRYPT_RSA
};
struct tls_key_op {
    uint64_t id; /* unique in the process's life, never 0 */
    enum tls_key_kind kind;
    unsigned hash_bits; /* 256, 384, 512; 0: message itself (Ed25519) */
    struct span input;  /* digest, message or ciphertext */
    uint8_t ski[20];    /* SHA-1 of the public key: names the key */
};
enum tg_err tls_key_op(const struct tls_conn *conn, struct tls_key_op *op);
/* Answer it: result empty = failed (the handshake ends with an internal_error alert). Goes on like
 * tls_feed without input, same results. TG_STALE: no such operation is out. */
enum tg_err tls_key_done(struct tls_conn *conn, uint64_t op_id, struct span result);

/* End a connection in any state, also while a key operation is out, and free it. */
void tls_abort(struct tls_conn *conn);

/* Once per process, before the first set (cold): allocator hooks, providers. `extra` may be NULL. */
enum tg_err tls_start(void);

#endif
