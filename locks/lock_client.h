/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of locks: owners of one session, and locks that it keeps when they are done. */
#ifndef LOCKS_LOCK_CLIENT_H
#define LOCKS_LOCK_CLIENT_H

#include "base/loop.h"
#include "net/call.h"

/*
 * All on the loop's thread. A lock of one whole name, not counted, by an owner without a group
 * stays with the session when its owner unlocks it, until the server wants it: the next owner here
 * then gets it without a word from the server. While others of this session wait for such a lock,
 * it goes from one to the next, at most LOCK_CLIENT_PASSES times before the server's queue decides.
 *
 * The server knows such a lock under a label, the owner that it was told of last. An owner whose
 * label is on an idle lock has no other lock and no request, so that nothing else can rest on it.
 */
struct lock_client;
struct lock_call;

#define LOCK_CLIENT_PASSES 16
#define LOCK_CLIENT_IDLE   4096 /* locks kept for nobody, at most */

/* The calls of net/call.h with a client, or a test's own. */
struct lock_upstream {
    void *(*lock)(void *cookie, const struct call_lock_args *args, call_lock_fn *done,
                  void *done_cookie);
    void (*cancel)(void *cookie, void *call);
    void (*unlock)(void *cookie, uint64_t owner, const struct call_lock_item *items, size_t count,
                   call_done_fn *done, void *done_cookie); /* done may be NULL */
    void (*kept)(void *cookie, uint64_t owner, struct slice name);
    void (*pass)(void *cookie, uint64_t from, struct slice name, bool delegable,
                 const struct call_lock_who *to);
    /* An owner has lost a lock, or (all) all that it held. It must not go on as if it had it. */
    void (*lost)(void *cookie, uint64_t owner, bool all, struct slice name);
    void *cookie;
};

struct lock_client *lock_client_new(struct loop *loop, const struct lock_upstream *upstream);
/* After the upstream, whose calls end without a word. What is kept goes with the session. No done
 * is called any more. */
void lock_client_free(struct lock_client *client);

/* As call_lock; args->delegable is not looked at. done comes from the loop, exactly once. */
struct lock_call *lock_client_lock(struct lock_client *client, const struct call_lock_args *args,
                                   call_lock_fn *done, void *cookie);
/* The same when it can be had at once, without asking the server; else false, and nothing is done. */
bool lock_client_lock_now(struct lock_client *client, const struct call_lock_args *args);
/* Asks for its end; done still comes, with ECP_ECANCELED or granted. */
void lock_client_cancel(struct lock_client *client, struct lock_call *call);
/* As call_unlock. What the owner wrote must have been given to the client before. done may be NULL.
 */
void lock_client_unlock(struct lock_client *client, uint64_t owner,
                        const struct call_lock_item *items, size_t count, call_done_fn *done,
                        void *cookie);

/* Gives back all that is kept for nobody, as when the session has no room for another lock
 * (ECP_ELOCKFULL). False: there was nothing. */
bool lock_client_give_back(struct lock_client *client);

/* The same of a whole lock of one name, when the session keeps it; else false, and nothing is done. */
bool lock_client_unlock_now(struct lock_client *client, uint64_t owner, struct slice name);

/* For client_config.lock. */
void lock_client_said(struct lock_client *client, bool lost, uint64_t owner, struct slice name);
/* The session has ended: every lock is lost. */
void lock_client_lost(struct lock_client *client);

struct lock_client_stats {
    size_t held, idle; /* of locks that may be kept */
    uint64_t local;    /* granted without asking the server */
    uint64_t passed;   /* from owner to waiting owner, here */
    uint64_t asked;    /* of the server */
    uint64_t recalled;
};
const struct lock_client_stats *lock_client_stats(const struct lock_client *client);

#endif
