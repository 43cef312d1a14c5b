/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the server: one client's session, shared by the server, the dispatcher and serve_*.c. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include <bsd/sys/queue.h>
#include "base/buf.h"
#include "base/error.h"
#include "net/conn.h"
#include "net/msg.h"
#include "net/resend.h"
#include "server/lease.h"
#include "server/server.h"
#include "store/store.h"

struct backend;
struct batch;
struct lock_seat;
TAILQ_HEAD(batch_list, batch);
TAILQ_HEAD(sync_list, sync);
TAILQ_HEAD(held_list, held);

struct namespace
{
    struct namespace *next;
    char *name;
    struct store *store;
    struct backend *backend;
    server_space_fn *space;
    void *cookie;
};

/*
 *                                  +----------- AWAY --recovery window--+
 *                                  | HELLO       ^                      |
 *                                  v             | connection lost      v
 *   GREETING --HELLO, WELCOME--> NORMAL ---------+---- bye, fault --> ENDED
 *       |                          |                                    ^
 *       |                          +--shutdown--> LEAVING --flushed-----+
 *       +---- refused, lost ------------------------------------------- +
 *
 * AWAY has no connection and no reads; all else goes on, and what is said is kept for the client's
 * return. LEAVING drops what comes in (but for INVALIDATED) and waits for updates to be answered.
 * ENDED has no conn, no reads and is not in the server's list: only updates under way hold it.
 */
enum session_state {
    SESSION_GREETING,
    SESSION_NORMAL,
    SESSION_AWAY,
    SESSION_LEAVING,
    SESSION_ENDED
};

/* A read under way, in its session's list from session_read_add to session_read_remove. */
struct session_read {
    struct session *session;
    struct session_read *prev, *next;
    struct store_read *read;
    uint64_t id;     /* of the request */
    size_t reserved; /* bytes its answer may take */
    struct buf out;  /* the answer's frame */
    size_t mark;     /* where the frame begins in out */
};

struct session {
    struct server *server; /* not to be touched once ENDED */
    struct session *prev, *next;
    unsigned refs; /* the server's list, each update under way, a running handler */
    enum session_state state;
    struct conn *conn;    /* NULL when AWAY or ENDED */
    char *peer;           /* who is, or was last, at its other end */
    struct resend resend; /* what outlives the connection */
    struct namespace *namespace; /* from NORMAL on, NULL again once ENDED */
    struct loop *loop;
    struct loop_event *timer; /* HELLO to come in time; silence; AWAY: the recovery window */
    uint64_t id, secret;
    uint64_t hello_id;           /* the HELLO's request id */
    uint64_t last_sequence;      /* of the last update taken */
    uint64_t resumed;            /* loop_now() when reading last went on after a pause */
    uint64_t term;               /* of its lease, ns, as told in WELCOME */
    struct lease_holder *holder; /* from the first page asked for under a lease; else NULL */
    struct batch_list parked;    /* updates not yet given to the store, in their order */
    struct batch *unheld;        /* the first of them that does not hold its touches */
    struct lock_seat *seat;      /* from its first lock message on; else NULL */
    bool released;               /* BYE: its client serves nothing any more */
    bool resumes;                /* its client comes back also after a restart of the server */
    bool known;                  /* to the store */
    bool certain;                /* also after a crash, with what it needs of `retains`; or it need not be */
    bool asking;                 /* the store, to make it so */
    bool recovered;              /* updates may come that the store has had */
    bool skips; /* and numbers be left out: of updates that were answered and then lost */
    bool reclaiming;             /* after a restart, its locks are not declared yet */
    bool declared;               /* MSG_RECLAIMED has come, and waits for its turn */
    LIST_ENTRY(session) returned; /* of the formers, while reclaiming */
    bool replaying;              /* nor is all sent again that was answered (MSG_REPLAYED) */
    uint64_t replayed;           /* stamp of the last that was */
    size_t replay_bytes;         /* of those */
    bool retains;                /* its client keeps what is not durable */
    TAILQ_ENTRY(session) holding; /* of the replay, while held_back */
    bool held_back;              /* reads, syncs or batches of it wait for the replay */
    struct held_list held;       /* reads, as they came */
    size_t held_bytes;
    struct sync_list syncing;    /* SYNCs that wait for updates */
    size_t syncs;                /* SYNCs under way */
    size_t updates;              /* under way */
    size_t update_bytes;         /* heap bytes they hold */
    size_t lock_bytes;           /* heap bytes of lock messages that wait to be served */
    size_t read_bytes;           /* sum of `reserved` over reads */
    struct session_read *reads;
    bool paused;
    bool away; /* not counted as a connection */
    bool told; /* LEAVING: the reason has been sent */
    char *program;
};

