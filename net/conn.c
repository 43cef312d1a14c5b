/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: frames over a stream, limits of size and time, orderly ends. */
#include <stdlib.h>

#include "base/mutation.h"
#include "net/conn.h"

#define FLUSH_TIME    (2 * LOOP_SEC)
#define TIMED_PAYLOAD (256u << 10) /* each such part of a frame has a second more */

/*
 * ended: closed() was called or is under way, or conn_close_after_flush was called; no callback
 * follows but closed(). flushing: input is thrown away, the connection frees itself.
 */
struct conn {
    struct loop *loop;
    struct stream *stream;
    size_t max_payload;
    const struct conn_events *events;
    void *cookie;
    uint64_t last_heard;
    bool *gone; /* set by conn_close, for the callback that is running */
    bool paused;
    bool ended;
    bool flushing;
    bool was_high;

    uint64_t stall_time;
    struct loop_event *stall;  /* armed while begun, or while output is pending */
    struct loop_event *finish; /* tells of `error` soon, or ends a flush */
    int error;
    const char *why;

    bool begun; /* a frame is incomplete */
    size_t need;
    uint64_t begun_at;

    uint64_t written;  /* bytes ever given to the stream */
    uint64_t taken;    /* of them, those the system had taken when last looked */
    uint64_t taken_at; /* when `taken` grew, or output began to pend */
};

static void stall_check(void *cookie);

static void quiet(struct conn *conn)
{
    loop_cancel(conn->loop, conn->stall);
    conn->stall = NULL;
    conn->begun = false;
}

/* From a callback of the loop only; conn may be gone afterwards. */
static void conn_fail(struct conn *conn, int error, const char *why)
{
    if (conn->ended)
        return;
    conn->ended = true;
    quiet(conn);
    stream_pause(conn->stream, true);
    conn->events->closed(conn->cookie, error, why);
}

static void tell_closed(void *cookie)
{
    struct conn *conn = cookie;
    conn->finish = NULL;
    conn->events->closed(conn->cookie, conn->error, conn->why);
}

static void conn_fail_soon(struct conn *conn, int error, const char *why)
{
    conn->ended = true;
    conn->error = error;
    conn->why = why;
    quiet(conn);
    stream_pause(conn->stream, true);
    conn->finish = loop_soon(conn->loop, tell_closed, conn);
}

static uint64_t frame_deadline(const struct conn *conn)
{
    size_t payload = conn->need - FRAME_HEADER_LEN;
    return conn->begun_at + conn->stall_time + payload * LOOP_SEC / TIMED_PAYLOAD;
}

/* Arms the timer for whatever is to be watched first; none when nothing is. */
static void stall_arm(struct conn *conn)
{
    loop_cancel(conn->loop, conn->stall);
    conn->stall = NULL;
    if (conn->ended)
        return;
    uint64_t now = loop_now(conn->loop);
    uint64_t delay = UINT64_MAX;
    if (conn->begun)
        delay = frame_deadline(conn) > now ? frame_deadline(conn) - now : 1;
    if (stream_pending(conn->stream) > 0 && conn->stall_time / 4 < delay)
        delay = conn->stall_time / 4 + 1;
    if (delay != UINT64_MAX)
        conn->stall = loop_timer(conn->loop, delay, stall_check, conn);
}

static void stall_check(void *cookie)
{
    struct conn *conn = cookie;
    uint64_t now = loop_now(conn->loop);
    uint64_t pending = stream_pending(conn->stream);

    conn->stall = NULL;
    if (conn->begun && now >= frame_deadline(conn)) {
        conn_fail(conn, ECP_ETIMEOUT, "a message did not arrive completely in time");
        return;
    }
    if (conn->written - pending > conn->taken || pending == 0) {
        conn->taken = conn->written - pending;
        conn->taken_at = now;
    } else if (now - conn->taken_at >= conn->stall_time) {
        conn_fail(conn, ECP_ETIMEOUT, "the peer does not read what is sent to it");
        return;
    }
    stall_arm(conn);
}

/* The incomplete frame at the front needs that many bytes; have is what there is of it. */
static void wait_for(struct conn *conn, size_t have, size_t need)
{
    bool begun = have > 0;
    stream_want(conn->stream, begun ? need : 1);
    if (begun == conn->begun && (!begun || need == conn->need))
        return;
    if (begun && !conn->begun)
        conn->begun_at = conn->last_heard;
    conn->begun = begun;
    conn->need = need;
    if (begun)
        stall_arm(conn);
}

/* Takes what is complete; returns how many bytes that were. *gone: conn was freed meanwhile. */
static size_t take_frames(struct conn *conn, struct slice bytes, bool *gone)
{
    size_t at = 0;
    for (;;) {
        struct frame frame;
        size_t used, need;
        struct slice rest = slice_of(bytes.data + at, bytes.len - at);
        if (frame_parse(rest, conn->max_payload, &frame, &used, &need) != 0) {
            conn_fail(conn, ECP_EPROTO, "malformed, damaged or oversized message");
            return at;
        }
        if (used == 0) {
            wait_for(conn, rest.len, need);
            return at;
        }
        conn->begun = false;
        at += used;
        conn->events->frame(conn->cookie, &frame);
        if (*gone)
            return at;
        if (conn->flushing)
            return bytes.len;
        if (conn->paused || conn->ended) {
            stream_want(conn->stream, 1); /* a resume presents whatever is there */
            return at;
        }
    }
}

