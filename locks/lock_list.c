/* SPDX-License-Identifier: Apache-2.0 */
/* The listing of the lock table. */
#include "locks/lock_int.h"

struct listing {
    struct slice under;
    bool (*each)(void *cookie, const struct lock_row *row);
    void *cookie;
};

static struct lock_row row_of(const struct lock_owner *o, const struct key *name, uint64_t since)
{
    return (struct lock_row){.name = key_slice(name),
                             .text = slice_of(o->text, o->text_len),
                             .session = o->session,
                             .owner = o->id,
                             .since = since,
                             .count = 1,
                             .end = LOCK_RANGE_END};
}

static bool list_entry(const struct listing *l, struct lock_entry *e)
{
    struct key name;
    struct lock_row row;
    struct lock_range *r;

    if (e->at_mode == LOCK_NONE)
        return true;
    lock_name_key(e->name, &name);
    if (!slice_has_prefix(key_slice(&name), l->under))
        return true;
    row = row_of(e->owner, &name, e->since);
    row.delegable = e->delegable;
    RB_FOREACH(r, lock_range_tree, &e->ranges)
    {
        row.mode = r->mode;
        row.start = r->start;
        row.end = r->end;
        if (!l->each(l->cookie, &row))
            return false;
    }
    row.counted = true;
    row.start = 0;
    row.end = LOCK_RANGE_END;
    for (int mode = 0; mode < 2; mode++) {
        row.mode = mode;
        row.count = e->count[mode];
        if (row.count && !l->each(l->cookie, &row))
            return false;
    }
    return true;
}

static bool list_request(const struct listing *l, struct lock_request *r)
{
    struct key name;
    struct lock_row row;
    bool looked = false, deadlocked = false;

    for (size_t i = 0; i < r->count; i++) {
        lock_name_key(r->items[i].name, &name);
        if (!slice_has_prefix(key_slice(&name), l->under))
            continue;
        if (!looked)
            deadlocked = lock_deadlock_of_process(r->owner->session->table, r);
        looked = true;
        row = row_of(r->owner, &name, r->now);
        row.waiting = true;
        row.deadlocked = deadlocked;
        row.mode = r->items[i].mode;
        row.counted = r->items[i].counted;
        row.start = r->items[i].start;
        row.end = r->items[i].end;
        if (!l->each(l->cookie, &row))
            return false;
    }
    return true;
}

void lock_list(struct lock_table *t, struct slice under,
               bool (*each)(void *cookie, const struct lock_row *row), void *cookie)
{
    struct listing l = {under, each, cookie};
    struct lock_session *s;
    struct lock_owner *o;
    struct lock_entry *e;
    struct lock_request *r;

    LIST_FOREACH (s, &t->sessions, all)
        LIST_FOREACH (o, &s->owners, of_session)
            LIST_FOREACH (e, &o->entries, of_owner)
                if (!list_entry(&l, e))
                    return;
    TAILQ_FOREACH (r, &t->waiting, queue)
        if (!list_request(&l, r))
            return;
}
