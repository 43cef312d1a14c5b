/* SPDX-License-Identifier: Apache-2.0 */
/* The client's half: one session with a data server, and the calls that go over it. */
#ifndef NET_CALL_H
#define NET_CALL_H

#include "base/error.h"
#include "base/loop.h"
#include "base/model.h"
#include "net/stream.h"

/*
 * All on the loop's thread. Every call_* returns a handle; its done is called exactly once, from
 * the loop, unless call_cancel came first. Arguments are copied before the call returns; results
 * are borrowed for the length of done. A call made while there is no connection waits for one
 * (call_cancel ends the wait). When the connection is lost, calls wait for the next one, on which
 * the session goes on where it was: nothing is lost, and nothing done twice. When that is not to be
 * (session_lost), updates and calls of locks that were sent end with ECP_EDISCONNECTED (whether they
 * were done is not known); the others wait, or are asked again in the next session.
 */
struct client;
struct call;

/*
 *            +----------------- failed / lost, backoff ------------------+
 *            v                                                           |
 *   CONNECTING --connected--> GREETING --WELCOME--> NORMAL --------------+
 *        |                        |
 *        +------ refused for good (version, namespace), or !reconnect ---> LOST
 */
enum client_state { CLIENT_CONNECTING, CLIENT_GREETING, CLIENT_NORMAL, CLIENT_LOST };

struct client_config {
    const char *address;   /* for network_connect; copied */
    const char *namespace; /* copied */
    const char *program;   /* who we are, for the server's log ("ecp 0.1"); copied */
    bool reconnect; /* keep trying (0.1 s to 5 s between tries); else the first failure is final */
    bool resumes; /* client_set_reconnect will follow */
    uint64_t connect_timeout; /* ns until a try is given up; 0: 10 s */
    uint64_t recovery; /* most ns for which a session without connection is to be resumed; 0, and
                          more than the server's window: that */
    /*
     * Leased pages (call_read_args.lease) are no longer right about these touches; to be answered
     * with client_invalidated, at once or later, also when lease_lost comes before. Serial numbers
     * rise and are never 0. Comes between answers in the order of the server's stream. May be NULL:
     * then no page is leased. Must not free the client.
     */
    void (*invalidate)(void *cookie, uint64_t serial, const struct touch *touches, size_t count);
    /*
     * The lease ran out, or a new session is about to begin: every page got until now is void, and
     * no page got under the lost lease comes after this. The loss of the connection alone is no
     * loss of the lease. A lease that ran out is told of when an answer begins a new one, before
     * that answer's done; so maybe long after client_lease_end. May be NULL. Must not free the
     * client.
     */
    void (*lease_lost)(void *cookie);
    /*
     * A lock of this client is wanted by others, or (lost) was taken from its owner by an
     * administrator. One that is wanted and idle is to be unlocked; one in use is answered with
     * client_lock_kept and unlocked later. Comes between answers, in the order of the server's
     * stream. May be NULL, when no lock is delegable. Must not free the client.
     */
    void (*lock)(void *cookie, bool lost, uint64_t owner, struct slice name);
    /*
     * The session goes on, but the server has been started anew: the locks are to be declared, by
     * call_lock with `reclaim`, before this returns. LOCKs and UNLOCKs without an answer are sent
     * again after that; client_lock_kept and client_lock_pass are forgotten. NULL: session_lost is
     * called, for the locks are lost. Must not free the client.
     */
    void (*reclaim)(void *cookie);
    /* The session is over, and with it all locks: the server does not know it any more, or it is
     * without a connection for longer than the recovery window. Comes before anything of another
     * session, and before the ends of calls. May be NULL. Must not free the client. */
    void (*session_lost)(void *cookie);
    /* Told of every change; why is a sentence or NULL. In CLIENT_LOST every call ends with `error`.
     * May be NULL. Must not free the client. */
    void (*state)(void *cookie, enum client_state state, int error, const char *why);
    void *cookie;
};

struct client *client_new(struct loop *loop, struct network *network,
                          const struct client_config *config);

/* client_config.reconnect, from now on. */
void client_set_reconnect(struct client *client, bool reconnect);

/* Says BYE if it can, and tries no connection any more: CLIENT_LOST, every call ends with this error.
 * Nothing may serve leased pages any more. */
void client_give_up(struct client *client, int error);

/* Says BYE, ends every call with ECP_ECANCELED without calling done, frees. Pending updates must
 * have been waited for, and nothing may serve leased pages any more: BYE ends their leases. */
