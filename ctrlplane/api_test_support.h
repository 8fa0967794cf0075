/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of the API: one control plane over a region that a fake data plane of two workers serves. Never part
 * of a program.
 */
#ifndef CTRLPLANE_API_TEST_SUPPORT_H
#define CTRLPLANE_API_TEST_SUPPORT_H

#include "ctrlplane/control_test_support.h"

struct fixture {
    struct place place;
    struct fake fake;
    struct control control;
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char problem[640] = "";
    place_make(&f->place);
    fake_start(&f->fake, &f->place, 2, 0x1111);
    if (!control_open(&f->control, &f->place.config, problem))
        fail_msg("%s", problem);
    assert_true(f->control.attached);
    fake_settle(&f->fake);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    control_close(&f->control);
    fake_stop(&f->fake);
    place_remove(&f->place);
    free(f);
    return 0;
}

#endif
