/* SPDX-License-Identifier: BSD-3-Clause
 * llhttp (Debian's node-llhttp, strict build) behind an interface without its names, which clash
 * with ours. Used by h1_llhttp_test only.
 */
#ifndef DATAPLANE_HTTP_H1_ORACLE_H
#define DATAPLANE_HTTP_H1_ORACLE_H

#include "base/span.h"

struct oracle {
    bool accepted;       /* the head; with `whole` the message to its end */
    bool unknown_method; /* rejected because the method is not in llhttp's list */
    bool chunked;
    uint64_t length; /* Content-Length, else 0 */
    const char *why; /* of a rejection */
    size_t payload_len;
    uint8_t payload[2048]; /* with `whole` */
};

/* Let llhttp read a request (or response) head, or a whole message of at most 2048 bytes of
 * body. */
void oracle_run(struct oracle *o, bool response, struct span bytes, bool whole);

#endif
