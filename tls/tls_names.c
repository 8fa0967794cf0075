/* SPDX-License-Identifier: BSD-3-Clause
 * Host name look-up of a certificate set: see tls_names.h. Called by tls_set.c.
 */
#include "tls/tls_names.h"

#include "base/hash.h"

#include <stdlib.h>

/* Next power of two that holds n entries at a load of at most one half. */
static uint32_t table_size(uint32_t n)
{
    uint32_t size = 4;
    while (size < 2u * n)
        size *= 2;
    return size;
}

enum tg_err name_table_init(struct name_table *table, uint32_t names, uint32_t bytes,
                            const uint64_t key[2])
{
    uint32_t size = table_size(names);
    *table = (struct name_table){.mask = size - 1, .names_cap = bytes, .key = {key[0], key[1]}};
    table->entries = calloc(size, sizeof table->entries[0]);
    table->names = malloc(bytes ? bytes : 1);
    if (table->entries && table->names)
        return TG_OK;
    name_table_free(table);
    return TG_NO_MEMORY;
}

void name_table_free(struct name_table *table)
{
    free(table->entries);
    free(table->names);
    *table = (struct name_table){0};
}

/* The entry of a lower-case name, or the empty slot where it belongs. */
static struct name_entry *entry_find(const struct name_table *table, struct span name)
{
    uint32_t at = (uint32_t)hash_sip13(table->key, name) & table->mask;
    for (;; at = (at + 1) & table->mask) {
        struct name_entry *e = &table->entries[at];
        if (e->len == 0 || span_equal(name, span_make(table->names + e->offset, e->len)))
            return e;
    }
}

static bool label_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Lower-case into `out`; false when it is not a host name: labels of 1..63 letters, digits, '-' or
 * '_' (in use, though RFC 1123 knows it not), the first one may be a lone '*' before at least one
 * more. */
static bool name_normalise(struct span name, uint8_t out[NAME_BYTES_MAX])
{
    if (name.len == 0 || name.len > NAME_BYTES_MAX)
        return false;
    bool wildcard = name.len > 2 && name.data[0] == '*' && name.data[1] == '.';
    size_t label = wildcard ? 1 : 0;
    if (wildcard)
        out[0] = '*';
    for (size_t i = label; i < name.len; i++) {
        uint8_t c = span_lower_byte(name.data[i]);
        if (c == '.' ? label == 0 : !label_byte(c) || label >= 63)
            return false;
        label = c == '.' ? 0 : label + 1;
        out[i] = c;
    }
    return label > 0;
}

enum tg_err name_table_add(struct name_table *table, struct span name, enum name_key_type type,
                           uint32_t certificate)
{
    uint8_t lower[NAME_BYTES_MAX];
    if (!name_normalise(name, lower))
        return TG_BAD_INPUT;
    struct name_entry *e = entry_find(table, span_make(lower, name.len));
    if (e->len == 0) {
        tg_assert(table->names_cap - table->names_len >= name.len);
        memcpy(table->names + table->names_len, lower, name.len);
        *e = (struct name_entry){table->names_len, (uint32_t)name.len, name_choice_none()};
        table->names_len += (uint32_t)name.len;
    }
    name_choice_add(&e->choice, type, certificate);
    return TG_OK;
}

const struct name_choice *name_table_find(const struct name_table *table, struct span name)
{
    uint8_t lower[NAME_BYTES_MAX];
    if (!name_normalise(name, lower) || lower[0] == '*')
        return NULL;
    const struct name_entry *e = entry_find(table, span_make(lower, name.len));
    if (e->len)
        return &e->choice;
    const uint8_t *dot = memchr(lower, '.', name.len);
    if (!dot || dot == lower)
        return NULL;
    /* One label stands for the star: "a.example.com" asks for "*.example.com". */
    uint8_t wildcard[NAME_BYTES_MAX + 1];
    size_t rest = name.len - (size_t)(dot - lower);
    wildcard[0] = '*';
    memcpy(wildcard + 1, dot, rest);
    e = entry_find(table, span_make(wildcard, rest + 1));
    return e->len ? &e->choice : NULL;
}
