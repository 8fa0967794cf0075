/* SPDX-License-Identifier: BSD-3-Clause
 * What a connection of the peer program does (peer_plan.h).
 */
#include "tests/peer/peer_plan.h"
#include <stdlib.h>
#include <string.h>

static bool plan_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *out <= max;
}

static bool plan_key(struct peer_plan *plan, const char *key, const char *value)
{
    static const struct {
        const char *name;
        uint64_t max;
    } keys[] = {{"send", UINT64_MAX / 2},
                {"echo", 1},
                {"hold", 1},
                {"pause", 600000},
                {"after", UINT64_MAX},
                {"count", PLAN_COUNT_MAX},
                {"watch", 1},
                {"reno", 1}};
    uint64_t number;
    unsigned i = 0;
    if (!strcmp(key, "sink")) {
        if (!*value || strlen(value) >= sizeof plan->sink)
            return false;
        memcpy(plan->sink, value, strlen(value) + 1);
        return true;
    }
    while (i < TG_ARRAY_LEN(keys) && strcmp(key, keys[i].name))
        i++;
    if (i == TG_ARRAY_LEN(keys) || !plan_number(value, keys[i].max, &number))
        return false;
    switch (i) {
    case 0:
        plan->send = number;
        break;
    case 1:
        plan->echo = number;
        break;
    case 2:
        plan->hold = number;
        break;
    case 3:
        plan->pause_ms = (uint32_t)number;
        break;
    case 4:
        plan->pause_after = number;
        break;
    case 5:
        plan->count = (uint32_t)number;
        break;
    case 6:
        plan->watch = number;
        break;
    default:
        plan->newreno = number;
    }
    return true;
}

bool peer_plan_read(char *words, bool connects, struct peer_plan *plan, const char **problem)
{
    char *rest, *word = strtok_r(words, " ", &rest);
    uint64_t port;
    *plan = (struct peer_plan){.count = 1};
    *problem = "the address is not one";
    if (connects && (!word || ip_addr_parse(word, &plan->address) != TG_OK))
        return false;
    if (connects)
        word = strtok_r(NULL, " ", &rest);
    *problem = "the port is a number from 1 to 65535";
    if (!word || !plan_number(word, 65535, &port) || port == 0)
        return false;
    plan->port = (uint16_t)port;
    *problem = "what follows is KEY=VALUE, with the keys of peer_plan.h";
    while ((word = strtok_r(NULL, " ", &rest))) {
        char *value = strchr(word, '=');
        if (!value)
            return false;
        *value++ = 0;
        if (!plan_key(plan, word, value))
            return false;
    }
    *problem = "echo and send exclude each other, count is at least 1";
    return !(plan->echo && plan->send) && plan->count;
}
