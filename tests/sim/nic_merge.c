/* SPDX-License-Identifier: BSD-3-Clause
 * Two segments made one, as cards and drivers do it: the second begins where the first ends, nothing but ACK
 * and PSH is set, and their options are alike but for values. Called by nic.c.
 */
#include "tests/sim/frame.h"
#include "tests/sim/nic.h"

#define PLAIN (TCP_ACK | TCP_PSH)

static bool same_flow(const uint8_t *a, const uint8_t *b, const struct sim_layout *l)
{
    size_t addresses = l->v4 ? ETH_BYTES + 12 : ETH_BYTES + 8;
    return memcmp(a + addresses, b + addresses, l->v4 ? 8 : 32) == 0 &&
           memcmp(a + l->tcp, b + l->tcp, 4) == 0;
}

/* No options, or timestamps alone: SACK blocks would be lost. */
static bool plain_options(const uint8_t *frame, const struct sim_layout *l)
{
    size_t bytes = l->payload - l->tcp - TCP_BYTES;
    return bytes == 0 || (bytes == 12 && wire_get32(frame + l->tcp + TCP_BYTES) == 0x0101080a);
}

static bool mergeable(struct span first, struct span second, const struct sim_layout *a,
                      const struct sim_layout *b)
{
    const uint8_t *one = first.data + a->tcp, *two = second.data + b->tcp;
    uint32_t bytes = (uint32_t)(a->end - a->payload);
    return a->v4 == b->v4 && same_flow(first.data, second.data, a) && bytes > 0 &&
           b->end > b->payload && a->payload - a->tcp == b->payload - b->tcp &&
           plain_options(first.data, a) && plain_options(second.data, b) &&
           (one[13] & ~PLAIN) == 0 && (two[13] & ~PLAIN) == 0 && one[13] & two[13] & TCP_ACK &&
           first.data[ETH_BYTES + 1] == second.data[ETH_BYTES + 1] && /* ECN alike */
           wire_get32(one + 4) + bytes == wire_get32(two + 4) &&
           (int32_t)(wire_get32(two + 8) - wire_get32(one + 8)) >= 0;
}

bool nic_merge(struct span first, struct span second, uint8_t out[NIC_FRAME_MAX], size_t *out_len)
{
    struct sim_layout a, b;
    if (!sim_layout_find(first, &a) || !sim_layout_find(second, &b) ||
        !mergeable(first, second, &a, &b) || !sim_checksums_good(first, &a) ||
        !sim_checksums_good(second, &b))
        return false;
    size_t more = b.end - b.payload, end = a.end + more;
    if (end > NIC_FRAME_MAX)
        return false;
    memcpy(out, first.data, a.end);
    memcpy(out + a.end, second.data + b.payload, more);
    memcpy(out + a.tcp + 8, second.data + b.tcp + 8, 4);   /* the latest ACK */
    memcpy(out + a.tcp + 14, second.data + b.tcp + 14, 2); /* and window */
    out[a.tcp + 13] |= second.data[b.tcp + 13];
    memcpy(out + a.tcp + TCP_BYTES, second.data + b.tcp + TCP_BYTES, a.payload - a.tcp - TCP_BYTES);
    sim_checksums_put(out, &a, end);
    *out_len = end;
    return true;
}
