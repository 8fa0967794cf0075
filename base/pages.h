/* SPDX-License-Identifier: BSD-3-Clause
 * Memory for tables, those of megabytes on huge pages where the system has them to give, since a random look-up in
 * gigabytes of small pages misses the TLB before it misses the cache. Cold: at start only. Floor 0.
 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>

/* Zeroed memory, aligned to a cache line (4 KB and more to a page, 2 MB and more to a huge page); NULL: there is none. Every
 * page is touched now, not in the packet path. free() gives it back. */
void *pages_create(size_t bytes);

#endif