/* ---- session.c ---- */

/* A session over a fresh connection; joins the server's list. */
void session_new(struct server *server, struct stream *stream);
void session_ref(struct session *session);
void session_unref(struct session *session);

/* It has a connection from now on; NORMAL. */
void session_connected(struct session *session);
/* The connection is gone, or given up: the client may come back with another. */
void session_away(struct session *session);
/* The connection of one in GREETING, which ends. */
struct conn *session_hand_over(struct session *session);

/* Tells the client why, logs one line and ends the session. */
void session_cut(struct session *session, int error, const char *text);

/* Ends it without a line: reads are cancelled, the connection closes after what is pending. */
void session_end(struct session *session, bool flush);

/* Shutdown: from now on drops requests. session_leave_step then returns true when it has ended. */
void session_leave(struct session *session);
bool session_leave_step(struct session *session, bool late);

/* The session's leases, made when first wanted. */
struct lease_holder *session_holder(struct session *session);

/* Calls fn after so many ns, in place of what the session's timer was to call. */
void session_timer(struct session *session, uint64_t delay, loop_fn *fn);

/* ---- session_send.c ---- */

/* Sends finished frames and clears the buffer; pauses reading as the limits demand. Without a
 * connection they are dropped. */
void session_send(struct session *session, struct buf *frames);
/* The same of one frame, begun at mark and not yet ended, that is part of the session: without a
 * connection it is kept. */
void session_send_kept(struct session *session, struct buf *frame, size_t mark);
/* Answers a request that the client keeps. */
void session_refuse(struct session *session, uint64_t id, int error, uint32_t index,
                    const char *text);
/* Tells the client which of its kept frames have come. */
void session_have(struct session *session);
void session_send_error(struct session *session, uint64_t id, int error, uint32_t index,
                        const char *text);

/* Looks at the limits again and pauses or resumes reading. */
void session_flow(struct session *session);

void session_read_add(struct session *session, struct session_read *read, uint64_t id,
                      size_t reserved);
/* Begins its answer: not before it runs, so that few buffers are in use at a time. */
void session_read_begin(struct session_read *read, uint16_t type);
/* Unlinks and frees (reads are allocated as one block that begins with struct session_read). */
void session_read_remove(struct session_read *read);
/* The store's done: sends the answer, or the error instead, and frees the read. */
void session_read_done(struct session_read *read, int error);

/* ---- greet.c ---- */

/* The first frame of a connection. */
void session_greet(struct session *session, const struct frame *frame);

/* ---- server.c ---- */

struct loop *server_loop(const struct server *server);
struct server_limits *server_limits(struct server *server);
uint64_t server_instance(const struct server *server);
/* Appends lines "name value". */
void server_stats(const struct server *server, struct buf *out);
struct namespace *server_namespace(struct server *server, struct slice name);
/* One that is NORMAL or AWAY; NULL. */
struct session *server_find_session(struct server *server, uint64_t id);
/* Whether it counts as a connection. */
void server_session_connected(struct server *server, struct session *session);
void server_session_disconnected(struct server *server, struct session *session);
/* For another session without a connection. */
bool server_has_room(const struct server *server);
bool server_stopping(const struct server *server);
void server_session_add(struct server *server, struct session *session);
void server_session_remove(struct server *server, struct session *session);

/* ---- dispatch.c, serve_*.c: each answers exactly once, now or later, or cuts the session off.
 * They return 0 or the error that the session is cut off with. ---- */

int dispatch(struct session *session, const struct frame *frame);

int serve_read(struct session *session, const struct frame *frame);
int serve_node(struct session *session, const struct frame *frame);
int serve_order(struct session *session, const struct frame *frame);
int serve_scan(struct session *session, const struct frame *frame);
int serve_value(struct session *session, const struct frame *frame);
int serve_update(struct session *session, const struct frame *frame);
/* Makes the session known to the store, if its client comes back after a restart. */
void session_register(struct session *session);
int serve_replay(struct session *session, const struct frame *frame);
int serve_replayed(struct session *session, const struct frame *frame);
int serve_sync(struct session *session, const struct frame *frame);
/* Those that were held back for the replay are served; or (drop) forgotten. */
void serve_sync_go_on(struct session *session, bool drop);
/* An update of the session is done, or dropped. */
void serve_sync_updated(struct session *session, uint64_t sequence);

#endif
