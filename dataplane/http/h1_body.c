/* SPDX-License-Identifier: BSD-3-Clause
 * Body framing (RFC 9112 s6, s7.1): a byte-wise state machine for the chunk grammar that hands
 * payload out in whole pieces. Extensions and trailers are checked, limited and dropped. Called by
 * proxy; it never copies and never looks at payload. Floor 2: base only.
 */
#include "http/h1_parts.h"

#define CHUNK_LINE_BYTES_MAX  256 /* size, extension and CRLF of one chunk */
#define CHUNK_SIZE_DIGITS_MAX 16  /* 64 bits */
#define TRAILER_BYTES_MAX     4096

enum chunk_state {
    CHUNK_SIZE_FIRST, /* at least one digit */
    CHUNK_SIZE,
    CHUNK_EXT_NAME_FIRST, /* behind ';' */
    CHUNK_EXT_NAME,
    CHUNK_EXT_VALUE_FIRST, /* behind '=' */
    CHUNK_EXT_VALUE,
    CHUNK_EXT_QUOTED,
    CHUNK_EXT_ESCAPED, /* behind '\\' in quotes */
    CHUNK_EXT_END,     /* behind the closing quote */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_FIRST, /* start of a line behind the last chunk */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_BROKEN,
};

void h1_body_start(struct h1_body *body, const struct http_head *head)
{
    *body = (struct h1_body){.framing = head->framing, .state = CHUNK_SIZE_FIRST};
    if (head->framing == HTTP_SIZED)
        body->left = head->content_length;
    body->done = head->framing == HTTP_NO_BODY || (head->framing == HTTP_SIZED && !body->left);
}

