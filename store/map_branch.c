/* SPDX-License-Identifier: Apache-2.0 */
/* Branches of the map's B+tree: searching by the first bytes that differ, and rearranging. */
#include <endian.h>

#include "store/map.h"

static size_t branch_size(bool leaf)
{
    return sizeof(struct map_branch) + (leaf ? 0 : MAP_FAN * sizeof(struct map_branch *));
}

struct map_branch *branch_new(struct map *m, bool leaf)
{
    struct map_branch *b = arena_alloc(m->arena, branch_size(leaf));
    b->age = m->age;
    b->count = b->skip = 0;
    b->leaf = leaf;
    b->prefix = NULL;
    return b;
}

struct map_branch *branch_copy(struct map *m, const struct map_branch *b)
{
    struct map_branch *c = arena_alloc(m->arena, branch_size(b->leaf));
    memcpy(c, b, branch_size(b->leaf));
    c->age = m->age;
    return c;
}

static uint64_t head_of(struct slice key, size_t skip)
{
    uint64_t head = 0;
    size_t n = key.len - skip;
    if (n >= 8) {
        memcpy(&head, key.data + skip, 8);
        return be64toh(head);
    }
    for (size_t i = 0; i < n; i++)
        head |= (uint64_t)key.data[skip + i] << (56 - 8 * i);
    return head;
}

static size_t common(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len, i = 0;
    while (i < n && a.data[i] == b.data[i])
        i++;
    return i;
}

/* Sorted keys have in common what the first and the last have. */
static void set_prefix(struct map_branch *b)
{
    unsigned last = b->count - 1u;
    size_t skip = b->count < 2 ? 0 : common(map_key(b->keys[0]), map_key(b->keys[last]));
    if (b->count == 0)
        return;
    if (skip != b->skip || b->count < 3)
        for (unsigned i = 0; i < b->count; i++)
            b->heads[i] = head_of(map_key(b->keys[i]), skip);
    b->skip = (uint16_t)skip;
    b->prefix = b->keys[0]->key;
    memcpy(b->near, b->prefix, skip < MAP_NEAR ? skip : MAP_NEAR);
}

/* How many of the heads are less. Without branches: which way to go cannot be foretold. */
static unsigned heads_below(const struct map_branch *b, uint64_t head)
{
    const uint64_t *from = b->heads;
    unsigned count = b->count;
    if (count == 0)
        return 0;
    while (count > 1) {
        unsigned half = count / 2;
        from += half & -(unsigned)(from[half - 1] < head);
        count -= half;
    }
    return (unsigned)(from - b->heads) + (*from < head);
}

unsigned branch_find(const struct map_branch *b, struct slice key, bool after, bool *inside)
{
    size_t n = key.len < b->skip ? key.len : b->skip;
    int order = n ? memcmp(key.data, n <= MAP_NEAR ? b->near : b->prefix, n) : 0;
    *inside = order == 0 && n == b->skip;
    if (!*inside)
        return order > 0 ? b->count : 0;
    uint64_t head = head_of(key, b->skip);
    unsigned lo = heads_below(b, head);
    for (; lo < b->count && b->heads[lo] == head; lo++) {
        order = slice_compare(map_key(b->keys[lo]), key);
        if (order > 0 || (order == 0 && !after))
            break;
    }
    return lo;
}

unsigned branch_about(const struct map_branch *b, struct slice key)
{
    if (key.len < b->skip)
        return 0;
    uint64_t head = head_of(key, b->skip);
    unsigned at = heads_below(b, head);
    return b->leaf || at == 0 || (at < b->count && b->heads[at] == head) ? at : at - 1;
}

bool branch_passes(const struct map_branch *b, unsigned at, struct slice key)
{
    if (key.len < b->skip)
        return false;
    uint64_t head = head_of(key, b->skip);
    return (at > 0 && head < b->heads[at - 1]) || (at < b->count && head > b->heads[at]);
}

unsigned branch_kid(const struct map_branch *b, struct slice key)
{
    bool inside;
    unsigned at = branch_find(b, key, true, &inside);
    return at ? at - 1 : 0;
}

static void shift(struct map_branch *b, unsigned to, unsigned from, unsigned count)
{
    memmove(b->heads + to, b->heads + from, count * sizeof(b->heads[0]));
    memmove(b->keys + to, b->keys + from, count * sizeof(b->keys[0]));
    if (!b->leaf)
        memmove(b->kids + to, b->kids + from, count * sizeof(b->kids[0]));
}

void branch_insert(struct map_branch *b, unsigned at, struct map_node *key, struct map_branch *kid,
                   bool inside)
{
    shift(b, at + 1, at, b->count - at);
    b->keys[at] = key;
    if (!b->leaf)
        b->kids[at] = kid;
    b->count++;
    if (inside && b->count > 2)
        b->heads[at] = head_of(map_key(key), b->skip);
    else
        set_prefix(b);
}

void branch_lower(struct map_branch *b, struct map_node *key)
{
    bool inside;
    if (slice_compare(map_key(key), map_key(b->keys[0])) >= 0)
        return;
    branch_find(b, map_key(key), false, &inside);
    b->keys[0] = key;
    if (inside && b->count > 1)
        b->heads[0] = head_of(map_key(key), b->skip);
    else
        set_prefix(b);
}

void branch_delete(struct map_branch *b, unsigned at)
{
    shift(b, at, at + 1, b->count - at - 1u);
    b->count--;
}

struct map_branch *branch_split(struct map *m, struct map_branch *b, unsigned from)
{
    struct map_branch *right = branch_new(m, b->leaf);
    unsigned n = b->count - from;
    memcpy(right->heads, b->heads + from, n * sizeof(b->heads[0]));
    memcpy(right->keys, b->keys + from, n * sizeof(b->keys[0]));
    if (!b->leaf)
        memcpy(right->kids, b->kids + from, n * sizeof(b->kids[0]));
    right->count = (uint16_t)n;
    right->skip = b->skip;
    b->count = (uint16_t)from;
    set_prefix(right);
    set_prefix(b);
    return right;
}

static struct map_branch *leaf_without(struct map *m, struct map_branch *b, struct slice prefix,
                                       struct slice end)
{
    bool inside;
    unsigned from = branch_find(b, prefix, false, &inside);
    unsigned to = end.data ? branch_find(b, end, false, &inside) : b->count;
    if (from == to)
        return b;
    if (to - from == b->count)
        return NULL;
    struct map_branch *c = branch_copy(m, b);
    shift(c, from, to, c->count - to);
    c->count = (uint16_t)(c->count - (to - from));
    return c;
}

struct map_branch *branch_without(struct map *m, struct map_branch *b, struct slice prefix,
                                  struct slice end)
{
    if (b->leaf)
        return leaf_without(m, b, prefix, end);
    unsigned from = branch_kid(b, prefix);
    unsigned to = end.data ? branch_kid(b, end) : b->count - 1u;
    struct map_branch *left = branch_without(m, b->kids[from], prefix, end);
    struct map_branch *right = to == from ? NULL : branch_without(m, b->kids[to], prefix, end);
    struct map_branch *c = branch_copy(m, b);
    unsigned n = from;
    if (left)
        c->kids[n++] = left;
    if (right) {
        c->keys[n] = c->keys[to];
        c->heads[n] = c->heads[to];
        c->kids[n++] = right;
    }
    shift(c, n, to + 1, c->count - to - 1u);
    c->count = (uint16_t)(n + c->count - to - 1u);
    return c->count ? c : NULL;
}
