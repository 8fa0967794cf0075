/* SPDX-License-Identifier: BSD-3-Clause
 * Drop rules for back ends that leave them to filter: the simulator has no driver below, and of DPDK's ports only some
 * could drop some rules (rte_flow).
 */
#include "io/io.h"

enum tg_err io_host_use_rules(struct io_host *host, const struct io_drop_rule rules[], unsigned n)
{
    return TG_UNSUPPORTED;
}

uint64_t io_host_rule_hits(const struct io_host *host, unsigned slot)
{
    return 0;
}

uint64_t io_rule_hits_take(struct io *io, unsigned slot)
{
    return 0;
}
