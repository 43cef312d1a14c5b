/* SPDX-License-Identifier: Apache-2.0 */
/* Applies updates to an open write transaction. */
#include "store/apply.h"

#include "base/number.h"
#include "store/overlay.h"

static bool may_fail(const struct update *u)
{
    return u->kind < UPDATE_SET || u->kind > UPDATE_ZKILL || u->cond != COND_NONE ||
           u->flags & ~UPDATE_KEEP_DIR;
}

void apply_detach(struct apply *a)
{
    if (a->cursor)
        a->ops->cursor_close(a->cursor);
    a->cursor = NULL;
    a->has_last = false;
}

void apply_free(struct apply *a)
{
    apply_detach(a);
    buf_free(&a->scratch);
}

int apply_cursor(struct apply *a)
{
    return a->cursor ? 0 : a->ops->cursor_open(a->txn, &a->cursor);
}

int apply_lookup(struct apply *a, struct slice key, struct view_node *node)
{
    int error = apply_cursor(a);
    return error ? error : view_lookup(a->ops, a->cursor, key, VIEW_FILES, node);
}

int apply_write(struct apply *a, struct slice key, uint8_t old_flags, uint8_t flags, uint64_t stamp,
                struct slice value)
{
    uint8_t head[RECORD_HEAD];
    int error = 0;
    flags &= NODE_VALUE | NODE_DIR;
    if ((old_flags & (NODE_VALUE | NODE_DIR)) != flags)
        error = change_listings(a, key);
    if (error)
        return error;
    record_head(head, stamp, flags);
    error = a->ops->put(a->txn, key, slice_of(head, sizeof(head)), value);
    if (error)
        return error;
    if (flags == NODE_VALUE)
        known_add(a->known, key);
    else
        known_remove(a->known, key);
    if (flags & NODE_VALUE) {
        key_copy(&a->last, key);
        a->has_last = true;
    } else {
        a->has_last = false;
    }
    return 0;
}

/* Takes the record away; a directory without record must not fall back behind its stamp. */
int apply_remove(struct apply *a, struct slice key, const struct view_node *node)
{
    a->has_last = false;
    known_remove(a->known, key);
    int error = a->ops->del(a->txn, key);
    if (error)
        return error;
    if (node->flags & NODE_CHILDREN)
        change_listing(a, key);
    return change_listings(a, key);
}

/* One record is deleted by itself; more are in one go, however many. */
int apply_kill(struct apply *a, struct slice key, bool *removed)
{
    struct slice found, bytes, second;
    bool more;
    *removed = false;
    a->has_last = false;
    int error = apply_cursor(a);
    if (error == 0)
        error = a->ops->seek(a->cursor, key, &found, &bytes);
    if (error || !slice_has_prefix(found, key))
        return error == ECP_ENOENT ? 0 : error;
    *removed = true;
    error = a->ops->next(a->cursor, &second, &bytes);
    if (error && error != ECP_ENOENT)
        return error;
    if (error == 0 && slice_has_prefix(second, key)) {
        known_clear(a->known);
        error = a->ops->kill(a->txn, key, SIZE_MAX, &more);
    } else {
        known_remove(a->known, found);
        error = a->ops->del(a->txn, found);
    }
    return error ? error : change_listings(a, key);
}

int apply_keep_parent(struct apply *a, struct slice key)
{
    struct view_node node;
    struct slice parent = key_parent(key);
    if (parent.len == 0)
        return 0;
    int error = apply_lookup(a, parent, &node);
    if (error || node.flags & (NODE_CHILDREN | NODE_DIR))
        return error;
    buf_clear(&a->scratch);
    if (node.value.len)
        buf_append_slice(&a->scratch, node.value);
    return apply_write(a, parent, node.flags, node.flags | NODE_DIR, a->stamp,
                       buf_slice(&a->scratch));
}

int apply_conditions(const struct update *u, const struct view_node *node,
                     const struct view_node *target)
{
    switch (u->cond) {
    case COND_ABSENT:
        if (target->flags)
            return ECP_EEXIST;
        break;
    case COND_PRESENT:
        if (!(node->flags & NODE_VALUE))
            return u->kind == UPDATE_ZKILL ? ECP_ENOENT : ECP_ESTALE;
        break;
    case COND_STAMP:
        if (node->record_stamp != u->stamp)
            return ECP_ESTALE;
        break;
    }
    return 0;
}

static int in_dir(struct apply *a, struct slice key)
{
    struct view_node node;
    struct slice parent = key_parent(key);
    if (parent.len == 0)
        return 0;
    int error = apply_lookup(a, parent, &node);
    if (error || node.flags & (NODE_DIR | NODE_CHILDREN))
        return error;
    return node.flags & NODE_VALUE ? ECP_ENOTDIR : ECP_ENOENT;
}

