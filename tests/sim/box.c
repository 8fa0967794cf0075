/* SPDX-License-Identifier: BSD-3-Clause
 * The middlebox at work. Called by path.c, before damage.
 */
#include "tests/sim/box.h"
#include "tests/sim/frame.h"
#include "tests/sim/sim.h"

enum {
    OPTION_MSS = 2,
    OPTION_WSCALE = 3,
    OPTION_SACK_PERMITTED = 4,
    OPTION_SACK = 5,
    OPTION_TIMESTAMPS = 8
};

/* Options go as the common boxes do it: overwritten by NOPs. */
static void strip(uint8_t *frame, const struct sim_layout *l, unsigned which)
{
    static const uint8_t kinds[] = {OPTION_WSCALE, OPTION_SACK_PERMITTED, OPTION_TIMESTAMPS,
                                    OPTION_MSS};
    for (unsigned i = 0; i < TG_ARRAY_LEN(kinds); i++) {
        uint8_t *option = which >> i & 1 ? sim_tcp_option(frame, l, kinds[i]) : NULL;
        if (option)
            memset(option, 1, option[1]);
    }
}

/* What the numbers of one sender are moved by. `upwards`: who sends is at the lower port. */
static uint32_t offset_of(const struct sim_box *box, const uint8_t *frame,
                          const struct sim_layout *l, bool upwards, bool of_upwards)
{
    uint8_t name[2][18];
    struct ip_addr source, destination;
    sim_addresses(frame, l, &source, &destination);
    memcpy(name[!upwards], source.bytes, 16);
    memcpy(name[!upwards] + 16, frame + l->tcp, 2);
    memcpy(name[upwards], destination.bytes, 16);
    memcpy(name[upwards] + 16, frame + l->tcp + 2, 2);
    uint64_t hash = hash_sip13(box->shift_key, span_make(name, sizeof name));
    return (uint32_t)(of_upwards ? hash >> 32 : hash);
}

static void shift(const struct sim_box *box, uint8_t *frame, const struct sim_layout *l,
                  bool upwards)
{
    uint8_t *tcp = frame + l->tcp;
    uint32_t ours = offset_of(box, frame, l, upwards, upwards);
    uint32_t theirs = offset_of(box, frame, l, upwards, !upwards);
    wire_put32(tcp + 4, wire_get32(tcp + 4) + ours);
    if (tcp[13] & TCP_ACK)
        wire_put32(tcp + 8, wire_get32(tcp + 8) - theirs);
    uint8_t *sack = sim_tcp_option(frame, l, OPTION_SACK);
    for (unsigned at = 2; sack && at + 4 <= sack[1]; at += 4)
        wire_put32(sack + at, wire_get32(sack + at) - theirs);
}

static void clamp_mss(const struct sim_box *box, uint8_t *frame, const struct sim_layout *l)
{
    uint8_t *option = sim_tcp_option(frame, l, OPTION_MSS);
    if (option && option[1] == 4 && wire_get16(option + 2) > box->mss_max)
        wire_put16(option + 2, box->mss_max);
}

void sim_box_pass(const struct sim_box *box, bool upwards, uint8_t *frame, size_t len)
{
    struct sim_layout l;
    if (!(box->strip[0] | box->strip[1] | box->shift | box->window_max | box->mss_max) ||
        !sim_layout_find(span_make(frame, len), &l))
        return;
    uint8_t *tcp = frame + l.tcp;
    if (tcp[13] & TCP_SYN) {
        if (box->mss_max)
            clamp_mss(box, frame, &l);
        strip(frame, &l, box->strip[tcp[13] & TCP_ACK ? 1 : 0]);
    }
    if (box->window_max && wire_get16(tcp + 14) > box->window_max)
        wire_put16(tcp + 14, box->window_max);
    if (box->shift)
        shift(box, frame, &l, upwards);
    sim_checksums_put(frame, &l, l.end);
}

/* --- which box ---------------------------------------------------------------------------------------------- */

static void box_draw(struct sim *sim, struct sim_box *box, struct prng *rng, unsigned place,
                     bool patient)
{
    struct sim_box drawn = {.shift_key = {prng_next(rng), prng_next(rng)}};
    uint8_t which = (uint8_t)(1 + prng_below(rng, SIM_STRIP_ALL));
    uint64_t direction = prng_below(rng, 3);
    bool strips = sim_chance(rng, 50), shifts = sim_chance(rng, 50), clamps = sim_chance(rng, 25),
         sizes = sim_chance(rng, 25);
    uint16_t window = (uint16_t)sim_between(rng, 1460, 65535),
             mss = (uint16_t)sim_between(rng, 536, 1460);
    if (strips && fault_happens(&sim->faults, FAULT_STRIP, place, 0)) {
        drawn.strip[0] = direction != 1 ? which : 0;
        drawn.strip[1] = direction != 0 ? which : 0;
        /* From the SYN-ACK alone: the server would then rightly drop all that has none (RFC 7323 s3.2). */
        if (direction == 1)
            drawn.strip[1] &= (uint8_t) ~(SIM_STRIP_TIMESTAMPS | (patient ? 0 : SIM_STRIP_WSCALE));
    }
    drawn.shift = shifts && fault_happens(&sim->faults, FAULT_SHIFT, place, 0);
    drawn.window_max = clamps && fault_happens(&sim->faults, FAULT_CLAMP, place, 0) ? window : 0;
    drawn.mss_max = sizes && fault_happens(&sim->faults, FAULT_MSS, place, 0) ? mss : 0;
    *box = drawn;
}

void sim_boxes_draw(struct sim *sim, struct prng *rng, bool patient)
{
    bool boxes = sim_chance(rng, 30);
    for (unsigned low = 0; low < sim->port_count; low++)
        for (unsigned high = low + 1; high < sim->port_count; high++)
            if (boxes && sim_chance(rng, 70))
                box_draw(sim, &sim->boxes[low][high], rng, low * 16 + high, patient);
}
