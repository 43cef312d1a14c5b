/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the cache: who waits for what; updates and space, which pass through. */
#include "cache/cache_int.h"
#include "base/mutation.h"

#include <stddef.h>
#include <stdlib.h>

static size_t size_of(enum call_kind kind)
{
    switch (kind) {
    case CALL_NODE:
        return offsetof(struct cache_call, from);
    case CALL_UPDATE:
        return offsetof(struct cache_call, fold) + sizeof(struct fold);
    default:
        return sizeof(struct cache_call);
    }
}

static struct cache_call *call_new(struct cache *c, enum call_kind kind, void *cookie)
{
    struct cache_call *call = xcalloc(1, size_of(kind));

    call->cache = c;
    call->kind = kind;
    call->done.cookie = cookie;
    call->asked = ++c->moment;
    call->next = c->calls;
    if (call->next)
        call->next->prev = call;
    c->calls = call;
    return call;
}

void cache_call_end(struct cache_call *call)
{
    struct cache *c = call->cache;

    if (call->load)
        load_leave(call);
    loop_cancel(c->loop, call->event);
    if (call->up_call)
        c->up->ops->cancel(c->up, call->up_call);
    if (call->bar)
        bar_free(c, call->bar);
    if (call->kind == CALL_UPDATE)
        fold_free(&call->fold);
    *(call->prev ? &call->prev->next : &c->calls) = call->next;
    if (call->next)
        call->next->prev = call->prev;
    free(call);
}

/* ---- Reads ---- */

/* An answer was at hand; it may be gone by now. */
static void at_hand(void *cookie)
{
    struct cache_call *call = cookie;

    call->event = NULL;
    if (!cache_call_answer(call, NULL))
        load_for(call);
}

static struct cache_call *start_read(struct cache_call *call, bool found)
{
    if (found) {
        call->event = loop_soon(call->cache->loop, at_hand, call);
        return call;
    }
    call->cache->stats.misses++;
    load_for(call);
    return call;
}

/* The page refers to its place, which lives longer than the call. */
static bool answer_with_page(struct cache_call *call, const struct node *self)
{
    struct cache_done done = call->done;
    struct key parent = call->key, first = call->from;
    struct place from = {.sub = key_slice(&first), .after = call->after};
    struct page page;
    uint64_t until;

    if (!cache_find_page(call->cache, key_slice(&parent), from, &page, &until))
        return false;
    if (self)
        page.self = *self;
    cache_call_end(call);
    done.page(done.cookie, 0, &page, until);
    return true;
}

bool cache_call_answer(struct cache_call *call, const struct node *self)
{
    struct cache_done done = call->done;
    struct node node;
    uint64_t until;

    if (call->kind == CALL_PAGE)
        return answer_with_page(call, self);
    if (!cache_find_node(call->cache, key_slice(&call->key), call->max_value, &node, &until))
        return false;
    cache_call_end(call);
    done.node(done.cookie, 0, &node, until);
    return true;
}

void cache_call_fail(struct cache_call *call, int error)
{
    struct cache_done done = call->done;
    bool is_node = call->kind == CALL_NODE;

    cache_call_end(call);
    if (is_node)
        done.node(done.cookie, error, NULL, 0);
    else
        done.page(done.cookie, error, NULL, 0);
}

struct cache_call *cache_node(struct cache *c, struct slice key, uint32_t max_value,
                              cache_node_fn *done, void *cookie)
{
    struct cache_call *call = call_new(c, CALL_NODE, cookie);
    struct node node;
    uint64_t until;

    key_copy(&call->key, key);
    call->max_value = max_value;
    call->done.node = done;
    return start_read(call, cache_find_node(c, key, max_value, &node, &until));
}

