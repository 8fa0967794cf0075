/* SPDX-License-Identifier: BSD-3-Clause
 * HTTP/1.1 on spans: strict head parser, body framing, serialisation. Never forwards received bytes
 * of a head: they are parsed and written anew (RFC 9112). CRLF only, no obs-fold, no white space
 * before the colon, one Host, one Content-Length, Transfer-Encoding only "chunked" and never beside
 * Content-Length. No state but what the caller holds; no copies. Floor 2: base only.
 */
#ifndef DATAPLANE_HTTP_H1_H
#define DATAPLANE_HTTP_H1_H

#include "http/message.h"

/* Parse a request head that starts at bytes[0].
 * bytes  contiguous, at least as long as at the call before; the spans in *head point into it.
 * seen   [in, out] bytes searched for the end so far; 0 at first: no byte is searched twice.
 * TG_OK: *head is complete. TG_AGAIN: the blank line has not arrived. TG_BAD_INPUT, TG_TOO_BIG
 * (431 or 414), TG_UNSUPPORTED (505: version; 501: unknown transfer coding): head->error,
 * error_offset, raw line and the fields found so far are set, for WAF and log; such a head is never
 * forwarded. Of empty lines in front of a request line (RFC 9112 s2.2) at most one is skipped. */
enum tg_err h1_parse_request(struct span bytes, size_t *seen, struct http_head *head);

/* The same for a response to a request of method `request_method` (HEAD and 1xx, 204, 304 have
 * no body). */
enum tg_err h1_parse_response(struct span bytes, size_t *seen, enum http_method request_method,
                              struct http_head *head);

/* The HTTP status for a refused request: 400, 414, 431, 501, 505. */
unsigned h1_refusal_status(enum tg_err result, const struct http_head *head);

/* Body framing: tells payload from framing in a stream of bytes. */
struct h1_body {
    enum http_framing framing;
    uint64_t left; /* payload bytes still to come: of the body (sized) or of the chunk */
    uint8_t state; /* of the chunk grammar */
    uint16_t line; /* bytes of the current chunk line or trailer line: limited */
    uint16_t trailer_bytes;
    bool done;
};
void h1_body_start(struct h1_body *body, const struct http_head *head);

/* Look at the next bytes.
 * consumed  [out] bytes of `bytes` that are done with, framing included.
 * payload   [out] the part of those bytes that is payload (contiguous; may be empty).
 * TG_OK: go on (call again with the rest, if any). TG_END: the body is complete (bytes behind it
 * are not consumed). TG_AGAIN: all consumed, more must come. TG_BAD_INPUT: broken chunk grammar. */
enum tg_err h1_body_next(struct h1_body *body, struct span bytes, size_t *consumed,
                         struct span *payload);

/* Serialise into a writer; an overflow shows in writer.ok. */
void h1_write_request_line(struct span_writer *w, struct span method, struct span target);
void h1_write_status_line(struct span_writer *w, unsigned status); /* HTTP/1.1, own phrase */
void h1_write_field(struct span_writer *w, struct span name, struct span value);
void h1_write_end(struct span_writer *w); /* blank line */

/* Frame for a chunk of n payload bytes: "5a8\r\n", at most 18 bytes; returns its length. */
size_t h1_chunk_head(uint8_t out[18], uint64_t n);

/* True for fields that belong to one connection and are never forwarded: Connection and whatever it
 * names, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade, Proxy-Authenticate,
 * Proxy-Authorization, Content-Length (written anew from the framing). Only of heads that
 * parsed. */
static inline bool h1_is_hop_by_hop(const struct http_head *head, unsigned field_index)
{
    return (head->hop_by_hop[field_index / 64] >> field_index % 64 & 1) != 0;
}

#endif
