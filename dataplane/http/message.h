/* SPDX-License-Identifier: BSD-3-Clause
 * What an HTTP message head means, whichever version carried it. Written by h1 (later h2), read by
 * route, proxy and, through head_view, by waf. Floor 2: base only.
 */
#ifndef DATAPLANE_HTTP_MESSAGE_H
#define DATAPLANE_HTTP_MESSAGE_H

#include "base/field.h"
#include "base/result.h"

#define HTTP_HEAD_BYTES_MAX   16384 /* request or response head, CRLFs included */
#define HTTP_FIELDS_MAX       100
#define HTTP_TARGET_BYTES_MAX 8192

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_TRACE,
    HTTP_CONNECT,
    HTTP_OTHER_METHOD, /* any other token: forwarded as it is */
};

/* How the body's length is known (RFC 9112 s6). */
enum http_framing {
    HTTP_NO_BODY,
    HTTP_SIZED, /* Content-Length; content_length bytes */
    HTTP_CHUNKED,
    HTTP_UNTIL_CLOSE, /* responses only */
};

struct http_head {
    struct head_view view;   /* spans into the head's bytes, which the caller keeps */
    enum http_method method; /* of requests; of responses: unused */
    enum http_framing framing;
    uint64_t content_length; /* HTTP_SIZED */
    struct span host;        /* requests: host without port; from the absolute target, else Host */
    uint16_t host_port;      /* 0: none given */
    uint8_t minor;           /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;         /* after this message the connection may be used again */
    bool expect_continue;    /* Expect: 100-continue */
    bool upgrade;            /* Connection: upgrade with an Upgrade field */
    size_t bytes;            /* of the head, blank line included */
    size_t error_offset;     /* when parsing failed: byte where it became clear */
    const char *error;       /* when parsing failed: static text for the log; else NULL */
    uint64_t hop_by_hop[(HTTP_FIELDS_MAX + 63) / 64]; /* bit per field: h1_is_hop_by_hop */
    struct field fields[HTTP_FIELDS_MAX];             /* view.fields points here */
};

/* Find a field by name without regard to case, from index `from` on; returns its index or -1. */
int http_field_find(const struct head_view *head, struct span name, unsigned from);

/* The standard phrase ("Not Found"); "Unknown" for others. */
const char *http_status_phrase(unsigned status);

#endif
