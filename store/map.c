/* SPDX-License-Identifier: Apache-2.0 */
/* The map: records in a list, and the tree that finds a place in it. */
#include "store/map.h"

#include "base/key.h"

void map_init(struct map *m, struct arena *arena)
{
    *m = (struct map){.arena = arena};
    m->root = branch_new(m, true);
}

static const struct map_branch *find_leaf(const struct map *m, struct slice key)
{
    const struct map_branch *b = m->root;
    while (!b->leaf)
        b = b->kids[branch_kid(b, key)];
    return b;
}

struct map_node *map_seek(const struct map *m, struct slice key)
{
    const struct map_branch *b = find_leaf(m, key);
    bool inside;
    unsigned at = branch_find(b, key, false, &inside);
    if (at < b->count)
        return b->keys[at];
    return b->count ? b->keys[b->count - 1]->next : m->first;
}

struct map_node *map_before(const struct map *m, struct slice key)
{
    struct map_node *n = key.data ? map_seek(m, key) : NULL;
    return n ? n->prev : m->last;
}

/* The place in the leaf that the path leads to: what is before and after it. */
static void around(const struct map *m, struct map_node **before, struct map_node **after)
{
    const struct map_branch *leaf = m->path.branch[m->path.depth - 1];
    unsigned at = m->path.at[m->path.depth - 1];
    if (at < leaf->count) {
        *after = leaf->keys[at];
        *before = at ? leaf->keys[at - 1] : (*after)->prev;
    } else {
        *before = leaf->count ? leaf->keys[leaf->count - 1] : NULL;
        *after = *before ? (*before)->next : NULL;
    }
}

/* Whether a search from the root would come to the path's leaf. At a leaf's edge its records do not
 * tell: what stands for a leaf in the branches may be lower than its first record. */
static bool leads_to_leaf(const struct map_path *p, struct slice key)
{
    unsigned leaf = p->depth - 1, at = p->at[leaf];
    bool below = at > 0, above = at < p->branch[leaf]->count;
    for (unsigned level = leaf; level-- > 0 && !(below && above);) {
        const struct map_branch *b = p->branch[level];
        unsigned kid = p->at[level];
        if (!below && kid > 0 && slice_compare(key, map_key(b->keys[kid])) < 0)
            return false;
        if (!above && kid + 1u < b->count && slice_compare(key, map_key(b->keys[kid + 1])) >= 0)
            return false;
        below |= kid > 0;
        above |= kid + 1u < b->count;
    }
    return true;
}

/* Sets the path to where key is or belongs; the one known may lead there already. */
static void find_path(struct map *m, struct slice key)
{
    struct map_path *p = &m->path;
    struct map_node *before, *after;
    bool inside;
    unsigned leaf = p->depth - 1;
    if (p->depth && !branch_passes(p->branch[leaf], p->at[leaf], key)) {
        around(m, &before, &after);
        if (before && slice_compare(map_key(before), key) < 0 &&
            (!after || slice_compare(map_key(after), key) >= 0) && leads_to_leaf(p, key))
            return;
    }
    struct map_branch *b = m->root;
    for (p->depth = 0; !b->leaf; p->depth++) {
        p->branch[p->depth] = b;
        p->at[p->depth] = branch_kid(b, key);
        b = b->kids[p->at[p->depth]];
    }
    p->branch[p->depth] = b;
    p->at[p->depth++] = branch_find(b, key, false, &inside);
}

static struct map_node *at_path(const struct map *m, struct slice key)
{
    struct map_node *before, *after;
    around(m, &before, &after);
    return after && slice_equal(map_key(after), key) ? after : NULL;
}

struct map_node *map_find(struct map *m, struct slice key)
{
    find_path(m, key);
    return at_path(m, key);
}

/* Makes every branch on the path one that may be changed. */
static void own_path(struct map *m)
{
    struct map_path *p = &m->path;
    for (unsigned i = 0; i < p->depth; i++) {
        if (p->branch[i]->age >= m->keep)
            continue;
        p->branch[i] = branch_copy(m, p->branch[i]);
        if (i)
            p->branch[i - 1]->kids[p->at[i - 1]] = p->branch[i];
        else
            m->root = p->branch[0];
    }
}

/* Puts a key into the branch of the path at that level, splitting what is full. */
static void insert(struct map *m, unsigned level, unsigned at, struct map_node *key,
                   struct map_branch *kid)
{
    struct map_path *p = &m->path;
    struct map_branch *b = p->branch[level], *right = NULL;
    bool inside;
    if (b->count == MAP_FAN) {
        unsigned from = at == MAP_FAN ? MAP_FAN - 1 : MAP_FAN / 2;
        right = branch_split(m, b, from);
        if (at > from) {
            at -= from;
            b = right;
        }
        p->depth = 0; /* leads nowhere now */
    }
    branch_find(b, map_key(key), false, &inside);
    branch_insert(b, at, key, kid, inside);
    if (!right)
        return;
    if (level) {
        insert(m, level - 1, p->at[level - 1] + 1, right->keys[0], right);
        return;
    }
    m->root = branch_new(m, false);
    branch_insert(m->root, 0, p->branch[0]->keys[0], p->branch[0], false);
    branch_insert(m->root, 1, right->keys[0], right, false);
}

