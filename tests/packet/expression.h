/* SPDX-License-Identifier: BSD-3-Clause
 * What %{ ... }% of a script asserts over TCP_INFO. Called by run.c; knows nothing of sockets.
 */
#ifndef TESTS_PACKET_EXPRESSION_H
#define TESTS_PACKET_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>

struct tcp_info;

/* Evaluate "assert EXPRESSION" lines over a connection's state, in Linux's names and units. False: *why says which does
 * not hold and the values that it read, or what cannot be computed. */
bool expression_check(const struct tcp_info *info, const char *text, char *why, size_t size);

#endif
