/* SPDX-License-Identifier: Apache-2.0 */
/* The lock messages of sessions, served in their order and after the updates before them. */
#include <inttypes.h>
#include <stdlib.h>
#include "base/log.h"
#include "locks/lock_table.h"
#include "net/msg_lock.h"
#include "server/batch.h"
#include "server/locks.h"

#define FULL_WARN  85 /* per cent of the table, or of a session's share */
#define FULL_CLEAR 75

struct locks {
    struct loop *loop;
    struct lock_table *table;
    LIST_HEAD(, lock_seat) seats;
    uint64_t stamp; /* of the last grant */
    size_t share;   /* of a session */
    bool warned;
    uint64_t forced, lost;
};

/* A lock message that waits for updates, or for those before it. */
struct lock_op {
    TAILQ_ENTRY(lock_op) queue;
    uint16_t type;
    uint64_t id;
    uint64_t sequence; /* of the last update before it */
    size_t updates;    /* of those, not done yet; counted for what releases */
    size_t len;
    uint8_t payload[];
};

/* A LOCK that waits in the table. */
struct lock_pending {
    LIST_ENTRY(lock_pending) all;
    struct lock_seat *seat;
    uint64_t id;
    struct lock_request *request;
};

struct lock_seat {
    LIST_ENTRY(lock_seat) all;
    struct locks *locks;
    struct session *session; /* NULL once it has ended */
    struct lock_session *holder;
    TAILQ_HEAD(, lock_op) ops;
    LIST_HEAD(, lock_pending) pending;
    uint64_t id, secret;
    char *name;
    bool warned, full;
    /* When the session has ended: */
    size_t updates;           /* still to be done */
    bool certain;             /* nobody believes to hold anything any more */
    struct loop_event *timer; /* the recovery window */
};

static void events_serve(struct locks *locks);

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
        locks->table = lock_table_new(&config);
        locks->share = lock_table_stats(locks->table)->max / 4;
    }
    return locks;
}

static struct lock_seat *seat_of(struct session *session)
{
    struct lock_seat *seat = session->seat;

    if (seat)
        return seat;
    seat = session->seat = xcalloc(1, sizeof(*seat));
    seat->locks = locks_of(session);
    seat->session = session;
    seat->holder = lock_session_new(seat->locks->table, seat);
    seat->id = session->id;
    seat->secret = session->secret;
    seat->name = xasprintf("session %016" PRIx64 " of %s at %s", session->id, session->program,
                           conn_peer(session->conn));
    TAILQ_INIT(&seat->ops);
    LIST_INSERT_HEAD(&seat->locks->seats, seat, all);
    return seat;
}

static void op_free(struct lock_seat *seat, struct lock_op *op)
{
    TAILQ_REMOVE(&seat->ops, op, queue);
    free(op);
}

static void pending_free(struct lock_pending *p)
{
    LIST_REMOVE(p, all);
    free(p);
}

/* Nobody waits for an answer any more. */
static void seat_empty(struct lock_seat *seat)
{
    struct lock_op *op;
    struct lock_pending *p;

    while ((op = TAILQ_FIRST(&seat->ops)))
        op_free(seat, op);
    while ((p = LIST_FIRST(&seat->pending))) {
        lock_cancel(p->request);
        pending_free(p);
        events_serve(seat->locks); /* another of them may have been granted */
    }
}

