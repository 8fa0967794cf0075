/* SPDX-License-Identifier: BSD-3-Clause
 * Options of tgctl's commands. See args.h.
 */
#include "ctrlplane/cli/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct arg *arg_find(struct arg args[], const char *name)
{
    for (; args->name; args++)
        if (strcmp(args->name, name) == 0)
            return args;
    return NULL;
}

/* One option with its value; *i moves on. */
static bool option_read(int argc, char **argv, int *i, struct arg args[])
{
    struct arg *arg = arg_find(args, argv[*i]);
    if (!arg) {
        fprintf(stderr, "tgctl: unknown option %s\n", argv[*i]);
        return false;
    }
    if (arg->value) {
        fprintf(stderr, "tgctl: %s is given twice\n", arg->name);
        return false;
    }
    if (!arg->is_flag && *i + 1 >= argc) {
        fprintf(stderr, "tgctl: %s needs a value\n", arg->name);
        return false;
    }
    arg->value = arg->is_flag ? "" : argv[++*i];
    return true;
}

bool args_read(int argc, char **argv, struct arg args[], const char *positional[],
               unsigned positional_min, unsigned positional_max)
{
    unsigned n = 0;
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            if (!option_read(argc, argv, &i, args))
                return false;
        } else if (n < positional_max) {
            positional[n++] = argv[i];
        } else {
            fprintf(stderr, "tgctl: unexpected \"%s\"\n", argv[i]);
            return false;
        }
    }
    if (n < positional_min) {
        fprintf(stderr, "tgctl: a name or number is missing\n");
        return false;
    }
    for (; args->name; args++) {
        if (args->required && !args->value) {
            fprintf(stderr, "tgctl: %s is missing\n", args->name);
            return false;
        }
    }
    return true;
}

const char *args_value(const struct arg args[], const char *name)
{
    for (; args->name; args++)
        if (strcmp(args->name, name) == 0)
            return args->value;
    abort(); /* a name that is not in the table: our own mistake */
}
