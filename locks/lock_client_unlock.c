/* SPDX-License-Identifier: Apache-2.0 */
/* Unlocking on the client's side: passed on here, kept, or given back. */
#include "locks/lock_client_int.h"

#include <stdlib.h>

static struct call_lock_who who_of(const struct lock_call *call)
{
    return (struct call_lock_who){
        .owner = call->owner->id, .process = call->process, .text = buf_slice(&call->text)};
}

struct unlocked {
    LIST_ENTRY(unlocked) all;
    struct loop_event *soon;
    call_done_fn *done;
    void *cookie;
};

static void unlocked(void *cookie)
{
    struct unlocked *u = cookie;
    struct unlocked copy = *u;

    LIST_REMOVE(u, all);
    free(u);
    copy.done(copy.cookie, 0);
}

static void done_soon(struct lock_client *c, call_done_fn *done, void *cookie)
{
    struct unlocked *u;

    if (!done)
        return;
    u = xmalloc(sizeof(*u));
    *u = (struct unlocked){.done = done, .cookie = cookie};
    u->soon = loop_soon(c->loop, unlocked, u);
    LIST_INSERT_HEAD(&c->unlocked, u, all);
}

void unlocked_forget(struct lock_client *c)
{
    struct unlocked *u;

    while ((u = LIST_FIRST(&c->unlocked))) {
        loop_cancel(c->loop, u->soon);
        LIST_REMOVE(u, all);
        free(u);
    }
}

/* ---- Asking the server ---- */

/* A lock that was granted before the server has unlocked, to a LOCK that was on its way then: what
 * of it is left the server alone knows. */
static void server_unlocked(void *cookie, int error)
{
    struct client_unlock *u = cookie, copy = *u;
    struct lock_client *c = u->client;
    struct client_owner *o = u->owner;
    struct kept *k;

    TAILQ_REMOVE(&c->unlocks, u, all);
    free(u);
    while (copy.raced && (k = LIST_FIRST(&o->kept))) {
        o->plain = true;
        kept_drop(c, k);
    }
    o->unlocks--;
    client_owner_check(c, o);
    if (copy.done)
        copy.done(copy.cookie, error);
}

void client_unlock(struct lock_client *c, struct client_owner *o,
                   const struct call_lock_item *items, size_t count, call_done_fn *done,
                   void *cookie)
{
    struct client_unlock *u = xmalloc(sizeof(*u));

    *u = (struct client_unlock){
        .client = c, .owner = o, .raced = o->calls > o->told, .done = done, .cookie = cookie};
    TAILQ_INSERT_TAIL(&c->unlocks, u, all);
    o->unlocks++;
    c->up.unlock(c->up.cookie, o->id, items, count, server_unlocked, u);
}

/* ---- Passing on, keeping ---- */

/* The oldest call that waits at the server for just this lock. */
static struct lock_call *waiter_of(struct lock_client *c, const struct kept *k)
{
    struct lock_call *call;

    if (!k->exclusive || k->passes >= LOCK_CLIENT_PASSES)
        return NULL;
    TAILQ_FOREACH (call, &c->calls, all)
        if (call->keepable && call->exclusive && !call->told && call->owner != k->label &&
            call->owner->calls - call->owner->told == 1 &&
            slice_equal(slice_of(call->name, call->len), kept_name(k)) &&
            !kept_find(c, call->owner->id, kept_name(k)))
            return call;
    return NULL;
}

/* To one that waits here, or kept for nobody. False: the server is to have it, also when another
 * lock or request of its owner may rest on it. */
static bool keep(struct lock_client *c, struct kept *k)
{
    struct client_owner *o = k->label;
    struct lock_call *next;

    if (o->held > 1 || o->calls > o->told || o->unlocks || o->plain)
        return false;
    next = waiter_of(c, k);
    if (next) {
        struct call_lock_who to = who_of(next);

        c->up.pass(c->up.cookie, o->id, kept_name(k), !k->wanted, &to);
        kept_unuse(k);
        kept_relabel(c, k, next->owner);
        k->passes++;
        c->stats.passed++;
        lock_call_grant(next, k->stamp);
        client_owner_check(c, o);
    } else if (!k->wanted && !o->calls) {
        kept_make_idle(c, k);
    } else {
        return false;
    }
    return true;
}

static void unlock_one(struct lock_client *c, struct kept *k, call_done_fn *done, void *cookie)
{
    if (keep(c, k)) {
        done_soon(c, done, cookie);
        return;
    }
    kept_unlock(c, k, done, cookie);
    kept_drop(c, k);
}

bool lock_client_give_back(struct lock_client *c)
{
    struct kept *k;
    bool any = !TAILQ_EMPTY(&c->idle);

    while ((k = TAILQ_FIRST(&c->idle)))
        kept_give_back(c, k);
    return any;
}

bool lock_client_unlock_now(struct lock_client *c, uint64_t owner, struct slice name)
{
    struct kept *k = kept_find(c, owner, name);

    return k && !k->is_idle && keep(c, k);
}

static void unlock_all(struct lock_client *c, struct client_owner *o, call_done_fn *done,
                       void *cookie)
{
    struct kept *k = LIST_FIRST(&o->kept);

    if (o->held == 1 && !o->plain) {
        unlock_one(c, k, done, cookie);
        return;
    }
    o->unlocks++; /* stays */
    while ((k = LIST_FIRST(&o->kept)))
        kept_drop(c, k);
    o->plain = false;
    client_unlock(c, o, NULL, 0, done, cookie);
    o->unlocks--;
}

void lock_client_unlock(struct lock_client *c, uint64_t owner, const struct call_lock_item *items,
                        size_t count, call_done_fn *done, void *cookie)
{
    struct client_owner *o = client_owner_find(c, owner);
    struct kept *k;

    if (!o || (!o->held && !o->plain && !o->calls)) {
        done_soon(c, done, cookie);
        return;
    }
    if (count == 0) {
        unlock_all(c, o, done, cookie);
        return;
    }
    k = count == 1 && !items[0].counted ? kept_find(c, owner, items[0].name) : NULL;
    if (k && item_is_whole(&items[0])) {
        unlock_one(c, k, done, cookie);
        return;
    }
    o->plain = true;
    for (size_t i = 0; i < count; i++)
        kept_split(c, owner, items[i].name);
    client_unlock(c, o, items, count, done, cookie);
}
