/* SPDX-License-Identifier: BSD-3-Clause
 * Between the two files of the lab: the users of client and origin.
 */
#ifndef DATAPLANE_PROXY_PROXY_LAB_ENDS_H
#define DATAPLANE_PROXY_PROXY_LAB_ENDS_H

#include "proxy/proxy_lab.h"

/* Events, reading, serving, writing of one host; true when it left work for the same instant. */
bool ends_turn(struct lab *lab, enum lab_host host);
/* Somebody speaks at a rate: time must go on in small steps. */
bool ends_pending(const struct lab *lab);
void conn_free(struct lab_conn *c);

#endif
