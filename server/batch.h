/* SPDX-License-Identifier: Apache-2.0 */
/* Updates on their way: planned, recalled from caches, applied; in each session's order. */
#ifndef SERVER_BATCH_H
#define SERVER_BATCH_H

#include <bsd/sys/queue.h>
#include "server/lease.h"
#include "server/session.h"

/*
 *   QUEUED --> PLANNING --> RECALLING --acknowledged--> READY --> APPLYING
 *     ^  |         |            ^                         ^
 *     |  +- coarse-|------------+-- nobody to wait for ---+
 *     |            v
 *     +-------- BLOCKED   by another batch; planned anew when that has ended
 *
 * A batch holds its touches from RECALLING on. A session's batches are planned, and given to the
 * store, one after the other: the next is not planned before this one holds. So one that holds
 * waits only for caches and for others that hold, and nobody waits in a circle.
 */
enum batch_state {
    BATCH_QUEUED,
    BATCH_PLANNING,
    BATCH_BLOCKED,
    BATCH_RECALLING,
    BATCH_READY,
    BATCH_APPLYING
};

struct formers;
struct replay;

/* From UPDATE until it is answered or, its session having ended, dropped. */
struct batch {
    TAILQ_ENTRY(batch) of_session; /* until APPLYING */
    TAILQ_ENTRY(batch) waiting;    /* of the backend, while BLOCKED */
    enum batch_state state;
    struct session *session; /* holds it; may have ended while APPLYING */
    struct backend *backend; /* holds it */
    struct store_read *plan; /* while PLANNING */
    struct lease_recall *recall;
    const struct lease_recall *blocker; /* while BLOCKED; NULL: the backend's next in line */
    unsigned plans;                     /* made in vain */
    bool again;                         /* BLOCKED no more: to be planned anew */
    uint64_t id, sequence;
    uint64_t stamp; /* that it had before the start, when it is replayed */
    size_t bytes; /* counted in the session's update_bytes */
    uint32_t count;
    struct update updates[]; /* slices point into what comes behind them */
};

/* A store, and what the namespaces on it share. */
struct backend {
    struct backend *next;
    unsigned refs;       /* namespaces and batches */
    unsigned namespaces; /* of them; the server's list has it while there are any */
    struct loop *loop;
    struct store *store;
    struct formers *formers;
    struct replay *replay;
    struct lease_table *leases;
    struct locks *locks; /* NULL until one is asked for */
    uint64_t blocked;           /* plans in vain */
    struct lease_recall *last;  /* at shutdown: all of everything */
    struct batch_list waiting;  /* BLOCKED, the oldest first */
    struct batch *next_in_line; /* BLOCKED too often: none gets in before it; or NULL */
};

/* window: ns in which sessions of before the start may come back. */
struct backend *backend_new(struct loop *loop, struct store *store, uint64_t window);
void backend_unref(struct backend *backend);
/* Appends lines "name value". */
void backend_stats(const struct backend *backend, size_t max_locks, struct buf *out);

/* Takes over a decoded batch. */
void batch_submit(struct session *session, struct batch *batch);
/* Counts it among what is under way; until batch_gone. */
void batch_begin(struct session *session, struct batch *batch);
/* Answered or dropped, and in no list any more: frees it. */
void batch_gone(struct batch *batch);
/* Nothing keeps the session's batches back any more. */
void batch_go_on(struct session *session);
/* The session ends: what was not given to the store is dropped. */
void batch_drop_all(struct session *session);

/* ---- serve_update.c ---- */

void batch_free(struct batch *batch);
/* With room for the updates, and the payload behind them: it begins at `at` in the frame's. */
struct batch *batch_new(const struct frame *frame, size_t at, struct msg_update *m);
/* Decodes the updates; *index gets the one at fault. */
int batch_decode(struct batch *batch, struct msg_update *m, uint32_t *index);
/* Answers, unless the session has ended. */
void serve_update_done(struct batch *batch, const struct store_result *result);

#endif
