/* SPDX-License-Identifier: Apache-2.0 */
/* Reading nodes and children through an engine cursor, as one of the two views sees them. */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/engine.h"
#include "store/record.h"

/* A node as found. flags 0: it does not exist in the view. */
struct view_node {
    uint8_t flags;
    uint64_t stamp;        /* of the record, as the view sees it */
    uint64_t record_stamp; /* of the record whether visible or not; 0 without one */
    struct slice value;    /* with NODE_VALUE */
};

/* An iteration over the children of one node. */
struct view_iter {
    const struct engine_ops *ops;
    struct engine_cursor *cursor;
    enum view view;
    struct key child; /* key of the child that view_next gave; begins with the parent */
    size_t parent_len;
    bool have; /* found and bytes hold the record the cursor is on */
    struct slice found;
    struct slice bytes;
};

/* Looks up one node. 0 also when it does not exist. */
int view_lookup(const struct engine_ops *ops, struct engine_cursor *cursor, struct slice key,
                enum view view, struct view_node *node);

/*
 * Begins at the child with last level `from` (empty: the first), or after it.
 * ECP_EINVAL when parent and from are too long for a key.
 */
int view_children(struct view_iter *iter, const struct engine_ops *ops,
                  struct engine_cursor *cursor, struct slice parent, enum view view,
                  struct slice from, bool after);

/* The next child: its key is iter->child. ECP_ENOENT after the last. */
int view_next(struct view_iter *iter, struct view_node *node);

/* The last record before bound (NULL data: before the end of all). ECP_ENOENT: none. */
int view_before(const struct engine_ops *ops, struct engine_cursor *cursor, struct slice bound,
                struct slice *found, struct slice *bytes);

/* The child before level (empty: the last) into child. ECP_ENOENT: none. */
int view_prev(const struct engine_ops *ops, struct engine_cursor *cursor, struct slice parent,
              struct slice level, enum view view, struct key *child, struct view_node *node);

#endif
