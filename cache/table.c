/* SPDX-License-Identifier: Apache-2.0 */
/* Pages by parent: how they come, go and make way for one another; a clock over all of them. */
#include "cache/table.h"

#include <stdlib.h>

#include "base/buf.h"

#define FIRST_BUCKETS 64
#define FILL_MOST     4096 /* entries of a page into which single ones are still put */

void table_init(struct table *t, void (*gone)(void *cookie, uint64_t lease, enum table_gone why),
                void *cookie)
{
    *t = (struct table){.bucket_count = FIRST_BUCKETS, .gone = gone, .cookie = cookie};
    t->buckets = xcalloc(t->bucket_count, sizeof(*t->buckets));
}

/* ---- The clock ---- */

static void clock_add(struct table *t, struct cpage *p)
{
    p->older = t->newest;
    p->newer = NULL;
    *(t->newest ? &t->newest->newer : &t->oldest) = p;
    t->newest = p;
}

static void clock_remove(struct table *t, struct cpage *p)
{
    *(p->older ? &p->older->newer : &t->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &t->newest) = p->older;
}

/* ---- Pages come and go ---- */

static void add_page(struct table *t, struct dir *dir, struct cpage *p)
{
    dir_add(t, dir, p);
    clock_add(t, p);
    t->pages++;
    t->bytes += p->bytes;
    if (p->has_self) {
        if (t->root)
            t->root->has_self = false;
        t->root = p;
    }
}

/* The dir stays, also when it is empty. */
static void remove_page(struct table *t, struct cpage *p, enum table_gone why)
{
    dir_remove(p);
    clock_remove(t, p);
    t->pages--;
    t->bytes -= p->bytes;
    if (t->root == p)
        t->root = NULL;
    t->gone(t->cookie, p->lease, why);
    cpage_free(p);
}

static void drop_page(struct table *t, struct cpage *p, enum table_gone why)
{
    struct dir *dir = p->dir;

    remove_page(t, p, why);
    dir_prune(t, dir);
}

static bool empty_dir(struct table *t, struct dir *dir, enum table_gone why)
{
    bool any = dir->count;

    while (dir->count)
        remove_page(t, dir->pages[dir->count - 1], why);
    return any;
}

/* Drops the pages of a dir and of all below, and the dirs below. */
static bool empty_below(struct table *t, struct dir *dir)
{
    bool any = empty_dir(t, dir, GONE_TOUCHED);

    while (dir->child) {
        struct dir *child = dir->child;
        any |= empty_below(t, child);
        dir_free(t, child);
    }
    return any;
}

void table_clear(struct table *t)
{
    for (struct cpage *p = t->oldest, *next; p; p = next) {
        next = p->newer;
        p->dir->count--;
        dir_prune(t, p->dir);
        t->bytes -= p->bytes;
        cpage_free(p);
    }
    t->oldest = t->newest = t->root = NULL;
    t->pages = 0;
}

void table_free(struct table *t)
{
    table_clear(t);
    free(t->buckets);
}

size_t table_evict(struct table *t, size_t bytes)
{
    size_t evicted = 0;

    while (t->bytes > bytes && t->oldest) {
        struct cpage *p = t->oldest;
        if (p->used) {
            p->used = false;
            clock_remove(t, p);
            clock_add(t, p);
            continue;
        }
        drop_page(t, p, GONE_EVICTED);
        evicted++;
    }
    return evicted;
}

/* ---- Merging ---- */

/* Makes way in [first, end), which no page contains. */
static void clear_range(struct table *t, struct dir *dir, struct place first, struct place end,
                        bool to_end)
{
    size_t i = dir_upper(dir, first);

    if (i && cpage_covers(dir->pages[i - 1], first))
        i--;
    while (i < dir->count && (to_end || place_compare(dir->pages[i]->first, end) < 0)) {
        struct cpage *p = dir->pages[i];
        bool before = place_compare(p->first, first) < 0;
        bool beyond = !to_end && (p->to_end || place_compare(p->end, end) > 0);
        t->bytes -= p->bytes;
        if (before)
            cpage_trim_tail(p, first);
        else if (beyond)
            cpage_trim_head(p, end);
        t->bytes += p->bytes;
        if (before || beyond)
            i++;
        else
            remove_page(t, p, GONE_REPLACED);
    }
}

/* Of equal ranges the other side knows but the newer lease. */
static bool same_range(const struct cpage *p, struct place first, struct place end, bool to_end)
{
    return place_compare(p->first, first) == 0 && p->to_end == to_end &&
           (to_end || place_compare(p->end, end) == 0);
}