static unsigned hex_value(uint8_t c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static enum chunk_state extension_or_end(uint8_t c)
{
    return c == ';' ? CHUNK_EXT_NAME_FIRST : c == '\r' ? CHUNK_SIZE_LF : CHUNK_BROKEN;
}

/* RFC 9112 s7.1.1 without its optional white space, which nobody sends: ;name, ;name=token,
 * ;name="quoted". */
static enum chunk_state extension_step(enum chunk_state state, uint8_t c)
{
    switch (state) {
    case CHUNK_EXT_NAME_FIRST:
        return h1_is(c, H1_TOKEN) ? CHUNK_EXT_NAME : CHUNK_BROKEN;
    case CHUNK_EXT_NAME:
        return h1_is(c, H1_TOKEN) ? state : c == '=' ? CHUNK_EXT_VALUE_FIRST : extension_or_end(c);
    case CHUNK_EXT_VALUE_FIRST:
        if (c == '"')
            return CHUNK_EXT_QUOTED;
        return h1_is(c, H1_TOKEN) ? CHUNK_EXT_VALUE : CHUNK_BROKEN;
    case CHUNK_EXT_VALUE:
        return h1_is(c, H1_TOKEN) ? state : extension_or_end(c);
    case CHUNK_EXT_QUOTED:
        if (c == '"')
            return CHUNK_EXT_END;
        return c == '\\' ? CHUNK_EXT_ESCAPED : is_text(c) ? state : CHUNK_BROKEN;
    case CHUNK_EXT_ESCAPED:
        return is_text(c) ? CHUNK_EXT_QUOTED : CHUNK_BROKEN;
    default: /* CHUNK_EXT_END */
        return extension_or_end(c);
    }
}

/* The size line. Nothing but a ';' may follow the digits: white space there is read differently by
 * different parsers. Returns the next state. */
static enum chunk_state size_step(struct h1_body *body, uint8_t c)
{
    if (++body->line > CHUNK_LINE_BYTES_MAX)
        return CHUNK_BROKEN;
    switch ((enum chunk_state)body->state) {
    case CHUNK_SIZE_FIRST:
        body->left = 0;
        /* fall through */
    case CHUNK_SIZE:
        if (h1_is(c, H1_HEX)) {
            body->left = body->left << 4 | hex_value(c);
            return body->line <= CHUNK_SIZE_DIGITS_MAX ? CHUNK_SIZE : CHUNK_BROKEN;
        }
        return body->state == CHUNK_SIZE_FIRST ? CHUNK_BROKEN : extension_or_end(c);
    case CHUNK_SIZE_LF:
        body->line = 0;
        if (c != '\n')
            return CHUNK_BROKEN;
        return body->left ? CHUNK_DATA : CHUNK_TRAILER_FIRST;
    default:
        return extension_step((enum chunk_state)body->state, c);
    }
}

static enum chunk_state trailer_step(struct h1_body *body, uint8_t c)
{
    if (++body->trailer_bytes > TRAILER_BYTES_MAX)
        return CHUNK_BROKEN;
    switch ((enum chunk_state)body->state) {
    case CHUNK_TRAILER_FIRST:
        if (c == '\r')
            return CHUNK_END_LF;
        return h1_is(c, H1_TOKEN) ? CHUNK_TRAILER_NAME : CHUNK_BROKEN;
    case CHUNK_TRAILER_NAME:
        return h1_is(c, H1_TOKEN) ? CHUNK_TRAILER_NAME
               : c == ':'         ? CHUNK_TRAILER_VALUE
                                  : CHUNK_BROKEN;
    case CHUNK_TRAILER_VALUE:
        return c == '\r' ? CHUNK_TRAILER_LF : is_text(c) ? CHUNK_TRAILER_VALUE : CHUNK_BROKEN;
    case CHUNK_TRAILER_LF:
        return c == '\n' ? CHUNK_TRAILER_FIRST : CHUNK_BROKEN;
    default: /* CHUNK_END_LF */
        if (c != '\n')
            return CHUNK_BROKEN;
        body->done = true;
        return CHUNK_END_LF;
    }
}

static enum chunk_state chunk_step(struct h1_body *body, uint8_t c)
{
    if (body->state <= CHUNK_SIZE_LF)
        return size_step(body, c);
    switch ((enum chunk_state)body->state) {
    case CHUNK_DATA_CR:
        return c == '\r' ? CHUNK_DATA_LF : CHUNK_BROKEN;
    case CHUNK_DATA_LF:
        return c == '\n' ? CHUNK_SIZE_FIRST : CHUNK_BROKEN;
    case CHUNK_BROKEN:
    case CHUNK_DATA: /* not reached: payload is taken whole */
        return CHUNK_BROKEN;
    default:
        return trailer_step(body, c);
    }
}

static enum tg_err chunked_next(struct h1_body *body, struct span bytes, size_t *consumed,
                                struct span *payload)
{
    size_t at = 0;
    while (at < bytes.len && body->state != CHUNK_DATA && !body->done) {
        body->state = (uint8_t)chunk_step(body, bytes.data[at]);
        if (body->state == CHUNK_BROKEN) {
            *consumed = at;
            return TG_BAD_INPUT;
        }
        at++;
    }
    if (body->state == CHUNK_DATA && at < bytes.len) {
        *payload = span_slice(bytes, at, body->left < bytes.len ? (size_t)body->left : bytes.len);
        body->left -= payload->len;
        at += payload->len;
        if (!body->left)
            body->state = CHUNK_DATA_CR;
    }
    *consumed = at;
    return body->done ? TG_END : payload->len ? TG_OK : TG_AGAIN;
}

enum tg_err h1_body_next(struct h1_body *body, struct span bytes, size_t *consumed,
                         struct span *payload)
{
    *consumed = 0;
    *payload = SPAN_EMPTY;
    if (body->done)
        return TG_END;
    if (body->framing == HTTP_CHUNKED)
        return chunked_next(body, bytes, consumed, payload);
    if (bytes.len == 0)
        return TG_AGAIN;
    *payload = bytes;
    if (body->framing == HTTP_SIZED) {
        *payload = span_slice(bytes, 0, body->left < bytes.len ? (size_t)body->left : bytes.len);
        body->left -= payload->len;
        body->done = body->left == 0;
    }
    *consumed = payload->len;
    return body->done ? TG_END : TG_OK;
}
