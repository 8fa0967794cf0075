/* SPDX-License-Identifier: BSD-3-Clause
 * Strict readers of a JSON object's members. Each names the member by JSON pointer when it is
 * missing, of the wrong type, out of range or unknown. The first fault sticks; readers after it
 * return their default, so that a resource is read straight through and checked once at the end.
 * Pure.
 */
#ifndef CTRLPLANE_JSON_FIELDS_H
#define CTRLPLANE_JSON_FIELDS_H

#include "ctrlplane/problem.h"

struct fields {
    const json_t *object;
    struct problem *problem;
    char pointer[128]; /* of the object itself, "" for the document */
};

/* Start to read `value`, which must be an object whose members are all in known[]
 * (NULL-terminated). The result borrows value and problem. On a fault the object counts as
 * empty. */
struct fields fields_begin(const json_t *value, const char *pointer, const char *const known[],
                           struct problem *problem);

static inline bool fields_ok(const struct fields *f)
{
    return f->problem->status == 0;
}

bool fields_has(const struct fields *f, const char *name);

/* A string of min..max bytes, borrowed from the object; NULL when absent (a fault if required)
 * or at fault. */
const char *fields_string(const struct fields *f, const char *name, bool required, size_t min_bytes,
                          size_t max_bytes);
bool fields_bool(const struct fields *f, const char *name, bool absent);
/* An integer in low..high; `absent` when the member is not there, unless required. */
int64_t fields_integer(const struct fields *f, const char *name, bool required, int64_t absent,
                       int64_t low, int64_t high);
/* An array of at most max elements, borrowed; NULL when absent or at fault. */
const json_t *fields_array(const struct fields *f, const char *name, bool required, size_t max);

/* "80", "1000-2000" or the integer 80: a port range. Absent: 0..65535 and false. */
bool fields_port_range(const struct fields *f, const char *name, uint16_t *low, uint16_t *high);

/* Record a fault of the member `name` (422 invalid-field). */
void fields_fault(const struct fields *f, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Record a fault of element `index` of the array member `name`. */
void fields_fault_at(const struct fields *f, const char *name, size_t index, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

/* "a string", "an integer", ...; for messages. */
const char *json_type_text(const json_t *value);

/* Does an array of strings (NULL: an empty one) hold this one? */
bool json_array_holds(const json_t *array, const char *text);

#endif
