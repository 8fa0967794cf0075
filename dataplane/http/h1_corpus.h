/* SPDX-License-Identifier: BSD-3-Clause
 * Request heads for the parser's tests: malformed ones with the status that they must get, legal
 * ones with what they mean. Used by h1_test and h1_llhttp_test only.
 */
#ifndef DATAPLANE_HTTP_H1_CORPUS_H
#define DATAPLANE_HTTP_H1_CORPUS_H

#include "http/h1.h"

struct bad_head {
    const char *what;
    struct span bytes;
    unsigned status;
};
struct good_head {
    const char *what;
    struct span bytes;
    enum http_framing framing;
    uint64_t length;
    bool keep_alive;
    const char *host, *path, *query; /* query NULL: none */
};

extern const struct bad_head h1_bad_heads[];
extern const unsigned h1_bad_head_count;
extern const struct good_head h1_good_heads[];
extern const unsigned h1_good_head_count;

#endif
