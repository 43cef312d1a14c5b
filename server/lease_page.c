/* SPDX-License-Identifier: Apache-2.0 */
/* Pages in the lease table: an ordered tree, in which each knows how far its subtree reaches. */
#include <malloc.h>
#include <stdlib.h>
#include "server/lease_int.h"

#define CHAINS_MIN 64

/* ---- Order: by the parent's key, then by level; a page to the end ends after every level. ---- */

static int place_compare(struct slice parent_a, struct slice level_a, struct slice parent_b,
                         struct slice level_b)
{
    int c = slice_compare(parent_a, parent_b);

    return c ? c : slice_compare(level_a, level_b);
}

static int page_compare(const struct lease_page *a, const struct lease_page *b)
{
    int c = place_compare(lease_page_parent(a), lease_page_first(a), lease_page_parent(b),
                          lease_page_first(b));

    if (c == 0 && a->holder != b->holder)
        c = a->holder->order < b->holder->order ? -1 : 1;
    return c ? c : (a->number > b->number) - (a->number < b->number);
}

static int end_compare(const struct lease_page *a, const struct lease_page *b)
{
    int c = slice_compare(lease_page_parent(a), lease_page_parent(b));

    if (c == 0)
        c = a->to_end - b->to_end;
    if (c || a->to_end)
        return c;
    return slice_compare(lease_page_last(a), lease_page_last(b));
}

static struct lease_page *further(struct lease_page *a, struct lease_page *b)
{
    return b && end_compare(a, b) < 0 ? b : a;
}

/* Everything below p must be right already. */
static void measure(struct lease_page *p)
{
    struct lease_page *left = RB_LEFT(p, tree), *right = RB_RIGHT(p, tree);

    p->furthest = further(p, left ? left->furthest : NULL);
    p->furthest = further(p->furthest, right ? right->furthest : NULL);
}

#undef RB_AUGMENT
#define RB_AUGMENT(p) measure(p)
RB_GENERATE_INTERNAL(lease_pages, lease_page, tree, page_compare, LEASE_TREE)

/* Rotations have measured what they turned; the way up to the root is left. */
static void measure_up(struct lease_page *p)
{
    for (; p; p = RB_PARENT(p, tree))
        measure(p);
}

static void tree_insert(struct lease_table *t, struct lease_page *p)
{
    p->furthest = p;
    lease_pages_RB_INSERT(&t->pages, p);
    measure_up(p);
}

static void tree_remove(struct lease_table *t, struct lease_page *p)
{
    struct lease_page *from = RB_PARENT(p, tree);

    if (RB_LEFT(p, tree) && RB_RIGHT(p, tree)) {
        struct lease_page *next = lease_pages_RB_NEXT(p);

        from = RB_PARENT(next, tree) == p ? next : RB_PARENT(next, tree);
    }
    lease_pages_RB_REMOVE(&t->pages, p);
    measure_up(from);
}

/* ---- By number ---- */

static struct lease_page_chain *chain_of(struct lease_table *t, uint64_t number)
{
    return &t->chains[number & (t->chain_count - 1)];
}

static void chains_grow(struct lease_table *t)
{
    struct lease_holder *h;
    struct lease_page *p;

    t->chain_count = t->chain_count ? 2 * t->chain_count : CHAINS_MIN;
    free(t->chains);
    t->chains = xcalloc(t->chain_count, sizeof(*t->chains));
    TAILQ_FOREACH (h, &t->holders, list)
        TAILQ_FOREACH (p, &h->pages, of_holder)
            SLIST_INSERT_HEAD(chain_of(t, p->number), p, chain);
}

void lease_release(struct lease_holder *holder, uint64_t number)
{
    struct lease_table *t = holder->table;
    struct lease_page *p;

    if (!t->chain_count)
        return;
    SLIST_FOREACH (p, chain_of(t, number), chain) {
        if (p->number == number) {
            if (p->holder == holder)
                lease_page_drop(p);
            return;
        }
    }
}

/* ---- Coming and going ---- */

void lease_page_drop(struct lease_page *p)
{
    struct lease_holder *h = p->holder;
    struct lease_table *t = h->table;

    tree_remove(t, p);
    SLIST_REMOVE(chain_of(t, p->number), p, lease_page, chain);
    TAILQ_REMOVE(&h->pages, p, of_holder);
    h->reclaiming -= p->reclaimed;
    t->reclaiming -= p->reclaimed;
    t->stats.pages--;
    t->stats.bytes -= malloc_usable_size(p);
    if (--h->page_count == 0)
        t->holding--;
    free(p);
    lease_idle(t);
}

static void page_add(struct lease_holder *h, struct slice parent, struct slice first,
                     struct slice last, bool to_end)
{
    struct lease_table *t = h->table;
    struct lease_page *p;

    if (to_end)
        last = slice_of(NULL, 0);
    p = xmalloc(sizeof(*p) + parent.len + first.len + last.len);
    *p = (struct lease_page){.holder = h,
                             .number = ++t->last_number,
                             .parent_len = (uint16_t)parent.len,
                             .first_len = (uint16_t)first.len,
                             .last_len = (uint16_t)last.len,
                             .to_end = to_end};
    memcpy(p->bytes, parent.data, parent.len);
    if (first.len)
        memcpy(p->bytes + parent.len, first.data, first.len);
    if (last.len)
        memcpy(p->bytes + parent.len + first.len, last.data, last.len);
    tree_insert(t, p);
    TAILQ_INSERT_TAIL(&h->pages, p, of_holder);
    t->stats.pages++;
    t->stats.bytes += malloc_usable_size(p);
    if (h->page_count++ == 0)
        t->holding++;
    if (t->stats.pages > t->chain_count)
        chains_grow(t);
    else
        SLIST_INSERT_HEAD(chain_of(t, p->number), p, chain);
}

