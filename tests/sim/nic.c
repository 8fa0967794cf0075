/* SPDX-License-Identifier: BSD-3-Clause
 * The card's faults, drawn and decided.
 */
#include "tests/sim/nic.h"
#include "tests/sim/frame.h"

#define FLAGS_GOOD (BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD)

static bool happens(struct nic *nic, uint32_t millionths, enum sim_fault_kind kind)
{
    uint64_t number = nic->chances++;
    return millionths && prng_below(&nic->rng, 1000000) < millionths && !nic->sim->healed &&
           fault_happens(&nic->sim->faults, kind, nic->place, number);
}

static uint32_t rate(struct prng *rng, unsigned percent, uint32_t max)
{
    bool broken = sim_chance(rng, percent);
    uint32_t millionths = 1 + (uint32_t)prng_below(rng, max);
    return broken ? millionths : 0;
}

/* Most stacks make super-segments; half of the cards cut them, some of those only small ones. Drawn apart, so that a
 * card without is the same card. */
static void draw_tso(struct nic *nic, uint64_t seed)
{
    struct prng rng;
    prng_seed(&rng, seed ^ 0x74736f);
    nic->rows = sim_chance(&rng, 75);
    bool cuts = sim_chance(&rng, 50), all = sim_chance(&rng, 50);
    uint32_t some = (uint32_t)sim_between(&rng, 1000, 20000);
    nic->tso_bytes_max = !cuts ? 0 : all ? UINT16_MAX : some;
}

void nic_draw(struct nic *nic, struct sim *sim, unsigned place, struct prng *rng, unsigned may)
{
    *nic = (struct nic){.sim = sim, .place = place};
    uint64_t seed = prng_next(rng);
    prng_seed(&nic->rng, seed);
    draw_tso(nic, seed);
    nic->checks = sim_chance(rng, 40);
    nic->tx_full = rate(rng, 10, 50000);
    uint32_t no_frame = rate(rng, 12, 30000), merge = rate(rng, 25, 900000);
    nic->lie_bad = rate(rng, 10, 30000);
    nic->wrong_queue = rate(rng, 30, 300000);
    uint32_t lie_good = rate(rng, 25, 500000);
    nic->lie_good = may & NIC_MAY_LIE ? lie_good : 0;
    nic->no_frame = may & NIC_MAY_STARVE ? no_frame : 0;
    nic->merge = may & NIC_MAY_MERGE ? merge : 0;
}

bool nic_is_broken(const struct nic *nic)
{
    return nic->tx_full || nic->no_frame;
}

bool nic_fails(struct nic *nic, enum io_sim_fault kind)
{
    if (kind == IO_SIM_TX_FULL)
        return happens(nic, nic->tx_full, FAULT_TX_FULL);
    return happens(nic, nic->no_frame, FAULT_ALLOC);
}

unsigned nic_queue_off(struct nic *nic, unsigned n)
{
    if (n == 1 || !happens(nic, nic->wrong_queue, FAULT_WRONG_QUEUE))
        return 0;
    return 1 + (unsigned)prng_below(&nic->rng, n - 1);
}

/* What the card says of a frame; of what is no TCP it says nothing. */
static uint16_t claim(struct nic *nic, struct span frame)
{
    struct sim_layout l;
    if (!sim_layout_find(frame, &l))
        return 0;
    bool good = sim_checksums_good(frame, &l);
    if (good && happens(nic, nic->lie_bad, FAULT_LIE_BAD))
        return BUF_RX_L4_CSUM_BAD;
    if (!good && happens(nic, nic->lie_good, FAULT_LIE_GOOD)) {
        nic->sim->lied = true;
        return FLAGS_GOOD;
    }
    if (!nic->checks)
        return 0;
    return good ? FLAGS_GOOD : BUF_RX_L4_CSUM_BAD;
}

void nic_flush(struct nic *nic)
{
    if (nic->held_len)
        io_sim_receive(nic->io, 0, span_make(nic->held, nic->held_len), nic->held_flags);
    nic->held_len = 0;
}

static bool merged(struct nic *nic, struct span frame, uint16_t flags)
{
    uint8_t out[NIC_FRAME_MAX];
    size_t len;
    if (!nic->held_len || flags != nic->held_flags || flags & BUF_RX_L4_CSUM_BAD ||
        !nic_merge(span_make(nic->held, nic->held_len), frame, out, &len) ||
        !happens(nic, nic->merge, FAULT_MERGE))
        return false;
    memcpy(nic->held, out, len);
    nic->held_len = (uint32_t)len;
    return true;
}

void nic_receive(struct nic *nic, struct span frame)
{
    uint16_t flags = claim(nic, frame);
    if (!nic->merge || frame.len > NIC_FRAME_MAX || frame.len == 0) {
        nic_flush(nic);
        io_sim_receive(nic->io, 0, frame, flags);
        return;
    }
    if (merged(nic, frame, flags))
        return;
    nic_flush(nic);
    memcpy(nic->held, frame.data, frame.len);
    nic->held_len = (uint32_t)frame.len;
    nic->held_flags = flags;
}
