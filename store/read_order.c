/* SPDX-License-Identifier: Apache-2.0 */
/* $ORDER and $QUERY. */
#include "store/store_int.h"

static int run_order(struct store_read *r)
{
    const struct engine_ops *ops = r->store->engine->ops;
    struct slice parent = key_slice(&r->key), level = key_slice(&r->from);
    struct view_iter it;
    struct view_node v;
    int error;
    if (r->flag) {
        error = view_prev(ops, r->cursor, parent, level, r->view, &it.child, &v);
    } else {
        error = view_children(&it, ops, r->cursor, parent, r->view, level, true);
        if (error == 0)
            error = view_next(&it, &v);
    }
    if (error == 0)
        read_give_node(r, key_slice(&it.child), &v);
    r->ended = error == ECP_ENOENT;
    return r->ended ? 0 : error;
}

struct store_read *store_order(struct store *store, struct slice parent, struct slice level,
                               bool backwards, enum view view, uint32_t max_value,
                               const struct store_sink *sink, void *cookie)
{
    struct store_read *r = read_new(store, run_order, sink, cookie);
    read_copy_key(&r->key, parent);
    read_copy_key(&r->from, level);
    r->flag = backwards;
    r->view = view;
    r->max_value = max_value;
    return r;
}

/* ---- $QUERY ---- */

/* Gives a record with a value. Its children flag needs a look of its own, by a second cursor. */
static int give_scanned(struct store_read *r, struct engine_cursor *aside, struct slice found)
{
    struct view_node v;
    int error = view_lookup(r->store->engine->ops, aside, found, VIEW_GLOBALS, &v);
    if (error == 0)
        read_give_node(r, found, &v);
    return error;
}

static int scan_start(struct store_read *r, struct slice *found, struct slice *bytes)
{
    const struct engine_ops *ops = r->store->engine->ops;
    struct slice top = key_slice(&r->key), from = key_slice(&r->from);
    uint8_t end[KEY_MAX_LEN + 1];
    if (r->flag) {
        size_t len = key_subtree_end(top, end);
        struct slice bound = len ? slice_of(end, len) : slice_of(NULL, 0);
        if (from.len && (!len || slice_compare(from, bound) < 0))
            bound = from;
        return view_before(ops, r->cursor, bound, found, bytes);
    }
    if (from.len == 0 || slice_compare(from, top) < 0)
        return ops->seek(r->cursor, top, found, bytes);
    int error = ops->seek(r->cursor, from, found, bytes);
    if (error == 0 && slice_equal(*found, from))
        error = ops->next(r->cursor, found, bytes);
    return error;
}

static int scan(struct store_read *r, struct engine_cursor *aside)
{
    const struct engine_ops *ops = r->store->engine->ops;
    struct slice found, bytes;
    struct record record;
    int error = scan_start(r, &found, &bytes);
    while (error == 0 && slice_has_prefix(found, key_slice(&r->key))) {
        if ((error = record_parse(bytes, &record)))
            return error;
        if (record.flags & NODE_VALUE && (error = give_scanned(r, aside, found)))
            return error;
        if (r->stopped)
            return 0;
        error =
            r->flag ? ops->prev(r->cursor, &found, &bytes) : ops->next(r->cursor, &found, &bytes);
    }
    r->ended = error == 0 || error == ECP_ENOENT;
    return r->ended ? 0 : error;
}

static int run_scan(struct store_read *r)
{
    const struct engine_ops *ops = r->store->engine->ops;
    struct engine_cursor *aside;
    int error = ops->cursor_open(r->txn, &aside);
    if (error)
        return error;
    error = scan(r, aside);
    ops->cursor_close(aside);
    return error;
}

struct store_read *store_scan(struct store *store, struct slice top, struct slice from,
                              bool backwards, uint32_t max_value, const struct store_sink *sink,
                              void *cookie)
{
    struct store_read *r = read_new(store, run_scan, sink, cookie);
    read_copy_key(&r->key, top);
    read_copy_key(&r->from, from);
    r->flag = backwards;
    r->max_value = max_value;
    return r;
}
