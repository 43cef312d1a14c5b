/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and children over an engine cursor, in the files and in the globals view. */
#include "store/view.h"

/* From the record at hand on: does one under top count for the view? Moves the cursor. */
static int descendant(struct view_iter *it, struct slice top, bool *yes)
{
    struct record record;
    *yes = false;
    while (it->have && it->found.len > top.len && slice_has_prefix(it->found, top)) {
        int error = record_parse(it->bytes, &record);
        if (error)
            return error;
        if (it->view == VIEW_FILES || record.flags & NODE_VALUE) {
            *yes = true;
            return 0;
        }
        error = it->ops->next(it->cursor, &it->found, &it->bytes);
        it->have = error == 0;
        if (error && error != ECP_ENOENT)
            return error;
    }
    return 0;
}

/* The node at top; the cursor is on the first record of its subtree, or beyond. */
static int node_at(struct view_iter *it, struct slice top, struct view_node *node)
{
    struct record record;
    bool children;
    int error;
    *node = (struct view_node){0};
    if (it->have && slice_equal(it->found, top)) {
        if ((error = record_parse(it->bytes, &record)))
            return error;
        node->record_stamp = record.stamp;
        node->flags = record.flags;
        if (it->view == VIEW_GLOBALS)
            node->flags &= NODE_VALUE;
        if (node->flags) {
            node->stamp = record.stamp;
            node->value = record.value;
        }
        error = it->ops->next(it->cursor, &it->found, &it->bytes);
        it->have = error == 0;
        if (error && error != ECP_ENOENT)
            return error;
    }
    if ((error = descendant(it, top, &children)))
        return error;
    if (children)
        node->flags |= NODE_CHILDREN;
    return 0;
}

static int iter_seek(struct view_iter *it, struct slice key)
{
    int error = it->ops->seek(it->cursor, key, &it->found, &it->bytes);
    it->have = error == 0;
    return error == ECP_ENOENT ? 0 : error;
}

static int seek_after(struct view_iter *it, struct slice key)
{
    uint8_t end[KEY_MAX_LEN + 1];
    size_t len = key_subtree_end(key, end);
    if (len)
        return iter_seek(it, slice_of(end, len));
    it->have = false;
    return 0;
}

int view_lookup(const struct engine_ops *ops, struct engine_cursor *cursor, struct slice key,
                enum view view, struct view_node *node)
{
    struct view_iter it = {.ops = ops, .cursor = cursor, .view = view};
    int error = iter_seek(&it, key);
    return error ? error : node_at(&it, key, node);
}

int view_children(struct view_iter *it, const struct engine_ops *ops, struct engine_cursor *cursor,
                  struct slice parent, enum view view, struct slice from, bool after)
{
    if (parent.len + from.len > KEY_MAX_LEN)
        return ECP_EINVAL;
    it->ops = ops;
    it->cursor = cursor;
    it->view = view;
    key_copy(&it->child, parent);
    it->parent_len = parent.len;
    if (from.len)
        memcpy(it->child.data + parent.len, from.data, from.len);
    struct slice start = slice_of(it->child.data, parent.len + from.len);
    if (from.len && after)
        return seek_after(it, start);
    int error = iter_seek(it, start);
    if (error || !it->have || !slice_equal(it->found, parent))
        return error;
    error = ops->next(cursor, &it->found, &it->bytes);
    it->have = error == 0;
    return error == ECP_ENOENT ? 0 : error;
}

int view_next(struct view_iter *it, struct view_node *node)
{
    for (;;) {
        struct slice parent = slice_of(it->child.data, it->parent_len);
        if (!it->have || !slice_has_prefix(it->found, parent) || it->found.len > KEY_MAX_LEN)
            return ECP_ENOENT;
        size_t level = key_level_len(it->found, it->parent_len);
        if (level == 0)
            return ECP_ECORRUPT;
        it->child.len = (uint16_t)(it->parent_len + level);
        memcpy(it->child.data + it->parent_len, it->found.data + it->parent_len, level);
        struct slice child = key_slice(&it->child);
        int error = node_at(it, child, node);
        if (error)
            return error;
        if (it->have && slice_has_prefix(it->found, child) && (error = seek_after(it, child)))
            return error;
        if (node->flags)
            return 0;
    }
}

int view_before(const struct engine_ops *ops, struct engine_cursor *cursor, struct slice bound,
                struct slice *found, struct slice *bytes)
{
    if (bound.data) {
        int error = ops->seek(cursor, bound, found, bytes);
        if (error == 0)
            return ops->prev(cursor, found, bytes);
        if (error != ECP_ENOENT)
            return error;
    }
    return ops->last(cursor, found, bytes);
}

int view_prev(const struct engine_ops *ops, struct engine_cursor *cursor, struct slice parent,
              struct slice level, enum view view, struct key *child, struct view_node *node)
{
    uint8_t bound[KEY_MAX_LEN + 1];
    size_t len = parent.len + level.len;
    if (len > KEY_MAX_LEN)
        return ECP_EINVAL;
    if (level.len == 0) {
        len = key_subtree_end(parent, bound);
    } else {
        if (parent.len)
            memcpy(bound, parent.data, parent.len);
        memcpy(bound + parent.len, level.data, level.len);
    }
    for (;;) {
        struct slice found, bytes;
        int error = view_before(ops, cursor, len ? slice_of(bound, len) : slice_of(NULL, 0), &found,
                                &bytes);
        if (error)
            return error;
        if (found.len <= parent.len || !slice_has_prefix(found, parent))
            return ECP_ENOENT;
        size_t n = key_level_len(found, parent.len);
        if (n == 0)
            return ECP_ECORRUPT;
        key_copy(child, slice_of(found.data, parent.len + n));
        error = view_lookup(ops, cursor, key_slice(child), view, node);
        if (error || node->flags)
            return error;
        len = child->len;
        memcpy(bound, child->data, len);
    }
}
