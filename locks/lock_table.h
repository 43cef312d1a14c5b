/* SPDX-License-Identifier: Apache-2.0 */
/* The lock table: who holds which names, and who waits for them. Pure: no I/O and no clock. */
#ifndef LOCKS_LOCK_TABLE_H
#define LOCKS_LOCK_TABLE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/key.h"

/*
 * A name is a key; the empty one stands for all. Locks of two owners conflict when one of them is
 * exclusive and their names are the same or one is an ancestor of the other. On the same name,
 * ranges that do not overlap do not conflict.
 *
 * A request waits for the locks it conflicts with, and for earlier requests that wait and with
 * which it would conflict. The latter not when its owner holds the name or an ancestor of it, nor
 * when the earlier request itself waits for a lock of that owner.
 *
 * Owners of the same group never conflict. An owner without a group is one by itself.
 *
 * What an operation costs depends on the depth of its names and on the requests that it lets pass,
 * not on how many locks there are. With ranges, also on the owners at that name.
 */
struct lock_table;
struct lock_session;
struct lock_request;

enum lock_mode { LOCK_SHARED = 0, LOCK_EXCLUSIVE = 1 };

#define LOCK_RANGE_END UINT64_MAX /* the end of a range without end */
#define LOCK_GROUP_LEN 16
#define LOCK_TEXT_MAX  255  /* bytes of an owner's description */
#define LOCK_ITEMS_MAX 4096 /* in one request */
#define LOCK_MAX       1000000

/*
 * Counted: each lock of a mode wants an unlock of that mode; of the whole name. Else, as fcntl(2)
 * has it: sets the mode of [start, end), whatever the owner had there before; neighbours of the
 * same mode become one.
 */
struct lock_item {
    struct slice name; /* a valid key */
    enum lock_mode mode;
    bool counted;
    uint64_t start, end; /* start < end; of a counted item 0 and LOCK_RANGE_END */
};

/* A field that is 0 takes its default. */
struct lock_config {
    size_t max_locks;   /* held and waited for, by all: LOCK_MAX */
    size_t max_session; /* by one session: a quarter of that; fewer of names of many levels */
    uint64_t seed;      /* of the hash tables */
};

struct lock_stats {
    size_t locks;    /* held: one for each owner's counted lock, and for each range */
    size_t max;      /* bound of locks + items waiting */
    size_t items;    /* waiting */
    size_t requests; /* waiting */
    size_t owners, names;
    uint64_t granted, waited, deadlocks, full, recalls;
};

/* config may be NULL. */
struct lock_table *lock_table_new(const struct lock_config *config);
void lock_table_free(struct lock_table *table); /* with all that is in it */
const struct lock_stats *lock_table_stats(const struct lock_table *table);

/* Owners belong to a session; cookie is the caller's. */
struct lock_session *lock_session_new(struct lock_table *table, void *cookie);
/* Its requests are gone and its locks are free. */
void lock_session_free(struct lock_session *session);
/* Ends all its requests without events. */
void lock_session_cancel(struct lock_session *session);
void *lock_session_cookie(const struct lock_session *session);
/* Locks and waiting items. */
size_t lock_session_count(const struct lock_session *session);

/*
 * Who asks. Group, process and text are kept from an owner's first request until it has neither
 * lock nor request. Owners of one process (of a session; 0: none) do conflict. But when one of them
 * waits, none of them will let go: a listing tells of circles that are closed so. Nothing is
 * refused for it.
 */
struct lock_who {
    uint64_t owner;
    const uint8_t *group; /* LOCK_GROUP_LEN bytes, or NULL */
    uint64_t process;
    struct slice text; /* at most LOCK_TEXT_MAX bytes are kept */
};

enum lock_ask_flags {
    LOCK_WAIT = 1,      /* else ECP_EBUSY as soon as it is certain that it would wait */
    LOCK_DELEGABLE = 2, /* the session may keep it when its owner is done; LOCK_EVENT_RECALL */
    LOCK_PATIENT = 4,   /* wait although it would be for itself; the listing tells */
    LOCK_TEST = 8,      /* nothing is taken when it is granted */
};

