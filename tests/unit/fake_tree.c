/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a fake server: plain and slow. */
#include "tests/unit/fake_tree.h"

#include <stdlib.h>

#include "base/buf.h"

static size_t lower(const struct fake_tree *t, struct slice key)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(key_slice(t->nodes[middle].key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct fake_node *need(struct fake_tree *t, struct slice key)
{
    size_t at = lower(t, key);

    if (at < t->count && slice_equal(key_slice(t->nodes[at].key), key))
        return &t->nodes[at];
    t->nodes = xrealloc(t->nodes, (t->count + 1) * sizeof(*t->nodes));
    memmove(t->nodes + at + 1, t->nodes + at, (t->count - at) * sizeof(*t->nodes));
    t->count++;
    t->nodes[at] = (struct fake_node){.key = xmalloc(sizeof(struct key))};
    key_copy(t->nodes[at].key, key);
    return &t->nodes[at];
}

static struct node latest(const struct fake_node *n)
{
    return n->count ? n->states[n->count - 1].node : (struct node){0};
}

static void put(struct fake_tree *t, struct slice key, struct node node)
{
    struct fake_node *n = need(t, key);

    n->states = xrealloc(n->states, (n->count + 1) * sizeof(*n->states));
    n->states[n->count++] = (struct fake_state){.version = t->version, .node = node};
}

void fake_tree_init(struct fake_tree *t)
{
    *t = (struct fake_tree){0};
    put(t, slice_of(NULL, 0), (struct node){.flags = NODE_DIR});
}

void fake_tree_free(struct fake_tree *t)
{
    for (size_t i = 0; i < t->count; i++) {
        for (size_t s = 0; s < t->nodes[i].count; s++)
            free((void *)t->nodes[i].states[s].node.value.data);
        free(t->nodes[i].states);
        free(t->nodes[i].key);
    }
    free(t->nodes);
}

struct node fake_tree_node(const struct fake_tree *t, struct slice key, size_t version)
{
    size_t at = lower(t, key);

    if (at == t->count || !slice_equal(key_slice(t->nodes[at].key), key))
        return (struct node){0};
    for (size_t s = t->nodes[at].count; s > 0; s--)
        if (t->nodes[at].states[s - 1].version <= version)
            return t->nodes[at].states[s - 1].node;
    return (struct node){0};
}

bool fake_tree_child(const struct fake_tree *t, struct slice parent, struct slice from, bool after,
                     size_t version, struct entry *child)
{
    for (size_t i = lower(t, parent); i < t->count; i++) {
        struct slice key = key_slice(t->nodes[i].key), sub = key_last(key);
        int c = slice_compare(sub, from);
        if (!slice_has_prefix(key, parent))
            return false;
        if (key.len == 0 || !slice_equal(key_parent(key), parent) || c < 0 || (c == 0 && after))
            continue;
        *child = (struct entry){.sub = sub, .node = fake_tree_node(t, key, version)};
        if (child->node.flags)
            return true;
    }
    return false;
}

/* A node came or went: ancestors' flags and change times follow. */
static void ripple(struct fake_tree *t, struct slice key)
{
    while (key.len) {
        struct slice parent = key_parent(key);
        struct node node = latest(need(t, parent));
        struct entry child;
        uint8_t flags = node.flags & (uint8_t)~NODE_CHILDREN;
        if (fake_tree_child(t, parent, slice_of(NULL, 0), false, t->version, &child))
            flags |= NODE_CHILDREN;
        node.changed = flags & (NODE_CHILDREN | NODE_DIR) ? t->version : 0;
        node.flags = flags;
        if (node.value.data)
            node.value = slice_of(xmemdup(node.value.data, node.value.len), node.value.len);
        put(t, parent, node);
        key = parent;
    }
}

void fake_tree_update(struct fake_tree *t, struct slice key, const char *value)
{
    struct node node = latest(need(t, key));
    bool had = node.flags & NODE_VALUE;

    t->version++;
    if (value) {
        node.flags |= NODE_VALUE;
        node.stamp = t->version;
        node.value_len = (uint32_t)strlen(value);
        node.value = slice_of(xstrdup(value), node.value_len);
        put(t, key, node);
    }
    for (size_t i = lower(t, key); !value && i < t->count; i++)
        if (slice_has_prefix(key_slice(t->nodes[i].key), key))
            put(t, key_slice(t->nodes[i].key), (struct node){0});
    if (!value || !had)
        ripple(t, key);
}
