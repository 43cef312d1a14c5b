/* SPDX-License-Identifier: Apache-2.0 */
/* Gaps: a map from where each begins to where it ends. */
#include "store/gap.h"

#include "base/key.h"

static struct slice end_of(const struct map_node *n)
{
    return slice_of(n->value, n->len);
}

/* Of two ends: a is behind b. */
static bool is_behind(struct slice a, struct slice b)
{
    return b.len && (!a.len || slice_compare(a, b) > 0);
}

static void set_end(struct map *m, struct map_node *n, struct slice to)
{
    uint8_t *old = n->value;
    size_t old_cap = n->cap;
    n->len = (uint32_t)to.len;
    n->cap = to.len ? (uint32_t)arena_size(to.len) : 0;
    n->value = to.len ? arena_alloc(m->arena, n->cap) : NULL;
    if (to.len)
        memcpy(n->value, to.data, to.len);
    if (old)
        arena_release(m->arena, old, old_cap);
}

/* The last that begins at key or before it. */
static struct map_node *last_upto(const struct map *m, struct slice key)
{
    struct map_node *n = map_seek(m, key);
    if (n && slice_equal(map_key(n), key))
        return n;
    return n ? n->prev : m->last;
}

static struct map_node *node_at(const struct map *m, struct slice key)
{
    struct map_node *n = map_first(m) ? last_upto(m, key) : NULL;
    return n && (!n->len || slice_compare(key, end_of(n)) < 0) ? n : NULL;
}

bool gap_at(const struct map *m, struct slice key, struct gap *gap)
{
    const struct map_node *n = node_at(m, key);
    if (n)
        *gap = (struct gap){.from = map_key(n), .to = end_of(n)};
    return n;
}

void gap_add(struct map *m, struct gap gap)
{
    struct map_node *n = last_upto(m, gap.from), *next;
    struct slice to = gap.to;
    bool fresh;
    if (n && (!n->len || slice_compare(gap.from, end_of(n)) <= 0)) {
        if (!is_behind(to, end_of(n)))
            return;
    } else {
        n = map_put(m, gap.from, &fresh);
    }
    while ((next = n->next) && (!to.len || slice_compare(map_key(next), to) <= 0)) {
        if (is_behind(end_of(next), to))
            to = end_of(next);
        map_remove(m, next);
    }
    set_end(m, n, to);
}

void gap_cut(struct map *m, struct slice key)
{
    uint8_t room[KEY_MAX_LEN + 1];
    struct map_node *n = node_at(m, key);
    bool fresh;
    if (!n)
        return;
    memcpy(room, key.data, key.len);
    room[key.len] = 0; /* directly after key */
    struct slice after = slice_of(room, key.len + 1);
    if (is_behind(end_of(n), after))
        set_end(m, map_put(m, after, &fresh), end_of(n));
    if (slice_equal(map_key(n), key))
        map_remove(m, n);
    else
        set_end(m, n, key);
}
