/* SPDX-License-Identifier: Apache-2.0 */
/* Walks all records of an engine in short transactions, for what takes long and must not pin it. */
#ifndef STORE_BASE_SCAN_H
#define STORE_BASE_SCAN_H

#include "base/key.h"
#include "store/engine.h"

struct base_scan {
    struct engine *engine;
    struct key last; /* shown last; empty: none yet */
    bool ended;
};

/* Slices are borrowed for the length of the call. */
typedef void base_scan_fn(void *cookie, struct slice key, struct slice value);

/*
 * Shows records from scan->last on, about `bytes` of them, as of one transaction that ends with the
 * call; sets ended behind the last one. What changes between two calls is shown as it is when its
 * turn comes. ECP_ECORRUPT: what follows scan->last is out of order, or the engine is damaged.
 */
int base_scan_some(struct base_scan *scan, size_t bytes, base_scan_fn *each, void *cookie);

#endif
