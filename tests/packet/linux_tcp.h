/* SPDX-License-Identifier: BSD-3-Clause
 * Linux's names of TCP socket options and its struct of TCP_INFO (as struct linux_tcp_info), beside our own tcp.h, which
 * has a tcp_info of its own.
 */
#ifndef TESTS_PACKET_LINUX_TCP_H
#define TESTS_PACKET_LINUX_TCP_H

#define tcp_info     linux_tcp_info
#define tcp_ca_state linux_tcp_ca_state
#define TCP_CA_CWR   LINUX_TCP_CA_CWR
#include <linux/tcp.h>
#undef tcp_info
#undef tcp_ca_state
#undef TCP_CA_CWR

#include "tcp/tcp.h"

/* What Linux would tell of a connection; fields that our stack does not know are 0. tcp_info.c lists those it knows. */
void linux_tcp_info_fill(const struct tcp_info *info, struct linux_tcp_info *out);
/* A field by its name in Linux; false: no such field, or not known by our stack. */
bool linux_tcp_info_field(const struct linux_tcp_info *info, const char *name, int64_t *value);

#endif
