/* SPDX-License-Identifier: BSD-3-Clause
 * What a wire does to frames. Damage is of the kind that checksums always find (one burst of at most
 * 15 bits, RFC 1071), and only behind the Ethernet header and never in ARP, which has no checksum: a
 * real Ethernet would have dropped those. Must not know what nodes make of it.
 */
#include "tests/sim/frame.h"
#include "tests/sim/sim.h"

#define FRAME_MAX 2200

/* One frame on its way. What happens to it is drawn from a source of its own, named by path and number, so
 * that it does not depend on what happened to others. */
struct flight {
    struct sim *sim;
    struct sim_path *path;
    unsigned from, to;
    uint64_t number;
    struct prng rng;
};

static bool happens(struct flight *f, uint32_t millionths, enum sim_fault_kind kind)
{
    return millionths && prng_below(&f->rng, 1000000) < millionths &&
           fault_happens(&f->sim->faults, kind, sim_place(f->from, f->to), f->number);
}

static bool is_ip(struct span frame)
{
    uint16_t type = wire_get16(frame.data + 12);
    return frame.len > ETH_BYTES + IP4_BYTES && (type == ETHERTYPE_IP4 || type == ETHERTYPE_IP6);
}

/* Invert 1..15 neighbouring bits, at least the first of them. */
static void flip_burst(struct prng *rng, uint8_t *frame, size_t len)
{
    size_t bits = (len - ETH_BYTES) * 8;
    size_t at = prng_below(rng, bits);
    uint64_t pattern = prng_below(rng, 1 << 15) | 1;
    for (; pattern && at < bits; pattern >>= 1, at++)
        if (pattern & 1)
            frame[ETH_BYTES + at / 8] ^= (uint8_t)(0x80u >> at % 8);
}

/* Change payload bytes of a TCP segment such that the checksum holds: no stack can notice. */
static void forge(uint8_t *frame, size_t len)
{
    struct sim_layout l;
    if (!sim_layout_find(span_make(frame, len), &l) || l.payload + 2 > l.end)
        return;
    /* Exchanging two bytes at equal parity keeps the sum. */
    uint8_t *a = frame + l.payload, *b = NULL;
    for (size_t at = l.payload + 2; at < l.end; at += 2)
        if (frame[at] != *a)
            b = frame + at;
    if (!b)
        return;
    uint8_t swap = *a;
    *a = *b;
    *b = swap;
}

static size_t damage(struct flight *f, uint8_t *frame, size_t len)
{
    if (!is_ip(span_make(frame, len)))
        return len;
    struct prng aside = f->rng; /* so that f->rng goes on the same whether this happens or not */
    if (happens(f, f->path->corrupt, FAULT_CORRUPT))
        flip_burst(&aside, frame, len);
    if (happens(f, f->path->truncate, FAULT_TRUNCATE))
        len = prng_below(&aside, len);
    if (len > ETH_BYTES + IP4_BYTES && happens(f, f->path->forge, FAULT_FORGE))
        forge(frame, len);
    return len;
}

/* A frame of noise for the receiver, of any length and with a plausible start now and then. */
static void send_garbage(struct flight *f, tg_ns when)
{
    uint8_t frame[FRAME_MAX];
    size_t len = prng_below(&f->rng, 200);
    for (size_t i = 0; i < len; i++)
        frame[i] = (uint8_t)prng_next(&f->rng);
    if (len >= ETH_BYTES + 1) {
        static const uint16_t types[] = {ETHERTYPE_IP4, ETHERTYPE_IP6, ETHERTYPE_ARP, 0x1234};
        memcpy(frame, f->sim->ports[f->to].mac, 6);
        wire_put16(frame + 12, types[prng_below(&f->rng, TG_ARRAY_LEN(types))]);
        frame[ETH_BYTES] = prng_below(&f->rng, 2) ? 0x45 : 0x60;
    }
    sim_schedule(f->sim, when, f->to, span_make(frame, len));
}

/* A congested router marks instead of dropping, if the transport can (RFC 3168 s5). */
static void mark(struct flight *f, uint8_t *frame, size_t len)
{
    uint8_t *ip = frame + ETH_BYTES;
    if (!is_ip(span_make(frame, len)))
        return;
    bool v4 = wire_get16(frame + 12) == ETHERTYPE_IP4;
    unsigned ecn = v4 ? ip[1] & 3 : ip[1] >> 4 & 3;
    if (ecn != 1 && ecn != 2) /* not ECN-capable, or marked already */
        return;
    if (!happens(f, f->path->ce, FAULT_CE))
        return;
    ip[1] |= (uint8_t)(v4 ? 3 : 3 << 4);
    if (v4) {
        wire_put16(ip + 10, 0);
        wire_put16(ip + 10, wire_sum_finish(wire_sum(0, span_make(ip, (size_t)(ip[0] & 15) * 4))));
    }
}

