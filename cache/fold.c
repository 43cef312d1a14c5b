/* SPDX-License-Identifier: Apache-2.0 */
/* An own update that was applied: what is known after it without asking. */
#include "cache/cache_int.h"

#include <stdlib.h>

/*
 * Only the commonest: one leaf that is set or removed, below a directory that has, and keeps, other
 * children. Everything that was known when APPLIED comes was true up to this update, for others'
 * updates would have punched holes before. So the leaf is now as it was sent, and of its directory
 * nothing changed but the time of its listing.
 */
void fold_prepare(struct fold *fold, const struct update *updates, size_t count)
{
    const struct update *u = updates;
    bool sets = u->kind == UPDATE_SET;

    *fold = (struct fold){0};
    if (count != 1 || !(sets || u->kind == UPDATE_KILL || u->kind == UPDATE_ZKILL))
        return;
    fold->on = true;
    key_copy(&fold->key, u->key);
    if (!sets)
        return;
    fold->node = (struct node){.flags = NODE_VALUE, .value_len = (uint32_t)u->value.len};
    if (u->value.len <= PAGE_VALUE_MAX) {
        void *copy = xmalloc(u->value.len + 1);
        if (u->value.len)
            memcpy(copy, u->value.data, u->value.len);
        fold->node.value = slice_of(copy, u->value.len);
    }
}

void fold_free(struct fold *fold)
{
    free((void *)fold->node.value.data);
}

/* Before the touches of APPLIED are laid on: what is known of the leaf and its directory. */
void fold_before(struct cache *c, struct fold *fold)
{
    struct slice key = key_slice(&fold->key);
    struct node leaf;

    if (!fold->on)
        return;
    fold->on = cache_known_node(c, key, &leaf) && !(leaf.flags & ~NODE_VALUE);
    fold->lists = fold->on && leaf.flags != fold->node.flags;
    fold->parent_known = fold->lists && cache_known_node(c, key_parent(key), &fold->parent) &&
                         fold->parent.flags & NODE_CHILDREN;
}

/* After they were. */
void fold_after(struct cache *c, struct fold *fold, uint64_t stamp)
{
    struct slice key = key_slice(&fold->key);

    if (!fold->on)
        return;
    if (fold->node.flags)
        fold->node.stamp = stamp;
    if (fold->parent_known && !fold->node.flags)
        fold->parent_known = table_has_other(&c->table, key);
    table_fill(&c->table, key, &fold->node);
    if (fold->parent_known) {
        fold->parent.changed = stamp;
        fold->parent.value = slice_of(NULL, 0);
        table_fill(&c->table, key_parent(key), &fold->parent);
    }
}
