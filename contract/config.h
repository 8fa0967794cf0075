/* SPDX-License-Identifier: BSD-3-Clause
 * The one configuration file of tidegate and tidegate-ctl (libconfig; docs/tidegate.conf shows every key). Both programs
 * read and check the whole of it with this reader, so that they can never differ. Strict: an unknown key, a wrong
 * type or a value out of range is refused with file, line and key. Cold. Floor 1: base only, and libconfig.h, which
 * this reader alone includes.
 */
#ifndef CONTRACT_CONFIG_H
#define CONTRACT_CONFIG_H

#include "base/result.h"
#include "base/types.h"

#define CONFIG_TEXT      256 /* bytes of a string value with its NUL */
#define CONFIG_PORTS     4
#define CONFIG_ADDRESSES 8 /* per port */
#define CONFIG_ROUTES    32
#define CONFIG_LISTEN    8 /* per protocol */
#define CONFIG_EAL_ARGS  16
#define CONFIG_ETCD      5 /* endpoints of the fleet store */

/* An address with a prefix length; IPv4 as IPv4-mapped with bits + 96. */
struct config_prefix {
    uint8_t address[16];
    uint8_t bits;
};

struct config_port {
    char device[CONFIG_TEXT];
    unsigned queues, mtu;
    struct config_prefix addresses[CONFIG_ADDRESSES];
    unsigned address_count;
};

struct config_route {
    struct config_prefix prefix;
    uint8_t gateway[16];
    unsigned port;
};

struct config {
    char node_name[33];
    unsigned node_slot, node_site;
    char secrets
        [CONFIG_TEXT];  /* file of the keys that all nodes share; "": made at start, ours alone */
    char exception[16]; /* TAP that gives the kernel what is not ours; "": dropped */
    char region[CONFIG_TEXT];
    unsigned arena_mb;
    char user[CONFIG_TEXT], group[CONFIG_TEXT];
    unsigned workers;
    int cpus[TG_WORKERS_MAX];
    unsigned cpu_count;
    bool hugepages, idle_sleep;
    bool tso; /* ports that can cut segments out of larger ones do */
    unsigned buffers;
    char eal_args[CONFIG_EAL_ARGS][CONFIG_TEXT];
    unsigned eal_arg_count;
    struct config_port ports[CONFIG_PORTS];
    unsigned port_count;
    struct config_route routes[CONFIG_ROUTES];
    unsigned route_count;
    uint16_t http_ports[CONFIG_LISTEN], https_ports[CONFIG_LISTEN];
    unsigned http_port_count, https_port_count;
    unsigned connections, requests, receive_window, send_buffer; /* limits */
    unsigned early_data; /* bytes of 0-RTT a connection may bring; 0: none */
    unsigned head_ms, body_ms, keepalive_ms, handshake_ms;            /* timeouts */
    char socket[CONFIG_TEXT], state[CONFIG_TEXT], audit[CONFIG_TEXT]; /* control */
    unsigned apply_timeout_ms;
    char fleet[65]; /* name of the fleet; "" with no etcd endpoints: this node is alone */
    char etcd[CONFIG_ETCD][CONFIG_TEXT]; /* "http://192.0.2.5:2379", no path, no slash at the end */
    unsigned etcd_count;
};

/* Read and check the file. TG_BAD_CONFIG: `problem` is "FILE:LINE: key: what is wrong" (or "FILE: ..." when it
 * cannot be read); *config is then unspecified. Programs print it and exit with code 2. */
enum tg_err config_load(const char *path, struct config *config, char problem[512]);

/* "192.0.2.1" or "2001:db8::1" -> 16 bytes, IPv4 as IPv4-mapped. TG_BAD_INPUT. */
enum tg_err config_parse_address(const char *text, uint8_t address[16]);
/* "192.0.2.0/24" -> address and bits (+ 96). Host bits may be set (interface addresses). TG_BAD_INPUT. */
enum tg_err config_parse_prefix(const char *text, struct config_prefix *prefix);

#endif
