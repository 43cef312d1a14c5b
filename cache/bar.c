/* SPDX-License-Identifier: Apache-2.0 */
/* Own updates under way, and what they may change. */
#include "cache/cache_int.h"
#include "base/mutation.h"

#include <stdlib.h>

#define LEVELS_ALL UINT32_MAX

static void add_touch(struct bar *bar, uint8_t kind, struct slice key)
{
    struct touch *t = &bar->touches[bar->count++];
    *t = (struct touch){.kind = kind, .key = slice_of(xmemdup(key.data, key.len), key.len)};
}

/* The node, and so many of those above it. */
static void add_node(struct bar *bar, uint8_t kind, struct slice key, uint32_t levels)
{
    size_t room = bar->count + 1 + key_depth(key);

    bar->touches = xrealloc(bar->touches, room * sizeof(*bar->touches));
    add_touch(bar, kind, key);
    while (levels-- && key.len) {
        key = key_parent(key);
        add_touch(bar, TOUCH_ENTRY, key);
    }
}

/*
 * A node that comes or goes changes its parent's listing, and may change whether that exists, and
 * so on. A parent that must be there, or is kept, changes at most its flags, which its own parent's
 * listing shows.
 */
static uint32_t levels_of(struct cache *c, const struct update *u)
{
    struct node dir;

    switch (u->kind) {
    case UPDATE_SET:
    case UPDATE_APPEND:
    case UPDATE_INCREMENT:
        if (u->cond == COND_PRESENT)
            return 0;
        /* fall through */
    case UPDATE_MKDIR:
        if (!(u->flags & UPDATE_IN_DIR))
            return LEVELS_ALL;
        /* One child more does not change the flags of a directory that has some. */
        return cache_known_node(c, key_parent(u->key), &dir) && dir.flags & NODE_CHILDREN ? 1 : 2;
    case UPDATE_KILL:
    case UPDATE_ZKILL:
    case UPDATE_RMDIR:
        return u->flags & UPDATE_KEEP_DIR ? 2 : LEVELS_ALL;
    default:
        return LEVELS_ALL;
    }
}

struct bar *bar_new(struct cache *c, const struct update *updates, size_t count)
{
    struct bar *bar = xcalloc(1, sizeof(*bar));

    for (size_t i = 0; i < count; i++) {
        const struct update *u = &updates[i];
        bool below = u->kind == UPDATE_KILL || u->kind == UPDATE_MOVE;
        add_node(bar, below ? TOUCH_SUBTREE : TOUCH_ENTRY, u->key,
                 levels_of(c, u));
        if (u->kind == UPDATE_MOVE)
            add_node(bar, TOUCH_SUBTREE, u->value, LEVELS_ALL);
    }
    bar->next = c->bars;
    if (bar->next)
        bar->next->prev = bar;
    c->bars = bar;
    return bar;
}

void bar_free(struct cache *c, struct bar *bar)
{
    *(bar->prev ? &bar->prev->next : &c->bars) = bar->next;
    if (bar->next)
        bar->next->prev = bar->prev;
    for (size_t i = 0; i < bar->count; i++)
        free((void *)bar->touches[i].key.data);
    free(bar->touches);
    free(bar);
}

bool bar_hits_node(const struct cache *c, struct slice key)
{
    for (const struct bar *bar = c->bars; bar && !MUTATION(MUTATION_BAR); bar = bar->next)
        for (size_t i = 0; i < bar->count; i++)
            if (touch_hits_node(&bar->touches[i], key))
                return true;
    return false;
}

static void cut_before(struct page *page, struct slice sub)
{
    while (page->count && slice_compare(page->entries[page->count - 1].sub, sub) >= 0)
        page->count--;
    page->to_end = false;
}

bool bar_cut(const struct cache *c, struct slice parent, struct place from, struct page *page)
{
    for (const struct bar *bar = c->bars; bar; bar = bar->next) {
        for (size_t i = 0; i < bar->count; i++) {
            const struct touch *t = &bar->touches[i];
            struct slice last;
            if (t->kind == TOUCH_SUBTREE && slice_has_prefix(parent, t->key))
                return false;
            if (t->key.len <= parent.len || !slice_equal(key_parent(t->key), parent))
                continue;
            last = key_last(t->key);
            if (place_compare(from, place_at(last)) <= 0)
                cut_before(page, last);
        }
    }
    return page->count || page->to_end;
}
