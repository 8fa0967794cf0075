/* SPDX-License-Identifier: BSD-3-Clause
 * TLS as bytes in, bytes out. No sockets, no clock, no packets: the proxy feeds cipher text that
 * TCP has in order, reads plaintext, and drains cipher text straight into reserved send frames.
 * Behind it: OpenSSL 3.0 (tls/ is the only folder that includes openssl/ headers). Floor 2: base
 * only.
 *
 *   client bytes -> tls_feed -> tls_read  -> http
 *   http bytes   -> tls_write -> tls_drain -> TCP
 *
 * Waiting for a key. The private key may lie elsewhere (keyless). Then tls_feed answers
 * TG_WANT_KEY, tls_key_op names the operation, the transport carries it, and tls_key_done (or
 * tls_abort) continues. While an operation is out nothing else enters this connection but
 * tls_key_done and tls_abort; the cipher text that arrives meanwhile simply stays in TCP (nothing
 * is consumed).
 *
 * Early data (0-RTT). tls_read says of every byte whether it is early, so that http executes early
 * only what may be repeated. From the first early byte on (tls_early_open) tls_write answers, before the
 * client's Finished: to a peer that has shown a ticket, not yet that it is not a replay.
 *
 * Every worker has its own set with its own SSL_CTX. New certificate sets are built by the
 * housekeeping thread (tls_set_create) and taken by the worker between two bursts; connections keep
 * the set that they started with until they end.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/result.h"
#include "base/span.h"

/* Certificates and policy of all sites, for one worker: immutable, reference counted. */
struct tls_set;
struct tls_conn; /* one connection */

/* One certificate as the control plane publishes it. Spans borrow for the call. */
struct tls_certificate {
    /* Host names, each followed by a NUL; "*.example.com" matches one label; an exact name wins
     * over a wildcard. Certificates may share a name: one each of ECDSA, RSA, Ed25519 is kept (the
     * first of a type), and the client's abilities choose. */
    struct span names;
    struct span chain_pem; /* leaf first */
    struct span key_pem;   /* empty: the key lies elsewhere (keyless), operations go out */
    /* For clients without or with an unknown server name. Where no certificate is the default they
     * get the alert unrecognized_name (112) or missing_extension (109). */
    bool is_default;
};

struct tls_replay; /* tls/tls_replay.h: makes a 0-RTT flight count once on this node */

/* A secret that the nodes of a fleet share: a ticket made at one of them resumes at all. */
struct tls_ticket_secret {
    uint32_t id; /* part of what the ticket's name is derived from */
    uint8_t secret[16];
};
#define TLS_TICKET_SECRETS_MAX 2

struct tls_policy {
    /* Choose http/1.1; a client that offers ALPN without it gets the alert no_application_protocol
     * (RFC 7301 s3.2). false: ALPN is ignored. */
    bool alpn_http1;
    bool tls12; /* TLS 1.2 allowed beside 1.3 */
    /* Bytes of 0-RTT accepted; 0: off. */
    uint32_t early_data_max;
    /* The node's register of flights: without one, early data of any age within libssl's window is accepted
     * again and again (tests only). Outlives the set. */
    struct tls_replay *replay;
    /* Goes into tickets: early data is accepted only under a ticket of this node, since only its register
     * has seen the flights. A foreign ticket resumes all the same. */
    uint16_t node_slot;
    /* Tickets are made under the first and opened under each; one of another than the first is renewed.
     * Borrowed for the call. 0: a key of this process alone, drawn at tls_start. */
    const struct tls_ticket_secret *ticket_secrets;
    unsigned ticket_secret_count;
    /* != 0: deterministic randomness of the whole process from here on. Simulator and tests only;
     * one thread. */
    uint64_t random_seed;
};

/* Build one worker's set (cold: parses PEM, makes contexts). TG_BAD_INPUT: *bad is the index of the
 * first certificate that does not parse or whose key does not match, `problem` says why in one
 * sentence. The set has one reference, the caller's. */
enum tg_err tls_set_create(const struct tls_certificate certificates[], unsigned count,
                           const struct tls_policy *policy, struct tls_set **set, unsigned *bad,
                           char problem[256]);
/* Reference counting by one worker: connections hold their set. */
void tls_set_ref(struct tls_set *set);
void tls_set_unref(struct tls_set *set);

/* A server-side connection. Holds a reference to the set. TG_NO_MEMORY. `user` comes back from
 * tls_conn_user (the proxy's own pointer). */
enum tg_err tls_accept(struct tls_set *set, void *user, struct tls_conn **conn);

/* A client-side connection to an origin: server_name for SNI and verification (a host name, or an
 * address, which is verified but never sent), client certificate and key for authenticated origin
 * pulls (may be empty). */
struct tls_client_config {
    struct span server_name;
    struct span ca_pem; /* the only trust anchors */
    struct span chain_pem, key_pem;
    /* Needs ca_pem and server_name (else TG_BAD_CONFIG): a gap never means "unverified". */
    bool verify;
    /* Protocols offered, RFC 7301 wire form (length byte, name, ...); empty: http/1.1. */
    struct span alpn;
};
/* Open one connection; its ClientHello waits in tls_drain. Parses the PEM each time (about 0.3 ms):
 * a pool keeps a struct tls_client instead. TG_BAD_INPUT: PEM. TG_BAD_CONFIG: see verify.
 * TG_NO_MEMORY. */
enum tg_err tls_connect(const struct tls_client_config *config, void *user, struct tls_conn **conn);