/*
 * Asks for all items at once. 0: granted, or (*request is set) waiting; the request then ends in an
 * event or with lock_cancel. Errors: ECP_EBUSY, ECP_EDEADLOCK, ECP_ELOCKFULL. now is for the
 * listing. Without LOCK_WAIT it waits only for locks that may be idle, until they are released, or
 * kept.
 */
int lock_ask(struct lock_session *session, const struct lock_who *who,
             const struct lock_item *items, size_t count, unsigned flags, uint64_t now,
             void *cookie, struct lock_request **request);
/* Ends a waiting request without an event. */
void lock_cancel(struct lock_request *request);

/* Whether the owner holds something of just this name that is exclusive. */
bool lock_is_exclusive(struct lock_session *session, uint64_t owner, struct slice name);

/* Takes items back; what is not held is passed over. The mode matters for counted ones only. */
void lock_release(struct lock_session *session, uint64_t owner, const struct lock_item *items,
                  size_t count);
/* All locks of an owner; its requests stay. */
void lock_release_owner(struct lock_session *session, uint64_t owner);
/* The whole of what an owner holds of one name. */
void lock_release_name(struct lock_session *session, uint64_t owner, struct slice name);

/* The owner really uses a lock that was recalled: it stays, and is no longer delegable. Deadlocks
 * through it are found now. */
void lock_kept(struct lock_session *session, uint64_t owner, struct slice name);
/* The same for all locks of a session, of which nobody can tell now. */
void lock_kept_all(struct lock_session *session);
/* And now somebody can: recalls those that lock_kept_all has kept. */
void lock_recall_kept(struct lock_session *session);
/*
 * What `from` holds of a name is now held by `to`, of the same session. When `to` waits for just
 * that name, its request has ended; *ended is its cookie then, else NULL.
 * In vain, when `from` has lost it before its client knew: then `to`, which takes itself for the
 * holder, has lost it and is to be told. Its request has ended, too, and what it had of the name
 * is released. Unless it has been granted the lock by that request meanwhile: that is ignored, as
 * is what no client should send.
 */
enum lock_pass_end { LOCK_PASSED, LOCK_PASS_IGNORED, LOCK_PASS_IN_VAIN };
enum lock_pass_end lock_pass(struct lock_session *session, uint64_t from, const struct lock_who *to,
                             struct slice name, bool delegable, void **ended);

/* What operations led to; to be asked for after each until there is none. */
enum lock_event_kind {
    LOCK_EVENT_GRANTED,
    LOCK_EVENT_BUSY,
    LOCK_EVENT_DEADLOCK,
    LOCK_EVENT_RECALL
};
struct lock_event {
    enum lock_event_kind kind;
    struct lock_session *session;
    uint64_t owner;
    void *cookie;    /* of the request, which is over; LOCK_EVENT_RECALL: NULL */
    struct key name; /* LOCK_EVENT_RECALL: the lock that others want. It is to be released as soon
                        as its owner does not use it; lock_kept when that is not now */
};
bool lock_next_event(struct lock_table *table, struct lock_event *event);

/* Recalls all that may be idle, at or below a name: who lists wants to know. */
void lock_recall_below(struct lock_table *table, struct slice under);

/* For listings: each lock held and each item waiting on names at or below `under`. */
struct lock_row {
    struct slice name, text;
    struct lock_session *session;
    uint64_t owner, since;
    enum lock_mode mode;
    uint32_t count; /* of a counted lock, in this mode; else 1 */
    bool counted, waiting, deadlocked;
    bool delegable; /* its session may keep it idle */
    uint64_t start, end;
};
/* Waiting ones in the order of their arrival after all that are held. each returns false to end. */
void lock_list(struct lock_table *table, struct slice under,
               bool (*each)(void *cookie, const struct lock_row *row), void *cookie);

#endif
