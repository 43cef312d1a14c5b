/* SPDX-License-Identifier: Apache-2.0 */
/* The network seam: ordered byte streams, how they are connected and accepted. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/slice.h"

/*
 * Two implementations: net/event_stream.c (libevent's bufferevents; TCP and unix sockets) and
 * tests/sim/network.c. All on the loop's thread; callbacks never from inside the call that
 * registered them, except that none comes after stream_close.
 */
struct stream;
struct network;
struct listener;

struct stream_events {
    /*
     * Bytes have come: all that arrived and was not consumed, contiguous. Returns how many were
     * consumed; the rest is presented again with what follows. The handler may close the stream
     * (the return value is then ignored).
     */
    size_t (*data)(void *cookie, struct slice bytes);
    /* Everything written has been handed to the system. */
    void (*drained)(void *cookie);
    /* The peer closed or the connection failed; reason is a short text. Only stream_close may
     * follow. */
    void (*closed)(void *cookie, const char *reason);
};

struct stream_ops {
    void (*start)(struct stream *stream, const struct stream_events *events, void *cookie);
    void (*want)(struct stream *stream, size_t bytes);
    void (*write)(struct stream *stream, struct slice bytes);
    size_t (*pending)(struct stream *stream);
    void (*pause)(struct stream *stream, bool pause);
    void (*close)(struct stream *stream);
    const char *(*peer)(struct stream *stream);
};

/* An implementation's own struct begins with this. */
struct stream {
    const struct stream_ops *ops;
};

/* Begins delivery; once, after the stream was made. Reads begin not paused. */
static inline void stream_start(struct stream *s, const struct stream_events *events, void *cookie)
{
    s->ops->start(s, events, cookie);
}

/* data() is to be called only when at least this many bytes are there (1 at first). */
static inline void stream_want(struct stream *s, size_t bytes)
{
    s->ops->want(s, bytes);
}

/* Queues bytes (copied). Bounded by the caller through stream_pending. */
static inline void stream_write(struct stream *s, struct slice bytes)
{
    s->ops->write(s, bytes);
}

/* Bytes written and not yet handed to the system. */
static inline size_t stream_pending(struct stream *s)
{
    return s->ops->pending(s);
}

/* Stops or resumes reading; data() is not called while paused. */
static inline void stream_pause(struct stream *s, bool pause)
{
    s->ops->pause(s, pause);
}

/* Closes at once (pending bytes are dropped) and frees. */
static inline void stream_close(struct stream *s)
{
    s->ops->close(s);
}

/* Text that names the other end ("127.0.0.1:40512", "unix:pid 812 uid 1000"); lives as long as the
 * stream. */
static inline const char *stream_peer(struct stream *s)
{
    return s->ops->peer(s);
}

/* Exactly one of stream and error is set; why says more. The callee owns the stream. */
typedef void connect_done_fn(void *cookie, struct stream *stream, int error, const char *why);
typedef void accept_fn(void *cookie, struct stream *stream);

struct network_ops {
    void *(*connect)(struct network *network, const char *address, connect_done_fn *done,
                     void *cookie);
    void (*connect_cancel)(struct network *network, void *handle);
    int (*listen)(struct network *network, const char *address, accept_fn *accept, void *cookie,
                  struct listener **listener, char **why);
    void (*unlisten)(struct network *network, struct listener *listener);
};

struct network {
    const struct network_ops *ops;
};

/*
 * Connects to an address: "HOST:PORT", "[IPV6]:PORT" or "unix:PATH"; every address of a host name
 * is tried in turn. The returned handle may be given to network_connect_cancel until done is
 * called. The name look-up does not block the loop. Errors: ECP_EUNREACHABLE.
 */
static inline void *network_connect(struct network *n, const char *address, connect_done_fn *done,
                                    void *cookie)
{
    return n->ops->connect(n, address, done, cookie);
}

static inline void network_connect_cancel(struct network *n, void *handle)
{
    n->ops->connect_cancel(n, handle);
}

/*
 * Accepts connections at an address of the same forms (a host name that resolves to several
 * addresses listens on all of them; port 0 lets the system choose). A stale unix socket file is
 * replaced, a live one is ECP_EBUSY. On failure *why (caller frees) says what and why.
 */
static inline int network_listen(struct network *n, const char *address, accept_fn *accept,
                                 void *cookie, struct listener **listener, char **why)
{
    return n->ops->listen(n, address, accept, cookie, listener, why);
}

static inline void network_unlisten(struct network *n, struct listener *listener)
{
    n->ops->unlisten(n, listener);
}

#endif
