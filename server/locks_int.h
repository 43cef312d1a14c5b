/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the locks of a server: the seats of sessions at a lock table, and their messages. */
#ifndef SERVER_LOCKS_INT_H
#define SERVER_LOCKS_INT_H

#include "locks/lock_table.h"
#include "server/locks.h"

struct locks {
    struct loop *loop;
    struct lock_table *table;
    LIST_HEAD(, lock_seat) seats;
    uint64_t stamp; /* of the last grant */
    size_t share;   /* of a session */
    bool warned;
    uint64_t forced, lost;
};

/* A lock message that waits for updates, or for those before it. */
struct lock_op {
    TAILQ_ENTRY(lock_op) queue;
    uint16_t type;
    uint64_t id;
    uint64_t sequence; /* of the last update before it */
    size_t updates;    /* of those, not done yet; counted for what releases */
    size_t len;
    uint8_t payload[];
};

/* A LOCK that waits in the table. */
struct lock_pending {
    LIST_ENTRY(lock_pending) all;
    struct lock_seat *seat;
    uint64_t id;
    struct lock_request *request;
};

struct lock_seat {
    LIST_ENTRY(lock_seat) all;
    struct locks *locks;
    struct session *session; /* NULL once it has ended */
    struct lock_session *holder;
    TAILQ_HEAD(, lock_op) ops;
    LIST_HEAD(, lock_pending) pending;
    uint64_t id, secret;
    char *name;
    bool warned, full;
    /* When the session has ended: */
    size_t updates;           /* still to be done */
    bool certain;             /* nobody believes to hold anything any more */
    struct loop_event *timer; /* the recovery window */
};

/* ---- lock_seat.c ---- */

/* The session's seat, made when first wanted. */
struct lock_seat *lock_seat_of(struct session *session);
void lock_pending_free(struct lock_pending *pending);

/* Sends what the table has to say, to whom it concerns. */
void lock_events_serve(struct locks *locks);
void lock_send_name(struct session *session, uint16_t type, uint64_t owner, struct slice name);
/* The answer to a LOCK that is granted. */
void lock_send_locked(struct lock_seat *seat, uint64_t id);

/* ---- serve_lock.c ---- */

/* Serves those messages whose turn has come. */
void lock_seat_run(struct lock_seat *seat);

#endif
