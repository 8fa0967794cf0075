/* SPDX-License-Identifier: BSD-3-Clause
 * Aligned columns from JSON. See table.h.
 */
#include "ctrlplane/cli/table.h"

#include <string.h>

#define CELL_BYTES 1024

static void value_append(const json_t *value, char *out, size_t cap)
{
    size_t n = strlen(out);
    char *at = out + n;
    size_t room = cap - n;
    switch (json_typeof(value)) {
    case JSON_STRING:
        snprintf(at, room, "%s", json_string_value(value));
        break;
    case JSON_INTEGER:
        snprintf(at, room, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(at, room, "%.3f", json_real_value(value));
        break;
    case JSON_TRUE:
        snprintf(at, room, "yes");
        break;
    case JSON_FALSE:
        snprintf(at, room, "no");
        break;
    default:
        snprintf(at, room, "-");
    }
}

char *table_cell(const json_t *value, const char *absent, char *out, size_t cap)
{
    out[0] = 0;
    if (!value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0)) {
        snprintf(out, cap, "%s", absent ? absent : "-");
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            size_t n = strlen(out);
            if (i && n + 2 < cap)
                memcpy(out + n, ",", 2);
            value_append(json_array_get(value, i), out, cap);
        }
    } else {
        value_append(value, out, cap);
    }
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return out;
}

static void row_print(FILE *out, char cells[][CELL_BYTES], const size_t width[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (i + 1 < n)
            fprintf(out, "%-*s  ", (int)width[i], cells[i]);
        else
            fprintf(out, "%s\n", cells[i]);
    }
}

static unsigned row_cells(const json_t *row, const struct column columns[],
                          char cells[][CELL_BYTES])
{
    unsigned n = 0;
    for (; columns[n].head && n < TABLE_COLUMNS_MAX; n++)
        table_cell(json_object_get(row, columns[n].member), columns[n].absent, cells[n],
                   CELL_BYTES);
    return n;
}

void table_print(FILE *out, const json_t *rows, const struct column columns[])
{
    static char cells[TABLE_COLUMNS_MAX]
                     [CELL_BYTES]; /* one table at a time: a command prints and ends */
    size_t width[TABLE_COLUMNS_MAX] = {0}, count = json_array_size(rows);
    unsigned n = 0;
    if (count == 0) {
        fprintf(out, "none\n");
        return;
    }
    for (; columns[n].head && n < TABLE_COLUMNS_MAX; n++)
        width[n] = strlen(columns[n].head);
    for (size_t r = 0; r < count; r++) {
        row_cells(json_array_get(rows, r), columns, cells);
        for (unsigned i = 0; i < n; i++)
            width[i] = strlen(cells[i]) > width[i] ? strlen(cells[i]) : width[i];
    }
    for (unsigned i = 0; i < n; i++)
        snprintf(cells[i], CELL_BYTES, "%s", columns[i].head);
    row_print(out, cells, width, n);
    for (size_t r = 0; r < count; r++) {
        row_cells(json_array_get(rows, r), columns, cells);
        row_print(out, cells, width, n);
    }
}
