/* SPDX-License-Identifier: Apache-2.0 */
/* The client's session and calls against a small server in the same process. */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/call.h"
#include "net/conn.h"
#include "net/event.h"
#include "net/msg.h"

static struct loop *loop;
static struct network *network;
static struct listener *listener;
static struct conn *peer;
static struct client *client;
static char address[64];
static bool mute, silent, drop_update, answer_nodes = true; /* mute: no WELCOME */
static bool forget;                                         /* sessions, with the connection */
static int refuse;                                          /* error that answers HELLO */
static uint64_t sequence;
static uint32_t lease_ms = 600;
static bool retain; /* as the WELCOME says; then answers to updates are held back */
static struct {
    uint64_t id, sequence;
} held[16];
static unsigned held_count;
static int done_count, last_error, wanted, lost_error, trouble, connections;
static char trouble_why[200];

static void reply(const struct frame *f, uint16_t type)
{
    struct buf b = {0};
    size_t mark = frame_begin(&b, type, f->id);
    struct msg_welcome w = {.version = 1,
                            .session = forget ? (uint64_t)connections : 1,
                            .lease_ms = lease_ms,
                            .recovery_ms = 60000,
                            .server = slice_str("fake"),
                            .retain = retain};
    struct msg_error e = {.code = (uint16_t)refuse, .text = slice_str("1 to 1 here")};
    struct msg_nodes_writer nodes;
    if (type == MSG_WELCOME)
        msg_put_welcome(&b, &w);
    if (type == MSG_ERROR)
        msg_put_error(&b, &e);
    if (type == MSG_APPLIED)
        msg_put_applied(&b, sequence, 1, NULL, 0, NULL, 0);
    if (type == MSG_NODES) {
        msg_nodes_begin(&nodes, &b);
        msg_nodes_end(&nodes, true);
    }
    frame_end(&b, mark);
    conn_send(peer, &b);
    buf_free(&b);
}

static void drop_peer(void)
{
    conn_close(peer);
    peer = NULL;
}

static void server_frame(void *cookie, const struct frame *f)
{
    struct msg_update m;
    if (f->type == MSG_HELLO) {
        sequence = 0;
        if (!mute)
            reply(f, refuse ? MSG_ERROR : MSG_WELCOME);
    } else if (silent) {
        ;
    } else if (f->type == MSG_PING) {
        reply(f, MSG_PONG);
    } else if (f->type == MSG_NODE && answer_nodes) {
        reply(f, MSG_NODES);
    } else if (f->type == MSG_UPDATE) {
        cr_assert_eq(msg_get_update(f->payload, &m), 0);
        cr_assert_eq(m.sequence, ++sequence);
        if (retain) {
            held[held_count].id = f->id;
            held[held_count++].sequence = sequence;
        } else if (drop_update) {
            drop_update = false;
            answer_nodes = true;
            drop_peer();
        } else {
            reply(f, MSG_APPLIED);
        }
    }
}

static void server_closed(void *cookie, int error, const char *why)
{
    drop_peer();
}

static const struct conn_events server_events = {.frame = server_frame, .closed = server_closed};

static void on_accept(void *cookie, struct stream *stream)
{
    if (connections++)
        silent = mute = false;
    peer = conn_new(loop, stream, FRAME_MAX_PAYLOAD, &server_events, NULL);
}

static void on_state(void *cookie, enum client_state state, int error, const char *why)
{
    if (state == CLIENT_LOST)
        lost_error = error;
    if (error) {
        trouble = error;
        snprintf(trouble_why, sizeof trouble_why, "%s", why);
    }
}

static void count_done(int error)
{
    last_error = error;
    if (++done_count == wanted)
        event_loop_stop(loop);
}

static void on_ping(void *cookie, int error)
{
    count_done(error);
}

static void on_node(void *cookie, int error, const struct node *node)
{
    count_done(error);
}

static void on_update(void *cookie, int error, const struct call_applied *applied)
{
    if (cookie)
        *(int *)cookie = error;
    count_done(error);
}

static void too_late(void *cookie)
{
    cr_assert_fail("nothing happened in 10 s");
}

static void run(int calls)
{
    struct loop_event *guard = loop_timer(loop, 10 * LOOP_SEC, too_late, NULL);
    wanted = calls;
    event_loop_run(loop);
    loop_cancel(loop, guard);
}

static void setup(void)
{
    char *why = NULL;
    loop = event_loop_new();
    network = event_network_new(loop);
    snprintf(address, sizeof address, "unix:/tmp/test_net_call.%d", getpid());
    cr_assert_eq(network_listen(network, address, on_accept, NULL, &listener, &why), 0);
    struct client_config config = {
        .address = address, .namespace = "N", .reconnect = true, .state = on_state};
    client = client_new(loop, network, &config);
}

