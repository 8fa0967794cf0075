/* SPDX-License-Identifier: BSD-3-Clause
 * Small files into memory that is wiped when it is given back. Called by vault_read.c and setup.c.
 */
#ifndef TLS_KEYSERVER_FILES_H
#define TLS_KEYSERVER_FILES_H

#include "base/result.h"
#include "base/span.h"

#define FILES_BYTES_MAX 1048576

/* The whole file, in locked memory where the system allows; given back with file_wipe. `secret`: a
 * file that everybody may read is refused. TG_BAD_CONFIG: `problem` (512 bytes) says why. */
enum tg_err file_read(const char *path, bool secret, struct span *out, char problem[512]);
void file_wipe(struct span *bytes);

#endif
