/* SPDX-License-Identifier: Apache-2.0 */
/* The dirs of a table: found by hash, linked as their nodes are, each with its pages in order. */
#include "cache/table.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/buf.h"

uint64_t table_hash(struct slice key)
{
    return XXH3_64bits(key.data, key.len);
}

static struct slice dir_key(const struct dir *dir)
{
    return slice_of(dir->key, dir->key_len);
}

struct dir *table_dir(const struct table *t, struct slice parent, uint64_t hash)
{
    struct dir *dir = t->buckets[hash & (t->bucket_count - 1)];

    while (dir && (dir->hash != hash || !slice_equal(dir_key(dir), parent)))
        dir = dir->next;
    return dir;
}

static void grow(struct table *t)
{
    size_t count = 2 * t->bucket_count;
    struct dir **buckets = xcalloc(count, sizeof(*buckets));

    for (size_t i = 0; i < t->bucket_count; i++) {
        for (struct dir *dir = t->buckets[i], *next; dir; dir = next) {
            struct dir **to = &buckets[dir->hash & (count - 1)];
            next = dir->next;
            dir->next = *to;
            *to = dir;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = count;
}

static void link_dir(struct dir *above, struct dir *dir)
{
    dir->above = above;
    dir->behind = above->child;
    if (dir->behind)
        dir->behind->before = dir;
    above->child = dir;
}

static struct dir *new_dir(struct table *t, struct slice parent, uint64_t hash)
{
    struct dir *dir = xcalloc(1, sizeof(*dir) + parent.len), **bucket;

    if (parent.len) {
        struct slice above = key_parent(parent);
        memcpy(dir->key, parent.data, parent.len);
        link_dir(dir_need(t, above, table_hash(above)), dir);
    }
    if (t->dirs == t->bucket_count)
        grow(t);
    bucket = &t->buckets[hash & (t->bucket_count - 1)];
    dir->next = *bucket;
    dir->hash = hash;
    dir->pages = &dir->one;
    dir->cap = 1;
    dir->key_len = (uint16_t)parent.len;
    *bucket = dir;
    t->dirs++;
    t->bytes += sizeof(*dir) + parent.len;
    return dir;
}

struct dir *dir_need(struct table *t, struct slice parent, uint64_t hash)
{
    struct dir *dir = table_dir(t, parent, hash);
    return dir ? dir : new_dir(t, parent, hash);
}

static void unlink_dir(struct dir *dir)
{
    if (dir->before)
        dir->before->behind = dir->behind;
    else if (dir->above)
        dir->above->child = dir->behind;
    if (dir->behind)
        dir->behind->before = dir->before;
}

void dir_free(struct table *t, struct dir *dir)
{
    struct dir **at = &t->buckets[dir->hash & (t->bucket_count - 1)];

    while (*at != dir)
        at = &(*at)->next;
    *at = dir->next;
    unlink_dir(dir);
    t->dirs--;
    t->bytes -= sizeof(*dir) + dir->key_len;
    if (dir->pages != &dir->one) {
        t->bytes -= dir->cap * sizeof(*dir->pages);
        free(dir->pages);
    }
    free(dir);
}

void dir_prune(struct table *t, struct dir *dir)
{
    while (dir && dir->count == 0 && !dir->child) {
        struct dir *above = dir->above;
        dir_free(t, dir);
        dir = above;
    }
}

size_t dir_upper(const struct dir *dir, struct place at)
{
    size_t low = 0, high = dir->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (place_compare(dir->pages[middle]->first, at) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct cpage *dir_page_before(const struct dir *dir, struct place at)
{
    size_t i = dir_upper(dir, at);
    return i ? dir->pages[i - 1] : NULL;
}

struct cpage *dir_page(const struct dir *dir, struct place at)
{
    struct cpage *p = dir_page_before(dir, at);
    return p && cpage_covers(p, at) ? p : NULL;
}

void dir_add(struct table *t, struct dir *dir, struct cpage *p)
{
    size_t i = dir_upper(dir, p->first);

    if (dir->count == dir->cap) {
        size_t cap = dir->cap == 1 ? 4 : 2 * dir->cap;
        bool inside = dir->pages == &dir->one;
        struct cpage **pages = xmalloc(cap * sizeof(*pages));
        memcpy(pages, dir->pages, dir->count * sizeof(*pages));
        t->bytes += (cap - (inside ? 0 : dir->cap)) * sizeof(*pages);
        if (!inside)
            free(dir->pages);
        dir->pages = pages;
        dir->cap = cap;
    }
    memmove(dir->pages + i + 1, dir->pages + i, (dir->count - i) * sizeof(*dir->pages));
    dir->pages[i] = p;
    dir->count++;
    p->dir = dir;
}

void dir_remove(struct cpage *p)
{
    struct dir *dir = p->dir;
    size_t i = dir_upper(dir, p->first) - 1;

    memmove(dir->pages + i, dir->pages + i + 1, (dir->count - i - 1) * sizeof(*dir->pages));
    dir->count--;
}
