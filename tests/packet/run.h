/* SPDX-License-Identifier: BSD-3-Clause
 * Run one script in one family.
 */
#ifndef TESTS_PACKET_RUN_H
#define TESTS_PACKET_RUN_H

#include "tests/packet/script.h"

/* False: why says "path:line: IPvN: what". strict: a packet that the script does not mention is a failure, also at its
 * end. */
bool script_run(struct script *script, bool ip6, bool strict, char *why, size_t size);

#endif
