/* SPDX-License-Identifier: Apache-2.0 */
/* $ORDER and $QUERY. */
#include "store/store_int.h"

static int run_order(struct store_read *r)
{
    const struct engine_ops *ops = r->store->engine->ops;
    struct slice parent = r->key, level = r->from;
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
    struct store_read *r = read_new(store, run_order, parent, level, sink, cookie);
    r->flag = backwards;
    r->view = view;
    r->max_value = max_value;
    return r;
}

/* ---- $QUERY ---- */

static bool give_scanned(struct store_read *r, struct slice key, const struct record *record,
                         bool children)
{
    const struct view_node v = {.flags = NODE_VALUE | (children ? NODE_CHILDREN : 0),
                                .stamp = record->stamp,
                                .record_stamp = record->stamp,
                                .value = record->value};
    read_give_node(r, key, &v);
    return !r->stopped;
}

static int scan_start(struct store_read *r, struct slice *found, struct slice *bytes)
{
    const struct engine_ops *ops = r->store->engine->ops;
    struct slice top = r->key, from = r->from;
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

/* A node stands right before its descendants: it is given when what follows tells whether it has
 * any. */
static int scan_forward(struct store_read *r, struct slice found, struct slice bytes)
{
    struct record record, last;
    struct slice key = {0}; /* of last, when it waits */
    bool waits = false;
    int error = 0;
    while (error == 0 && slice_has_prefix(found, r->key)) {
        if ((error = record_parse(bytes, &record)))
            return error;
        bool value = record.flags & NODE_VALUE, below = waits && slice_has_prefix(found, key);
        if (waits && (value || !below)) {
            if (!give_scanned(r, key, &last, below))
                return 0;
            waits = false;
        }
        if (value) {
            key = found;
            last = record;
            waits = true;
        }
        error = r->store->engine->ops->next(r->cursor, &found, &bytes);
    }
    if (error && error != ECP_ENOENT)
        return error;
    return waits && !give_scanned(r, key, &last, false) ? 0 : ECP_ENOENT;
}

/* Descendants of the first may lie where the scan does not come to. */
static int scan_first(struct store_read *r, struct slice found, bool *children)
{
    const struct engine_ops *ops = r->store->engine->ops;
    struct slice again, bytes;
    struct view_node v;
    int error = view_lookup(ops, r->cursor, found, VIEW_GLOBALS, &v);
    *children = v.flags & NODE_CHILDREN;
    return error ? error : ops->seek(r->cursor, found, &again, &bytes);
}

static int scan_backward(struct store_read *r, struct slice found, struct slice bytes)
{
    struct record record;
    struct slice after = {0}; /* the last node given */
    int error = 0;
    while (error == 0 && slice_has_prefix(found, r->key)) {
        if ((error = record_parse(bytes, &record)))
            return error;
        if (record.flags & NODE_VALUE) {
            bool children = after.data && slice_has_prefix(after, found);
            if (!after.data && (error = scan_first(r, found, &children)))
                return error;
            if (!give_scanned(r, found, &record, children))
                return 0;
            after = found;
        }
        error = r->store->engine->ops->prev(r->cursor, &found, &bytes);
    }
    return error ? error : ECP_ENOENT;
}

static int run_scan(struct store_read *r)
{
    struct slice found, bytes;
    int error = scan_start(r, &found, &bytes);
    if (error == 0)
        error = r->flag ? scan_backward(r, found, bytes) : scan_forward(r, found, bytes);
    r->ended = error == ECP_ENOENT;
    return r->ended ? 0 : error;
}

struct store_read *store_scan(struct store *store, struct slice top, struct slice from,
                              bool backwards, uint32_t max_value, const struct store_sink *sink,
                              void *cookie)
{
    struct store_read *r = read_new(store, run_scan, top, from, sink, cookie);
    r->flag = backwards;
    r->max_value = max_value;
    return r;
}
