/* SPDX-License-Identifier: BSD-3-Clause
 * The path of tcp_recovery: see tcp_path.h.
 */
#include "tests/bench/tcp_path.h"
#include "net/wire.h"

/* TCP with payload over IPv4 without options. */
static bool has_payload(const uint8_t *frame, unsigned len)
{
    const uint8_t *ip = frame + ETH_BYTES, *tcp = ip + IP4_BYTES;
    if (len < ETH_BYTES + IP4_BYTES + TCP_BYTES || wire_get16(frame + 12) != ETHERTYPE_IP4)
        return false;
    return wire_get16(ip + 2) > IP4_BYTES + (tcp[12] >> 4) * 4u;
}

void path_enter(struct path_way *way, const uint8_t *frame, unsigned len, tg_ns now)
{
    bool data = has_payload(frame, len);
    tg_ns start = way->free_at > now ? way->free_at : now;
    way->taken += data;
    if (len > PATH_FRAME || way->count == PATH_FRAMES ||
        start - now > (tg_ns)PATH_QUEUE_MAX * PATH_BYTE_NS) {
        way->overflowed++;
        return;
    }
    way->free_at = start + (tg_ns)len * PATH_BYTE_NS;
    if (data && prng_below(&way->prng, 1000) < way->loss_permille) {
        way->lost++; /* behind the slow link: it took its time there */
        return;
    }
    struct path_frame *f = &way->frames[way->count];
    tg_ns *at = &way->at[way->count++];
    *at = way->free_at + PATH_DELAY;
    if (data && prng_below(&way->prng, 1000) < way->overtaken_permille) {
        way->overtaken++;
        *at += PATH_OVERTAKE;
    }
    f->len = (uint16_t)len;
    memcpy(f->bytes, frame, len);
}

static unsigned first_of(const struct path_way *way)
{
    unsigned first = 0;
    for (unsigned i = 1; i < way->count; i++)
        if (way->at[i] < way->at[first])
            first = i;
    return first;
}

bool path_leave(struct path_way *way, tg_ns now, const struct path_frame **frame)
{
    static struct path_frame out;
    if (way->count == 0)
        return false;
    unsigned first = first_of(way);
    if (way->at[first] > now)
        return false;
    out = way->frames[first];
    way->count--;
    way->frames[first] = way->frames[way->count];
    way->at[first] = way->at[way->count];
    *frame = &out;
    return true;
}

tg_ns path_next(const struct path_way *way)
{
    return way->count ? way->at[first_of(way)] : UINT64_MAX;
}
