/* SPDX-License-Identifier: Apache-2.0 */
/* The engine seam: an ordered map of bytes with transactions, under the store's semantics. */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include "base/error.h"
#include "base/slice.h"

/*
 * Implementations: LMDB (store/engine_lmdb.c), the simulator's memory engine
 * (tests/sim/engine_mem.c), and the overlay in front of either of them (store/overlay.c). Functions
 * return 0 or an enum ecp_error; ECP_ENOENT means not found.
 *
 * Threads: one write transaction at a time, wholly on one thread (the store's checkpoint worker;
 * the overlay's on the loop); one read transaction at a time, on the loop. Each sees committed
 * state as of its beginning, the writer also what it wrote. A read transaction must not stay open
 * between turns of the loop.
 *
 * Slices handed out are borrowed until the transaction ends or, in a write transaction, writes; the
 * keys that the overlay hands out stay until the transaction ends.
 */
struct engine;

struct engine_txn {
    struct engine *engine;
};

struct engine_cursor;

struct engine_stat {
    uint64_t limit;   /* bytes that may be in use */
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

    int (*get)(struct engine_txn *txn, struct slice key, struct slice *value);
    /* Stores head and body together as one value, replacing. */
    int (*put)(struct engine_txn *txn, struct slice key, struct slice head, struct slice body);
    int (*del)(struct engine_txn *txn, struct slice key);
    /* Deletes at most `most` records whose keys begin with prefix; *more: there are others. */
    int (*kill)(struct engine_txn *txn, struct slice prefix, size_t most, bool *more);

    /* Small named facts beside the map ("stamp", "journal"). */
    int (*meta_get)(struct engine_txn *txn, const char *name, struct slice *value);
    int (*meta_put)(struct engine_txn *txn, const char *name, struct slice value);

    int (*cursor_open)(struct engine_txn *txn, struct engine_cursor **cursor);
    void (*cursor_close)(struct engine_cursor *cursor);
    int (*seek)(struct engine_cursor *cursor, struct slice key, struct slice *found,
                struct slice *value); /* first >= key */
    int (*last)(struct engine_cursor *cursor, struct slice *found, struct slice *value);
    int (*next)(struct engine_cursor *cursor, struct slice *found, struct slice *value);
    int (*prev)(struct engine_cursor *cursor, struct slice *found, struct slice *value);

    /*
     * On the loop, between transactions: nothing is committed (still) until it is called again. So
     * long a read transaction may be kept for the next one. At first not still.
     */
    void (*still)(struct engine *engine, bool still);
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
