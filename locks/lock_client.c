/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of locks: owners of one session, and locks that it keeps when they are done. */
#include "locks/lock_client.h"
#include "base/buf.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <stdlib.h>

/* An owner that holds something, waits, or whose label is on an idle lock. */
struct client_owner {
    RB_ENTRY(client_owner) tree;
    uint64_t id;
    size_t held;            /* kept locks that it uses */
    size_t calls;           /* under way at the server */
    bool plain;             /* has locks that cannot be kept; until it unlocks all */
    LIST_HEAD(, kept) kept; /* that it uses */
    struct kept *idle;      /* the one that bears its label, or NULL */
};

/* A lock of one whole name that may be kept. */
struct kept {
    RB_ENTRY(kept) tree;
    TAILQ_ENTRY(kept) idle;
    LIST_ENTRY(kept) of_owner;  /* unless it is idle */
    struct client_owner *label; /* whose it is for the server, and here unless it is idle */
    bool is_idle, exclusive;
    bool wanted;     /* by the server: it goes back when its owner is done */
    unsigned passes; /* here, since the server granted it */
    uint64_t stamp;
    size_t len;
    uint8_t name[];
};

/* A lock_client_lock, from the call to its done; and then until the server has answered. */
struct lock_call {
    TAILQ_ENTRY(lock_call) all;
    struct lock_client *client;
    struct client_owner *owner;
    struct loop_event *soon; /* tells done */
    void *upstream;          /* call under way, or NULL */
    bool keepable, exclusive, told;
    uint64_t stamp;
    call_lock_fn *done;
    void *cookie;
    struct buf text;
    size_t len;
    uint8_t name[]; /* when keepable */
};

RB_HEAD(kept_tree, kept);
RB_HEAD(owner_tree, client_owner);

struct lock_client {
    struct loop *loop;
    struct lock_upstream up;
    struct kept_tree kept;
    struct owner_tree owners;
    TAILQ_HEAD(, kept) idle;       /* the oldest first */
    TAILQ_HEAD(, lock_call) calls; /* under way at the server, in their order */
    struct lock_client_stats stats;
};

static int compare_kept(const struct kept *a, const struct kept *b)
{
    int c = slice_compare(slice_of(a->name, a->len), slice_of(b->name, b->len));

    return c ? c : (a->label->id > b->label->id) - (a->label->id < b->label->id);
}

