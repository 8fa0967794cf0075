/* SPDX-License-Identifier: BSD-3-Clause
 * For the programs of scripts/bench tcp: figures of a run that is cut into slices of about half a millisecond. A
 * sample is what one operation cost in a slice; the median is the figure, since the machine is shared: slices in which
 * somebody else ran are far from it.
 */
#ifndef TESTS_BENCH_SAMPLES_H
#define TESTS_BENCH_SAMPLES_H

#include <stdlib.h>

#define SAMPLES_MAX 8192u

struct samples {
    double value[SAMPLES_MAX];
    unsigned count; /* the last SAMPLES_MAX are kept */
};

static inline void samples_add(struct samples *samples, double value)
{
    samples->value[samples->count++ % SAMPLES_MAX] = value;
}

static inline int samples_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double samples_median(struct samples *samples)
{
    unsigned n = samples->count < SAMPLES_MAX ? samples->count : SAMPLES_MAX;
    qsort(samples->value, n, sizeof samples->value[0], samples_compare);
    return n ? samples->value[n / 2] : 0;
}

#endif
