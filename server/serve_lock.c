/* SPDX-License-Identifier: Apache-2.0 */
/* The lock messages of sessions, served in their order and after the updates before them. */
#include <stdlib.h>
#include "base/log.h"
#include "net/msg_lock.h"
#include "server/batch.h"
#include "server/former.h"
#include "server/locks_int.h"

#define FULL_WARN  85 /* per cent of the table, or of a session's share */
#define FULL_CLEAR 75

/* ---- Room ---- */

static bool warn(bool *warned, size_t count, size_t max)
{
    bool before = *warned;

    if (count * 100 >= max * FULL_WARN)
        *warned = true;
    else if (count * 100 < max * FULL_CLEAR)
        *warned = false;
    return *warned && !before;
}

static void look_at_room(struct lock_seat *seat)
{
    const struct lock_stats *s = lock_table_stats(seat->locks->table);
    size_t count = lock_session_count(seat->holder), share = seat->locks->share;

    if (warn(&seat->locks->warned, s->locks + s->items, s->max))
        log_warning("the lock table is filling up: %zu of %zu", s->locks + s->items, s->max);
    if (warn(&seat->warned, count, share))
        log_warning("%s: holds %zu of the %zu locks that a session may have", seat->name, count,
                    share);
    if (!seat->warned)
        seat->full = false;
}

/* ---- Messages ---- */

static struct lock_who who_of(const struct msg_lock_who *m)
{
    return (struct lock_who){
        .owner = m->owner, .group = m->group, .process = m->process, .text = m->text};
}

static struct lock_item *get_items(struct reader *r, uint16_t count)
{
    struct lock_item *items = xcalloc(count ? count : 1, sizeof(*items));
    struct msg_lock_item m;

    for (uint16_t i = 0; i < count; i++) {
        if (msg_get_lock_item(r, &m)) {
            free(items);
            return NULL;
        }
        items[i] = (struct lock_item){.name = m.name,
                                      .mode = m.exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED,
                                      .counted = m.counted,
                                      .start = m.start,
                                      .end = m.end};
    }
    if (reader_at_end(r))
        return items;
    free(items);
    return NULL;
}

static void refused(struct lock_seat *seat, uint64_t id, int error)
{
    if (error == ECP_ELOCKFULL && !seat->full) {
        log_warning("%s: no room for more locks", seat->name);
        seat->full = true;
    }
    session_refuse(seat->session, id, error, 0, "");
}

void lock_seat_ask(struct lock_seat *seat, struct lock_pending *p)
{
    struct msg_lock m;
    struct lock_item *items;
    int error;

    msg_get_lock(slice_of(p->payload, p->len), &m);
    items = get_items(&m.r, m.count);
    struct lock_who who = who_of(&m.who);
    unsigned flags = (m.flags & MSG_LOCK_WAIT ? LOCK_WAIT : 0) |
                     (m.flags & MSG_LOCK_DELEGABLE ? LOCK_DELEGABLE : 0) |
                     (m.flags & MSG_LOCK_PATIENT ? LOCK_PATIENT : 0) |
                     (m.flags & MSG_LOCK_TEST ? LOCK_TEST : 0);

    error = lock_ask(seat->holder, &who, items, m.count, flags, loop_wall(seat->locks->loop), p,
                     &p->request);
    free(items);
    if (error)
        refused(seat, p->id, error);
    else if (!p->request)
        lock_send_locked(seat, p->id);
    if (error || !p->request)
        lock_pending_free(seat, p);
    look_at_room(seat);
}