static void seat_free(struct lock_seat *seat)
{
    seat_empty(seat);
    loop_cancel(seat->locks->loop, seat->timer);
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

static void send_name(struct session *session, uint16_t type, uint64_t owner, struct slice name)
{
    struct buf out = {0};
    struct msg_lock_name m = {.owner = owner, .name = name};
    size_t mark = frame_begin(&out, type, 0);

    msg_put_lock_name(&out, &m);
    frame_end(&out, mark);
    session_send(session, &out);
    buf_free(&out);
}

static void send_locked(struct lock_seat *seat, uint64_t id)
{
    struct buf out = {0};
    size_t mark = frame_begin(&out, MSG_LOCKED, id);

    msg_put_locked(&out, next_stamp(seat->locks));
    frame_end(&out, mark);
    session_send(seat->session, &out);
    buf_free(&out);
}

static void event_serve(const struct lock_event *event)
{
    struct lock_seat *seat = lock_session_cookie(event->session);
    struct lock_pending *p = event->cookie;

    if (event->kind == LOCK_EVENT_RECALL) {
        if (seat->session)
            send_name(seat->session, MSG_LOCK_RECALL, event->owner, key_slice(&event->name));
        return;
    }
    if (event->kind == LOCK_EVENT_GRANTED)
        send_locked(seat, p->id);
    else
        session_send_error(seat->session, p->id,
                           event->kind == LOCK_EVENT_BUSY ? ECP_EBUSY : ECP_EDEADLOCK, 0, "");
    pending_free(p);
}

static void events_serve(struct locks *locks)
{
    struct lock_event event;

    while (lock_next_event(locks->table, &event))
        event_serve(&event);
}

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
    return (struct lock_who){.owner = m->owner, .group = m->group, .text = m->text};
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
    session_send_error(seat->session, id, error, 0, "");
}

