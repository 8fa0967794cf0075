/* SPDX-License-Identifier: BSD-3-Clause
 * Text form of addresses and prefixes. Called by config, the rule and origin readers, explain and
 * audit.
 */
#include "ctrlplane/prefix.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96, RFC 4291 s2.5.5.2 */

bool address_is4(const uint8_t address[16])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

bool address_parse(const char *text, uint8_t out[16])
{
    if (inet_pton(AF_INET, text, out + 12) == 1) {
        memcpy(out, mapped, sizeof mapped);
        return true;
    }
    /* The mapped form names an IPv4 address in a way that never arrives on the wire: refused. */
    return inet_pton(AF_INET6, text, out) == 1 && !address_is4(out);
}

char *address_text(const uint8_t address[16], char out[PREFIX_TEXT_MAX])
{
    if (address_is4(address))
        inet_ntop(AF_INET, address + 12, out, PREFIX_TEXT_MAX);
    else
        inet_ntop(AF_INET6, address, out, PREFIX_TEXT_MAX);
    return out;
}

char *prefix_text(const struct prefix *prefix, char out[PREFIX_TEXT_MAX])
{
    address_text(prefix->address, out);
    if (prefix->bits < 128) {
        bool is4 = address_is4(prefix->address) && prefix->bits >= 96;
        size_t n = strlen(out);
        snprintf(out + n, PREFIX_TEXT_MAX - n, "/%u", prefix->bits - (is4 ? 96u : 0u));
    }
    return out;
}

/* Clear the bits behind the length; true when there were none. */
static bool host_bits_clear(struct prefix *p)
{
    bool clean = true;
    for (unsigned i = 0; i < 16; i++) {
        unsigned first = i * 8;
        uint8_t keep = p->bits >= first + 8 ? 0xff
                       : p->bits <= first   ? 0
                                            : (uint8_t)(0xff << (8 - (p->bits - first)));
        clean &= (p->address[i] & ~keep) == 0;
        p->address[i] &= keep;
    }
    return clean;
}

/* 1 to 3 digits up to max, nothing else. */
static bool length_parse(const char *text, unsigned max, unsigned *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 3 || text[digits])
        return false;
    unsigned v = 0;
    for (; *text; text++)
        v = v * 10 + (unsigned)(*text - '0');
    *out = v;
    return v <= max;
}

const char *prefix_parse(const char *text, bool strict, struct prefix *out, char problem[160])
{
    char address[48];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof address)
        return "is not an IP address or prefix";
    memcpy(address, text, len);
    address[len] = 0;
    if (!address_parse(address, out->address))
        return "is not an IP address or prefix";
    unsigned base = address_is4(out->address) ? 96 : 0, bits = 128 - base;
    if (slash && !length_parse(slash + 1, 128 - base, &bits)) {
        snprintf(problem, 160, "has a prefix length that is not 0 to %u", 128 - base);
        return problem;
    }
    out->bits = (uint8_t)(base + bits);
    if (!strict)
        return NULL;
    struct prefix cleared = *out;
    if (!host_bits_clear(&cleared)) {
        char suggestion[PREFIX_TEXT_MAX];
        snprintf(problem, 160, "has bits set behind its length; the prefix is %s",
                 prefix_text(&cleared, suggestion));
        return problem;
    }
    return NULL;
}
