/* SPDX-License-Identifier: Apache-2.0 */
/* Which owner of a client holds which names, counted and by range. */
#include <stdlib.h>
#include "locks/lock_held_int.h"

static int held_name_compare(const struct held_name *a, const struct held_name *b)
{
    return slice_compare(held_name_slice(a), held_name_slice(b));
}

static int held_owner_compare(const struct held_owner *a, const struct held_owner *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

RB_GENERATE_INTERNAL(held_names, held_name, tree, held_name_compare, HELD_TREE)
RB_GENERATE_INTERNAL(held_owners, held_owner, tree, held_owner_compare, HELD_TREE)

/* ---- Owners and names ---- */

struct held_owner *held_owner_find(struct held_owners *owners, uint64_t id)
{
    struct held_owner key = {.id = id};

    return RB_FIND(held_owners, owners, &key);
}

struct held_name *held_name_find(struct held_owner *owner, struct slice name)
{
    struct held_name *n = RB_ROOT(&owner->names);
    int order;

    while (n && (order = slice_compare(name, held_name_slice(n))))
        n = order < 0 ? RB_LEFT(n, tree) : RB_RIGHT(n, tree);
    return n;
}

static struct held_owner *owner_get(struct held_owners *owners, const struct call_lock_who *who)
{
    struct held_owner *o = held_owner_find(owners, who->owner);

    if (o)
        return o;
    o = xcalloc(1, sizeof(*o));
    o->id = who->owner;
    o->grouped = who->group;
    if (who->group)
        memcpy(o->group, who->group, LOCK_GROUP_LEN);
    o->process = who->process;
    buf_append_slice(&o->text, who->text);
    RB_INIT(&o->names);
    RB_INSERT(held_owners, owners, o);
    return o;
}

/* As at the server, what may be kept may be so for all that is held of the name. */
static struct held_name *name_get(struct held_owner *owner, struct slice name, bool delegable)
{
    struct held_name *n = held_name_find(owner, name);

    if (n) {
        n->delegable &= delegable;
        return n;
    }
    n = xcalloc(1, sizeof(*n) + name.len);
    n->delegable = delegable;
    n->len = name.len;
    if (name.len)
        memcpy(n->name, name.data, name.len);
    RB_INSERT(held_names, &owner->names, n);
    return n;
}

static void name_free(struct held_owner *owner, struct held_name *n)
{
    RB_REMOVE(held_names, &owner->names, n);
    free(n->ranges);
    free(n);
}

static void owner_check(struct held_owners *owners, struct held_owner *o)
{
    if (!RB_EMPTY(&o->names))
        return;
    RB_REMOVE(held_owners, owners, o);
    buf_free(&o->text);
    free(o);
}

void held_check(struct held_owners *owners, struct held_owner *o, struct held_name *n)
{
    if (n->count[0] || n->count[1] || n->range_count)
        return;
    name_free(o, n);
    owner_check(owners, o);
}

static void owner_clear(struct held_owners *owners, struct held_owner *o)
{
    struct held_name *n;

    while ((n = RB_ROOT(&o->names)))
        name_free(o, n);
    owner_check(owners, o);
}

void held_clear(struct held_owners *owners)
{
    struct held_owner *o;

    while ((o = RB_ROOT(owners)))
        owner_clear(owners, o);
}

/* ---- Ranges ---- */

/* The first that ends after `at`. */
static size_t range_from(const struct held_name *n, uint64_t at)
{
    size_t low = 0, high = n->range_count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (n->ranges[mid].end > at)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Puts the range behind those before it, joined with the last where they touch and agree. */
static size_t range_put(struct held_range *to, size_t count, struct held_range r)
{
    struct held_range *last = count ? &to[count - 1] : NULL;

    if (last && last->end == r.start && last->exclusive == r.exclusive) {
        last->end = r.end;
        return count;
    }
    to[count] = r;
    return count + 1;
}

/* In place of the ranges from first up to last. */
static void range_replace(struct held_name *n, size_t first, size_t last,
                          const struct held_range *with, size_t count)
{
    size_t left = n->range_count - last;

    if (first + count + left > n->range_room) {
        n->range_room = n->range_room * 2 + 4;
        n->ranges = xrealloc(n->ranges, n->range_room * sizeof(*n->ranges));
    }
    if (left)
        memmove(n->ranges + first + count, n->ranges + last, left * sizeof(*n->ranges));
    if (count)
        memcpy(n->ranges + first, with, count * sizeof(*with));
    n->range_count = first + count + left;
}

/* The mode, or LOCK_NONE, of [start, end). Looks also at the neighbours that touch it. */
static void range_set(struct held_name *n, uint64_t start, uint64_t end, int mode)
{
    struct held_range with[3], *r;
    size_t first = range_from(n, start ? start - 1 : 0), last = first, count = 0;

    for (; last < n->range_count && n->ranges[last].start <= end; last++)
        ;
    if (first < last && (r = &n->ranges[first])->start < start)
        count = range_put(with, count, (struct held_range){r->start, start, r->exclusive});
    if (mode != LOCK_NONE)
        count = range_put(with, count, (struct held_range){start, end, mode});
    if (first < last && (r = &n->ranges[last - 1])->end > end)
        count = range_put(with, count, (struct held_range){end, r->end, r->exclusive});
    range_replace(n, first, last, with, count);
}

bool held_weaken(struct held_name *n, const struct call_lock_item *item)
{
    bool any = false;

    for (uint64_t at = item->start, end = held_end(item); at < end;) {
        size_t i = range_from(n, at);
        uint64_t from, to;

        if (i == n->range_count || n->ranges[i].start >= end)
            break;
        from = n->ranges[i].start > at ? n->ranges[i].start : at;
        to = n->ranges[i].end < end ? n->ranges[i].end : end;
        if (n->ranges[i].exclusive) {
            range_set(n, from, to, LOCK_SHARED);
            any = true;
        }
        at = to;
    }
    return any;
}

/* ---- What happens to locks ---- */

void held_add(struct held_owners *owners, const struct call_lock_who *who,
              const struct call_lock_item *items, size_t count, bool delegable)
{
    struct held_owner *o = owner_get(owners, who);

    for (size_t i = 0; i < count; i++) {
        struct held_name *n = name_get(o, items[i].name, delegable);

        if (items[i].counted)
            n->count[items[i].exclusive]++;
        else
            range_set(n, items[i].start, held_end(&items[i]), items[i].exclusive);
    }
}

static void take(struct held_name *n, const struct call_lock_item *item)
{
    uint32_t *count = &n->count[item->exclusive];

    if (!item->counted)
        range_set(n, item->start, held_end(item), LOCK_NONE);
    else if (*count)
        --*count;
}

void held_take(struct held_owners *owners, uint64_t owner, const struct call_lock_item *items,
               size_t count)
{
    struct held_owner *o = held_owner_find(owners, owner);
    struct held_name *n;

    if (o && !count)
        owner_clear(owners, o);
    for (size_t i = 0; i < count && (o = held_owner_find(owners, owner)); i++)
        if ((n = held_name_find(o, items[i].name))) {
            take(n, &items[i]);
            held_check(owners, o, n);
        }
}

void held_take_name(struct held_owners *owners, uint64_t owner, struct slice name)
{
    struct held_owner *o = held_owner_find(owners, owner);
    struct held_name *n = o ? held_name_find(o, name) : NULL;

    if (!n)
        return;
    name_free(o, n);
    owner_check(owners, o);
}

int held_pass(struct held_owners *owners, uint64_t from, const struct call_lock_who *to,
              struct slice name, bool delegable)
{
    struct held_owner *o = held_owner_find(owners, from);
    struct held_name *n = o ? held_name_find(o, name) : NULL;
    struct call_lock_item item = {.name = name};

    if (!n || n->count[0] || n->count[1] || from == to->owner)
        return LOCK_NONE;
    for (size_t i = 0; i < n->range_count; i++)
        item.exclusive |= n->ranges[i].exclusive;
    held_add(owners, to, &item, 1, delegable);
    held_take_name(owners, from, name);
    return item.exclusive;
}
