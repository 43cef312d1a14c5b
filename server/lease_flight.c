/* SPDX-License-Identifier: Apache-2.0 */
/* Touches of batches under way: what may not be leased meanwhile, and which batches must wait. */
#include "server/lease_int.h"

static struct slice flight_parent(const struct lease_flight *f)
{
    return slice_of(f->key.data, f->parent_len);
}

static struct slice flight_last(const struct lease_flight *f)
{
    if (f->key.len == 0)
        return f->key;
    return slice_of(f->key.data + f->parent_len, f->key.len - f->parent_len);
}

/* By parent and last level, so that the children of one node stand together, as do its
 * descendants. */
static int flight_compare(const struct lease_flight *a, const struct lease_flight *b)
{
    int c = slice_compare(flight_parent(a), flight_parent(b));

    return c ? c : slice_compare(flight_last(a), flight_last(b));
}

RB_GENERATE_INTERNAL(lease_flights, lease_flight, tree, flight_compare, LEASE_TREE)

static struct lease_flight *next_of(struct lease_flight *f)
{
    return f->next->first ? lease_flights_RB_NEXT(f->next) : f->next;
}

/* The first at or after a key. */
static struct lease_flight *find(struct lease_table *t, struct slice key)
{
    struct lease_flight probe = {.key = key, .parent_len = (uint16_t)key_parent(key).len};

    return lease_flights_RB_NFIND(&t->flights, &probe);
}

/* The first at or after a level of parent; level may be empty. */
static struct lease_flight *find_below(struct lease_table *t, struct slice parent,
                                       struct slice level)
{
    struct key key;
    struct lease_flight probe;

    key_copy(&key, parent);
    if (key.len + level.len > KEY_MAX_LEN)
        level.len = KEY_MAX_LEN - key.len; /* no key is that long: what follows is the same */
    if (level.len)
        memcpy(key.data + key.len, level.data, level.len);
    probe = (struct lease_flight){.key = slice_of(key.data, key.len + level.len),
                                  .parent_len = (uint16_t)parent.len};
    return lease_flights_RB_NFIND(&t->flights, &probe);
}

void lease_flight_add(struct lease_recall *recall, const struct store_touch *touch)
{
    struct lease_table *t = recall->table;
    struct lease_flight *f = &recall->flights[recall->count], *first, *same;

    *f = (struct lease_flight){.recall = recall,
                               .key = touch->key,
                               .parent_len = (uint16_t)key_parent(touch->key).len,
                               .subtree = touch->subtree,
                               .shared = touch->shared};
    first = lease_flights_RB_INSERT(&t->flights, f);
    same = first ? first->prev : NULL;
    if (same && same->recall == recall) {
        t->subtrees += f->subtree && !same->subtree;
        same->subtree |= f->subtree;
        same->shared &= f->shared;
        return;
    }
    f->first = !first;
    f->next = first ? first : f;
    f->prev = first ? first->prev : f;
    f->prev->next = f->next->prev = f;
    recall->count++;
    t->stats.touches++;
    t->subtrees += f->subtree;
}

static void flight_remove(struct lease_table *t, struct lease_flight *f)
{
    struct lease_flight *next = f->next;

    t->subtrees -= f->subtree;
    f->prev->next = next;
    next->prev = f->prev;
    if (!f->first)
        return;
    lease_flights_RB_REMOVE(&t->flights, f);
    if (next == f)
        return;
    next->first = true;
    lease_flights_RB_INSERT(&t->flights, next);
}

void lease_flight_remove(struct lease_recall *recall)
{
    struct lease_table *t = recall->table;

    for (size_t i = 0; i < recall->count; i++)
        flight_remove(t, &recall->flights[i]);
    t->stats.touches -= recall->count;
    recall->count = 0;
}

/* A subtree in flight that contains key, of a recall that is not coarse unless coarse ones count
 * too. */
static struct lease_flight *subtree_over(struct lease_table *t, struct slice key, bool coarse_too)
{
    size_t len = 0;

    while (t->subtrees) {
        struct slice at = slice_of(key.data, len);

        for (struct lease_flight *f = find(t, at); f && slice_equal(f->key, at); f = next_of(f))
            if (f->subtree && (coarse_too || !f->recall->coarse))
                return f;
        if (len == key.len)
            break;
        len += key_level_len(key, len);
    }
    return NULL;
}

bool lease_flight_hits(struct lease_table *t, struct slice parent, struct slice first,
                       struct slice last, bool to_end)
{
    struct lease_flight *f;

    if (t->nobody_count && !MUTATION(MUTATION_NOBODY))
        return true;
    if (RB_EMPTY(&t->flights))
        return false;
    if (subtree_over(t, parent, true))
        return true;
    if (parent.len == 0 && (f = find(t, parent)) && f->key.len == 0)
        return true; /* the root's own entry is in each of its pages */
    f = find_below(t, parent, first);
    return f && slice_equal(flight_parent(f), parent) &&
           (to_end || slice_compare(flight_last(f), last) <= 0);
}

static struct lease_recall *conflict_of(struct lease_table *t, const struct store_touch *touch,
                                        bool coarse)
{
    struct lease_flight *f = subtree_over(t, touch->key, !coarse);

    if (f)
        return f->recall;
    for (f = find(t, touch->key); f && slice_equal(f->key, touch->key); f = next_of(f))
        if (!(f->shared && touch->shared) && !(coarse && f->recall->coarse))
            return f->recall;
    if (!touch->subtree)
        return NULL;
    for (f = find_below(t, touch->key, slice_of(NULL, 0));
         f && slice_has_prefix(flight_parent(f), touch->key); f = next_of(f))
        if (!(coarse && f->recall->coarse))
            return f->recall;
    return NULL;
}

struct lease_recall *lease_conflict(struct lease_table *t, const struct store_touch *touches,
                                    size_t count, bool coarse)
{
    struct lease_recall *recall = NULL;

    if (t->nobody_count && !coarse)
        return t->nobody;
    if (RB_EMPTY(&t->flights) || (coarse && !t->exact))
        return NULL;
    for (size_t i = 0; i < count && !recall; i++)
        recall = conflict_of(t, &touches[i], coarse);
    return recall;
}
