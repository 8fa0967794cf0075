/* SPDX-License-Identifier: BSD-3-Clause
 * JSON for people: rows with aligned columns. Called by tgctl's commands.
 */
#ifndef CTRLPLANE_CLI_TABLE_H
#define CTRLPLANE_CLI_TABLE_H

#include <jansson.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16

/* A column: its heading and the member that it shows. The table ends with head == NULL. */
struct column {
    const char *head;
    const char *member;
    const char *absent; /* shown when the member is not there */
};

/* Print an array of objects; "none" when it is empty. Control characters are shown as '?': text
 * of strangers must not drive the terminal. */
void table_print(FILE *out, const json_t *rows, const struct column columns[]);

/* A value as a cell: strings bare, arrays joined with commas. Returns out. */
char *table_cell(const json_t *value, const char *absent, char *out, size_t cap);

#endif