static void fetch(const void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)at + i);
}

/* What stands around the place that a key has in a leaf. */
static void fetch_records(const struct map_branch *leaf, unsigned at, size_t key_len)
{
    if (at > 0)
        fetch(leaf->keys[at - 1], sizeof(struct map_node) + key_len);
    if (at < leaf->count)
        fetch(leaf->keys[at], sizeof(struct map_node) + key_len);
}

/* One step of all searches, then the next; all leaves are equally deep. */
void map_expect(const struct map *m, const struct slice *keys, size_t count)
{
    const struct map_branch *b[MAP_AHEAD] = {m->root};
    unsigned at[MAP_AHEAD];
    for (size_t i = 1; i < count; i++)
        b[i] = m->root;
    while (!b[0]->leaf)
        for (size_t i = 0; i < count; i++) {
            b[i] = b[i]->kids[branch_about(b[i], keys[i])];
            fetch(b[i], offsetof(struct map_branch, keys));
        }
    for (size_t i = 0; i < count; i++) {
        at[i] = branch_about(b[i], keys[i]);
        fetch(b[i]->keys + at[i], 1);
    }
    for (size_t i = 0; i < count; i++)
        fetch_records(b[i], at[i], keys[i].len);
    for (size_t i = 0; i < count; i++)
        if (at[i] < b[i]->count && b[i]->keys[at[i]]->value)
            fetch(b[i]->keys[at[i]]->value, 1);
}

static struct map_node *node_new(struct map *m, struct slice key)
{
    struct map_node *n = arena_alloc(m->arena, sizeof(*n) + key.len);
    *n = (struct map_node){.key_len = (uint16_t)key.len};
    if (key.len)
        memcpy(n->key, key.data, key.len);
    return n;
}

static void link_between(struct map *m, struct map_node *before, struct map_node *after,
                         struct map_node *first, struct map_node *last)
{
    first->prev = before;
    last->next = after;
    *(before ? &before->next : &m->first) = first;
    *(after ? &after->prev : &m->last) = last;
}

static void unlink_run(struct map *m, struct map_node *first, struct map_node *last)
{
    *(first->prev ? &first->prev->next : &m->first) = last->next;
    *(last->next ? &last->next->prev : &m->last) = first->prev;
}

struct map_node *map_put(struct map *m, struct slice key, bool *fresh)
{
    struct map_node *before, *after, *n = map_find(m, key);
    struct map_path *p = &m->path;
    *fresh = !n;
    if (n)
        return n;
    n = node_new(m, key);
    around(m, &before, &after);
    link_between(m, before, after, n, n);
    own_path(m);
    unsigned leaf = p->depth - 1, at = p->at[leaf];
    for (unsigned level = 0; level < leaf; level++)
        if (p->at[level] == 0)
            branch_lower(p->branch[level], n);
    insert(m, leaf, at, n, NULL);
    if (p->depth)
        p->at[leaf] = at + 1;
    return n;
}

void map_remove(struct map *m, struct map_node *n)
{
    struct map_path *p = &m->path;
    p->depth = 0;
    find_path(m, map_key(n));
    own_path(m);
    unlink_run(m, n, n);
    for (unsigned level = p->depth; level-- > 0;) {
        branch_delete(p->branch[level], p->at[level]);
        if (p->branch[level]->count)
            break;
        if (level == 0)
            m->root = branch_new(m, true);
    }
    p->depth = 0;
}

bool map_cut(struct map *m, struct slice prefix, struct map_cut *cut)
{
    uint8_t room[KEY_MAX_LEN + 1];
    size_t len = key_subtree_end(prefix, room);
    struct slice end = slice_of(len ? room : NULL, len);
    *cut = (struct map_cut){.root = m->root, .keep = m->keep, .first = map_seek(m, prefix)};
    if (!cut->first || !slice_has_prefix(map_key(cut->first), prefix))
        return false;
    cut->last = map_before(m, end);
    unlink_run(m, cut->first, cut->last);
    m->keep = ++m->age;
    m->path.depth = 0;
    m->root = branch_without(m, m->root, prefix, end);
    if (!m->root)
        m->root = branch_new(m, true);
    return true;
}

void map_uncut(struct map *m, const struct map_cut *cut)
{
    m->root = cut->root;
    m->keep = cut->keep;
    m->path.depth = 0;
    link_between(m, cut->first->prev, cut->last->next, cut->first, cut->last);
}

void map_settle(struct map *m)
{
    m->keep = 0;
}
