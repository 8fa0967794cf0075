/* SPDX-License-Identifier: BSD-3-Clause
 * The list of addresses that may reach an origin, as something the origin can put in front of its ports: a table for
 * nft, or an XDP program as C source, the addresses in it as constants: no map, no loader of ours on the origin's host.
 * Called by origins.c. Prints, knows no API.
 */
#include "ctrlplane/cli/origin_guard.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void guard_list_print(const char *before, const json_t *list, const char *after)
{
    json_t *item;
    size_t i;
    if (json_array_size(list) == 0)
        return;
    printf("%s", before);
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        printf("%s%s", i ? ", " : "", json_string_value(item));
    printf("%s", after);
}

/* A table of its own, which a later run replaces whole: `nft -f` of this text is one transaction. */
void guard_nftables_print(const struct edges *e, const char *ports)
{
    printf("# who may open connections to the ports that tidegate fetches from; nft -f FILE\n"
           "table inet tidegate_origin\n"
           "delete table inet tidegate_origin\n"
           "table inet tidegate_origin {\n");
    guard_list_print("    set edges4 { type ipv4_addr; elements = { ", e->v4, " } }\n");
    guard_list_print("    set edges6 { type ipv6_addr; elements = { ", e->v6, " } }\n");
    printf("    chain input {\n"
           "        type filter hook input priority -10; policy accept;\n"
           "        iif \"lo\" accept\n");
    if (json_array_size(e->v4))
        printf("        tcp dport { %s } ip saddr @edges4 accept\n", ports);
    if (json_array_size(e->v6))
        printf("        tcp dport { %s } ip6 saddr @edges6 accept\n", ports);
    printf("        tcp dport { %s } counter drop\n    }\n}\n", ports);
}

/* --- XDP ------------------------------------------------------------------------------------------ */

static const char xdp_head[] = "/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)\n"
                               " * Who may open connections to the ports that tidegate fetches "
                               "from. Written by tgctl origin addresses.\n"
                               " *\n"
                               " *     clang -O2 -g -target bpf -I/usr/include/$(uname "
                               "-m)-linux-gnu -c guard.bpf.c -o guard.bpf.o\n"
                               " *     ip link set dev eth0 xdp obj guard.bpf.o sec xdp      (off: "
                               "ip link set dev eth0 xdp off)\n"
                               " */\n"
                               "#include <linux/bpf.h>\n"
                               "#include <linux/if_ether.h>\n"
                               "#include <linux/in.h>\n"
                               "#include <linux/ip.h>\n"
                               "#include <linux/ipv6.h>\n"
                               "#include <linux/tcp.h>\n"
                               "#define SEC(name) __attribute__((section(name), used))\n"
                               "#define N16(x) __builtin_bswap16(x)\n"
                               "\n"
                               "char _license[] SEC(\"license\") = \"Dual BSD/GPL\";\n"
                               "\n";

