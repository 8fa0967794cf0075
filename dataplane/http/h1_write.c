/* SPDX-License-Identifier: BSD-3-Clause
 * Serialising heads and chunk frames. Whatever leaves was parsed first, so nothing is checked again
 * here. Called by proxy. Floor 2: base only.
 */
#include "http/h1.h"

void h1_write_request_line(struct span_writer *w, struct span method, struct span target)
{
    span_write_span(w, method);
    span_write(w, " ", 1);
    span_write_span(w, target);
    span_write(w, " HTTP/1.1\r\n", 11);
}

void h1_write_status_line(struct span_writer *w, unsigned status)
{
    span_write(w, "HTTP/1.1 ", 9);
    span_write_decimal(w, status);
    span_write(w, " ", 1);
    span_write_string(w, http_status_phrase(status));
    span_write(w, "\r\n", 2);
}

void h1_write_field(struct span_writer *w, struct span name, struct span value)
{
    span_write_span(w, name);
    span_write(w, ": ", 2);
    span_write_span(w, value);
    span_write(w, "\r\n", 2);
}

void h1_write_end(struct span_writer *w)
{
    span_write(w, "\r\n", 2);
}

size_t h1_chunk_head(uint8_t out[18], uint64_t n)
{
    unsigned digits = n ? (67u - (unsigned)__builtin_clzll(n)) / 4 : 1;
    for (unsigned i = digits; i-- > 0; n >>= 4)
        out[i] = (uint8_t) "0123456789abcdef"[n & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
