/* SPDX-License-Identifier: BSD-3-Clause
 * Addresses of either family in 16 bytes, and their text form. Called by every floor from net up;
 * text only by cold code. Knows nothing of packets. Floor 1.
 */
#include "net/wire.h"
#include <arpa/inet.h>

static uint64_t half_of(const struct ip_addr *a, unsigned half)
{
    uint64_t word;
    memcpy(&word, a->bytes + 8 * half, sizeof word);
    return __builtin_bswap64(word);
}

/* Asked for every segment that is sent: no loop, no call. */
bool ip_addr_in_prefix(const struct ip_addr *a, const struct ip_addr *prefix, unsigned bits)
{
    tg_assert(bits <= 128);
    uint64_t differs = half_of(a, 0) ^ half_of(prefix, 0);
    if (bits <= 64)
        return bits == 0 || differs >> (64 - bits) == 0;
    return differs == 0 && (half_of(a, 1) ^ half_of(prefix, 1)) >> (128 - bits) == 0;
}

char *ip_addr_text(const struct ip_addr *a, char out[46])
{
    bool is4 = ip_addr_is4(a);
    const char *text = inet_ntop(is4 ? AF_INET : AF_INET6, is4 ? a->bytes + 12 : a->bytes, out, 46);
    tg_assert(text == out); /* 46 = INET6_ADDRSTRLEN: always enough */
    return out;
}

enum tg_err ip_addr_parse(const char *text, struct ip_addr *out)
{
    struct ip_addr a;
    uint8_t four[4];
    if (inet_pton(AF_INET, text, four) == 1)
        a = ip_addr_from4(four);
    else if (inet_pton(AF_INET6, text, a.bytes) != 1)
        return TG_BAD_INPUT;
    *out = a;
    return TG_OK;
}
