/* SPDX-License-Identifier: BSD-3-Clause
 * What a stack keeps for all its SYN cookies together (tcp_cookie.c, the only one to write it); nothing of a
 * single one. Included by tcp_internal.h.
 */
#ifndef DATAPLANE_TCP_COOKIE_STATE_H
#define DATAPLANE_TCP_COOKIE_STATE_H

#include "net/owner_cookie.h"

struct tcp_cookies {
    struct owner_identity me; /* with the keys of `minute` */
    uint64_t minute;          /* UINT64_MAX: the keys must be made again */
    uint64_t alone[2];        /* secret of a node without a fleet */
    tg_ns sent_ns;            /* the last one, with `any` */
    tg_ns second_ns;          /* start of the current second's budget */
    uint32_t accepts_left;
    bool any; /* one was sent */
};

#endif
