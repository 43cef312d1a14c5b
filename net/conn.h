/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: frames over a stream, with limits that keep a bad peer from harming anyone. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/loop.h"
#include "net/frame.h"
#include "net/stream.h"

struct conn;

struct conn_events {
    /* A whole frame. frame is borrowed. The handler may call conn_close. */
    void (*frame)(void *cookie, const struct frame *frame);
    /* Ended by the peer, by failure or by a limit. why: one sentence. The handler must call
     * conn_close. */
    void (*closed)(void *cookie, int error, const char *why);
    /* Output fell to zero after having been above CONN_OUTPUT_HIGH. May be NULL. */
    void (*drained)(void *cookie);
};

#define CONN_OUTPUT_HIGH (1u << 20)  /* bytes pending above which a sender should stop producing */
#define CONN_OUTPUT_MAX  (32u << 20) /* bytes pending above which the peer is cut off */
#define CONN_STALL_TIME                                                                            \
    (30 * LOOP_SEC) /* pending output or a begun frame must progress: see below */

/*
 * Takes over stream. A frame once begun must be complete within CONN_STALL_TIME and one second for
 * each 256 KiB of its payload, and the peer must take some of the pending output within
 * CONN_STALL_TIME: otherwise closed() with ECP_ETIMEOUT. Paused time does not count. max_payload as
 * in frame_parse.
 */
struct conn *conn_new(struct loop *loop, struct stream *stream, size_t max_payload,
                      const struct conn_events *events, void *cookie);

/* The events go to another from now on. */
void conn_set_cookie(struct conn *conn, void *cookie);

void conn_set_max_payload(struct conn *conn, size_t max_payload);

/* For tests and configuration: the stall time, in ns. */
void conn_set_stall_time(struct conn *conn, uint64_t time);

/* Sends the finished frames in `frames` and clears it. */
void conn_send(struct conn *conn, struct buf *frames);

/* Bytes not yet handed to the system. */
size_t conn_pending(const struct conn *conn);

/* Stops or resumes delivery of frames (back-pressure). */
void conn_pause(struct conn *conn, bool pause);

/* loop_now() when the last byte came in. */
uint64_t conn_last_heard(const struct conn *conn);

const char *conn_peer(const struct conn *conn);

/* Frees; no callback follows. Pending output is dropped; conn_close_after_flush sends it first (at
 * most 2 s). */
void conn_close(struct conn *conn);
void conn_close_after_flush(struct conn *conn);

#endif
