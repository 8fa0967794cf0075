/* SPDX-License-Identifier: BSD-3-Clause
 * Comparing many at once: the few vector instructions of SSE4.1 that the packet path wants.
 * Floor 0.
 */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include "base/types.h"
#include <smmintrin.h>
#include <string.h>

/* Bit i is set where lanes[i] is `wanted`. lanes lies on a multiple of 16 bytes. */
static inline unsigned vector_match8(const uint32_t lanes[8], uint32_t wanted)
{
    const __m128i *v = (const __m128i *)(const void *)lanes;
    __m128i all = _mm_set1_epi32((int)wanted);
    __m128i low = _mm_cmpeq_epi32(_mm_load_si128(v), all);
    __m128i high = _mm_cmpeq_epi32(_mm_load_si128(v + 1), all);
    __m128i bytes = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
    return (unsigned)_mm_movemask_epi8(bytes);
}

/* The 36 bytes at a and b, wherever those lie, are the same. */
static inline bool vector_equal36(const void *a, const void *b)
{
    const __m128i *x = a, *y = b;
    uint32_t last_x, last_y;
    memcpy(&last_x, x + 2, sizeof last_x);
    memcpy(&last_y, y + 2, sizeof last_y);
    __m128i last = _mm_cvtsi32_si128((int)(last_x ^ last_y));
    __m128i first = _mm_xor_si128(_mm_loadu_si128(x), _mm_loadu_si128(y));
    __m128i second = _mm_xor_si128(_mm_loadu_si128(x + 1), _mm_loadu_si128(y + 1));
    __m128i all = _mm_or_si128(_mm_or_si128(first, second), last);
    return _mm_testz_si128(all, all);
}

#endif
