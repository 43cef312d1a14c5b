/* SPDX-License-Identifier: Apache-2.0 */
/* What was written under a lock is on disk before the lock passes on. */
#include <stdlib.h>
#include "base/log.h"
#include "base/mutation.h"
#include "server/locks_int.h"

struct lock_sync {
    struct lock_seat *seat; /* NULL: gone */
};

/* Those of the session's updates that were done when the sync began are durable, or cannot be. */
static void synced(void *cookie, int error)
{
    struct lock_sync *sync = cookie;
    struct lock_seat *seat = sync->seat;

    free(sync);
    if (!seat)
        return;
    seat->sync = NULL;
    if (error)
        seat->unsynced = true;
    if (seat->session)
        lock_seat_synced(seat, error);
    else if (!error)
        lock_seat_check(seat);
    else
        log_error("%s: what it wrote cannot become durable; nobody gets its locks", seat->name);
}

bool lock_seat_durable(struct lock_seat *seat)
{
    if ((!seat->unsynced && !seat->sync) || MUTATION(MUTATION_LOCK_EARLY))
        return true;
    if (seat->sync)
        return false;
    seat->unsynced = false;
    seat->sync = xcalloc(1, sizeof(*seat->sync));
    seat->sync->seat = seat;
    if (!TAILQ_EMPTY(&seat->ops))
        TAILQ_FIRST(&seat->ops)->syncing = true;
    store_sync(seat->locks->store, synced, seat->sync);
    return false;
}

struct lock_known {
    struct lock_seat *seat; /* NULL: gone */
};

static void known(void *cookie, int error)
{
    struct lock_known *k = cookie;
    struct lock_seat *seat = k->seat;

    free(k);
    if (!seat)
        return;
    seat->asked = NULL;
    seat->known = !error;
    seat->unknown = error;
    if (seat->session)
        lock_seat_run(seat);
}

bool lock_seat_known(struct lock_seat *seat)
{
    struct session *session = seat->session;

    if (seat->known || !session->resumes)
        return true;
    if (seat->asked)
        return false;
    seat->unknown = 0;
    seat->asked = xcalloc(1, sizeof(*seat->asked));
    seat->asked->seat = seat;
    session->known = true;
    store_session_begin(seat->locks->store, session->id, session->secret, STORE_SESSION_LOCKS,
                        known, seat->asked);
    return false;
}

void lock_seat_forget_sync(struct lock_seat *seat)
{
    if (seat->asked)
        seat->asked->seat = NULL;
    if (seat->sync)
        seat->sync->seat = NULL;
}
