/* SPDX-License-Identifier: BSD-3-Clause
 * Socket calls of a script on the stack's own API: just enough of Linux's sockets to say what scripts say.
 */
#ifndef TESTS_PACKET_CALLS_H
#define TESTS_PACKET_CALLS_H

#include "tests/packet/host.h"

#define CALLS_SOCKETS   16
#define CALLS_FD_FIRST  3
#define CALLS_KNOBS_MAX 8

enum socket_kind { SOCKET_FREE, SOCKET_FRESH, SOCKET_LISTENING, SOCKET_CONNECTION };

struct socket {
    enum socket_kind kind;
    tcp_handle h; /* TCP_NONE: over */
    bool nonblocking, connected, peer_fin, linger_now;
    const char *error; /* what ended it, until SO_ERROR or a call has told; NULL: nothing */
    const char *ended; /* the same for good */
    uint32_t read_offset, write_offset;
    struct {
        enum tcp_option_name name;
        uint64_t value;
    } knobs[CALLS_KNOBS_MAX]; /* set before there was a connection */
    unsigned knob_count;
};

struct calls {
    struct host *host;
    struct socket sockets[CALLS_SOCKETS];
    tcp_handle accepts[CALLS_SOCKETS];
    unsigned accept_count;
    bool wrong_byte; /* a read has met a byte that the peer never sent */
};

/* What a call returned; would_block: the caller of a blocking socket waits. */
struct call_result {
    int64_t value;
    const char *error; /* "EAGAIN"; NULL: none */
    bool would_block;
    bool unknown; /* this call, or this argument, is not ours */
    char out[64]; /* what getsockopt or ioctl has written, "" nothing */
};

void calls_init(struct calls *calls, struct host *host);
/* Fetch what the stack has to report. */
void calls_events(struct calls *calls);
struct call_result calls_do(struct calls *calls, const struct script_call *call);
/* The connection that assertions are about: the last one; TCP_NONE. */
tcp_handle calls_connection(const struct calls *calls);

/* Evaluate "assert EXPRESSION" lines over the TCP_INFO of a connection; false: why says which and its values. */
bool expression_check(struct calls *calls, const char *text, char *why, size_t size);

#endif
