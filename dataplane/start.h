/* SPDX-License-Identifier: BSD-3-Clause
 * What main does before the first packet, piece by piece: options, secrets, region, ports, rights, a worker's
 * configuration. Called by main.c only. Cold. Floor 4.
 */
#ifndef DATAPLANE_START_H
#define DATAPLANE_START_H

#include "base/hash.h"
#include "contract/config.h"
#include "contract/region.h"
#include "io/io.h"
#include "tls/tls.h"
#include "worker/worker.h"

struct start_options {
    const char *config_path;
    bool check_only;
};
/* Returns -1 to go on, else the exit status (0 after --help and --version, 2 for a wrong option). */
int start_read_options(int argc, char **argv, struct start_options *options);

/* Everything random of this process, drawn once from the system. */
struct start_secrets {
    uint64_t seed, boot_id;
    uint8_t rss_key[TOEPLITZ_KEY_BYTES];
};
/* Draw them, and make the node's Toeplitz tables under the secret RSS key (the caller frees). */
enum tg_err start_secrets_draw(const struct config *config, struct start_secrets *secrets,
                               struct toeplitz **toeplitz);

/* The four below: TG_OK, or `problem` is one sentence with the way out. */
enum tg_err start_region(const struct config *config, const struct start_secrets *secrets,
                         struct region *region, char problem[256]);
enum tg_err start_ports(const struct config *config, const struct start_secrets *secrets,
                        struct io_host **host, char problem[256]);
/* Become the configured user, if one is named and we are root. */
enum tg_err start_drop_rights(const struct config *config, char problem[256]);

/* What TLS may do: with node.secrets, tickets under its keys (`tickets` is filled and must outlive the policy);
 * with early data, the node's one register of 0-RTT flights, 8 MiB (the caller frees policy->replay). wall_s:
 * wall clock, seconds. TG_OK, or `problem` says why not. */
enum tg_err start_tls_policy(const struct config *config, uint64_t wall_s,
                             struct tls_ticket_secret tickets[TLS_TICKET_SECRETS_MAX],
                             struct tls_policy *policy, char problem[512]);

/* Pin the calling thread as the configuration says; returns the processor, -1 when it did not work. */
int start_pin(const struct config *config, unsigned worker);

/* A worker's configuration out of the file's. */
void start_worker_config(const struct config *config, unsigned index,
                         const struct start_secrets *secrets, const struct toeplitz *toeplitz,
                         struct worker_config *out);

/* Say where we listen and where the workers run; the last line is "ready". */
void start_tell(const struct config *config, const struct region *region);

#endif
