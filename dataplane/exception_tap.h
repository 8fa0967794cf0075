/* SPDX-License-Identifier: BSD-3-Clause
 * The TAP by which the kernel takes part in port 0, and the thread that moves frames between it and the
 * workers' rings (io/exception.h). Called by main.c only. The TAP is not persistent: it goes with the
 * process however that ends, and with it every route that the operator or BIRD has put through it.
 * Floor 5.
 */
#ifndef DATAPLANE_EXCEPTION_TAP_H
#define DATAPLANE_EXCEPTION_TAP_H

#include "io/exception.h"
#include "io/io.h"

struct exception_tap;

/* Make the TAP `name` with port 0's hardware address and MTU, up, without an address, and the rings (cold, as
 * root, before threads start). name "": there shall be none: TG_OK, *tap = NULL.
 * host  open; port 0 must not leave frames to the kernel itself.
 * Else problem [256 bytes] is one sentence with the way out. */
enum tg_err exception_tap_open(const char *name, unsigned workers, const struct io_host *host,
                               struct exception_tap **tap, char problem[256]);

/* The rings for the workers; NULL without a TAP. */
struct exception_host *exception_tap_rings(struct exception_tap *tap);

/* Start the thread. TG_SYSTEM. NULL: nothing to do. */
enum tg_err exception_tap_start(struct exception_tap *tap);

/* Stop the thread, remove the TAP, free the rings; when no worker runs any more. NULL: nothing to do. */
void exception_tap_close(struct exception_tap *tap);

#endif
