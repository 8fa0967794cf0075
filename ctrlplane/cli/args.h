/* SPDX-License-Identifier: BSD-3-Clause
 * Options of a tgctl command: a table says what there is, args_read fills it in. Pure.
 */
#ifndef CTRLPLANE_CLI_ARGS_H
#define CTRLPLANE_CLI_ARGS_H

#include <stdbool.h>

/* "--src P" or a flag such as "--waf". The table ends with name == NULL. */
struct arg {
    const char *name; /* "--src" */
    bool is_flag;     /* no value follows */
    bool required;
    const char *value; /* [out] NULL: not given; a flag that is given: "" */
};

/* Read argv[0..argc): options of the table anywhere, and up to `positional_max` other words into
 * positional[], at least `positional_min`. False after a message on stderr. */
bool args_read(int argc, char **argv, struct arg args[], const char *positional[],
               unsigned positional_min, unsigned positional_max);

/* Value of an option, NULL when it was not given. The name must be in the table. */
const char *args_value(const struct arg args[], const char *name);

#endif
