/* SPDX-License-Identifier: BSD-3-Clause
 * The end of tg_assert: say what was wrong, then stop before the damage spreads. Called by the macro
 * in base/types.h only. Knows nothing of who called.
 */
#include "base/types.h"
#include <stdio.h>
#include <stdlib.h>

_Noreturn void tg_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    fflush(stderr);
    abort();
}
