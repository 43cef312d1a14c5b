/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_SYNC, MSG_RECLAIMED: answered when the session's earlier updates, and all that was applied, are durable. */
#include <stdlib.h>
#include "server/batch.h"
#include "server/former.h"
#include "server/replay.h"

/* left: of the session's updates when it was asked, those still under way. */
struct sync {
    TAILQ_ENTRY(sync) link; /* of the session, while left */
    struct session *session;
    uint64_t id, sequence;
    size_t left;
    bool reclaimed;
    bool held; /* for the replay; counts as one left */
};

static void sync_free(struct sync *sync)
{
    struct session *session = sync->session;

    session->syncs--;
    session_flow(session);
    session_unref(session);
    free(sync);
}

static void durable(void *cookie, int error)
{
    struct sync *sync = cookie;
    struct session *session = sync->session;
    struct buf out = {0};

    if (session->state != SESSION_ENDED && error)
        session_refuse(session, sync->id, error, 0, "");
    if (session->state != SESSION_ENDED && sync->reclaimed)
        former_reclaimed(session->namespace->backend->formers, session);
    if (session->state != SESSION_ENDED && !error) {
        session_send_kept(session, &out, frame_begin(&out, MSG_SYNCED, sync->id));
        buf_free(&out);
    }
    sync_free(sync);
}

int serve_sync(struct session *session, const struct frame *frame)
{
    struct sync *sync = xcalloc(1, sizeof(*sync));

    sync->session = session;
    sync->id = frame->id;
    sync->reclaimed = frame->type == MSG_RECLAIMED;
    session->declared |= sync->reclaimed;
    sync->sequence = session->last_sequence;
    sync->held = replay_holds(session);
    sync->left = session->updates + sync->held;
    session_ref(session);
    session->syncs++;
    if (sync->left)
        TAILQ_INSERT_TAIL(&session->syncing, sync, link);
    else
        store_sync(session->namespace->store, durable, sync);
    session_flow(session);
    return 0;
}

/* One thing less that it waits for. */
static void step(struct session *session, struct sync *sync)
{
    if (--sync->left)
        return;
    TAILQ_REMOVE(&session->syncing, sync, link);
    if (session->state == SESSION_ENDED)
        sync_free(sync);
    else
        store_sync(session->namespace->store, durable, sync);
}

void serve_sync_updated(struct session *session, uint64_t sequence)
{
    struct sync *sync, *next;

    for (sync = TAILQ_FIRST(&session->syncing); sync; sync = next) {
        next = TAILQ_NEXT(sync, link);
        if (sequence <= sync->sequence)
            step(session, sync);
    }
}

void serve_sync_go_on(struct session *session, bool drop)
{
    struct sync *sync, *next;

    for (sync = TAILQ_FIRST(&session->syncing); sync; sync = next) {
        next = TAILQ_NEXT(sync, link);
        if (drop) {
            TAILQ_REMOVE(&session->syncing, sync, link);
            sync_free(sync);
        } else if (sync->held) {
            sync->held = false;
            step(session, sync);
        }
    }
}
