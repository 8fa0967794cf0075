/* SPDX-License-Identifier: BSD-3-Clause
 * What a wire does to frames. Damage is of the kind that checksums always find (one burst of at most
 * 15 bits, RFC 1071), and only behind the Ethernet header and never in ARP, which has no checksum: a
 * real Ethernet would have dropped those. Must not know what nodes make of it.
 */
#include "net/wire.h"
#include "tests/sim/sim.h"

#define FRAME_MAX 2200

static bool happens(struct sim *sim, uint32_t millionths)
{
    return millionths && prng_below(&sim->rng, 1000000) < millionths;
}

static bool is_ip(struct span frame)
{
    uint16_t type = wire_get16(frame.data + 12);
    return frame.len > ETH_BYTES + IP4_BYTES && (type == ETHERTYPE_IP4 || type == ETHERTYPE_IP6);
}

/* Invert 1..15 neighbouring bits, at least the first of them. */
static void flip_burst(struct sim *sim, uint8_t *frame, size_t len)
{
    size_t bits = (len - ETH_BYTES) * 8;
    size_t at = prng_below(&sim->rng, bits);
    uint64_t pattern = prng_below(&sim->rng, 1 << 15) | 1;
    for (; pattern && at < bits; pattern >>= 1, at++)
        if (pattern & 1)
            frame[ETH_BYTES + at / 8] ^= (uint8_t)(0x80u >> at % 8);
}

/* Change payload bytes of an IPv4 or IPv6 TCP segment such that the checksum holds: no stack can notice. */
static void forge(struct sim *sim, uint8_t *frame, size_t len)
{
    uint8_t *ip = frame + ETH_BYTES;
    bool v4 = ip[0] >> 4 == 4;
    size_t header = v4 ? (size_t)(ip[0] & 15) * 4 : IP6_BYTES;
    if ((v4 ? ip[9] : ip[6]) != IP_PROTO_TCP || ETH_BYTES + header + TCP_BYTES > len)
        return;
    uint8_t *tcp = ip + header;
    size_t payload = (size_t)(tcp[12] >> 4) * 4;
    size_t end = ETH_BYTES + header + payload;
    if (end + 2 > len)
        return;
    /* Exchanging two bytes at equal parity keeps the sum. */
    uint8_t *a = frame + end, *b = NULL;
    for (size_t at = end + 2; at < len; at += 2)
        if (frame[at] != *a)
            b = frame + at;
    if (!b)
        return;
    uint8_t swap = *a;
    *a = *b;
    *b = swap;
    sim->counts.damaged++;
}

static size_t damage(struct sim *sim, const struct sim_path *path, uint8_t *frame, size_t len)
{
    if (!is_ip(span_make(frame, len)))
        return len;
    if (happens(sim, path->corrupt)) {
        flip_burst(sim, frame, len);
        sim->counts.damaged++;
    }
    if (happens(sim, path->truncate)) {
        len = prng_below(&sim->rng, len);
        sim->counts.damaged++;
    }
    if (len > ETH_BYTES + IP4_BYTES && happens(sim, path->forge))
        forge(sim, frame, len);
    return len;
}

/* A frame of noise for the receiver, of any length and with a plausible start now and then. */
static void send_garbage(struct sim *sim, unsigned to, tg_ns when)
{
    uint8_t frame[FRAME_MAX];
    size_t len = prng_below(&sim->rng, 200);
    for (size_t i = 0; i < len; i++)
        frame[i] = (uint8_t)prng_next(&sim->rng);
    if (len >= ETH_BYTES + 1) {
        static const uint16_t types[] = {ETHERTYPE_IP4, ETHERTYPE_IP6, ETHERTYPE_ARP, 0x1234};
        memcpy(frame, sim->ports[to].mac, 6);
        wire_put16(frame + 12, types[prng_below(&sim->rng, TG_ARRAY_LEN(types))]);
        frame[ETH_BYTES] = prng_below(&sim->rng, 2) ? 0x45 : 0x60;
    }
    sim->counts.garbage++;
    sim_schedule(sim, when, to, span_make(frame, len));
}

/* When the last bit leaves the wire; 0: the queue in front of it is full. */
static tg_ns wire_time(struct sim *sim, struct sim_path *path, size_t len)
{
    tg_ns start = path->busy_until > sim->now ? path->busy_until : sim->now;
    if (path->bytes_per_second == 0)
        return sim->now;
    if (start - sim->now > path->queue_max)
        return 0;
    path->busy_until = start + (len + 24) * TG_S / path->bytes_per_second;
    return path->busy_until;
}

/* Into flight, damaged or not, now and then twice. */
static void launch(struct sim *sim, const struct sim_path *path, unsigned to, tg_ns arrives,
                   struct span frame)
{
    uint8_t copy[FRAME_MAX];
    memcpy(copy, frame.data, frame.len);
    size_t len = damage(sim, path, copy, frame.len);
    sim_schedule(sim, arrives, to, span_make(copy, len));
    if (happens(sim, path->duplicate)) {
        arrives += prng_below(&sim->rng, path->reorder_delay + 1);
        sim_schedule(sim, arrives, to, span_make(copy, len));
        sim->counts.duplicated++;
    }
    if (happens(sim, path->garbage))
        send_garbage(sim, to, arrives);
}

