/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of the key server: a directory with a CA, certificates, keys and a configuration
 * file, all made when a test starts; and an edge that speaks to a running server over loopback,
 * turn by turn, in one thread. Not linked into any program.
 */
#ifndef TLS_KEYSERVER_KEYSERVER_LAB_H
#define TLS_KEYSERVER_KEYSERVER_LAB_H

#include "tls/keymsg.h"
#include "tls/keyserver/server.h"

#include <openssl/ssl.h>

/* Of a whole test program. Makes /tmp/tidegate-keyserver.XXXXXX:
 *   ca.pem  server.{pem,key}  edge1.{pem,key} edge2.{pem,key} (clientAuth)
 *   wrong.{pem,key} (serverAuth only)  foreign.{pem,key} (another CA)
 *   keys/{ec,p384,rsa,ed}.key */
int lab_set_up(void **state);
int lab_tear_down(void **state);
const char *lab_path(const char *name); /* "DIR/name"; good for four calls */

/* Write a file; mode 0600. */
void lab_write(const char *name, const char *text);
/* Write keyserver.conf: `top` goes before the usual keys, `clients` is the list's content. */
const char *lab_config(const char *top, const char *clients);
/* The public half of keys/NAME, and its SKI by way of a certificate. */
EVP_PKEY *lab_key(const char *name);
void lab_ski(const char *name, uint8_t ski[KEYMSG_SKI_BYTES]);
/* A fresh private key as PEM into a file. type: "EC", "RSA", "ED25519", "ED448". */
void lab_key_write(const char *file, const char *type, const char *password);
/* The whole file as text; the caller frees. */
char *lab_read(const char *name);

struct setup *lab_setup(const char *config);

/* A digest or message of `len` bytes: 1 2 3 ... */
struct span lab_input(size_t len);
/* Does this signature hold, by libcrypto's own verification? */
bool lab_verify(const char *key, const struct keymsg_op_info *op, struct span input,
                struct span signature);

/* --- an edge ------------------------------------------------------------------------------------ */

struct lab_edge {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    uint8_t in[KEYMSG_PACKET_MAX];
    size_t in_len, taken; /* in[0..taken): the packet that lab_receive gave last */
    bool closed;          /* by the server, or never let in */
    int error;            /* SSL_get_error of the end */
};
/* Connect as certificate `name` (NULL: none), with at most this TLS version (0: any). */
void lab_connect(struct lab_edge *edge, struct server *server, const char *name, int version);
void lab_disconnect(struct lab_edge *edge);
/* Turns until the handshake is done or refused; true when done and still there. */
bool lab_handshake(struct lab_edge *edge, struct server *server);
/* Write bytes, however many turns that takes; false when the server hung up. */
bool lab_send_bytes(struct lab_edge *edge, struct server *server, struct span bytes);
bool lab_send(struct lab_edge *edge, struct server *server, const struct keymsg *m);
/* The next answer; false: none within `turns` turns of 5 ms, or the server hung up. */
bool lab_receive(struct lab_edge *edge, struct server *server, struct keymsg *m, unsigned turns);
/* Turns until the server hangs up; false: it did not. */
bool lab_closed(struct lab_edge *edge, struct server *server, unsigned turns);

#endif
