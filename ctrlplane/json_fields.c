/* SPDX-License-Identifier: BSD-3-Clause
 * Strict readers of JSON members with pointer errors. Called by the resource readers.
 */
#include "ctrlplane/json_fields.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *json_type_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static void fault_at(const struct fields *f, const char *name, long index, const char *format,
                     va_list args)
{
    char pointer[sizeof f->problem->pointer], detail[480];
    snprintf(pointer, sizeof pointer, "%s", f->pointer);
    pointer_append(pointer, sizeof pointer, name);
    if (index >= 0)
        pointer_append_index(pointer, sizeof pointer, (size_t)index);
    vsnprintf(detail, sizeof detail, format, args);
    problem_set(f->problem, 422, "invalid-field", pointer, "%s", detail);
}

void fields_fault(const struct fields *f, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fault_at(f, name, -1, format, args);
    va_end(args);
}

void fields_fault_at(const struct fields *f, const char *name, size_t index, const char *format,
                     ...)
{
    va_list args;
    va_start(args, format);
    fault_at(f, name, (long)index, format, args);
    va_end(args);
}

static bool name_known(const char *name, const char *const known[])
{
    for (; *known; known++)
        if (strcmp(name, *known) == 0)
            return true;
    return false;
}

/* "a, b, c" for the message about an unknown member. */
static void names_join(const char *const known[], char *out, size_t cap)
{
    size_t n = 0;
    out[0] = 0;
    for (; *known && n < cap; known++)
        n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? ", " : "", *known);
}

struct fields fields_begin(const json_t *value, const char *pointer, const char *const known[],
                           struct problem *problem)
{
    struct fields f = {.object = value, .problem = problem};
    snprintf(f.pointer, sizeof f.pointer, "%s", pointer);
    if (!json_is_object(value)) {
        problem_set(problem, 422, "invalid-field", pointer, "must be an object, not %s",
                    json_type_text(value));
        f.object = NULL;
        return f;
    }
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        if (!name_known(name, known)) {
            char list[256];
            names_join(known, list, sizeof list);
            fields_fault(&f, name, "unknown member \"%.64s\"; known are: %s", name, list);
            f.object = NULL;
            return f;
        }
    }
    return f;
}

bool fields_has(const struct fields *f, const char *name)
{
    return json_object_get(f->object, name) != NULL;
}

/* The member, or NULL: absent (a fault if required), or a fault came before. */
static const json_t *member_get(const struct fields *f, const char *name, bool required)
{
    if (!fields_ok(f))
        return NULL;
    const json_t *value = json_object_get(f->object, name);
    if (!value && required)
        fields_fault(f, name, "is missing");
    return value;
}

const char *fields_string(const struct fields *f, const char *name, bool required, size_t min_bytes,
                          size_t max_bytes)
{
    const json_t *value = member_get(f, name, required);
    if (!value)
        return NULL;
    if (!json_is_string(value)) {
        fields_fault(f, name, "must be a string, not %s", json_type_text(value));
        return NULL;
    }
    size_t len = json_string_length(value);
    if (len < min_bytes || len > max_bytes) {
        fields_fault(f, name, "must have %zu to %zu bytes, not %zu", min_bytes, max_bytes, len);
        return NULL;
    }
    return json_string_value(value);
}

bool fields_bool(const struct fields *f, const char *name, bool absent)
{
    const json_t *value = member_get(f, name, false);
    if (!value)
        return absent;
    if (!json_is_boolean(value)) {
        fields_fault(f, name, "must be true or false, not %s", json_type_text(value));
        return absent;
    }
    return json_is_true(value);
}

int64_t fields_integer(const struct fields *f, const char *name, bool required, int64_t absent,
                       int64_t low, int64_t high)
{
    const json_t *value = member_get(f, name, required);
    if (!value)
        return absent;
    if (!json_is_integer(value)) {
        fields_fault(f, name, "must be an integer, not %s", json_type_text(value));
        return absent;
    }
    int64_t v = json_integer_value(value);
    if (v < low || v > high) {
        fields_fault(f, name, "must be %lld to %lld, not %lld", (long long)low, (long long)high,
                     (long long)v);
        return absent;
    }
    return v;
}

const json_t *fields_array(const struct fields *f, const char *name, bool required, size_t max)
{
    const json_t *value = member_get(f, name, required);
    if (!value)
        return NULL;
    if (!json_is_array(value)) {
        fields_fault(f, name, "must be an array, not %s", json_type_text(value));
        return NULL;
    }
    if (json_array_size(value) > max) {
        fields_fault(f, name, "must have at most %zu elements, not %zu", max,
                     json_array_size(value));
        return NULL;
    }
    return value;
}

/* Read 1 to 5 digits up to 65535; false otherwise. *text moves behind them. */
static bool port_read(const char **text, uint16_t *port)
{
    unsigned v = 0, digits = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        v = v * 10 + (unsigned)(**text - '0');
        if (++digits > 5)
            return false;
    }
    *port = (uint16_t)v;
    return digits > 0 && v <= 65535;
}

bool fields_port_range(const struct fields *f, const char *name, uint16_t *low, uint16_t *high)
{
    *low = 0;
    *high = 65535;
    const json_t *value = member_get(f, name, false);
    if (!value)
        return false;
    if (json_is_integer(value)) {
        *low = *high = (uint16_t)fields_integer(f, name, true, 0, 0, 65535);
        return true;
    }
    const char *text = fields_string(f, name, true, 1, 11);
    if (!text)
        return false;
    uint16_t first, last;
    bool good = port_read(&text, &first);
    last = first;
    if (good && *text == '-') {
        text++;
        good = port_read(&text, &last);
    }
    if (!good || *text) {
        fields_fault(f, name, "must be a port (0 to 65535) or a range \"low-high\"");
        return false;
    }
    if (first > last) {
        fields_fault(f, name, "the range starts above its end");
        return false;
    }
    *low = first;
    *high = last;
    return true;
}

bool json_array_holds(const json_t *array, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)array, i, item)
    {
        if (strcmp(json_string_value(item), text) == 0)
            return true;
    }
    return false;
}
