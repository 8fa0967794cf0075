/* SPDX-License-Identifier: BSD-3-Clause
 * Routes as the proxy of one worker uses them: the table, and for each origin behind TLS what its connections
 * share (trust anchors, our client certificate), parsed. The housekeeping thread makes a plan of each generation
 * (cold), the worker puts it into force between two bursts. Floor 3.
 */
#ifndef DATAPLANE_PROXY_ORIGIN_PLAN_H
#define DATAPLANE_PROXY_ORIGIN_PLAN_H

#include "base/result.h"
#include "contract/tables.h"

struct origin_plan;
struct proxy;
struct tls_client;

/* Make a plan for one worker; the table stays where it is and outlives the plan. TG_BAD_INPUT or TG_BAD_CONFIG,
 * when TLS cannot use what an origin comes with: *bad is the origin's index, `problem` says why. TG_NO_MEMORY. */
enum tg_err origin_plan_create(const struct tables_routes *routes, struct origin_plan **plan,
                               unsigned *bad, char problem[256]);
/* One that never came into force; NULL is allowed. */
void origin_plan_destroy(struct origin_plan *plan);

const struct tables_routes *origin_plan_routes(const struct origin_plan *plan);

/* What tells connections to an origin apart from those made under other names, anchors or certificates: never 0
 * for an origin behind TLS, 0 for one without. */
uint64_t origin_plan_identity(const struct origin_plan *plan, uint32_t origin);

/* What connections of this identity share, borrowed; NULL: no origin of this plan has it. *origin: whose. */
struct tls_client *origin_plan_client(const struct origin_plan *plan, uint64_t identity,
                                      const struct tables_origin **origin);

#endif
