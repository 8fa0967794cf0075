/* SPDX-License-Identifier: BSD-3-Clause
 * SYN cookies: what a listener answers a SYN with for which the SYN cache has no place. The SYN-ACK
 * carries all that we need to know again (net/owner_cookie.h has every bit), nothing is kept, and the client's
 * ACK brings it back. Called by tcp_open and tcp_in. RFC 4987 s3.6.
 *
 * A cookie is good for one to two minutes: its key is made of the node's secret and the minute, two minutes are
 * believed, and the lowest bit of the minute's number travels in the cookie. In a fleet the secret is the fleet's
 * SYN key; alone it is made of the worker's. While no cookie has been sent for that long, no ACK is looked at.
 */
#ifndef DATAPLANE_TCP_COOKIE_H
#define DATAPLANE_TCP_COOKIE_H

#include "tcp/tcp_internal.h"

/* Cold: keys of a node that is alone. */
void tcp_cookie_init(struct tcp *tcp);

/* Answer a SYN without keeping anything. */
void tcp_cookie_answer(struct tcp *tcp, const struct tcp_rx *rx);

/* True: the ACK is a cookie's. *pcb is then the established connection that it proves, and the segment itself is
 * the caller's to process; NULL: no room for one now, or it is ahead of the proof (counted): the client sends it
 * again. False: a stranger's. */
bool tcp_cookie_take(struct tcp *tcp, const struct tcp_rx *rx, struct tcp_pcb **pcb);

#endif
