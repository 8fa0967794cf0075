/* SPDX-License-Identifier: BSD-3-Clause
 * TCP options: see tcp_options.h. Formats: RFC 9293 s3.1 (EOL, NOP, MSS), RFC 7323 s2.2 and s3.2
 * (window scale, timestamps), RFC 2018 s2 and s3 (SACK).
 */
#include "tcp/tcp_options.h"
#include "net/wire.h"

enum tcp_option_kind {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_WSCALE = 3,
    OPT_SACK_PERMITTED = 4,
    OPT_SACK = 5,
    OPT_TIMESTAMPS = 8,
};

/* One option's value; false when its length is wrong or it came before. */
static bool option_take(struct tcp_options *o, uint8_t kind, const uint8_t *value, size_t len)
{
    switch (kind) {
    case OPT_MSS:
        if (len != 2 || o->has_mss)
            return false;
        o->has_mss = true;
        o->mss = wire_get16(value);
        return true;
    case OPT_WSCALE:
        if (len != 1 || o->has_wscale)
            return false;
        o->has_wscale = true;
        o->wscale = value[0] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : value[0];
        return true;
    case OPT_SACK_PERMITTED:
        if (len != 0 || o->sack_permitted)
            return false;
        o->sack_permitted = true;
        return true;
    case OPT_TIMESTAMPS:
        if (len != 8 || o->has_timestamps)
            return false;
        o->has_timestamps = true;
        o->ts_value = wire_get32(value);
        o->ts_echo = wire_get32(value + 4);
        return true;
    case OPT_SACK:
        if (len == 0 || len % 8 != 0 || len > 8 * TCP_SACK_BLOCKS_MAX || o->sack_count)
            return false;
        for (; len; len -= 8, value += 8) {
            o->sack[o->sack_count].left = wire_get32(value);
            o->sack[o->sack_count].right = wire_get32(value + 4);
            o->sack_count++;
        }
        return true;
    default:
        return true;
    }
}

bool tcp_options_parse(struct span bytes, struct tcp_options *out)
{
    memset(out, 0, sizeof *out);
    if (bytes.len > TCP_OPTIONS_MAX)
        return false;
    struct span_reader r = span_reader_make(bytes);
    while (span_reader_left(&r)) {
        uint8_t kind = span_read_u8(&r);
        if (kind == OPT_END)
            return true; /* what follows is padding */
        if (kind == OPT_NOP)
            continue;
        uint8_t len = span_read_u8(&r);
        if (!r.ok || len < 2)
            return false;
        const uint8_t *value = span_read(&r, len - 2u);
        if (!r.ok || !option_take(out, kind, value, len - 2u))
            return false;
    }
    return true;
}

static uint8_t *emit_timestamps(uint8_t *p, const struct tcp_options *o)
{
    *p++ = OPT_TIMESTAMPS;
    *p++ = 10;
    wire_put32(p, o->ts_value);
    wire_put32(p + 4, o->ts_echo);
    return p + 8;
}

static uint8_t *emit_nops(uint8_t *p, unsigned n)
{
    memset(p, OPT_NOP, n);
    return p + n;
}

static uint8_t *emit_sack(uint8_t *p, const struct tcp_options *o, unsigned room)
{
    unsigned n = room < 4 ? 0 : (room - 4) / 8;
    if (n > o->sack_count)
        n = o->sack_count;
    if (n == 0)
        return p;
    p = emit_nops(p, 2);
    *p++ = OPT_SACK;
    *p++ = (uint8_t)(2 + 8 * n);
    for (unsigned i = 0; i < n; i++, p += 8) {
        wire_put32(p, o->sack[i].left);
        wire_put32(p + 4, o->sack[i].right);
    }
    return p;
}

unsigned tcp_options_emit(const struct tcp_options *o, uint8_t *out, unsigned room)
{
    tg_assert(room <= TCP_OPTIONS_MAX && room % 4 == 0);
    uint8_t *p = out;
    if (o->has_mss) {
        *p++ = OPT_MSS;
        *p++ = 4;
        wire_put16(p, o->mss);
        p += 2;
    }
    if (o->sack_permitted) {
        if (!o->has_timestamps)
            p = emit_nops(p, 2);
        *p++ = OPT_SACK_PERMITTED;
        *p++ = 2;
    }
    if (o->has_timestamps) {
        if (!o->sack_permitted)
            p = emit_nops(p, 2);
        p = emit_timestamps(p, o);
    }
    if (o->has_wscale) {
        p = emit_nops(p, 1);
        *p++ = OPT_WSCALE;
        *p++ = 3;
        *p++ = o->wscale;
    }
    if (o->sack_count && room > (unsigned)(p - out))
        p = emit_sack(p, o, room - (unsigned)(p - out));
    tg_assert((p - out) % 4 == 0 && (unsigned)(p - out) <= room);
    return (unsigned)(p - out);
}
