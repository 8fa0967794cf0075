/* SPDX-License-Identifier: BSD-3-Clause
 * What happened in a run, kept to be written out: each frame as it left and as it arrived, and the calls that
 * the applications made. Filled by sim.c and endpoint.c when a run is captured; written as a pcap
 * (capture.c) or as a .pkt script of one connection (capture_script.c).
 */
#ifndef TESTS_SIM_CAPTURE_H
#define TESTS_SIM_CAPTURE_H

#include "base/span.h"
#include "base/types.h"

/* A frame is IN when it arrives, and TAKEN when the stack gets it: later, not as it was if the card is broken, and never if the
 * card calls it damaged. REFUSED: sent by the stack, and the card's ring was full. */
enum capture_kind { CAPTURE_OUT, CAPTURE_REFUSED, CAPTURE_IN, CAPTURE_TAKEN, CAPTURE_CALL };

#define CAPTURE_PORTS         8 /* of the switch, at most */
#define CAPTURE_SETTINGS_TEXT 1500
struct tcp_config;

struct capture_record {
    tg_ns time;
    enum capture_kind kind;
    unsigned port;       /* of the switch: whose frame or call it is */
    unsigned connection; /* of a call */
    uint32_t len;
    uint8_t *bytes; /* owned; a call's: text with NUL */
};

struct capture {
    tg_ns start;
    struct capture_record *records;
    size_t count, cap;
    uint16_t client_port[256];                           /* of a connection, by number */
    char settings[CAPTURE_PORTS][CAPTURE_SETTINGS_TEXT]; /* of the stack at a port */
};

void capture_free(struct capture *capture);
/* NULL: nothing is captured, nothing happens. */
void capture_frame(struct capture *capture, tg_ns time, enum capture_kind kind, unsigned port,
                   struct span frame);
/* A call in packetdrill's words, with @ where its descriptor is to stand. */
void capture_call(struct capture *capture, tg_ns time, unsigned port, unsigned connection,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
void capture_name(struct capture *capture, unsigned connection, uint16_t client_port);

/* The settings of the stack at a port, as a script has them (capture_settings.c). */
void capture_settings(struct capture *capture, unsigned port, const struct tcp_config *config,
                      uint16_t mtu);

/* What one port saw, both directions. False: cannot write. */
bool capture_write_pcap(const struct capture *capture, unsigned port, const char *path);
/* The connection with this client port as one port saw it: tests/packet's language (capture_script.c).
 * `remark` becomes its first lines. */
bool capture_write_script(const struct capture *capture, unsigned port, uint16_t client_port,
                          const char *remark, const char *path);
/* The client port of the last TCP frame at a port; 0: there is none (capture_script.c). */
uint16_t capture_last_flow(const struct capture *capture, unsigned port);

#endif
