/* SPDX-License-Identifier: BSD-3-Clause
 * The tables that tidegate-ctl compiles and workers look up: each kind is one immutable generation, one block of
 * bytes that starts with struct tables_header. Offsets are from the block's first byte. Whatever a worker reads
 * here it has bounds-checked first (tables_*_valid), because another process wrote it. Addresses are 16 bytes,
 * IPv4 as IPv4-mapped (::ffff:a.b.c.d) with prefix lengths + 96; ports are host order. Floor 1: base only.
 */
#ifndef CONTRACT_TABLES_H
#define CONTRACT_TABLES_H

#include "base/span.h"
#include "base/types.h"

enum tables_kind {
    TABLES_RULES,        /* drop rules */
    TABLES_ROUTES,       /* sites and origins, with the keys that we show to origins: secret, too */
    TABLES_CERTIFICATES, /* chains and private keys: locked, never in a core dump, wiped when freed */
    TABLES_WAF,          /* a compiled program: struct tables_waf, then waf_compile's blob */
    TABLES_OWNERS,       /* bucket -> owner nodes; the fleet's nodes and keys: secret, too */
    TABLES_KINDS,
};

#define TABLES_RULES_MAX           1024
#define TABLES_SITES_MAX           4096
#define TABLES_ORIGINS_MAX         1024
#define TABLES_CERTIFICATES_MAX    1024
#define TABLES_KEYSERVERS_MAX      64
#define TABLES_KEYSERVER_ADDRESSES 4 /* of one key server */
#define TABLES_OWNER_BUCKETS       65536
#define TABLES_NODES_MAX           1024 /* of a fleet */
#define TABLES_NODE_SLOTS          4095 /* slots are 0 .. 4094: twelve bits of an owner cookie */
#define TABLES_KEYS_OF_A_USE       2    /* valid at once */

struct tables_header {
    uint32_t kind;   /* enum tables_kind */
    uint32_t bytes;  /* of the whole block */
    uint64_t number; /* generation */
};

struct tables_string {
    uint32_t offset, len;
};

/* A packet that matches all given parts is dropped. */
struct tables_rule {
    uint32_t id;   /* the user's */
    uint32_t slot; /* index of its hit counter, < TABLES_RULES_MAX; stable over generations */
    uint8_t source[16];
    uint8_t destination[16];
    uint8_t source_bits, destination_bits; /* 0: any, of either family */
    uint8_t proto;                         /* IP protocol; 0: any */
    uint8_t pad;
    uint16_t source_port_low, source_port_high; /* 0..65535: any */
    uint16_t destination_port_low, destination_port_high;
};
struct tables_rules {
    struct tables_header header;
    uint32_t count;
    uint32_t pad;
    struct tables_rule rules[];
};

enum tables_site_flag {
    TABLES_SITE_DEFAULT = 1u << 0, /* answers for unknown hosts */
    TABLES_SITE_WAF = 1u << 1,     /* inspect */
};
struct tables_site {
    uint32_t id;
    uint32_t flags;
    struct tables_string host; /* lower case; "*.example.com" for one label */
    uint32_t origin;           /* index */
    uint32_t pad;
};
enum tables_origin_flag {
    TABLES_ORIGIN_TLS = 1u << 0,
    TABLES_ORIGIN_VERIFY =
        1u << 1, /* with TLS: its chain must lead to ca_pem and name server_name */
};
struct tables_origin {
    uint32_t id;
    uint32_t flags;
    uint8_t address[16];
    uint16_t port;
    uint16_t pad;
    uint32_t connections_max; /* per worker */
    uint32_t connect_timeout_ms;
    uint32_t response_timeout_ms; /* request sent -> response head */
    uint32_t idle_timeout_ms;     /* in the pool */
    struct tables_string name;    /* for logs */
    /* With TLS. Authenticated origin pulls: chain_pem and key_pem are what we show when the origin asks
     * for a client's certificate; both empty: nothing. */
    struct tables_string server_name, ca_pem, chain_pem, key_pem;
};
struct tables_routes {
    struct tables_header header;
    uint32_t site_count, site_offset;     /* struct tables_site[], sorted by host bytes */
    uint32_t origin_count, origin_offset; /* struct tables_origin[] */
    uint32_t default_site;                /* index, or UINT32_MAX */
    uint32_t pad;
};