static const char xdp_tail[] =
    "static int tcp_verdict(const struct tcphdr *tcp, const void *end, int edge)\n"
    "{\n"
    "    if ((const void *)(tcp + 1) > end)\n"
    "        return XDP_DROP; /* a TCP header in pieces is nobody's we wait for */\n"
    "    return guarded(N16(tcp->dest)) && !edge ? XDP_DROP : XDP_PASS;\n"
    "}\n"
    "\n"
    "/* Extension headers that may stand in front of TCP (RFC 8200 s4); later fragments have no "
    "ports, and go nowhere\n"
    " * without their first. */\n"
    "static int ip6_verdict(const struct ipv6hdr *ip, const void *end)\n"
    "{\n"
    "    if ((const void *)(ip + 1) > end)\n"
    "        return XDP_DROP;\n"
    "    int edge = edge6(ip->saddr.s6_addr32);\n"
    "    const unsigned char *at = (const void *)(ip + 1);\n"
    "    unsigned char next = ip->nexthdr;\n"
    "    for (int i = 0; i < 6; i++) {\n"
    "        if (next == IPPROTO_TCP)\n"
    "            return tcp_verdict((const void *)at, end, edge);\n"
    "        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && "
    "next != IPPROTO_FRAGMENT)\n"
    "            return XDP_PASS;\n"
    "        if ((const void *)(at + 8) > end)\n"
    "            return XDP_DROP;\n"
    "        if (next == IPPROTO_FRAGMENT && (at[2] || at[3] & 0xf8))\n"
    "            return XDP_PASS;\n"
    "        unsigned bytes = next == IPPROTO_FRAGMENT ? 8 : (at[1] + 1u) * 8;\n"
    "        next = at[0];\n"
    "        at += bytes;\n"
    "    }\n"
    "    return XDP_DROP;\n"
    "}\n"
    "\n"
    "static int ip4_verdict(const struct iphdr *ip, const void *end)\n"
    "{\n"
    "    if ((const void *)(ip + 1) > end || ip->ihl < 5)\n"
    "        return XDP_DROP;\n"
    "    if (ip->protocol != IPPROTO_TCP || ip->frag_off & N16(0x1fff))\n"
    "        return XDP_PASS;\n"
    "    return tcp_verdict((const void *)ip + ip->ihl * 4, end, edge4(ip->saddr));\n"
    "}\n"
    "\n"
    "SEC(\"xdp\") int origin_guard(struct xdp_md *ctx)\n"
    "{\n"
    "    const void *end = (const void *)(long)ctx->data_end;\n"
    "    const unsigned char *at = (const void *)(long)ctx->data;\n"
    "    if ((const void *)(at + 14) > end)\n"
    "        return XDP_PASS;\n"
    "    unsigned type = at[12] << 8 | at[13];\n"
    "    at += 14;\n"
    "    for (int tags = 0; tags < 2 && (type == ETH_P_8021Q || type == ETH_P_8021AD); tags++) {\n"
    "        if ((const void *)(at + 4) > end)\n"
    "            return XDP_PASS;\n"
    "        type = at[2] << 8 | at[3];\n"
    "        at += 4;\n"
    "    }\n"
    "    if (type == ETH_P_IP)\n"
    "        return ip4_verdict((const void *)at, end);\n"
    "    return type == ETH_P_IPV6 ? ip6_verdict((const void *)at, end) : XDP_PASS;\n"
    "}\n";

/* One test of an address's 32-bit words, network order, as the program compares them. */
static void xdp_address_print(const char *text, int family)
{
    unsigned char bytes[16];
    unsigned words = family == AF_INET ? 1 : 4;
    inet_pton(family, text, bytes);
    printf("    if (");
    for (unsigned i = 0; i < words; i++) {
        uint32_t word;
        memcpy(&word, bytes + 4 * i, sizeof word);
        printf("%s%s == __builtin_bswap32(0x%08x)", i ? " && " : "",
               family == AF_INET ? "a"
               : i == 0          ? "a[0]"
               : i == 1          ? "a[1]"
               : i == 2          ? "a[2]"
                                 : "a[3]",
               ntohl(word));
    }
    printf(") /* %s */\n        return 1;\n", text);
}

static void xdp_edges_print(const char *head, const json_t *list, int family)
{
    json_t *item;
    size_t i;
    printf("%s\n{\n", head);
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        xdp_address_print(json_string_value(item), family);
    printf("    return 0;\n}\n\n");
}

void guard_xdp_print(const struct edges *e, const char *ports)
{
    printf("%sstatic int guarded(unsigned port)\n{\n    return", xdp_head);
    for (const char *p = ports; *p; p += strspn(p, ",")) {
        size_t digits = strcspn(p, ",");
        printf("%s port == %.*s", p == ports ? "" : " ||", (int)digits, p);
        p += digits;
    }
    printf(";\n}\n\n");
    xdp_edges_print("static int edge4(unsigned a)", e->v4, AF_INET);
    xdp_edges_print("static int edge6(const unsigned a[4])", e->v6, AF_INET6);
    printf("%s", xdp_tail);
}
