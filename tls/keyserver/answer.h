/* SPDX-License-Identifier: BSD-3-Clause
 * One request -> one answer, and the audit line about it. Called by link.c for each packet. It must
 * not know sockets; time comes in.
 */
#ifndef TLS_KEYSERVER_ANSWER_H
#define TLS_KEYSERVER_ANSWER_H

#include "tls/keyserver/setup.h"

/* Who asks, and when. */
struct answer_asker {
    struct access_client *client;
    const char *peer; /* "address port" */
    tg_ns now;        /* monotonic */
    uint64_t wall_ns; /* since 1970 */
};

/* The reply's payload lies in `bytes`, in the request's own bytes (pong), or is `error`. */
struct answer {
    struct keymsg reply;
    uint8_t error; /* enum keymsg_error */
    uint8_t bytes[VAULT_RESULT_MAX];
};

/* Answer a request that keymsg_decode took. Always makes an answer. */
void answer_make(struct setup *setup, const struct answer_asker *asker,
                 const struct keymsg *request, struct answer *answer);

#endif
