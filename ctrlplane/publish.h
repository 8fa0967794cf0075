/* SPDX-License-Identifier: BSD-3-Clause
 * The region from the control plane's side: attach to it, follow it when the data plane restarts,
 * bring what the model says into it, and see which workers live. Called by control (regularly) and
 * change.
 */
#ifndef CTRLPLANE_PUBLISH_H
#define CTRLPLANE_PUBLISH_H

#include "ctrlplane/compile.h"
#include "ctrlplane/control.h"

#define PUBLISH_PERSUADE 20 /* times, a second apart, that a refused generation is offered anew */

/* Who this node is, with the owners in force in the region. */
struct compile_node publish_self(const struct control *control);

/* Attach when there is a region and we are not attached to it; let go of one that is gone or
 * replaced. After a new attachment the model is published where the region differs. */
void publish_look(struct control *control);

/* Publish what is still pending (a full arena, a data plane that came late), announce what a
 * live worker has not acknowledged, offer anew what one refused (control.persuade). */
void publish_repeat(struct control *control);

/* True when a change can come into force now; else a 503 problem. */
bool publish_ready(struct control *control, struct problem *problem);

/* Bring a block into the region and announce it, unless the current generation holds the same
 * bytes: then only announce.
 * force      publish the same bytes too: a worker refused them for a reason that may pass
 * TG_FULL: generations in use fill the room. */
enum tg_err publish_block(struct control *control, enum tables_kind kind, struct block *block,
                          bool force, uint64_t *number);

/* Did the worker say that it cannot use this generation? */
bool publish_worker_refused(const struct control *control, unsigned worker, enum tables_kind kind,
                            uint64_t number);

/* Does the worker run? Its heartbeat says how well. False when not attached. */
bool publish_worker_alive(const struct control *control, unsigned worker);
unsigned publish_workers_alive(const struct control *control);

/* Hits of a rule's counter, all workers together; 0 when not attached. */
uint64_t publish_rule_hits(const struct control *control, unsigned slot);

/* The region's current generation of a kind, 0: none or not attached. */
uint64_t publish_generation(const struct control *control, enum tables_kind kind);

#endif
