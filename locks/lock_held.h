/* SPDX-License-Identifier: Apache-2.0 */
/* What a client holds at the server, remembered so that it can be declared to one started anew. */
#ifndef LOCKS_LOCK_HELD_H
#define LOCKS_LOCK_HELD_H

#include "locks/lock_client.h"

/*
 * A layer between a lock_client, or whoever else makes calls of locks, and those calls. Answers
 * come in the order in which they take effect; so what is remembered is what the server had at the
 * newest answer. A pass has no answer, and counts from its call on.
 *
 * lock_held_reclaim declares what is surely still the client's. What has been asked and not been
 * answered may have been done, and others may have got locks since: what is being unlocked is not
 * declared, and what is becoming shared is declared as shared. Those calls are made again behind
 * the declarations, and lead to where they would have led.
 *
 * For that to be so the caller
 * - passes no lock from or to an owner while an UNLOCK of that owner has no answer, nor from one
 *   while a LOCK of that owner has none and has not been granted by a pass;
 * - does not unlock a counted lock while a LOCK of that name and owner has no answer.
 */
struct lock_held;

struct lock_held_config {
    struct lock_upstream below; /* lost is called when the user of the layer calls it */
    /* Forgets a call of below.lock: it is not sent again, and its done is not called. Called by
     * lock_held_reclaim, and at the end of the session. */
    void (*drop)(void *cookie, void *call);
    /* The owner has lost what it held of that name: another has it, or the table is full. */
    void (*failed)(void *cookie, uint64_t owner, struct slice name);
    /* Both with below.cookie. */
};

struct lock_held *lock_held_new(const struct lock_held_config *config);
/* After the upstream, whose calls end without a word. */
void lock_held_free(struct lock_held *held);

/* For who makes the calls. Its cancel takes what its lock has returned, until done is called. */
struct lock_upstream lock_held_upstream(struct lock_held *held);

/* The server has taken what the owner had of that name. */
void lock_held_lost(struct lock_held *held, uint64_t owner, struct slice name);
/* The session has ended: nothing is held. */
void lock_held_session_lost(struct lock_held *held);

/* For client_config.reclaim: declares all by calls of below.lock. Their failures are told later. A
 * LOCK that a pass has granted ends now; the new server would have it wait. */
void lock_held_reclaim(struct lock_held *held);

#endif
