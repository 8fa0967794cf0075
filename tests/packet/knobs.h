/* SPDX-License-Identifier: BSD-3-Clause
 * `sysctl` lines of a script as settings of the stack under test, before it is made.
 */
#ifndef TESTS_PACKET_KNOBS_H
#define TESTS_PACKET_KNOBS_H

#include "tests/packet/host.h"

/* Read a command's text; what means nothing here is named on standard output, behind `path`, unless path is NULL. Never
 * executed. */
void knobs_read(struct host *host, const char *text, const char *path);

#endif
