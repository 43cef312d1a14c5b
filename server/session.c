/* SPDX-License-Identifier: Apache-2.0 */
/* A session's life: its connections, the times that a client must keep, the end. */
#include <stdlib.h>
#include "base/log.h"
#include "server/batch.h"
#include "server/former.h"
#include "server/locks.h"
#include "server/replay.h"

static void session_frame(void *cookie, const struct frame *frame);
static void lost(struct session *session, int error, const char *why);
static void session_closed(void *cookie, int error, const char *why);

static void session_drained(void *cookie)
{
    session_flow(cookie);
}

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
    if (session->reclaiming)
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

void session_timer(struct session *session, uint64_t delay, loop_fn *fn)
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
        session_timer(session, heard + limit - now, silence_check);
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
        session_timer(session, server_limits(server)->hello_time, hello_missing);
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
    session_timer(session, server_limits(session->server)->silence_time, silence_check);
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
    session_timer(session, server_limits(session->server)->recovery_time, window_over);
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
