/* SPDX-License-Identifier: Apache-2.0 */
/* What owners hold: counted locks and ranges at a name, and how much of it lies below each
 * ancestor.
 */
#include <stdlib.h>
#include "locks/lock_int.h"

static int compare_ranges(const struct lock_range *a, const struct lock_range *b)
{
    return (a->start > b->start) - (a->start < b->start);
}

RB_GENERATE(lock_range_tree, lock_range, tree, compare_ranges)

/* ---- Finding ---- */

static size_t slot_of(const struct lock_table *t, const struct lock_owner *owner,
                      const struct lock_name *name)
{
    uint64_t h = ((uintptr_t)owner >> 4) * UINT64_C(0x9E3779B97F4A7C15);

    h = (h ^ ((uintptr_t)name >> 4)) * UINT64_C(0xC2B2AE3D27D4EB4F);
    return (h >> 32) & (t->entry_slots - 1);
}

struct lock_entry *lock_entry_find(struct lock_table *t, const struct lock_owner *owner,
                                   const struct lock_name *name)
{
    struct lock_entry *e = t->entries[slot_of(t, owner, name)];

    while (e && (e->owner != owner || e->name != name))
        e = e->chain;
    return e;
}

static void grow(struct lock_table *t)
{
    struct lock_entry **old = t->entries, *e;
    size_t count = t->entry_slots, slot;

    t->entry_slots *= 2;
    t->entries = xcalloc(t->entry_slots, sizeof(*t->entries));
    for (size_t i = 0; i < count; i++)
        while ((e = old[i])) {
            old[i] = e->chain;
            slot = slot_of(t, e->owner, e->name);
            e->chain = t->entries[slot];
            t->entries[slot] = e;
        }
    free(old);
}

static struct lock_entry *entry_get(struct lock_owner *owner, struct lock_name *name)
{
    struct lock_table *t = owner->session->table;
    struct lock_entry *e = lock_entry_find(t, owner, name), *parent;
    size_t slot;

    if (e)
        return e;
    parent = name->parent ? entry_get(owner, name->parent) : NULL;
    if (t->entry_count++ >= t->entry_slots)
        grow(t);
    e = xcalloc(1, sizeof(*e));
    e->owner = owner;
    e->name = name;
    e->parent = parent;
    e->at_mode = e->sub_mode = LOCK_NONE;
    name->refs++;
    owner->session->levels++;
    LIST_INSERT_HEAD(&owner->entries, e, of_owner);
    slot = slot_of(t, owner, name);
    e->chain = t->entries[slot];
    t->entries[slot] = e;
    return e;
}

static void entry_free(struct lock_entry *e)
{
    struct lock_table *t = e->owner->session->table;
    struct lock_entry **at = &t->entries[slot_of(t, e->owner, e->name)];

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    t->entry_count--;
    e->owner->session->levels--;
    lock_entry_not_delegable(e);
    LIST_REMOVE(e, of_owner);
    lock_wake(t, &e->watchers);
    lock_name_unref(t, e->name);
    free(e);
}

/* ---- Modes, up to the root ---- */

static int strongest(const uint32_t *by_mode)
{
    return by_mode[LOCK_EXCLUSIVE] ? LOCK_EXCLUSIVE
           : by_mode[LOCK_SHARED]  ? LOCK_SHARED
                                   : LOCK_NONE;
}

static int stronger(int a, int b)
{
    return a > b ? a : b;
}

static void set_sub(struct lock_entry *e)
{
    int mode = stronger(e->at_mode, strongest(e->below)), old = e->sub_mode;

    if (mode == old)
        return;
    if (old != LOCK_NONE)
        LIST_REMOVE(e, sub);
    if (mode != LOCK_NONE)
        LIST_INSERT_HEAD(&e->name->sub[mode], e, sub);
    e->sub_mode = (int8_t)mode;
    if (mode < old)
        lock_wake(e->owner->session->table, &e->watchers);
}

/* After a change of what the entry holds itself: corrects it and its ancestors, frees those that
 * hold nothing any more. */
static void settle(struct lock_entry *e)
{
    int mode = stronger(strongest(e->count), strongest(e->range_count)), old = e->at_mode;
    struct lock_entry *up;

    if (mode != old) {
        if (old != LOCK_NONE)
            LIST_REMOVE(e, at);
        if (mode != LOCK_NONE)
            LIST_INSERT_HEAD(&e->name->at[mode], e, at);
        e->at_mode = (int8_t)mode;
        set_sub(e);
        for (up = e->parent; up; up = up->parent) {
            int below = strongest(up->below);

            if (old != LOCK_NONE)
                up->below[old]--;
            if (mode != LOCK_NONE)
                up->below[mode]++;
            if (strongest(up->below) < below)
                lock_wake(up->owner->session->table, &up->watchers);
            set_sub(up);
        }
    }
    for (; e && e->sub_mode == LOCK_NONE; e = up) {
        up = e->parent;
        entry_free(e);
    }
}

static void count_locks(struct lock_entry *e, long n)
{
    e->owner->session->count += (size_t)n;
    e->owner->session->table->stats.locks += (size_t)n;
}

void lock_entry_not_delegable(struct lock_entry *e)
{
    e->owner->delegable -= e->delegable;
    e->delegable = e->recalled = false;
}

/* ---- Ranges ---- */