enum tables_certificate_flag {
    TABLES_CERTIFICATE_DEFAULT = 1u << 0,
};
struct tables_certificate {
    struct tables_string names; /* host names, each followed by a NUL */
    struct tables_string chain_pem;
    struct tables_string key_pem; /* empty: keyless */
    uint32_t flags;
    uint32_t keyserver; /* keyless: index of who has the key, or UINT32_MAX: nobody */
};
/* Where private keys lie that are not here. */
struct tables_keyserver {
    struct tables_string server_name;        /* what its certificate says */
    struct tables_string ca_pem;             /* who signs that */
    struct tables_string chain_pem, key_pem; /* who we are */
    uint32_t address_count;                  /* 1 .. TABLES_KEYSERVER_ADDRESSES */
    struct {
        uint8_t address[16];
        uint16_t port, pad;
    } addresses[TABLES_KEYSERVER_ADDRESSES];
};
struct tables_certificates {
    struct tables_header header;
    uint32_t count;
    uint32_t keyserver_count, keyserver_offset; /* struct tables_keyserver[] */
    uint32_t pad;
    struct tables_certificate certificates[];
};

struct tables_waf {
    struct tables_header header;
    uint32_t program_offset, program_len; /* waf_program_open's blob; offset is 64-byte aligned */
};

/* A node of the fleet. Only living ones are listed: what names another is nobody's. */
struct tables_node {
    uint16_t slot;
    uint8_t site;
    uint8_t pad;
    /* Where its tunnel ends, one of each family at most: IPv4 mapped as everywhere; all zero: none. */
    uint8_t address4[16], address6[16];
};
enum tables_key_use {
    TABLES_KEY_OWNER,  /* owner cookies in timestamps and sequence numbers */
    TABLES_KEY_SYN,    /* SYN cookies */
    TABLES_KEY_TUNNEL, /* MAC of tunnelled packets */
    TABLES_KEY_USES,
};
struct tables_key {
    uint32_t use; /* enum tables_key_use */
    uint32_t id;
    uint8_t secret[16]; /* SipHash's k0, k1, little-endian */
};
enum tables_owners_flag {
    TABLES_OWNERS_KEEP =
        1u << 0, /* answer strangers' packets with RST, do not send them to their owner */
};
struct tables_owners {
    struct tables_header header;
    uint32_t bucket_count; /* power of two, <= TABLES_OWNER_BUCKETS */
    /* Without nodes there is no fleet: what is not ours is nobody's. With nodes there are keys for owner
     * cookies and the tunnel. Of each use at most TABLES_KEYS_OF_A_USE, the one to encode with first. */
    uint32_t node_count, node_offset; /* struct tables_node[], by rising slot */
    uint32_t key_count, key_offset;   /* struct tables_key[] */
    uint32_t flags;                   /* enum tables_owners_flag */
    /* With nodes: a tuple's bucket is the hash of fleet_bucket (steer) under this secret, which all nodes of
     * a site share and which never changes. Without: the port's hash decides, which is the node's own. */
    uint8_t bucket_secret[16];
    uint16_t owners[][4]; /* per bucket: owner slots in this site, newest first; 0xffff: none */
};

/* Bounds checks of a block of `len` bytes: header, counts, every offset. A block that fails is refused. */
bool tables_rules_valid(const struct tables_rules *t, size_t len);
bool tables_routes_valid(const struct tables_routes *t, size_t len);
bool tables_certificates_valid(const struct tables_certificates *t, size_t len);
bool tables_waf_valid(const struct tables_waf *t, size_t len);
bool tables_owners_valid(const struct tables_owners *t, size_t len);
/* By kind. */
bool tables_valid(enum tables_kind kind, const void *block, size_t len);

/* "rules", "routes", ...; never NULL. */
const char *tables_kind_name(enum tables_kind kind);

/* A string of a block that has been found valid. */
static inline struct span tables_string_span(const void *block, struct tables_string s)
{
    return (struct span){(const uint8_t *)block + s.offset, s.len};
}

/* The key servers of a certificates table that has been found valid. */
static inline const struct tables_keyserver *tables_keyservers(const struct tables_certificates *t)
{
    return (const struct tables_keyserver *)(const void *)((const uint8_t *)t +
                                                           t->keyserver_offset);
}

/* The nodes and the keys of an owners table that has been found valid. */
static inline const struct tables_node *tables_nodes(const struct tables_owners *t)
{
    return (const struct tables_node *)(const void *)((const uint8_t *)t + t->node_offset);
}
static inline const struct tables_key *tables_keys(const struct tables_owners *t)
{
    return (const struct tables_key *)(const void *)((const uint8_t *)t + t->key_offset);
}

#endif