/* Another client instead of the one that setup made. */
static void connect_to(const char *where, bool reconnect)
{
    struct client_config config = {.address = where,
                                   .namespace = "N",
                                   .reconnect = reconnect,
                                   .connect_timeout = 100 * LOOP_MS,
                                   .state = on_state};
    client_free(client);
    client = client_new(loop, network, &config);
}

static void teardown(void)
{
    client_free(client);
    if (peer)
        conn_close(peer);
    network_unlisten(network, listener);
    unlink(address + 5);
}

TestSuite(net_call, .init = setup, .fini = teardown);

static struct update set_update(const struct key *k)
{
    return (struct update){.kind = UPDATE_SET, .key = key_slice(k), .value = slice_str("v")};
}

static void expect_pending(size_t updates)
{
    struct client_status status;
    client_status(client, &status);
    cr_assert_eq(status.updates, updates);
    cr_assert_eq(status.update_bytes == 0, updates == 0);
}

Test(net_call, thousands_outstanding)
{
    struct key k;
    cr_assert_eq(key_global(&k, slice_str("A")), 0);
    struct update u = set_update(&k);
    struct call *dead = NULL;
    lease_ms = 60000; /* no keepalive is counted */
    for (int i = 0; i < 5000; i++) {
        call_ping(client, on_ping, NULL);
        call_update(client, &u, 1, on_update, NULL);
        dead = i == 7 ? call_ping(client, on_ping, NULL) : dead;
    }
    expect_pending(5000);
    cr_assert_eq(done_count, 0);
    call_cancel(dead);
    run(10000);
    cr_assert_eq(last_error, 0);
    expect_pending(0);
    cr_assert_eq(sequence, 5000);
    cr_assert_eq(client_round_trips(client), 10000);
}

static void stop(void *cookie)
{
    event_loop_stop(loop);
}

/* Ids go round the table that calls are found in, which has grown with the 65th. */
Test(net_call, answers_to_what_was_cancelled, .timeout = 20)
{
    struct key k;
    struct update u;

    key_global(&k, slice_str("G"));
    u = set_update(&k);
    answer_nodes = false;
    connect_to(address, false);
    for (int i = 0; i < 65; i++)
        call_node(client, key_slice(&k), VIEW_GLOBALS, 0, on_node, NULL);
    for (int i = 1; i <= 200; i++) {
        struct call *one = call_update(client, &u, 1, on_update, NULL);
        struct call *two = call_update(client, &u, 1, on_update, NULL);
        loop_soon(loop, stop, NULL); /* when they are sent */
        event_loop_run(loop);
        call_cancel(one);
        call_cancel(two);
        call_ping(client, on_ping, NULL);
        run(i);
    }
}

Test(net_call, lost_connection)
{
    struct key k;
    int outcome = 0;
    cr_assert_eq(key_global(&k, slice_str("A")), 0);
    struct update u = set_update(&k);
    forget = drop_update = true;
    answer_nodes = false;
    call_node(client, key_slice(&k), VIEW_FILES, 0, on_node, NULL);
    call_update(client, &u, 1, on_update, &outcome);
    run(2);
    cr_assert_eq(outcome, ECP_EDISCONNECTED);
    cr_assert_eq(last_error, 0, "the read was sent again");
    cr_assert_eq(connections, 2);
}

/* A server that tells fewer results than there are to be. */
Test(net_call, results_are_missing)
{
    struct key k;
    int outcome = 0;
    cr_assert_eq(key_global(&k, slice_str("A")), 0);
    struct update u = {.kind = UPDATE_INCREMENT, .key = key_slice(&k), .value = slice_str("1")};
    connect_to(address, false);
    call_update(client, &u, 1, on_update, &outcome);
    run(1);
    cr_assert_eq(outcome, ECP_EDISCONNECTED, "%s", error_text(outcome));
    cr_assert_eq(trouble, ECP_EPROTO);
}

static void answer_held(void)
{
    struct buf b = {0};
    for (unsigned i = 0; i < held_count; i++) {
        size_t mark = frame_begin(&b, MSG_APPLIED, held[i].id);
        msg_put_applied(&b, held[i].sequence, 1, NULL, 0, NULL, 0);
        frame_end(&b, mark);
    }
    held_count = 0;
    conn_send(peer, &b);
    buf_free(&b);
}

