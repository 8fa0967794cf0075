/* SPDX-License-Identifier: BSD-3-Clause
 * What a stack of the run was made with, in the words of a .pkt script. Called by host.c.
 */
#include "tcp/tcp_profile.h"
#include "tests/packet/config_fields.h"
#include "tests/sim/capture.h"
#include <stdio.h>

void capture_settings(struct capture *capture, unsigned port, const struct tcp_config *config,
                      uint16_t mtu)
{
    if (!capture || port >= CAPTURE_PORTS)
        return;
    char *out = capture->settings[port];
    size_t n = (size_t)snprintf(out, CAPTURE_SETTINGS_TEXT,
                                "`sysctl -q tidegate.start_ns=%llu tidegate.mtu=%u",
                                (unsigned long long)capture->start, mtu);
    if (config->profile == &tcp_profile_freebsd)
        n += (size_t)snprintf(out + n, CAPTURE_SETTINGS_TEXT - n, " tidegate.profile=freebsd");
    for (size_t i = 0; i < TG_ARRAY_LEN(config_fields); i++)
        n += (size_t)snprintf(out + n, CAPTURE_SETTINGS_TEXT - n, " \\\n    %s=%llu",
                              config_fields[i].name,
                              (unsigned long long)config_field_get(config, &config_fields[i]));
    tg_assert(n + 2 < CAPTURE_SETTINGS_TEXT);
    memcpy(out + n, "`", 2);
}
