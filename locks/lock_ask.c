/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for locks: granted, refused or waiting, and what is granted when something gives way. */
#include <stdlib.h>
#include "locks/lock_int.h"

/* ---- Requests ---- */

static struct lock_request *request_new(struct lock_owner *owner, const struct lock_item *items,
                                        size_t count)
{
    struct lock_request *r = xcalloc(1, sizeof(*r) + count * sizeof(r->items[0]));

    r->owner = owner;
    r->serial = UINT64_MAX;
    r->count = count;
    for (size_t i = 0; i < count; i++)
        r->items[i] = (struct lock_wait){
            .request = r,
            .name = lock_name_get(owner->session->table, items[i].name),
            .start = items[i].start,
            .end = items[i].end,
            .mode = (uint8_t)items[i].mode,
            .counted = items[i].counted,
        };
    owner->pins++;
    return r;
}

/* In no queue any more. */
static void request_free(struct lock_request *r)
{
    struct lock_owner *owner = r->owner;

    for (size_t i = 0; i < r->count; i++)
        lock_name_unref(owner->session->table, r->items[i].name);
    free(r);
    owner->pins--;
    lock_owner_check(owner);
}

/* What it has now may let its group's other requests pass others. */
void lock_group_wake(struct lock_table *t, struct lock_group *group)
{
    struct lock_owner *o;
    struct lock_request *r;

    if (group->waiting)
        LIST_FOREACH (o, &group->owners, of_group)
            LIST_FOREACH (r, &o->requests, of_owner)
                lock_wake_one(t, r);
}

static void grant(struct lock_table *t, struct lock_request *r)
{
    if (r->test)
        return;
    for (size_t i = 0; i < r->count; i++)
        lock_entry_add(r->owner, &r->items[i], r->delegable, r->now);
    t->stats.granted++;
    lock_group_wake(t, r->owner->group);
}

/* ---- Recalls ---- */

struct recall {
    struct lock_table *table;
    const struct lock_wait *item;
};

static bool recall(void *cookie, struct lock_entry *held)
{
    struct recall *c = cookie;
    struct lock_entry *e;

    if (!held->owner->delegable)
        return true;
    LIST_FOREACH (e, &held->owner->entries, of_owner) {
        const struct lock_name *n = e->name;

        if (!e->delegable || e->recalled || !lock_modes_conflict(e->at_mode, c->item->mode))
            continue;
        while (n && n != held->name)
            n = n->parent;
        if (!n || (held->at_mode != LOCK_NONE && held->name != c->item->name && e != held))
            continue;
        e->recalled = true;
        c->table->stats.recalls++;
        lock_name_key(e->name, &lock_event_add(c->table, LOCK_EVENT_RECALL, e->owner)->name);
    }
    return true;
}

static void recall_all(struct lock_table *t, struct lock_request *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct recall c = {.table = t, .item = &r->items[i]};

        lock_each_holder(&r->items[i], recall, &c);
    }
}

void lock_recall_below(struct lock_table *t, struct slice under)
{
    struct lock_session *s;
    struct lock_owner *o;
    struct lock_entry *e;
    struct key name;

    LIST_FOREACH (s, &t->sessions, all)
        LIST_FOREACH (o, &s->owners, of_session)
            LIST_FOREACH (e, &o->entries, of_owner) {
                lock_name_key(e->name, &name);
                if (!e->delegable || e->recalled || !slice_has_prefix(key_slice(&name), under))
                    continue;
                e->recalled = true;
                t->stats.recalls++;
                lock_event_add(t, LOCK_EVENT_RECALL, o)->name = name;
            }
}

/* ---- Looking again ---- */

void lock_request_end(struct lock_table *t, struct lock_request *r, enum lock_event_kind kind)
{
    lock_event_add(t, kind, r->owner)->cookie = r->cookie;
    request_free(r);
}

static bool not_used(void *cookie, struct lock_entry *held)
{
    return !lock_entry_used(held, cookie);
}

/* Whether a request that may not wait has to, and not only until something idle is given back. */
static bool refused(struct lock_request *r, const struct lock_blocker *b)
{
    if (!r->at_once)
        return false;
    for (size_t i = 0; i < r->count && !b->request; i++)
        if (!lock_each_holder(&r->items[i], not_used, &r->items[i]))
            return true;
    return b->request;
}

void lock_settle(struct lock_table *t)
{
    struct lock_request *r;
    struct lock_blocker b;

    while ((r = RB_MIN(lock_again, &t->again))) {
        RB_REMOVE(lock_again, &t->again, r);
        r->is_again = false;
        if (lock_blocked(t, r, &b)) {
            if (refused(r, &b)) {
                lock_dequeue(t, r);
                lock_request_end(t, r, LOCK_EVENT_BUSY);
                continue;
            }
            lock_watch(r, &b);
            if (b.entry)
                recall_all(t, r);
            continue;
        }
        lock_dequeue(t, r);
        grant(t, r);
        lock_request_end(t, r, LOCK_EVENT_GRANTED);
    }
}

/* ---- Asking ---- */

/* What a lock takes of memory is by the levels of its name. */
static bool room(struct lock_session *session, const struct lock_item *items, size_t count)
{
    struct lock_table *t = session->table;
    size_t levels = session->levels;

    for (size_t i = 0; i < count; i++)
        levels += 1 + key_depth(items[i].name);
    return session->count + count <= t->config.max_session &&
           levels <= t->config.max_session * LOCK_LEVELS &&
           t->stats.locks + t->stats.items + count <= t->config.max_locks;
}

static int wait(struct lock_table *t, struct lock_request *r, const struct lock_blocker *b)
{
    r->serial = ++t->serial;
    lock_enqueue(t, r);
    if (!r->at_once && lock_deadlock(t, r)) {
        t->stats.deadlocks++;
        r->deadlocked = true;
        if (!r->patient) {
            lock_dequeue(t, r);
            request_free(r);
            return ECP_EDEADLOCK;
        }
    }
    t->stats.waited++;
    lock_watch(r, b);
    if (b->entry)
        recall_all(t, r);
    return 0;
}

int lock_ask(struct lock_session *session, const struct lock_who *who,
             const struct lock_item *items, size_t count, unsigned flags, uint64_t now,
             void *cookie, struct lock_request **request)
{
    struct lock_table *t = session->table;
    struct lock_request *r;
    struct lock_blocker b;
    int error = 0;

    *request = NULL;
    if (!room(session, items, count)) {
        t->stats.full++;
        return ECP_ELOCKFULL;
    }
    r = request_new(lock_owner_get(session, who), items, count);
    r->now = now;
    r->cookie = cookie;
    r->delegable = flags & LOCK_DELEGABLE;
    r->patient = flags & LOCK_PATIENT;
    r->at_once = !(flags & LOCK_WAIT);
    r->test = flags & LOCK_TEST;
    if (!lock_blocked(t, r, &b)) {
        grant(t, r);
        request_free(r);
    } else if (refused(r, &b)) {
        recall_all(t, r);
        request_free(r);
        error = ECP_EBUSY;
    } else {
        error = wait(t, r, &b);
        *request = error ? NULL : r;
    }
    lock_settle(t);
    return error;
}

/* It ends without an event. Returns its cookie. */
void *lock_request_drop(struct lock_request *r)
{
    void *cookie = r->cookie;

    lock_dequeue(r->owner->session->table, r);
    request_free(r);
    return cookie;
}

void lock_cancel(struct lock_request *r)
{
    struct lock_table *t = r->owner->session->table;

    lock_request_drop(r);
    lock_settle(t);
}
