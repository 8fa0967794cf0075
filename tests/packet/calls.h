/* SPDX-License-Identifier: BSD-3-Clause
 * Socket calls of a script: text to sock.h and back. Names of constants, of errors, iovecs; a call that blocks is asked
 * again by run.c until it has an answer.
 */
#ifndef TESTS_PACKET_CALLS_H
#define TESTS_PACKET_CALLS_H

#include "tests/packet/sock.h"

struct calls {
    struct host *host;
    struct socks socks;
    struct { /* by socket: how far the streams are; write_done: of a write that blocks */
        uint32_t read_offset, write_offset, write_done;
    } streams[SOCKS_MAX];
    bool wrong_byte; /* a read has met a byte that the peer never sent */
};

/* What a call returned; would_block: the script gives it more time. */
struct call_result {
    int64_t value;
    int error; /* errno; 0: none */
    bool would_block;
    char out[64];        /* what getsockopt or ioctl has written, as the script would; "" nothing */
    char mismatch[96];   /* poll found other events than the script; "" the same */
    const char *unknown; /* what this runner does not know: a call or a constant; NULL: nothing */
};

void calls_init(struct calls *calls, struct host *host);
struct call_result calls_do(struct calls *calls, const struct script_call *call);

/* The value of "O_RDWR|O_NONBLOCK", "17", "SO_ERROR"; false: a name is not known. */
bool calls_constant(const char *text, int64_t *value);

#endif