static int lock_serve(struct lock_seat *seat, uint64_t id, struct slice payload)
{
    struct locks *locks = seat->locks;
    struct lock_pending *p;
    struct msg_lock m;
    struct lock_item *items;
    int error = msg_get_lock(payload, &m);

    if (error || !(items = get_items(&m.r, m.count)))
        return ECP_EPROTO;
    struct lock_who who = who_of(&m.who);
    unsigned flags = (m.flags & MSG_LOCK_WAIT ? LOCK_WAIT : 0) |
                     (m.flags & MSG_LOCK_DELEGABLE ? LOCK_DELEGABLE : 0) |
                     (m.flags & MSG_LOCK_PATIENT ? LOCK_PATIENT : 0) |
                     (m.flags & MSG_LOCK_TEST ? LOCK_TEST : 0);

    if (m.flags & MSG_LOCK_REPLACE)
        lock_release_owner(seat->holder, who.owner);
    p = xcalloc(1, sizeof(*p));
    p->seat = seat;
    p->id = id;
    LIST_INSERT_HEAD(&seat->pending, p, all);
    error =
        lock_ask(seat->holder, &who, items, m.count, flags, loop_wall(locks->loop), p, &p->request);
    free(items);
    if (error)
        refused(seat, id, error);
    else if (!p->request)
        send_locked(seat, id);
    if (error || !p->request)
        pending_free(p);
    look_at_room(seat);
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
    frame_end(&out, mark);
    session_send(seat->session, &out);
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
    LIST_FOREACH (p, &seat->pending, all)
        if (p->id == id)
            break;
    if (p) {
        lock_cancel(p->request);
        pending_free(p);
        session_send_error(seat->session, id, ECP_ECANCELED, 0, "");
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

    lock_pass(seat->holder, m.from, &to, m.name, m.flags & MSG_LOCK_DELEGABLE, &ended);
    if ((p = ended)) {
        send_locked(seat, p->id);
        pending_free(p);
    }
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
    events_serve(seat->locks);
    return error;
}

/* What releases is served after the updates before it, so that the next holder sees them. */
static bool releases(uint16_t type, struct slice payload)
{
    struct msg_lock m;

    return type == MSG_UNLOCK ||
           (type == MSG_LOCK && !msg_get_lock(payload, &m) && (m.flags & MSG_LOCK_REPLACE));
}

int serve_lock(struct session *session, const struct frame *frame)
{
    struct lock_seat *seat = seat_of(session);
    size_t updates = releases(frame->type, frame->payload) ? session->updates : 0;
    struct lock_op *op;

    if (TAILQ_EMPTY(&seat->ops) && !updates)
        return op_serve(seat, frame->type, frame->id, frame->payload);
    op = xmalloc(sizeof(*op) + frame->payload.len);
    *op = (struct lock_op){.type = frame->type,
                           .id = frame->id,
                           .sequence = session->last_sequence,
                           .updates = updates,
                           .len = frame->payload.len};
    if (op->len)
        memcpy(op->payload, frame->payload.data, op->len);
    TAILQ_INSERT_TAIL(&seat->ops, op, queue);
    return 0;
}

static void run(struct lock_seat *seat)
{
    struct session *session = seat->session;
    struct lock_op *op;
    int error = 0;

    while (!error && (op = TAILQ_FIRST(&seat->ops)) && !op->updates) {
        TAILQ_REMOVE(&seat->ops, op, queue);
        error = op_serve(seat, op->type, op->id, slice_of(op->payload, op->len));
        free(op);
    }
    if (error)
        session_cut(session, error, "malformed or unexpected message");
}

/* ---- The end of a session ---- */

static void seat_check(struct lock_seat *seat)
{
    struct locks *locks = seat->locks;

    if (seat->session || seat->updates || !seat->certain)
        return;
    seat_free(seat);
    events_serve(locks);
}

static void window_over(void *cookie)
{
    struct lock_seat *seat = cookie;

    seat->timer = NULL;
    seat->certain = true;
    if (lock_session_count(seat->holder))
        log_notice("%s: did not come back; its %zu locks are free", seat->name,
                   lock_session_count(seat->holder));
    seat_check(seat);
}

/* A unix socket that closes without goodbye was closed by its process, or that is gone. Over TCP it
 * may be the network alone. */
void lock_seat_end(struct session *session)
{
    struct lock_seat *seat = session->seat;

    if (!seat)
        return;
    seat_empty(seat);
    seat->session = NULL;
    seat->updates = session->updates;
    seat->certain = session->released || !lock_session_count(seat->holder) ||
                    strncmp(conn_peer(session->conn), "unix:", 5) == 0;
    if (!seat->certain) {
        seat->locks->lost++;
        lock_kept_all(seat->holder);
        seat->timer = loop_timer(session->loop, server_limits(session->server)->recovery_time,
                                 window_over, seat);
    }
    if (!seat->updates && seat->certain)
        session->seat = NULL;
    struct locks *locks = seat->locks;
    seat_check(seat);
    events_serve(locks);
}

void lock_seat_update_done(struct session *session, uint64_t sequence)
{
    struct lock_seat *seat = session->seat;
    struct lock_op *op;

    if (!seat || (seat->session && session->state == SESSION_ENDED))
        return; /* lock_seat_end is about to come, and counts what is left */
    if (!seat->session) {
        if (--seat->updates == 0) {
            session->seat = NULL;
            seat_check(seat);
        }
        return;
    }
    TAILQ_FOREACH (op, &seat->ops, queue)
        if (op->updates && sequence <= op->sequence)
            op->updates--;
    run(seat);
}

void locks_end_former(struct locks *locks, uint64_t id, uint64_t secret)
{
    struct lock_seat *seat;

    if (!locks)
        return;
    LIST_FOREACH (seat, &locks->seats, all)
        if (!seat->session && seat->id == id && seat->secret == secret)
            break;
    if (seat) {
        seat->certain = true;
        seat_check(seat);
    }
}

/* ---- Administration ---- */

struct list {
    struct buf *out;
    uint32_t max, count;
    bool more;
};

#define LIST_BYTES (1u << 20)

static bool list_row(void *cookie, const struct lock_row *row)
{
    struct list *l = cookie;
    const struct lock_seat *seat = lock_session_cookie(row->session);
    struct msg_lock_row m = {.name = row->name,
                             .text = row->text,
                             .session = seat->id,
                             .owner = row->owner,
                             .since = row->since,
                             .count = row->count,
                             .start = row->start,
                             .end = row->end};

    if ((l->max && l->count == l->max) || l->out->len > LIST_BYTES) {
        l->more = true;
        return false;
    }
    m.flags = (uint8_t)((row->mode == LOCK_EXCLUSIVE ? MSG_LOCK_ROW_EXCLUSIVE : 0) |
                        (row->counted ? MSG_LOCK_ROW_COUNTED : 0) |
                        (row->delegable ? MSG_LOCK_ROW_DELEGABLE : 0) |
                        (row->waiting ? MSG_LOCK_ROW_WAITING : 0) |
                        (row->deadlocked ? MSG_LOCK_ROW_DEADLOCKED : 0));
    msg_put_lock_row(l->out, &m);
    l->count++;
    return true;
}

int serve_lock_list(struct session *session, const struct frame *frame)
{
    struct msg_lock_list m;
    struct buf out = {0};
    struct list list = {.out = &out};
    size_t mark, more;

    if (msg_get_lock_list(frame->payload, &m))
        return ECP_EPROTO;
    list.max = m.max;
    mark = frame_begin(&out, MSG_LOCKS, frame->id);
    more = out.len;
    put_u8(&out, 0);
    if (session->namespace->backend->locks)
        lock_list(session->namespace->backend->locks->table, m.under, list_row, &list);
    out.data[more] = list.more;
    frame_end(&out, mark);
    session_send(session, &out);
    buf_free(&out);
    if (session->namespace->backend->locks) {
        lock_recall_below(session->namespace->backend->locks->table, m.under);
        events_serve(session->namespace->backend->locks);
    }
    return 0;
}

struct force {
    struct slice name;
    bool below;
    struct buf locks; /* struct forced_lock, one after the other */
};

struct forced_lock {
    struct lock_session *session;
    uint64_t owner;
    struct key name;
};

static bool force_row(void *cookie, const struct lock_row *row)
{
    struct force *f = cookie;
    struct forced_lock lock = {.session = row->session, .owner = row->owner};

    if (row->waiting)
        return false; /* all that are held came before */
    if (!f->below && row->name.len != f->name.len)
        return true;
    key_copy(&lock.name, row->name);
    buf_append(&f->locks, &lock, sizeof(lock));
    return true;
}

/* Sessions are told before the lock passes to another. */
int serve_lock_force(struct session *session, const struct frame *frame)
{
    struct locks *locks = session->namespace->backend->locks;
    struct force f = {0};
    struct forced_lock lock;
    struct buf out = {0};
    uint32_t count;
    size_t mark;

    if (msg_get_lock_force(frame->payload, &f.name, &f.below))
        return ECP_EPROTO;
    if (locks)
        lock_list(locks->table, f.name, force_row, &f);
    count = (uint32_t)(f.locks.len / sizeof(lock));
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&lock, f.locks.data + i * sizeof(lock), sizeof(lock));
        struct lock_seat *seat = lock_session_cookie(lock.session);
        log_notice("%s: a lock of %s is released by force", conn_peer(session->conn), seat->name);
        if (seat->session)
            send_name(seat->session, MSG_LOCK_LOST, lock.owner, key_slice(&lock.name));
        lock_release_name(lock.session, lock.owner, key_slice(&lock.name));
        locks->forced++;
    }
    buf_free(&f.locks);
    mark = frame_begin(&out, MSG_LOCK_FORCED, frame->id);
    msg_put_lock_forced(&out, count);
    frame_end(&out, mark);
    session_send(session, &out);
    buf_free(&out);
    if (locks)
        events_serve(locks);
    return 0;
}

void locks_stats(const struct locks *locks, struct buf *out)
{
    const struct lock_stats *s;

    if (!locks)
        return;
    s = lock_table_stats(locks->table);
    buf_printf(out,
               "locks %zu\nlocks_waiting %zu\nlock_owners %zu\nlocks_max %zu\n"
               "locks_granted %" PRIu64 "\nlocks_waited %" PRIu64 "\nlock_deadlocks %" PRIu64
               "\nlocks_full %" PRIu64 "\nlock_recalls %" PRIu64 "\nlocks_forced %" PRIu64
               "\nlock_sessions_lost %" PRIu64 "\n",
               s->locks, s->requests, s->owners, s->max, s->granted, s->waited, s->deadlocks,
               s->full, s->recalls, locks->forced, locks->lost);
}
