/* SPDX-License-Identifier: Apache-2.0 */
/* The seats of sessions at a lock table: what the table tells them, and how they end. */
#include <inttypes.h>
#include <stdlib.h>
#include "base/log.h"
#include "base/mutation.h"
#include "net/msg_lock.h"
#include "server/batch.h"
#include "server/locks_int.h"

/* ---- Seats ---- */

static struct locks *locks_of(struct session *session)
{
    struct backend *backend = session->namespace->backend;
    struct locks *locks = backend->locks;
    struct lock_config config = {.max_locks = server_limits(session->server)->max_locks,
                                 .seed = loop_random(session->loop)};

    if (!locks) {
        locks = backend->locks = xcalloc(1, sizeof(*locks));
        locks->loop = session->loop;
        locks->store = backend->store;
        locks->table = lock_table_new(&config);
        locks->share = lock_table_stats(locks->table)->max / 4;
    }
    return locks;
}

struct lock_seat *lock_seat_of(struct session *session)
{
    struct lock_seat *seat = session->seat;

    if (seat)
        return seat;
    seat = session->seat = xcalloc(1, sizeof(*seat));
    seat->locks = locks_of(session);
    seat->session = session;
    seat->holder = lock_session_new(seat->locks->table, seat);
    seat->id = session->id;
    seat->unsynced = session->last_sequence && !store_done_is_durable(seat->locks->store);
    seat->name = xasprintf("session %016" PRIx64 " of %s at %s", session->id, session->program,
                           session->peer);
    TAILQ_INIT(&seat->ops);
    TAILQ_INIT(&seat->pending);
    LIST_INSERT_HEAD(&seat->locks->seats, seat, all);
    return seat;
}

static void op_free(struct lock_seat *seat, struct lock_op *op)
{
    TAILQ_REMOVE(&seat->ops, op, queue);
    free(op);
}

void lock_pending_free(struct lock_seat *seat, struct lock_pending *p)
{
    TAILQ_REMOVE(&seat->pending, p, all);
    free(p);
}

/* Nobody waits for an answer any more. */
static void seat_empty(struct lock_seat *seat)
{
    struct lock_op *op;
    struct lock_pending *p;

    while ((op = TAILQ_FIRST(&seat->ops)))
        op_free(seat, op);
    lock_session_cancel(seat->holder);
    while ((p = TAILQ_FIRST(&seat->pending)))
        lock_pending_free(seat, p);
}

static void seat_free(struct lock_seat *seat)
{
    seat_empty(seat);
    lock_seat_forget_sync(seat);
    LIST_REMOVE(seat, all);
    lock_session_free(seat->holder);
    free(seat->name);
    free(seat);
}

void locks_free(struct locks *locks)
{
    if (!locks)
        return;
    while (!LIST_EMPTY(&locks->seats))
        seat_free(LIST_FIRST(&locks->seats));
    lock_table_free(locks->table);
    free(locks);
}

/* ---- What the table says ---- */

/* Rises with each grant; over a restart with the clock. */
static uint64_t next_stamp(struct locks *locks)
{
    uint64_t wall = loop_wall(locks->loop);

    locks->stamp = wall > locks->stamp ? wall : locks->stamp + 1;
    return locks->stamp;
}

void lock_send_name(struct session *session, uint16_t type, uint64_t owner, struct slice name)
{
    struct buf out = {0};
    struct msg_lock_name m = {.owner = owner, .name = name};
    size_t mark = frame_begin(&out, type, 0);

    msg_put_lock_name(&out, &m);
    session_send_kept(session, &out, mark);
    buf_free(&out);
}

void lock_send_locked(struct lock_seat *seat, uint64_t id)
{
    struct buf out = {0};
    size_t mark = frame_begin(&out, MSG_LOCKED, id);

    msg_put_locked(&out, next_stamp(seat->locks));
    session_send_kept(seat->session, &out, mark);
    buf_free(&out);
}

