/* SPDX-License-Identifier: BSD-3-Clause
 * One connection of an edge: TLS handshake, packets in, packets out. Called by server.c, which
 * polls. Nothing here blocks.
 *
 *   LINK_HANDSHAKE -> LINK_OPEN -> LINK_DRAIN (no more requests; answers go out) -> LINK_OVER
 */
#ifndef TLS_KEYSERVER_LINK_H
#define TLS_KEYSERVER_LINK_H

#include "tls/keyserver/setup.h"

enum link_state { LINK_HANDSHAKE, LINK_OPEN, LINK_DRAIN, LINK_OVER };

/* Answers that may wait: beyond it no request is taken, so that TCP holds the peer back. A request
 * has 1024 bytes nearly always, so that these and what TCP keeps are the 1024 of KEYMSG_OUTSTANDING_MAX. */
#define LINK_OUT_BYTES (256u * 1024)
#define LINK_SHARE     32 /* requests of one connection in one turn: RSA takes 0.25 ms each */

struct link {
    int fd;
    SSL *ssl;
    enum link_state state;
    struct access_client *client; /* NULL before the handshake is done */
    bool wants_write;             /* libssl waits for room in the socket */
    bool busy;                    /* more requests are here: come back without waiting */
    tg_ns deadline;               /* for the handshake, or for the next packet */
    uint64_t answered;            /* packets */
    char peer[64];                /* "address port" */
    char subject[SETTINGS_TEXT];
    uint8_t *in, *out;      /* made when the handshake is done */
    size_t in_len;          /* bytes of in[KEYMSG_PACKET_MAX] */
    size_t out_at, out_len; /* out[out_at..out_len) waits, of LINK_OUT_BYTES */
};

/* Take over a connected, non-blocking socket. TG_NO_MEMORY: fd is closed, *link is free. */
enum tg_err link_open(struct link *link, struct setup *setup, int fd, const char *peer, tg_ns now);
/* Do what can be done without waiting. Afterwards LINK_OVER means: call link_close. */
void link_step(struct link *link, struct setup *setup, tg_ns now, uint64_t wall_ns);
/* The deadline has passed, or the server ends: no more requests. */
void link_drain(struct link *link);
/* The setup has been replaced: find the client again. It may be gone. */
void link_rebind(struct link *link, struct setup *setup);
void link_close(struct link *link);
/* The poll(2) events that it waits for. */
short link_events(const struct link *link);

#endif