static size_t on_data(void *cookie, struct slice bytes)
{
    struct conn *conn = cookie;
    bool gone = false;

    if (conn->ended)
        return bytes.len;
    conn->last_heard = loop_now(conn->loop);
    conn->gone = &gone;
    size_t used = take_frames(conn, bytes, &gone);
    if (!gone)
        conn->gone = NULL;
    return used;
}

static void on_drained(void *cookie)
{
    struct conn *conn = cookie;
    if (conn->flushing) {
        conn_close(conn);
        return;
    }
    if (conn->ended)
        return;
    bool tell = conn->was_high;
    conn->was_high = false;
    if (!conn->begun)
        quiet(conn);
    if (tell && conn->events->drained)
        conn->events->drained(conn->cookie);
}

static void on_closed(void *cookie, const char *reason)
{
    struct conn *conn = cookie;
    if (conn->flushing)
        conn_close(conn);
    else
        conn_fail(conn, ECP_EDISCONNECTED, reason);
}

static const struct stream_events conn_stream_events = {
    .data = on_data,
    .drained = on_drained,
    .closed = on_closed,
};

struct conn *conn_new(struct loop *loop, struct stream *stream, size_t max_payload,
                      const struct conn_events *events, void *cookie)
{
    struct conn *conn = xcalloc(1, sizeof(*conn));
    conn->loop = loop;
    conn->stream = stream;
    conn->max_payload = max_payload;
    conn->events = events;
    conn->cookie = cookie;
    conn->stall_time = CONN_STALL_TIME;
    conn->last_heard = loop_now(loop);
    stream_start(stream, &conn_stream_events, conn);
    return conn;
}

void conn_set_cookie(struct conn *conn, void *cookie)
{
    conn->cookie = cookie;
}

void conn_set_max_payload(struct conn *conn, size_t max_payload)
{
    conn->max_payload = max_payload;
}

void conn_set_stall_time(struct conn *conn, uint64_t time)
{
    conn->stall_time = time;
    stall_arm(conn);
}

void conn_send(struct conn *conn, struct buf *frames)
{
    size_t pending = stream_pending(conn->stream);
    if (MUTATION_HOLDS(conn, frames))
        return;
    if (conn->ended || frames->len == 0) {
        buf_clear(frames);
        return;
    }
    if (pending + frames->len > CONN_OUTPUT_MAX) {
        buf_clear(frames);
        conn_fail_soon(conn, ECP_ETIMEOUT, "the peer reads too slowly");
        return;
    }
    if (pending == 0) {
        conn->taken = conn->written;
        conn->taken_at = loop_now(conn->loop);
    }
    stream_write(conn->stream, buf_slice(frames));
    conn->written += frames->len;
    buf_clear(frames);
    if (pending == 0)
        stall_arm(conn);
    if (stream_pending(conn->stream) > CONN_OUTPUT_HIGH)
        conn->was_high = true;
}

size_t conn_pending(const struct conn *conn)
{
    return stream_pending(conn->stream);
}

void conn_pause(struct conn *conn, bool pause)
{
    if (conn->ended || pause == conn->paused)
        return;
    conn->paused = pause;
    if (pause)
        conn->begun = false; /* what is missing may be our doing; begins anew at the resume */
    else
        stream_want(conn->stream, 1);
    stream_pause(conn->stream, pause);
    stall_arm(conn);
}

uint64_t conn_last_heard(const struct conn *conn)
{
    return conn->last_heard;
}

const char *conn_peer(const struct conn *conn)
{
    return stream_peer(conn->stream);
}

void conn_close(struct conn *conn)
{
    if (!conn)
        return;
    if (conn->gone)
        *conn->gone = true;
    quiet(conn);
    loop_cancel(conn->loop, conn->finish);
    stream_close(conn->stream);
    free(conn);
}

static void flush_ended(void *cookie)
{
    struct conn *conn = cookie;
    conn->finish = NULL;
    conn_close(conn);
}

/* Input is read on and thrown away: closing with unread input would reset the connection and so
 * lose output that is still on its way. */
void conn_close_after_flush(struct conn *conn)
{
    if (!conn || stream_pending(conn->stream) == 0) {
        conn_close(conn);
        return;
    }
    conn->ended = conn->flushing = true;
    quiet(conn);
    loop_cancel(conn->loop, conn->finish);
    conn->finish = loop_timer(conn->loop, FLUSH_TIME, flush_ended, conn);
    stream_want(conn->stream, 1);
    stream_pause(conn->stream, false);
}
