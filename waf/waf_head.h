/* SPDX-License-Identifier: BSD-3-Clause
 * The values of a request head and how each is decoded before the scan. Inside waf/ only: waf.c
 * calls it.
 */
#ifndef WAF_WAF_HEAD_H
#define WAF_WAF_HEAD_H

#include "waf/waf_scan.h"

/* A target: raw as a whole, the path decoded, each name and value of the query decoded. */
void waf_head_scan_target(struct waf_tx *tx, struct span target, struct span path,
                          struct span query);

/* Every field value, with what it is beside a header (User-Agent, Cookie). */
void waf_head_scan_fields(struct waf_tx *tx, const struct head_view *head);

/* How the body that follows is to be read, by Content-Type. */
enum waf_body_kind waf_head_body_kind(const struct head_view *head);

#endif
