/* SPDX-License-Identifier: Apache-2.0 */
/* Loads: questions to the other side, what becomes of their answers, and who waits for them. */
#include "cache/cache_int.h"
#include "base/mutation.h"

#include <stdlib.h>

/* ---- Waiters ---- */

static void load_join(struct load *load, struct cache_call *call)
{
    call->load = load;
    call->wprev = load->last;
    call->wnext = NULL;
    *(load->last ? &load->last->wnext : &load->first) = call;
    load->last = call;
}

void load_leave(struct cache_call *call)
{
    struct load *load = call->load;

    *(call->wprev ? &call->wprev->wnext : &load->first) = call->wnext;
    *(call->wnext ? &call->wnext->wprev : &load->last) = call->wprev;
    call->load = NULL;
}

/* An answer without a lease is good only for questions from before it was asked for: a later one
 * could be told of a state that was over before it began. */
static bool was_first(const struct load *load, const struct cache_call *call)
{
    return call->asked < load->sent || MUTATION(MUTATION_JOINER);
}

/* ---- Loads under way ---- */

static uint64_t hash_of(enum load_kind kind, struct slice key, struct place from)
{
    uint64_t hash = table_hash(key) + 2 * (uint64_t)kind + from.after;
    return kind == LOAD_PAGE ? hash ^ table_hash(from.sub) : hash;
}

static struct place load_from(const struct load *load)
{
    return (struct place){.sub = key_slice(&load->from), .after = load->after};
}

static struct load *find_load(struct cache *c, enum load_kind kind, struct slice key,
                              struct place from, uint32_t max_value)
{
    uint64_t hash = hash_of(kind, key, from);
    struct load *load = c->loads[hash % LOAD_BUCKETS];

    while (load &&
           !(load->hash == hash && load->kind == kind && load->max_value >= max_value &&
             slice_equal(key_slice(&load->key), key) && place_compare(load_from(load), from) == 0))
        load = load->next;
    return load;
}

static struct load *load_new(struct cache *c, enum load_kind kind, struct slice key,
                             struct place from, uint32_t max_value)
{
    struct load *load = xcalloc(1, sizeof(*load)), **bucket;

    load->cache = c;
    load->kind = kind;
    load->hash = hash_of(kind, key, from);
    load->sent = ++c->moment;
    load->generation = c->generation;
    load->max_value = max_value;
    key_copy(&load->key, key);
    key_copy(&load->from, from.sub);
    load->after = from.after;
    bucket = &c->loads[load->hash % LOAD_BUCKETS];
    load->next = *bucket;
    if (load->next)
        load->next->prev = load;
    *bucket = load;
    c->stats.loads++;
    return load;
}

static void unlink_load(struct load *load)
{
    struct cache *c = load->cache;

    *(load->prev ? &load->prev->next : &c->loads[load->hash % LOAD_BUCKETS]) = load->next;
    if (load->next)
        load->next->prev = load->prev;
}

void load_free_all(struct cache *c)
{
    for (size_t i = 0; i < LOAD_BUCKETS; i++) {
        while (c->loads[i]) {
            struct load *load = c->loads[i];
            c->up->ops->cancel(c->up, load->up_call);
            unlink_load(load);
            free(load);
        }
    }
}

/* ---- The answer to LOAD_PAGE ---- */

static bool well_formed(const struct load *load, const struct page *pages, size_t count)
{
    const struct page *p = pages;

    if (count == 0 || !slice_equal(p->parent, key_slice(&load->key)))
        return false;
    if (!slice_equal(p->first, key_slice(&load->from)))
        return false;
    return p->count ? place_compare(load_from(load), place_at(p->entries[0].sub)) <= 0 : p->to_end;
}

/*
 * Pages of an answer to a question from before a lease was lost may be from before, too. They are
 * not given back: the number may have taken the place of one that is held for the same range.
 */
static void keep_pages(struct load *load, const struct page *pages, size_t count)
{
    struct cache *c = load->cache;

    c->stats.readahead_pages += count - 1;
    for (size_t i = 0; i < count && load->generation == c->generation; i++)
        if (pages[i].lease && (pages[i].count || pages[i].to_end))
            table_insert(&c->table, &pages[i], i == 0 ? load->budget : 0);
}

/*
 * A directory's time may move forward without a touch. What is told of it without a lease and is
 * newer than what is held, here or above, puts an end to that: or the time would go back with the
 * next answer.
 */
static void overtake(struct cache *c, struct slice key, const struct node *node)
{
    struct node known;
    struct touch touch = {.kind = TOUCH_ENTRY, .key = key};

    if (node->changed && !MUTATION(MUTATION_OLD_TIME) &&
        !(cache_known_node(c, key, &known) && known.changed >= node->changed))
        recall_own(c, &touch, 1);
}

static void overtake_pages(struct cache *c, const struct page *pages, size_t count)
{
    struct key key;

    for (size_t i = 0; i < count; i++) {
        if (pages[i].lease)
            continue;
        if (pages[i].parent.len == 0)
            overtake(c, pages[i].parent, &pages[i].self);
        for (size_t j = 0; j < pages[i].count; j++) {
            struct slice sub = pages[i].entries[j].sub;
            key_copy(&key, pages[i].parent);
            memcpy(key.data + key.len, sub.data, sub.len);
            key.len += (uint16_t)sub.len;
            overtake(c, key_slice(&key), &pages[i].entries[j].node);
        }
    }
}

static struct node node_in(const struct page *page, struct slice key)
{
    struct slice sub = key_last(key);

    if (key.len == 0)
        return page->self;
    /* The page begins at the level asked for. */
    if (page->count && slice_equal(page->entries[0].sub, sub))
        return page->entries[0].node;
    return (struct node){0};
}

