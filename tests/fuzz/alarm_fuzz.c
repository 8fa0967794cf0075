/* SPDX-License-Identifier: BSD-3-Clause
 * A fuzz target that fails on purpose: `scripts/test fuzz-smoke` passes only when libFuzzer finds this
 * crash. It shows that coverage feedback, the sanitizers' abort and the reading of the outcome work; a
 * fuzzer that can find nothing would otherwise look like code without faults.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nested, so that each right byte is new coverage: guessing all four at once would take 2^32 tries. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 4 && data[0] == 'T')
        if (data[1] == 'I')
            if (data[2] == 'D')
                if (data[3] == 'E') {
                    fputs("alarm_fuzz: the alarm rings\n", stderr);
                    abort();
                }
    return 0;
}
