/* SPDX-License-Identifier: Apache-2.0 */
/* Does a request wait for itself? A walk over the requests that it waits for, directly or not. */
#include "locks/lock_int.h"

struct walk {
    struct lock_table *table;
    const struct lock_group *own;       /* of the request that asks */
    const struct lock_process *process; /* its; or NULL: processes do not count */
    bool processes;
    struct lock_wait *item;     /* being looked at */
    struct lock_request *first; /* to be visited; a stack */
    bool found;
};

static void visit_later(struct walk *w, struct lock_request *r)
{
    if (r->visit == w->table->visit)
        return;
    r->visit = w->table->visit;
    r->next_visit = w->first;
    w->first = r;
}

bool lock_entry_used(const struct lock_entry *held, const struct lock_wait *item)
{
    const struct lock_owner *owner = held->owner;
    struct lock_entry *e;

    if (!owner->delegable)
        return true;
    LIST_FOREACH (e, &owner->entries, of_owner) {
        const struct lock_name *n = e->name;

        if (e->delegable || !lock_modes_conflict(e->at_mode, item->mode))
            continue;
        while (n && n != held->name)
            n = n->parent;
        if (n)
            return true;
    }
    return false;
}

static void visit_process(struct walk *w, const struct lock_process *process)
{
    struct lock_owner *o;
    struct lock_request *r;

    w->found |= process == w->process;
    LIST_FOREACH (o, &process->owners, of_process)
        LIST_FOREACH (r, &o->requests, of_owner)
            visit_later(w, r);
}

static bool visit_holder(void *cookie, struct lock_entry *entry)
{
    struct walk *w = cookie;
    struct lock_group *group = entry->owner->group;
    struct lock_process *process = w->processes ? entry->owner->process : NULL;
    struct lock_owner *o;
    struct lock_request *r;

    if ((!group->waiting && !process) || !lock_entry_used(entry, w->item))
        return true;
    if (process)
        visit_process(w, process);
    w->found |= group->waiting && group == w->own;
    LIST_FOREACH (o, &group->owners, of_group)
        LIST_FOREACH (r, &o->requests, of_owner)
            visit_later(w, r);
    return !w->found;
}

static bool visit_earlier(void *cookie, struct lock_request *earlier)
{
    struct walk *w = cookie;

    w->found |= earlier->owner->group == w->own;
    visit_later(w, earlier);
    return !w->found;
}

static bool walk(struct walk *w, struct lock_request *request)
{
    struct lock_request *r;

    w->table->visit++;
    visit_later(w, request);
    while ((r = w->first) && !w->found) {
        w->first = r->next_visit;
        for (size_t i = 0; i < r->count && !w->found; i++) {
            w->item = &r->items[i];
            if (lock_each_holder(w->item, visit_holder, w))
                lock_each_earlier(w->table, w->item, visit_earlier, w);
        }
    }
    return w->found;
}

bool lock_deadlock(struct lock_table *t, struct lock_request *request)
{
    struct walk w = {.table = t, .own = request->owner->group};

    if (LIST_EMPTY(&request->owner->entries) && !w.own->shared && w.own->waiting == 1)
        return false; /* nobody waits for it */
    return walk(&w, request);
}

bool lock_deadlock_of_process(struct lock_table *t, struct lock_request *request)
{
    struct walk w = {.table = t,
                     .own = request->owner->group,
                     .process = request->owner->process,
                     .processes = true};
    struct lock_owner *o;
    bool holds = !LIST_EMPTY(&request->owner->entries) || w.own->shared;

    if (w.process)
        LIST_FOREACH (o, &w.process->owners, of_process)
            holds |= !LIST_EMPTY(&o->entries);
    return holds && walk(&w, request);
}
