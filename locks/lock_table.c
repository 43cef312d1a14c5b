/* SPDX-License-Identifier: Apache-2.0 */
/* The lock table itself: its making and its end, events, and giving locks back. */
#include <stdlib.h>
#include "locks/lock_int.h"

#define SLOTS_MIN 64

struct lock_table *lock_table_new(const struct lock_config *config)
{
    struct lock_table *t = xcalloc(1, sizeof(*t));

    t->config = config ? *config : (struct lock_config){0};
    if (!t->config.max_locks)
        t->config.max_locks = LOCK_MAX;
    if (!t->config.max_session)
        t->config.max_session = t->config.max_locks / 4;
    t->stats.max = t->config.max_locks;
    t->name_slots = t->entry_slots = t->owner_slots = SLOTS_MIN;
    t->names = xcalloc(SLOTS_MIN, sizeof(*t->names));
    t->entries = xcalloc(SLOTS_MIN, sizeof(*t->entries));
    t->owners = xcalloc(SLOTS_MIN, sizeof(*t->owners));
    t->root = xcalloc(1, sizeof(*t->root));
    t->root->refs = 1;
    TAILQ_INIT(&t->waiting);
    TAILQ_INIT(&t->events);
    return t;
}

const struct lock_stats *lock_table_stats(const struct lock_table *t)
{
    return &t->stats;
}

/* ---- Events ---- */

struct lock_event *lock_event_add(struct lock_table *t, enum lock_event_kind kind,
                                  struct lock_owner *owner)
{
    struct lock_event_node *n = xmalloc(sizeof(*n));

    n->event = (struct lock_event){.kind = kind, .session = owner->session, .owner = owner->id};
    TAILQ_INSERT_TAIL(&t->events, n, queue);
    return &n->event;
}

bool lock_next_event(struct lock_table *t, struct lock_event *event)
{
    struct lock_event_node *n = TAILQ_FIRST(&t->events);

    if (!n)
        return false;
    *event = n->event;
    TAILQ_REMOVE(&t->events, n, queue);
    free(n);
    return true;
}

static void events_drop(struct lock_table *t, const struct lock_session *session)
{
    struct lock_event_node *n, *next;

    for (n = TAILQ_FIRST(&t->events); n; n = next) {
        next = TAILQ_NEXT(n, queue);
        if (session && n->event.session != session)
            continue;
        TAILQ_REMOVE(&t->events, n, queue);
        free(n);
    }
}

/* ---- Giving back ---- */

struct lock_entry *lock_held(struct lock_owner *owner, struct slice name)
{
    struct lock_table *t = owner->session->table;
    struct lock_name *n = lock_name_find(t, name);

    return n ? lock_entry_find(t, owner, n) : NULL;
}

bool lock_is_exclusive(struct lock_session *session, uint64_t id, struct slice name)
{
    struct lock_owner *owner = lock_owner_find(session, id);
    struct lock_entry *e = owner ? lock_held(owner, name) : NULL;

    return e && e->at_mode == LOCK_EXCLUSIVE;
}

void lock_release(struct lock_session *session, uint64_t id, const struct lock_item *items,
                  size_t count)
{
    struct lock_owner *owner = lock_owner_find(session, id);
    struct lock_entry *e;

    if (!owner)
        return;
    owner->pins++;
    for (size_t i = 0; i < count; i++)
        if ((e = lock_held(owner, items[i].name)))
            lock_entry_take(e, &items[i]);
    owner->pins--;
    lock_owner_check(owner);
    lock_settle(session->table);
}

/* The first entry may be an ancestor's, which goes with the last below it. */
static void clear_all(struct lock_owner *owner)
{
    struct lock_entry *e, *up;

    while ((e = LIST_FIRST(&owner->entries))) {
        for (up = e; up->at_mode == LOCK_NONE;)
            up = LIST_NEXT(up, of_owner);
        lock_entry_clear(up);
    }
}

void lock_release_owner(struct lock_session *session, uint64_t id)
{
    struct lock_owner *owner = lock_owner_find(session, id);

    if (!owner)
        return;
    owner->pins++;
    clear_all(owner);
    owner->pins--;
    lock_owner_check(owner);
    lock_settle(session->table);
}

void lock_release_name(struct lock_session *session, uint64_t id, struct slice name)
{
    struct lock_owner *owner = lock_owner_find(session, id);
    struct lock_entry *e = owner ? lock_held(owner, name) : NULL;

    if (!e || e->at_mode == LOCK_NONE)
        return;
    owner->pins++;
    lock_entry_clear(e);
    owner->pins--;
    lock_owner_check(owner);
    lock_settle(session->table);
}

static void drop_requests(struct lock_owner *owner)
{
    struct lock_request *r;

    while ((r = LIST_FIRST(&owner->requests)))
        lock_request_drop(r);
}

void lock_session_cancel(struct lock_session *session)
{
    struct lock_owner *o, *next;

    for (o = LIST_FIRST(&session->owners); o; o = next) {
        next = LIST_NEXT(o, of_session);
        o->pins++;
        drop_requests(o);
        o->pins--;
        lock_owner_check(o);
    }
    lock_settle(session->table);
}

void lock_session_free(struct lock_session *session)
{
    struct lock_table *t = session->table;
    struct lock_owner *o;

    while ((o = LIST_FIRST(&session->owners))) {
        o->pins++;
        drop_requests(o);
        clear_all(o);
        o->pins--;
        lock_owner_check(o);
    }
    LIST_REMOVE(session, all);
    events_drop(t, session);
    free(session);
    lock_settle(t);
}

/* ---- The end ---- */

void lock_table_free(struct lock_table *t)
{
    struct lock_session *s;

    if (!t)
        return;
    while ((s = LIST_FIRST(&t->sessions)))
        lock_session_free(s);
    events_drop(t, NULL);
    free(t->root);
    free(t->names);
    free(t->entries);
    free(t->owners);
    free(t);
}
