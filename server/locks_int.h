/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the locks of a server: the seats of sessions at a lock table, and their messages. */
#ifndef SERVER_LOCKS_INT_H
#define SERVER_LOCKS_INT_H

#include "locks/lock_table.h"
#include "server/locks.h"

struct locks {
    struct loop *loop;
    struct store *store;
    struct lock_table *table;
    LIST_HEAD(, lock_seat) seats;
    uint64_t stamp; /* of the last grant */
    size_t share;   /* of a session */
    bool warned;
    uint64_t forced, lost;
};

/* A lock message that waits for updates, for the disk, or for those before it. */
struct lock_op {
    TAILQ_ENTRY(lock_op) queue;
    uint16_t type;
    uint64_t id;
    uint64_t sequence; /* of the last update before it */
    size_t updates;    /* of those, not done yet */
    bool durable;      /* they are, and on disk */
    bool syncing;      /* the sync under way was begun for it */
    size_t len;
    uint8_t payload[];
};

/* A LOCK without an answer. */
struct lock_pending {
    TAILQ_ENTRY(lock_pending) all;
    uint64_t id;
    struct lock_request *request; /* NULL: the session is away, and it will be asked then */
    size_t len;
    uint8_t payload[];
};

struct lock_seat {
    LIST_ENTRY(lock_seat) all;
    struct locks *locks;
    struct session *session; /* NULL once it has ended */
    struct lock_session *holder;
    TAILQ_HEAD(, lock_op) ops;
    TAILQ_HEAD(, lock_pending) pending; /* in the order in which they came */
    uint64_t id;
    char *name;
    bool warned, full;
    struct lock_known *asked; /* under way: the store is told that the session may hold locks */
    bool known;               /* it has been, or need not be */
    int unknown;              /* or the error that keeps it from being */
    bool unsynced;          /* an update was done, and is not known to be on disk */
    struct lock_sync *sync; /* under way for those done before; else NULL */
    size_t updates;         /* of a session that has ended, still to be done */
};

/* ---- lock_seat.c ---- */

/* The session's seat, made when first wanted. */
struct lock_seat *lock_seat_of(struct session *session);
void lock_pending_free(struct lock_seat *seat, struct lock_pending *pending);

/* Sends what the table has to say, to whom it concerns. */
void lock_events_serve(struct locks *locks);
void lock_send_name(struct session *session, uint16_t type, uint64_t owner, struct slice name);
/* The answer to a LOCK that is granted. */
void lock_send_locked(struct lock_seat *seat, uint64_t id);

/* Frees the seat of a session that has ended when nothing holds its locks back any more. */
void lock_seat_check(struct lock_seat *seat);

/* ---- lock_durable.c ---- */

/* Whether what the session wrote is on disk; asked for the first message that waits. If not,
 * lock_seat_synced or, when the session has ended, lock_seat_check is called when it is. */
bool lock_seat_durable(struct lock_seat *seat);
void lock_seat_forget_sync(struct lock_seat *seat);
/* Whether a crash of the server would leave a trace of the session. If not, lock_seat_run is called
 * when it would, or seat->unknown is set. */
bool lock_seat_known(struct lock_seat *seat);

/* ---- serve_lock.c ---- */

/* What was done before a sync began is on disk, or (error) cannot be. */
void lock_seat_synced(struct lock_seat *seat, int error);

/* Serves those messages whose turn has come. */
void lock_seat_run(struct lock_seat *seat);
/* Asks the table for a LOCK that is in no queue yet. */
void lock_seat_ask(struct lock_seat *seat, struct lock_pending *pending);

#endif