void client_free(struct client *client);

enum client_state client_state(const struct client *client);

/*
 * How the session is, for people. state: "connecting" (there has been none yet), "normal", "trouble"
 * (the connection is lost, the session is not), "recovery" (there is a connection, on which it is
 * being resumed) or "lost" (it is over, the next has not begun).
 */
struct client_status {
    const char *state;
    uint64_t since;       /* of the state: ns since the epoch */
    const char *server;   /* client_server */
    uint64_t session;     /* 0: none */
    const char *error;    /* the last one's sentence; "": there was none */
    uint64_t tries;       /* to connect, since the connection was lost */
    uint64_t lease;       /* ns that it goes on without another answer */
    uint64_t recovery;    /* ns in which the session can be resumed, were there no connection now */
    size_t updates, update_bytes; /* sent or waiting, whose done has not been called */
};
/* The strings are borrowed until the next turn of the loop. */
void client_status(const struct client *client, struct client_status *status);

/* Names the server for messages ("ecpd 0.1 at 127.0.0.1:5972"). */
const char *client_server(const struct client *client);
/* Messages sent that were answered or will be (round trips), since the start. */
uint64_t client_round_trips(const struct client *client);

/* loop_now() until which leased pages may be served. 0 or past: not now. */
uint64_t client_lease_end(const struct client *client);
/* Nothing serves any more what the invalidation of this serial number touched. One that came in an
 * earlier session is ignored. */
void client_invalidated(struct client *client, uint64_t serial);
/* Gives leases (page.lease) back. All must have been got after the last lease_lost. */
void client_release(struct client *client, const uint64_t *leases, size_t count);

/* done is not called any more. An update already sent may still be applied. NULL is allowed. */
void call_cancel(struct call *call);
/* It is not under way: what call_cancel cancels now is not done later. */
bool call_is_unsent(const struct call *call);

/*
 * While there is no connection, until there is one: calls that are not sent, and those made from now
 * on, end with the error instead of waiting. But unlocking waits, for it must not be left undone.
 */
void client_refuse_calls(struct client *client, int error);

struct call_pages {
    const struct page *pages; /* the page asked for first, then those read ahead; their lease is 0
                                 when it ran out on the way */
    size_t count;
};
typedef void call_pages_fn(void *cookie, int error, const struct call_pages *pages);
struct call_read_args {
    struct slice parent, from;
    bool after;
    bool lease, onward; /* as in msg_read, like the rest */
    enum view view;
    uint32_t max_value, budget, entries, readahead;
};
struct call *call_read(struct client *client, const struct call_read_args *args,
                       call_pages_fn *done, void *cookie);

/* key is set for order and scan; node.flags is 0 when the node does not exist. */
typedef void call_node_fn(void *cookie, int error, const struct node *node);
struct call *call_node(struct client *client, struct slice key, enum view view, uint32_t max_value,
                       call_node_fn *done, void *cookie);
/* The bytes are node->value, the whole length node->value_len; NODE_VALUE unset when there is none.
 */
struct call *call_value(struct client *client, struct slice key, uint32_t offset, uint32_t len,
                        call_node_fn *done, void *cookie);

/* Nodes in order; next yields them one by one, false after the last. */
struct call_nodes;
bool call_nodes_next(struct call_nodes *nodes, struct slice *key, struct node *node);
/* True when nothing more lies in this direction. Valid at once. */
bool call_nodes_ended(const struct call_nodes *nodes);
typedef void call_nodes_fn(void *cookie, int error, struct call_nodes *nodes);
struct call *call_order(struct client *client, struct slice parent, struct slice level,
                        bool backwards, enum view view, uint32_t max_value, call_nodes_fn *done,
                        void *cookie);
struct call_scan_args {
    struct slice top, from;
    bool backwards;
    uint32_t max_value, max_nodes, budget; /* as in msg_scan */
};
struct call *call_scan(struct client *client, const struct call_scan_args *args,
                       call_nodes_fn *done, void *cookie);

struct call_applied {
    uint64_t stamp;
    uint32_t failed;  /* index of the update that failed, when error is set */
    const char *text; /* the server's words about an error, or "" */
    size_t count;     /* results of INCREMENT, in order */
    const struct slice *values;
    const struct touch *touches; /* what the batch changed of pages leased to this client */
    size_t touch_count;
};
typedef void call_update_fn(void *cookie, int error, const struct call_applied *applied);
/* A batch: atomic, applied in the order of the calls. */
struct call *call_update(struct client *client, const struct update *updates, size_t count,
                         call_update_fn *done, void *cookie);

