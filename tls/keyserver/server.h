/* SPDX-License-Identifier: BSD-3-Clause
 * The listening socket, all connections, one turn of the poll loop. Called by main.c until a signal
 * ends it, and by tests turn by turn. One thread.
 */
#ifndef TLS_KEYSERVER_SERVER_H
#define TLS_KEYSERVER_SERVER_H

#include "tls/keyserver/setup.h"

struct server;

/* Listen where the settings say (port 0, in tests: any). The setup passes to the server.
 * TG_SYSTEM: `problem` says why; the setup stays the caller's. */
enum tg_err server_create(struct setup *setup, struct server **server,
                          char problem[SETTINGS_PROBLEM]);
/* Wait at most timeout_ms for something to happen, and do it. `mask`: signals let in while waiting
 * (NULL: no change). */
void server_turn(struct server *server, int timeout_ms, const void *mask);
/* Go on with another setup (address and port stay); the old one is destroyed. */
void server_use(struct server *server, struct setup *setup);
/* No new connections, no more requests; true when the last answers are out. */
bool server_drain(struct server *server);
void server_destroy(struct server *server);

unsigned server_port(const struct server *server);
unsigned server_connections(const struct server *server);

#endif
