/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
 * The program in the driver. What is for an address of ours is checked, matched against the drop
 * rules and redirected to the worker's socket; everything else goes to the kernel, so that ssh on the
 * same interface lives on. Loaded and fed by io_xdp_prog.c and io_xdp_rules.c.
 *
 * It drops only what filter/ or tcp/ would drop too, later and dearer. What it cannot judge (IPv4 options,
 * fragments, odd extension headers, protocols it does not know) it hands to the worker.
 */
#include <linux/bpf.h>
// clang-format off
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on
#include "io/io_xdp_layout.h"

enum {
    ETH_BYTES = 14,
    ETHERTYPE_IP4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_IP6 = 0x86dd,
    ARP_BYTES = 28,
    IP4_BYTES = 20,
    IP6_BYTES = 40,
    TCP_BYTES = 20,
    UDP_BYTES = 8,
    ICMP_BYTES = 8,
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMP6 = 58,
    EXTENSION_HOP_BY_HOP = 0,
    EXTENSION_ROUTING = 43,
    EXTENSION_DESTINATION = 60,
    EXTENSIONS_MAX = 8, /* as in net/wire.h */
    ND_FIRST = 133,
    ND_SOLICIT = 135,
    ND_LAST = 137,
};

/* A verdict on the way: more to see, or an enum io_xdp_reason. */
#define GO_ON (-1)

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, IO_XDP_QUEUES);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, IO_XDP_PREFIXES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct io_xdp_prefix);
    __type(value, struct io_xdp_row);
} prefixes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct io_xdp_generation);
} generations SEC(".maps");

/* User space sets max_entries to the number of processors. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct io_xdp_counters);
} counters SEC(".maps");

struct io_xdp_shared shared; /* mapped by user space as .bss */

/* What rules look at. */
struct flow {
    __u32 source[4], destination[4];     /* as on the wire; IPv4 as IPv4-mapped */
    __u16 source_port, destination_port; /* host order; 0 where there are none */
    __u8 family;                         /* 4 or 6 */
    __u8 proto;
    __u16 pad;
};

struct packet {
    struct flow flow;
    const __u8 *l4;
    __u32 l4_len; /* by the IP header */
};

/* Frames lie at odd addresses. The processors that we run on read them as they are; clang would go byte by
 * byte if it knew. */
static __always_inline __u16 get16(const __u8 *p)
{
    return bpf_ntohs(*(const __u16 *)p);
}

static __always_inline void copy16(__u32 out[4], const __u8 *in)
{
    for (int i = 0; i < 4; i++)
        out[i] = ((const __u32 *)in)[i];
}

/* Are n bytes at p within the frame? */
static __always_inline int within(const __u8 *p, __u32 n, const __u8 *end)
{
    return p + n <= end;
}

static __always_inline int is_ours(const __u32 address[4])
{
    if (!(address[0] | address[1] | address[2] | address[3])) /* a free slot is all 0 */
        return 0;
    const __u32 *slot = shared.addresses[io_xdp_address_slot(address, shared.seed)].words;
    return slot[0] == address[0] && slot[1] == address[1] && slot[2] == address[2] &&
           slot[3] == address[3];
}

/* On the wire ::ffff:a.b.c.d is nobody's address; in the table it would be an IPv4 one. */
static __always_inline int is_ours6(const __u32 address[4])
{
    int is_mapped = address[0] == 0 && address[1] == 0 && address[2] == bpf_htonl(0xffff);
    return !is_mapped && is_ours(address);
}

static __always_inline void map4(__u32 out[4], const __u8 *in)
{
    out[0] = out[1] = 0;
    out[2] = bpf_htonl(0xffff);
    out[3] = *(const __u32 *)in;
}

/* The question or answer is about, or for, an address of ours (RFC 826: target protocol address). */
static __always_inline int judge_arp(const __u8 *p, const __u8 *end)
{
    __u32 target[4];
    if (!within(p, ARP_BYTES, end))
        return IO_XDP_kernel;
    map4(target, p + 24);
    return is_ours(target) ? IO_XDP_socket : IO_XDP_kernel;
}

static __always_inline int judge_tcp(struct packet *k, const __u8 *end)
{
    const __u8 *h = k->l4;
    if (k->l4_len < TCP_BYTES)
        return IO_XDP_l4_length;
    if (!within(h, TCP_BYTES, end))
        return IO_XDP_socket; /* cannot be: the IP length has been compared with the frame's */
    __u32 header = (h[12] >> 4) * 4;
    __u8 flags = h[13];
    enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
    k->flow.source_port = get16(h);
    k->flow.destination_port = get16(h + 2);
    if (header < TCP_BYTES || header > k->l4_len)
        return IO_XDP_tcp_offset;
    if (k->flow.source_port == 0 || k->flow.destination_port == 0)
        return IO_XDP_tcp_port;
    /* RFC 9293 s3.10.7: a segment without SYN, RST and ACK is dropped in every state */
    if (!(flags & (SYN | RST | ACK)) || ((flags & SYN) && (flags & (FIN | RST))))
        return IO_XDP_tcp_flags;
    return GO_ON;
}

