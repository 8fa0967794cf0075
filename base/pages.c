/* SPDX-License-Identifier: BSD-3-Clause
 * See pages.h. Called by pool_init, flow_table_init and the AF_XDP back end.
 */
#include "base/pages.h"
#include "base/types.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE      ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)

void *pages_create(size_t bytes)
{
    bool huge = bytes >= HUGE_PAGE;
    void *p;
    if (posix_memalign(&p, huge ? HUGE_PAGE : bytes >= PAGE ? PAGE : TG_CACHE_LINE, bytes) != 0)
        return NULL;
    if (huge) /* a wish: without huge pages everything works, slower */
        (void)madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 0, bytes);
    return p;
}