/* What pages are compared with when looking for the first at or after a place; room for any key. */
union probe {
    struct lease_page page;
    uint8_t room[sizeof(struct lease_page) + 2 * KEY_MAX_LEN];
};

static struct lease_page *find(struct lease_table *t, struct slice parent, struct slice first,
                               struct lease_holder *holder)
{
    static struct lease_holder nobody; /* order 0: before all */
    union probe probe;
    struct lease_page *p = &probe.page;

    *p = (struct lease_page){.holder = holder ? holder : &nobody,
                             .parent_len = (uint16_t)parent.len,
                             .first_len = (uint16_t)first.len};
    if (parent.len)
        memcpy(p->bytes, parent.data, parent.len);
    if (first.len)
        memcpy(p->bytes + parent.len, first.data, first.len);
    return lease_pages_RB_NFIND(&t->pages, p);
}

/* The same range in the same hands. */
static struct lease_page *find_same(struct lease_holder *h, struct slice parent, struct slice first,
                                    struct slice last, bool to_end)
{
    struct lease_page *p = find(h->table, parent, first, h);

    for (; p && p->holder == h && slice_equal(lease_page_parent(p), parent) &&
           slice_equal(lease_page_first(p), first);
         p = lease_pages_RB_NEXT(p))
        if (p->to_end == to_end && (to_end || slice_equal(lease_page_last(p), last)))
            return p;
    return NULL;
}

static void reclaim_now(void *cookie)
{
    struct lease_table *t = cookie;
    struct lease_holder *h;

    t->reclaim = NULL;
    if (t->stats.pages >= t->config.max_pages)
        lease_reclaim(t, NULL);
    TAILQ_FOREACH (h, &t->holders, list)
        if (h->page_count >= t->config.max_holder)
            lease_reclaim(t, h);
}

/*
 * Whether there is room for one more; if not, some is asked back. Not in this turn: the answer that
 * carries the pages granted so far has not been sent, and must not come after their recall.
 */
static bool have_room(struct lease_holder *h)
{
    struct lease_table *t = h->table;

    if (h->page_count < t->config.max_holder && t->stats.pages < t->config.max_pages)
        return true;
    if (!t->reclaim)
        t->reclaim = loop_soon(t->loop, reclaim_now, t);
    return false;
}

/* Whether a restart would know of leases for this holder's term. */
static bool remembered(struct lease_holder *h)
{
    struct lease_table *t = h->table;

    if (t->remembered >= h->term)
        return true;
    if (t->remember && !t->remember(t->memory, h->term))
        return false;
    t->remembered = h->term;
    return true;
}

uint64_t lease_grant(struct lease_holder *h, struct slice parent, struct slice first,
                     struct slice last, bool to_end)
{
    struct lease_table *t = h->table;
    struct lease_page *same;

    t->wanted_until = loop_now(t->loop) + h->term;
    same = find_same(h, parent, first, last, to_end);
    if ((lease_flight_hits(t, parent, first, last, to_end) && !MUTATION(MUTATION_IN_FLIGHT)) ||
        (!same && !have_room(h)) || !remembered(h)) {
        t->stats.refused++;
        return 0;
    }
    page_add(h, parent, first, last, to_end);
    if (same)
        lease_page_drop(same);
    t->stats.granted++;
    return t->last_number;
}

/* ---- Looking ---- */

struct look {
    struct slice parent, level;
    lease_hit_fn *hit;
    void *cookie;
};

static bool ends_before(const struct lease_page *p, const struct look *l)
{
    int c = slice_compare(lease_page_parent(p), l->parent);

    return c < 0 || (c == 0 && !p->to_end && slice_compare(lease_page_last(p), l->level) < 0);
}

/* Reports the pages below p that the place lies in; false when it has been enough. */
static bool stab(struct lease_page *p, const struct look *l)
{
    if (!p || ends_before(p->furthest, l))
        return true;
    if (!stab(RB_LEFT(p, tree), l))
        return false;
    if (place_compare(lease_page_parent(p), lease_page_first(p), l->parent, l->level) > 0)
        return true;
    if (!ends_before(p, l) && !l->hit(l->cookie, p))
        return false;
    return stab(RB_RIGHT(p, tree), l);
}

void lease_pages_hit(struct lease_table *t, struct slice key, bool subtree, lease_hit_fn *hit,
                     void *cookie)
{
    struct look l = {key_parent(key), key_last(key), hit, cookie};
    struct lease_page *p;

    if (key.len && !stab(RB_ROOT(&t->pages), &l))
        return;
    if (!subtree && key.len)
        return;
    /* Below a subtree's key; for the root's entry: its own pages. */
    for (p = find(t, key, slice_of(NULL, 0), NULL); p; p = lease_pages_RB_NEXT(p))
        if (!(subtree ? slice_has_prefix(lease_page_parent(p), key) : p->parent_len == 0) ||
            !hit(cookie, p))
            return;
}

void lease_pages_drop(struct lease_holder *h, struct slice key, bool below, uint64_t highest)
{
    struct lease_page *p, *next;

    if (below && key.len == 0) {
        for (p = TAILQ_FIRST(&h->pages); p && p->number <= highest; p = next) {
            next = TAILQ_NEXT(p, of_holder);
            lease_page_drop(p);
        }
        return;
    }
    for (p = find(h->table, key, slice_of(NULL, 0), NULL); p; p = next) {
        struct slice parent = lease_page_parent(p);

        if (below ? !slice_has_prefix(parent, key) : !slice_equal(parent, key))
            return;
        next = lease_pages_RB_NEXT(p);
        if (p->holder == h && p->number <= highest)
            lease_page_drop(p);
    }
}
