/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of a session: what a peer that breaks the rules is told, and when. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/event.h"
#include "net/msg.h"
#include "server/server.h"
#include "store/engine_lmdb.h"
#include "store/store.h"

#define POLL    (20 * LOOP_MS)
#define BATCHES 20

/* A client of hand-made frames. */
struct peer {
    struct conn *conn;
    bool ready, ended; /* connected; the connection is over */
    int code;          /* of the ERROR that came */
    uint64_t error_id;
    char text[200];
    unsigned version, welcomes, applied, pongs, synced;
};

static char directory[] = "/tmp/test_net_session.XXXXXX", address[64];
static struct loop *loop;
static struct network *network;
static struct store *store;
static struct server *server;

static void peer_frame(void *cookie, const struct frame *f)
{
    struct peer *p = cookie;
    struct msg_error e;
    struct msg_applied m;
    struct msg_welcome w;
    if (f->type == MSG_ERROR) {
        cr_assert_eq(msg_get_error(f->payload, &e), 0);
        p->code = e.code;
        p->error_id = f->id;
        snprintf(p->text, sizeof p->text, "%.*s", (int)e.text.len, (const char *)e.text.data);
    } else if (f->type == MSG_APPLIED) {
        cr_assert_eq(msg_get_applied(f->payload, &m), 0);
        cr_assert_eq(m.sequence, ++p->applied);
    } else if (f->type == MSG_WELCOME) {
        cr_assert_eq(msg_get_welcome(f->payload, &w), 0);
        p->version = w.version;
    }
    p->welcomes += f->type == MSG_WELCOME;
    p->pongs += f->type == MSG_PONG;
    p->synced += f->type == MSG_SYNCED;
    if (f->type == MSG_SYNCED)
        cr_assert_eq(f->id, 1000 + p->applied, "SYNCED before what it is about");
}

static void peer_closed(void *cookie, int error, const char *why)
{
    struct peer *p = cookie;
    conn_close(p->conn);
    p->conn = NULL;
    p->ended = true;
}

static const struct conn_events peer_events = {.frame = peer_frame, .closed = peer_closed};

static void peer_connected(void *cookie, struct stream *stream, int error, const char *why)
{
    struct peer *p = cookie;
    cr_assert(stream, "%s", why);
    p->conn = conn_new(loop, stream, FRAME_MAX_PAYLOAD, &peer_events, p);
    p->ready = true;
}

/* Polls until *flag, at most 20 s. */
static void step(void *cookie)
{
    event_loop_stop(loop);
}

static void poll_once(void)
{
    loop_timer(loop, POLL, step, NULL);
    event_loop_run(loop);
}

static void until(const bool *flag)
{
    for (int i = 0; !*flag; i++) {
        cr_assert_lt(i, 1000, "nothing happened in 20 s");
        poll_once();
    }
}

static void until_count(const unsigned *count, unsigned wanted)
{
    for (int i = 0; *count < wanted; i++) {
        cr_assert_lt(i, 1000, "nothing happened in 20 s");
        poll_once();
    }
}

static void peer_send(struct peer *p, uint16_t type, uint64_t id, const struct buf *payload)
{
    struct buf out = {0};
    size_t mark = frame_begin(&out, type, id);
    if (payload)
        buf_append_slice(&out, buf_slice(payload));
    frame_end(&out, mark);
    conn_send(p->conn, &out);
    buf_free(&out);
}

static void peer_hello(struct peer *p, uint16_t lowest, uint16_t highest)
{
    struct buf payload = {0};
    struct msg_hello m = {.version_min = lowest,
                          .version_max = highest,
                          .namespace = slice_str("USER"),
                          .program = slice_str("test")};
    network_connect(network, address, peer_connected, p);
    until(&p->ready);
    msg_put_hello(&payload, &m);
    peer_send(p, MSG_HELLO, 1, &payload);
    buf_free(&payload);
}

static void peer_greet(struct peer *p)
{
    peer_hello(p, PROTOCOL_MIN, PROTOCOL_MAX);
    until_count(&p->welcomes, 1);
}

static void peer_increment(struct peer *p, uint64_t sequence, uint32_t count, const char *by)
{
    struct buf payload = {0};
    struct key key;
    cr_assert_eq(key_global(&key, slice_str("A")), 0);
    struct update u = {.kind = UPDATE_INCREMENT, .key = key_slice(&key), .value = slice_str(by)};
    size_t mark = msg_update_begin(&payload, sequence, 0);
    for (uint32_t i = 0; i < count; i++)
        msg_put_update(&payload, &u);
    msg_update_end(&payload, mark, count);
    peer_send(p, MSG_UPDATE, sequence + 1, &payload);
    buf_free(&payload);
}

/* A batch of count INCREMENTs: its answer is nearly as long as itself. */
static void peer_update(struct peer *p, uint64_t sequence, uint32_t count)
{
    peer_increment(p, sequence, count, "100000000000001");
}

static void set_limits(struct server_limits limits)
{
    server_set_limits(server, &limits);
}

static void setup(void)
{
    struct engine *engine;
    struct listener *listener;
    char *why = NULL;
    cr_assert(mkdtemp(directory));
    snprintf(address, sizeof address, "unix:%s/socket", directory);
    loop = event_loop_new();
    network = event_network_new(loop);
    server = server_new(loop, NULL);
    cr_assert_eq(engine_lmdb_open(directory, 64u << 20, &engine, &why), 0, "%s", why);
    cr_assert_eq(store_open(loop, engine, NULL, &store, &why), 0);
    cr_assert_eq(server_add_namespace(server, "USER", store, NULL, NULL), 0);
    cr_assert_eq(server_listen(server, network, address, &listener, &why), 0, "%s", why);
}

