/* SPDX-License-Identifier: BSD-3-Clause
 * Messages in the region's rings: commands from tidegate-ctl to a worker, events from a worker to tidegate-ctl.
 * Plain bytes, fixed size, idempotent. Floor 1: base only.
 */
#ifndef CONTRACT_COMMANDS_H
#define CONTRACT_COMMANDS_H

#include "base/types.h"

enum command_op {
    COMMAND_USE =
        1, /* put generation `number` of `kind` in force; acknowledged in region_worker.applied */
};

struct command {
    uint32_t op;     /* enum command_op */
    uint32_t kind;   /* enum tables_kind */
    uint64_t number; /* generation */
};

enum event_kind {
    EVENT_WAF = 1, /* a WAF match */
    /* TLS to an origin failed: target is its name, message says why, status is the client's answer. No rule, no
     * method. */
    EVENT_ORIGIN,
};

#define EVENT_TEXT_MAX 160

/* One audit record. Text fields are cut at their size and not terminated; *_len says how much is there. */
struct event {
    uint32_t kind; /* enum event_kind */
    uint32_t rule_id;
    uint64_t wall_ns;    /* CLOCK_REALTIME */
    uint64_t request_id; /* printed as 16 hex digits, in the response's X-Request-Id too */
    uint8_t client[16];
    uint16_t client_port;
    uint16_t status; /* sent to the client; 0: only detected */
    uint16_t where;  /* enum waf_target */
    uint8_t blocked;
    uint8_t early; /* the request came as TLS 1.3 0-RTT data */
    uint8_t method_len, host_len, target_len, message_len;
    char method[16];
    char host[64];
    char target[EVENT_TEXT_MAX];
    char message[128];
};

#endif
