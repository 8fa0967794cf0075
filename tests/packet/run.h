/* SPDX-License-Identifier: BSD-3-Clause
 * Run one script in one family.
 */
#ifndef TESTS_PACKET_RUN_H
#define TESTS_PACKET_RUN_H

#include "tests/packet/script.h"

/* False: why says "path:line: IPvN: what". strict: a packet that the script does not mention is a failure, also at its
 * end; a segment leaves as the script has it. Not strict, for scripts written for Linux: neither; PSH is not compared,
 * times may be an eighth off, and the window scale is 8. */
bool script_run(struct script *script, bool ip6, bool strict, char *why, size_t size);

#endif
