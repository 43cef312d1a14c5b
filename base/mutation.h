/* SPDX-License-Identifier: Apache-2.0 */
/* Deliberate faults, one per rule of coherence or of the store, each of which the simulator must find. They are in
 * no program but its own. */
#ifndef BASE_MUTATION_H
#define BASE_MUTATION_H

#include <stdbool.h>

enum mutation {
    MUTATION_NONE,
    MUTATION_REORDER,     /* the server's frames leave in another order than they take effect */
    MUTATION_OWN,         /* APPLIED's touches are not laid on */
    MUTATION_BAR,         /* what an own update may change is served until it is answered */
    MUTATION_BAR_ABOVE,   /* and only the kernel goes on to serve it */
    MUTATION_NO_WAIT,     /* an update is applied before others have answered */
    MUTATION_NO_LAPSE,    /* a lease that ran out is waited for all the same */
    MUTATION_IN_FLIGHT,   /* a page is leased while an update to it is under way */
    MUTATION_NOBODY,      /* and while one is for which nobody had to be asked */
    MUTATION_EARLY,       /* an invalidation is answered before the kernel was told */
    MUTATION_UNKNOWN,     /* and when the kernel did not know the node yet */
    MUTATION_NO_END,      /* the client's lease does not end */
    MUTATION_FROM_ANSWER, /* the client counts its lease from the answer, not the question */
    MUTATION_GAP,         /* pages of a lease that ran out are served under the next one */
    MUTATION_OVERTAKE,    /* updates of one session overtake each other */
    MUTATION_JOINER,      /* who joins a load later takes its answer without a lease */
    MUTATION_RELEASE,     /* the lease of an evicted page is given back at once */
    MUTATION_ABSENT,      /* what was not there is still not there after a touch */
    MUTATION_ANCESTORS,   /* ancestors whose existence changes are not touched */
    MUTATION_SUBTREE,     /* what lies below is not touched with a subtree */
    MUTATION_GRACE,       /* leases of before the server's crash are not waited for */
    MUTATION_NO_RESEND,   /* what was lost with a connection is not sent again */
    MUTATION_OLD_TIME,    /* a directory's time goes back to what a leased page says */
    MUTATION_RECLAIM,     /* pages taken back for want of room are kept */
    MUTATION_LOCK_EARLY,  /* a lock passes on before what was written under it is durable */
    MUTATION_LOCK_FREE,   /* locks are free as soon as the connection is lost */
    MUTATION_LOCK_LOST,   /* who loses locks with the session is not told */
    MUTATION_LOCK_GRACE,  /* after a start locks are given before those of before are declared */
    MUTATION_TWICE,       /* an update sent again after a start is applied again */
    MUTATION_FORGET,      /* checkpoints forget the sessions */
    MUTATION_NO_TRACE,    /* updates are answered before a session is on disk */
    MUTATION_NO_REPLAY,    /* what was answered and then lost is not sent again */
    MUTATION_REPLAY_ORDER, /* it is applied as it comes, not in the order of its stamps */
    MUTATION_REPLAY_READ,  /* others read while it is waited for */
    MUTATION_ACK_EARLY,   /* an update is acknowledged before it is durable, though it should be */
    MUTATION_SYNC_EARLY,  /* what was only written counts as durable */
    MUTATION_SYNC_AGAIN,  /* a failed sync of the journal is tried again */
    MUTATION_UNSETTLED,   /* what a failed sync left in memory is taken for durable after a start */
    MUTATION_NEXT,        /* a segment is written before the one before it is synced */
    MUTATION_AHEAD,       /* a checkpoint begins before the journal up to its freeze is durable */
    MUTATION_POSITION,    /* the journal's position goes with a checkpoint's first transaction */
    MUTATION_PURGE,       /* segments are removed before the checkpoint is in the base */
    MUTATION_SKIP,        /* recovery skips a record */
    MUTATION_TORN,        /* recovery goes on behind a torn record */
    MUTATION_HALF,        /* and takes a torn one for good */
    MUTATION_UNPROVEN,    /* it replays into the base what is not yet known to be on disk */
    MUTATION_STAMP,       /* stamps after a start are the clock's */
    MUTATION_REFUSED,     /* what is refused for want of room is done all the same */
    MUTATION_NO_ROOM,     /* and so is all that follows, when there is room again */
    MUTATION_END
};

#ifdef ECP_MUTATIONS
extern int ecp_mutation;
#define MUTATION(n) (ecp_mutation == (n))
/* MUTATION_REORDER: whether the frames were taken, to be sent after the next. */
struct conn;
struct buf;
bool mutation_holds(struct conn *conn, struct buf *frames);
#define MUTATION_HOLDS(conn, frames) (MUTATION(MUTATION_REORDER) && mutation_holds(conn, frames))
#else
#define MUTATION(n)                  0
#define MUTATION_HOLDS(conn, frames) 0
#endif

#endif
