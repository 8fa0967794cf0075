/* SPDX-License-Identifier: BSD-3-Clause
 * One direction of a bad line, as arithmetic (lossy_path.h).
 */
#include "tests/peer/lossy_path.h"
#include <stdlib.h>
#include <string.h>

void lossy_path_init(struct lossy_path *p, const struct lossy_options *options, uint64_t seed)
{
    *p = (struct lossy_path){.options = *options};
    prng_seed(&p->prng, seed);
}

static bool lossy_hit(struct lossy_path *p, uint32_t ppm)
{
    return prng_below(&p->prng, LOSSY_MILLION) < ppm;
}

/* *left: when the last bit of the frame has left at the path's rate. False: the queue is full. */
static bool lossy_path_queue(struct lossy_path *p, size_t len, tg_ns now, tg_ns *left)
{
    const struct lossy_options *o = &p->options;
    *left = now;
    if (!o->rate_kbit)
        return true;
    tg_ns begins = p->idle_at > now ? p->idle_at : now;
    uint64_t waiting = (begins - now) * o->rate_kbit / 8 / TG_MS; /* bytes */
    if (o->queue_bytes && waiting + len > o->queue_bytes)
        return false;
    *left = p->idle_at = begins + len * 8 * TG_MS / o->rate_kbit;
    return true;
}

/* Every frame draws the same number of random values, whatever they say: changing one chance leaves the fates that the
 * others decide as they were. */
unsigned lossy_path_send(struct lossy_path *p, size_t len, tg_ns now, tg_ns at[2])
{
    const struct lossy_options *o = &p->options;
    bool lost = lossy_hit(p, o->loss_ppm), twice = lossy_hit(p, o->duplicate_ppm),
         late = lossy_hit(p, o->reorder_ppm);
    tg_ns jitter = prng_below(&p->prng, (uint64_t)o->jitter_us + 1) * TG_US;
    p->frames++;
    p->bytes += len;
    if (lost) {
        p->lost++;
        return 0;
    }
    tg_ns left;
    if (!lossy_path_queue(p, len, now, &left)) {
        p->queue_full++;
        return 0;
    }
    at[0] = left + o->delay_us * TG_US + jitter;
    at[0] = at[0] > p->last ? at[0] : p->last; /* jitter alone does not reorder */
    p->last = at[0];
    if (late) {
        at[0] += o->reorder_us * TG_US;
        p->reordered++;
    }
    at[1] = at[0];
    p->duplicated += twice;
    return twice ? 2 : 1;
}

/* A decimal number times `scale`, at most `max`. */
static bool lossy_number_read(const char *text, double scale, double max, uint64_t *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0) || value * scale > max)
        return false;
    *out = (uint64_t)(value * scale + 0.5);
    return true;
}

static bool lossy_option_read(const char *name, const char *value, struct lossy_options *o)
{
    const struct {
        const char *name;
        double scale, max;
        uint32_t *to;
    } known[] = {
        {"loss", LOSSY_MILLION / 100, LOSSY_MILLION, &o->loss_ppm},
        {"duplicate", LOSSY_MILLION / 100, LOSSY_MILLION, &o->duplicate_ppm},
        {"reorder", LOSSY_MILLION / 100, LOSSY_MILLION, &o->reorder_ppm},
        {"delay", 1000, LOSSY_DELAY_US_MAX, &o->delay_us},
        {"jitter", 1000, LOSSY_DELAY_US_MAX, &o->jitter_us},
        {"reorder-delay", 1000, LOSSY_DELAY_US_MAX, &o->reorder_us},
        {"queue", 1000, 1e9, &o->queue_bytes},
    };
    uint64_t number;
    if (!strcmp(name, "rate"))
        return lossy_number_read(value, 1000, 1e9, &o->rate_kbit);
    for (size_t i = 0; i < TG_ARRAY_LEN(known); i++)
        if (!strcmp(name, known[i].name)) {
            if (!lossy_number_read(value, known[i].scale, known[i].max, &number))
                return false;
            *known[i].to = (uint32_t)number;
            return true;
        }
    return false;
}

bool lossy_options_read(const char *text, struct lossy_options *options, const char **problem)
{
    struct lossy_options read = *options;
    char copy[256], *rest = copy;
    *problem = "options are NAME=NUMBER,...: loss, duplicate, reorder (%), delay, jitter, "
               "reorder-delay (ms, up "
               "to 10000), rate (Mbit/s), queue (kB)";
    if (strlen(text) >= sizeof copy)
        return false;
    memcpy(copy, text, strlen(text) + 1);
    for (char *word; (word = strsep(&rest, ","));) {
        char *value = strchr(word, '=');
        if (!*word)
            continue;
        if (!value)
            return false;
        *value++ = 0;
        if (!lossy_option_read(word, value, &read))
            return false;
    }
    if (read.reorder_ppm && !read.reorder_us) {
        *problem = "reorder needs reorder-delay: a frame that is not held back overtakes nothing";
        return false;
    }
    if (read.queue_bytes && !read.rate_kbit) {
        *problem = "queue needs rate: without a rate nothing waits";
        return false;
    }
    *options = read;
    return true;
}
