/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors of the engine on LMDB. */
#include <stdlib.h>

#include "base/buf.h"
#include "store/engine_lmdb_int.h"

struct engine_cursor {
    MDB_cursor *cursor;
};

int lmdb_cursor_open(struct engine_txn *txn, struct engine_cursor **cursor)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    struct engine_cursor *c = xmalloc(sizeof(*c));
    int rc = mdb_cursor_open(t->top, lmdb_of(txn->engine)->nodes, &c->cursor);
    if (rc) {
        free(c);
        return lmdb_error(rc);
    }
    *cursor = c;
    return 0;
}

void lmdb_cursor_close(struct engine_cursor *cursor)
{
    mdb_cursor_close(cursor->cursor);
    free(cursor);
}

static int step(struct engine_cursor *c, MDB_val *k, MDB_cursor_op op, struct slice *found,
                struct slice *value)
{
    MDB_val v;
    int rc = mdb_cursor_get(c->cursor, k, &v, op);
    if (rc)
        return lmdb_error(rc);
    *found = slice_of(k->mv_data, k->mv_size);
    *value = slice_of(v.mv_data, v.mv_size);
    return 0;
}

int lmdb_seek(struct engine_cursor *c, struct slice key, struct slice *found, struct slice *value)
{
    MDB_val k = lmdb_val(key);
    return step(c, &k, key.len ? MDB_SET_RANGE : MDB_FIRST, found, value);
}

int lmdb_last(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    MDB_val k;
    return step(c, &k, MDB_LAST, found, value);
}

int lmdb_next(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    MDB_val k;
    return step(c, &k, MDB_NEXT, found, value);
}

int lmdb_prev(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    MDB_val k;
    return step(c, &k, MDB_PREV, found, value);
}