static struct cpage *splice(struct table *t, struct cpage *p, const struct page *page,
                            struct place first, struct place end)
{
    struct dir *dir = p->dir;
    size_t i = dir_upper(dir, p->first) - 1;
    bool was_root = t->root == p;
    struct cpage *q;

    t->bytes -= p->bytes;
    q = cpage_splice(p, page, first, end);
    t->bytes += q->bytes;
    dir->pages[i] = q;
    *(q->older ? &q->older->newer : &t->oldest) = q;
    *(q->newer ? &q->newer->older : &t->newest) = q;
    q->used = true;
    if (q->has_self && t->root && !was_root)
        t->root->has_self = false;
    if (q->has_self)
        t->root = q;
    return q;
}

static bool contains(const struct cpage *p, struct place first, struct place end, bool to_end)
{
    return place_compare(p->first, first) <= 0 &&
           (p->to_end || (!to_end && place_compare(end, p->end) <= 0));
}

void table_insert(struct table *t, const struct page *page, uint32_t budget)
{
    struct place first = place_at(page->first);
    uint64_t hash = table_hash(page->parent);
    struct dir *dir = table_dir(t, page->parent, hash);
    struct place end = page_end(page);
    struct cpage *p = dir ? dir_page_before(dir, first) : NULL;

    if (p && contains(p, first, end, page->to_end)) {
        bool same = same_range(p, first, end, page->to_end);
        p = splice(t, p, page, first, end);
        t->gone(t->cookie, same ? p->lease : page->lease, GONE_REPLACED);
        if (same)
            p->lease = page->lease;
        return;
    }
    dir = dir_need(t, page->parent, hash);
    clear_range(t, dir, first, end, page->to_end);
    p = cpage_new(page);
    p->budget = budget;
    add_page(t, dir, p);
}

static struct cpage *page_of(struct table *t, struct slice key)
{
    struct slice parent = key_parent(key);
    struct dir *dir = table_dir(t, parent, table_hash(parent));
    return dir ? dir_page(dir, place_at(key_last(key))) : NULL;
}

void table_attach(struct table *t, struct slice key, struct slice value)
{
    struct cpage *p = page_of(t, key);

    t->bytes -= p->bytes;
    cpage_attach(p, key_last(key), value);
    t->bytes += p->bytes;
}

void table_fill(struct table *t, struct slice key, const struct node *node)
{
    struct cpage *p = page_of(t, key);
    struct slice sub = key_last(key);
    struct entry entry = {.sub = sub, .node = *node};
    struct page page = {.parent = key_parent(key), .first = sub, .entries = &entry};
    struct place end = {.sub = sub, .after = true};

    if (!p || !cpage_is_hole(p, sub) || p->count >= FILL_MOST ||
        (page.parent.len == 0 && !p->has_self))
        return;
    page.self = p->self;
    page.count = node->flags ? 1 : 0;
    splice(t, p, &page, place_at(sub), end);
}

bool table_has_other(struct table *t, struct slice key)
{
    struct cpage *p = page_of(t, key);

    for (size_t i = 0; p && i < p->count; i++) {
        struct slice sub = p->entries[i].sub;
        if (!slice_equal(sub, key_last(key)) && !cpage_is_hole(p, sub))
            return true;
    }
    return false;
}

/* ---- Touches ---- */

/* A page of which more is unknown than known is not worth its lease. */
static bool mostly_holes(const struct cpage *p)
{
    return p->hole_count > 64 && 2 * p->hole_count > p->count;
}

static bool touch_root(struct table *t)
{
    bool hit = t->root;

    if (hit)
        t->root->has_self = false;
    t->root = NULL;
    return hit;
}

static bool touch_entry(struct table *t, struct slice key)
{
    struct cpage *p = page_of(t, key);

    if (!p || cpage_is_hole(p, key_last(key)))
        return false;
    t->bytes -= p->bytes;
    cpage_punch(p, key_last(key));
    t->bytes += p->bytes;
    if (mostly_holes(p))
        drop_page(t, p, GONE_EVICTED);
    return true;
}

bool table_touch(struct table *t, const struct touch *touch)
{
    struct dir *dir = table_dir(t, touch->key, table_hash(touch->key));
    bool hit = false;

    if (touch->kind != TOUCH_ENTRY && dir) {
        bool pages = touch->kind == TOUCH_PAGES;
        hit = pages ? empty_dir(t, dir, GONE_TAKEN_BACK) : empty_below(t, dir);
        dir_prune(t, dir);
    }
    if (touch->kind != TOUCH_PAGES)
        hit |= touch->key.len ? touch_entry(t, touch->key) : touch_root(t);
    return hit;
}
