/* SPDX-License-Identifier: BSD-3-Clause
 * The bytes that applications send: a function of stream and offset, so that any piece is checked
 * without remembering what was sent. Sizes that find edges.
 */
#include "tests/sim/sim.h"

/* Eight bytes of the stream at a time (the finaliser of splitmix64). */
static uint64_t stream_word(uint64_t stream, uint64_t index)
{
    uint64_t z = stream * 0x9e3779b97f4a7c15 + index * 0xd1342543de82ef95 + 1;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint8_t stream_byte(uint64_t stream, uint64_t offset)
{
    return (uint8_t)(stream_word(stream, offset / 8) >> (8 * (offset % 8)));
}

void sim_stream_fill(uint64_t stream, uint64_t offset, uint8_t *out, size_t n)
{
    size_t i = 0;
    for (; i < n && (offset + i) % 8; i++)
        out[i] = stream_byte(stream, offset + i);
    for (; i + 8 <= n; i += 8) {
        uint64_t word = stream_word(stream, (offset + i) / 8);
        memcpy(out + i, &word, 8);
    }
    for (; i < n; i++)
        out[i] = stream_byte(stream, offset + i);
}

size_t sim_stream_check(uint64_t stream, uint64_t offset, const uint8_t *bytes, size_t n)
{
    uint8_t want[512];
    for (size_t at = 0; at < n;) {
        size_t piece = n - at < sizeof want ? n - at : sizeof want;
        sim_stream_fill(stream, offset + at, want, piece);
        if (memcmp(want, bytes + at, piece) != 0) {
            while (*(bytes + at) == stream_byte(stream, offset + at))
                at++;
            return at;
        }
        at += piece;
    }
    return n;
}

uint64_t sim_draw_size(struct prng *rng, uint64_t max)
{
    static const uint64_t edges[] = {0,    1,    536,  1220,  1440,  1448,
                                     1460, 2896, 4096, 16384, 65535, 65536};
    uint64_t size = sim_chance(rng, 25)
                        ? edges[prng_below(rng, TG_ARRAY_LEN(edges))] + prng_below(rng, 3)
                        : prng_below(rng, prng_below(rng, max + 1) + 1);
    return size < max ? size : max;
}
