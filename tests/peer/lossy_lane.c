/* SPDX-License-Identifier: BSD-3-Clause
 * One direction of the bridge (lossy_lane.h).
 */
#include "tests/peer/lossy_lane.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool lane_init(struct lane *l, const struct lossy_options *options, uint64_t seed, int in, int out)
{
    *l = (struct lane){.in = in, .out = out, .spares = LANE_FRAMES};
    lossy_path_init(&l->path, options, seed);
    for (uint32_t i = 0; i < LANE_FRAMES; i++)
        l->spare[i] = LANE_FRAMES - 1 - i;
    l->frames = malloc((size_t)LANE_FRAMES * LANE_FRAME_BYTES);
    return l->frames != NULL;
}

void lane_free(struct lane *l)
{
    free(l->frames);
    l->frames = NULL;
}

static bool lane_before(const struct lane_due *a, const struct lane_due *b)
{
    return a->at != b->at ? a->at < b->at : (int32_t)(a->order - b->order) < 0;
}

static void lane_push(struct lane *l, uint32_t slot, tg_ns at)
{
    const struct lane_due due = {at, l->order++, slot};
    unsigned i = l->waiting++;
    for (unsigned up; i && lane_before(&due, &l->heap[up = (i - 1) / 2]); i = up)
        l->heap[i] = l->heap[up];
    l->heap[i] = due;
}

static uint32_t lane_pop(struct lane *l)
{
    uint32_t slot = l->heap[0].slot;
    const struct lane_due due = l->heap[--l->waiting];
    unsigned i = 0;
    for (unsigned down; (down = 2 * i + 1) < l->waiting; i = down) {
        if (down + 1 < l->waiting && lane_before(&l->heap[down + 1], &l->heap[down]))
            down++;
        if (!lane_before(&l->heap[down], &due))
            break;
        l->heap[i] = l->heap[down];
    }
    l->heap[i] = due;
    return slot;
}

/* A frame lies in `slot`, which is no longer spare. */
static void lane_take(struct lane *l, uint32_t slot, size_t len, tg_ns now)
{
    tg_ns at[2];
    unsigned n = lossy_path_send(&l->path, len, now, at);
    if (n == 0) {
        l->spare[l->spares++] = slot;
        return;
    }
    l->lens[slot] = (uint16_t)len;
    lane_push(l, slot, at[0]);
    if (n == 2 && l->spares) {
        uint32_t copy = l->spare[--l->spares];
        memcpy(l->frames[copy], l->frames[slot], len);
        l->lens[copy] = (uint16_t)len;
        lane_push(l, copy, at[1]);
    }
}

/* Frames are read right into spare slots. Without any, into one that is read over and over. */
unsigned lane_receive(struct lane *l, tg_ns now)
{
    static uint8_t waste[LANE_FRAME_BYTES];
    struct iovec parts[LANE_BATCH];
    struct mmsghdr messages[LANE_BATCH] = {0};
    uint32_t slots[LANE_BATCH];
    unsigned room = l->spares < LANE_BATCH ? l->spares : LANE_BATCH;
    for (unsigned i = 0; i < LANE_BATCH; i++) {
        slots[i] = i < room ? l->spare[l->spares - 1 - i] : UINT32_MAX;
        parts[i] = (struct iovec){i < room ? l->frames[slots[i]] : waste, LANE_FRAME_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(l->in, messages, LANE_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (n <= 0)
        return 0;
    l->spares -= (unsigned)n < room ? (unsigned)n : room;
    for (unsigned i = 0; i < (unsigned)n; i++) {
        if (i >= room) {
            l->no_slot++;
        } else if (messages[i].msg_len > LANE_FRAME_BYTES) {
            l->too_long++;
            l->spare[l->spares++] = slots[i];
        } else {
            lane_take(l, slots[i], messages[i].msg_len, now);
        }
    }
    return (unsigned)n;
}

unsigned lane_send(struct lane *l, tg_ns now)
{
    struct iovec parts[LANE_BATCH];
    struct mmsghdr messages[LANE_BATCH] = {0};
    uint32_t slots[LANE_BATCH];
    unsigned n = 0, sent = 0;
    for (; n < LANE_BATCH && l->waiting && l->heap[0].at <= now; n++) {
        slots[n] = lane_pop(l);
        parts[n] = (struct iovec){l->frames[slots[n]], l->lens[slots[n]]};
        messages[n].msg_hdr = (struct msghdr){.msg_iov = &parts[n], .msg_iovlen = 1};
    }
    while (sent < n) {
        int took = sendmmsg(l->out, messages + sent, n - sent, MSG_DONTWAIT);
        if (took > 0) {
            l->sent += (unsigned)took;
            sent += (unsigned)took;
        } else { /* that one is gone, as on a wire; the next may go */
            l->refused++;
            sent++;
        }
    }
    for (unsigned i = 0; i < n; i++)
        l->spare[l->spares++] = slots[i];
    return n;
}

tg_ns lane_next(const struct lane *l)
{
    return l->waiting ? l->heap[0].at : UINT64_MAX;
}
