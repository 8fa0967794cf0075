/* SPDX-License-Identifier: BSD-3-Clause
 * The tgctl program; all of it is in tgctl.c, where tests can call it.
 */
#include "ctrlplane/cli/commands.h"

int main(int argc, char **argv)
{
    return tgctl_main(argc, argv);
}
