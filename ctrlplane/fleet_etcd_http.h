/* SPDX-License-Identifier: BSD-3-Clause
 * HTTP requests beside the loop of tidegate-ctl: libcurl's multi interface behind one descriptor. Nothing blocks; every
 * request has a deadline, a limit on what it takes in, and can be stopped at any time. Knows nothing of etcd. Called by
 * fleet_etcd.
 */
#ifndef CTRLPLANE_FLEET_ETCD_HTTP_H
#define CTRLPLANE_FLEET_ETCD_HTTP_H

#include "ctrlplane/fleet.h"

#define HTTP_CONNECT_MS 1000        /* for a connection to come about */
#define HTTP_ANSWER_MAX (64u << 20) /* bytes of an answer, or of one line of a stream */

struct http; /* all requests of one owner */

/* What became of a request that is done. */
enum http_result {
    HTTP_ANSWERED, /* status and body are there */
    HTTP_NOT_SENT, /* no connection came about: the peer has seen nothing */
    HTTP_BROKEN,   /* sent at least in part, and no whole answer */
};

struct http_request {
    void *easy; /* CURL handle, NULL: idle */
    void *headers;
    char *body;
    char *bytes; /* received and not yet taken, `len` of them, with a NUL */
    size_t len, cap;
    bool done;
    enum http_result result;
    long status; /* of the answer; 0: none yet */
    char problem[FLEET_PROBLEM];
};

struct http *http_open(void);
/* All requests must have been stopped. */
void http_close(struct http *http);
int http_fd(const struct http *http);
/* Milliseconds until http_run must be called even when the descriptor is silent; -1: never. */
int http_timeout_ms(const struct http *http);
/* Move all requests on; those that came to their end are `done` then. */
void http_run(struct http *http);

/* POST `body` (malloc'd, taken over) as JSON to base + path.
 * timeout_ms  for all of it; 0: a stream that lasts until it is stopped (connecting still has its limit) */
void http_post(struct http *http, struct http_request *request, const char *base, const char *path,
               char *body, long timeout_ms);
/* End it, whatever its state, and forget what it received. An idle one stays idle. */
void http_stop(struct http *http, struct http_request *request);

static inline bool http_active(const struct http_request *request)
{
    return request->easy != NULL;
}

/* The next whole line of a stream, borrowed until the next call of anything here; false: none yet.
 * *offset  start at 0, and give the same variable until false comes: the lines are dropped then. */
bool http_line(struct http_request *request, size_t *offset, struct span *line);

#endif