/* SET without condition: the record tells all that is needed; so does that the key is known. */
static int set_plain(struct apply *a, const struct update *u)
{
    struct slice bytes;
    struct record record = {0};
    if (u->value.len > VALUE_MAX_LEN)
        return ECP_EVALUELONG;
    if (known_has(a->known, u->key)) {
        record.flags = NODE_VALUE;
    } else {
        int error = a->ops->get(a->txn, u->key, &bytes);
        if (error == 0)
            error = record_parse(bytes, &record);
        if (error && error != ECP_ENOENT)
            return error;
    }
    return apply_write(a, u->key, record.flags, record.flags | NODE_VALUE, a->stamp, u->value);
}

static int append(struct apply *a, const struct update *u, const struct view_node *node)
{
    if (node->value.len + u->value.len > VALUE_MAX_LEN)
        return ECP_EVALUELONG;
    if (!(node->flags & NODE_VALUE))
        return apply_write(a, u->key, node->flags, node->flags | NODE_VALUE, a->stamp, u->value);
    uint8_t head[RECORD_HEAD];
    record_head(head, a->stamp, node->flags & (NODE_VALUE | NODE_DIR));
    return overlay_append(a->txn, u->key, slice_of(head, sizeof(head)), u->value);
}

static int increment(struct apply *a, const struct update *u, const struct view_node *node)
{
    char text[NUMBER_TEXT_MAX];
    size_t len;
    struct slice old = node->flags & NODE_VALUE ? node->value : slice_str("");
    int error = number_add(old, u->value, text, &len);
    if (error)
        return error;
    struct slice value = slice_of(text, len);
    error = apply_write(a, u->key, node->flags, node->flags | NODE_VALUE, a->stamp, value);
    if (error == 0)
        put_bytes32(a->values, value);
    return error;
}

static int zkill(struct apply *a, const struct update *u, const struct view_node *node)
{
    if (!(node->flags & NODE_VALUE))
        return 0;
    if (node->flags & NODE_DIR)
        return apply_write(a, u->key, node->flags, NODE_DIR, a->stamp, slice_of(NULL, 0));
    int error = apply_remove(a, u->key, node);
    if (error == 0 && u->flags & UPDATE_KEEP_DIR)
        error = apply_keep_parent(a, u->key);
    return error;
}

static int kill(struct apply *a, const struct update *u)
{
    bool removed;
    int error = apply_kill(a, u->key, &removed);
    if (error == 0 && removed && u->flags & UPDATE_KEEP_DIR)
        error = apply_keep_parent(a, u->key);
    return error;
}

static int remove_directory(struct apply *a, const struct update *u, const struct view_node *node)
{
    if (!node->flags)
        return ECP_ENOENT;
    if (node->flags == NODE_VALUE)
        return ECP_ENOTDIR;
    if (node->flags != NODE_DIR)
        return ECP_ENOTEMPTY;
    int error = apply_remove(a, u->key, node);
    if (error == 0 && u->flags & UPDATE_KEEP_DIR)
        error = apply_keep_parent(a, u->key);
    return error;
}

static bool refused_as_directory(const struct update *u, const struct view_node *node)
{
    return u->flags & UPDATE_IS_FILE && node->flags & (NODE_CHILDREN | NODE_DIR) &&
           (u->kind == UPDATE_SET || u->kind == UPDATE_APPEND || u->kind == UPDATE_ZKILL);
}

int apply_update(struct apply *a, const struct update *u)
{
    struct view_node node;
    int error;
    if (u->kind == UPDATE_SET && !may_fail(u))
        return set_plain(a, u);
    if (u->flags & UPDATE_IN_DIR && (error = in_dir(a, u->kind == UPDATE_MOVE ? u->value : u->key)))
        return error;
    if ((error = apply_lookup(a, u->key, &node)))
        return error;
    if (u->kind == UPDATE_MOVE)
        return apply_move(a, u, &node);
    if (u->kind == UPDATE_MKDIR && node.flags)
        return ECP_EEXIST;
    if ((error = apply_conditions(u, &node, &node)))
        return error;
    if (refused_as_directory(u, &node))
        return ECP_EISDIR;
    switch (u->kind) {
    case UPDATE_SET:
        return u->value.len > VALUE_MAX_LEN
                   ? ECP_EVALUELONG
                   : apply_write(a, u->key, node.flags, node.flags | NODE_VALUE, a->stamp,
                                 u->value);
    case UPDATE_KILL:
        return kill(a, u);
    case UPDATE_ZKILL:
        return zkill(a, u, &node);
    case UPDATE_APPEND:
        return append(a, u, &node);
    case UPDATE_INCREMENT:
        return increment(a, u, &node);
    case UPDATE_MKDIR:
        return apply_write(a, u->key, 0, NODE_DIR, a->stamp, slice_of(NULL, 0));
    case UPDATE_RMDIR:
        return remove_directory(a, u, &node);
    default:
        return ECP_EINVAL;
    }
}