struct cache_call *cache_page(struct cache *c, struct slice parent, struct slice from, bool after,
                              cache_page_fn *done, void *cookie)
{
    struct cache_call *call = call_new(c, CALL_PAGE, cookie);
    struct place at = {.sub = from, .after = after};
    struct page page;
    uint64_t until;

    key_copy(&call->key, parent);
    key_copy(&call->from, from);
    call->after = after;
    call->done.page = done;
    return start_read(call, cache_find_page(c, parent, at, &page, &until));
}

/* ---- Updates ---- */

/* An update that ended so may have been applied, or may yet be. */
static bool outcome_unknown(int error)
{
    return error == ECP_EDISCONNECTED || error == ECP_EPROTO || error == ECP_ETIMEOUT ||
           error == ECP_ECANCELED || error == ECP_ESHUTDOWN || error == ECP_EIO;
}

static void update_done(void *cookie, int error, const struct upstream_applied *applied)
{
    struct cache_call *call = cookie;
    struct cache_done done = call->done;
    struct cache *c = call->cache;

    call->up_call = NULL;
    if (error == 0 && !MUTATION(MUTATION_OWN)) {
        fold_before(c, &call->fold);
        recall_own(c, applied->touches, applied->count);
        fold_after(c, &call->fold, applied->stamp);
    } else if (outcome_unknown(error)) {
        recall_own(c, call->bar->touches, call->bar->count);
    }
    cache_call_end(call);
    if (done.update)
        done.update(done.cookie, error, error ? 0 : applied->stamp);
}

struct cache_call *cache_update(struct cache *c, const struct update *updates, size_t count,
                                cache_update_fn *done, void *cookie)
{
    struct cache_call *call = call_new(c, CALL_UPDATE, cookie);

    call->done.update = done;
    call->bar = bar_new(c, updates, count);
    fold_prepare(&call->fold, updates, count);
    /* Those above must not serve it either: others may see the update before it is answered. */
    if (c->events && !MUTATION(MUTATION_BAR_ABOVE))
        c->events->recall(c->cookie, 0, call->bar->touches, call->bar->count);
    call->up_call = c->up->ops->update(c->up, updates, count, update_done, call);
    return call;
}

static void orphan_done(void *cookie)
{
    struct cache_call *call = cookie;

    call->event = NULL;
    update_done(call, ECP_ECANCELED, NULL);
}

/* It is not to be sent any more if it was not yet. Else it comes about sooner or later, also over
 * another connection, and what it changes must be heard of then. */
static void cancel_update(struct cache_call *call)
{
    struct cache *c = call->cache;

    call->done.update = NULL;
    if (!call->up_call || !c->up->ops->unsent(c->up, call->up_call))
        return;
    c->up->ops->cancel(c->up, call->up_call);
    call->up_call = NULL;
    call->event = loop_soon(c->loop, orphan_done, call);
}

/* ---- Sync, space ---- */

static void sync_done(void *cookie, int error)
{
    struct cache_call *call = cookie;
    struct cache_done done = call->done;

    call->up_call = NULL;
    cache_call_end(call);
    done.sync(done.cookie, error);
}

struct cache_call *cache_sync(struct cache *c, upstream_sync_fn *done, void *cookie)
{
    struct cache_call *call = call_new(c, CALL_SYNC, cookie);

    call->done.sync = done;
    call->up_call = c->up->ops->sync(c->up, sync_done, call);
    return call;
}

static void space_done(void *cookie, int error, const struct space *space)
{
    struct cache_call *call = cookie;
    struct cache_done done = call->done;

    call->up_call = NULL;
    cache_call_end(call);
    done.space(done.cookie, error, space);
}

struct cache_call *cache_space(struct cache *c, upstream_space_fn *done, void *cookie)
{
    struct cache_call *call = call_new(c, CALL_SPACE, cookie);

    call->done.space = done;
    call->up_call = c->up->ops->space(c->up, space_done, call);
    return call;
}

void cache_cancel(struct cache *c, struct cache_call *call)
{
    if (call && call->kind == CALL_UPDATE)
        cancel_update(call);
    else if (call)
        cache_call_end(call);
}
