/* SPDX-License-Identifier: BSD-3-Clause
 * One subject through Hyperscan, and what a match does to a transaction. Inside waf/ only: waf.c
 * and waf_head.c call it; it knows nothing of HTTP.
 */
#ifndef WAF_WAF_SCAN_H
#define WAF_WAF_SCAN_H

#include "waf/waf_worker.h"

/* Scan a whole value of a head or a form. where: the targets that it is (enum waf_target,
 * several for a cookie, which is also a header); rules for none of them do not see it. */
void waf_scan_value(struct waf_tx *tx, unsigned where, struct span value);

/* Scan the next bytes of a streamed subject (any cut), and its end: then $ matches and the
 * stream is fresh. */
void waf_scan_stream(struct waf_tx *tx, enum waf_target where, hs_stream_t *stream,
                     struct span bytes);
void waf_scan_stream_end(struct waf_tx *tx, enum waf_target where, hs_stream_t *stream);

/* Forget what a stream has seen, without matches at the end. */
void waf_scan_stream_drop(hs_stream_t *stream);

/* The engine failed or must not be asked: block, as rule 0 with this text (static storage). */
void waf_scan_refuse(struct waf_tx *tx, enum waf_target where, const char *why);

#endif
