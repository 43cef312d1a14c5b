/* SPDX-License-Identifier: Apache-2.0 */
/* What store.c and read.c share: the store's state on the loop. */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include "store/apply.h"
#include "store/store.h"

struct batch;

/* Batches that one transaction takes. Belongs to the worker between run and done. */
struct job {
    struct batch *first;
    uint64_t wall;
    uint64_t last_stamp;
    struct changes changes;
};

struct store {
    struct loop *loop;
    struct engine *engine;
    struct loop_worker *worker;
    struct loop_event *start; /* pending start of a job */
    struct batch *waiting;
    struct batch **tail;
    bool running; /* a job is with the worker, or its results are being told */
    struct job job;
    uint64_t last_stamp;
    uint64_t new_limit; /* to be set when nothing is open; 0: none */
    struct store_read *reads;
    unsigned reading; /* read transactions open */
    bool closing;
    loop_fn *closed;
    void *closed_cookie;
    uint64_t slots[CHANGE_SLOTS]; /* listing stamps by hash of the directory's key */
};

/* Cancels every read. */
void store_cancel_reads(struct store *store);

#endif