/* False: the value must be asked for by itself. */
static bool answer_node(struct cache_call *call, struct node node)
{
    struct cache_done done = call->done;

    if (!node_satisfies(&node, call->max_value))
        return false;
    if (node.value_len > call->max_value)
        node.value = slice_of(NULL, 0);
    cache_call_end(call);
    done.node(done.cookie, 0, &node, 0);
    return true;
}

/* False: all that came lies before what was asked for. */
static bool answer_page(struct cache_call *call, struct page page)
{
    struct cache_done done = call->done;

    if (call->after && page.count && slice_equal(page.entries[0].sub, key_slice(&call->from))) {
        page.entries++;
        page.count--;
    }
    if (page.count == 0 && !page.to_end)
        return false;
    cache_call_end(call);
    done.page(done.cookie, 0, &page, 0);
    return true;
}

static void settle_page(struct load *load, struct cache_call *call, const struct page *page)
{
    if (cache_call_answer(call, &page->self))
        return;
    if (was_first(load, call)) {
        bool done = call->kind == CALL_PAGE
                        ? answer_page(call, *page)
                        : answer_node(call, node_in(page, key_slice(&call->key)));
        if (done)
            return;
        call->apart = true;
    }
    load_for(call);
}

static void load_end(struct load *load)
{
    struct cache *c = load->cache;

    free(load);
    cache_fit(c);
}

static void pages_done(void *cookie, int error, const struct page *pages, size_t count)
{
    struct load *load = cookie;
    struct cache_call *call;

    unlink_load(load);
    if (!error && !well_formed(load, pages, count))
        error = ECP_EPROTO;
    if (!error) {
        keep_pages(load, pages, count);
        overtake_pages(load->cache, pages, count);
    }
    while ((call = load->first)) {
        load_leave(call);
        if (error)
            cache_call_fail(call, error);
        else
            settle_page(load, call, pages);
    }
    load_end(load);
}

/* ---- The answer to LOAD_NODE ---- */

/* A record's stamp is its version: the value belongs to an entry of the same stamp. */
static void keep_value(struct load *load, const struct node *node)
{
    struct cache *c = load->cache;
    struct slice key = key_slice(&load->key);
    struct node known;
    uint64_t until;

    if (node->value.data && cache_find_node(c, key, 0, &known, &until) &&
        known.flags & NODE_VALUE && known.stamp == node->stamp &&
        known.value_len == node->value.len)
        table_attach(&c->table, key, node->value);
}

static void settle_node(struct load *load, struct cache_call *call, const struct node *node)
{
    if (cache_call_answer(call, NULL))
        return;
    if (!was_first(load, call) || !answer_node(call, *node))
        load_for(call);
}

static void node_done(void *cookie, int error, const struct node *node)
{
    struct load *load = cookie;
    struct cache_call *call;

    unlink_load(load);
    if (!error && node->flags & NODE_VALUE && node->value_len <= load->max_value &&
        load->max_value && !node->value.data)
        error = ECP_EPROTO;
    if (!error) {
        overtake(load->cache, key_slice(&load->key), node);
        keep_value(load, node);
    }
    while ((call = load->first)) {
        load_leave(call);
        if (error)
            cache_call_fail(call, error);
        else
            settle_node(load, call, node);
    }
    load_end(load);
}

/* ---- Asking ---- */

static struct load *ask_node(struct cache_call *call)
{
    struct cache *c = call->cache;
    struct slice key = key_slice(&call->key);
    struct place nowhere = {0};
    struct load *load = find_load(c, LOAD_NODE, key, nowhere, call->max_value);

    if (load)
        return load;
    load = load_new(c, LOAD_NODE, key, nowhere, call->max_value);
    load->up_call = c->up->ops->node(c->up, key, call->max_value, node_done, load);
    return load;
}

/*
 * A leased page must begin at a level, for the other side knows its range so; what is asked for
 * after a level is read from that level on.
 */
static struct load *ask_page(struct cache_call *call)
{
    struct cache *c = call->cache;
    struct slice key = key_slice(&call->key);
    bool is_node = call->kind == CALL_NODE;
    struct slice parent = is_node ? key_parent(key) : key;
    struct slice sub = is_node ? key_last(key) : key_slice(&call->from);
    struct place from = {.sub = sub, .after = call->after};
    struct place begin = {.sub = sub, .after = call->after && call->apart};
    struct load *load = find_load(c, LOAD_PAGE, parent, begin, 0);
    struct upstream_read read;
    struct plan plan;

    if (load)
        return load;
    plan = is_node ? plan_node(c, key) : plan_page(c, parent, from);
    read = (struct upstream_read){.parent = parent,
                                  .from = sub,
                                  .after = begin.after,
                                  .lease = plan.lease && !call->apart,
                                  .onward = plan.onward,
                                  .max_value = PAGE_VALUE_MAX,
                                  .budget = plan.budget,
                                  .entries = plan.entries + (plan.entries && call->after),
                                  .readahead = plan.readahead};
    load = load_new(c, LOAD_PAGE, parent, begin, 0);
    load->budget = plan.budget;
    load->up_call = c->up->ops->read(c->up, &read, pages_done, load);
    return load;
}

/* Whether the entry is known, and only the value is missing. */
static bool lacks_value(struct cache_call *call)
{
    struct node node;
    uint64_t until;

    return call->max_value && cache_find_node(call->cache, key_slice(&call->key), 0, &node, &until);
}

void load_for(struct cache_call *call)
{
    struct slice key = key_slice(&call->key);
    bool by_node = call->kind == CALL_NODE && key.len &&
                   (call->apart || lacks_value(call) || bounce_off(call->cache, key, false));

    load_join(by_node ? ask_node(call) : ask_page(call), call);
}
