/* SPDX-License-Identifier: BSD-3-Clause
 * The Internet checksum (RFC 1071) over spans and buffer chains. Called by the parser, the emitter
 * and ICMP. Knows nothing of protocols. Floor 1.
 *
 * A one's complement sum is the same in either byte order, up to a swap of the result (RFC 1071 s2
 * (B)), and carries may be folded in at the end. So native 32-bit words are added into 64-bit
 * accumulators, two in a vector: no carry can be lost below 2^32 words.
 */
#include "net/wire.h"

typedef uint64_t sum_pair __attribute__((vector_size(16)));

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Fold to 16 bits with end-around carry. */
static uint32_t sum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffu) + (sum >> 16);
    sum = (sum & 0xffffu) + (sum >> 16);
    return (uint32_t)sum;
}

static uint32_t sum_swap(uint32_t folded)
{
    return (folded & 0xff) << 8 | folded >> 8;
}

static uint64_t sum_tail(const uint8_t *p, size_t len)
{
    uint64_t sum = 0;
    for (; len >= 4; p += 4, len -= 4)
        sum += load32(p);
    if (len & 2)
        sum += (uint32_t)(p[0] | p[1] << 8);
    return len & 1 ? sum + p[len - 1] : sum;
}

/* Native-order sum; the last odd byte counts as the first of a pair. Even and odd words have accumulators of
 * their own, and so have the halves of a round: its adds do not wait for each other. */
static uint64_t sum_native(const uint8_t *p, size_t len)
{
    const sum_pair low = {UINT32_MAX, UINT32_MAX};
    sum_pair s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, a, b;
    if (len < sizeof a + sizeof b)
        return sum_tail(p, len);
    for (; len >= sizeof a + sizeof b; p += sizeof a + sizeof b, len -= sizeof a + sizeof b) {
        memcpy(&a, p, sizeof a);
        memcpy(&b, p + sizeof a, sizeof b);
        s0 += a & low;
        s1 += a >> 32;
        s2 += b & low;
        s3 += b >> 32;
    }
    s0 += s1 + (s2 + s3);
    return s0[0] + s0[1] + sum_tail(p, len);
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wire_sum swaps the native sum");

uint32_t wire_sum(uint32_t sum, struct span bytes)
{
    if (bytes.len == 0)
        return sum_fold(sum);
    return sum_fold((uint64_t)sum + sum_swap(sum_fold(sum_native(bytes.data, bytes.len))));
}

uint16_t wire_sum_finish(uint32_t sum)
{
    return (uint16_t)~sum_fold(sum);
}

uint32_t wire_sum_chain(uint32_t sum, const struct buf *b, uint32_t offset, uint32_t len)
{
    bool odd = false; /* the piece starts in the middle of a 16-bit word */
    for (; b && len; b = b->next) {
        if (offset >= b->len) {
            offset -= b->len;
            continue;
        }
        uint32_t n = b->len - offset < len ? b->len - offset : len;
        uint32_t part = wire_sum(0, span_make(b->data + offset, n));
        sum = sum_fold((uint64_t)sum + (odd ? sum_swap(part) : part));
        odd ^= n & 1;
        offset = 0;
        len -= n;
    }
    tg_assert(len == 0); /* callers have compared lengths with the chain */
    return sum;
}

uint32_t wire_sum_pseudo(const struct ip_addr *source, const struct ip_addr *destination,
                         uint8_t proto, uint32_t len)
{
    unsigned skip = ip_addr_is4(source) ? 12 : 0; /* RFC 9293 s3.1 and RFC 8200 s8.1: same sum */
    uint64_t sum =
        sum_tail(source->bytes + skip, 16 - skip) + sum_tail(destination->bytes + skip, 16 - skip);
    return sum_fold((uint64_t)sum_swap(sum_fold(sum)) + proto + (len >> 16) + (len & 0xffff));
}