static void range_insert(struct lock_entry *e, uint64_t start, uint64_t end, int mode)
{
    struct lock_range *r = xmalloc(sizeof(*r));

    *r = (struct lock_range){.start = start, .end = end, .mode = (uint8_t)mode};
    RB_INSERT(lock_range_tree, &e->ranges, r);
    e->range_count[mode]++;
    count_locks(e, 1);
}

static void range_remove(struct lock_entry *e, struct lock_range *r)
{
    RB_REMOVE(lock_range_tree, &e->ranges, r);
    e->range_count[r->mode]--;
    count_locks(e, -1);
    free(r);
}

/* The first range that ends after `at`. */
static struct lock_range *range_from(struct lock_entry *e, uint64_t at)
{
    struct lock_range *r = RB_ROOT(&e->ranges), *found = NULL;

    while (r) {
        if (r->end > at) {
            found = r;
            r = RB_LEFT(r, tree);
        } else {
            r = RB_RIGHT(r, tree);
        }
    }
    return found;
}

/* Nothing of [start, end) is held afterwards. */
static void range_cut(struct lock_entry *e, uint64_t start, uint64_t end)
{
    struct lock_range *r;

    while ((r = range_from(e, start)) && r->start < end) {
        uint64_t left = r->start, right = r->end;
        int mode = r->mode;

        range_remove(e, r);
        if (left < start)
            range_insert(e, left, start, mode);
        if (right > end)
            range_insert(e, end, right, mode);
    }
}

static void range_set(struct lock_entry *e, uint64_t start, uint64_t end, int mode)
{
    struct lock_range *r;

    range_cut(e, start, end);
    r = start ? range_from(e, start - 1) : NULL;
    if (r && r->end == start && r->mode == mode) {
        start = r->start;
        range_remove(e, r);
    }
    r = range_from(e, start);
    if (r && r->start == end && r->mode == mode) {
        end = r->end;
        range_remove(e, r);
    }
    range_insert(e, start, end, mode);
}

/* ---- Locks ---- */

void lock_entry_add(struct lock_owner *owner, const struct lock_wait *item, bool delegable,
                    uint64_t now)
{
    struct lock_entry *e = entry_get(owner, item->name);

    if (e->at_mode == LOCK_NONE) {
        e->since = now;
        e->delegable = delegable;
        owner->delegable += delegable;
    } else if (!delegable) {
        lock_entry_not_delegable(e);
    }
    if (item->counted) {
        if (e->count[item->mode]++ == 0)
            count_locks(e, 1);
    } else {
        range_set(e, item->start, item->end, item->mode);
        lock_wake(owner->session->table, &e->watchers); /* exclusive may have become shared */
    }
    settle(e);
}

void lock_entry_take(struct lock_entry *e, const struct lock_item *item)
{
    if (item->counted) {
        if (e->count[item->mode] && --e->count[item->mode] == 0)
            count_locks(e, -1);
    } else {
        range_cut(e, item->start, item->end);
    }
    lock_wake(e->owner->session->table, &e->watchers);
    settle(e);
}

void lock_entry_clear(struct lock_entry *e)
{
    for (int mode = 0; mode < 2; mode++) {
        if (e->count[mode])
            count_locks(e, -1);
        e->count[mode] = 0;
    }
    range_cut(e, 0, LOCK_RANGE_END);
    lock_wake(e->owner->session->table, &e->watchers);
    settle(e);
}

/* ---- Conflicts ---- */

bool lock_entry_conflicts(const struct lock_entry *e, const struct lock_wait *item)
{
    struct lock_range *r;

    if (lock_modes_conflict(strongest(e->below), item->mode) ||
        lock_modes_conflict(strongest(e->count), item->mode))
        return true;
    for (r = range_from((struct lock_entry *)e, item->start); r && r->start < item->end;
         r = RB_NEXT(lock_range_tree, &e->ranges, r))
        if (lock_modes_conflict(r->mode, item->mode))
            return true;
    return false;
}

static bool owner_conflicts(struct lock_table *t, const struct lock_owner *owner,
                            const struct lock_wait *item)
{
    struct lock_entry *e;

    if (LIST_EMPTY(&owner->entries))
        return false;
    e = lock_entry_find(t, owner, item->name);
    if (e && lock_entry_conflicts(e, item))
        return true;
    for (struct lock_name *n = item->name->parent; n; n = n->parent) {
        e = lock_entry_find(t, owner, n);
        if (e && lock_modes_conflict(e->at_mode, item->mode))
            return true;
    }
    return false;
}

bool lock_group_conflicts(struct lock_table *t, const struct lock_group *group,
                          const struct lock_wait *item)
{
    struct lock_owner *o;

    LIST_FOREACH (o, &group->owners, of_group)
        if (owner_conflicts(t, o, item))
            return true;
    return false;
}

bool lock_group_covers(struct lock_table *t, const struct lock_group *group,
                       const struct lock_name *name)
{
    struct lock_owner *o;
    struct lock_entry *e;

    LIST_FOREACH (o, &group->owners, of_group) {
        if (LIST_EMPTY(&o->entries))
            continue;
        for (const struct lock_name *n = name; n; n = n->parent) {
            e = lock_entry_find(t, o, n);
            if (e && e->at_mode != LOCK_NONE)
                return true;
        }
    }
    return false;
}
