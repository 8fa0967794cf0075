/* SPDX-License-Identifier: BSD-3-Clause
 * Borrowed bytes with checked readers and writers. A span never owns; it is valid for the call that
 * it is passed to unless a comment says longer. Used by every parser. Floor 0.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include "base/types.h"
#include <string.h>

struct span {
    const uint8_t *data; /* may be NULL only when len is 0 */
    size_t len;          /* bytes */
};

#define SPAN_LITERAL(s) ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
#define SPAN_EMPTY      ((struct span){NULL, 0})

static inline struct span span_make(const void *data, size_t len)
{
    return (struct span){(const uint8_t *)data, len};
}

static inline struct span span_from_string(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

/* The part of s from offset on, at most len bytes: clamped, never out of range. */
static inline struct span span_slice(struct span s, size_t offset, size_t len)
{
    if (offset > s.len)
        offset = s.len;
    if (len > s.len - offset)
        len = s.len - offset;
    return (struct span){s.data ? s.data + offset : NULL, len};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline uint8_t span_lower_byte(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

/* Equal without regard to ASCII case (field names, host names). */
static inline bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (span_lower_byte(a.data[i]) != span_lower_byte(b.data[i]))
            return false;
    return true;
}

/* A reader walks a span and never past its end. After the first short read `ok` stays false and
 * every later read yields 0, so a parser checks once, at the end of a header. */
struct span_reader {
    const uint8_t *at, *end;
    bool ok;
};

static inline struct span_reader span_reader_make(struct span s)
{
    return (struct span_reader){s.data, s.data ? s.data + s.len : NULL, true};
}

static inline size_t span_reader_left(const struct span_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* The next n bytes, borrowed; NULL and ok = false when fewer are left. */
static inline const uint8_t *span_read(struct span_reader *r, size_t n)
{
    if (!r->ok || span_reader_left(r) < n) {
        r->ok = false;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

static inline uint8_t span_read_u8(struct span_reader *r)
{
    const uint8_t *p = span_read(r, 1);
    return p ? p[0] : 0;
}

static inline uint16_t span_read_be16(struct span_reader *r)
{
    const uint8_t *p = span_read(r, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t span_read_be32(struct span_reader *r)
{
    const uint8_t *p = span_read(r, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/* A writer appends to a caller's array; after the first overflow `ok` stays false and nothing more
 * is written, so `len` is always what was really written. */
struct span_writer {
    uint8_t *data;
    size_t len, cap;
    bool ok;
};

static inline struct span_writer span_writer_make(void *data, size_t cap)
{
    return (struct span_writer){(uint8_t *)data, 0, cap, true};
}

static inline void span_write(struct span_writer *w, const void *bytes, size_t n)
{
    if (!w->ok || w->cap - w->len < n) {
        w->ok = false;
        return;
    }
    if (n)
        memcpy(w->data + w->len, bytes, n);
    w->len += n;
}

static inline void span_write_span(struct span_writer *w, struct span s)
{
    span_write(w, s.data, s.len);
}

static inline void span_write_string(struct span_writer *w, const char *s)
{
    span_write(w, s, strlen(s));
}

/* Decimal digits of v, without sign or leading zeros. */
static inline void span_write_decimal(struct span_writer *w, uint64_t v)
{
    char digits[20];
    size_t n = sizeof digits;
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    span_write(w, digits + n, sizeof digits - n);
}

static inline struct span span_writer_span(const struct span_writer *w)
{
    return (struct span){w->data, w->len};
}

#endif
