/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of locks on their way, what their answers change, and its declaration to a new server. */
#include <bsd/sys/queue.h>
#include <stdlib.h>
#include "locks/lock_held_int.h"

/* A LOCK or an UNLOCK that has no answer yet. */
struct held_call {
    TAILQ_ENTRY(held_call) all;
    struct lock_held *held;
    void *below; /* LOCK */
    bool unlock, delegable, test;
    bool passed;   /* granted by a pass, which is all that it does */
    bool weakened; /* it may have made shared what was exclusive; so that was declared */
    call_lock_fn *locked;
    call_done_fn *unlocked; /* may be NULL */
    void *cookie;
    struct call_lock_who who;
    uint8_t group[LOCK_GROUP_LEN];
    struct buf bytes; /* text and names, which the others point to */
    size_t count;
    struct call_lock_item items[];
};

/* A lock that is being declared. */
struct held_claim {
    LIST_ENTRY(held_claim) all;
    struct lock_held *held;
    void *below;
    bool is_part; /* others are about the same name */
    uint64_t owner;
    struct key name;
};

struct lock_held {
    struct lock_held_config config;
    struct held_owners owners;
    TAILQ_HEAD(, held_call) calls; /* in their order */
    LIST_HEAD(, held_claim) claims;
};

/* ---- Calls ---- */

static struct held_call *call_new(struct lock_held *h, const struct call_lock_who *who,
                                  const struct call_lock_item *items, size_t count)
{
    struct held_call *call = xcalloc(1, sizeof(*call) + count * sizeof(*items));
    const uint8_t *at;

    call->held = h;
    call->count = count;
    buf_append_slice(&call->bytes, who->text);
    for (size_t i = 0; i < count; i++)
        buf_append_slice(&call->bytes, items[i].name);
    put_u8(&call->bytes, 0); /* there is always something to point to */
    call->who = *who;
    call->who.text = slice_of(call->bytes.data, who->text.len);
    if (who->group)
        call->who.group = memcpy(call->group, who->group, LOCK_GROUP_LEN);
    at = call->bytes.data + who->text.len;
    for (size_t i = 0; i < count; i++) {
        call->items[i] = items[i];
        call->items[i].name = slice_of(at, items[i].name.len);
        at += items[i].name.len;
    }
    TAILQ_INSERT_TAIL(&h->calls, call, all);
    return call;
}

static void call_free(struct held_call *call)
{
    buf_free(&call->bytes);
    free(call);
}

static void unlocked(void *cookie, int error)
{
    struct held_call *call = cookie;

    TAILQ_REMOVE(&call->held->calls, call, all);
    held_take(&call->held->owners, call->who.owner, call->items, call->count);
    if (call->unlocked)
        call->unlocked(call->cookie, error);
    call_free(call);
}

static void held_unlock(void *cookie, uint64_t owner, const struct call_lock_item *items,
                        size_t count, call_done_fn *done, void *done_cookie)
{
    struct lock_held *h = cookie;
    struct call_lock_who who = {.owner = owner};
    struct held_call *call = call_new(h, &who, items, count);

    call->unlock = true;
    call->unlocked = done;
    call->cookie = done_cookie;
    h->config.below.unlock(h->config.below.cookie, owner, items, count, unlocked, call);
}

/* ---- Locks that could not be declared ---- */

/* All items that make up what is held of a name; the caller frees. */
static struct call_lock_item *items_of(const struct held_name *n, size_t *count)
{
    struct call_lock_item *items, *item;

    *count = n->count[0] + n->count[1] + n->range_count;
    item = items = xcalloc(*count, sizeof(*items));
    for (int mode = 0; mode < 2; mode++)
        for (uint32_t i = 0; i < n->count[mode]; i++)
            *item++ = (struct call_lock_item){
                .name = held_name_slice(n), .exclusive = mode, .counted = true};
    for (size_t i = 0; i < n->range_count; i++)
        *item++ = (struct call_lock_item){.name = held_name_slice(n),
                                          .exclusive = n->ranges[i].exclusive,
                                          .start = n->ranges[i].start,
                                          .end = n->ranges[i].end};
    return items;
}

static size_t part_of(size_t at, size_t count)
{
    return count - at < LOCK_ITEMS_MAX ? count - at : LOCK_ITEMS_MAX;
}

