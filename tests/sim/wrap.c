/* SPDX-License-Identifier: BSD-3-Clause
 * Keys under which a connection's sequence numbers or timestamps wrap soon: with random ones that would
 * take 4 GiB or 49 days. The only file here that looks inside tcp.
 */
#include "tcp/tcp_internal.h"
#include "tests/sim/host.h"

#define WRAP_TRIES    1000000 /* about 4,000 are needed for bytes, 200,000 for timestamps */
#define WRAP_BYTES    1000000u
#define WRAP_TS_TICKS 20000u

static bool wraps(const struct tcp *tcp, const struct ip_tuple *tuple, tg_ns when, bool timestamps)
{
    struct tcp_secrets s = tcp_secrets_of(tcp, tuple, when);
    return timestamps ? -tcp_timestamp(s.ts_offset, when) < WRAP_TS_TICKS : -s.isn < WRAP_BYTES;
}

void host_wrap_soon(struct host *host, const struct ip_tuple *tuple, tg_ns when)
{
    bool timestamps = sim_chance(&host->rng, 30);
    for (unsigned i = 0; i < WRAP_TRIES && !wraps(host->tcp, tuple, when, timestamps); i++)
        host->tcp->config.isn_key[0] = prng_next(&host->rng);
}
