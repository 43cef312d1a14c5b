/* SPDX-License-Identifier: Apache-2.0 */
/* Connections against peers that behave badly, over real sockets. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/event_internal.h"

static struct loop *loop;
static struct conn *conn;
static int peer; /* the other end, a plain socket */
static int frames, ended, drains;
static void (*on_frame)(void);
static struct loop_event *ticking; /* of the peer's timer, if any */

static void frame_came(void *cookie, const struct frame *frame)
{
    frames++;
    if (on_frame)
        on_frame();
}

static void conn_ended(void *cookie, int error, const char *why)
{
    ended = error;
    conn_close(conn);
    conn = NULL;
    event_loop_stop(loop);
}

static void conn_drained(void *cookie)
{
    drains++;
}

static const struct conn_events events = {frame_came, conn_ended, conn_drained};

static void setup(void)
{
    int fds[2];
    loop = event_loop_new();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    peer = fds[1];
    conn = conn_new(loop, event_stream_new(loop, fds[0]), 1 << 20, &events, NULL);
}

static void teardown(void)
{
    conn_close(conn);
    loop_cancel(loop, ticking);
    close(peer);
    event_loop_free(loop);
}

static void stop(void *cookie)
{
    event_loop_stop(loop);
}

static void run_for(uint64_t time)
{
    struct loop_event *timer = loop_timer(loop, time, stop, NULL);
    event_loop_run(loop);
    if (ended)
        loop_cancel(loop, timer);
}

static struct buf frame_of(size_t len, int count)
{
    struct buf b = {0};
    while (count--) {
        size_t mark = frame_begin(&b, 1, 1);
        for (size_t i = 0; i < len; i++)
            put_u8(&b, 1);
        frame_end(&b, mark);
    }
    return b;
}

static void peer_sends(struct buf b)
{
    cr_assert_eq(write(peer, b.data, b.len), (ssize_t)b.len);
    buf_free(&b);
}

#define CONN_TEST(name) Test(conn, name, .init = setup, .fini = teardown, .timeout = 20)

CONN_TEST(frames_and_end)
{
    peer_sends(frame_of(10, 5));
    shutdown(peer, SHUT_WR);
    run_for(5 * LOOP_SEC);
    cr_assert_eq(frames, 5);
    cr_assert_eq(ended, ECP_EDISCONNECTED);
}

CONN_TEST(oversized)
{
    struct buf b = frame_of((1 << 20) + 1, 1);
    b.len = FRAME_HEADER_LEN;
    peer_sends(b);
    run_for(5 * LOOP_SEC);
    cr_assert_eq(ended, ECP_EPROTO);
}

static struct buf trickle;
static size_t trickled;

static void trickle_one(void *cookie)
{
    ticking = NULL;
    (void)!write(peer, trickle.data + trickled++, 1);
    if (trickled < trickle.len && !ended)
        ticking = loop_timer(loop, 10 * LOOP_MS, trickle_one, NULL);
}

CONN_TEST(trickled)
{
    trickle = frame_of(1000, 1);
    uint64_t start = loop_now(loop);
    conn_set_stall_time(conn, 200 * LOOP_MS);
    trickle_one(NULL);
    run_for(5 * LOOP_SEC);
    cr_assert_eq(ended, ECP_ETIMEOUT);
    cr_assert_geq(loop_now(loop) - start, 190 * LOOP_MS);
    cr_assert_lt(trickled, 100);
    buf_free(&trickle);
}

CONN_TEST(idle_is_no_stall)
{
    conn_set_stall_time(conn, 50 * LOOP_MS);
    peer_sends(frame_of(10, 1));
    run_for(300 * LOOP_MS);
    cr_assert(frames == 1 && !ended);
}

CONN_TEST(peer_never_reads)
{
    struct buf b = frame_of(1 << 20, 4);
    conn_set_stall_time(conn, 200 * LOOP_MS);
    conn_send(conn, &b);
    cr_assert_eq(b.len, 0);
    run_for(5 * LOOP_SEC);
    cr_assert_eq(ended, ECP_ETIMEOUT);
    buf_free(&b);
}

CONN_TEST(output_limit)
{
    for (int i = 0; i < 40; i++) {
        struct buf b = frame_of(1 << 20, 1);
        conn_send(conn, &b);
        cr_assert_eq(ended, 0, "never from inside conn_send");
        buf_free(&b);
    }
    cr_assert_leq(conn_pending(conn), CONN_OUTPUT_MAX);
    run_for(5 * LOOP_SEC);
    cr_assert_eq(ended, ECP_ETIMEOUT);
}

static void pause_now(void)
{
    conn_pause(conn, true);
}

CONN_TEST(paused)
{
    on_frame = pause_now;
    conn_set_stall_time(conn, 50 * LOOP_MS);
    peer_sends(frame_of(10, 3));
    run_for(200 * LOOP_MS);
    cr_assert_eq(frames, 1);
    conn_pause(conn, false);
    cr_assert_eq(frames, 1, "not from inside conn_pause");
    run_for(100 * LOOP_MS);
    cr_assert_eq(frames, 2);
    on_frame = NULL;
    shutdown(peer, SHUT_WR);
    run_for(50 * LOOP_MS);
    cr_assert(frames == 2 && !ended);
    conn_pause(conn, false);
    run_for(LOOP_SEC);
    cr_assert(frames == 3 && ended == ECP_EDISCONNECTED);
}

static void close_now(void)
{
    conn_close(conn);
    conn = NULL;
}

CONN_TEST(closed_by_handler)
{
    on_frame = close_now;
    peer_sends(frame_of(10, 3));
    run_for(50 * LOOP_MS);
    cr_assert(frames == 1 && !ended);
}

static size_t drunk;

static void drink(void *cookie)
{
    static char sink[1 << 16];
    ssize_t n;
    ticking = NULL;
    while ((n = read(peer, sink, sizeof(sink))) > 0)
        drunk += (size_t)n;
    if (n != 0)
        ticking = loop_timer(loop, LOOP_MS, drink, NULL);
    else
        event_loop_stop(loop);
}

static void answer_and_flush(void)
{
    struct buf b = frame_of(1 << 20, 4);
    conn_send(conn, &b);
    buf_free(&b);
    conn_close_after_flush(conn);
    conn = NULL;
}

CONN_TEST(flushed)
{
    on_frame = answer_and_flush;
    peer_sends(frame_of(10, 3));
    drink(NULL);
    event_loop_run(loop);
    cr_assert_eq(drunk, 4 * ((1 << 20) + FRAME_HEADER_LEN));
    cr_assert(frames == 1 && !ended);
}

CONN_TEST(drained)
{
    struct buf b = frame_of(1 << 20, 4);
    conn_send(conn, &b);
    ticking = loop_timer(loop, LOOP_MS, drink, NULL);
    run_for(500 * LOOP_MS);
    cr_assert_eq(drains, 1);
    buf_free(&b);
}
