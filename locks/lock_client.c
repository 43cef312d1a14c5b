/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of locks: asking for them, and what the server says. */
#include "locks/lock_client_int.h"

#include <stdlib.h>

/* ---- Calls ---- */

static void call_end(struct lock_call *call)
{
    struct lock_client *c = call->client;
    struct client_owner *o = call->owner;

    TAILQ_REMOVE(&c->calls, call, all);
    loop_cancel(c->loop, call->soon);
    buf_free(&call->text);
    free(call);
    client_owner_check(c, o);
}

static void call_over(struct lock_call *call)
{
    call->owner->calls--;
    call->owner->told -= call->told;
}

/* The call's done, from the loop. The server may still have to answer it. */
static void tell(void *cookie)
{
    struct lock_call *call = cookie;
    call_lock_fn *done = call->done;
    void *done_cookie = call->cookie;
    uint64_t stamp = call->stamp;

    int error = 0;

    call->soon = NULL;
    if (!kept_find(call->client, call->owner->id, slice_of(call->name, call->len)))
        error = ECP_EDISCONNECTED; /* lost since */
    if (!call->upstream) {
        call_over(call);
        call_end(call);
    }
    done(done_cookie, error, stamp);
}

void lock_call_grant(struct lock_call *call, uint64_t stamp)
{
    call->told = true;
    call->owner->told++;
    call->stamp = stamp;
    call->soon = loop_soon(call->client->loop, tell, call);
}

static void note_grant(struct lock_client *c, struct lock_call *call, uint64_t stamp)
{
    struct kept *k;

    if (!call->keepable) {
        call->owner->plain = true;
        return;
    }
    k = kept_find(c, call->owner->id, slice_of(call->name, call->len));
    if (!k) {
        k = xcalloc(1, sizeof(*k) + call->len);
        k->label = call->owner;
        k->len = call->len;
        memcpy(k->name, call->name, call->len);
        RB_INSERT(kept_tree, &c->kept, k);
        kept_use(k);
        c->stats.held++;
    }
    k->exclusive = call->exclusive;
    k->stamp = stamp;
    k->passes = 0;
}

static void answered(void *cookie, int error, uint64_t stamp)
{
    struct lock_call *call = cookie;
    struct lock_client *c = call->client;
    call_lock_fn *done = call->done;
    void *done_cookie = call->cookie;

    call->upstream = NULL;
    if (call->soon)
        return; /* passed on here; tell is about to come */
    call_over(call);
    if (call->told) {
        call_end(call);
        return;
    }
    if (!error)
        note_grant(c, call, stamp);
    call_end(call);
    done(done_cookie, error, stamp);
}

static bool is_keepable(const struct call_lock_args *args)
{
    return args->count == 1 && !args->who.group && item_is_whole(&args->items[0]);
}

static struct lock_call *call_new(struct lock_client *c, const struct call_lock_args *args,
                                  call_lock_fn *done, void *cookie)
{
    const struct call_lock_item *item = &args->items[0];
    bool keepable = is_keepable(args);
    size_t len = keepable ? item->name.len : 0;
    struct lock_call *call = xcalloc(1, sizeof(*call) + len);

    call->client = c;
    call->owner = client_owner_get(c, args->who.owner);
    call->owner->calls++;
    call->keepable = keepable;
    call->exclusive = item->exclusive;
    call->done = done;
    call->cookie = cookie;
    call->len = len;
    if (len)
        memcpy(call->name, item->name.data, len);
    call->process = args->who.process;
    buf_append_slice(&call->text, args->who.text);
    TAILQ_INSERT_TAIL(&c->calls, call, all);
    return call;
}

/* An idle lock that will do. */
static struct kept *idle_for(struct lock_client *c, uint64_t owner, struct slice name,
                             bool exclusive)
{
    struct kept *k = kept_first(c, name), *found = NULL;
    struct client_owner *o = client_owner_find(c, owner);

    if (o && o->unlocks)
        return NULL; /* it might be taken for what is being unlocked */
    for (; k && slice_equal(kept_name(k), name); k = RB_NEXT(kept_tree, &c->kept, k)) {
        if (k->label->id == owner && !k->is_idle)
            return NULL; /* it changes what it has */
        if (k->is_idle && k->exclusive == exclusive)
            found = k;
    }
    return found;
}

/* What is idle in another mode would only be recalled. */
static void give_back_idle(struct lock_client *c, struct slice name)
{
    struct kept *k = kept_first(c, name), *next;

    for (; k && slice_equal(kept_name(k), name); k = next) {
        next = RB_NEXT(kept_tree, &c->kept, k);
        if (k->is_idle)
            kept_give_back(c, k);
    }
}