/* When the last bit leaves the wire; 0: the queue in front of it is full. */
static tg_ns wire_time(struct flight *f, size_t len)
{
    struct sim_path *path = f->path;
    tg_ns now = f->sim->now;
    tg_ns start = path->busy_until > now ? path->busy_until : now;
    if (path->bytes_per_second == 0)
        return now;
    if (start - now > path->queue_max &&
        fault_happens(&f->sim->faults, FAULT_QUEUE_FULL, sim_place(f->from, f->to), f->number))
        return 0;
    path->busy_until = start + (len + 24) * TG_S / path->bytes_per_second;
    return path->busy_until;
}

/* Into flight, damaged or not, now and then twice. Whatever would arrive while the path is clogged arrives when
 * it is free again, all at once. */
static void launch(struct flight *f, tg_ns arrives, struct span frame)
{
    uint8_t copy[FRAME_MAX];
    memcpy(copy, frame.data, frame.len);
    size_t len = damage(f, copy, frame.len);
    if (arrives < f->path->clog_until)
        arrives = f->path->clog_until;
    sim_schedule(f->sim, arrives, f->to, span_make(copy, len));
    tg_ns late = prng_below(&f->rng, f->path->reorder_delay + 1);
    if (happens(f, f->path->duplicate, FAULT_DUPLICATE))
        sim_schedule(f->sim, arrives + late, f->to, span_make(copy, len));
    if (happens(f, f->path->garbage, FAULT_GARBAGE))
        send_garbage(f, arrives);
}

/* True: it is lost. A partition begins now and then, and takes all for a while. */
static bool lost(struct flight *f)
{
    struct sim_path *path = f->path;
    tg_ns now = f->sim->now;
    tg_ns how_long = prng_below(&f->rng, path->partition_max + 1);
    if (happens(f, path->partition, FAULT_PARTITION))
        path->partition_until = now + how_long;
    tg_ns clogged = prng_below(&f->rng, path->clog_max + 1);
    if (happens(f, path->clog, FAULT_CLOG))
        path->clog_until = now + clogged;
    return happens(f, path->loss, FAULT_LOSS) || now < path->partition_until ||
           (now >= path->down_from && now < path->down_until);
}

static void send_in_two(struct flight *f, tg_ns arrives, struct span frame)
{
    uint8_t first[FRAME_MAX], second[FRAME_MAX];
    size_t first_len, second_len;
    struct prng aside = f->rng;
    if (!sim_resegment(&aside, frame, first, &first_len, second, &second_len)) {
        launch(f, arrives, frame);
        return;
    }
    bool swapped = prng_below(&aside, 4) == 0;
    launch(f, arrives + swapped, span_make(first, first_len));
    launch(f, arrives + !swapped, span_make(second, second_len));
}

/* Frames are counted by connection, so that one connection's faults do not depend on whether another is there.
 * What is not TCP is flow 0. */
static unsigned flow_of(struct span frame)
{
    struct sim_layout l;
    if (!sim_layout_find(frame, &l))
        return 0;
    return (wire_get16(frame.data + l.tcp) + (unsigned)wire_get16(frame.data + l.tcp + 2)) %
           SIM_FLOWS;
}

static void flight_begin(struct flight *f, struct sim *sim, unsigned from, unsigned to,
                         struct span frame)
{
    *f = (struct flight){.sim = sim, .path = &sim->paths[from][to], .from = from, .to = to};
    unsigned flow = flow_of(frame);
    f->number = (uint64_t)flow << 32 | f->path->frames[flow]++;
    prng_seed(&f->rng, (sim->seed * 256 + sim_place(from, to)) * 0x9e3779b97f4a7c15 +
                           f->number * 0xd1342543de82ef95);
}

void sim_path_send(struct sim *sim, unsigned from, unsigned to, struct span frame)
{
    struct flight f;
    uint8_t copy[FRAME_MAX];
    tg_assert(frame.len <= FRAME_MAX);
    flight_begin(&f, sim, from, to, frame);
    struct sim_path *path = f.path;
    tg_ns leaves = wire_time(&f, frame.len);
    bool gone = leaves == 0 || lost(&f);
    if (!gone && path->mtu && sim->now >= path->mtu_from)
        gone = sim_too_big(sim, from, frame, path->mtu,
                           path->mtu_silent ? 0 : leaves + 1 + path->delay);
    if (gone && sim->trace)
        sim_trace(sim, to, frame, true);
    if (gone)
        return;
    memcpy(copy, frame.data, frame.len);
    sim_box_pass(from < to ? &sim->boxes[from][to] : &sim->boxes[to][from], from < to, copy,
                 frame.len);
    mark(&f, copy, frame.len);
    tg_ns arrives = leaves + 1 + path->delay + prng_below(&f.rng, path->jitter + 1);
    tg_ns late = prng_below(&f.rng, path->reorder_delay + 1);
    if (happens(&f, path->reorder, FAULT_REORDER))
        arrives += late;
    if (happens(&f, path->resegment, FAULT_RESEGMENT))
        send_in_two(&f, arrives, span_make(copy, frame.len));
    else
        launch(&f, arrives, span_make(copy, frame.len));
}