static int compare_owners(const struct client_owner *a, const struct client_owner *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

#define CLIENT_TREE __attribute__((unused)) static
RB_GENERATE_INTERNAL(kept_tree, kept, tree, compare_kept, CLIENT_TREE)
RB_GENERATE_INTERNAL(owner_tree, client_owner, tree, compare_owners, CLIENT_TREE)

/* ---- Owners ---- */

static struct client_owner *owner_find(struct lock_client *c, uint64_t id)
{
    struct client_owner key = {.id = id};

    return RB_FIND(owner_tree, &c->owners, &key);
}

static struct client_owner *owner_get(struct lock_client *c, uint64_t id)
{
    struct client_owner *o = owner_find(c, id);

    if (o)
        return o;
    o = xcalloc(1, sizeof(*o));
    o->id = id;
    RB_INSERT(owner_tree, &c->owners, o);
    return o;
}

static void owner_check(struct lock_client *c, struct client_owner *o)
{
    if (o->held || o->calls || o->plain || o->idle)
        return;
    RB_REMOVE(owner_tree, &c->owners, o);
    free(o);
}

/* ---- Kept locks ---- */

static struct slice name_of(const struct kept *k)
{
    return slice_of(k->name, k->len);
}

/* The first with this name, whatever its label; then RB_NEXT while the name is the same. */
static struct kept *kept_first(struct lock_client *c, struct slice name)
{
    struct kept *k = RB_ROOT(&c->kept), *found = NULL;

    while (k) {
        int order = slice_compare(name, name_of(k));

        if (order == 0)
            found = k;
        k = order <= 0 ? RB_LEFT(k, tree) : RB_RIGHT(k, tree);
    }
    return found;
}

static struct kept *kept_find(struct lock_client *c, uint64_t label, struct slice name)
{
    struct kept *k = kept_first(c, name);

    while (k && slice_equal(name_of(k), name) && k->label->id != label)
        k = RB_NEXT(kept_tree, &c->kept, k);
    return k && slice_equal(name_of(k), name) ? k : NULL;
}

static void idle_end(struct lock_client *c, struct kept *k)
{
    TAILQ_REMOVE(&c->idle, k, idle);
    c->stats.idle--;
    k->is_idle = false;
    k->label->idle = NULL;
}

static void use(struct kept *k)
{
    k->label->held++;
    LIST_INSERT_HEAD(&k->label->kept, k, of_owner);
}

static void unuse(struct kept *k)
{
    k->label->held--;
    LIST_REMOVE(k, of_owner);
}

/* The label is still the owner's; it may be gone afterwards. */
static void kept_drop(struct lock_client *c, struct kept *k)
{
    struct client_owner *o = k->label;

    if (k->is_idle)
        idle_end(c, k);
    else
        unuse(k);
    RB_REMOVE(kept_tree, &c->kept, k);
    c->stats.held--;
    free(k);
    owner_check(c, o);
}

static void unlock_at_server(struct lock_client *c, const struct kept *k, call_done_fn *done,
                             void *cookie)
{
    struct call_lock_item item = {.name = name_of(k)};

    c->up.unlock(c->up.cookie, k->label->id, &item, 1, done, cookie);
}

static void give_back(struct lock_client *c, struct kept *k)
{
    unlock_at_server(c, k, NULL, NULL);
    kept_drop(c, k);
}

static void make_idle(struct lock_client *c, struct kept *k)
{
    unuse(k);
    k->is_idle = true;
    k->label->idle = k;
    TAILQ_INSERT_TAIL(&c->idle, k, idle);
    if (++c->stats.idle > LOCK_CLIENT_IDLE)
        give_back(c, TAILQ_FIRST(&c->idle));
}

/* Before an owner asks the server for anything, its idle lock goes back. */
static void label_clear(struct lock_client *c, struct client_owner *o)
{
    if (o->idle)
        unlock_at_server(c, o->idle, NULL, NULL);
    if (o->idle) {
        o->calls++; /* stays */
        kept_drop(c, o->idle);
        o->calls--;
    }
}

/* To one that uses it; it is in no owner's list now. */
static void relabel(struct lock_client *c, struct kept *k, struct client_owner *to)
{
    RB_REMOVE(kept_tree, &c->kept, k);
    k->label = to;
    RB_INSERT(kept_tree, &c->kept, k);
    use(k);
    k->stamp++;
}

/* ---- Calls ---- */

static void call_end(struct lock_call *call)
{
    struct lock_client *c = call->client;
    struct client_owner *o = call->owner;

    loop_cancel(c->loop, call->soon);
    buf_free(&call->text);
    free(call);
    owner_check(c, o);
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
        call->owner->calls--;
        call_end(call);
    }
    done(done_cookie, error, stamp);
}

static void granted_here(struct lock_call *call, uint64_t stamp)
{
    call->told = true;
    call->stamp = stamp;
    call->soon = loop_soon(call->client->loop, tell, call);
}

static struct call_lock_who who_of(const struct lock_call *call)
{
    return (struct call_lock_who){.owner = call->owner->id, .text = buf_slice(&call->text)};
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
        use(k);
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

    TAILQ_REMOVE(&c->calls, call, all);
    call->upstream = NULL;
    if (call->soon)
        return; /* passed on here; tell is about to come */
    call->owner->calls--;
    if (call->told) {
        call_end(call);
        return;
    }
    if (!error)
        note_grant(c, call, stamp);
    call_end(call);
    done(done_cookie, error, stamp);
}

