/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of ctrlplane: a data plane in one thread that takes commands and acknowledges as a real one does (or
 * refuses, or sleeps), temporary directories, and requests to the API without a server.
 */
#ifndef CTRLPLANE_TEST_SUPPORT_H
#define CTRLPLANE_TEST_SUPPORT_H

#include "ctrlplane/api.h"

#include <pthread.h>

/* How a worker answers COMMAND_USE. */
enum fake_mood { FAKE_APPLY, FAKE_IGNORE, FAKE_REFUSE };

struct fake {
    struct region region;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic int mood[TG_WORKERS_MAX]; /* enum fake_mood */
    _Atomic unsigned refuse_times;    /* FAKE_REFUSE: how often, then it applies */
    _Atomic unsigned commands;        /* taken so far */
};

struct place {
    char directory[64]; /* temporary, removed by place_remove */
    struct config config;
};

/* A temporary directory, and a configuration that has everything in it. */
void place_make(struct place *place);
void place_remove(struct place *place);

/* Make the region and run its workers. */
void fake_start(struct fake *fake, const struct place *place, unsigned workers, uint64_t boot_id);
void fake_stop(struct fake *fake);
/* Wait until every worker has the current generations in force. */
void fake_settle(struct fake *fake);

/* One request; `body` may be NULL, the query is part of the path ("?a=b&c=d", unescaped). */
struct api_response api_ask(struct control *control, const char *method, const char *path,
                            const char *body);
/* The same, asserting the status; the answer's body is a new reference. */
json_t *api_expect(struct control *control, const char *method, const char *path, const char *body,
                   unsigned status);
/* Asserts status and pointer of a problem. */
void api_expect_problem(struct control *control, const char *method, const char *path,
                        const char *body, unsigned status, const char *pointer);

/* The string member of an object, "" when there is none; borrowed. */
const char *json_text(const json_t *object, const char *member);

/* A self-signed certificate with its key for tests (made with openssl(1), P-256, valid to 2125). */
extern const char test_chain_pem[], test_key_pem[], test_other_key_pem[];

#endif