static int lock_serve(struct lock_seat *seat, uint64_t id, struct slice payload)
{
    struct lock_pending *p;
    struct msg_lock m;
    struct lock_item *items;

    if (msg_get_lock(payload, &m) || !(items = get_items(&m.r, m.count)))
        return ECP_EPROTO;
    free(items);
    if ((m.flags & MSG_LOCK_RECLAIM) && !seat->session->reclaiming) {
        refused(seat, id, ECP_EINVAL);
        return 0;
    }
    if (seat->unknown && !(m.flags & MSG_LOCK_RECLAIM)) {
        refused(seat, id, seat->unknown);
        seat->unknown = 0; /* the next one tries again */
        return 0;
    }
    if (m.flags & MSG_LOCK_REPLACE)
        lock_release_owner(seat->holder, m.who.owner);
    p = xcalloc(1, sizeof(*p) + payload.len);
    p->id = id;
    p->len = payload.len;
    memcpy(p->payload, payload.data, payload.len);
    TAILQ_INSERT_TAIL(&seat->pending, p, all);
    if (seat->session->state != SESSION_AWAY)
        lock_seat_ask(seat, p);
    return 0;
}

static int unlock_serve(struct lock_seat *seat, uint64_t id, struct slice payload)
{
    struct msg_unlock m;
    struct lock_item *items;
    struct buf out = {0};
    size_t mark;

    if (msg_get_unlock(payload, &m) || !(items = get_items(&m.r, m.count)))
        return ECP_EPROTO;
    if (m.count)
        lock_release(seat->holder, m.owner, items, m.count);
    else
        lock_release_owner(seat->holder, m.owner);
    free(items);
    mark = frame_begin(&out, MSG_UNLOCKED, id);
    session_send_kept(seat->session, &out, mark);
    buf_free(&out);
    look_at_room(seat);
    return 0;
}

/* One that has been answered already is past cancelling. */
static int cancel_serve(struct lock_seat *seat, struct slice payload)
{
    struct lock_pending *p;
    uint64_t id;

    if (msg_get_lock_cancel(payload, &id))
        return ECP_EPROTO;
    TAILQ_FOREACH (p, &seat->pending, all)
        if (p->id == id)
            break;
    if (p) {
        if (p->request)
            lock_cancel(p->request);
        lock_pending_free(seat, p);
        session_refuse(seat->session, id, ECP_ECANCELED, 0, "");
    }
    return 0;
}

static int kept_serve(struct lock_seat *seat, struct slice payload)
{
    struct msg_lock_name m;

    if (msg_get_lock_name(payload, &m))
        return ECP_EPROTO;
    lock_kept(seat->holder, m.owner, m.name);
    return 0;
}

static int pass_serve(struct lock_seat *seat, struct slice payload)
{
    struct msg_lock_pass m;
    struct lock_pending *p;
    void *ended;

    if (msg_get_lock_pass(payload, &m))
        return ECP_EPROTO;
    struct lock_who to = who_of(&m.to);
    bool vain = lock_pass(seat->holder, m.from, &to, m.name, m.flags & MSG_LOCK_DELEGABLE,
                          &ended) == LOCK_PASS_IN_VAIN;

    if ((p = ended)) {
        if (vain)
            session_refuse(seat->session, p->id, ECP_ECANCELED, 0, "");
        else
            lock_send_locked(seat, p->id);
        lock_pending_free(seat, p);
    }
    if (vain)
        lock_send_name(seat->session, MSG_LOCK_LOST, m.to.owner, m.name);
    return 0;
}

/* ---- In order ---- */

static int op_serve(struct lock_seat *seat, uint16_t type, uint64_t id, struct slice payload)
{
    int error;

    switch (type) {
    case MSG_LOCK:
        error = lock_serve(seat, id, payload);
        break;
    case MSG_UNLOCK:
        error = unlock_serve(seat, id, payload);
        break;
    case MSG_LOCK_CANCEL:
        error = cancel_serve(seat, payload);
        break;
    case MSG_LOCK_KEPT:
        error = kept_serve(seat, payload);
        break;
    default:
        error = pass_serve(seat, payload);
    }
    lock_events_serve(seat->locks);
    return error;
}

/* Whether a part of some lock becomes shared that was exclusive. */
static bool weakens(const struct lock_seat *seat, struct msg_lock *m)
{
    struct msg_lock_item item;

    for (uint16_t i = 0; i < m->count && !msg_get_lock_item(&m->r, &item); i++)
        if (!item.exclusive && !item.counted &&
            lock_is_exclusive(seat->holder, m->who.owner, item.name))
            return true;
    return false;
}

