/* SPDX-License-Identifier: Apache-2.0 */
/* Locks that a session keeps for its next owner, and passes on by itself. */
#include "locks/lock_int.h"

static bool waits_for(struct lock_table *t, const struct lock_request *r,
                      const struct lock_group *group)
{
    for (size_t i = 0; i < r->count; i++)
        if (lock_group_conflicts(t, group, &r->items[i]))
            return true;
    return false;
}

/* Deadlocks that were not seen while the lock might have been idle. */
static void find_deadlocks(struct lock_table *t, struct lock_entry *e)
{
    struct lock_request *r, *next;

    for (r = TAILQ_FIRST(&t->waiting); r; r = next) {
        next = TAILQ_NEXT(r, queue);
        if (r->deadlocked || r->at_once || !waits_for(t, r, e->owner->group) ||
            !lock_deadlock(t, r))
            continue;
        t->stats.deadlocks++;
        r->deadlocked = true;
        if (r->patient)
            continue;
        lock_dequeue(t, r);
        lock_request_end(t, r, LOCK_EVENT_DEADLOCK);
    }
}

/* Those that may not wait are refused when they are looked at again. */
static void kept(struct lock_table *t, struct lock_entry *e)
{
    lock_entry_not_delegable(e);
    for (struct lock_entry *up = e; up; up = up->parent)
        lock_wake(t, &up->watchers);
    lock_settle(t);
    if (e->owner->group->waiting)
        find_deadlocks(t, e);
    lock_settle(t);
}

void lock_kept(struct lock_session *session, uint64_t id, struct slice name)
{
    struct lock_owner *owner = lock_owner_find(session, id);
    struct lock_entry *e = owner ? lock_held(owner, name) : NULL;

    if (e)
        kept(session->table, e);
}

void lock_kept_all(struct lock_session *session)
{
    struct lock_owner *o;
    struct lock_entry *e;

    LIST_FOREACH (o, &session->owners, of_session)
        LIST_FOREACH (e, &o->entries, of_owner)
            if (e->delegable) {
                e->away = true;
                kept(session->table, e);
            }
}

void lock_recall_kept(struct lock_session *session)
{
    struct lock_owner *o;
    struct lock_entry *e;

    LIST_FOREACH (o, &session->owners, of_session)
        LIST_FOREACH (e, &o->entries, of_owner) {
            if (!e->away)
                continue;
            e->away = false;
            session->table->stats.recalls++;
            lock_name_key(e->name, &lock_event_add(session->table, LOCK_EVENT_RECALL, o)->name);
        }
}

/* The request of `to` that waits for just this name, in that mode or a weaker one; or NULL. */
static struct lock_request *request_for(struct lock_owner *to, struct slice name,
                                        enum lock_mode mode)
{
    struct lock_name *n = lock_name_find(to->session->table, name);
    struct lock_request *r;

    LIST_FOREACH (r, &to->requests, of_owner)
        if (r->count == 1 && r->items[0].name == n && !r->items[0].counted &&
            r->items[0].mode <= mode)
            return r;
    return NULL;
}

/* What is passed is of the whole name, and kept from all others: nobody gets more than that. */
static bool may_pass(const struct lock_entry *e)
{
    const struct lock_range *r = RB_ROOT(&e->ranges);

    return !e->owner->group->shared && !e->count[0] && !e->count[1] &&
           e->range_count[0] + e->range_count[1] == 1 && r->start == 0 && r->end == LOCK_RANGE_END;
}

static enum lock_pass_end pass_in_vain(struct lock_session *session, uint64_t to_id,
                                       struct slice name, void **ended)
{
    struct lock_owner *to = lock_owner_find(session, to_id);
    struct lock_request *r = to ? request_for(to, name, LOCK_EXCLUSIVE) : NULL;

    if (lock_is_exclusive(session, to_id, name))
        return LOCK_PASS_IGNORED;
    if (r)
        *ended = lock_request_drop(r);
    lock_release_name(session, to_id, name);
    lock_settle(session->table);
    return LOCK_PASS_IN_VAIN;
}

enum lock_pass_end lock_pass(struct lock_session *session, uint64_t from_id,
                             const struct lock_who *who, struct slice name, bool delegable,
                             void **ended)
{
    struct lock_table *t = session->table;
    struct lock_owner *from = lock_owner_find(session, from_id), *to;
    struct lock_entry *e = from ? lock_held(from, name) : NULL;
    struct lock_request *r;
    struct lock_wait item;
    uint64_t now;

    *ended = NULL;
    if (from_id == who->owner || (e && e->at_mode != LOCK_NONE && !may_pass(e)))
        return LOCK_PASS_IGNORED;
    if (!e || e->at_mode == LOCK_NONE)
        return pass_in_vain(session, who->owner, name, ended);
    to = lock_owner_get(session, who);
    from->pins++;
    to->pins++;
    item = (struct lock_wait){.name = e->name, .mode = (uint8_t)e->at_mode, .end = LOCK_RANGE_END};
    now = e->since;
    e->name->refs++;
    if ((r = request_for(to, name, (enum lock_mode)e->at_mode))) {
        now = r->now;
        *ended = lock_request_drop(r);
    }
    lock_entry_add(to, &item, delegable, now);
    lock_entry_clear(e);
    lock_name_unref(t, item.name);
    lock_group_wake(t, to->group);
    from->pins--;
    lock_owner_check(from);
    to->pins--;
    lock_owner_check(to);
    lock_settle(t);
    return LOCK_PASSED;
}