/* The same in two steps: what is the same for all connections to an origin, parsed once (cold),
 * reference counted by one worker; connections hold it. `problem` says why it was refused, in one
 * sentence. */
struct tls_client;
enum tg_err tls_client_create(const struct tls_client_config *config, struct tls_client **client,
                              char problem[256]);
void tls_client_unref(struct tls_client *client);
enum tg_err tls_client_open(struct tls_client *client, void *user, struct tls_conn **conn);

/* Give bytes that arrived from the peer (RFC 8446 s5).
 *
 * conn      owned by this worker; never entered while a key operation is out.
 * cipher    n borrowed spans, in order; record edges may fall anywhere.
 * consumed  [out] bytes taken from the front, whatever the result; the caller releases those.
 * now_s     wall clock, seconds: ticket age, and validity of an origin's certificate.
 *
 * TG_OK        stopped before the end of the input: plaintext waits (tls_read), or output is at its
 *              bound (tls_drain), or one call's share of messages is used up.
 *              Take both and call again.
 * TG_AGAIN     all consumed; needs more bytes.
 * TG_WANT_KEY  a key operation is out.
 * TG_END       the peer said close_notify: no more plaintext; what follows is swallowed. We may
 *              still write.
 * TG_BAD_INPUT the connection is over: the peer is wrong, verification failed, no certificate for
 *              its name. Usually an alert waits (tls_drain, then close); tls_get_info names it.
 * TG_NO_MEMORY the same, our fault.
 *
 * Back-pressure. Application data is decrypted one record (16 KiB) ahead of tls_read and no
 * further; the rest is not consumed, so that TCP's window closes. While plaintext waits, tls_feed
 * returns TG_OK and consumes nothing. The caller's loop, with no input as well (n = 0):
 *
 *     do {
 *         err = tls_feed(conn, spans, n, &consumed, now_s);
 *         tcp_consume(consumed), spans = what is left;
 *         while (the reader has room && tls_read(conn, ...) == TG_OK)
 *             give it to the reader;
 *         tls_drain into send frames, as far as TCP has room;
 *     } while (err == TG_OK && something was consumed, read or drained in this round);
 *
 * A round that moved nothing ends the loop: it goes on when the reader has room, TCP has room, or
 * bytes arrive. A peer that closes TCP without close_notify is not seen here: after the loop, the
 * end of TCP's stream without TG_END means a truncated stream (RFC 8446 s6.1).
 */
enum tg_err tls_feed(struct tls_conn *conn, const struct span cipher[], unsigned n,
                     size_t *consumed, uint64_t now_s);

/* Take plaintext: at most cap bytes into out; *n says how many, *early whether they were 0-RTT data
 * (a call never mixes). TG_OK with *n > 0, TG_AGAIN with 0, TG_END after the peer's close_notify,
 * TG_BAD_INPUT once failed. */
enum tg_err tls_read(struct tls_conn *conn, uint8_t *out, size_t cap, size_t *n, bool *early);

/* Encrypt plaintext. Takes what the output limit (64 KiB of cipher text waiting) allows: *taken.
 * TG_AGAIN with 0 taken: at the limit (drain first), the handshake is not done (and tls_early_open is
 * false), or tls_shutdown was called. TG_BAD_INPUT: failed. */
enum tg_err tls_write(struct tls_conn *conn, struct span plain, size_t *taken);

/* Move waiting cipher text into the caller's room (a reserved frame); returns bytes written. */
size_t tls_drain(struct tls_conn *conn, uint8_t *room, size_t cap);
/* Bytes of cipher text that wait. */
size_t tls_pending_out(const struct tls_conn *conn);

/* Queue close_notify (once; nothing before the handshake is done). Drain, then FIN. */
void tls_shutdown(struct tls_conn *conn);

bool tls_handshake_done(const struct tls_conn *conn);
void *tls_conn_user(const struct tls_conn *conn);

/* What became of early data that the client offered; known as soon as its ClientHello has been taken. */
enum tls_early {
    TLS_EARLY_NONE, /* none was offered, or the ClientHello is still to come */
    TLS_EARLY_ACCEPTED,
    TLS_EARLY_REFUSED, /* not under a ticket of this node, too old, too soon after our start, off */
    TLS_EARLY_REPLAYED, /* this flight has been here before */
};
enum tls_early tls_early_answer(const struct tls_conn *conn);
/* True from the first accepted early byte until the handshake is over, one way or the other. */
bool tls_early_open(const struct tls_conn *conn);

/* What the handshake agreed; for logs. Spans and strings live as long as the connection. */
struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;
    struct span server_name; /* SNI, lower case; empty if none */
    struct span alpn;
    bool resumed;
    unsigned alert;         /* last alert sent or received, 0 none */
    const char *alert_text; /* its name: "certificate required"; NULL: none */
    const char *problem;    /* what is wrong with the origin's certificate; NULL: nothing */
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

/* The name of a certificate's key as in tls_key_op (cold): of the chain's first certificate.
 * TG_BAD_INPUT: it does not parse. */
enum tg_err tls_certificate_ski(struct span chain_pem, uint8_t ski[20]);

/* End a connection in any state, also while a key operation is out, and free it. */
void tls_abort(struct tls_conn *conn);

/* Once per process, before the first set or client (cold): libssl without openssl.cnf, ticket keys,
 * providers. Safe to repeat. */
enum tg_err tls_start(void);

#endif