static bool releases(const struct lock_seat *seat, uint16_t type, struct slice payload)
{
    struct msg_lock m;

    if (type != MSG_LOCK)
        return type == MSG_UNLOCK;
    if (msg_get_lock(payload, &m))
        return false;
    return (m.flags & MSG_LOCK_REPLACE) || (!(m.flags & MSG_LOCK_TEST) && weakens(seat, &m));
}

/* Nobody gets a lock before a crash of the server would leave a trace of the session, nor before
 * the sessions of before a restart have declared what they hold. Declaring does not wait. */
static bool may_lock(struct lock_seat *seat, struct slice payload)
{
    struct msg_lock m;

    if (seat->unknown || msg_get_lock(payload, &m) || (m.flags & MSG_LOCK_RECLAIM))
        return true;
    return lock_seat_known(seat) &&
           !formers_awaited(seat->session->namespace->backend->formers);
}

/* What releases is served after the updates before it, and when they are on disk: so the next
 * holder sees them, and nobody acts upon what might still be lost. A PASS grants a LOCK that waits
 * in the table, from where the session's are taken out while it is away. */
static bool may_serve(struct lock_seat *seat, const struct lock_op *op)
{
    struct slice payload = slice_of(op->payload, op->len);

    if (op->type == MSG_LOCK_PASS && seat->session->state == SESSION_AWAY)
        return false;
    if (op->type == MSG_LOCK && !may_lock(seat, payload))
        return false;
    return op->durable || !releases(seat, op->type, payload) ||
           (!op->updates && lock_seat_durable(seat));
}

int serve_lock(struct session *session, const struct frame *frame)
{
    struct lock_seat *seat = lock_seat_of(session);
    struct lock_op *op;

    op = xmalloc(sizeof(*op) + frame->payload.len);
    *op = (struct lock_op){.type = frame->type,
                           .id = frame->id,
                           .sequence = session->last_sequence,
                           .updates = session->updates,
                           .len = frame->payload.len};
    if (op->len)
        memcpy(op->payload, frame->payload.data, op->len);
    TAILQ_INSERT_TAIL(&seat->ops, op, queue);
    session->lock_bytes += sizeof(*op) + op->len;
    if (op == TAILQ_FIRST(&seat->ops))
        lock_seat_run(seat);
    else
        session_flow(session);
    return 0;
}

/* Served, or refused: out of the queue. */
static void lock_op_end(struct lock_seat *seat, struct lock_op *op)
{
    TAILQ_REMOVE(&seat->ops, op, queue);
    seat->session->lock_bytes -= sizeof(*op) + op->len;
}

void lock_seat_run(struct lock_seat *seat)
{
    struct session *session = seat->session;
    struct lock_op *op;
    int error = 0;

    while (session && !error && (op = TAILQ_FIRST(&seat->ops)) && may_serve(seat, op)) {
        lock_op_end(seat, op);
        error = op_serve(seat, op->type, op->id, slice_of(op->payload, op->len));
        free(op);
    }
    if (error)
        session_cut(session, error, "malformed or unexpected message");
    else if (session)
        session_flow(session);
}

void locks_serve_all(struct locks *locks)
{
    struct lock_seat *seat, *next;

    if (!locks)
        return;
    for (seat = LIST_FIRST(&locks->seats); seat; seat = next) {
        next = LIST_NEXT(seat, all);
        lock_seat_run(seat);
    }
}

/* The message for which it was begun may be gone, when it came to release nothing any more. Who
 * waits now may come behind later updates, and asks anew. */
void lock_seat_synced(struct lock_seat *seat, int error)
{
    struct session *session = seat->session;
    struct lock_op *op = TAILQ_FIRST(&seat->ops);
    bool concerned = op && op->syncing;

    session_ref(session);
    if (concerned && error) {
        lock_op_end(seat, op);
        session_refuse(session, op->id, error, 0, "");
        free(op);
    } else if (concerned) {
        op->durable = true;
    }
    lock_seat_run(seat);
    session_unref(session);
}
