/* SPDX-License-Identifier: Apache-2.0 */
/* What a session sends, and how much a client may have under way. */
#include <stdlib.h>
#include "server/replay.h"

#define SYNCS_MAX     256 /* under way before reading pauses */
#define READ_ROOM     256 /* bytes that most answers do not outgrow */
#define UPDATES_OWING 4 /* times update_bytes that may be under way then */
#define LOCKS_RECLAIMING 16 /* times update_bytes of lock messages, while locks are declared */
#define RESEND_MAX    (64u << 20) /* bytes of frames that a client may leave unacknowledged */

/* ---- Back-pressure ---- */

/*
 * A client that owes an answer to an invalidation is read from for longer: the answer may come
 * behind updates that wait for another client in the same plight. And locks that are asked for wait
 * for the end of the declarations, which comes behind them.
 */
static bool updates_full(const struct session *session)
{
    size_t limit = server_limits(session->server)->update_bytes;

    if (session->holder && lease_owes(session->holder))
        limit *= UPDATES_OWING;
    return session->update_bytes >= limit ||
           session->lock_bytes >= limit * (session->reclaiming ? LOCKS_RECLAIMING : 1);
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

/* ---- Sending ---- */

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
        session_timer(session, 0, too_much);
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

void session_have(struct session *session)
{
    struct buf out = {0};

    resend_tell(&session->resend, &out);
    session_send(session, &out);
    buf_free(&out);
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
