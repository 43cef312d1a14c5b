/* SPDX-License-Identifier: Apache-2.0 */
/* Cached pages: building, searching, punching, trimming and splicing them. */
#include "cache/page.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mutation.h"

#define FEW 4 /* entries that need not lie in the arena */

/* A name or value that has a block of its own. */
static bool is_attached(const struct cpage *p, struct slice s)
{
    return s.len && (s.data < p->arena || s.data >= p->arena + p->arena_len);
}

static void set_value(struct cpage *p, struct entry *e, struct slice value)
{
    e->node.value = slice_of(value.len ? xmemdup(value.data, value.len) : "", value.len);
    p->bytes += value.len;
}

static void drop_value(struct cpage *p, struct entry *e)
{
    if (is_attached(p, e->node.value)) {
        p->bytes -= e->node.value.len;
        free((void *)e->node.value.data);
    }
    e->node.value = slice_of(NULL, 0);
}

static void drop_entries(struct cpage *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct entry *e = &p->entries[i];
        drop_value(p, e);
        if (is_attached(p, e->sub)) {
            p->bytes -= e->sub.len;
            free((void *)e->sub.data);
        }
    }
}

static struct slice own(struct slice s)
{
    return slice_of(s.len ? xmemdup(s.data, s.len) : NULL, s.len);
}

static void set_place(struct cpage *p, struct place *to, struct place from)
{
    struct slice old = to->sub;

    p->bytes += from.sub.len;
    *to = (struct place){.sub = own(from.sub), .after = from.after};
    p->bytes -= old.len;
    free((void *)old.data);
}

/* ---- Building ---- */

static size_t arena_bytes(const struct cpage *old, struct slice s)
{
    return old && is_attached(old, s) ? 0 : s.len;
}

/* Runs of entries make a page. What is attached in old goes over to it. */
struct run {
    const struct cpage *old; /* NULL: entries that just came */
    const struct entry *entries;
    size_t count;
};

static uint8_t *put(struct cpage *p, const struct cpage *old, uint8_t *at, struct slice *s)
{
    if (old && is_attached(old, *s)) {
        p->bytes += s->len;
        return at;
    }
    if (s->len)
        memcpy(at, s->data, s->len);
    s->data = at;
    return at + s->len;
}

static uint8_t *fill(struct cpage *p, const struct run *run, uint8_t *at)
{
    for (size_t i = 0; i < run->count; i++) {
        struct entry *e = &p->entries[p->count++];
        *e = run->entries[i];
        at = put(p, run->old, at, &e->sub);
        if (e->node.value.data && e->node.value.len == 0)
            e->node.value.data = (const uint8_t *)"";
        else if (e->node.value.data)
            at = put(p, run->old, at, &e->node.value);
    }
    return at;
}

static struct cpage *build(const struct run *runs, size_t run_count)
{
    size_t count = 0, bytes = 0;
    struct cpage *p;
    uint8_t *at;

    for (size_t r = 0; r < run_count; r++) {
        count += runs[r].count;
        for (size_t i = 0; i < runs[r].count; i++)
            bytes += arena_bytes(runs[r].old, runs[r].entries[i].sub) +
                     arena_bytes(runs[r].old, runs[r].entries[i].node.value);
    }
    p = xmalloc(sizeof(*p) + bytes);
    *p = (struct cpage){.arena_len = bytes,
                        .bytes = sizeof(*p) + bytes + count * sizeof(struct entry)};
    p->entries = xmalloc(count * sizeof(struct entry));
    p->cap = count;
    at = p->arena;
    for (size_t r = 0; r < run_count; r++)
        at = fill(p, &runs[r], at);
    return p;
}

struct cpage *cpage_new(const struct page *page)
{
    struct run run = {.entries = page->entries, .count = page->count};
    struct cpage *p = build(&run, 1);

    p->lease = page->lease;
    p->to_end = page->to_end;
    set_place(p, &p->first, place_at(page->first));
    if (!page->to_end)
        set_place(p, &p->end, page_end(page));
    p->self = page->self;
    p->has_self = page->parent.len == 0;
    return p;
}

static void drop_holes(struct cpage *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        p->bytes -= p->holes[i].len;
        free((void *)p->holes[i].data);
    }
    if (to < p->hole_count)
        memmove(p->holes + from, p->holes + to, (p->hole_count - to) * sizeof(*p->holes));
    p->hole_count -= to - from;
}

static void free_parts(struct cpage *p)
{
    drop_holes(p, 0, p->hole_count);
    free(p->holes);
    free(p->entries);
    free((void *)p->first.sub.data);
    free((void *)p->end.sub.data);
}

void cpage_free(struct cpage *p)
{
    drop_entries(p, 0, p->count);
    free_parts(p);
    free(p);
}

/* ---- Searching ---- */

