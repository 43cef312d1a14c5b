/* SPDX-License-Identifier: Apache-2.0 */
/* A session's life: greeting, the limits that keep a bad client from harming others, the end. */
#include <stdlib.h>
#include "base/log.h"
#include "server/batch.h"
#include "server/former.h"
#include "server/locks.h"
#include "server/replay.h"

#define SYNCS_MAX     256 /* under way before reading pauses */
#define READ_ROOM     256 /* bytes that most answers do not outgrow */
#define UPDATES_OWING 4 /* times update_bytes that may be under way then */
#define RESEND_MAX    (64u << 20) /* bytes of frames that a client may leave unacknowledged */

static void session_frame(void *cookie, const struct frame *frame);
static void lost(struct session *session, int error, const char *why);
static void session_closed(void *cookie, int error, const char *why);
void session_have(struct session *session)
{
    struct buf out = {0};

    resend_tell(&session->resend, &out);
    session_send(session, &out);
    buf_free(&out);
}

static void session_drained(void *cookie);

static const struct conn_events session_events = {
    .frame = session_frame,
    .closed = session_closed,
    .drained = session_drained,
};

/* ---- Life ---- */

void session_ref(struct session *session)
{
    session->refs++;
}

void session_unref(struct session *session)
{
    if (--session->refs)
        return;
    resend_free(&session->resend);
    free(session->peer);
    free(session->program);
    free(session);
}

static void cancel_reads(struct session *session)
{
    while (session->reads) {
        store_read_cancel(session->reads->read);
        session_read_remove(session->reads);
    }
    replay_forget_reads(session);
}

void session_end(struct session *session, bool flush)
{
    if (session->state == SESSION_ENDED)
        return;
    session->state = SESSION_ENDED;
    cancel_reads(session);
    batch_drop_all(session);
    lock_seat_end(session);
    if (session->reclaiming && !server_stopping(session->server))
        former_reclaimed(session->namespace->backend->formers, session);
    replay_session_end(session);
    if (session->known && !server_stopping(session->server))
        store_session_end(session->namespace->store, session->id);
    if (session->holder)
        lease_holder_end(session->holder, session->released);
    session->holder = NULL;
    loop_cancel(session->loop, session->timer);
    session->timer = NULL;
    if (flush)
        conn_close_after_flush(session->conn);
    else
        conn_close(session->conn);
    session->conn = NULL;
    session->namespace = NULL;
    server_session_remove(session->server, session);
    session->server = NULL;
    session_unref(session);
}

void session_cut(struct session *session, int error, const char *text)
{
    if (session->state == SESSION_ENDED)
        return;
    log_notice("%s: session cut off: %s (%s)", session->peer, text, error_text(error));
    session_send_error(session, 0, error, 0, text);
    session_end(session, true);
}

static void timer_set(struct session *session, uint64_t delay, loop_fn *fn)
{
    loop_cancel(session->loop, session->timer);
    session->timer = loop_timer(session->loop, delay, fn, session);
}

static void hello_missing(void *cookie)
{
    struct session *session = cookie;

    session->timer = NULL;
    session_cut(session, ECP_ETIMEOUT, "no HELLO came in time");
}

/* While reading is paused it is we who do not listen, so that does not count as silence. */
static void silence_check(void *cookie)
{
    struct session *session = cookie;
    uint64_t limit = server_limits(session->server)->silence_time;
    uint64_t heard = conn_last_heard(session->conn), now = loop_now(session->loop);

    session->timer = NULL;
    if (session->resumed > heard)
        heard = session->resumed;
    if (session->paused)
        heard = now;
    if (now >= heard + limit) {
        session_send_error(session, 0, ECP_ETIMEOUT, 0,
                           "the client was silent for three lease terms");
        lost(session, ECP_ETIMEOUT, "the client was silent for three lease terms");
    }
    else
        timer_set(session, heard + limit - now, silence_check);
}

void session_new(struct server *server, struct stream *stream)
{
    struct session *session = xcalloc(1, sizeof(*session));
    struct loop *loop = server_loop(server);
    bool full = server_sessions(server) >= server_limits(server)->max_sessions;

    session->server = server;
    session->loop = loop;
    session->refs = 1;
    TAILQ_INIT(&session->parked);
    TAILQ_INIT(&session->syncing);
    TAILQ_INIT(&session->held);
    session->conn = conn_new(loop, stream, FRAME_MAX_GREETING, &session_events, session);
    session->peer = xstrdup(conn_peer(session->conn));
    server_session_add(server, session);
    if (full)
        session_cut(session, ECP_EBUSY, "too many sessions");
    else
        timer_set(session, server_limits(server)->hello_time, hello_missing);
}

