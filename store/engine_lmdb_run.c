/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of new records in front of old ones, so that they leave full pages behind. */
#include "store/engine_lmdb_int.h"

/*
 * LMDB splits a full page in the middle, unless what is put comes behind all that the page has. A
 * run of new records that others stand behind, in the same page, would therefore leave pages that
 * are half empty. So when it has come to a page's worth, what stands behind it, as much again, is
 * taken out, and put back when the run has ended.
 */
#define LOOK_EVERY 8 /* puts: where in the base they go */

static bool in_gap(const struct lmdb_run *run, struct slice key)
{
    return slice_compare(key_slice(&run->last), key) < 0 &&
           slice_compare(key, key_slice(&run->next)) < 0;
}

/* The cursor is on the record put last: what stands behind it bounds the gap. */
static int look_behind(struct lmdb_txn *t)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(t->cursor, &k, &v, MDB_NEXT);
    if (rc == 0 && k.mv_size > KEY_MAX_LEN)
        return MDB_CORRUPTED;
    if (rc == 0)
        key_copy(&t->run.next, slice_of(k.mv_data, k.mv_size));
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Copies records from `next` on, a page's worth; *all: none of them has pages of its own. */
static int copy_tail(struct lmdb_txn *t, size_t page, bool *all)
{
    MDB_val k = lmdb_val(key_slice(&t->run.next)), v;
    struct buf *tail = &t->run.tail;
    int rc = mdb_cursor_get(t->cursor, &k, &v, MDB_SET_RANGE);
    *all = true;
    while (rc == 0 && *all && tail->len < page) {
        *all = k.mv_size + v.mv_size < page / 2 - 64;
        put_bytes16(tail, slice_of(k.mv_data, k.mv_size));
        put_bytes32(tail, slice_of(v.mv_data, v.mv_size));
        rc = mdb_cursor_get(t->cursor, &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int take_out(struct lmdb_txn *t)
{
    const struct lmdb *db = lmdb_of(t->txn.engine);
    bool all;
    int rc = copy_tail(t, db->page, &all);
    if (rc == 0 && !all)
        buf_clear(&t->run.tail);
    struct reader r = reader_of(buf_slice(&t->run.tail));
    while (rc == 0 && !reader_at_end(&r)) {
        MDB_val k = lmdb_val(get_bytes16(&r));
        get_bytes32(&r);
        rc = mdb_del(t->top, db->nodes, &k, NULL);
    }
    return rc;
}

int lmdb_run_end(struct lmdb_txn *t)
{
    struct reader r = reader_of(buf_slice(&t->run.tail));
    int rc = 0;
    if (!t->run.puts)
        return 0;
    while (rc == 0 && !reader_at_end(&r)) {
        MDB_val k = lmdb_val(get_bytes16(&r)), v = lmdb_val(get_bytes32(&r));
        rc = mdb_cursor_put(t->cursor, &k, &v, 0);
    }
    lmdb_run_forget(t);
    return rc;
}

void lmdb_run_forget(struct lmdb_txn *t)
{
    buf_clear(&t->run.tail);
    key_root(&t->run.next);
    t->run.puts = 0;
    t->run.bytes = 0;
}

int lmdb_run_put(struct lmdb_txn *t, struct slice key, size_t bytes)
{
    struct lmdb_run *run = &t->run;
    size_t page = lmdb_of(t->txn.engine)->page;
    int rc = 0;
    if (!run->next.len && run->puts && run->puts % LOOK_EVERY == 0)
        rc = look_behind(t);
    if (rc == 0 && run->next.len && !in_gap(run, key))
        rc = lmdb_run_end(t);
    if (rc == 0 && run->next.len) {
        if (run->bytes < page && run->bytes + bytes >= page)
            rc = take_out(t);
        run->bytes += bytes;
    }
    key_copy(&run->last, key);
    run->puts++;
    return rc;
}
