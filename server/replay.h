/* SPDX-License-Identifier: Apache-2.0 */
/* What a crash took back after it had been answered comes again from the clients that were told. */
#ifndef SERVER_REPLAY_H
#define SERVER_REPLAY_H

#include "server/session.h"

/*
 * Of a backend, after a start:
 *
 *   CLOSED --await--> OPEN --nobody is awaited--> APPLYING, in the order of stamps --durable-->
 * CLOSED
 *
 * Awaited is each session of before the start whose client may keep such batches, until it has sent
 * all (MSG_REPLAYED) or has ended. Until it is closed again nobody reads, and no new batch begins:
 * what sessions know of is not there yet. It needs no recall: leases of before are of the state
 * that it leads to. Without room on the disk it stays open, for what comes has been answered.
 */
struct replay;

struct replay *replay_new(struct backend *backend);
void replay_free(struct replay *replay);

/* Appends lines "name value". */
void replay_stats(const struct replay *replay, struct buf *out);

/* One session more is awaited, or (-1) one less. */
void replay_await(struct replay *replay, int change);
/* Nothing comes of it in this run of the server; the next one awaits the same. */
void replay_abandon(struct replay *replay);

/* Whether it is not closed; the session will go on then, with all that was held back. */
bool replay_holds(struct session *session);
void replay_hold_read(struct session *session, const struct frame *frame);
/* Whether so much is held back that no more should be read. */
bool replay_full(const struct session *session);
/* Its connection is gone. */
void replay_forget_reads(struct session *session);
/* It is ENDED. What it has sent again is applied all the same. */
void replay_session_end(struct session *session);

#endif