size_t cpage_lower(const struct cpage *p, struct place at)
{
    size_t low = 0, high = p->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = slice_compare(p->entries[middle].sub, at.sub);
        if (c < 0 || (c == 0 && at.after))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool cpage_covers(const struct cpage *p, struct place at)
{
    return place_compare(p->first, at) <= 0 && (p->to_end || place_compare(at, p->end) < 0);
}

size_t cpage_hole(const struct cpage *p, struct place at)
{
    size_t low = 0, high = p->hole_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (place_compare(place_at(p->holes[middle]), at) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool cpage_is_hole(const struct cpage *p, struct slice sub)
{
    size_t at = p->hole_count ? cpage_hole(p, place_at(sub)) : 0;
    return at < p->hole_count && slice_equal(p->holes[at], sub);
}

bool cpage_get(const struct cpage *p, struct slice sub, struct node *node)
{
    size_t i;

    if (cpage_is_hole(p, sub))
        return false;
    i = cpage_lower(p, place_at(sub));
    if (i < p->count && slice_equal(p->entries[i].sub, sub))
        *node = p->entries[i].node;
    else
        *node = (struct node){0};
    return true;
}

/* ---- Changing ---- */

void cpage_punch(struct cpage *p, struct slice sub)
{
    size_t at = cpage_hole(p, place_at(sub)), i = cpage_lower(p, place_at(sub));

    if (at < p->hole_count && slice_equal(p->holes[at], sub))
        return;
    if (i < p->count && slice_equal(p->entries[i].sub, sub))
        drop_value(p, &p->entries[i]);
    else if (MUTATION(MUTATION_ABSENT))
        return;
    if (p->hole_count == p->hole_cap) {
        size_t cap = p->hole_cap ? 2 * p->hole_cap : 4;
        p->holes = xrealloc(p->holes, cap * sizeof(*p->holes));
        p->bytes += (cap - p->hole_cap) * sizeof(*p->holes);
        p->hole_cap = cap;
    }
    memmove(p->holes + at + 1, p->holes + at, (p->hole_count - at) * sizeof(*p->holes));
    p->holes[at] = own(sub);
    p->hole_count++;
    p->bytes += sub.len;
}

/* The entries [from, to) go, and there is room for `count` others in their place. */
static void make_way(struct cpage *p, size_t from, size_t to, size_t count)
{
    size_t left = p->count - (to - from);

    drop_entries(p, from, to);
    if (left + count > p->cap) {
        size_t cap = left + count + left / 4;
        p->entries = xrealloc(p->entries, cap * sizeof(*p->entries));
        p->bytes += (cap - p->cap) * sizeof(*p->entries);
        p->cap = cap;
    }
    memmove(p->entries + from + count, p->entries + to, (p->count - to) * sizeof(*p->entries));
    p->count = left + count;
}

void cpage_trim_head(struct cpage *p, struct place first)
{
    size_t i = cpage_lower(p, first);

    make_way(p, 0, i, 0);
    drop_holes(p, 0, cpage_hole(p, first));
    set_place(p, &p->first, first);
}

void cpage_trim_tail(struct cpage *p, struct place end)
{
    size_t i = cpage_lower(p, end);

    make_way(p, i, p->count, 0);
    drop_holes(p, cpage_hole(p, end), p->hole_count);
    p->to_end = false;
    set_place(p, &p->end, end);
}

static bool same_names(const struct entry *a, const struct entry *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!slice_equal(a[i].sub, b[i].sub))
            return false;
    return true;
}

/* The part [from, to) of p's entries makes way for those of page. */
static struct cpage *rebuild(struct cpage *p, const struct page *page, size_t from, size_t to)
{
    struct run runs[3] = {
        {.old = p, .entries = p->entries, .count = from},
        {.entries = page->entries, .count = page->count},
        {.old = p, .entries = p->entries + to, .count = p->count - to},
    };
    struct cpage *q = build(runs, 3);
    struct cpage fresh = *q;

    drop_entries(p, from, to);
    free(p->entries);
    *q = *p;
    q->entries = fresh.entries;
    q->count = fresh.count;
    q->cap = fresh.cap;
    q->arena_len = fresh.arena_len;
    q->bytes = fresh.bytes + p->first.sub.len + p->end.sub.len + p->hole_cap * sizeof(*p->holes);
    for (size_t i = 0; i < p->hole_count; i++)
        q->bytes += p->holes[i].len;
    free(p);
    return q;
}

/* The same for a few, in blocks of their own. */
static void patch(struct cpage *p, const struct page *page, size_t from, size_t to)
{
    make_way(p, from, to, page->count);
    for (size_t i = 0; i < page->count; i++) {
        struct entry *e = &p->entries[from + i];
        *e = page->entries[i];
        e->sub = own(e->sub);
        p->bytes += e->sub.len;
        if (e->node.value.data)
            set_value(p, e, e->node.value);
    }
}

static void refill(struct cpage *p, const struct page *page, size_t from)
{
    for (size_t i = 0; i < page->count; i++) {
        struct entry *e = &p->entries[from + i];
        drop_value(p, e);
        e->node = page->entries[i].node;
        e->node.value = slice_of(NULL, 0);
        if (page->entries[i].node.value.data)
            set_value(p, e, page->entries[i].node.value);
    }
}

struct cpage *cpage_splice(struct cpage *p, const struct page *page, struct place first,
                           struct place end)
{
    size_t from = cpage_lower(p, first);
    size_t to = page->to_end ? p->count : cpage_lower(p, end);

    drop_holes(p, cpage_hole(p, first), page->to_end ? p->hole_count : cpage_hole(p, end));
    if (to - from == page->count && same_names(p->entries + from, page->entries, page->count))
        refill(p, page, from);
    else if (page->count <= FEW)
        patch(p, page, from, to);
    else
        p = rebuild(p, page, from, to);
    if (page->parent.len == 0) {
        p->self = page->self;
        p->has_self = true;
    }
    return p;
}

void cpage_attach(struct cpage *p, struct slice sub, struct slice value)
{
    size_t i = cpage_lower(p, place_at(sub));

    if (!p->entries[i].node.value.data)
        set_value(p, &p->entries[i], value);
}
