/* SPDX-License-Identifier: BSD-3-Clause
 * A middlebox that cuts TCP segments: two segments of the same bytes, which may overlap. Legal for a
 * network to do, and the only way that two of our own stacks ever see partial overlaps. Called by path.c.
 */
#include "tests/sim/frame.h"
#include "tests/sim/sim.h"

/* A copy of the frame with payload bytes [from, to) only. */
static size_t part_make(struct span frame, const struct sim_layout *l, size_t from, size_t to,
                        uint8_t *out)
{
    size_t n = to - from;
    memcpy(out, frame.data, l->payload);
    memcpy(out + l->payload, frame.data + l->payload + from, n);
    uint8_t *tcp = out + l->tcp;
    wire_put32(tcp + 4, wire_get32(tcp + 4) + (uint32_t)from);
    if (l->payload + to < l->end)
        tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    sim_checksums_put(out, l, l->payload + n);
    return l->payload + n;
}

bool sim_resegment(struct prng *rng, struct span frame, uint8_t *first, size_t *first_len,
                   uint8_t *second, size_t *second_len)
{
    struct sim_layout l;
    if (!sim_layout_find(frame, &l) || l.end - l.payload < 2 ||
        frame.data[l.tcp + 13] & (TCP_SYN | TCP_RST))
        return false;
    size_t n = l.end - l.payload;
    size_t begin = prng_below(rng, n);                   /* of the second part */
    size_t end = begin + prng_below(rng, n - begin + 1); /* of the first part: >= begin */
    if (end == 0)
        end = 1;
    if (begin == 0 && end == n)
        return false;
    *first_len = part_make(frame, &l, 0, end, first);
    *second_len = part_make(frame, &l, begin, n, second);
    return true;
}
