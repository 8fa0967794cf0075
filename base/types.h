/* SPDX-License-Identifier: BSD-3-Clause
 * The units that every floor shares: time, sizes, compiler hints, the assertion that stays in
 * release builds. Floor 0: libc only.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A point in time or a duration, in nanoseconds of the worker's monotonic clock. Above io/ nobody
 * reads a clock: time comes in as an argument. 0 means "never" where a deadline is optional. */
typedef uint64_t tg_ns;

#define TG_US ((tg_ns)1000)
#define TG_MS ((tg_ns)1000000)
#define TG_S  ((tg_ns)1000000000)

#define TG_CACHE_LINE   64
#define TG_WORKERS_MAX  16 /* workers of one tidegate process */
#define TG_BURST        32 /* packets that one pass of the packet path moves */
#define TG_LIKELY(x)    __builtin_expect(!!(x), 1)
#define TG_UNLIKELY(x)  __builtin_expect(!!(x), 0)
#define TG_CACHE_ALIGN  __attribute__((aligned(TG_CACHE_LINE)))
#define TG_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Bring what is needed soon into the second-level cache: it waits for more lines at a time than the first does (two
 * misses in a row, of 32 at a time, among 10 million: 16 ns each instead of 20, EPYC of Zen 4). */
static inline void tg_prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 2);
}

#define tg_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Our own logic is wrong when this fires; a peer's bytes must never reach it. Kept in release.
 * Prints expression, file and line to stderr, then aborts. */
#define tg_assert(cond)                                                                            \
    do {                                                                                           \
        if (TG_UNLIKELY(!(cond)))                                                                  \
            tg_assert_failed(#cond, __FILE__, __LINE__);                                           \
    } while (0)

_Noreturn void tg_assert_failed(const char *expression, const char *file, int line);

#endif
