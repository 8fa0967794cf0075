/* SPDX-License-Identifier: BSD-3-Clause
 * Between fake_etcd.c (the store) and fake_etcd_server.c (HTTP). All under the lock. Test code.
 */
#ifndef CTRLPLANE_FAKE_ETCD_INTERNAL_H
#define CTRLPLANE_FAKE_ETCD_INTERNAL_H

#include "ctrlplane/fake_etcd.h"

json_t *fake_etcd_header(const struct fake_etcd *etcd, int64_t revision);
json_t *fake_etcd_range(struct fake_etcd *etcd, const json_t *request);
json_t *fake_etcd_txn(struct fake_etcd *etcd, const json_t *request);
/* The events of the first revision behind `after`, or NULL; *last: that revision. */
json_t *fake_etcd_events(struct fake_etcd *etcd, int64_t after, int64_t *last);

#endif
