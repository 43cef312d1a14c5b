/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors of the engine on LMDB. */
#include <stdlib.h>

#include "base/buf.h"
#include "store/engine_lmdb_int.h"

struct engine_cursor {
    MDB_cursor *cursor;
    struct lmdb_txn *txn;
    bool deleted; /* stands where `gone` was */
    struct key gone;
};

int lmdb_cursor_open(struct engine_txn *txn, struct engine_cursor **cursor)
{
    struct lmdb_txn *t = (struct lmdb_txn *)txn;
    struct engine_cursor *c = xmalloc(sizeof(*c));
    c->txn = t;
    c->deleted = false;
    int rc = mdb_cursor_open(lmdb_current(t), lmdb_of(txn->engine)->nodes, &c->cursor);
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
    c->deleted = false;
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
    if (c->deleted)
        return lmdb_seek(c, key_slice(&c->gone), found, value);
    return step(c, &k, MDB_NEXT, found, value);
}

int lmdb_prev(struct engine_cursor *c, struct slice *found, struct slice *value)
{
    MDB_val k;
    return step(c, &k, MDB_PREV, found, value);
}

int lmdb_cursor_put(struct engine_cursor *c, struct slice key, struct slice head, struct slice body)
{
    MDB_val k = lmdb_val(key), v = {.mv_size = head.len + body.len};
    int rc = mdb_cursor_put(c->cursor, &k, &v, MDB_RESERVE);
    if (rc)
        return lmdb_error(rc);
    c->deleted = false;
    lmdb_fill(&v, head, body);
    return lmdb_bounded(lmdb_of(c->txn->txn.engine), mdb_cursor_txn(c->cursor));
}

/* LMDB's own idea of "next" after a delete depends on page merges: seeking is certain. */
int lmdb_cursor_del(struct engine_cursor *c)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(c->cursor, &k, &v, MDB_GET_CURRENT);
    if (rc == 0 && k.mv_size <= KEY_MAX_LEN) {
        key_copy(&c->gone, slice_of(k.mv_data, k.mv_size));
        rc = mdb_cursor_del(c->cursor, 0);
        c->deleted = true;
    }
    return lmdb_error(rc);
}
