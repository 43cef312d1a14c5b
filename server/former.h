/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of before the start of the server, which may come back. */
#ifndef SERVER_FORMER_H
#define SERVER_FORMER_H

#include "server/session.h"

/*
 * What a store knows of sessions when its first namespace is served. Until each that may have held
 * locks has come back and declared them (MSG_RECLAIMED), or has ended, nobody gets a lock that is
 * not declared. Who is not back when the recovery window is over has ended; who has not said all
 * (MSG_REPLAYED, too) when as much time is over again is cut off.
 */
struct formers;

struct formers *formers_new(struct backend *backend, uint64_t window);
void formers_free(struct formers *formers);

/* The session is one of them: it becomes `session`, which gets its id, secret and last sequence. */
bool former_resume(struct formers *formers, struct session *session, uint64_t id, uint64_t secret);
/* It has declared all, or ended before. On the way down nobody gets what it held. */
void former_reclaimed(struct formers *formers, struct session *session);
/* Whether locks have to wait. */
bool formers_awaited(const struct formers *formers);

#endif
