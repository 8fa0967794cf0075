/* SPDX-License-Identifier: BSD-3-Clause
 * Comparing many at once: the few vector instructions of SSE2 that the packet path wants, which every x86-64 has.
 * Floor 0.
 */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include "base/types.h"
#include <emmintrin.h>

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

/* The 32 bytes at a and b, wherever those lie, are the same. */
static inline bool vector_equal32(const void *a, const void *b)
{
    const __m128i *x = a, *y = b;
    __m128i first = _mm_cmpeq_epi8(_mm_loadu_si128(x), _mm_loadu_si128(y));
    __m128i second = _mm_cmpeq_epi8(_mm_loadu_si128(x + 1), _mm_loadu_si128(y + 1));
    return _mm_movemask_epi8(_mm_and_si128(first, second)) == 0xffff;
}

#endif
