/* SPDX-License-Identifier: BSD-3-Clause
 * The bytes of the shared region, in order. Both processes (tidegate, tidegate-ctl) are built from this
 * file; a region of another version is not touched. Offsets only, never pointers. Floor 1: base only.
 *
 *   struct region_header         magic, version, sizes, checksum over the constant part
 *   struct region_directory      generations of every table kind: who is current
 *   struct region_worker [16]    per worker: stats, rule hits, acknowledgements, command ring, event ring
 *   arena                        the generations' bytes, allocated by tidegate-ctl only
 *
 * Writers. Header: tidegate at creation. Directory and arena: tidegate-ctl. Of each region_worker: stats, hits,
 * applied, oldest, heartbeat by that worker; the command ring's head by tidegate-ctl, its tail by the worker; the event
 * ring the other way round.
 */
#ifndef CONTRACT_LAYOUT_H
#define CONTRACT_LAYOUT_H

#include "base/ring.h"
#include "base/stats.h"
#include "base/types.h"
#include "contract/commands.h"
#include "contract/tables.h"

#define REGION_MAGIC          0x7469646567617465ull /* "tidegate" */
#define REGION_LAYOUT_VERSION 4u
#define REGION_SLOTS                                                                               \
    6 /* generations of one kind that can be resident: current, previous, 4 draining */
#define REGION_COMMANDS 64
#define REGION_EVENTS   1024

enum region_slot_state { REGION_SLOT_FREE, REGION_SLOT_WRITING, REGION_SLOT_PUBLISHED };

struct region_header {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t workers;
    uint64_t bytes; /* of the whole region */
    uint64_t arena_offset;
    uint64_t arena_bytes;
    uint64_t boot_id;        /* random, one per creation */
    uint64_t counter_digest; /* hash of the counters' names: another list is another layout */
    uint32_t node_slot;
    uint32_t checksum; /* CRC-32C of all fields above */
} TG_CACHE_ALIGN;

struct region_slot {
    _Atomic uint32_t state; /* enum region_slot_state */
    uint32_t checksum;      /* CRC-32C of the bytes */
    uint64_t number;        /* generation, counts from 1 per kind */
    uint64_t offset;        /* from the region's start */
    uint64_t bytes;
};

struct region_directory {
    _Atomic uint64_t current[TABLES_KINDS]; /* number << 8 | slot; 0: none yet */
    struct region_slot slots[TABLES_KINDS][REGION_SLOTS];
    _Atomic uint64_t control_pid; /* of the tidegate-ctl that holds the write lock; 0: none */
} TG_CACHE_ALIGN;

struct region_worker {
    struct stats stats;                                  /* writer: worker */
    uint64_t rule_hits[TABLES_RULES_MAX] TG_CACHE_ALIGN; /* writer: worker */
    _Atomic uint64_t
        applied[TABLES_KINDS] TG_CACHE_ALIGN; /* generation in force for new work; writer: worker */
    _Atomic uint64_t oldest[TABLES_KINDS];    /* oldest generation still in use; writer: worker */
    _Atomic uint64_t heartbeat_ns; /* CLOCK_MONOTONIC at the last turn (about); writer: worker */
    _Atomic uint32_t refused_kind; /* last generation that the worker could not use, and its */
    _Atomic uint64_t
        refused_number; /* number: the publisher reads why it did not come into force */
    int32_t cpu;        /* where it is pinned, -1: nowhere; writer: worker at start */
    uint32_t alive;     /* 1 while the worker runs */
    uint64_t connections, requests_active; /* gauges; writer: worker */
    uint64_t pressure; /* level of its memory governor, 0 calm .. 3 sheds; likewise */
    uint8_t
        command_ring[sizeof(struct ring) + REGION_COMMANDS * sizeof(struct command)] TG_CACHE_ALIGN;
    uint8_t event_ring[sizeof(struct ring) + REGION_EVENTS * sizeof(struct event)] TG_CACHE_ALIGN;
} TG_CACHE_ALIGN;

struct region_layout {
    struct region_header header;
    struct region_directory directory;
    struct region_worker workers[TG_WORKERS_MAX];
    /* the arena follows, page aligned */
};

static_assert(sizeof(struct region_header) % TG_CACHE_LINE == 0, "header fills lines");
static_assert(offsetof(struct region_worker, applied) % TG_CACHE_LINE == 0, "one writer per line");
static_assert(offsetof(struct region_worker, command_ring) % TG_CACHE_LINE == 0, "ring alignment");
static_assert(offsetof(struct region_worker, event_ring) % TG_CACHE_LINE == 0, "ring alignment");

#endif
