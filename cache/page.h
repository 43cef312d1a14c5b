/* SPDX-License-Identifier: Apache-2.0 */
/* A cached page: a run of one node's children, with holes where it is no longer known. */
#ifndef CACHE_PAGE_H
#define CACHE_PAGE_H

#include "base/model.h"

#define PAGE_VALUE_MAX 1024 /* bytes of a value that comes along in a page */

/* A place among one node's children: at a level, or right after it. No level is a prefix of
 * another, so nothing lies in between. */
struct place {
    struct slice sub;
    bool after;
};

static inline int place_compare(struct place a, struct place b)
{
    int c = slice_compare(a.sub, b.sub);
    return c ? c : (int)a.after - (int)b.after;
}

static inline struct place place_at(struct slice sub)
{
    return (struct place){.sub = sub};
}

/*
 * [first, end) is known but for the holes. Entries and holes are in key order; a hole stands at a
 * level, whether it has an entry or not. What the entries point to lies in the arena as far as it
 * came with the page; names and values of later have blocks of their own.
 */
struct dir;
struct cpage {
    struct dir *dir;
    struct cpage *older, *newer; /* by time of coming, the clock hand's way */
    uint64_t lease;
    struct place first, end; /* their bytes are the page's own; end is void when to_end */
    bool to_end;
    bool used;     /* since the clock hand passed */
    bool has_self; /* pages of the root: self is known */
    uint32_t hits;
    uint32_t budget; /* of the load that brought it */
    struct node self;
    struct entry *entries;
    size_t count, cap;
    struct slice *holes;
    size_t hole_count, hole_cap;
    size_t bytes; /* all that it takes */
    size_t arena_len;
    uint8_t arena[];
};

/* A page as it came. */
struct cpage *cpage_new(const struct page *page);
void cpage_free(struct cpage *p);

/* Index of the first entry not before the place. */
size_t cpage_lower(const struct cpage *p, struct place at);
/* Whether the place lies in [first, end). */
bool cpage_covers(const struct cpage *p, struct place at);
/* Index of the first hole not before the place. */
size_t cpage_hole(const struct cpage *p, struct place at);
bool cpage_is_hole(const struct cpage *p, struct slice sub);

/* The entry of a level that is covered; false when that is not known. Absent: flags 0. */
bool cpage_get(const struct cpage *p, struct slice sub, struct node *node);

/* What is said of a level that is covered is no longer true. */
void cpage_punch(struct cpage *p, struct slice sub);

/* Nothing is known any more before, or from, the place. */
void cpage_trim_head(struct cpage *p, struct place first);
void cpage_trim_tail(struct cpage *p, struct place end);

/*
 * Newer knowledge of a part: `page` from `first` on, which lies within p. Returns p, or the page
 * that takes its place; p is freed then. Everything but entries, holes and sizes is as p has it.
 */
struct cpage *cpage_splice(struct cpage *p, const struct page *page, struct place first,
                           struct place end);

/* Gives an entry that is known its value, unless it has one. */
void cpage_attach(struct cpage *p, struct slice sub, struct slice value);

/* End of a run as it came: right after its last entry. */
static inline struct place page_end(const struct page *page)
{
    struct place end = {.after = true};
    if (page->count)
        end.sub = page->entries[page->count - 1].sub;
    return end;
}

/* Whether the node is all that a reader wants who would have values of up to max_value bytes. */
static inline bool node_satisfies(const struct node *node, uint32_t max_value)
{
    return max_value == 0 || !(node->flags & NODE_VALUE) || node->value.data ||
           node->value_len > max_value;
}

#endif
