/* SPDX-License-Identifier: Apache-2.0 */
/* Locks for administrators: the listing, release by force, figures. */
#include <inttypes.h>
#include "base/log.h"
#include "net/msg_lock.h"
#include "server/batch.h"
#include "server/locks_int.h"

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
        lock_events_serve(session->namespace->backend->locks);
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
        log_notice("%s: a lock of %s is released by force", session->peer, seat->name);
        if (seat->session)
            lock_send_name(seat->session, MSG_LOCK_LOST, lock.owner, key_slice(&lock.name));
        lock_release_name(lock.session, lock.owner, key_slice(&lock.name));
        locks->forced++;
    }
    buf_free(&f.locks);
    mark = frame_begin(&out, MSG_LOCK_FORCED, frame->id);
    msg_put_lock_forced(&out, count);
    session_send_kept(session, &out, mark);
    buf_free(&out);
    if (locks)
        lock_events_serve(locks);
    return 0;
}

void locks_stats(const struct locks *locks, size_t max, struct buf *out)
{
    const struct locks none = {0};
    const struct lock_stats empty = {.max = max ? max : LOCK_MAX};
    const struct lock_stats *s = locks ? lock_table_stats(locks->table) : &empty;

    if (!locks)
        locks = &none;
    buf_printf(out,
               "locks %zu\nlocks_waiting %zu\nlock_owners %zu\nlocks_max %zu\n"
               "locks_granted %" PRIu64 "\nlocks_waited %" PRIu64 "\nlock_deadlocks %" PRIu64
               "\nlocks_full %" PRIu64 "\nlock_recalls %" PRIu64 "\nlocks_forced %" PRIu64
               "\nlock_sessions_lost %" PRIu64 "\n",
               s->locks, s->requests, s->owners, s->max, s->granted, s->waited, s->deadlocks,
               s->full, s->recalls, locks->forced, locks->lost);
}
