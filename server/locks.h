/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of one store's namespaces: the sessions' seats at its lock table, and how they end. */
#ifndef SERVER_LOCKS_H
#define SERVER_LOCKS_H

#include "server/session.h"

/*
 * A session has a seat from its first lock message on. The seat outlives the session: until the
 * updates that it had given to the store are done, and, when the client may still be alive,
 * until the recovery window has passed.
 */
struct locks;
struct lock_seat;

void locks_free(struct locks *locks);
/* Serves what has waited for sessions of before the restart. locks may be NULL. */
void locks_serve_all(struct locks *locks);
/* locks may be NULL, when none was asked for yet; max is the limit that is configured. */
void locks_stats(const struct locks *locks, size_t max, struct buf *out);

/* The session has lost its connection; and it has another. */
void lock_seat_away(struct session *session);
void lock_seat_back(struct session *session);
/* The session has just ended; its updates are those given to the store. */
void lock_seat_end(struct session *session);
/* An update of this sequence number of the session is done, or dropped. */
void lock_seat_update_done(struct session *session, uint64_t sequence);

int serve_lock(struct session *session, const struct frame *frame);
int serve_lock_list(struct session *session, const struct frame *frame);
int serve_lock_force(struct session *session, const struct frame *frame);

#endif
