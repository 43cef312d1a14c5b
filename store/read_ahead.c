/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ahead: the pages of the directories that a walk of the tree comes to next. */
#include "store/store_int.h"

/*
 * Directories come in key order, which is the order of a walk: each before its descendants. A
 * record tells of those among its ancestors that lie behind `last`, the directory shown before.
 */
struct walk {
    struct store_read *r;
    struct key last; /* the directory shown last */
    uint8_t at[KEY_MAX_LEN + 1]; /* records are looked at from here on */
    size_t at_len;
};

static bool in_scope(const struct walk *w, struct slice key)
{
    return w->r->onward || slice_has_prefix(key, w->r->key);
}

/* The shortest prefix of record, by levels, that is neither `last` nor one of its ancestors. */
static struct slice next_level(const struct walk *w, struct slice record)
{
    struct slice last = key_slice(&w->last);
    size_t len = 0;

    do
        len += key_level_len(record, len);
    while (len < record.len && slice_has_prefix(last, slice_of(record.data, len)));
    return slice_of(record.data, len);
}

/* A node without descendants or mark is no directory. record: copied to w->at, the cursor on it. */
static int is_dir(struct walk *w, bool *yes)
{
    struct view_node v;
    int error = view_lookup(w->r->store->engine->ops, w->r->cursor, slice_of(w->at, w->at_len),
                            w->r->view, &v);

    *yes = !error && v.flags & (NODE_CHILDREN | NODE_DIR);
    return error;
}

/* Finds the next directory and leaves it in w->last. ECP_ENOENT: there is none. */
static int next_dir(struct walk *w)
{
    const struct engine_ops *ops = w->r->store->engine->ops;
    struct slice record, bytes, dir;
    bool found = false;
    int error;

    while (!found) {
        error = ops->seek(w->r->cursor, slice_of(w->at, w->at_len), &record, &bytes);
        if (error)
            return error;
        if (!in_scope(w, record))
            return ECP_ENOENT;
        memcpy(w->at, record.data, record.len);
        w->at_len = record.len;
        dir = next_level(w, slice_of(w->at, w->at_len));
        found = dir.len < w->at_len;
        if (!found && !slice_has_prefix(key_slice(&w->last), dir)) {
            error = is_dir(w, &found);
            if (error)
                return error;
        }
        if (!found || dir.len == w->at_len)
            w->at[w->at_len++] = 0; /* not after any key that goes on */
    }
    key_copy(&w->last, dir);
    return 0;
}

/* Where the walk begins: behind what the page asked for has left out at its beginning. */
static void walk_begin(struct walk *w, struct store_read *r)
{
    struct slice first;

    w->r = r;
    key_copy(&w->last, r->key);
    w->at_len = r->key.len + r->from.len;
    memcpy(w->at, r->bytes, w->at_len); /* both, one after the other */
    first = slice_of(w->at, w->at_len);
    if (r->flag && r->from.len > 0) {
        uint8_t end[KEY_MAX_LEN + 1];
        w->at_len = key_subtree_end(first, end);
        memcpy(w->at, end, w->at_len);
    }
}

int read_ahead(struct store_read *r, read_page_fn *page)
{
    struct walk w;
    uint32_t count = 0;
    int error = 0;

    if (r->key.len + r->from.len > KEY_MAX_LEN)
        return 0;
    walk_begin(&w, r);
    while (!r->stopped && count++ < r->readahead && (error = next_dir(&w)) == 0) {
        error = page(r, key_slice(&w.last), slice_of(NULL, 0), false, 0);
        if (error)
            break;
    }
    return error == ECP_ENOENT ? 0 : error;
}
