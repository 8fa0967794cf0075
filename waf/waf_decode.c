/* SPDX-License-Identifier: BSD-3-Clause
 * See waf_decode.h. Called for every byte of bodies: no allocation, no tables beyond a few
 * compares.
 */
#include "waf/waf_decode.h"

/* Value of a hex digit, or 16 or more for anything else. */
static unsigned hex_value(uint8_t c)
{
    unsigned digit = (unsigned)c - '0';
    if (digit < 10)
        return digit;
    unsigned letter = ((unsigned)c | 0x20) - 'a';
    return letter < 6 ? letter + 10 : 16;
}

/* A byte that does not stand inside an escape. */
static unsigned decode_plain(struct waf_decode *d, uint8_t byte, bool plus_is_space, uint8_t *out)
{
    if (byte == '%') {
        d->held = 1;
        return 0;
    }
    out[0] = byte == '+' && plus_is_space ? ' ' : byte;
    return 1;
}

unsigned waf_decode_byte(struct waf_decode *d, uint8_t byte, bool plus_is_space, uint8_t *out)
{
    if (TG_LIKELY(d->held == 0))
        return decode_plain(d, byte, plus_is_space, out);
    unsigned value = hex_value(byte);
    if (value > 15) {
        unsigned n = waf_decode_end(d, out);
        return n + decode_plain(d, byte, plus_is_space, out + n);
    }
    if (d->held == 1) {
        d->held = 2;
        d->high = byte;
        return 0;
    }
    out[0] = (uint8_t)(hex_value(d->high) << 4 | value);
    d->held = 0;
    return 1;
}

unsigned waf_decode_end(struct waf_decode *d, uint8_t *out)
{
    unsigned n = d->held;
    if (n > 0)
        out[0] = '%';
    if (n > 1)
        out[1] = d->high;
    d->held = 0;
    return n;
}

bool waf_decode_changes(struct span value, bool plus_is_space)
{
    if (value.len == 0)
        return false;
    return memchr(value.data, '%', value.len) ||
           (plus_is_space && memchr(value.data, '+', value.len));
}

size_t waf_decode_value(struct span value, bool plus_is_space, uint8_t *out)
{
    struct waf_decode d = {0};
    size_t n = 0;
    for (size_t i = 0; i < value.len; i++)
        n += waf_decode_byte(&d, value.data[i], plus_is_space, out + n);
    return n + waf_decode_end(&d, out + n);
}