static __always_inline int judge_udp(struct packet *k, const __u8 *end)
{
    const __u8 *h = k->l4;
    if (k->l4_len < UDP_BYTES)
        return IO_XDP_l4_length;
    if (!within(h, UDP_BYTES, end))
        return IO_XDP_socket;
    __u16 len = get16(h + 4);
    if (len < UDP_BYTES || len > k->l4_len)
        return IO_XDP_l4_length;
    k->flow.source_port = get16(h);
    k->flow.destination_port = get16(h + 2);
    return GO_ON;
}

/* ARP and neighbour discovery are the link's own life: no rule applies. */
static __always_inline int judge_icmp(struct packet *k, const __u8 *end)
{
    if (k->l4_len < ICMP_BYTES)
        return IO_XDP_l4_length;
    if (!within(k->l4, ICMP_BYTES, end))
        return IO_XDP_socket;
    if (k->flow.family == 6 && k->l4[0] >= ND_FIRST && k->l4[0] <= ND_LAST)
        return IO_XDP_socket;
    return GO_ON;
}

static __always_inline int judge_l4(struct packet *k, const __u8 *end)
{
    if (k->flow.proto == PROTO_TCP)
        return judge_tcp(k, end);
    if (k->flow.proto == PROTO_UDP)
        return judge_udp(k, end);
    if (k->flow.proto == (k->flow.family == 4 ? PROTO_ICMP : PROTO_ICMP6))
        return judge_icmp(k, end);
    return IO_XDP_socket;
}

static __always_inline int judge_ip4(struct packet *k, const __u8 *p, const __u8 *end)
{
    if (!within(p, IP4_BYTES, end))
        return IO_XDP_kernel;
    k->flow.family = 4;
    map4(k->flow.source, p + 12);
    map4(k->flow.destination, p + 16);
    if (!is_ours(k->flow.destination))
        return IO_XDP_kernel;
    __u32 total = get16(p + 2), header = (p[0] & 15) * 4;
    if (p[0] >> 4 != 4 || header < IP4_BYTES)
        return IO_XDP_ip4_header;
    if (total < header || total > (__u64)(end - p))
        return IO_XDP_ip4_length;
    if (header > IP4_BYTES || get16(p + 6) & 0x3fff) /* options; more fragments, or an offset */
        return IO_XDP_socket;
    k->flow.proto = p[9];
    k->l4 = p + IP4_BYTES;
    k->l4_len = total - IP4_BYTES;
    return judge_l4(k, end);
}

/* A neighbour solicitation for an address of ours comes to a multicast group (RFC 4861 s4.3). */
static __always_inline int judge_ip6_group(const __u8 *p, const __u8 *end)
{
    __u32 target[4];
    const __u8 *icmp = p + IP6_BYTES;
    if (p[6] != PROTO_ICMP6 || !within(icmp, 24, end) || icmp[0] != ND_SOLICIT)
        return IO_XDP_kernel;
    copy16(target, icmp + 8);
    return is_ours6(target) ? IO_XDP_socket : IO_XDP_kernel;
}

static __always_inline int is_walked_extension(__u8 next)
{
    return next == EXTENSION_HOP_BY_HOP || next == EXTENSION_ROUTING ||
           next == EXTENSION_DESTINATION;
}

/* Walk to the transport header (RFC 8200 s4.1). Their contents are the worker's to judge. */
static __always_inline int walk_extensions(struct packet *k, const __u8 *p, const __u8 *end,
                                           __u32 payload)
{
    __u32 at = 0; /* from the end of the IPv6 header */
    __u8 next = p[6];
    for (int i = 0; i < EXTENSIONS_MAX && is_walked_extension(next); i++) {
        const __u8 *h = p + IP6_BYTES + at;
        if (!within(h, 8, end))
            return IO_XDP_socket;
        next = h[0];
        at += (h[1] + 1u) * 8;
    }
    if (is_walked_extension(next) || at > payload)
        return IO_XDP_socket;
    k->flow.proto = next;
    k->l4 = p + IP6_BYTES + at;
    k->l4_len = payload - at;
    return GO_ON;
}

static __always_inline int judge_ip6(struct packet *k, const __u8 *p, const __u8 *end)
{
    if (!within(p, IP6_BYTES, end))
        return IO_XDP_kernel;
    k->flow.family = 6;
    copy16(k->flow.source, p + 8);
    copy16(k->flow.destination, p + 24);
    if (p[24] == 0xff)
        return judge_ip6_group(p, end);
    if (!is_ours6(k->flow.destination))
        return IO_XDP_kernel;
    __u32 payload = get16(p + 4);
    if (p[0] >> 4 != 6 || payload == 0 || payload > (__u64)(end - p) - IP6_BYTES)
        return IO_XDP_ip6_length;
    int verdict = walk_extensions(k, p, end, payload);
    return verdict == GO_ON ? judge_l4(k, end) : verdict;
}

