/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of tls/ share behind tls.h: the process's state, a set, a connection. Nobody
 * outside tls/ includes it, except tests/fuzz through tls.h's functions only.
 *
 *   tls_start.c    once per process        tls_conn.c    bytes in, bytes out
 *   tls_context.c  policy on an SSL_CTX    tls_client.c  connections to origins
 *   tls_set.c      certificates, SNI       tls_key.c     key operations that are out
 *   tls_ticket.c   session tickets         tls_early.c   whether early data counts
 */
#ifndef TLS_TLS_INTERNAL_H
#define TLS_TLS_INTERNAL_H

#include "tls/tls.h"
#include "tls/tls_bio.h"
#include "tls/tls_names.h"
#include "tls/tls_pem.h"

#include <openssl/provider.h>
#include <openssl/ssl.h>

/* What one ticket key is (RFC 5077 s4): its name stands in the ticket in clear. Nothing but bytes. */
struct ticket_key {
    uint8_t name[16], mac[32], cipher[32];
};

/* Made by tls_start, only read afterwards. */
struct tls_process {
    bool started;
    OSSL_PROVIDER *default_provider, *keyless_provider; /* held for the process's life */
    BIO_METHOD *bio_method;
    EVP_CIPHER *ticket_cipher; /* fetched once: a fetch per handshake would take libcrypto's lock */
    /* One for all workers and sets, so that a ticket survives a certificate swap and another worker. */
    struct ticket_key ticket_key;
};
const struct tls_process *tls_process_get(void);

/* --- tls_context.c --- */

/* The part of the policy that server and client share; false without memory. */
bool context_policy_common(SSL_CTX *ctx, bool tls12);
/* The server's part: preference, tickets, ALPN. */
bool context_policy_server(SSL_CTX *ctx, const struct tls_policy *policy);

/* --- tls_ticket.c: session tickets --- */

/* Issue and open tickets in this set's context, under the policy's secrets; false: out of memory, or no
 * random bytes. */
bool tickets_set_up(struct tls_set *set, const struct tls_policy *policy);

/* --- tls_early.c: whether early data counts --- */

/* Note the flight's name (its first PSK binder); called for every ClientHello, before anything is verified. */
void early_note(SSL *ssl);
/* Let a context accept early data under the policy, and skip what it refuses; false without memory. */
bool early_set_up(SSL_CTX *ctx, const struct tls_policy *policy);
/* Write this node's name into a ticket that is being made. */
bool early_ticket_stamp(const struct tls_conn *conn, SSL_SESSION *session);

/* --- tls_set.c --- */

struct tls_set {
    unsigned refs; /* the creator's and one per connection; one worker counts */
    unsigned count;
    bool deterministic;      /* seeded, virtual time */
    bool keys_remote;        /* at least one: handshakes run in jobs (1.7 us each) */
    uint64_t serial;         /* of this set in the process */
    uint64_t key_operations; /* that went out; with serial their id */
    uint32_t early_data_max;
    struct tls_replay *replay; /* NULL: early data is not guarded */
    uint16_t node_slot;
    unsigned ticket_key_count; /* the first makes tickets, all open them */
    struct ticket_key ticket_keys[TLS_TICKET_SECRETS_MAX];
    /* One for all certificates: the servername callback puts the chosen pair into the SSL. Measured
     * on 3.0.22: 2.0 us (EC) or 0.1 us (RSA) a handshake, against 12.8 KB and 120 us of set-up for
     * each SSL_CTX, per worker and certificate. */
    SSL_CTX *ctx;
    struct name_table names;
    struct name_choice fallback;
    struct pem_pair *pairs; /* count */
};

/* --- tls_client.c --- */

struct tls_client {
    unsigned refs;
    SSL_CTX *ctx;
    bool verify;
    char host[NAME_BYTES_MAX + 1]; /* lower case; empty: no server name */
    bool host_is_address;          /* an IP literal never goes into SNI (RFC 6066 s3) */
};

/* --- tls_conn.c --- */

enum conn_phase {
    CONN_EARLY,     /* handshake, and 0-RTT data may come (SSL_read_early_data) */
    CONN_HANDSHAKE, /* handshake without, or after, 0-RTT */
    CONN_OPEN,      /* application data */
    CONN_ENDED,     /* open, and the peer said close_notify: we may still write (RFC 8446 s6.1) */
    CONN_FAILED,    /* fatal: only drain and abort */
};

struct tls_conn {
    SSL *ssl;
    struct tls_pipe pipe;
    struct tls_set *set;       /* server side, else NULL */
    struct tls_client *client; /* client side, else NULL */
    void *user;
    struct key_wait *key; /* the key operation that is out, on its job's stack; NULL: none */
    char *server_name;    /* lower case, NUL-terminated; NULL: none */
    uint64_t now_s;       /* of the last tls_feed */
    uint8_t phase;        /* enum conn_phase; conn_phase_set is its only writer */
    uint8_t alert;        /* last one sent or received */
    bool binder_known;    /* binder holds the first PSK binder of the ClientHello */
    uint8_t binder[16];
    bool early_open;       /* 0-RTT data was accepted and has begun to come */
    bool early_replayed;   /* 0-RTT data was refused: the flight is known */
    bool early_byte_waits; /* tls_feed had to take one 0-RTT byte to learn that there are any */
    uint8_t early_byte;
    bool shutdown_queued;
};

/* The connection that an SSL belongs to. */
static inline struct tls_conn *conn_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* Make a connection over ctx, in `phase`, without set or client. NULL without memory. */
struct tls_conn *conn_make(SSL_CTX *ctx, enum conn_phase phase, void *user);
/* Remember the server name, in lower case; empty: none. false without memory. */
bool conn_server_name_set(struct tls_conn *conn, struct span name);
/* Go on with what the pipe's spans hold; results as tls_feed's. */
enum tg_err conn_advance(struct tls_conn *conn);

/* --- tls_key.c --- */

/* Let this handshake's key operations go out: it runs in a job from now on. */
bool key_operations_allow(struct tls_conn *conn);
/* Before a function whose locals wait on the stack of a paused job (OpenSSL's ASYNC) while others look at them. The
 * address sanitizer would keep them on a stand-in of the thread's stack, and give their place away as soon as the thread
 * stands on its own stack again. */
#define TLS_ON_JOB_STACK __attribute__((no_sanitize("address")))
/* Called on a job's stack: send the operation out (its id is set here), wait, copy the answer to
 * out[*out_len]. 1, or 0: failed, abandoned, or not inside a job. */
int key_operation_run(const struct tls_key_op *op, uint8_t *out, size_t *out_len);
bool key_is_out(const struct tls_conn *conn);
/* Let the operation that is out fail and its job end, so that the connection can be freed. */
void key_abandon(struct tls_conn *conn);

#endif
