/* SPDX-License-Identifier: BSD-3-Clause
 * The numbers of struct tcp_config that a script may set as tidegate.NAME (knobs.c), and that the simulator writes into
 * the scripts of its runs (tests/sim/capture_settings.c): one list for both.
 */
#ifndef TESTS_PACKET_CONFIG_FIELDS_H
#define TESTS_PACKET_CONFIG_FIELDS_H

#include "tcp/tcp.h"
#include <stddef.h>

struct config_field {
    const char *name;
    size_t offset, size; /* size 1: a bool */
};

#define CONFIG_FIELD(name)                                                                         \
    {                                                                                              \
        "tidegate." #name, offsetof(struct tcp_config, name),                                      \
            sizeof(((struct tcp_config *)NULL)->name)                                              \
    }

static const struct config_field config_fields[] = {
    CONFIG_FIELD(connections_max),
    CONFIG_FIELD(active_max),
    CONFIG_FIELD(half_open_max),
    CONFIG_FIELD(time_wait_max),
    CONFIG_FIELD(receive_window_max),
    CONFIG_FIELD(receive_window_initial),
    CONFIG_FIELD(send_buffer_max),
    CONFIG_FIELD(unsent_low),
    CONFIG_FIELD(ooo_segments_max),
    CONFIG_FIELD(mss_max),
    CONFIG_FIELD(seed),
    CONFIG_FIELD(msl),
    CONFIG_FIELD(nagle),
    CONFIG_FIELD(keepalive),
    CONFIG_FIELD(keep_idle_ms),
    CONFIG_FIELD(keep_interval_ms),
    CONFIG_FIELD(keep_count),
    CONFIG_FIELD(user_timeout_ms),
    CONFIG_FIELD(congestion),
    CONFIG_FIELD(ecn),
    CONFIG_FIELD(no_pacing),
};

/* Little-endian machines only, as all that tidegate runs on. */
static inline void config_field_set(struct tcp_config *config, const struct config_field *field,
                                    uint64_t value)
{
    memcpy((char *)config + field->offset, &value, field->size);
}

static inline uint64_t config_field_get(const struct tcp_config *config,
                                        const struct config_field *field)
{
    uint64_t value = 0;
    memcpy(&value, (const char *)config + field->offset, field->size);
    return value;
}

#endif
