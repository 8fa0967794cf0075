/* SPDX-License-Identifier: BSD-3-Clause
 * See pages.h. Called by pool_init and flow_table_init.
 */
#include "base/pages.h"
#include "base/types.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *pages_create(size_t bytes)
{
    bool large = bytes >= 2 * HUGE_PAGE;
    size_t unit = large ? HUGE_PAGE : TG_CACHE_LINE;
    bytes = (bytes + unit - 1) / unit * unit;
    void *p = aligned_alloc(unit, bytes);
    if (!p)
        return NULL;
    if (large) /* a wish: without huge pages everything works, slower */
        (void)madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 0, bytes);
    return p;
}
