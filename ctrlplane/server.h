/* SPDX-License-Identifier: BSD-3-Clause
 * HTTP around the API: a unix socket and libmicrohttpd, driven by main's loop (no thread of its
 * own). The only part that includes microhttpd.h.
 */
#ifndef CTRLPLANE_SERVER_H
#define CTRLPLANE_SERVER_H

#include "ctrlplane/control.h"

#define SERVER_BODY_MAX (4u << 20) /* bytes of a request's body */

struct server;

/* Listen at a socket path: mode 0660, group gid (-1: ours). A socket file that nobody listens on
 * is replaced; one that is alive, or a file that is no socket, is left alone. Returns the
 * descriptor or -1 with `problem` in one sentence. */
int server_listen(const char *path, int gid, char problem[640]);

/* Start to answer on a listening descriptor (owned by the server from now on). NULL: `problem`
 * says why. */
struct server *server_start(struct control *control, int listen_fd, char problem[640]);

/* Readable when server_run has work; for epoll or poll. */
int server_fd(const struct server *server);
/* Milliseconds until server_run must be called even without that; -1: never. */
int server_timeout_ms(const struct server *server);
/* Do what there is to do; does not wait for clients. */
void server_run(struct server *server);

/* Close all connections and the socket. */
void server_stop(struct server *server);

#endif
