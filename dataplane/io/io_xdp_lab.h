/* SPDX-License-Identifier: BSD-3-Clause
 * Hand-made packets and a veth pair in a network namespace of the test's own, for the tests of the AF_XDP
 * back end (root only), and its program without either. Lengths are right unless the test bends them; checksums are left 0.
 */
#ifndef DATAPLANE_IO_IO_XDP_LAB_H
#define DATAPLANE_IO_IO_XDP_LAB_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "io/io_xdp.h"
#include <string.h>

#define LAB_OURS "tgx0" /* the end that tidegate opens */
#define LAB_PEER "tgx1"

#define LAB_EDGE4   0xc0000201u /* 192.0.2.1: ours */
#define LAB_OTHER4  0xc0000202u /* 192.0.2.2: the kernel's */
#define LAB_CLIENT4 0xc6336401u /* 198.51.100.1 */

struct lab_packet {
    uint16_t len;
    uint8_t bytes[2100];
};

/* "2001:db8::1" with this last byte */
void lab_address6(uint8_t out[16], uint8_t last);
void lab_address4(uint8_t out[16], uint32_t address); /* IPv4-mapped */

/* Frames from the client to 192.0.2.1 or 2001:db8::1. l4 is what follows the IP header. */
struct lab_packet lab_ip4(uint32_t source, uint32_t destination, uint8_t proto, const void *l4,
                          uint16_t l4_len);
struct lab_packet lab_ip6(const uint8_t source[16], const uint8_t destination[16], uint8_t next,
                          const void *l4, uint16_t l4_len);
struct lab_packet lab_tcp4(uint16_t source_port, uint16_t destination_port, uint8_t flags);
struct lab_packet lab_udp4(uint16_t source_port, uint16_t destination_port, uint16_t payload,
                           uint8_t fill);
struct lab_packet lab_arp(uint32_t target);

/* The program in the driver, attached to nothing: 192.0.2.1 and 2001:db8::1 are ours, queue 0 has a
 * socket at which nothing arrives. False and a sentence: no right to load it. */
bool lab_driver_open(struct io_driver *driver);
/* Queue 0 with a socket or without one. */
void lab_driver_socket(struct io_driver *driver, bool there);
/* Run it on one packet: what it did, as its counters say; fails the test unless exactly one counter moved
 * and the verdict is that reason's. */
enum io_xdp_reason lab_judge(const struct io_driver *driver, const void *bytes, uint32_t len);

/* Run a program; fails the test when it does not end with 0. */
void lab_run(const char *const arguments[]);

/* Enter a network namespace of our own and make the pair in it, without IPv6 of the kernel's. Says
 * what is missing and returns false without rights. */
bool lab_network(void);

/* A raw socket on an interface: all its frames. */
int lab_raw_open(const char *interface);
void lab_raw_send(int fd, const void *bytes, size_t len);
/* The next received frame that starts with these bytes and has this length, within a second. */
bool lab_raw_expect(int fd, const void *start, size_t start_len, size_t len);
/* Nothing that starts so within 50 ms. */
bool lab_raw_silent(int fd, const void *start, size_t start_len);

#endif