typedef void call_space_fn(void *cookie, int error, const struct space *space);
struct call *call_space(struct client *client, call_space_fn *done, void *cookie);

/* Figures of the server, as lines "name value". */
typedef void call_stats_fn(void *cookie, int error, struct slice text);
struct call *call_stats(struct client *client, call_stats_fn *done, void *cookie);

typedef void call_done_fn(void *cookie, int error);
struct call *call_ping(struct client *client, call_done_fn *done, void *cookie);

/*
 * Answered when all updates called before, and all that others' updates showed until then, are
 * durable: they survive a crash of the server's machine. ECP_EDISCONNECTED like an update's when
 * the session is lost meanwhile.
 */
struct call *call_sync(struct client *client, call_done_fn *done, void *cookie);

/*
 * Locks: see locks/lock_table.h for the rules, which the server keeps. Locks are lost with the
 * session, and calls of locks that were sent end with ECP_EDISCONNECTED then.
 */
struct call_lock_item {
    struct slice name; /* a key */
    bool exclusive;
    bool counted;        /* each lock wants an unlock; of the whole name. Else it sets a mode */
    uint64_t start, end; /* of the range; end 0: without end */
};
struct call_lock_who {
    uint64_t owner;       /* one of this client's */
    const uint8_t *group; /* 16 bytes that owners have in common who never conflict; or NULL */
    uint64_t process;     /* one that its owners of this number wait together: for listings; or 0 */
    struct slice text;    /* "host pid command", for listings; at most 255 bytes are kept */
};
struct call_lock_args {
    struct call_lock_who who;
    const struct call_lock_item *items;
    size_t count;   /* 1 to 4096; all or nothing */
    bool wait;      /* else ECP_EBUSY, as soon as it is certain that nobody keeps it idle */
    bool delegable; /* may be kept when the owner is done, until client_config.lock wants it */
    bool patient;   /* wait although it is a deadlock; else ECP_EDEADLOCK */
    bool replace;   /* all that the owner holds is unlocked first */
    bool test;      /* nothing is taken when it is granted; not with wait */
    bool reclaim;   /* only in client_config.reclaim: held already. When done tells an error,
                     the lock is lost; unless it is ECP_ECANCELED, for it was declared anew */
};
/* stamp rises with each grant of the server: it tells an old holder from a newer one. */
typedef void call_lock_fn(void *cookie, int error, uint64_t stamp);
struct call *call_lock(struct client *client, const struct call_lock_args *args,
                       call_lock_fn *done, void *cookie);
/* Asks for the end of a call_lock. Its done still comes: with ECP_ECANCELED, or granted. */
void call_lock_cancel(struct call *call);
/*
 * Served after all updates made before: then others see them. count 0: all locks of the owner. What
 * is not held is passed over.
 */
struct call *call_unlock(struct client *client, uint64_t owner, const struct call_lock_item *items,
                         size_t count, call_done_fn *done, void *cookie);
/* A lock that is wanted is in use. */
void client_lock_kept(struct client *client, uint64_t owner, struct slice name);
/* A lock, not a counted one, has passed to another owner of this client. If that one waits for just
 * this, its call_lock is granted. */
void client_lock_pass(struct client *client, uint64_t from, struct slice name, bool delegable,
                      const struct call_lock_who *to);

struct call_lock_row {
    struct slice name, text;
    uint64_t session, owner, since; /* since: ns since the epoch */
    uint32_t count;
    bool exclusive, counted, waiting, deadlocked;
    bool kept; /* by its session, maybe for nobody */
    uint64_t start, end; /* end UINT64_MAX: without end */
};
struct call_locks {
    const struct call_lock_row *rows; /* held ones, then waiting ones in their order */
    size_t count;
    bool more; /* there are more */
};
typedef void call_locks_fn(void *cookie, int error, const struct call_locks *locks);
/* At or below a name; at most max rows, 0: as many as fit. */
struct call *call_lock_list(struct client *client, struct slice under, uint32_t max,
                            call_locks_fn *done, void *cookie);
/* For administrators: takes locks from whoever holds them. done's stamp is how many there were. */
struct call *call_lock_force(struct client *client, struct slice name, bool below,
                             call_lock_fn *done, void *cookie);

#endif
