/* SPDX-License-Identifier: Apache-2.0 */
/* Locks between clients and a server in one process: order, updates before unlocks, lost sessions.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/call.h"
#include "net/conn.h"
#include "net/event.h"
#include "net/msg_lock.h"
#include "server/server.h"
#include "store/engine_lmdb.h"
#include "store/store.h"

#define CLIENTS 8
#define WAITERS 1000

static char directory[] = "/tmp/test_lock_server.XXXXXX", address[64], tcp[64];
static struct loop *loop;
static struct network *network;
static struct store *store;
static struct server *server;
static struct client *clients[CLIENTS];
static struct key name;

static void step(void *cookie)
{
    event_loop_stop(loop);
}

static void until(const bool *flag)
{
    uint64_t deadline = loop_now(loop) + 20 * LOOP_SEC;
    struct loop_event *timer = loop_timer(loop, 20 * LOOP_SEC, step, NULL);
    while (!*flag) {
        event_loop_run(loop);
        cr_assert(*flag || loop_now(loop) < deadline, "nothing happened in 20 s");
    }
    loop_cancel(loop, timer);
}

/* What until waits for has happened. */
static void happened(bool *flag)
{
    *flag = true;
    event_loop_stop(loop);
}

static struct client *connect_to(const char *to)
{
    struct client_config config = {.address = to, .namespace = "USER", .program = "test"};
    return client_new(loop, network, &config);
}

static void start(struct server_limits limits)
{
    struct engine *engine;
    struct listener *listener;
    char *why = NULL;
    server = server_new(loop, &limits);
    cr_assert_eq(engine_lmdb_open(directory, 64u << 20, &engine, &why), 0, "%s", why);
    cr_assert_eq(store_open(loop, engine, NULL, &store, &why), 0);
    cr_assert_eq(server_add_namespace(server, "USER", store, NULL, NULL), 0);
    cr_assert_eq(server_listen(server, network, address, &listener, &why), 0, "%s", why);
    cr_assert_eq(server_listen(server, network, "127.0.0.1:0", &listener, &why), 0, "%s", why);
    snprintf(tcp, sizeof tcp, "127.0.0.1:%d", event_listener_port(listener));
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(i % 2 ? tcp : address);
}

static void setup(void)
{
    cr_assert(mkdtemp(directory));
    snprintf(address, sizeof address, "unix:%s/socket", directory);
    loop = event_loop_new();
    network = event_network_new(loop);
    key_root(&name);
    key_append(&name, slice_str("L"));
}

static void teardown(void)
{
    for (int i = 0; i < CLIENTS; i++)
        client_free(clients[i]);
    server_free(server);
    store_close(store, step, NULL);
    event_loop_run(loop);
    char *command = xasprintf("rm -rf %s", directory);
    cr_assert_eq(system(command), 0);
    free(command);
}

TestSuite(lock_server, .init = setup, .fini = teardown, .timeout = 120);

struct waiter {
    struct client *client;
    uint64_t owner, stamp;
    int error;
    bool done;
    struct call *call;
};

static void on_lock(void *cookie, int error, uint64_t stamp)
{
    struct waiter *w = cookie;
    w->error = error;
    w->stamp = stamp;
    happened(&w->done);
}

static void ask(struct waiter *w, bool wait)
{
    struct call_lock_item item = {.name = key_slice(&name), .exclusive = true};
    struct call_lock_args args = {.who = {.owner = w->owner, .text = slice_str("test")},
                                  .items = &item,
                                  .count = 1,
                                  .wait = wait};
    w->done = false;
    w->call = call_lock(w->client, &args, on_lock, w);
}

static void on_unlock(void *cookie, int error)
{
    cr_assert_eq(error, 0);
    happened(cookie);
}

static void unlock(struct waiter *w, bool *done)
{
    *done = false;
    call_unlock(w->client, w->owner, NULL, 0, on_unlock, done);
}

static void on_stats(void *cookie, int error, struct slice text)
{
    struct waiter *w = cookie;
    unsigned waiting = 0;
    char *copy = xasprintf("%.*s", (int)text.len, (const char *)text.data);
    sscanf(strstr(copy, "locks_waiting "), "locks_waiting %u", &waiting);
    free(copy);
    w->stamp = waiting;
    happened(&w->done);
}

/* Until so many requests wait at the server. */
static void until_waiting(unsigned count)
{
    struct waiter w = {0};
    for (int i = 0; i < 2000; i++) {
        w.done = false;
        call_stats(clients[0], on_stats, &w);
        until(&w.done);
        if (w.stamp == count)
            return;
    }
    cr_assert(false, "%u wait, not %u", (unsigned)w.stamp, count);
}

Test(lock_server, a_thousand_waiters_are_served_in_order_each_once)
{
    static struct waiter w[WAITERS + 1];
    bool unlocked;
    start((struct server_limits){0});
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
    start((struct server_limits){0});
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
    bool welcomed, locked;
};

static void peer_frame(void *cookie, const struct frame *f)
{
    struct peer *p = cookie;
    if (f->type == MSG_WELCOME)
        happened(&p->welcomed);
    if (f->type == MSG_LOCKED)
        happened(&p->locked);
}

static void peer_closed(void *cookie, int error, const char *why)
{
    cr_assert(false, "%s", why);
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

static void peer_connected(void *cookie, struct stream *stream, int error, const char *why)
{
    struct peer *p = cookie;
    struct buf payload = {0};
    struct msg_hello hello = {.version_min = PROTOCOL_MIN,
                              .version_max = PROTOCOL_MAX,
                              .namespace = slice_str("USER"),
                              .program = slice_str("test")};
    p->conn = conn_new(loop, stream, FRAME_MAX_PAYLOAD, &peer_events, p);
    msg_put_hello(&payload, &hello);
    peer_send(p, MSG_HELLO, 1, &payload);
}

/* Takes the lock and is gone; tells how long another client had to wait for it. */
static uint64_t wait_after_loss(const char *to)
{
    struct peer p = {0};
    struct buf payload = {0};
    struct msg_lock m = {.who = {.owner = 1}, .count = 1};
    struct msg_lock_item item = {.name = key_slice(&name), .exclusive = true, .end = UINT64_MAX};
    struct waiter b = {.client = clients[0], .owner = 1};
    network_connect(network, to, peer_connected, &p);
    until(&p.welcomed);
    msg_put_lock(&payload, &m, &item);
    peer_send(&p, MSG_LOCK, 2, &payload);
    until(&p.locked);
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
    start((struct server_limits){.recovery_time = 700 * LOOP_MS});
    cr_assert_geq(wait_after_loss(tcp), 700 * LOOP_MS);
}

/* With a window that no test would outlast. */
Test(lock_server, lock_of_a_closed_unix_socket_is_free)
{
    start((struct server_limits){.recovery_time = 3600 * LOOP_SEC});
    wait_after_loss(address);
}

Test(lock_server, cancelled_request_is_answered)
{
    struct waiter a = {.owner = 1}, b = {.owner = 2};
    start((struct server_limits){0});
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
    start((struct server_limits){.max_locks = 4});
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
