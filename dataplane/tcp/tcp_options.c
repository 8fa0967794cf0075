/* SPDX-License-Identifier: BSD-3-Clause
 * TCP options: see tcp_options.h. Formats: RFC 9293 s3.1 (EOL, NOP, MSS), RFC 7323 s2.2 and s3.2
 * (window scale, timestamps), RFC 2018 s2 and s3 (SACK).
 */
#include "tcp/tcp_options.h"
#include "net/wire.h"

/* One option's value; false when its length is wrong or it came before. */
static bool option_take(struct tcp_options *o, uint8_t kind, const uint8_t *value, size_t len)
{
    switch (kind) {
    case TCP_OPTION_MSS:
        if (len != 2 || o->has_mss)
            return false;
        o->has_mss = true;
        o->mss = wire_get16(value);
        return true;
    case TCP_OPTION_WSCALE:
        if (len != 1 || o->has_wscale)
            return false;
        o->has_wscale = true;
        o->wscale = value[0] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : value[0];
        return true;
    case TCP_OPTION_SACK_PERMITTED:
        if (len != 0 || o->sack_permitted)
            return false;
        o->sack_permitted = true;
        return true;
    case TCP_OPTION_TIMESTAMPS:
        if (len != 8 || o->has_timestamps)
            return false;
        o->has_timestamps = true;
        o->ts_value = wire_get32(value);
        o->ts_echo = wire_get32(value + 4);
        return true;
    case TCP_OPTION_SACK:
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

/* Two NOPs and timestamps, nothing else: what nearly every segment of a connection has (RFC 7323 appendix A). */
static bool timestamps_alone(struct span bytes, struct tcp_options *out)
{
    static const uint8_t head[4] = {TCP_OPTION_NOP, TCP_OPTION_NOP, TCP_OPTION_TIMESTAMPS, 10};
    enum { ALONE = 12 };
    if (bytes.len != ALONE || memcmp(bytes.data, head, sizeof head) != 0)
        return false;
    out->has_timestamps = true;
    out->ts_value = wire_get32(bytes.data + 4);
    out->ts_echo = wire_get32(bytes.data + 8);
    return true;
}

bool tcp_options_parse(struct span bytes, struct tcp_options *out)
{
    memset(out, 0, sizeof *out);
    if (timestamps_alone(bytes, out))
        return true;
    if (bytes.len > TCP_OPTIONS_MAX)
        return false;
    struct span_reader r = span_reader_make(bytes);
    while (span_reader_left(&r)) {
        uint8_t kind = span_read_u8(&r);
        if (kind == TCP_OPTION_END)
            return true; /* what follows is padding */
        if (kind == TCP_OPTION_NOP)
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

/* --- writing ------------------------------------------------------------------------------------------- */

/* A bit for each kind that is to be written. */
static uint32_t options_present(const struct tcp_options *o)
{
    return (uint32_t)o->has_mss << TCP_OPTION_MSS | (uint32_t)o->has_wscale << TCP_OPTION_WSCALE |
           (uint32_t)o->sack_permitted << TCP_OPTION_SACK_PERMITTED |
           (uint32_t)(o->sack_count > 0) << TCP_OPTION_SACK |
           (uint32_t)o->has_timestamps << TCP_OPTION_TIMESTAMPS;
}

static uint8_t *emit_fill(uint8_t *p, uint8_t kind, unsigned n)
{
    memset(p, kind, n);
    return p + n;
}

static uint8_t *emit_kind(uint8_t *p, uint8_t kind, unsigned value_bytes)
{
    *p++ = kind;
    *p++ = (uint8_t)(2 + value_bytes);
    return p;
}

static uint8_t *emit_option(uint8_t *p, const struct tcp_options *o, uint8_t kind)
{
    switch (kind) {
    case TCP_OPTION_MSS:
        p = emit_kind(p, kind, 2);
        wire_put16(p, o->mss);
        return p + 2;
    case TCP_OPTION_WSCALE:
        p = emit_kind(p, kind, 1);
        *p = o->wscale;
        return p + 1;
    case TCP_OPTION_SACK_PERMITTED:
        return emit_kind(p, kind, 0);
    default:
        p = emit_kind(p, TCP_OPTION_TIMESTAMPS, 8);
        wire_put32(p, o->ts_value);
        wire_put32(p + 4, o->ts_echo);
        return p + 8;
    }
}

/* As many blocks as there is room for behind the kind, the length and their padding. */
static uint8_t *emit_sack(uint8_t *p, const struct tcp_options *o, unsigned padding, unsigned room)
{
    unsigned n = room < padding + 2 ? 0 : (room - padding - 2) / 8;
    if (n > o->sack_count)
        n = o->sack_count;
    if (n == 0)
        return p;
    p = emit_fill(p, TCP_OPTION_NOP, padding);
    p = emit_kind(p, TCP_OPTION_SACK, 8 * n);
    for (unsigned i = 0; i < n; i++, p += 8) {
        wire_put32(p, o->sack[i].left);
        wire_put32(p + 4, o->sack[i].right);
    }
    return p;
}

/* NOPs in front of an option that would start at `at`. */
static unsigned place_padding(const struct tcp_option_order *order,
                              const struct tcp_option_place *place, const struct tcp_options *o,
                              unsigned at)
{
    if (order->sack_permitted_pairs && place->kind == TCP_OPTION_SACK_PERMITTED &&
        o->has_timestamps)
        return 0;
    return (place->residue - at) & (place->modulus - 1u); /* a power of two: no division */
}

unsigned tcp_options_emit_in(const struct tcp_option_order *order, const struct tcp_options *o,
                             uint8_t *out, unsigned room)
{
    tg_assert(room <= TCP_OPTIONS_MAX && room % 4 == 0);
    uint8_t *p = out;
    uint32_t present = options_present(o);
    for (unsigned i = 0; i < TG_ARRAY_LEN(order->places) && order->places[i].kind; i++) {
        const struct tcp_option_place *place = &order->places[i];
        unsigned used = (unsigned)(p - out);
        if (!(present >> (place->kind & 31) & 1))
            continue;
        unsigned padding = place_padding(order, place, o, used);
        if (place->kind == TCP_OPTION_SACK) {
            p = emit_sack(p, o, padding, room - used);
            continue;
        }
        p = emit_fill(p, TCP_OPTION_NOP, padding);
        p = emit_option(p, o, place->kind);
        tg_assert((unsigned)(p - out) <= room);
    }
    p = emit_fill(p, order->padding, (4 - (unsigned)(p - out) % 4) % 4);
    tg_assert((unsigned)(p - out) <= room);
    return (unsigned)(p - out);
}

unsigned tcp_options_emit(const struct tcp_options *o, uint8_t *out, unsigned room)
{
    static const struct tcp_option_order linux_order = TCP_ORDER_LINUX;
    return tcp_options_emit_in(&linux_order, o, out, room);
}
