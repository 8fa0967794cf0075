/* SPDX-License-Identifier: BSD-3-Clause
 * The file of keys that all nodes of a fleet share (node.secrets in the configuration): tidegate-ctl puts those
 * for owner cookies, SYN cookies and the tunnel into the owners table, tidegate makes session tickets under the
 * others. It never goes through the fleet store, which keeps what it gets in clear. Written by `tgctl fleet
 * keygen`, carried to the nodes by whoever installs them. libconfig, strict as the configuration. Cold. Floor 1.
 *
 *     owner  = ( { id = 1; secret = "000102030405060708090a0b0c0d0e0f"; } );   # at most two of each use, the
 *     syn    = ( { id = 1; secret = "..."; } );                                # one to make new ones with first
 *     tunnel = ( { id = 1; secret = "..."; } );
 *     ticket = ( { id = 1; secret = "..."; } );
 *     bucket = "...";                                                          # never changes
 */
#ifndef CONTRACT_SECRETS_H
#define CONTRACT_SECRETS_H

#include "base/result.h"
#include "contract/tables.h"

#define SECRETS_TICKET TABLES_KEY_USES /* the use that is in no table */
#define SECRETS_USES   (TABLES_KEY_USES + 1)

struct secrets_key {
    uint32_t id; /* unique within its use */
    uint8_t secret[16];
};
struct secrets {
    struct secrets_key keys[SECRETS_USES][TABLES_KEYS_OF_A_USE]; /* by enum tables_key_use */
    unsigned counts[SECRETS_USES]; /* each 1 .. TABLES_KEYS_OF_A_USE */
    uint8_t bucket[16];
};

/* Read and check the file. TG_BAD_CONFIG: `problem` says file, line and key, never a secret; *secrets is then
 * wiped. A file that others than its owner and its group may read is refused. */
enum tg_err secrets_load(const char *path, struct secrets *secrets, char problem[512]);

#endif