/* The rules that the longest matching prefix allows; NULL: none. */
static __always_inline const struct io_xdp_row *prefix_row(__u8 generation, __u8 dimension,
                                                           __u8 family, const __u32 address[4])
{
    struct io_xdp_prefix key = {.bits = IO_XDP_TAG_BITS + (family == 4 ? 32 : 128),
                                .generation = generation,
                                .dimension = dimension,
                                .family = family};
    if (family == 4)
        key.address[0] = address[3];
    else
        __builtin_memcpy(key.address, address, 16);
    return bpf_map_lookup_elem(&prefixes, &key);
}

static __always_inline const struct io_xdp_row *port_row(const struct io_xdp_generation *g,
                                                         int dimension, __u16 port)
{
    __u32 class = g->port_class[dimension][port];
    if (class >= IO_XDP_CLASSES)
        return 0;
    asm volatile("" : "+r"(class)); /* the verifier wants the check before the address, clang not */
    return &g->ports[dimension][class];
}

/* Which bit is set, by a de Bruijn sequence: no branch, for there is no such instruction, and every branch
 * in a loop is one more way for the verifier to walk. */
static const __u8 bit_numbers[64] = {0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,
                                     62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
                                     63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,
                                     46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6};
static __always_inline __u32 lowest_bit(__u64 word)
{
    return bit_numbers[(word & -word) * 0x03f79d71b4cb0a89ull >> 58];
}

/* The first rule that matches: its slot; GO_ON when none does. A function of its own for
 * the verifier, which looks at it once instead of once for each way that a packet can come here. */
__noinline int match_rules(const struct flow *k)
{
    __u32 index = shared.rules_in_force - 1;
    if (!k || index > 1)
        return GO_ON;
    const struct io_xdp_generation *g = bpf_map_lookup_elem(&generations, &index);
    if (!g)
        return GO_ON;
    /* what no rule names narrows nothing: the protocol's row again */
    const struct io_xdp_row *proto = &g->proto[k->proto];
    const struct io_xdp_row *source = proto, *destination = proto, *source_port = proto,
                            *destination_port = proto;
    if (g->uses & IO_XDP_USES_SOURCE)
        source = prefix_row(index, IO_XDP_SOURCE, k->family, k->source);
    if (g->uses & IO_XDP_USES_DESTINATION)
        destination = prefix_row(index, IO_XDP_DESTINATION, k->family, k->destination);
    if (g->uses & IO_XDP_USES_SOURCE_PORT)
        source_port = port_row(g, IO_XDP_SOURCE, k->source_port);
    if (g->uses & IO_XDP_USES_DESTINATION_PORT)
        destination_port = port_row(g, IO_XDP_DESTINATION, k->destination_port);
    if (!source || !destination || !source_port || !destination_port)
        return GO_ON;
    for (__u32 i = 0; i < IO_XDP_WORDS; i++) {
        if (i >= g->words)
            break;
        __u64 matching = proto->words[i] & source->words[i] & destination->words[i] &
                         source_port->words[i] & destination_port->words[i];
        if (matching)
            return g->slot[(i * 64 + lowest_bit(matching)) & (IO_XDP_RULES - 1)];
    }
    return GO_ON;
}

static __always_inline int judge(struct packet *k, const __u8 *p, const __u8 *end)
{
    if (!within(p, ETH_BYTES, end))
        return IO_XDP_kernel;
    switch (get16(p + 12)) {
    case ETHERTYPE_IP4:
        return judge_ip4(k, p + ETH_BYTES, end);
    case ETHERTYPE_IP6:
        return judge_ip6(k, p + ETH_BYTES, end);
    case ETHERTYPE_ARP:
        return judge_arp(p + ETH_BYTES, end);
    default:
        return IO_XDP_kernel;
    }
}

SEC("xdp")
int tidegate_xdp(struct xdp_md *context)
{
    const __u8 *p = (const __u8 *)(long)context->data;
    const __u8 *end = (const __u8 *)(long)context->data_end;
    __u32 processor = bpf_get_smp_processor_id();
    struct io_xdp_counters *count = bpf_map_lookup_elem(&counters, &processor);
    struct packet k = {0};
    if (!count)
        return XDP_ABORTED; /* cannot be: there is one for each processor */
    int reason = judge(&k, p, end), action = XDP_DROP;
    if (reason == GO_ON) {
        int slot = match_rules(&k.flow);
        reason = IO_XDP_socket;
        if (slot != GO_ON) {
            count->hits[slot & (IO_XDP_RULES - 1)]++;
            reason = IO_XDP_rule;
        }
    }
    if (reason == IO_XDP_kernel)
        action = XDP_PASS;
    if (reason == IO_XDP_socket) {
        action = bpf_redirect_map(&sockets, context->rx_queue_index, XDP_DROP);
        if (action != XDP_REDIRECT)
            reason = IO_XDP_no_socket;
    }
    count->reasons[reason & 15]++;
    return action;
}

char dual_license[] SEC("license") = "Dual BSD/GPL";