static void take_idle(struct lock_client *c, struct kept *k, const struct call_lock_who *to)
{
    struct client_owner *from = k->label, *owner = client_owner_get(c, to->owner);

    kept_end_idle(c, k);
    if (from != owner) {
        client_owner_clear(c, owner);
        c->up.pass(c->up.cookie, from->id, kept_name(k), true, to);
    }
    kept_relabel(c, k, owner);
    client_owner_check(c, from);
    c->stats.local++;
}

bool lock_client_lock_now(struct lock_client *c, const struct call_lock_args *args)
{
    const struct call_lock_item *item = &args->items[0];
    struct kept *k =
        is_keepable(args) ? idle_for(c, args->who.owner, item->name, item->exclusive) : NULL;

    if (k)
        take_idle(c, k, &args->who);
    return k;
}

struct lock_call *lock_client_lock(struct lock_client *c, const struct call_lock_args *args,
                                   call_lock_fn *done, void *cookie)
{
    struct lock_call *call;
    struct call_lock_args asked = *args;
    struct kept *k;

    if (args->replace)
        lock_client_unlock(c, args->who.owner, NULL, 0, NULL, NULL);
    call = call_new(c, args, done, cookie);
    if (lock_client_lock_now(c, args)) {
        k = kept_find(c, args->who.owner, args->items[0].name);
        lock_call_grant(call, k->stamp);
        return call;
    }
    for (size_t i = 0; i < args->count; i++) {
        give_back_idle(c, args->items[i].name);
        if (!call->keepable)
            kept_split(c, args->who.owner, args->items[i].name);
    }
    client_owner_clear(c, call->owner);
    asked.replace = false;
    asked.delegable = call->keepable;
    c->stats.asked++;
    call->upstream = c->up.lock(c->up.cookie, &asked, answered, call);
    return call;
}

void lock_client_cancel(struct lock_client *c, struct lock_call *call)
{
    if (call->upstream && !call->told)
        c->up.cancel(c->up.cookie, call->upstream);
}

/* ---- What the server says ---- */

void lock_client_said(struct lock_client *c, bool lost, uint64_t owner, struct slice name)
{
    struct kept *k = kept_find(c, owner, name);
    const struct client_owner *o = client_owner_find(c, owner);
    bool used = k ? !k->is_idle : o != NULL;

    if (lost) {
        if (k)
            kept_drop(c, k);
        if (used)
            c->up.lost(c->up.cookie, owner, false, name);
    } else if (k) {
        c->stats.recalled++;
        if (k->is_idle) {
            kept_give_back(c, k);
        } else {
            k->wanted = true;
            c->up.kept(c->up.cookie, owner, name);
        }
    } else if (o && o->plain) { /* else it has been unlocked, and may be asked for anew */
        c->up.kept(c->up.cookie, owner, name);
    }
}

void lock_client_lost(struct lock_client *c)
{
    struct client_owner *o, *next;
    struct kept *k;
    struct slice none = slice_of(NULL, 0);

    for (o = RB_MIN(owner_tree, &c->owners); o; o = RB_NEXT(owner_tree, &c->owners, o))
        if (o->held || o->plain)
            c->up.lost(c->up.cookie, o->id, true, none);
    for (o = RB_MIN(owner_tree, &c->owners); o; o = RB_NEXT(owner_tree, &c->owners, o))
        o->calls++; /* stays */
    while ((k = RB_MIN(kept_tree, &c->kept)))
        kept_drop(c, k);
    for (o = RB_MIN(owner_tree, &c->owners); o; o = next) {
        next = RB_NEXT(owner_tree, &c->owners, o);
        o->plain = false;
        o->calls--;
        client_owner_check(c, o);
    }
}

/* ---- Life ---- */

struct lock_client *lock_client_new(struct loop *loop, const struct lock_upstream *upstream)
{
    struct lock_client *c = xcalloc(1, sizeof(*c));

    c->loop = loop;
    c->up = *upstream;
    TAILQ_INIT(&c->idle);
    TAILQ_INIT(&c->calls);
    TAILQ_INIT(&c->unlocks);
    LIST_INIT(&c->unlocked);
    return c;
}

void lock_client_free(struct lock_client *c)
{
    struct client_owner *o;
    struct lock_call *call;
    struct client_unlock *u;
    struct kept *k;

    if (!c)
        return;
    while ((call = TAILQ_FIRST(&c->calls)))
        call_end(call);
    unlocked_forget(c);
    while ((u = TAILQ_FIRST(&c->unlocks))) {
        TAILQ_REMOVE(&c->unlocks, u, all);
        free(u);
    }
    while ((k = RB_MIN(kept_tree, &c->kept)))
        kept_drop(c, k);
    while ((o = RB_MIN(owner_tree, &c->owners))) {
        RB_REMOVE(owner_tree, &c->owners, o);
        free(o);
    }
    free(c);
}

const struct lock_client_stats *lock_client_stats(const struct lock_client *c)
{
    return &c->stats;
}
