/* SPDX-License-Identifier: Apache-2.0 */
/* The walk: each transaction seeks behind the last record of the one before. */
#include "store/base_scan.h"

static bool rises(const struct base_scan *scan, struct slice key)
{
    return key.len <= KEY_MAX_LEN &&
           (!scan->last.len || slice_compare(key, key_slice(&scan->last)) > 0);
}

static int walk(struct base_scan *scan, struct engine_cursor *cursor, size_t bytes,
                base_scan_fn *each, void *cookie)
{
    const struct engine_ops *ops = scan->engine->ops;
    struct slice key, value;
    size_t shown = 0;
    int error = ops->seek(cursor, key_slice(&scan->last), &key, &value);
    if (error == 0 && scan->last.len && slice_equal(key, key_slice(&scan->last)))
        error = ops->next(cursor, &key, &value);
    while (error == 0 && shown < bytes) {
        if (!rises(scan, key))
            return ECP_ECORRUPT;
        each(cookie, key, value);
        key_copy(&scan->last, key);
        shown += key.len + value.len;
        error = ops->next(cursor, &key, &value);
    }
    scan->ended = error == ECP_ENOENT;
    return scan->ended ? 0 : error;
}

int base_scan_some(struct base_scan *scan, size_t bytes, base_scan_fn *each, void *cookie)
{
    const struct engine_ops *ops = scan->engine->ops;
    struct engine_txn *txn;
    struct engine_cursor *cursor;
    int error = ops->read_begin(scan->engine, &txn);
    if (error)
        return error;
    error = ops->cursor_open(txn, &cursor);
    if (error == 0) {
        error = walk(scan, cursor, bytes, each, cookie);
        ops->cursor_close(cursor);
    }
    ops->read_end(txn);
    return error;
}
