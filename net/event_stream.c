/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams over connected sockets, through libevent's bufferevents. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/event_internal.h"

#define TURN_MAX (256u << 10) /* bytes read or written for one stream in one turn */

/*
 * `inside` counts callbacks of the owner that are running: a stream closed by one of them is freed
 * when the outermost has returned. `reason` is set once the input ended; what came before it is
 * delivered first, therefore closed() may wait for the end of a pause.
 */
struct event_stream {
    struct stream base;
    struct loop *loop;
    struct bufferevent *bev;
    const struct stream_events *events;
    void *cookie;
    size_t want;
    struct loop_event *again; /* buffered bytes are to be presented */
    struct loop_event *turn;  /* ends a turn that has seen a write */
    struct buf out;           /* of this turn, still here */
    unsigned writes;          /* in this turn */
    bool many;                /* the last turn with a write had several */
    char *reason;
    int inside;
    bool paused;
    bool closed; /* by the owner */
    bool told;   /* closed() was called */
    char peer[NI_MAXHOST + NI_MAXSERV + 4];
};

static struct event_stream *stream_of(struct stream *stream)
{
    return (struct event_stream *)stream;
}

static void stream_free(struct event_stream *s)
{
    loop_cancel(s->loop, s->again);
    loop_cancel(s->loop, s->turn);
    buf_free(&s->out);
    bufferevent_free(s->bev);
    event_loop_streams(s->loop, -1);
    free(s->reason);
    free(s);
}

static void enter(struct event_stream *s)
{
    s->inside++;
}

/* False when the stream is gone. */
static bool leave(struct event_stream *s)
{
    if (--s->inside > 0 || !s->closed)
        return !s->closed;
    stream_free(s);
    return false;
}

/* Calls data() when there is enough and tells of the end; false when the stream is gone. */
static bool deliver(struct event_stream *s)
{
    struct evbuffer *input = bufferevent_get_input(s->bev);
    size_t len = evbuffer_get_length(input);

    if (s->told || s->paused)
        return true;
    enter(s);
    if (len > 0 && len >= s->want) {
        const void *bytes = evbuffer_pullup(input, -1);
        if (!bytes)
            log_fatal("out of memory");
        size_t used = s->events->data(s->cookie, slice_of(bytes, len));
        if (!s->closed)
            evbuffer_drain(input, used);
    }
    if (!s->closed && s->reason && !s->paused) {
        s->told = true;
        s->events->closed(s->cookie, s->reason);
    }
    return leave(s);
}

static void deliver_again(void *cookie)
{
    struct event_stream *s = cookie;
    s->again = NULL;
    deliver(s);
}

static void deliver_soon(struct event_stream *s)
{
    if (s->again || s->closed || s->told || !s->events)
        return;
    if (s->reason || evbuffer_get_length(bufferevent_get_input(s->bev)) >= s->want)
        s->again = loop_soon(s->loop, deliver_again, s);
}

static void read_ready(struct bufferevent *bev, void *cookie)
{
    struct event_stream *s = cookie;

    event_loop_works(s->loop);
    deliver(s);
}

static size_t real_pending(struct stream *base);

static void write_ready(struct bufferevent *bev, void *cookie)
{
    struct event_stream *s = cookie;
    if (s->told || real_pending(&s->base) > 0)
        return;
    enter(s);
    s->events->drained(s->cookie);
    leave(s);
}

static void ended(struct bufferevent *bev, short what, void *cookie)
{
    struct event_stream *s = cookie;
    int error = EVUTIL_SOCKET_ERROR();

    if (s->reason)
        return;
    bufferevent_disable(bev, EV_READ | EV_WRITE);
    s->reason = xstrdup(what & BEV_EVENT_EOF ? "closed by the peer" : strerror(error));
    if (what & BEV_EVENT_ERROR && s->paused) {
        /* Nothing can be answered any more: what is held back does not matter. */
        s->told = true;
        enter(s);
        s->events->closed(s->cookie, s->reason);
        leave(s);
        return;
    }
    deliver(s);
}

static void real_start(struct stream *base, const struct stream_events *events, void *cookie)
{
    struct event_stream *s = stream_of(base);
    s->events = events;
    s->cookie = cookie;
    bufferevent_setcb(s->bev, read_ready, write_ready, ended, s);
    bufferevent_enable(s->bev, s->paused ? EV_WRITE : EV_READ | EV_WRITE);
}

