/* SPDX-License-Identifier: BSD-3-Clause
 * First stage behind the port: parse, verify, match drop rules. Burst in, survivors out. Floor 2:
 * contract, net.
 */
#ifndef DATAPLANE_FILTER_FILTER_H
#define DATAPLANE_FILTER_FILTER_H

#include "base/buf.h"
#include "base/stats.h"
#include "contract/tables.h"
#include "net/wire.h"

struct filter {
    const struct tables_rules *rules; /* in force; NULL: none. Swapped between bursts */
    const struct toeplitz *toeplitz;
    struct buf_pool *pool;
    struct stats *stats;
    uint64_t *rule_hits; /* this worker's counter per rule slot, [TABLES_RULES_MAX]; may be NULL */
};

/* Parse burst[n], drop what is malformed or matches a rule (counted, given back to the pool), keep
 * the rest in order at the front of burst[]. Frames with BUF_HANDED_OVER pass untouched. Returns
 * survivors. */
unsigned filter_burst(struct filter *filter, struct buf *burst[], unsigned n, tg_ns now);

/* The first rule that matches, as the data plane would answer, for explain and trace: index or -1.
 */
int filter_match(const struct tables_rules *rules, const struct ip_addr *source,
                 const struct ip_addr *destination, uint8_t proto, uint16_t source_port,
                 uint16_t destination_port);

#endif