/* ---- Connections lost, and others in their place ---- */

struct conn *session_hand_over(struct session *session)
{
    struct conn *conn = session->conn;

    session->conn = NULL;
    session_end(session, false);
    return conn;
}

void session_connected(struct session *session)
{
    session->state = SESSION_NORMAL;
    session->paused = false;
    free(session->peer);
    session->peer = xstrdup(conn_peer(session->conn));
    conn_set_max_payload(session->conn, FRAME_MAX_PAYLOAD);
    timer_set(session, server_limits(session->server)->silence_time, silence_check);
}

static void window_over(void *cookie)
{
    struct session *session = cookie;

    session->timer = NULL;
    log_notice("%s: session of %s did not come back in time and has ended", session->peer,
               session->program);
    session_end(session, false);
}

void session_away(struct session *session)
{
    session->state = SESSION_AWAY;
    cancel_reads(session);
    conn_close_after_flush(session->conn);
    session->conn = NULL;
    server_session_disconnected(session->server, session);
    timer_set(session, server_limits(session->server)->recovery_time, window_over);
    lock_seat_away(session);
}

/* A unix socket that its peer closes was closed by its process, or that is gone: nobody will come
 * back. Of any other connection that ends so the network alone may be the cause. */
static bool may_return(const struct session *session, int error)
{
    return session->state == SESSION_NORMAL &&
           (error == ECP_ETIMEOUT || strncmp(session->peer, "unix:", 5) != 0) &&
           server_has_room(session->server);
}

static void lost(struct session *session, int error, const char *why)
{
    if (error == ECP_EDISCONNECTED)
        log_info("%s: connection lost: %s", session->peer, why);
    else
        log_notice("%s: cut off: %s (%s)", session->peer, why, error_text(error));
    if (may_return(session, error))
        session_away(session);
    else
        session_end(session, false);
}

/* ---- Shutdown ---- */

void session_leave(struct session *session)
{
    if (session->state == SESSION_ENDED || session->state == SESSION_LEAVING)
        return;
    session->state = SESSION_LEAVING;
    loop_cancel(session->loop, session->timer);
    session->timer = NULL;
    session_flow(session);
}

bool session_leave_step(struct session *session, bool late)
{
    if (session->updates || session->syncs)
        return false;
    if (!session->told) {
        session->told = true;
        session_send_error(session, 0, ECP_ESHUTDOWN, 0, "the server is going down");
    }
    if (session->conn && conn_pending(session->conn) > 0 && !late)
        return false;
    session_end(session, false);
    return true;
}

void session_register(struct session *session)
{
    if (session->known || !session->resumes)
        return;
    session->known = true;
    store_session_begin(session->namespace->store, session->id, session->secret, 0, NULL, NULL);
}

/* ---- Sending, and back-pressure ---- */

/*
 * A client that owes an answer to an invalidation is read from for longer: the answer may come
 * behind updates that wait for another client in the same plight.
 */
static bool updates_full(const struct session *session)
{
    size_t limit = server_limits(session->server)->update_bytes;

    if (session->holder && lease_owes(session->holder))
        limit *= UPDATES_OWING;
    return session->update_bytes >= limit;
}

void session_flow(struct session *session)
{
    size_t pending;
    bool pause;

    if (!session->conn)
        return;
    pending = conn_pending(session->conn);
    pause = updates_full(session) || replay_full(session) || session->syncs >= SYNCS_MAX || pending > CONN_OUTPUT_HIGH ||
            (session->reads && session->read_bytes + pending > CONN_OUTPUT_HIGH);
    if (session->state == SESSION_LEAVING)
        pause = false; /* what comes is dropped, so that closing resets nothing */
    if (pause == session->paused)
        return;
    session->paused = pause;
    if (!pause)
        session->resumed = loop_now(session->loop);
    conn_pause(session->conn, pause);
}

void session_send(struct session *session, struct buf *frames)
{
    if (session->conn)
        conn_send(session->conn, frames);
    else
        buf_clear(frames);
    session_flow(session);
}

