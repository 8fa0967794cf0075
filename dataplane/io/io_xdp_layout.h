/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
 * What the program in the driver (io_xdp.bpf.c) and the AF_XDP back end (io_xdp*.c) share: the maps'
 * keys and values. Both are built from this file in one run of meson. Plain integers only.
 *
 * Drop rules. At most IO_XDP_RULES, each a bit of a row of IO_XDP_WORDS words, the first rule the
 * lowest. For each thing that a rule can name there is a table from what the packet has to the row of
 * rules that allow it: prefixes by longest match (a row holds the rules of that prefix and of all that
 * cover it), the protocol, and for each port the class of ports that no rule tells apart. The AND of the
 * rows is the set of rules that match, its lowest bit the first one: exactly filter/'s answer, in a
 * time that does not grow with the rules. (The bit-vector scheme of Lakshman and Stiliadis, 1998.)
 */
#ifndef DATAPLANE_IO_IO_XDP_LAYOUT_H
#define DATAPLANE_IO_IO_XDP_LAYOUT_H

#include <linux/types.h>

#define IO_XDP_RULES     1024
#define IO_XDP_WORDS     (IO_XDP_RULES / 64)
#define IO_XDP_CLASSES   (2 * IO_XDP_RULES + 1) /* each rule cuts the ports at two places at most */
#define IO_XDP_QUEUES    64                     /* of an interface: workers bound it lower */
#define IO_XDP_ADDRESSES 256                    /* slots; few are taken */
/* two generations of source and destination prefixes, "any" in both families */
#define IO_XDP_PREFIXES (2 * 2 * (IO_XDP_RULES + 2))

/* What the program did with a frame. */
#define IO_XDP_REASONS(X)                                                                          \
    X(kernel)     /* to the kernel: not for an address of ours */                                  \
    X(socket)     /* to a worker */                                                                \
    X(no_socket)  /* drop: no worker serves this queue */                                          \
    X(rule)       /* drop: matched a drop rule */                                                  \
    X(ip4_header) /* drop: IPv4 header length or version */                                        \
    X(ip4_length) /* drop: IPv4 total length lies */                                               \
    X(ip6_length) /* drop: IPv6 payload length lies, or the version is another */                  \
    X(l4_length)  /* drop: shorter than the transport header, or the UDP length lies */            \
    X(tcp_offset) /* drop: TCP data offset */                                                      \
    X(tcp_port)   /* drop: TCP port 0 */                                                           \
    X(tcp_flags)  /* drop: TCP flags of no connection (SYN+FIN, SYN+RST, none, Xmas) */

#define IO_XDP_REASON_ENUM(name) IO_XDP_##name,
enum io_xdp_reason { IO_XDP_REASONS(IO_XDP_REASON_ENUM) IO_XDP_REASON_COUNT };
#undef IO_XDP_REASON_ENUM

/* Map `counters`: one for each processor; its only writer is the program on that processor. */
struct io_xdp_counters {
    __u64 reasons[16];        /* enum io_xdp_reason */
    __u64 hits[IO_XDP_RULES]; /* by the rule's slot */
};

struct io_xdp_row {
    __u64 words[IO_XDP_WORDS];
};

enum io_xdp_dimension { IO_XDP_SOURCE, IO_XDP_DESTINATION };

/* Map `prefixes`: longest prefix match over all of tag and address, so tag is matched exactly. */
struct io_xdp_prefix {
    __u32 bits; /* 32 of the tag + those of the address */
    __u8 generation;
    __u8 dimension; /* enum io_xdp_dimension */
    __u8 family;    /* 4 or 6 */
    __u8 pad;
    __u32 address[4]; /* as on the wire; IPv4: the first word */
};
#define IO_XDP_TAG_BITS 32

struct io_xdp_address {
    __u32 words[4]; /* as on the wire; IPv4 as IPv4-mapped; all 0: a free slot */
};

/* The program's variable. Our addresses lie in a hash table in which no two meet: user space looks for a
 * seed with which that is so. */
struct io_xdp_shared {
    __u32 rules_in_force; /* 0: none; else 1 + the index of the generation */
    __u32 seed;
    struct io_xdp_address addresses[IO_XDP_ADDRESSES];
};

static inline __attribute__((always_inline)) __u32 io_xdp_address_slot(const __u32 address[4],
                                                                       __u32 seed)
{
    __u32 mix = seed;
    for (int i = 0; i < 4; i++)
        mix = (mix ^ address[i]) * 0x9E3779B1u; /* Fibonacci hashing, word by word */
    return mix >> 24;
}

/* Map `generations`, two of them: one in force, one that is being written. */
struct io_xdp_generation {
    __u32 words;                /* of a row that hold rules */
    __u32 uses;                 /* bits of enum io_xdp_use: what at least one rule names */
    __u16 port_class[2][65536]; /* [IO_XDP_SOURCE or IO_XDP_DESTINATION][port] */
    struct io_xdp_row proto[256];
    struct io_xdp_row ports[2][IO_XDP_CLASSES];
    __u16 slot[IO_XDP_RULES]; /* where the rule's hits are counted */
};
enum io_xdp_use {
    IO_XDP_USES_SOURCE = 1,
    IO_XDP_USES_DESTINATION = 2,
    IO_XDP_USES_SOURCE_PORT = 4,
    IO_XDP_USES_DESTINATION_PORT = 8,
};

#endif