static bool is_whole(const struct call_lock_item *item)
{
    return !item->counted && item->start == 0 && (item->end == 0 || item->end == UINT64_MAX);
}

static bool is_keepable(const struct call_lock_args *args)
{
    return args->count == 1 && !args->who.group && is_whole(&args->items[0]);
}

static struct lock_call *call_new(struct lock_client *c, const struct call_lock_args *args,
                                  call_lock_fn *done, void *cookie)
{
    const struct call_lock_item *item = &args->items[0];
    bool keepable = is_keepable(args);
    size_t len = keepable ? item->name.len : 0;
    struct lock_call *call = xcalloc(1, sizeof(*call) + len);

    call->client = c;
    call->owner = owner_get(c, args->who.owner);
    call->owner->calls++;
    call->keepable = keepable;
    call->exclusive = item->exclusive;
    call->done = done;
    call->cookie = cookie;
    call->len = len;
    if (len)
        memcpy(call->name, item->name.data, len);
    buf_append_slice(&call->text, args->who.text);
    return call;
}

/* An idle lock that will do. */
static struct kept *idle_for(struct lock_client *c, uint64_t owner, struct slice name,
                             bool exclusive)
{
    struct kept *k = kept_first(c, name), *found = NULL;

    for (; k && slice_equal(name_of(k), name); k = RB_NEXT(kept_tree, &c->kept, k)) {
        if (k->label->id == owner && !k->is_idle)
            return NULL; /* it changes what it has */
        if (k->is_idle && k->exclusive == exclusive)
            found = k;
    }
    return found;
}

/* Parts of it get modes of their own: from now on the server alone knows. */
static void unkeep(struct lock_client *c, uint64_t owner, struct slice name)
{
    struct kept *k = kept_find(c, owner, name);

    if (!k || k->is_idle)
        return;
    k->label->plain = true;
    kept_drop(c, k);
}

/* What is idle in another mode would only be recalled. */
static void give_back_idle(struct lock_client *c, struct slice name)
{
    struct kept *k = kept_first(c, name), *next;

    for (; k && slice_equal(name_of(k), name); k = next) {
        next = RB_NEXT(kept_tree, &c->kept, k);
        if (k->is_idle)
            give_back(c, k);
    }
}

static void take_idle(struct lock_client *c, struct kept *k, const struct call_lock_who *to)
{
    struct client_owner *from = k->label, *owner = owner_get(c, to->owner);

    idle_end(c, k);
    if (from != owner) {
        label_clear(c, owner);
        c->up.pass(c->up.cookie, from->id, name_of(k), true, to);
    }
    relabel(c, k, owner);
    owner_check(c, from);
    c->stats.local++;
}

bool lock_client_lock_now(struct lock_client *c, const struct call_lock_args *args)
{
    const struct call_lock_item *item = &args->items[0];
    struct kept *k = is_keepable(args)
                         ? idle_for(c, args->who.owner, item->name, item->exclusive)
                         : NULL;

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
        granted_here(call, k->stamp);
        return call;
    }
    for (size_t i = 0; i < args->count; i++) {
        give_back_idle(c, args->items[i].name);
        if (!call->keepable)
            unkeep(c, args->who.owner, args->items[i].name);
    }
    label_clear(c, call->owner);
    asked.replace = false;
    asked.delegable = call->keepable;
    c->stats.asked++;
    TAILQ_INSERT_TAIL(&c->calls, call, all);
    call->upstream = c->up.lock(c->up.cookie, &asked, answered, call);
    return call;
}

void lock_client_cancel(struct lock_client *c, struct lock_call *call)
{
    if (call->upstream && !call->told)
        c->up.cancel(c->up.cookie, call->upstream);
}

/* ---- Unlocking ---- */

struct unlocked {
    struct lock_client *client;
    call_done_fn *done;
    void *cookie;
};