/* Its owner is told that it has lost the name; so what the server has of it goes back. */
static void give_up(struct lock_held *h, uint64_t owner, struct slice name, bool give_back)
{
    struct held_owner *o = held_owner_find(&h->owners, owner);
    struct held_name *n = o ? held_name_find(o, name) : NULL;
    struct call_lock_item *items;
    size_t count;

    if (!n)
        return;
    items = items_of(n, &count);
    for (size_t at = 0; give_back && at < count; at += part_of(at, count))
        held_unlock(h, owner, items + at, part_of(at, count), NULL, NULL);
    free(items);
    held_take_name(&h->owners, owner, name);
    h->config.failed(h->config.below.cookie, owner, name);
}

/* ---- The layer ---- */

static void locked(void *cookie, int error, uint64_t stamp)
{
    struct held_call *call = cookie;
    struct lock_held *h = call->held;

    TAILQ_REMOVE(&h->calls, call, all);
    if (!error && !call->test && !call->passed)
        held_add(&h->owners, &call->who, call->items, call->count, call->delegable);
    call->locked(call->cookie, error, stamp);
    for (size_t i = 0; error && call->weakened && i < call->count; i++)
        give_up(h, call->who.owner, call->items[i].name, true);
    call_free(call);
}

static void *held_lock(void *cookie, const struct call_lock_args *args, call_lock_fn *done,
                       void *done_cookie)
{
    struct lock_held *h = cookie;
    struct call_lock_args asked = *args;
    struct held_call *call;

    if (args->replace)
        held_unlock(h, args->who.owner, NULL, 0, NULL, NULL);
    asked.replace = false;
    call = call_new(h, &args->who, args->items, args->count);
    call->delegable = args->delegable;
    call->test = args->test;
    call->locked = done;
    call->cookie = done_cookie;
    call->below = h->config.below.lock(h->config.below.cookie, &asked, locked, call);
    return call;
}

static void held_cancel(void *cookie, void *call)
{
    struct lock_held *h = cookie;

    h->config.below.cancel(h->config.below.cookie, ((struct held_call *)call)->below);
}

static void held_kept(void *cookie, uint64_t owner, struct slice name)
{
    struct lock_held *h = cookie;

    h->config.below.kept(h->config.below.cookie, owner, name);
}

/* The request that waits for what is passed to its owner, as lock_pass finds it; or NULL. */
static struct held_call *granted_by_pass(struct lock_held *h, uint64_t owner, struct slice name,
                                         bool exclusive)
{
    struct held_call *call, *found = NULL;

    TAILQ_FOREACH (call, &h->calls, all)
        if (!call->unlock && !call->test && call->who.owner == owner && call->count == 1 &&
            !call->items[0].counted && call->items[0].exclusive <= exclusive &&
            slice_equal(call->items[0].name, name))
            found = call;
    return found;
}

static void pass(void *cookie, uint64_t from, struct slice name, bool delegable,
                 const struct call_lock_who *to)
{
    struct lock_held *h = cookie;
    int exclusive = held_pass(&h->owners, from, to, name, delegable);
    struct held_call *call = exclusive < 0 ? NULL : granted_by_pass(h, to->owner, name, exclusive);
    struct held_claim *claim;

    if (call)
        call->passed = true;
    LIST_FOREACH (claim, &h->claims, all)
        if (claim->owner == from && slice_equal(key_slice(&claim->name), name))
            claim->owner = to->owner;
    h->config.below.pass(h->config.below.cookie, from, name, delegable, to);
}

static void lost(void *cookie, uint64_t owner, bool all, struct slice name)
{
    struct lock_held *h = cookie;

    h->config.below.lost(h->config.below.cookie, owner, all, name);
}

struct lock_upstream lock_held_upstream(struct lock_held *h)
{
    return (struct lock_upstream){.lock = held_lock,
                                  .cancel = held_cancel,
                                  .unlock = held_unlock,
                                  .kept = held_kept,
                                  .pass = pass,
                                  .lost = lost,
                                  .cookie = h};
}

/* ---- A server started anew ---- */

static void claimed(void *cookie, int error, uint64_t stamp)
{
    struct held_claim *claim = cookie;
    struct held_claim copy = *claim;

    (void)stamp;
    LIST_REMOVE(claim, all);
    free(claim);
    if (error)
        give_up(copy.held, copy.owner, key_slice(&copy.name), copy.is_part);
}

static void claims_drop(struct lock_held *h)
{
    struct held_claim *claim;

    while ((claim = LIST_FIRST(&h->claims))) {
        h->config.drop(h->config.below.cookie, claim->below);
        LIST_REMOVE(claim, all);
        free(claim);
    }
}