void sim_path_send(struct sim *sim, unsigned from, unsigned to, struct span frame)
{
    struct sim_path *path = &sim->paths[from][to];
    tg_assert(frame.len <= FRAME_MAX);
    tg_ns leaves = wire_time(sim, path, frame.len);
    if (leaves == 0) {
        sim->counts.queue_full++;
        return;
    }
    if (happens(sim, path->loss) || (sim->now >= path->down_from && sim->now < path->down_until)) {
        sim->counts.lost++;
        return;
    }
    if (path->mtu && sim->now >= path->mtu_from &&
        sim_too_big(sim, from, frame, path->mtu, leaves + 1 + path->delay))
        return;
    tg_ns arrives = leaves + 1 + path->delay + prng_below(&sim->rng, path->jitter + 1);
    if (happens(sim, path->reorder)) {
        arrives += prng_below(&sim->rng, path->reorder_delay + 1);
        sim->counts.reordered++;
    }
    uint8_t first[FRAME_MAX], second[FRAME_MAX];
    size_t first_len, second_len;
    if (happens(sim, path->resegment) &&
        sim_resegment(&sim->rng, frame, first, &first_len, second, &second_len)) {
        bool swapped = prng_below(&sim->rng, 4) == 0;
        sim->counts.resegmented++;
        launch(sim, path, to, arrives + swapped, span_make(first, first_len));
        launch(sim, path, to, arrives + !swapped, span_make(second, second_len));
        return;
    }
    launch(sim, path, to, arrives, frame);
}

/* --- what ails the paths of a run -------------------------------------------------------------------------- */

/* 0 often, else anything up to max with small values likelier (millionths). */
static uint32_t draw_rate(struct prng *rng, uint32_t max)
{
    if (sim_chance(rng, 40))
        return 0;
    return (uint32_t)prng_below(rng, prng_below(rng, max) + 1);
}

static tg_ns draw_delay(struct prng *rng)
{
    static const tg_ns scales[] = {20 * TG_US, TG_MS, 20 * TG_MS, 150 * TG_MS};
    return 1000 + prng_below(rng, scales[prng_below(rng, TG_ARRAY_LEN(scales))]);
}

static void path_draw(struct sim_path *path, struct prng *rng, tg_ns now)
{
    path->loss = draw_rate(rng, sim_chance(rng, 20) ? 350000 : 150000);
    path->duplicate = draw_rate(rng, 100000);
    path->reorder = draw_rate(rng, 200000);
    path->reorder_delay = 1000 + prng_below(rng, 4 * path->delay + TG_MS);
    path->jitter = sim_chance(rng, 50) ? 0 : prng_below(rng, path->delay + 1);
    path->corrupt = draw_rate(rng, 50000);
    path->truncate = draw_rate(rng, 20000);
    path->garbage = draw_rate(rng, 20000);
    path->resegment = draw_rate(rng, 200000);
    if (sim_chance(rng, 15)) { /* not below what IPv6 guarantees */
        path->mtu = (uint16_t)sim_between(rng, 1280, 1480);
        path->mtu_from = now + (sim_chance(rng, 50) ? 0 : prng_below(rng, 3 * TG_S));
    }
    if (sim_chance(rng, 15)) { /* an outage, while there is something to lose */
        path->down_from = now + prng_below(rng, 3 * TG_S);
        path->down_until = path->down_from + prng_below(rng, 8 * TG_S);
    }
}

void sim_paths_draw(struct sim *sim, struct prng *rng)
{
    bool clean = sim_chance(rng, 25);
    sim->poll_jitter = sim_chance(rng, 50) ? 0 : prng_below(rng, 100 * TG_US);
    tg_ns delay = draw_delay(rng);
    for (unsigned from = 0; from < sim->port_count; from++)
        for (unsigned to = 0; to < sim->port_count; to++) {
            struct sim_path *path = &sim->paths[from][to];
            path->delay = sim_chance(rng, 80) ? delay : draw_delay(rng);
            if (sim_chance(rng, 30)) { /* a bottleneck: 100 kB/s to 100 MB/s */
                path->bytes_per_second = 100000ull << prng_below(rng, 11);
                path->queue_max = TG_MS + prng_below(rng, 300 * TG_MS);
            }
            if (!clean)
                path_draw(path, rng, sim->now);
        }
}

void sim_paths_heal(struct sim *sim)
{
    sim->healed = true;
    for (unsigned from = 0; from < sim->port_count; from++)
        for (unsigned to = 0; to < sim->port_count; to++)
            sim->paths[from][to] = (struct sim_path){.delay = 100 * TG_US};
}