static void teardown(void)
{
    server_free(server);
    store_close(store, step, NULL);
    event_loop_run(loop);
    char *command = xasprintf("rm -rf %s", directory);
    cr_assert_eq(system(command), 0);
    free(command);
}

TestSuite(net_session, .init = setup, .fini = teardown, .timeout = 60);

Test(net_session, says_nothing)
{
    struct peer p = {0};
    set_limits((struct server_limits){.hello_time = 50 * LOOP_MS});
    network_connect(network, address, peer_connected, &p);
    until(&p.ended);
    cr_assert_eq(p.code, ECP_ETIMEOUT);
    cr_assert_eq(p.error_id, 0);
    cr_assert_eq(server_sessions(server), 0);
}

Test(net_session, silent_after_welcome)
{
    struct peer p = {0};
    set_limits((struct server_limits){.silence_time = 100 * LOOP_MS});
    peer_greet(&p);
    until(&p.ended);
    cr_assert_eq(p.code, ECP_ETIMEOUT);
    cr_assert_eq(p.error_id, 0);
    cr_assert_eq(server_sessions(server), 0);
}

/* Offered to a server that speaks 2 to 4: what it chooses. */
Test(net_session, versions_in_common)
{
    static const uint16_t offered[][3] = {{1, 2, 2}, {1, 3, 3}, {1, 9, 4}, {2, 2, 2},
                                          {2, 4, 4}, {3, 3, 3}, {4, 5, 4}, {4, 65535, 4}};

    for (size_t i = 0; i < sizeof offered / sizeof *offered; i++) {
        struct peer p = {0};
        peer_hello(&p, offered[i][0], offered[i][1]);
        until_count(&p.welcomes, 1);
        cr_assert_eq(p.version, offered[i][2], "%u of %u to %u", p.version, offered[i][0],
                     offered[i][1]);
        conn_close(p.conn);
    }
}

/* The refusal says what both speak, and who is to be upgraded. */
static void no_version(uint16_t lowest, uint16_t highest, const char *text)
{
    struct peer p = {0};
    peer_hello(&p, lowest, highest);
    until(&p.ended);
    cr_assert_eq(p.code, ECP_EVERSION);
    cr_assert_eq(p.error_id, 1, "it answers the HELLO");
    cr_assert_str_eq(p.text, text);
    cr_assert_eq(p.welcomes, 0);
}

Test(net_session, no_version_in_common)
{
    no_version(1, 1,
               "protocol versions 1 to 1 offered, this server speaks 2 to 4; upgrade the client");
    no_version(5, 7,
               "protocol versions 5 to 7 offered, this server speaks 2 to 4; upgrade the server");
}

Test(net_session, too_many)
{
    struct peer first = {0}, second = {0}, third = {0};
    set_limits((struct server_limits){.max_sessions = 1});
    peer_greet(&first);
    network_connect(network, address, peer_connected, &second);
    until(&second.ended);
    cr_assert_eq(second.code, ECP_EBUSY);
    cr_assert_eq(second.error_id, 0);
    peer_send(&first, MSG_PING, 7, NULL);
    until_count(&first.pongs, 1);
    peer_send(&first, MSG_BYE, 0, NULL);
    until(&first.ended);
    peer_greet(&third);
    conn_close(third.conn);
}

/* The id tells how many updates come before. */
Test(net_session, sync_waits_for_updates)
{
    struct peer p = {0};
    peer_greet(&p);
    peer_send(&p, MSG_SYNC, 1000, NULL);
    until_count(&p.synced, 1);
    for (uint64_t i = 1; i <= 5; i++)
        peer_update(&p, i, 1000);
    peer_send(&p, MSG_SYNC, 1005, NULL);
    until_count(&p.synced, 2);
    cr_assert_eq(p.applied, 5);
    conn_close(p.conn);
}

Test(net_session, out_of_order)
{
    struct peer p = {0};
    peer_greet(&p);
    peer_update(&p, 1, 1);
    until_count(&p.applied, 1);
    peer_update(&p, 3, 1);
    until(&p.ended);
    cr_assert_eq(p.code, ECP_EORDER);
    cr_assert_eq(p.error_id, 0);
    cr_assert_eq(p.applied, 1);
}

/* The longest number there is, in an answer to as many INCREMENTs of nothing as may be. */
Test(net_session, results_fit_into_the_answer)
{
    struct peer p = {0};
    peer_greet(&p);
    peer_increment(&p, 1, 1, "-.000000000000000000000000000000000000000000123456789012345678");
    until_count(&p.applied, 1);
    peer_increment(&p, 2, BATCH_MAX_INCR, "0");
    until_count(&p.applied, 2);
    peer_increment(&p, 3, BATCH_MAX_OPS, "0");
    while (!p.code && !p.ended)
        poll_once();
    cr_assert_eq(p.code, ECP_ETOOBIG);
    cr_assert_eq(p.error_id, 4);
    cr_assert_not(p.ended);
    conn_close(p.conn);
}

/* One that sends and does not read is read from no more; when it reads again it misses nothing. */
Test(net_session, never_reads)
{
    struct peer p = {0};
    size_t left = 0;
    peer_greet(&p);
    conn_pause(p.conn, true);
    for (uint64_t i = 1; i <= BATCHES; i++)
        peer_update(&p, i, 40000);
    for (int still = 0; still < 50; still++) {
        if (conn_pending(p.conn) != left)
            still = 0;
        left = conn_pending(p.conn);
        cr_assert_gt(left, 0, "the server took it all, unread answers or not");
        poll_once();
    }
    cr_assert_eq(p.applied, 0);
    conn_pause(p.conn, false);
    until_count(&p.applied, BATCHES);
    cr_assert_not(p.ended);
    conn_close(p.conn);
}