static void too_much(void *cookie)
{
    struct session *session = cookie;

    session->timer = NULL;
    session_cut(session, ECP_ETIMEOUT, "the client does not say what it has received");
}

void session_send_kept(struct session *session, struct buf *frame, size_t mark)
{
    if (session->state == SESSION_ENDED)
        return;
    resend_keep(&session->resend, frame, mark);
    if (resend_bytes(&session->resend) > RESEND_MAX)
        timer_set(session, 0, too_much);
    session_send(session, frame);
}

static size_t put_error(struct buf *out, uint64_t id, int error, uint32_t index, const char *text)
{
    struct msg_error m = {.code = (uint16_t)error, .index = index, .text = slice_str(text)};
    size_t mark = frame_begin(out, MSG_ERROR, id);

    msg_put_error(out, &m);
    return mark;
}

void session_send_error(struct session *session, uint64_t id, int error, uint32_t index,
                        const char *text)
{
    struct buf out = {0};

    frame_end(&out, put_error(&out, id, error, index, text));
    session_send(session, &out);
    buf_free(&out);
}

void session_refuse(struct session *session, uint64_t id, int error, uint32_t index,
                    const char *text)
{
    struct buf out = {0};
    size_t mark = put_error(&out, id, error, index, text);

    session_send_kept(session, &out, mark);
    buf_free(&out);
}

static void session_drained(void *cookie)
{
    session_flow(cookie);
}

/* ---- Reads under way ---- */

void session_read_add(struct session *session, struct session_read *read, uint64_t id,
                      size_t reserved)
{
    read->session = session;
    read->id = id;
    read->reserved = reserved;
    read->next = session->reads;
    if (read->next)
        read->next->prev = read;
    session->reads = read;
    session->read_bytes += reserved;
    session_flow(session);
}

void session_read_begin(struct session_read *read, uint16_t type)
{
    buf_reserve(&read->out, READ_ROOM);
    read->mark = frame_begin(&read->out, type, read->id);
}

void session_read_remove(struct session_read *read)
{
    struct session *session = read->session;

    if (read->prev)
        read->prev->next = read->next;
    else
        session->reads = read->next;
    if (read->next)
        read->next->prev = read->prev;
    session->read_bytes -= read->reserved;
    buf_free(&read->out);
    free(read);
}

void session_read_done(struct session_read *read, int error)
{
    struct session *session = read->session;
    struct buf out = read->out;
    uint64_t id = read->id;

    read->out = (struct buf){0};
    if (!error)
        frame_end(&out, read->mark);
    session_read_remove(read);
    if (error)
        session_send_error(session, id, error, 0, "");
    else
        session_send(session, &out);
    buf_free(&out);
}

/* ---- Leases ---- */

static void invalidate(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    struct session *session = cookie;
    struct buf out = {0};
    size_t mark = frame_begin(&out, MSG_INVALIDATE, serial);

    msg_put_touches(&out, touches, count);
    session_send_kept(session, &out, mark);
    buf_free(&out);
}

static void overdue(void *cookie)
{
    session_cut(cookie, ECP_ETIMEOUT, "an invalidation was not answered for a lease term");
}

struct lease_holder *session_holder(struct session *session)
{
    char *name;

    if (!session->holder) {
        name = xasprintf("session %016llx of %s at %s", (unsigned long long)session->id,
                         session->program, session->peer);
        session->holder =
            lease_holder_new(session->namespace->backend->leases, session->term, name, invalidate,
                             overdue, session);
        free(name);
    }
    return session->holder;
}

/* ---- What the connection tells ---- */

static void session_frame(void *cookie, const struct frame *frame)
{
    struct session *session = cookie;
    int error;

    session_ref(session);
    if (session->state == SESSION_GREETING) {
        session_greet(session, frame);
    } else if (session->state == SESSION_NORMAL ||
               (session->state == SESSION_LEAVING && frame->type == MSG_INVALIDATED)) {
        if (session->holder)
            lease_heard(session->holder, conn_last_heard(session->conn));
        if (resend_got(&session->resend, frame))
            session_have(session);
        error = dispatch(session, frame);
        if (error)
            session_cut(session, error,
                        error == ECP_EORDER ? "update sequence number out of order"
                                            : "malformed or unexpected message");
    }
    session_unref(session);
}

/* An end without BYE: the peer is gone (no fault of anyone's), or a limit was broken. */
static void session_closed(void *cookie, int error, const char *why)
{
    lost(cookie, error, why);
}
