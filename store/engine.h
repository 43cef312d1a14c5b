/* SPDX-License-Identifier: Apache-2.0 */
/* The engine seam: an ordered map of bytes with transactions, under the store's semantics. */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include "base/error.h"
#include "base/slice.h"

/*
 * Two implementations: LMDB (store/engine_lmdb.c) and the simulator's memory engine
 * (tests/sim/engine_mem.c). Functions return 0 or an enum ecp_error; ECP_ENOENT means not found.
 *
 * Threads: one write transaction at a time, wholly on one thread (the store's worker); one read
 * transaction at a time, on the loop. Each sees committed state as of its beginning, the writer
 * also what it wrote. A read transaction must not stay open between turns of the loop.
 *
 * Slices handed out are borrowed until the transaction ends or, in a write transaction, writes.
 */
struct engine;

struct engine_txn {
    struct engine *engine;
};

struct engine_cursor;

struct engine_stat {
    uint64_t limit;   /* bytes the map may grow to */
    uint64_t used;    /* bytes in use (pages that hold data) */
    uint64_t records; /* records in the map */
};

struct engine_ops {
    int (*read_begin)(struct engine *engine, struct engine_txn **txn);
    void (*read_end)(struct engine_txn *txn);
    int (*write_begin)(struct engine *engine, struct engine_txn **txn);
    int (*commit)(
        struct engine_txn *txn); /* durable when it returns 0; ends the transaction either way */
    void (*abort)(struct engine_txn *txn);

    /* Savepoints nest one deep: what was written since can be taken back. Cursors must be closed
     * around them. */
    int (*savepoint)(struct engine_txn *txn);
    int (*release)(struct engine_txn *txn);
    int (*rollback)(struct engine_txn *txn);

    int (*get)(struct engine_txn *txn, struct slice key, struct slice *value);
    /* Stores head and body together as one value, replacing. */
    int (*put)(struct engine_txn *txn, struct slice key, struct slice head, struct slice body);
    int (*del)(struct engine_txn *txn, struct slice key);

    /* Small named facts beside the map ("stamp", "format"). */
    int (*meta_get)(struct engine_txn *txn, const char *name, struct slice *value);
    int (*meta_put)(struct engine_txn *txn, const char *name, struct slice value);

    int (*cursor_open)(struct engine_txn *txn, struct engine_cursor **cursor);
    void (*cursor_close)(struct engine_cursor *cursor);
    int (*seek)(struct engine_cursor *cursor, struct slice key, struct slice *found,
                struct slice *value); /* first >= key */
    int (*last)(struct engine_cursor *cursor, struct slice *found, struct slice *value);
    int (*next)(struct engine_cursor *cursor, struct slice *found, struct slice *value);
    int (*prev)(struct engine_cursor *cursor, struct slice *found, struct slice *value);
    /* Write transactions: put and delete at the cursor are faster than put and del in a run of
     * neighbours. */
    int (*cursor_put)(struct engine_cursor *cursor, struct slice key, struct slice head,
                      struct slice body);
    int (*cursor_del)(
        struct engine_cursor *cursor); /* the record it is on; next() then gives the one after it */

    int (*stat)(struct engine *engine, struct engine_stat *stat);
    int (*set_limit)(struct engine *engine,
                     uint64_t limit); /* between transactions only; growing */
    void (*close)(struct engine *engine);
};

/* An implementation's own struct begins with this. */
struct engine {
    const struct engine_ops *ops;
};

#endif
