/* SPDX-License-Identifier: BSD-3-Clause
 * Which site serves a host name, and where its origin is: look-ups in the published route table, in
 * place, without a copy. Also used by the control plane to explain. Floor 2: contract, net.
 */
#ifndef DATAPLANE_ROUTE_ROUTE_H
#define DATAPLANE_ROUTE_ROUTE_H

#include "contract/tables.h"

/* The site for a host (no port, any case): exact name, else "*.rest" for one label, else the
 * default site, else NULL. The result points into the table. */
const struct tables_site *route_site(const struct tables_routes *routes, struct span host);

/* Origin by index of a site; NULL when the index lies outside (a damaged table is never
 * followed). */
const struct tables_origin *route_origin(const struct tables_routes *routes, uint32_t index);

#endif