static void declare(struct lock_held *h, const struct held_owner *o, const struct held_name *n)
{
    struct call_lock_args args = {.who = {.owner = o->id,
                                          .group = o->grouped ? o->group : NULL,
                                          .process = o->process,
                                          .text = buf_slice(&o->text)},
                                  .delegable = n->delegable,
                                  .reclaim = true};
    struct call_lock_item *items;
    struct held_claim *claim;
    size_t count;

    items = items_of(n, &count);
    for (size_t at = 0; at < count; at += args.count) {
        claim = xcalloc(1, sizeof(*claim));
        claim->held = h;
        claim->owner = o->id;
        key_copy(&claim->name, held_name_slice(n));
        args.items = items + at;
        args.count = part_of(at, count);
        claim->is_part = args.count < count;
        LIST_INSERT_HEAD(&h->claims, claim, all);
        claim->below = h->config.below.lock(h->config.below.cookie, &args, claimed, claim);
    }
    free(items);
}

/* Of what is held, that which the call does not take or weaken, done or not. */
static void foresee(struct lock_held *h, struct held_call *call)
{
    struct held_owner *o = held_owner_find(&h->owners, call->who.owner);
    struct held_name *n;

    if (call->unlock && !call->count)
        held_take(&h->owners, call->who.owner, NULL, 0);
    for (size_t i = 0; i < call->count && o; i++) {
        const struct call_lock_item *item = &call->items[i];

        if (!(n = held_name_find(o, item->name)))
            continue;
        if (call->unlock && item->counted)
            n->leaving[item->exclusive]++;
        else if (call->unlock)
            held_take(&h->owners, o->id, item, 1);
        else if (!item->counted && !item->exclusive && !call->test)
            call->weakened |= held_weaken(n, item);
        o = held_owner_find(&h->owners, call->who.owner);
    }
}

/* A counted lock is surely held while more are known than are being unlocked: then the server is
 * to count those down, too. */
static void declare_name(struct lock_held *h, struct held_owner *o, struct held_name *n)
{
    for (int mode = 0; mode < 2; mode++) {
        if (n->leaving[mode] >= n->count[mode])
            n->count[mode] = 0;
        n->leaving[mode] = 0;
    }
    if (n->count[0] || n->count[1] || n->range_count)
        declare(h, o, n);
    else
        held_check(&h->owners, o, n);
}

/* Whoever was passed the lock may have given it away since. */
static void passed_end(struct lock_held *h)
{
    struct held_call *call, *next;

    for (call = TAILQ_FIRST(&h->calls); call; call = next) {
        next = TAILQ_NEXT(call, all);
        if (!call->passed)
            continue;
        h->config.drop(h->config.below.cookie, call->below);
        TAILQ_REMOVE(&h->calls, call, all);
        call->locked(call->cookie, 0, 0);
        call_free(call);
    }
}

void lock_held_reclaim(struct lock_held *h)
{
    struct held_owner *o, *next;
    struct held_name *n, *after;
    struct held_call *call;

    claims_drop(h);
    passed_end(h);
    TAILQ_FOREACH (call, &h->calls, all)
        foresee(h, call);
    for (o = RB_MIN(held_owners, &h->owners); o; o = next) {
        next = RB_NEXT(held_owners, &h->owners, o);
        for (n = RB_MIN(held_names, &o->names); n; n = after) {
            after = RB_NEXT(held_names, &o->names, n);
            declare_name(h, o, n);
        }
    }
}

/* ---- Loss, and life ---- */

void lock_held_lost(struct lock_held *h, uint64_t owner, struct slice name)
{
    held_take_name(&h->owners, owner, name);
}

void lock_held_session_lost(struct lock_held *h)
{
    claims_drop(h);
    held_clear(&h->owners);
}

struct lock_held *lock_held_new(const struct lock_held_config *config)
{
    struct lock_held *h = xcalloc(1, sizeof(*h));

    h->config = *config;
    RB_INIT(&h->owners);
    TAILQ_INIT(&h->calls);
    LIST_INIT(&h->claims);
    return h;
}

void lock_held_free(struct lock_held *h)
{
    struct held_call *call;
    struct held_claim *claim;

    if (!h)
        return;
    while ((call = TAILQ_FIRST(&h->calls))) {
        TAILQ_REMOVE(&h->calls, call, all);
        call_free(call);
    }
    while ((claim = LIST_FIRST(&h->claims))) {
        LIST_REMOVE(claim, all);
        free(claim);
    }
    held_clear(&h->owners);
    free(h);
}