static void event_serve(const struct lock_event *event)
{
    struct lock_seat *seat = lock_session_cookie(event->session);
    struct lock_pending *p = event->cookie;

    if (event->kind == LOCK_EVENT_RECALL) {
        if (seat->session)
            lock_send_name(seat->session, MSG_LOCK_RECALL, event->owner, key_slice(&event->name));
        return;
    }
    if (event->kind == LOCK_EVENT_GRANTED)
        lock_send_locked(seat, p->id);
    else
        session_refuse(seat->session, p->id,
                           event->kind == LOCK_EVENT_BUSY ? ECP_EBUSY : ECP_EDEADLOCK, 0, "");
    lock_pending_free(seat, p);
}

void lock_events_serve(struct locks *locks)
{
    struct lock_event event;

    while (lock_next_event(locks->table, &event))
        event_serve(&event);
}

/* ---- Connections lost, and the end of a session ---- */

/* What waits gives up its place: nobody should get a lock who cannot be told of it. What is held
 * stays, and counts as used. */
void lock_seat_away(struct session *session)
{
    struct lock_seat *seat = session->seat;
    struct lock_pending *p;

    if (!seat)
        return;
    lock_session_cancel(seat->holder); /* at once: one by one, the first would let the next pass */
    TAILQ_FOREACH (p, &seat->pending, all)
        p->request = NULL;
    if (lock_session_count(seat->holder))
        seat->locks->lost++;
    lock_kept_all(seat->holder);
    for (uint64_t owner = 1; MUTATION(MUTATION_LOCK_FREE) && owner < 4; owner++)
        lock_release_owner(seat->holder, owner);
    lock_events_serve(seat->locks);
}

void lock_seat_back(struct session *session)
{
    struct lock_seat *seat = session->seat;
    struct lock_pending *p, *next;

    if (!seat)
        return;
    lock_recall_kept(seat->holder);
    for (p = TAILQ_FIRST(&seat->pending); p; p = next) {
        next = TAILQ_NEXT(p, all);
        lock_seat_ask(seat, p);
    }
    lock_events_serve(seat->locks);
    lock_seat_run(seat);
}

void lock_seat_check(struct lock_seat *seat)
{
    struct locks *locks = seat->locks;

    if (seat->session || seat->updates)
        return;
    if (lock_session_count(seat->holder) && !lock_seat_durable(seat))
        return;
    seat_free(seat);
    lock_events_serve(locks);
}

void lock_seat_end(struct session *session)
{
    struct lock_seat *seat = session->seat;
    struct locks *locks;

    if (!seat)
        return;
    locks = seat->locks;
    seat_empty(seat);
    if (server_stopping(session->server)) { /* what it holds it will declare to the next server */
        seat->session = NULL;
        session->seat = NULL;
        lock_events_serve(locks);
        return;
    }
    if (lock_session_count(seat->holder) && !session->released)
        log_notice("%s: has ended, and with it its %zu locks", seat->name,
                   lock_session_count(seat->holder));
    seat->session = NULL;
    seat->updates = session->updates;
    if (!seat->updates)
        session->seat = NULL;
    lock_seat_check(seat);
    lock_events_serve(locks);
}

void lock_seat_update_done(struct session *session, uint64_t sequence)
{
    struct lock_seat *seat = session->seat;
    struct lock_op *op;

    if (!seat || (seat->session && session->state == SESSION_ENDED))
        return; /* lock_seat_end is about to come, and counts what is left */
    seat->unsynced |= !store_done_is_durable(seat->locks->store);
    if (!seat->session) {
        if (--seat->updates == 0) {
            session->seat = NULL;
            lock_seat_check(seat);
        }
        return;
    }
    TAILQ_FOREACH (op, &seat->ops, queue)
        if (op->updates && sequence <= op->sequence)
            op->updates--;
    lock_seat_run(seat);
}
