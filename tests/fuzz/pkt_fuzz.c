/* SPDX-License-Identifier: BSD-3-Clause
 * A .pkt script of any bytes: it is read or refused with a place, its assertions are computed or refused, its segments
 * printed, its sysctl lines read. Built by tests/packet/meson.build with -Dfuzz=true.
 */
#include "tests/packet/expression.h"
#include "tests/packet/knobs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void event_use(const struct script_event *e)
{
    static const struct tcp_info info = {.mss = 1000, .cwnd = 10000, .rto = TG_S};
    static struct host host;
    char text[700];
    switch (e->kind) {
    case EVENT_IN:
    case EVENT_OUT:
        segment_print(&e->segment, text, sizeof text);
        tg_assert(strlen(text) < sizeof text);
        break;
    case EVENT_CODE:
        text[0] = 0;
        if (!expression_check(&info, e->text, text, sizeof text))
            tg_assert(text[0]);
        break;
    case EVENT_COMMAND:
        knobs_read(&host, e->text, NULL);
        break;
    case EVENT_ICMP:
    case EVENT_CALL:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct script script = {.path = "fuzz"};
    if (script_parse((const char *)data, len, &script))
        for (unsigned i = 0; i < script.count; i++)
            event_use(&script.events[i]);
    else
        tg_assert(script.error[0]);
    script_free(&script);
    return 0;
}
