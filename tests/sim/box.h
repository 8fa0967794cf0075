/* SPDX-License-Identifier: BSD-3-Clause
 * A middlebox between two ports, in the way of both directions: it takes options off SYNs, moves sequence
 * numbers (as firewalls do that make them random), clamps windows and segment sizes. It stays when the
 * paths heal, since connections depend on it. Keeps no state of connections: all is a function of the tuple.
 */
#ifndef TESTS_SIM_BOX_H
#define TESTS_SIM_BOX_H

#include "base/hash.h"
#include "base/types.h"

enum sim_strip {
    SIM_STRIP_WSCALE = 1,
    SIM_STRIP_SACK = 2,
    SIM_STRIP_TIMESTAMPS = 4,
    SIM_STRIP_MSS = 8,
    SIM_STRIP_ALL = 15,
};

struct sim_box {
    uint8_t strip[2]; /* enum sim_strip, of SYNs [0] and of SYN-ACKs [1] */
    bool shift;
    uint64_t shift_key[2];
    uint16_t window_max; /* of the window field; 0: any */
    uint16_t mss_max;    /* of the MSS option; 0: any */
};

struct sim;
/* Draw the boxes between all ports: most runs have none. `patient`: the run bears a window scale that only one side
 * knows of, under which a window of 16 KiB looks like one of 128 bytes. */
void sim_boxes_draw(struct sim *sim, struct prng *rng, bool patient);
/* Let the box between two ports change a frame that goes from one to the other. */
void sim_box_pass(const struct sim_box *box, bool upwards, uint8_t *frame, size_t len);

#endif
