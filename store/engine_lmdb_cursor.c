/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors of the engine on LMDB. */
#include <stdlib.h>

#include "base/buf.h"
#include "store/engine_lmdb_int.h"

struct engine_cursor {
    struct lmdb *db;
    MDB_cursor *cursor;
};

static void free_cursor(struct engine_cursor *c)
{
    if (c->cursor)
        mdb_cursor_close(c->cursor);
    free(c);
}

int lmdb_cursor_open(struct engine_txn *txn, struct engine_cursor **cursor)
{
    struct lmdb *db = lmdb_of(txn->engine);
    struct engine_cursor *c = db->spare;
    int rc;
    if (c) {
        db->spare = NULL;
        rc = mdb_cursor_renew(db->read.top, c->cursor);
    } else {
        c = xcalloc(1, sizeof(*c));
        c->db = db;
        rc = mdb_cursor_open(db->read.top, db->nodes, &c->cursor);
    }
    if (rc) {
        free_cursor(c);
        return lmdb_error(rc);
    }
    *cursor = c;
    return 0;
}

void lmdb_cursor_close(struct engine_cursor *c)
{
    if (c->db->spare)
        free_cursor(c);
    else
        c->db->spare = c;
}

void lmdb_cursor_free_spare(struct lmdb *db)
{
    if (db->spare)
        free_cursor(db->spare);
    db->spare = NULL;
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
