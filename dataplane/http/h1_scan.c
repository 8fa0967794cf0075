/* SPDX-License-Identifier: BSD-3-Clause
 * Finding the lines of a head, its end and its first illegal byte, and runs of token or target
 * bytes, 16 bytes at a time (SSSE3: the build asks for x86-64-v2). The scalar function is the
 * reference that the test compares with. Called by h1_head; knows nothing of what the lines say.
 * Floor 2: base only.
 */
#include "http/h1_parts.h"
#include <tmmintrin.h>

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

static bool is_control(uint8_t c)
{
    return c < 0x20 ? c != '\t' : c == 0x7f;
}

uint64_t h1_control_mask_scalar(const uint8_t *bytes, size_t n)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < n; i++)
        mask |= (uint64_t)is_control(bytes[i]) << i;
    return mask;
}

static uint64_t control_mask16(const uint8_t *bytes)
{
    const __m128i last_control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'),
                  delete = _mm_set1_epi8(0x7f);
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v); /* unsigned v <= 0x1f */
    __m128i hit =
        _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), low), _mm_cmpeq_epi8(v, delete));
    return (uint64_t)(unsigned)_mm_movemask_epi8(hit);
}

uint64_t h1_control_mask(const uint8_t *bytes, size_t n)
{
    uint64_t mask = 0;
    size_t at = 0;
    for (; n - at >= 16; at += 16)
        mask |= control_mask16(bytes + at) << at;
    return at < n ? mask | h1_control_mask_scalar(bytes + at, n - at) << at : mask;
}

/* Runs of a class, 16 bytes at a time. table[low nibble] has a bit per high nibble (0-7) that
 * together make a byte of the class; bytes from 0x80 on are in none. The test compares with
 * h1_classes. */
static size_t class_run(const uint8_t table[16], enum h1_class class, struct span s)
{
    const __m128i low_table = _mm_loadu_si128((const __m128i *)(const void *)table);
    const __m128i high_table =
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i nibble = _mm_set1_epi8(0x0f);
    size_t at = 0;
    for (; s.len - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.data + at));
        __m128i low = _mm_shuffle_epi8(low_table, _mm_and_si128(v, nibble));
        __m128i high = _mm_shuffle_epi8(high_table, _mm_and_si128(_mm_srli_epi16(v, 4), nibble));
        __m128i none = _mm_cmpeq_epi8(_mm_and_si128(low, high), _mm_setzero_si128());
        unsigned mask = (unsigned)_mm_movemask_epi8(none);
        if (mask)
            return at + (unsigned)__builtin_ctz(mask);
    }
    while (at < s.len && h1_is(s.data[at], class))
        at++;
    return at;
}

size_t h1_token_run(struct span s)
{
    static const uint8_t table[16] = {0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc,
                                      0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70};
    return class_run(table, H1_TOKEN, s);
}

size_t h1_target_run(struct span s)
{
    static const uint8_t table[16] = {0xf8, 0xfc, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc,
                                      0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0x7c};
    return class_run(table, H1_TARGET, s);
}

/* One scan from `at`, which starts a line when `line` says so. Blocks of 64 bytes become masks: the
 * line ends in them are found without a branch per byte that depends on the bytes. */
static enum tg_err scan_lines(struct span bytes, size_t at, size_t line, size_t end,
                              struct h1_lines *lines)
{
    size_t line_feed = SIZE_MAX; /* one that belongs to a carriage return already seen */
    for (; at < end; at += 64) {
        uint64_t mask = h1_control_mask(bytes.data + at, end - at < 64 ? end - at : 64);
        for (; mask; mask &= mask - 1) {
            size_t here = at + (unsigned)__builtin_ctzll(mask);
            if (here == line_feed)
                continue;
            lines->limit = here;
            if (bytes.data[here] == '\r' && here + 1 == end)
                return TG_AGAIN;
            if (bytes.data[here] != '\r' || bytes.data[here + 1] != '\n')
                return TG_BAD_INPUT;
            line_feed = here + 1;
            if (here == line) {
                lines->limit = here + 2;
                return TG_OK;
            }
            line = here + 2;
            if (lines->count < TG_ARRAY_LEN(lines->end))
                lines->end[lines->count++] = (uint16_t)here;
        }
    }
    lines->limit = end;
    return TG_AGAIN;
}

enum tg_err h1_find_lines(struct span bytes, size_t from, size_t *seen, struct h1_lines *lines)
{
    size_t end = bytes.len < HTTP_HEAD_BYTES_MAX ? bytes.len : HTTP_HEAD_BYTES_MAX;
    size_t at = *seen > from ? *seen : from;
    bool starts_line = at == from || bytes.data[at - 1] == '\n';
    lines->count = 0;
    enum tg_err err = scan_lines(bytes, at, starts_line ? at : SIZE_MAX, end, lines);
    *seen = lines->limit;
    if (err == TG_AGAIN && end < HTTP_HEAD_BYTES_MAX)
        return TG_AGAIN;
    if (at > from) { /* it came in pieces: once more from the beginning, for all its lines */
        lines->count = 0;
        err = scan_lines(bytes, from, from, end, lines);
    }
    return err == TG_AGAIN ? TG_TOO_BIG : err;
}
