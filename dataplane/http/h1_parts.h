/* SPDX-License-Identifier: BSD-3-Clause
 * What the pieces of the HTTP/1 parser share among themselves; nobody outside http/ includes it.
 *
 *   h1_scan    finds the end of the head, its first illegal byte, runs of a class (SIMD)
 *   h1_head    drives: end, start line, field lines, meaning; the only writer of head->error
 *   h1_start   request line and status line
 *   h1_fields  one field line; lists
 *   h1_meaning what the fields say together: host, framing, keep-alive, hop-by-hop
 *
 * Offsets count from the first byte of the head's bytes. Floor 2: base only.
 */
#ifndef DATAPLANE_HTTP_H1_PARTS_H
#define DATAPLANE_HTTP_H1_PARTS_H

#include "http/h1.h"

/* Classes of bytes, one bit each. */
enum h1_class {
    H1_TOKEN = 1u << 0,  /* RFC 9110 s5.6.2 tchar */
    H1_TARGET = 1u << 1, /* allowed in a request target: printable ASCII but '#' */
    H1_DIGIT = 1u << 2,
    H1_HEX = 1u << 3,
    H1_NAME = 1u << 4, /* allowed in a host name: ALPHA DIGIT - . _ ~ */
};
extern const uint8_t h1_classes[256];

static inline bool h1_is(uint8_t byte, enum h1_class class)
{
    return (h1_classes[byte] & class) != 0;
}

/* Control characters other than HTAB (0x00-0x08, 0x0a-0x1f, 0x7f) among n <= 64 bytes: a bit each.
 * A line end is two of them. */
uint64_t h1_control_mask(const uint8_t *bytes, size_t n);
uint64_t h1_control_mask_scalar(const uint8_t *bytes, size_t n); /* reference */

/* How many bytes at the front of s are of the class H1_TOKEN, or H1_TARGET. */
size_t h1_token_run(struct span s);
size_t h1_target_run(struct span s);

/* The whole lines of a head, in order, without the blank one: where each one's CRLF starts. A few
 * more than there may be fields, so that one too many shows. */
struct h1_lines {
    unsigned count;
    uint16_t end[HTTP_FIELDS_MAX + 2];
    size_t limit; /* TG_OK: behind the blank line. TG_BAD_INPUT: the first illegal byte. TG_TOO_BIG:
                     the written limit */
};
static_assert(HTTP_HEAD_BYTES_MAX <= UINT16_MAX, "offsets of lines fit");

/* Find the lines of a head and its end.
 * from   offset of the start line (behind a skipped empty line).
 * seen   [in, out] no byte in front of it is looked at again while the head is not whole. */
enum tg_err h1_find_lines(struct span bytes, size_t from, size_t *seen, struct h1_lines *lines);

/* Record why a head is refused, once; returns `result`. */
enum tg_err h1_refuse(struct http_head *head, enum tg_err result, size_t offset, const char *error);

/* Parse the start line, without CRLF; `base` is the first byte of the head. */
enum tg_err h1_request_line(struct http_head *head, struct span line, const uint8_t *base);
enum tg_err h1_status_line(struct http_head *head, struct span line, const uint8_t *base);

/* Parse one field line, without CRLF, and append it. */
enum tg_err h1_field_line(struct http_head *head, struct span line, const uint8_t *base);

/* The next element of a comma list (RFC 9110 s5.6.1) without white space around it; empty elements
 * are skipped. False at the end. */
bool h1_list_next(struct span *rest, struct span *element);

/* Check an authority "host[:port]" and split it; false when it is malformed. */
bool h1_split_authority(struct span authority, struct span *host, uint16_t *port);

/* What the fields mean together; fills host, framing, keep_alive and the flags. */
enum tg_err h1_request_meaning(struct http_head *head, const uint8_t *base);
enum tg_err h1_response_meaning(struct http_head *head, enum http_method request_method,
                                const uint8_t *base);

#endif
