/* SPDX-License-Identifier: BSD-3-Clause
 * What is wrong with a request or a stored resource, as RFC 9457 puts it: a status, a kind, a
 * sentence, and a JSON pointer (RFC 6901) to the field. Filled in by whoever finds the fault,
 * printed by api. Knows nothing of HTTP servers.
 */
#ifndef CTRLPLANE_PROBLEM_H
#define CTRLPLANE_PROBLEM_H

#include "base/types.h"
#include <jansson.h>

struct problem {
    unsigned status;   /* HTTP status; 0: nothing is wrong */
    const char *slug;  /* last part of "type", static storage */
    char detail[640];  /* one sentence for people, UTF-8 */
    char pointer[256]; /* JSON pointer to the field, "" when no field is to blame */
    json_t *extra;     /* further members (an object), or NULL; owned */
};

/* Record a fault unless one is recorded already: the first one wins. `slug` is static; `pointer`
 * is copied. */
void problem_set(struct problem *p, unsigned status, const char *slug, const char *pointer,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Let the fault point elsewhere: a reader of a part does not know where the part stands in the
 * document. */
void problem_point(struct problem *p, const char *pointer);

/* Add a member to the answer ("index", "worker"); the reference is taken over, also on failure. */
void problem_extra(struct problem *p, const char *name, json_t *value);

/* The application/problem+json document: type, title, status, detail, pointer (when there is
 * one), extras. A new reference; never NULL short of memory. */
json_t *problem_json(const struct problem *p);

/* Forget the fault and free the extras. */
void problem_clear(struct problem *p);

/* Append one reference token to a JSON pointer in `out`, escaped (RFC 6901 s3). Too long: cut. */
void pointer_append(char *out, size_t cap, const char *token);
/* The same for an array index. */
void pointer_append_index(char *out, size_t cap, size_t index);

/* "Unprocessable Content" and so on for the statuses that the API uses; never NULL. */
const char *problem_status_title(unsigned status);

#endif
