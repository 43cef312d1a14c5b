/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the lock table: lock_name.c has names, lock_owner.c sessions and owners, lock_entry.c what
 * they hold, lock_ask.c requests, lock_queue.c those that wait, lock_deadlock.c circles of them,
 * lock_delegation.c what sessions keep and pass on, lock_list.c listings, lock_table.c the rest. */
#ifndef LOCKS_LOCK_INT_H
#define LOCKS_LOCK_INT_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include "locks/lock_table.h"

#define LOCK_NONE   (-1) /* no mode */
#define LOCK_LEVELS 16   /* of names, on the average, when a session has its share of locks */

LIST_HEAD(lock_entry_list, lock_entry);
LIST_HEAD(lock_request_list, lock_request);
TAILQ_HEAD(lock_request_queue, lock_request);
TAILQ_HEAD(lock_link_queue, lock_link);
RB_HEAD(lock_range_tree, lock_range);
RB_HEAD(lock_processes, lock_process);
RB_HEAD(lock_groups, lock_group);
RB_HEAD(lock_again, lock_request);

/* Links of items that wait, in the order of arrival, by mode: of the name itself, and of it and all
 * below. */
struct lock_queue {
    struct lock_link_queue at[2], sub[2];
    struct lock_link *seen_at[2], *seen_sub[2]; /* up to these the visit has seen all; or NULL */
    uint64_t visit;                             /* lock_deadlock.c */
    size_t count;                               /* in sub */
};

/* A name that somebody holds or waits for, or an ancestor of one. */
struct lock_name {
    struct lock_name *parent, *chain;
    uint32_t hash;
    uint32_t refs;                 /* children, entries, the queue, whoever looks at it */
    struct lock_entry_list at[2];  /* by what they hold of the name itself */
    struct lock_entry_list sub[2]; /* by the strongest they hold of it or below */
    struct lock_queue *queue;      /* NULL: nobody waits at it or below */
    uint16_t len;
    uint8_t level[];
};

/* One owner at one name: what it holds there, and how much below. Exists while that is anything. */
struct lock_entry {
    struct lock_entry *chain, *parent; /* parent: the owner's at the parent name */
    struct lock_owner *owner;
    struct lock_name *name;
    LIST_ENTRY(lock_entry) at, sub, of_owner;
    struct lock_request_list watchers;
    struct lock_range_tree ranges;
    uint32_t range_count[2], count[2]; /* by mode */
    uint32_t below[2];                 /* the owner's names strictly below, by their at_mode */
    int8_t at_mode, sub_mode;          /* or LOCK_NONE */
    bool delegable, recalled;
    bool away; /* lock_kept_all made it not delegable */
    uint64_t since;
};

struct lock_range {
    RB_ENTRY(lock_range) tree;
    uint64_t start, end;
    uint8_t mode;
};

/* Owners that do not conflict with each other. */
struct lock_group {
    LIST_HEAD(, lock_owner) owners;
    RB_ENTRY(lock_group) named; /* in the table, when shared: it has an id */
    bool shared;
    uint8_t id[LOCK_GROUP_LEN];
    size_t waiting; /* requests */
};

/* Owners of a session of which one waits for all. Exists while it has any. */
struct lock_process {
    RB_ENTRY(lock_process) tree;
    LIST_HEAD(, lock_owner) owners;
    uint64_t id;
};

struct lock_owner {
    struct lock_owner *chain;
    struct lock_session *session;
    struct lock_group *group;
    struct lock_process *process; /* or NULL */
    uint64_t id;
    LIST_ENTRY(lock_owner) of_group, of_session, of_process;
    struct lock_entry_list entries;
    struct lock_request_list requests; /* that wait */
    size_t delegable;                  /* entries */
    unsigned pins;
    uint8_t text_len;
    uint8_t text[];
};

struct lock_session {
    struct lock_table *table;
    LIST_ENTRY(lock_session) all;
    LIST_HEAD(, lock_owner) owners;
    struct lock_processes processes;
    size_t count;
    size_t levels; /* its entries, and those of names that its items wait for */
    void *cookie;
};

struct lock_link {
    TAILQ_ENTRY(lock_link) entry;
    struct lock_wait *wait;
};

/* An item of a request, whose name is referenced. */
struct lock_wait {
    struct lock_request *request;
    struct lock_name *name;
    uint64_t start, end;
    uint8_t mode;
    bool counted;
    struct lock_link *links; /* of `at`, then of `sub` from the name up; NULL while not queued */
};

/*
 * A request that waits watches one of those that block it: an entry, or an earlier request. It is
 * looked at again when that gives way. So every request in the table is watching, or in `again`.
 */
struct lock_request {
    struct lock_owner *owner;
    uint64_t serial;                        /* order of arrival */
    TAILQ_ENTRY(lock_request) queue;        /* of the table */
    RB_ENTRY(lock_request) again;
    LIST_ENTRY(lock_request) of_owner, watching;
    struct lock_request_list watchers;
    bool watches, is_again, queued, delegable, patient, deadlocked;
    bool at_once;   /* waits only for what may be idle */
    bool test;      /* takes nothing */
    uint64_t visit; /* lock_deadlock.c */
    struct lock_request *next_visit;
    uint64_t now;
    void *cookie;
    size_t count;
    struct lock_wait items[];
};

struct lock_event_node {
    TAILQ_ENTRY(lock_event_node) queue;
    struct lock_event event;
};

