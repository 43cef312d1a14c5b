/* SPDX-License-Identifier: Apache-2.0 */
/* The cache itself: its life, answers from memory, figures. */
#include "cache/cache_int.h"

#include <inttypes.h>
#include <stdlib.h>

#define BYTES_DEFAULT ((size_t)256 << 20)

struct cache *cache_new(struct loop *loop, struct upstream *up, const struct cache_config *config,
                        const struct cache_events *events, void *cookie)
{
    struct cache *c = xcalloc(1, sizeof(*c));

    c->loop = loop;
    c->up = up;
    c->events = events;
    c->cookie = cookie;
    c->bytes = config && config->bytes ? config->bytes : BYTES_DEFAULT;
    c->bounces = xcalloc(BOUNCE_SLOTS, sizeof(*c->bounces));
    table_init(&c->table, release_gone, c);
    up->events = &recall_events;
    up->cookie = c;
    return c;
}

void cache_free(struct cache *c)
{
    c->up->events = NULL;
    while (c->calls)
        cache_call_end(c->calls);
    load_free_all(c);
    table_free(&c->table);
    release_free(c);
    free(c->bounces);
    free(c);
}

bool cache_connected(struct cache *c)
{
    return c->up->ops->connected(c->up);
}

/* Down to a little below, so that it is not to be done again at once. */
void cache_fit(struct cache *c)
{
    if (c->table.bytes > c->bytes)
        c->stats.evictions += table_evict(&c->table, c->bytes - c->bytes / 20);
}

/* ---- From memory ---- */

static bool leased(struct cache *c, uint64_t *until)
{
    *until = c->up->ops->lease_end(c->up);
    return *until > loop_now(c->loop);
}

static bool find_root(struct cache *c, struct node *node)
{
    if (!c->table.root)
        return false;
    c->table.root->used = true;
    *node = c->table.root->self;
    return true;
}

static bool find_entry(struct cache *c, struct slice key, struct node *node)
{
    struct slice parent = key_parent(key);
    struct slice sub = slice_of(key.data + parent.len, key.len - parent.len);
    struct dir *dir = table_dir(&c->table, parent, table_hash(parent));
    struct cpage *p = dir ? dir_page(dir, place_at(sub)) : NULL;

    if (!p || !cpage_get(p, sub, node))
        return false;
    p->used = true;
    p->hits++;
    return true;
}

bool cache_known_node(struct cache *c, struct slice key, struct node *node)
{
    return key.len ? find_entry(c, key, node) : find_root(c, node);
}

bool cache_find_node(struct cache *c, struct slice key, uint32_t max_value, struct node *node,
                     uint64_t *until)
{
    if (!leased(c, until) || !cache_known_node(c, key, node))
        return false;
    if (!node_satisfies(node, max_value) || (c->bars && bar_hits_node(c, key)))
        return false;
    if (node->value_len > max_value)
        node->value = slice_of(NULL, 0);
    return true;
}

bool cache_node_now(struct cache *c, struct slice key, uint32_t max_value, struct node *node,
                    uint64_t *until)
{
    bool found = cache_find_node(c, key, max_value, node, until);
    c->stats.hits += found;
    return found;
}

/* What p knows without a gap from the place on. False: at once a hole. */
static bool known_run(struct cpage *p, struct place from, struct page *page)
{
    size_t i = cpage_lower(p, from), hole = p->hole_count ? cpage_hole(p, from) : 0;
    bool cut = hole < p->hole_count;
    size_t end = cut ? cpage_lower(p, place_at(p->holes[hole])) : p->count;

    p->used = true;
    p->hits += (uint32_t)(end - i);
    page->entries = p->entries + i;
    page->count = end - i;
    page->to_end = p->to_end && !cut;
    return end > i || !cut;
}

bool cache_find_page(struct cache *c, struct slice parent, struct place from, struct page *page,
                     uint64_t *until)
{
    struct place at = from;
    struct dir *dir;
    struct cpage *p;

    if (!leased(c, until) || !(dir = table_dir(&c->table, parent, table_hash(parent))))
        return false;
    *page = (struct page){.parent = parent, .first = from.sub};
    do {
        p = dir_page(dir, at);
        if (!p || !known_run(p, at, page))
            return false;
        at = p->end;
    } while (page->count == 0 && !page->to_end);
    return !c->bars || bar_cut(c, parent, from, page);
}

bool cache_page_now(struct cache *c, struct slice parent, struct slice from, bool after,
                    struct page *page, uint64_t *until)
{
    struct place at = {.sub = from, .after = after};
    bool found = cache_find_page(c, parent, at, page, until);
    c->stats.hits += found;
    return found;
}

/* ---- Figures ---- */

static size_t entry_count(const struct cache *c)
{
    size_t count = 0;

    for (const struct cpage *p = c->table.oldest; p; p = p->newer)
        count += p->count;
    return count;
}

void cache_stats(struct cache *c, struct buf *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } lines[] = {
        {"hits", c->stats.hits},
        {"misses", c->stats.misses},
        {"pages", c->table.pages},
        {"entries", entry_count(c)},
        {"bytes", c->table.bytes},
        {"loads", c->stats.loads},
        {"readahead_pages", c->stats.readahead_pages},
        {"evictions", c->stats.evictions},
        {"invalidations_entry", c->stats.invalidations[TOUCH_ENTRY]},
        {"invalidations_subtree", c->stats.invalidations[TOUCH_SUBTREE]},
        {"invalidations_pages", c->stats.invalidations[TOUCH_PAGES]},
        {"lost", c->stats.lost},
        {"bounces", c->stats.bounces},
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        buf_printf(out, "cache_%s %" PRIu64 "\n", lines[i].name, lines[i].value);
    buf_printf(out, "round_trips %" PRIu64 "\n", c->up->ops->round_trips(c->up));
}
