/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine's files on LMDB share. */
#ifndef STORE_ENGINE_LMDB_INT_H
#define STORE_ENGINE_LMDB_INT_H

#include <lmdb.h>

#include "base/buf.h"
#include "base/key.h"
#include "store/engine_lmdb.h"

/* Puts that follow each other in one gap of what was there; see engine_lmdb_run.c. */
struct lmdb_run {
    unsigned puts; /* since the cursor was moved by anything else */
    size_t bytes;  /* of them, in the gap */
    struct key last;
    struct key next; /* the record that the gap ends at; empty: not known */
    struct buf tail; /* taken out from there on: bytes16 key, bytes32 value */
};

struct lmdb_txn {
    struct engine_txn txn;
    MDB_txn *top;       /* NULL: not begun */
    MDB_cursor *cursor; /* of puts, or NULL */
    struct lmdb_run run;
    bool live;
    bool open; /* of reads: has a snapshot; also when not live, while the engine is still */
};

struct lmdb {
    struct engine engine;
    MDB_env *env;
    MDB_dbi nodes;
    MDB_dbi meta;
    size_t page;
    uint64_t limit;
    bool still;
    struct lmdb_txn read; /* kept between reads, reset unless still */
    struct lmdb_txn write;
    struct engine_cursor *spare; /* of reads, to be renewed; or NULL */
};

static inline struct lmdb *lmdb_of(struct engine *engine)
{
    return (struct lmdb *)engine;
}

static inline MDB_val lmdb_val(struct slice s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)s.data};
}

/* LMDB's or the system's error number as an enum ecp_error. */
int lmdb_error(int rc);

void lmdb_cursor_free_spare(struct lmdb *db);

/* Before each put of so many bytes, with the cursor open. 0 or LMDB's error. */
int lmdb_run_put(struct lmdb_txn *txn, struct slice key, size_t bytes);
/* Before anything else, and at the end: what was taken out is put back. */
int lmdb_run_end(struct lmdb_txn *txn);
/* Instead of it, when the transaction is given up. */
void lmdb_run_forget(struct lmdb_txn *txn);

/* The cursor operations of struct engine_ops; cursors are of read transactions. */
int lmdb_cursor_open(struct engine_txn *txn, struct engine_cursor **cursor);
void lmdb_cursor_close(struct engine_cursor *cursor);
int lmdb_seek(struct engine_cursor *c, struct slice key, struct slice *found, struct slice *value);
int lmdb_last(struct engine_cursor *c, struct slice *found, struct slice *value);
int lmdb_next(struct engine_cursor *c, struct slice *found, struct slice *value);
int lmdb_prev(struct engine_cursor *c, struct slice *found, struct slice *value);

#endif
