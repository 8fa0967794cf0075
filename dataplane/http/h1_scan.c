/* SPDX-License-Identifier: BSD-3-Clause
 * Finding the end of a head and its first illegal byte, 16 bytes at a time (SSE2 is part of every
 * x86-64). The scalar function is the reference that the test compares with. Called by h1_head;
 * knows nothing of what the lines say. Floor 2: base only.
 */
#include "http/h1_parts.h"
#include <emmintrin.h>

#define C(low, high, bits) [low... high] = (bits)
/* tchar that are not alphanumeric: ! # $ % & ' * + - . ^ _ ` | ~ ; '#' is no byte of a target. */
const uint8_t h1_classes[256] = {
    ['!'] = H1_TOKEN | H1_TARGET,
    ['"'] = H1_TARGET,
    ['#'] = H1_TOKEN,
    C('$', '\'', H1_TOKEN | H1_TARGET),
    C('(', ')', H1_TARGET),
    C('*', '+', H1_TOKEN | H1_TARGET),
    [','] = H1_TARGET,
    C('-', '.', H1_TOKEN | H1_TARGET | H1_NAME),
    ['/'] = H1_TARGET,
    C('0', '9', H1_TOKEN | H1_TARGET | H1_NAME | H1_DIGIT | H1_HEX),
    C(':', '@', H1_TARGET),
    C('A', 'F', H1_TOKEN | H1_TARGET | H1_NAME | H1_HEX),
    C('G', 'Z', H1_TOKEN | H1_TARGET | H1_NAME),
    C('[', ']', H1_TARGET),
    ['^'] = H1_TOKEN | H1_TARGET,
    ['_'] = H1_TOKEN | H1_TARGET | H1_NAME,
    ['`'] = H1_TOKEN | H1_TARGET,
    C('a', 'f', H1_TOKEN | H1_TARGET | H1_NAME | H1_HEX),
    C('g', 'z', H1_TOKEN | H1_TARGET | H1_NAME),
    ['{'] = H1_TARGET,
    ['|'] = H1_TOKEN | H1_TARGET,
    ['}'] = H1_TARGET,
    ['~'] = H1_TOKEN | H1_TARGET | H1_NAME,
};
#undef C

size_t h1_scan_control_scalar(const uint8_t *bytes, size_t at, size_t end)
{
    while (at < end && (bytes[at] >= 0x20 ? bytes[at] != 0x7f : bytes[at] == '\t'))
        at++;
    return at;
}

size_t h1_scan_control(const uint8_t *bytes, size_t at, size_t end)
{
    const __m128i last_control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'),
                  delete = _mm_set1_epi8(0x7f);
    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v); /* unsigned v <= 0x1f */
        __m128i hit =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), low), _mm_cmpeq_epi8(v, delete));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (mask)
            return at + (unsigned)__builtin_ctz(mask);
    }
    return h1_scan_control_scalar(bytes, at, end);
}

enum tg_err h1_find_end(struct span bytes, size_t from, size_t *seen, size_t *limit)
{
    size_t end = bytes.len < HTTP_HEAD_BYTES_MAX ? bytes.len : HTTP_HEAD_BYTES_MAX;
    size_t at = *seen > from ? *seen : from;
    size_t line = SIZE_MAX; /* start of the current line; unknown when resumed in its middle */
    if (at == from || (at >= 2 && bytes.data[at - 1] == '\n'))
        line = at;
    for (;;) {
        at = h1_scan_control(bytes.data, at, end);
        *seen = at;
        if (at == end || (bytes.data[at] == '\r' && at + 1 == end))
            break;
        *limit = at;
        if (bytes.data[at] != '\r' || bytes.data[at + 1] != '\n')
            return TG_BAD_INPUT;
        at += 2;
        *seen = at;
        if (line == at - 2) {
            *limit = at;
            return TG_OK;
        }
        line = at;
    }
    *limit = end;
    return end == HTTP_HEAD_BYTES_MAX ? TG_TOO_BIG : TG_AGAIN;
}
