/* SPDX-License-Identifier: BSD-3-Clause
 * What a frame for the kernel is, and how many of its kind the kernel may get: pure, told the time. A
 * flood at addresses that are not ours ends here, and BFD and BGP go on beside it. Called by exception.c;
 * knows no rings. Floor 2: base only.
 */
#ifndef DATAPLANE_IO_EXCEPTION_POLICE_H
#define DATAPLANE_IO_EXCEPTION_POLICE_H

#include "base/buf.h"

/* Each has a bucket of its own, so that no flood of one kind starves another. What must come from the link
 * itself proves it by a hop limit of 255, which no router passes on (RFC 5082): a flood from afar at BGP's
 * port does not reach the bucket of a neighbour that uses TTL security. */
enum exception_kind {
    EXCEPTION_BFD, /* UDP 3784, 3785 from the link (RFC 5881 s5): when it is late, a route goes */
    EXCEPTION_ROUTING, /* BGP from the link: TCP 179 at either end */
    EXCEPTION_FAR, /* BGP without TTL security, or over several hops; BFD likewise: UDP 4784 (RFC 5883) */
    EXCEPTION_LINK,  /* ARP; neighbour discovery, router advertisements, group membership */
    EXCEPTION_ERROR, /* ICMP errors: path MTU */
    EXCEPTION_OTHER, /* the control plane's and the operator's own: etcd, ssh, ping */
    EXCEPTION_KINDS,
};

/* Two rings: what is not OTHER goes first. */
enum exception_class { EXCEPTION_CONTROL, EXCEPTION_REST, EXCEPTION_CLASSES };

static inline enum exception_class exception_class_of(enum exception_kind kind)
{
    return kind == EXCEPTION_OTHER ? EXCEPTION_REST : EXCEPTION_CONTROL;
}

/* b: parsed (BUF_PARSED). Never fails: what is nothing special is OTHER. */
enum exception_kind exception_classify(const struct buf *b);

/* A token bucket of each kind as one number: when it will be full again (generic cell rate algorithm).
 * One worker's; all zero to start. */
struct exception_police {
    tg_ns full_at[EXCEPTION_KINDS];
};

/* Take a token; false: there is none, drop the frame. now must not go back. */
bool exception_police_take(struct exception_police *police, enum exception_kind kind, tg_ns now);

/* What a worker grants: frames a second, and at once after a rest. For tests and the documentation. */
struct exception_grant {
    uint32_t per_second, burst;
};
struct exception_grant exception_grant(enum exception_kind kind);

#endif