/* Until the server has seen no other update for a while. */
static void until_still(void)
{
    uint64_t seen = 0;
    for (int still = 0; still < 30; still++) {
        loop_timer(loop, 10 * LOOP_MS, stop, NULL);
        event_loop_run(loop);
        if (sequence != seen)
            still = 0;
        seen = sequence;
    }
}

/* It keeps at most half of what a server takes again, and also knows what is on its way. */
Test(net_call, updates_without_answers_count_as_kept, .timeout = 30)
{
    static uint8_t value[4 << 20];
    struct key k;
    cr_assert_eq(key_global(&k, slice_str("A")), 0);
    struct update u = {
        .kind = UPDATE_SET, .key = key_slice(&k), .value = slice_of(value, sizeof value)};
    retain = true;
    wanted = 10;
    for (int i = 0; i < 10; i++)
        call_update(client, &u, 1, on_update, NULL);
    until_still();
    cr_assert_geq(sequence, 1);
    cr_assert_leq(sequence, 4);
    answer_held();
    until_still();
    cr_assert_leq(sequence, 4, "all of these are kept");
    cr_assert_eq(last_error, 0);
}

/* The server has received nothing, so what was sent is sent again; sequence begins anew there. */
Test(net_call, resumed)
{
    struct key k;
    int outcome = ECP_EIO;
    cr_assert_eq(key_global(&k, slice_str("A")), 0);
    struct update u = set_update(&k);
    drop_update = true;
    call_update(client, &u, 1, on_update, &outcome);
    call_update(client, &u, 1, on_update, NULL);
    run(2);
    cr_assert_eq(outcome, 0);
    cr_assert_eq(sequence, 2);
    cr_assert_eq(connections, 2);
}

Test(net_call, refused_for_good)
{
    refuse = ECP_ENAMESPACE;
    call_ping(client, on_ping, NULL);
    run(1);
    cr_assert_eq(last_error, ECP_ENAMESPACE);
    cr_assert_eq(lost_error, ECP_ENAMESPACE);
    cr_assert_eq(client_state(client), CLIENT_LOST);
    call_ping(client, on_ping, NULL);
    cr_assert_eq(done_count, 1, "never from inside the call");
    run(2);
}

Test(net_call, version_refused)
{
    refuse = ECP_EVERSION;
    call_ping(client, on_ping, NULL);
    run(1);
    cr_assert_eq(lost_error, ECP_EVERSION, "final, though it reconnects otherwise");
    cr_assert(strstr(trouble_why, "1 to 1 here"), "the server's words: %s", trouble_why);
}

/* A server that is stopped keeps its connections: only the lease tells. */
Test(net_call, silent_server)
{
    struct key k;
    cr_assert_eq(key_global(&k, slice_str("A")), 0);
    struct listener *far;
    char *why = NULL;
    silent = true;
    cr_assert_eq(network_listen(network, "127.0.0.1:0", on_accept, NULL, &far, &why), 0, "%s", why);
    char *where = xasprintf("127.0.0.1:%d", event_listener_port(far));
    connect_to(where, true);
    free(where);
    call_node(client, key_slice(&k), VIEW_FILES, 0, on_node, NULL);
    run(1);
    network_unlisten(network, far);
    cr_assert_eq(last_error, 0, "the read was sent again");
    cr_assert_eq(trouble, ECP_ETIMEOUT);
    cr_assert_eq(connections, 2);
}

Test(net_call, no_greeting)
{
    mute = true;
    connect_to(address, true);
    call_ping(client, on_ping, NULL);
    run(1);
    cr_assert_eq(last_error, 0, "the second try was greeted");
    cr_assert_eq(trouble, ECP_ETIMEOUT);
    cr_assert(strstr(trouble_why, "greet"), "%s", trouble_why);
}

/* A listener whose queue is full lets connects hang. */
Test(net_call, connect_hangs)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    char where[64];
    int full = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(full, (struct sockaddr *)&in, len), 0);
    cr_assert_eq(listen(full, 0), 0);
    cr_assert_eq(getsockname(full, (struct sockaddr *)&in, &len), 0);
    for (int i = 0; i < 8; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        cr_assert(connect(fd, (struct sockaddr *)&in, len) == 0 || errno == EINPROGRESS);
    }
    snprintf(where, sizeof where, "127.0.0.1:%d", ntohs(in.sin_port));
    connect_to(where, false);
    call_ping(client, on_ping, NULL);
    run(1);
    cr_assert_eq(last_error, ECP_ETIMEOUT);
    cr_assert_eq(client_state(client), CLIENT_LOST);
    cr_assert(strstr(trouble_why, "no connection"), "%s", trouble_why);
}
