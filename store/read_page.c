/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of children, and pages of child directories read ahead. */
#include "store/store_int.h"

static int begin_page(struct store_read *r, struct slice parent, struct slice first)
{
    struct view_node self;
    int error = view_lookup(r->store->engine->ops, r->cursor, parent, r->view, &self);
    if (error)
        return error;
    struct page page = {.parent = parent, .first = first};
    page.self = read_make_node(r, parent, &self, 0);
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
                          .node = read_make_node(r, key, &v, r->max_value)};
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
    struct store_read *r = read_new(store, run_page, sink, cookie);
    read_copy_key(&r->key, request->parent);
    read_copy_key(&r->from, request->from);
    r->flag = request->after;
    r->view = request->view;
    r->max_value = request->max_value;
    r->readahead = request->readahead;
    return r;
}
