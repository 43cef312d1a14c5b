/* SPDX-License-Identifier: Apache-2.0 */
/* Reads: pages of children, single nodes, $ORDER, $QUERY and parts of values. */
#include "store/store_int.h"

#include <stdlib.h>

typedef int read_fn(struct store_read *r);

struct store_read {
    struct store *store;
    struct store_read *next;
    struct store_read **link; /* what points to this one */
    struct loop_event *event;
    const struct store_sink *sink;
    void *cookie;
    read_fn *run;
    bool running;
    bool canceled;
    bool stopped; /* the sink had enough */
    bool ended;
    struct engine_txn *txn;
    struct engine_cursor *cursor;
    enum view view;
    bool flag; /* backwards, or after */
    uint32_t max_value;
    uint32_t offset;
    uint32_t readahead;
    struct key key;  /* parent, top or the node */
    struct key from; /* level or key */
};

static void unlink_read(struct store_read *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
}

static int open_cursor(struct store_read *r)
{
    const struct engine_ops *ops = r->store->engine->ops;
    int error = ops->read_begin(r->store->engine, &r->txn);
    if (error)
        return error;
    if ((error = ops->cursor_open(r->txn, &r->cursor)))
        ops->read_end(r->txn);
    else
        r->store->reading++;
    return error;
}

static void run_read(void *cookie)
{
    struct store_read *r = cookie;
    const struct engine_ops *ops = r->store->engine->ops;
    r->event = NULL;
    int error = open_cursor(r);
    if (error == 0) {
        r->running = true;
        error = r->run(r);
        r->running = false;
        ops->cursor_close(r->cursor);
        ops->read_end(r->txn);
        r->store->reading--;
    }
    if (!r->canceled)
        unlink_read(r);
    struct store_read copy = *r;
    free(r);
    if (!copy.canceled)
        copy.sink->done(copy.cookie, error, error == 0 && copy.ended && !copy.stopped);
}

static struct store_read *new_read(struct store *s, read_fn *run, const struct store_sink *sink,
                                   void *cookie)
{
    struct store_read *r = xcalloc(1, sizeof(*r));
    r->store = s;
    r->run = run;
    r->sink = sink;
    r->cookie = cookie;
    r->next = s->reads;
    r->link = &s->reads;
    if (r->next)
        r->next->link = &r->next;
    s->reads = r;
    r->event = loop_soon(s->loop, run_read, r);
    return r;
}

void store_read_cancel(struct store_read *r)
{
    unlink_read(r);
    r->canceled = r->stopped = true;
    if (r->running)
        return;
    loop_cancel(r->store->loop, r->event);
    free(r);
}

void store_cancel_reads(struct store *s)
{
    while (s->reads)
        store_read_cancel(s->reads);
}

/* Keys from callers are checked by them; lengths once more here, as memory depends on it. */
static void copy_bytes(struct key *to, struct slice from)
{
    if (from.len > KEY_MAX_LEN)
        from.len = KEY_MAX_LEN;
    to->len = (uint16_t)from.len;
    if (from.len)
        memcpy(to->data, from.data, from.len);
}

static struct node make_node(struct store_read *r, struct slice key, const struct view_node *v,
                             uint32_t max_value)
{
    struct node n = {.flags = v->flags, .stamp = v->stamp};
    if (v->flags & (NODE_CHILDREN | NODE_DIR) || key.len == 0) {
        n.changed = r->store->slots[change_slot(key)];
        if (n.changed < v->record_stamp)
            n.changed = v->record_stamp;
    }
    if (v->flags & NODE_VALUE) {
        n.value_len = (uint32_t)v->value.len;
        if (v->value.len <= max_value)
            n.value = v->value;
    }
    return n;
}

static void give_node(struct store_read *r, struct slice key, const struct view_node *v)
{
    struct node n = make_node(r, key, v, r->max_value);
    if (!r->sink->node(r->cookie, key, &n))
        r->stopped = true;
}

/* ---- Pages ---- */

static int begin_page(struct store_read *r, struct slice parent, struct slice first)
{
    struct view_node self;
    int error = view_lookup(r->store->engine->ops, r->cursor, parent, r->view, &self);
    if (error)
        return error;
    struct page page = {.parent = parent, .first = first};
    page.self = make_node(r, parent, &self, 0);
    page.self.value = slice_of(NULL, 0);
    if (!r->sink->page(r->cookie, &page))
        r->stopped = true;
    return 0;
}

/* Entries of one page; dirs, when given, collects the levels of directories. */
static int give_entries(struct store_read *r, struct slice parent, struct slice from, bool after,
                        struct buf *dirs)
{
    struct view_iter it;
    struct view_node v;
    int error = view_children(&it, r->store->engine->ops, r->cursor, parent, r->view, from, after);
    while (error == 0 && !r->stopped && (error = view_next(&it, &v)) == 0) {
        struct slice key = key_slice(&it.child);
        struct entry e = {.sub = slice_of(key.data + parent.len, key.len - parent.len),
                          .node = make_node(r, key, &v, r->max_value)};
        if (!r->sink->entry(r->cookie, &e))
            r->stopped = true;
        else if (dirs && v.flags & (NODE_CHILDREN | NODE_DIR))
            put_bytes16(dirs, e.sub);
    }
    return error;
}

