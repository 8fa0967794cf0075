/* SPDX-License-Identifier: BSD-3-Clause
 * What a connection of the peer program does, read from one line of text. Pure. Called by peer_command.c.
 *
 *   listen PORT KEY=VALUE...             connect ADDRESS PORT KEY=VALUE...
 *
 *   send=BYTES      send so many bytes of the payload file, over and over, then FIN
 *   echo=1          send back what comes, and FIN after the peer's
 *   hold=1          no FIN before the command `release`, whatever has been sent or come
 *   pause=MS after=BYTES   read no more for so long once so many bytes have come
 *   sink=PATH       write what comes into this file or FIFO; as slowly as it takes it
 *   count=N         connect: so many connections at once
 *   watch=1         note the states that the connection goes through
 *   reno=1          congestion control NewReno instead of CUBIC
 */
#ifndef TESTS_PEER_PLAN_H
#define TESTS_PEER_PLAN_H

#include "net/wire.h"

#define PLAN_COUNT_MAX 20000u

struct peer_plan {
    struct ip_addr address; /* of a connect */
    uint16_t port;
    bool echo, hold, watch, newreno;
    uint32_t pause_ms, count;
    uint64_t send, pause_after;
    char sink[128]; /* empty: what comes is counted only */
};

/* Words after the command's name. False: *problem (static text) says why. */
bool peer_plan_read(char *words, bool connects, struct peer_plan *plan, const char **problem);

#endif