static void real_want(struct stream *base, size_t bytes)
{
    struct event_stream *s = stream_of(base);
    bool less = bytes < s->want;
    if (s->closed || bytes == s->want)
        return;
    s->want = bytes;
    bufferevent_setwatermark(s->bev, EV_READ, bytes, 0);
    if (less && !s->inside && !s->paused)
        deliver_soon(s);
}

static bool waits_for_room(const struct event_stream *s)
{
    return evbuffer_get_length(bufferevent_get_output(s->bev)) > 0;
}

/* What the system does not take now, the bufferevent sends; it also finds out about errors. */
static void send_now(struct event_stream *s, struct slice bytes)
{
    ssize_t sent = 0;

    if (!waits_for_room(s))
        sent = send(bufferevent_getfd(s->bev), bytes.data, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < bytes.len &&
        bufferevent_write(s->bev, bytes.data + sent, bytes.len - (size_t)sent) != 0)
        log_fatal("out of memory");
}

static void turn_ended(void *cookie)
{
    struct event_stream *s = cookie;

    s->turn = NULL;
    s->many = s->writes > 1;
    s->writes = 0;
    if (s->out.len == 0 || s->reason || s->closed)
        return;
    send_now(s, buf_slice(&s->out));
    buf_clear(&s->out);
    if (!waits_for_room(s)) {
        enter(s);
        s->events->drained(s->cookie);
        leave(s);
    }
}

/* The first write of a turn leaves at once, so that a lone answer is quick, unless the last turn
 * makes it likely that others follow; all others of a turn leave together. */
static void real_write(struct stream *base, struct slice bytes)
{
    struct event_stream *s = stream_of(base);

    if (s->closed || s->reason || bytes.len == 0)
        return;
    if (s->writes++ || s->many || !s->events) {
        buf_append_slice(&s->out, bytes);
    } else {
        send_now(s, bytes);
    }
    if (!s->turn)
        s->turn = loop_soon(s->loop, turn_ended, s);
}

static size_t real_pending(struct stream *base)
{
    struct event_stream *s = stream_of(base);

    return s->out.len + evbuffer_get_length(bufferevent_get_output(s->bev));
}

static void real_pause(struct stream *base, bool pause)
{
    struct event_stream *s = stream_of(base);
    if (s->closed || pause == s->paused)
        return;
    s->paused = pause;
    if (!s->events || s->reason) {
        if (!pause)
            deliver_soon(s);
        return;
    }
    if (pause) {
        bufferevent_disable(s->bev, EV_READ);
        return;
    }
    bufferevent_enable(s->bev, EV_READ);
    deliver_soon(s);
}

static void real_close(struct stream *base)
{
    struct event_stream *s = stream_of(base);
    if (s->closed)
        return;
    s->closed = true;
    loop_cancel(s->loop, s->turn);
    s->turn = NULL;
    bufferevent_setcb(s->bev, NULL, NULL, NULL, NULL);
    bufferevent_disable(s->bev, EV_READ | EV_WRITE);
    if (!s->inside)
        stream_free(s);
}

static const char *real_peer(struct stream *base)
{
    return stream_of(base)->peer;
}

static const struct stream_ops event_stream_ops = {
    .start = real_start,
    .want = real_want,
    .write = real_write,
    .pending = real_pending,
    .pause = real_pause,
    .close = real_close,
    .peer = real_peer,
};

static void name_peer(struct event_stream *s, int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    struct ucred cred;
    socklen_t cred_len = sizeof(cred);

    snprintf(s->peer, sizeof(s->peer), "unknown");
    if (getpeername(fd, (struct sockaddr *)&address, &len) != 0)
        return;
    if (address.ss_family == AF_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0)
            snprintf(s->peer, sizeof(s->peer), "unix:pid %ld uid %lu", (long)cred.pid,
                     (unsigned long)cred.uid);
        return;
    }
    if (getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(s->peer, sizeof(s->peer), address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                 host, port);
}

struct stream *event_stream_new(struct loop *loop, int fd)
{
    struct event_stream *s = xcalloc(1, sizeof(*s));
    int on = 1;

    event_loop_streams(loop, 1);
    s->base.ops = &event_stream_ops;
    s->loop = loop;
    s->want = 1;
    name_peer(s, fd);
    /* They fail harmlessly on a unix socket. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    s->bev = bufferevent_socket_new(event_loop_base(loop), fd, BEV_OPT_CLOSE_ON_FREE);
    if (!s->bev)
        log_fatal("out of memory");
    bufferevent_set_max_single_read(s->bev, TURN_MAX);
    bufferevent_set_max_single_write(s->bev, TURN_MAX);
    bufferevent_setwatermark(s->bev, EV_READ, 1, 0);
    return &s->base;
}