static int whole_page(struct store_read *r, struct slice parent, struct slice from, bool after,
                      struct buf *dirs)
{
    int error = begin_page(r, parent, from);
    if (error || r->stopped)
        return error;
    error = give_entries(r, parent, from, after, dirs);
    if (error && error != ECP_ENOENT)
        return error;
    if (!r->canceled && r->sink->page_end)
        r->sink->page_end(r->cookie, error == ECP_ENOENT);
    return 0;
}

static int small_enough(struct store_read *r, struct slice parent, bool *yes)
{
    struct view_iter it;
    struct view_node v;
    uint32_t count = 0;
    int error = view_children(&it, r->store->engine->ops, r->cursor, parent, r->view,
                              slice_of(NULL, 0), false);
    while (error == 0 && count <= r->readahead && (error = view_next(&it, &v)) == 0)
        count++;
    *yes = error == ECP_ENOENT && count <= r->readahead;
    return error == ECP_ENOENT ? 0 : error;
}

static int read_ahead(struct store_read *r, struct slice dirs)
{
    struct reader reader = reader_of(dirs);
    int error = 0;
    while (error == 0 && !r->stopped && !reader_at_end(&reader)) {
        struct slice level = get_bytes16(&reader);
        struct key key;
        bool yes;
        key_copy(&key, key_slice(&r->key));
        memcpy(key.data + key.len, level.data, level.len);
        key.len = (uint16_t)(key.len + level.len);
        error = small_enough(r, key_slice(&key), &yes);
        if (error == 0 && yes)
            error = whole_page(r, key_slice(&key), slice_of(NULL, 0), false, NULL);
    }
    return error;
}

static int run_page(struct store_read *r)
{
    struct buf dirs = {0};
    int error = whole_page(r, key_slice(&r->key), key_slice(&r->from), r->flag,
                           r->readahead ? &dirs : NULL);
    if (error == 0)
        error = read_ahead(r, buf_slice(&dirs));
    buf_free(&dirs);
    return error;
}

struct store_read *store_page(struct store *store, const struct store_page_request *request,
                              const struct store_sink *sink, void *cookie)
{
    struct store_read *r = new_read(store, run_page, sink, cookie);
    copy_bytes(&r->key, request->parent);
    copy_bytes(&r->from, request->from);
    r->flag = request->after;
    r->view = request->view;
    r->max_value = request->max_value;
    r->readahead = request->readahead;
    return r;
}

/* ---- Single nodes ---- */

static int run_node(struct store_read *r)
{
    struct view_node v;
    struct slice key = key_slice(&r->key);
    int error = view_lookup(r->store->engine->ops, r->cursor, key, r->view, &v);
    if (error == 0)
        give_node(r, key, &v);
    return error;
}

struct store_read *store_node(struct store *store, struct slice key, enum view view,
                              uint32_t max_value, const struct store_sink *sink, void *cookie)
{
    struct store_read *r = new_read(store, run_node, sink, cookie);
    copy_bytes(&r->key, key);
    r->view = view;
    r->max_value = max_value;
    return r;
}

static int run_value(struct store_read *r)
{
    struct view_node v;
    struct slice key = key_slice(&r->key);
    int error = view_lookup(r->store->engine->ops, r->cursor, key, VIEW_FILES, &v);
    if (error)
        return error;
    struct node n = make_node(r, key, &v, VALUE_MAX_LEN);
    if (v.flags & NODE_VALUE) {
        size_t at = r->offset < v.value.len ? r->offset : v.value.len;
        size_t len = v.value.len - at < r->max_value ? v.value.len - at : r->max_value;
        n.value = slice_of(v.value.data + at, len);
    }
    if (!r->sink->node(r->cookie, key, &n))
        r->stopped = true;
    return 0;
}

struct store_read *store_value(struct store *store, struct slice key, uint32_t offset, uint32_t len,
                               const struct store_sink *sink, void *cookie)
{
    struct store_read *r = new_read(store, run_value, sink, cookie);
    copy_bytes(&r->key, key);
    r->offset = offset;
    r->max_value = len;
    return r;
}

/* ---- $ORDER ---- */

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
        give_node(r, key_slice(&it.child), &v);
    r->ended = error == ECP_ENOENT;
    return r->ended ? 0 : error;
}

struct store_read *store_order(struct store *store, struct slice parent, struct slice level,
                               bool backwards, enum view view, uint32_t max_value,
                               const struct store_sink *sink, void *cookie)
{
    struct store_read *r = new_read(store, run_order, sink, cookie);
    copy_bytes(&r->key, parent);
    copy_bytes(&r->from, level);
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
        give_node(r, found, &v);
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
    struct store_read *r = new_read(store, run_scan, sink, cookie);
    copy_bytes(&r->key, top);
    copy_bytes(&r->from, from);
    r->flag = backwards;
    r->max_value = max_value;
    return r;
}
