/* SPDX-License-Identifier: BSD-3-Clause
 * The state file: all resources of this node, private keys included, hence mode 0600. One line with
 * a checksum, then JSON. Written to a new file, flushed, renamed, and the directory flushed: after
 * a crash at any instruction the old or the new state is there, whole. Called by main and change.
 *
 *   tidegate-state 1 <CRC-32C, 8 hex digits> <bytes of JSON>\n
 *   {"rules": ...}
 */
#ifndef CTRLPLANE_STORE_H
#define CTRLPLANE_STORE_H

#include "base/result.h"
#include "ctrlplane/problem.h"

#define STORE_PATH_MAX 512

struct store {
    char directory[STORE_PATH_MAX - 32];
    char path[STORE_PATH_MAX]; /* directory/state */
    int lock_fd;               /* directory/lock: one tidegate-ctl per directory */
};

/* Make the directory (0700) if need be and lock it. TG_EXISTS: another tidegate-ctl has it;
 * TG_SYSTEM. `problem` says what is wrong in one sentence. */
enum tg_err store_open(struct store *store, const char *directory, char problem[640]);
void store_close(struct store *store);

/* The model in the file: a new reference in *model. TG_NOT_FOUND: there is no file yet, *model
 * is an empty one. TG_VERSION: damaged, or written by another version; TG_SYSTEM: cannot be
 * read. */
enum tg_err store_load(const struct store *store, json_t **model, char problem[640]);

/* Make `model` durable. TG_SYSTEM: `problem` says why, the old file is still there. */
enum tg_err store_save(const struct store *store, const json_t *model, char problem[640]);

/* Keep the file as it is now beside the next ones, as directory/state.replaced. TG_SYSTEM: `problem` says why. */
enum tg_err store_keep(const struct store *store, char problem[640]);

#endif
