/* SPDX-License-Identifier: BSD-3-Clause
 * NOTE to the control plane's engineer: do not write a second reader. The one configuration file of both
 * programs is read by contract/config.[ch] (config_load), shared by tidegate and tidegate-ctl. Delete this
 * file and use that one; its unit test is contract/config_test.c.
 */
#include "contract/config.h"
