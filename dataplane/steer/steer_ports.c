/* SPDX-License-Identifier: BSD-3-Clause
 * Local ports of active opens whose answers arrive at this worker. Toeplitz is linear over GF(2):
 * the hash of a tuple is the hash of the tuple with port 0, exclusive-or the contribution of the
 * port alone. So ports are sorted once by the low 7 bits of their contribution, and for a tuple the
 * right buckets are known at once. Called by tcp through tcp_config.pick_port. Floor 2.
 */
#include "steer/steer.h"
#include <stdlib.h>

#define BUCKETS    128 /* low 7 bits: what steer_worker_of looks at */
#define PORT_COUNT (65536 - STEER_PORT_FIRST)

/* Where our port lies in the hash input of an answer: source, destination, source port, destination
 * port. */
static const unsigned port_offset[2] = {10, 34};

static unsigned port_bucket(const struct toeplitz *t, unsigned family, unsigned port)
{
    const uint32_t(*table)[256] = &t->table[port_offset[family]];
    return (table[0][port >> 8] ^ table[1][port & 255]) & (BUCKETS - 1);
}

/* Within a bucket the order is random, so that a port tells nothing about the next one (RFC 6056).
 */
static void shuffle(uint16_t *ports, uint32_t n, struct prng *prng)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)prng_below(prng, i);
        uint16_t swap = ports[i - 1];
        ports[i - 1] = ports[j];
        ports[j] = swap;
    }
}

static bool family_init(struct steer_ports *ports, unsigned family, struct prng *prng)
{
    uint16_t *sorted = malloc(PORT_COUNT * sizeof *sorted);
    uint32_t *start = ports->family[family].start, fill[BUCKETS];
    if (!sorted)
        return false;
    ports->family[family].by_bucket = sorted;
    for (unsigned port = STEER_PORT_FIRST; port < 65536; port++)
        start[port_bucket(ports->toeplitz, family, port) + 1]++;
    for (unsigned b = 0; b < BUCKETS; b++) {
        start[b + 1] += start[b];
        fill[b] = start[b];
    }
    for (unsigned port = STEER_PORT_FIRST; port < 65536; port++)
        sorted[fill[port_bucket(ports->toeplitz, family, port)]++] = (uint16_t)port;
    for (unsigned b = 0; b < BUCKETS; b++)
        shuffle(sorted + start[b], start[b + 1] - start[b], prng);
    return true;
}

/* Ports of this worker for tuples whose hash with port 0 ends in `base`. At most 64 steps for two
 * workers. */
static uint32_t ports_of(const struct steer_ports *ports, unsigned family, unsigned base)
{
    const uint32_t *start = ports->family[family].start;
    uint32_t total = 0;
    for (unsigned low = ports->worker; low < BUCKETS; low += ports->workers) {
        unsigned b = low ^ base;
        total += start[b + 1] - start[b];
    }
    return total;
}

/* With an unlucky key (about one in a thousand for 16 workers) the contributions do not span the
 * low bits. */
static bool reaches_every_base(const struct steer_ports *ports)
{
    for (unsigned family = 0; family < 2; family++)
        for (unsigned base = 0; base < BUCKETS; base++)
            if (ports_of(ports, family, base) == 0)
                return false;
    return true;
}

enum tg_err steer_ports_init(struct steer_ports *ports, const struct toeplitz *toeplitz,
                             unsigned worker, unsigned workers, uint32_t seed)
{
    tg_assert(workers > 0 && workers <= BUCKETS && worker < workers);
    struct prng prng;
    prng_seed(&prng, seed);
    memset(ports, 0, sizeof *ports);
    ports->toeplitz = toeplitz;
    ports->worker = worker;
    ports->workers = workers;
    ports->first = ports->last = (uint32_t)prng_next(&prng);
    enum tg_err e = TG_NO_MEMORY;
    if (!family_init(ports, 0, &prng) || !family_init(ports, 1, &prng))
        goto fail;
    e = TG_BAD_CONFIG;
    if (!reaches_every_base(ports))
        goto fail;
    return TG_OK;
fail:
    steer_ports_free(ports);
    return e;
}

void steer_ports_free(struct steer_ports *ports)
{
    free(ports->family[0].by_bucket);
    free(ports->family[1].by_bucket);
    memset(ports, 0, sizeof *ports);
}

/* The n-th (0 <= n < ports_of) port of the buckets in turn. */
static uint16_t port_at(const struct steer_ports *ports, unsigned family, unsigned base, uint32_t n)
{
    const uint32_t *start = ports->family[family].start;
    for (unsigned low = ports->worker; low < BUCKETS; low += ports->workers) {
        unsigned b = low ^ base;
        uint32_t size = start[b + 1] - start[b];
        if (n < size)
            return ports->family[family].by_bucket[start[b] + n];
        n -= size;
    }
    tg_assert(!"n is below ports_of");
    return 0;
}

uint16_t steer_pick_port(void *arg, const struct ip_tuple *tuple, unsigned try_number)
{
    struct steer_ports *ports = arg;
    struct ip_tuple without_port = *tuple;
    without_port.local_port = 0;
    unsigned family = ip_addr_is4(&tuple->local) ? 0 : 1;
    uint32_t hash = wire_tuple_hash(ports->toeplitz, &without_port);
    unsigned base = hash & (BUCKETS - 1);
    uint32_t total = ports_of(ports, family, base);
    if (try_number >= total)
        return 0;
    if (try_number == 0)
        ports->first = ports->last + 1; /* behind what the last open came to use */
    ports->last = ports->first + try_number;
    /* The hash's upper bits give each remote a place of its own to start at (RFC 6056 s3.3.3). */
    uint64_t place = (uint64_t)ports->first + (hash >> 7) + try_number;
    return port_at(ports, family, base, (uint32_t)(place % total));
}
