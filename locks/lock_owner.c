/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, owners and groups of the lock table. */
#include <stdlib.h>
#include "locks/lock_int.h"

static size_t slot_of(const struct lock_table *t, const struct lock_session *session, uint64_t id)
{
    uint64_t h = (id ^ t->config.seed ^ ((uintptr_t)session >> 4)) * UINT64_C(0x9E3779B97F4A7C15);

    return (h >> 32) & (t->owner_slots - 1);
}

struct lock_owner *lock_owner_find(struct lock_session *session, uint64_t id)
{
    struct lock_owner *o = session->table->owners[slot_of(session->table, session, id)];

    while (o && (o->session != session || o->id != id))
        o = o->chain;
    return o;
}

static void grow(struct lock_table *t)
{
    struct lock_owner **old = t->owners, *o;
    size_t count = t->owner_slots, slot;

    t->owner_slots *= 2;
    t->owners = xcalloc(t->owner_slots, sizeof(*t->owners));
    for (size_t i = 0; i < count; i++)
        while ((o = old[i])) {
            old[i] = o->chain;
            slot = slot_of(t, o->session, o->id);
            o->chain = t->owners[slot];
            t->owners[slot] = o;
        }
    free(old);
}

#define OWNER_TREE __attribute__((unused)) static

static int compare_groups(const struct lock_group *a, const struct lock_group *b)
{
    return memcmp(a->id, b->id, LOCK_GROUP_LEN);
}

RB_GENERATE_INTERNAL(lock_groups, lock_group, named, compare_groups, OWNER_TREE)

static struct lock_group *group_get(struct lock_table *t, const uint8_t *id)
{
    struct lock_group *fresh = xcalloc(1, sizeof(*fresh)), *known;

    if (!id)
        return fresh;
    fresh->shared = true;
    memcpy(fresh->id, id, LOCK_GROUP_LEN);
    known = RB_INSERT(lock_groups, &t->groups, fresh);
    if (!known)
        return fresh;
    free(fresh);
    return known;
}

static int compare_processes(const struct lock_process *a, const struct lock_process *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

RB_GENERATE_INTERNAL(lock_processes, lock_process, tree, compare_processes, OWNER_TREE)

static void process_join(struct lock_owner *o, uint64_t id)
{
    struct lock_process key = {.id = id},
                        *p = RB_FIND(lock_processes, &o->session->processes, &key);

    if (!p) {
        p = xcalloc(1, sizeof(*p));
        p->id = id;
        RB_INSERT(lock_processes, &o->session->processes, p);
    }
    o->process = p;
    LIST_INSERT_HEAD(&p->owners, o, of_process);
}

static void process_leave(struct lock_owner *o)
{
    LIST_REMOVE(o, of_process);
    if (!LIST_EMPTY(&o->process->owners))
        return;
    RB_REMOVE(lock_processes, &o->session->processes, o->process);
    free(o->process);
}

struct lock_owner *lock_owner_get(struct lock_session *session, const struct lock_who *who)
{
    struct lock_table *t = session->table;
    struct lock_owner *o = lock_owner_find(session, who->owner);
    size_t len = who->text.len < LOCK_TEXT_MAX ? who->text.len : LOCK_TEXT_MAX, slot;

    if (o)
        return o;
    if (t->stats.owners++ >= t->owner_slots)
        grow(t);
    o = xcalloc(1, sizeof(*o) + len);
    o->session = session;
    o->id = who->owner;
    o->group = group_get(t, who->group);
    o->text_len = (uint8_t)len;
    if (len)
        memcpy(o->text, who->text.data, len);
    LIST_INSERT_HEAD(&o->group->owners, o, of_group);
    LIST_INSERT_HEAD(&session->owners, o, of_session);
    if (who->process)
        process_join(o, who->process);
    slot = slot_of(t, session, o->id);
    o->chain = t->owners[slot];
    t->owners[slot] = o;
    return o;
}

void lock_owner_check(struct lock_owner *o)
{
    struct lock_table *t = o->session->table;
    struct lock_owner **at = &t->owners[slot_of(t, o->session, o->id)];

    if (!LIST_EMPTY(&o->entries) || !LIST_EMPTY(&o->requests) || o->pins)
        return;
    while (*at != o)
        at = &(*at)->chain;
    *at = o->chain;
    t->stats.owners--;
    LIST_REMOVE(o, of_session);
    LIST_REMOVE(o, of_group);
    if (o->process)
        process_leave(o);
    if (LIST_EMPTY(&o->group->owners)) {
        if (o->group->shared)
            RB_REMOVE(lock_groups, &t->groups, o->group);
        free(o->group);
    }
    free(o);
}

struct lock_session *lock_session_new(struct lock_table *table, void *cookie)
{
    struct lock_session *s = xcalloc(1, sizeof(*s));

    s->table = table;
    s->cookie = cookie;
    LIST_INSERT_HEAD(&table->sessions, s, all);
    return s;
}

void *lock_session_cookie(const struct lock_session *session)
{
    return session->cookie;
}

size_t lock_session_count(const struct lock_session *session)
{
    return session->count;
}
