/* SPDX-License-Identifier: Apache-2.0 */
/* Locks between clients and a server in one process: order, updates before unlocks, lost sessions.
 */
#include "net/conn.h"
#include "net/msg_lock.h"
#include "store/io.h"
#include "tests/unit/test_lock_util.h"

#define WAITERS 1000

TestSuite(lock_server, .init = setup, .fini = teardown, .timeout = 120);

Test(lock_server, a_thousand_waiters_are_served_in_order_each_once)
{
    static struct waiter w[WAITERS + 1];
    bool unlocked;
    start((struct server_limits){0}, NULL);
    w[0] = (struct waiter){.client = clients[0], .owner = 5000};
    ask(&w[0], true);
    until(&w[0].done);
    for (unsigned i = 1; i <= WAITERS; i++) {
        w[i] = (struct waiter){.client = clients[i % CLIENTS], .owner = i};
        ask(&w[i], true);
        until_waiting(i); /* the order between connections is that of arrival */
    }
    for (unsigned i = 0; i < WAITERS; i++) {
        unlock(&w[i], &unlocked);
        until(&w[i + 1].done);
        cr_assert_eq(w[i + 1].error, 0);
        cr_assert_gt(w[i + 1].stamp, w[i].stamp, "stamps rise in the order of service");
        for (unsigned j = i + 2; j <= WAITERS && j < i + 5; j++)
            cr_assert(!w[j].done);
    }
}

static void on_update(void *cookie, int error, const struct call_applied *applied)
{
    struct waiter *w = cookie;
    w->error = error;
    happened(&w->done);
}

static void on_node(void *cookie, int error, const struct node *node)
{
    struct waiter *w = cookie;
    w->stamp = !error && node->value.len == 3;
    happened(&w->done);
}

/* The next holder sees what was sent before the unlock, though nobody waited for its answer. */
Test(lock_server, unlock_comes_after_the_updates_before_it)
{
    struct waiter a = {.owner = 1}, b = {.owner = 1}, update = {0}, read = {0};
    struct update set = {.kind = UPDATE_SET, .key = key_slice(&name), .value = slice_str("new")};
    bool unlocked;
    start((struct server_limits){0}, NULL);
    a.client = clients[0];
    b.client = clients[1];
    ask(&a, true);
    until(&a.done);
    ask(&b, true);
    until_waiting(1);
    for (int i = 0; i < 50; i++)
        call_update(a.client, &set, 1, on_update, &update);
    unlock(&a, &unlocked);
    ask(&a, false); /* in order: it waits behind b */
    until(&b.done);
    call_node(b.client, key_slice(&name), VIEW_GLOBALS, 10, on_node, &read);
    until(&read.done);
    cr_assert_eq(read.stamp, 1);
    until(&a.done);
    cr_assert_eq(a.error, ECP_EBUSY);
}

/* A peer of hand-made frames, which goes without BYE. */
struct peer {
    struct conn *conn;
    bool resumes; /* comes back over another connection */
    bool welcomed, locked, closed;
    uint64_t session, secret;
    int code; /* of the ERROR that ended it */
};

static void ping(void *cookie);

static void peer_frame(void *cookie, const struct frame *f)
{
    struct peer *p = cookie;
    struct msg_welcome m;
    struct msg_error e;
    if (f->type == MSG_WELCOME) {
        cr_assert_eq(msg_get_welcome(f->payload, &m), 0);
        p->session = m.session;
        p->secret = m.secret;
        happened(&p->welcomed);
    }
    if (f->type == MSG_LOCKED)
        happened(&p->locked);
    if (f->type == MSG_PONG)
        loop_timer(loop, 20 * LOOP_MS, ping, p);
    if (f->type == MSG_ERROR && msg_get_error(f->payload, &e) == 0)
        p->code = e.code;
}

static void peer_closed(void *cookie, int error, const char *why)
{
    struct peer *p = cookie;
    cr_assert(p->resumes, "%s", why);
    conn_close(p->conn);
    p->conn = NULL;
    happened(&p->closed);
}

static const struct conn_events peer_events = {.frame = peer_frame, .closed = peer_closed};

static void peer_send(struct peer *p, uint16_t type, uint64_t id, struct buf *payload)
{
    struct buf out = {0};
    size_t mark = frame_begin(&out, type, id);
    buf_append_slice(&out, buf_slice(payload));
    frame_end(&out, mark);
    conn_send(p->conn, &out);
    buf_free(&out);
    buf_free(payload);
}

/* It is never silent. */
static void ping(void *cookie)
{
    struct peer *p = cookie;
    struct buf none = {0};
    if (p->conn)
        peer_send(p, MSG_PING, 9, &none);
}

static void peer_connected(void *cookie, struct stream *stream, int error, const char *why)
{
    struct peer *p = cookie;
    struct buf payload = {0};
    struct msg_hello hello = {.version_min = PROTOCOL_MIN,
                              .version_max = PROTOCOL_MAX,
                              .resume_session = p->session,
                              .resume_secret = p->secret,
                              .flags = p->resumes ? MSG_HELLO_RESUMES : 0,
                              .namespace = slice_str("USER"),
                              .program = slice_str("test")};
    p->conn = conn_new(loop, stream, FRAME_MAX_PAYLOAD, &peer_events, p);
    msg_put_hello(&payload, &hello);
    peer_send(p, MSG_HELLO, 1, &payload);
}

static void peer_lock(struct peer *p, const char *to)
{
    struct buf payload = {0};
    struct msg_lock m = {.who = {.owner = 1}, .count = 1};
    struct msg_lock_item item = {.name = key_slice(&name), .exclusive = true, .end = UINT64_MAX};
    network_connect(network, to, peer_connected, p);
    until(&p->welcomed);
    msg_put_lock(&payload, &m, &item);
    peer_send(p, MSG_LOCK, 2, &payload);
    until(&p->locked);
}

