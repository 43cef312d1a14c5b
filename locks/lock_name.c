/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the lock table: a tree of levels, found by hashing each level under its parent. */
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "locks/lock_int.h"

static uint32_t hash_of(const struct lock_table *t, const struct lock_name *parent,
                        struct slice level)
{
    return (uint32_t)XXH3_64bits_withSeed(level.data, level.len,
                                          t->config.seed ^ (uintptr_t)parent);
}

static void grow(struct lock_table *t)
{
    size_t slots = t->name_slots * 2;
    struct lock_name **names = xcalloc(slots, sizeof(*names)), *n;

    for (size_t i = 0; i < t->name_slots; i++)
        while ((n = t->names[i])) {
            t->names[i] = n->chain;
            n->chain = names[n->hash & (slots - 1)];
            names[n->hash & (slots - 1)] = n;
        }
    free(t->names);
    t->names = names;
    t->name_slots = slots;
}

static struct lock_name *child_find(struct lock_table *t, struct lock_name *parent,
                                    struct slice level, uint32_t hash)
{
    struct lock_name *n = t->names[hash & (t->name_slots - 1)];

    while (n && (n->parent != parent || !slice_equal(slice_of(n->level, n->len), level)))
        n = n->chain;
    return n;
}

static struct lock_name *child_add(struct lock_table *t, struct lock_name *parent,
                                   struct slice level, uint32_t hash)
{
    struct lock_name *n = xcalloc(1, sizeof(*n) + level.len);

    if (t->stats.names++ >= t->name_slots)
        grow(t);
    n->parent = parent;
    parent->refs++;
    n->hash = hash;
    n->len = (uint16_t)level.len;
    memcpy(n->level, level.data, level.len);
    n->chain = t->names[hash & (t->name_slots - 1)];
    t->names[hash & (t->name_slots - 1)] = n;
    return n;
}

static struct lock_name *walk(struct lock_table *t, struct slice key, bool add)
{
    struct lock_name *name = t->root, *next;
    struct slice level;

    for (size_t at = 0; name && at < key.len; at += level.len) {
        level = slice_of(key.data + at, key_level_len(key, at));
        uint32_t hash = hash_of(t, name, level);

        next = child_find(t, name, level, hash);
        name = next || !add ? next : child_add(t, name, level, hash);
    }
    return name;
}

struct lock_name *lock_name_get(struct lock_table *t, struct slice key)
{
    struct lock_name *name = walk(t, key, true);

    name->refs++;
    return name;
}

struct lock_name *lock_name_find(struct lock_table *t, struct slice key)
{
    return walk(t, key, false);
}

void lock_name_unref(struct lock_table *t, struct lock_name *name)
{
    struct lock_name **at, *parent;

    for (; --name->refs == 0; name = parent) {
        parent = name->parent; /* not NULL: the table itself refers to the root */
        at = &t->names[name->hash & (t->name_slots - 1)];
        while (*at != name)
            at = &(*at)->chain;
        *at = name->chain;
        t->stats.names--;
        free(name);
    }
}

void lock_name_key(const struct lock_name *name, struct key *key)
{
    size_t len = 0;

    for (const struct lock_name *n = name; n; n = n->parent)
        len += n->len;
    key->len = (uint16_t)len;
    for (const struct lock_name *n = name; n; n = n->parent) {
        len -= n->len;
        memcpy(key->data + len, n->level, n->len);
    }
}