struct lock_table {
    struct lock_config config;
    struct lock_stats stats;
    struct lock_name *root;
    struct lock_name **names;
    struct lock_entry **entries;
    struct lock_owner **owners;
    size_t name_slots, entry_slots, owner_slots; /* powers of two */
    size_t entry_count;
    LIST_HEAD(, lock_session) sessions;
    struct lock_groups groups; /* shared ones */
    struct lock_request_queue waiting;
    struct lock_again again; /* by order of arrival: that in which they are let pass */
    TAILQ_HEAD(, lock_event_node) events;
    uint64_t serial, visit;
};

static inline bool lock_modes_conflict(int a, int b)
{
    return a >= 0 && b >= 0 && (a == LOCK_EXCLUSIVE || b == LOCK_EXCLUSIVE);
}

/* ---- lock_name.c ---- */

/* The name of a valid key, with a reference. */
struct lock_name *lock_name_get(struct lock_table *table, struct slice key);
/* The same if it is known, without a reference; else NULL. */
struct lock_name *lock_name_find(struct lock_table *table, struct slice key);
void lock_name_unref(struct lock_table *table, struct lock_name *name);
void lock_name_key(const struct lock_name *name, struct key *key);

/* ---- lock_owner.c ---- */

struct lock_owner *lock_owner_find(struct lock_session *session, uint64_t id);
struct lock_owner *lock_owner_get(struct lock_session *session, const struct lock_who *who);
/* Frees it unless it has locks, requests or pins. */
void lock_owner_check(struct lock_owner *owner);

/* ---- lock_entry.c ---- */

struct lock_entry *lock_entry_find(struct lock_table *table, const struct lock_owner *owner,
                                   const struct lock_name *name);
/* Gives the item to the owner, who is pinned. */
void lock_entry_add(struct lock_owner *owner, const struct lock_wait *item, bool delegable,
                    uint64_t now);
/* Takes the item from the entry; may free it. */
void lock_entry_take(struct lock_entry *entry, const struct lock_item *item);
void lock_entry_clear(struct lock_entry *entry);
void lock_entry_not_delegable(struct lock_entry *entry);
/* Whether what is held there, or below, conflicts with an item on just this name. */
bool lock_entry_conflicts(const struct lock_entry *entry, const struct lock_wait *item);
/* Whether some owner of the group holds what the item conflicts with. */
bool lock_group_conflicts(struct lock_table *table, const struct lock_group *group,
                          const struct lock_wait *item);
/* Whether some owner of the group holds the name or an ancestor. */
bool lock_group_covers(struct lock_table *table, const struct lock_group *group,
                       const struct lock_name *name);

RB_PROTOTYPE(lock_range_tree, lock_range, tree, )
RB_PROTOTYPE(lock_again, lock_request, again, )

/* ---- lock_table.c ---- */

/* An event for the owner's session, to be filled in. */
struct lock_event *lock_event_add(struct lock_table *table, enum lock_event_kind kind,
                                  struct lock_owner *owner);
/* What the owner holds at the name, or NULL. */
struct lock_entry *lock_held(struct lock_owner *owner, struct slice name);

/* ---- lock_ask.c ---- */

/* All that wait in the group are to be looked at again. */
void lock_group_wake(struct lock_table *table, struct lock_group *group);
/* Tells how a request that is in no queue any more has ended, and frees it. */
void lock_request_end(struct lock_table *table, struct lock_request *request,
                      enum lock_event_kind kind);
/* Ends a request without an event; its cookie. */
void *lock_request_drop(struct lock_request *request);
/* Looks again at those that are to be, until nothing follows any more. */
void lock_settle(struct lock_table *table);

/* ---- lock_queue.c ---- */

/* What keeps a request from being granted: an entry or a request; false: nothing. */
struct lock_blocker {
    struct lock_entry *entry;
    struct lock_request *request;
};
bool lock_blocked(struct lock_table *table, struct lock_request *request,
                  struct lock_blocker *blocker);
/* Calls each for the earlier requests that keep the item back, until it is false; but for those
 * that this visit has seen. */
bool lock_each_earlier(struct lock_table *table, const struct lock_wait *item,
                       bool (*each)(void *cookie, struct lock_request *request), void *cookie);
/* Calls each for every entry of another group that conflicts with the item, until it is false. */
bool lock_each_holder(struct lock_wait *item, bool (*each)(void *cookie, struct lock_entry *entry),
                      void *cookie);
void lock_enqueue(struct lock_table *table, struct lock_request *request);
void lock_dequeue(struct lock_table *table, struct lock_request *request);
void lock_watch(struct lock_request *request, const struct lock_blocker *blocker);
/* All of the list are to be looked at again. */
void lock_wake(struct lock_table *table, struct lock_request_list *watchers);
void lock_wake_one(struct lock_table *table, struct lock_request *request);

/* ---- lock_deadlock.c ---- */

/* Whether the owner surely uses something of what the item waits for, and does not merely keep it
 * for its session. */
bool lock_entry_used(const struct lock_entry *held, const struct lock_wait *item);
/* Whether the request, queued, waits for itself. */
bool lock_deadlock(struct lock_table *table, struct lock_request *request);
/* The same when what waits in a process waits for all of the process. */
bool lock_deadlock_of_process(struct lock_table *table, struct lock_request *request);

#endif