static void unlocked(void *cookie)
{
    struct unlocked *u = cookie;
    struct unlocked copy = *u;

    free(u);
    copy.done(copy.cookie, 0);
}

static void done_soon(struct lock_client *c, call_done_fn *done, void *cookie)
{
    struct unlocked *u;

    if (!done)
        return;
    u = xmalloc(sizeof(*u));
    *u = (struct unlocked){c, done, cookie};
    loop_soon(c->loop, unlocked, u);
}

/* The oldest call that waits at the server for just this lock. */
static struct lock_call *waiter_of(struct lock_client *c, const struct kept *k)
{
    struct lock_call *call;

    if (!k->exclusive || k->passes >= LOCK_CLIENT_PASSES)
        return NULL;
    TAILQ_FOREACH (call, &c->calls, all)
        if (call->keepable && call->exclusive && !call->told && call->owner != k->label &&
            slice_equal(slice_of(call->name, call->len), name_of(k)) &&
            !kept_find(c, call->owner->id, name_of(k)))
            return call;
    return NULL;
}

/* To one that waits here, or kept for nobody. False: the server is to have it. */
static bool keep(struct lock_client *c, struct kept *k)
{
    struct client_owner *o = k->label;
    struct lock_call *next = waiter_of(c, k);

    if (next) {
        struct call_lock_who to = who_of(next);

        c->up.pass(c->up.cookie, o->id, name_of(k), !k->wanted, &to);
        unuse(k);
        relabel(c, k, next->owner);
        k->passes++;
        c->stats.passed++;
        granted_here(next, k->stamp);
        owner_check(c, o);
    } else if (!k->wanted && o->held == 1 && !o->calls && !o->plain) {
        make_idle(c, k);
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
    unlock_at_server(c, k, done, cookie);
    kept_drop(c, k);
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
    o->calls++; /* stays */
    while ((k = LIST_FIRST(&o->kept)))
        kept_drop(c, k);
    o->plain = false;
    c->up.unlock(c->up.cookie, o->id, NULL, 0, done, cookie);
    o->calls--;
    owner_check(c, o);
}

void lock_client_unlock(struct lock_client *c, uint64_t owner, const struct call_lock_item *items,
                        size_t count, call_done_fn *done, void *cookie)
{
    struct client_owner *o = owner_find(c, owner);
    struct kept *k;

    if (!o || (o->idle && !o->held && !o->plain)) {
        done_soon(c, done, cookie);
        return;
    }
    if (count == 0) {
        unlock_all(c, o, done, cookie);
        return;
    }
    k = count == 1 && !items[0].counted ? kept_find(c, owner, items[0].name) : NULL;
    if (k && is_whole(&items[0])) {
        unlock_one(c, k, done, cookie);
        return;
    }
    o->plain = true;
    for (size_t i = 0; i < count; i++)
        unkeep(c, owner, items[i].name);
    c->up.unlock(c->up.cookie, owner, items, count, done, cookie);
}

/* ---- What the server says ---- */

void lock_client_said(struct lock_client *c, bool lost, uint64_t owner, struct slice name)
{
    struct kept *k = kept_find(c, owner, name);
    bool used = k ? !k->is_idle : owner_find(c, owner) != NULL;

    if (lost) {
        if (k)
            kept_drop(c, k);
        if (used)
            c->up.lost(c->up.cookie, owner, false, name);
    } else if (k) {
        c->stats.recalled++;
        if (k->is_idle) {
            give_back(c, k);
        } else {
            k->wanted = true;
            c->up.kept(c->up.cookie, owner, name);
        }
    } else if (used) {
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
        owner_check(c, o);
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
    return c;
}

void lock_client_free(struct lock_client *c)
{
    struct client_owner *o;
    struct lock_call *call;
    struct kept *k;

    if (!c)
        return;
    while ((call = TAILQ_FIRST(&c->calls))) {
        TAILQ_REMOVE(&c->calls, call, all);
        call_end(call);
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
