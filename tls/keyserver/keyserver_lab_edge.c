/* SPDX-License-Identifier: BSD-3-Clause
 * An edge that speaks to the key server under test: see keyserver_lab.h. Its socket never blocks;
 * between its tries the server gets a turn.
 */
#include "tls/keyserver/keyserver_lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_MS 5

void lab_connect(struct lab_edge *edge, struct server *server, const char *name, int version)
{
    char file[64];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server_port(server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *edge = (struct lab_edge){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    tg_assert(connect(edge->fd, (struct sockaddr *)&address, sizeof address) == 0);
    tg_assert(fcntl(edge->fd, F_SETFL, O_NONBLOCK) == 0);
    edge->ctx = SSL_CTX_new(TLS_client_method());
    tg_assert(SSL_CTX_load_verify_file(edge->ctx, lab_path("ca.pem")) == 1);
    SSL_CTX_set_verify(edge->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(edge->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (version)
        SSL_CTX_set_max_proto_version(edge->ctx, version);
    if (name) {
        snprintf(file, sizeof file, "%s.pem", name);
        tg_assert(SSL_CTX_use_certificate_file(edge->ctx, lab_path(file), SSL_FILETYPE_PEM) == 1);
        snprintf(file, sizeof file, "%s.key", name);
        tg_assert(SSL_CTX_use_PrivateKey_file(edge->ctx, lab_path(file), SSL_FILETYPE_PEM) == 1);
    }
    edge->ssl = SSL_new(edge->ctx);
    tg_assert(edge->ssl && SSL_set_fd(edge->ssl, edge->fd) == 1);
    SSL_set_connect_state(edge->ssl);
}

void lab_disconnect(struct lab_edge *edge)
{
    SSL_free(edge->ssl);
    SSL_CTX_free(edge->ctx);
    close(edge->fd);
    edge->ssl = NULL;
}

/* After a call of libssl that gave `result`: true when it only has to wait. */
static bool edge_waits(struct lab_edge *edge, int result)
{
    int error = SSL_get_error(edge->ssl, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return true;
    edge->closed = true;
    edge->error = error;
    return false;
}

bool lab_handshake(struct lab_edge *edge, struct server *server)
{
    for (unsigned i = 0; i < 400; i++) {
        int result = SSL_do_handshake(edge->ssl);
        if (result == 1) {
            /* TLS 1.3: the server's refusal of our certificate comes after our end is done */
            struct keymsg none;
            (void)lab_receive(edge, server, &none, 4);
            return !edge->closed;
        }
        if (!edge_waits(edge, result))
            return false;
        server_turn(server, TURN_MS, NULL);
    }
    return false;
}

bool lab_send_bytes(struct lab_edge *edge, struct server *server, struct span bytes)
{
    for (unsigned i = 0; bytes.len > 0 && i < 20000; i++) {
        size_t n = 0;
        int result = SSL_write_ex(edge->ssl, bytes.data, bytes.len, &n);
        if (result == 1)
            bytes = span_slice(bytes, n, bytes.len);
        else if (!edge_waits(edge, result))
            return false;
        else
            server_turn(server, TURN_MS, NULL);
    }
    return bytes.len == 0;
}

bool lab_send(struct lab_edge *edge, struct server *server, const struct keymsg *m)
{
    static uint8_t room[KEYMSG_PACKET_MAX];
    struct span_writer w = span_writer_make(room, sizeof room);
    tg_assert(keymsg_encode(m, &w) == TG_OK);
    return lab_send_bytes(edge, server, span_writer_span(&w));
}

/* Throw away the packet that was given last; is the next one here? */
static bool packet_next(struct lab_edge *edge, struct keymsg *m)
{
    size_t len;
    memmove(edge->in, edge->in + edge->taken, edge->in_len - edge->taken);
    edge->in_len -= edge->taken;
    edge->taken = 0;
    struct span bytes = span_make(edge->in, edge->in_len);
    if (keymsg_length(bytes, &len) != TG_OK || len > edge->in_len)
        return false;
    tg_assert(keymsg_decode(span_slice(bytes, 0, len), m) == TG_OK);
    edge->taken = len;
    return true;
}

bool lab_receive(struct lab_edge *edge, struct server *server, struct keymsg *m, unsigned turns)
{
    for (unsigned i = 0; i <= turns; i++) {
        size_t n = 0;
        int result = 1;
        while (!packet_next(edge, m)) {
            result =
                SSL_read_ex(edge->ssl, edge->in + edge->in_len, sizeof edge->in - edge->in_len, &n);
            if (result != 1)
                break;
            edge->in_len += n;
        }
        if (result == 1)
            return true;
        if (!edge_waits(edge, result))
            return false;
        server_turn(server, TURN_MS, NULL);
    }
    return false;
}

bool lab_closed(struct lab_edge *edge, struct server *server, unsigned turns)
{
    struct keymsg m;
    while (!edge->closed && lab_receive(edge, server, &m, turns)) {
    }
    return edge->closed;
}
