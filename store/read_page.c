/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of children; read_ahead.c finds the directories whose pages follow. */
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

/* Entries of one page, at most `most` (0: all). */
static int give_entries(struct store_read *r, struct slice parent, struct slice from, bool after,
                        uint32_t most)
{
    struct view_iter it;
    struct view_node v;
    uint32_t count = 0;
    int error = view_children(&it, r->store->engine->ops, r->cursor, parent, r->view, from, after);
    while (error == 0 && !r->stopped && (most == 0 || count < most) &&
           (error = view_next(&it, &v)) == 0) {
        struct slice key = key_slice(&it.child);
        struct entry e = {.sub = slice_of(key.data + parent.len, key.len - parent.len),
                          .node = read_make_node(r, key, &v, r->max_value)};
        if (!r->sink->entry(r->cookie, &e))
            r->stopped = true;
        count++;
    }
    return error;
}

static int whole_page(struct store_read *r, struct slice parent, struct slice from, bool after,
                      uint32_t most)
{
    int error = begin_page(r, parent, from);
    if (error || r->stopped)
        return error;
    error = give_entries(r, parent, from, after, most);
    if (error && error != ECP_ENOENT)
        return error;
    if (!r->canceled && r->sink->page_end)
        r->sink->page_end(r->cookie, error == ECP_ENOENT);
    return 0;
}

static int run_page(struct store_read *r)
{
    int error = whole_page(r, r->key, r->from, r->flag, r->entries);

    return error || r->readahead == 0 ? error : read_ahead(r, whole_page);
}

struct store_read *store_page(struct store *store, const struct store_page_request *request,
                              const struct store_sink *sink, void *cookie)
{
    struct store_read *r = read_new(store, run_page, request->parent, request->from, sink, cookie);
    r->flag = request->after;
    r->view = request->view;
    r->max_value = request->max_value;
    r->readahead = request->readahead;
    r->entries = request->entries;
    r->onward = request->onward;
    return r;
}