/* Takes the lock and is gone; tells how long another client had to wait for it. */
static uint64_t wait_after_loss(const char *to)
{
    struct peer p = {0};
    struct waiter b = {.client = clients[0], .owner = 1};
    peer_lock(&p, to);
    ask(&b, true);
    until_waiting(1);
    uint64_t begin = loop_now(loop);
    conn_close(p.conn);
    until(&b.done);
    cr_assert_eq(b.error, 0);
    return loop_now(loop) - begin;
}

Test(lock_server, lock_of_a_lost_connection_stands_for_the_window)
{
    start((struct server_limits){.recovery_time = 700 * LOOP_MS}, NULL);
    cr_assert_geq(wait_after_loss(tcp), 350 * LOOP_MS, "timers are not that coarse");
}

/* With a window that no test would outlast. */
Test(lock_server, lock_of_a_closed_unix_socket_is_free)
{
    start((struct server_limits){.recovery_time = 3600 * LOOP_SEC}, NULL);
    wait_after_loss(address);
}

/* Requests that wait for the end of its own declarations: more of them than the server takes. */
static void peer_floods(struct peer *p)
{
    uint8_t text[255] = {0};
    struct msg_lock m = {.who = {.owner = 2, .text = slice_of(text, sizeof text)}, .count = 1};
    struct msg_lock_item item = {.name = key_slice(&name), .end = UINT64_MAX};
    for (uint64_t id = 10; id < 1010; id++) {
        struct buf payload = {0};
        msg_put_lock(&payload, &m, &item);
        peer_send(p, MSG_LOCK, id, &payload);
    }
}

/* Nobody can tell what it still holds; but the others have waited for long enough. */
static void comes_back_and_declares_nothing(bool floods)
{
    struct peer p = {.resumes = true};
    struct waiter b = {.owner = 1};
    struct store_options options = {.io = io_posix(), .directory = directory, .wait_durable = true};
    uint64_t session;
    start((struct server_limits){.recovery_time = 200 * LOOP_MS, .update_bytes = 4096}, &options);
    peer_lock(&p, tcp);
    session = p.session;
    restart();
    until(&p.closed);
    p.welcomed = p.closed = false;
    network_connect(network, tcp, peer_connected, &p);
    until(&p.welcomed);
    cr_assert_eq(p.session, session);
    if (floods)
        peer_floods(&p);
    ping(&p);
    client_free(clients[0]);
    b.client = clients[0] =
        client_new(loop, network,
                   &(struct client_config){.address = tcp, .namespace = "USER", .program = "test"});
    ask(&b, true);
    until(&b.done);
    cr_assert_eq(b.error, 0);
    until(&p.closed);
    cr_assert_eq(p.code, ECP_ETIMEOUT);
}

Test(lock_server, who_comes_back_after_a_restart_and_declares_nothing)
{
    comes_back_and_declares_nothing(false);
}

Test(lock_server, who_comes_back_after_a_restart_and_asks_for_ever_more)
{
    comes_back_and_declares_nothing(true);
}

Test(lock_server, cancelled_request_is_answered)
{
    struct waiter a = {.owner = 1}, b = {.owner = 2};
    start((struct server_limits){0}, NULL);
    a.client = b.client = clients[0];
    ask(&a, true);
    ask(&b, true);
    until_waiting(1);
    call_lock_cancel(b.call);
    until(&b.done);
    cr_assert_eq(b.error, ECP_ECANCELED);
    until_waiting(0);
}

Test(lock_server, full_session_is_refused_alone)
{
    struct waiter a = {.owner = 1}, b = {.owner = 1};
    start((struct server_limits){.max_locks = 4}, NULL);
    a.client = clients[0];
    b.client = clients[1];
    ask(&a, true);
    until(&a.done);
    cr_assert_eq(a.error, 0);
    ask(&a, true);
    until(&a.done);
    cr_assert_eq(a.error, ECP_ELOCKFULL);
    key_append(&name, slice_str("x"));
    ask(&b, false);
    until(&b.done);
    cr_assert_eq(b.error, ECP_EBUSY, "%s", error_name(b.error));
}

static void on_forced(void *cookie, int error, uint64_t count)
{
    cr_assert_eq(error, 0);
    cr_assert_eq(count, (uint64_t)1);
    happened(cookie);
}

/* An administrator takes the lock while its client passes it to another owner, which waits for it,
 * and somebody else gets it. */
Test(lock_server, lock_taken_while_it_is_passed_on)
{
    struct waiter a = {.owner = 1}, b = {.owner = 2}, other = {.owner = 3};
    struct call_lock_who to = {.owner = 2};
    bool forced = false;
    start((struct server_limits){0}, NULL);
    a.client = b.client = clients[0];
    other.client = clients[1];
    ask(&a, true);
    until(&a.done);
    ask(&other, true);
    until_waiting(1);
    ask(&b, true);
    until_waiting(2);
    call_lock_force(clients[2], key_slice(&name), false, on_forced, &forced);
    until(&forced);
    client_lock_pass(clients[0], 1, key_slice(&name), false, &to);
    until(&b.done);
    cr_assert_eq(b.error, ECP_ECANCELED);
    until(&other.done);
    cr_assert_eq(other.error, 0);
    while (losses.count < 2) {
        losses.any = false;
        until(&losses.any);
    }
    cr_assert_eq(losses.owner, 2u, "first who had it, then who was to get it");
    until_waiting(0);
}
