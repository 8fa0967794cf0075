/* SPDX-License-Identifier: BSD-3-Clause
 * HTTP/1.1 as the simulated client and origin speak it: a strict reader and a writer of their own, so
 * that the proxy's parser is judged by another one. Bodies are streams (sim.h). Knows nothing of TCP but
 * how to write.
 */
#ifndef TESTS_SIM_HTTP_WIRE_H
#define TESTS_SIM_HTTP_WIRE_H

#include "tests/sim/pipe.h"
#include "tests/sim/sim.h"

#define HTTP_SIM_HEAD_MAX 24000

enum http_read_state {
    READ_HEAD,
    READ_SIZED,
    READ_CHUNK_LINE,
    READ_CHUNK_DATA,
    READ_CHUNK_END, /* the CRLF behind the data */
    READ_TRAILER,
    READ_UNTIL_CLOSE,
    READ_DONE,
    READ_BAD, /* `wrong` says why */
};

struct http_reader {
    enum http_read_state state;
    bool response;
    bool no_body;    /* response to HEAD */
    bool head_fresh; /* the head has just ended: set `stream` and clear this before feeding on */
    bool chunked, close;
    unsigned status;             /* responses */
    unsigned informational;      /* 1xx heads seen */
    char method[16], target[64]; /* requests */
    uint64_t left;               /* of the sized body or the chunk */
    uint64_t stream;             /* that the body must be */
    uint64_t body;               /* bytes of it so far */
    const char *wrong;
    unsigned len, line_start; /* of head[] */
    char head[HTTP_SIM_HEAD_MAX + 1];
};

void http_reader_begin(struct http_reader *r, bool response, bool no_body);
/* Eat bytes of one message; returns how many. Stops at the end of a head, at the end of the message,
 * and at the first thing that is wrong. */
size_t http_reader_feed(struct http_reader *r, const uint8_t *bytes, size_t n);
/* The peer has sent its FIN. */
void http_reader_end(struct http_reader *r);
/* Value of a field of the head, without regard to case; NULL if absent. Not NUL-terminated: *len. */
const char *http_reader_field(const struct http_reader *r, const char *name, size_t *len);

/* What is to be sent: a head, then a body in one of three framings. */
enum http_send { SEND_NOTHING, SEND_SIZED, SEND_CHUNKED };

struct http_writer {
    enum http_send body;
    bool active; /* something is left to be written */
    bool done;   /* all of it has been */
    bool last;   /* piece[] is the end of a chunked body */
    bool cut;    /* ends after `bytes` as if there were more: no end of a chunked body */
    uint64_t stream, bytes, sent; /* of the body */
    uint32_t chunk_max;
    struct prng rng;
    unsigned len, at; /* of piece[] */
    uint8_t piece[8192];
};

/* Begin a message whose head is head[len] (at most 8 KiB). */
void http_writer_begin(struct http_writer *w, const char *head, size_t len, enum http_send body,
                       uint64_t stream, uint64_t bytes, uint64_t seed);
/* Write as much as the pipe takes. False: it takes no more now. */
bool http_writer_pump(struct http_writer *w, struct pipe *pipe);

#endif
