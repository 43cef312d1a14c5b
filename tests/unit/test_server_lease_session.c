/* SPDX-License-Identifier: Apache-2.0 */
/* Leases between sessions of one server, in the simulator's time: who waits for whom. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/log.h"
#include "base/ref.h"
#include "net/call.h"
#include "net/conn.h"
#include "net/msg.h"
#include "server/server.h"
#include "store/store.h"
#include "tests/sim/engine_mem.h"
#include "tests/sim/world.h"

#define TERM    (4 * LOOP_SEC)
#define CLIENTS 10
#define STEPS   200000 /* events after which a test has hung */

static struct world *world;
static struct process *process;
static struct loop *loop;
static struct store *store;
static struct server *server;
static struct client *clients[CLIENTS];
static uint64_t asked[CLIENTS]; /* serial of the last invalidation; 0: none */
static bool obliging[CLIENTS];  /* answers invalidations at once */
static unsigned marked, unmarked;
static bool stopped, closed;

/* ---- Server and clients ---- */

static void invalidate(void *cookie, uint64_t serial, const struct touch *touches, size_t count)
{
    size_t i = (size_t)((struct client **)cookie - clients);

    asked[i] = serial;
    if (obliging[i])
        client_invalidated(clients[i], serial);
}

static bool remember(void *cookie, uint64_t term)
{
    cr_assert_eq(term, TERM);
    marked++;
    return true;
}

static void forget(void *cookie)
{
    unmarked++;
}

static void client_begin(int i)
{
    struct client_config c = {.address = "server:1",
                              .namespace = "USER",
                              .program = "test",
                              .invalidate = invalidate,
                              .cookie = &clients[i]};

    clients[i] = client_new(loop, &process->network, &c);
}

static void set_up(void)
{
    struct server_limits limits = {.lease_time = TERM};
    struct listener *listener;
    char *why;

    log_set_level(LOG_LEVEL_ERROR);
    world = world_new(1, false);
    process = process_new(world, "test", 0);
    loop = &process->loop;
    cr_assert_eq(store_open(loop, engine_mem_new(1u << 20), NULL, &store, &why), 0);
    server = server_new(loop, &limits);
    cr_assert_eq(server_add_namespace(server, "USER", store, NULL, NULL), 0);
    server_set_marker(server, "USER", remember, forget, NULL);
    cr_assert_eq(server_listen(server, &process->network, "server:1", &listener, &why), 0);
    for (int i = 0; i < CLIENTS; i++)
        client_begin(i);
}

static void on_closed(void *cookie)
{
    closed = true;
}

static void tear_down(void)
{
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i])
            client_free(clients[i]);
    server_free(server);
    store_close(store, on_closed, NULL);
    while (!closed)
        cr_assert(world_step(world));
    process_drain(process);
    process_free(process);
    world_free(world);
}

TestSuite(server_lease_session, .init = set_up, .fini = tear_down);

/* ---- Doing things and waiting ---- */

static struct key key(const char *ref)
{
    struct key k;

    cr_assert_eq(ref_parse_all(slice_str(ref), &k), 0);
    return k;
}

/* An update under way. */
struct doing {
    bool done;
    int error;
    uint64_t at; /* time of the end */
    size_t touches;
};

static void on_applied(void *cookie, int error, const struct call_applied *applied)
{
    struct doing *d = cookie;

    d->done = true;
    d->error = error;
    d->at = loop_now(loop);
    d->touches = error ? 0 : applied->touch_count;
}

static void change(int i, uint8_t kind, const char *ref, struct doing *d)
{
    struct key k = key(ref);
    struct update u = {.kind = kind, .key = key_slice(&k)};

    if (kind == UPDATE_SET)
        u.value = slice_str("v");
    *d = (struct doing){0};
    call_update(clients[i], &u, 1, on_applied, d);
}

static void await(const bool *flag)
{
    for (unsigned n = 0; !*flag; n++) {
        cr_assert_lt(n, STEPS, "it does not end");
        cr_assert(world_step(world));
    }
}

static void pass(uint64_t time)
{
    uint64_t until = loop_now(loop) + time;

    while (loop_now(loop) < until)
        cr_assert(world_step(world));
}

static void set(int i, const char *ref)
{
    struct doing d;

    change(i, UPDATE_SET, ref, &d);
    await(&d.done);
    cr_assert_eq(d.error, 0);
}

struct reading {
    bool done;
    uint64_t lease;
    size_t count;
};

static void on_pages(void *cookie, int error, const struct call_pages *pages)
{
    struct reading *r = cookie;

    cr_assert_eq(error, 0);
    *r = (struct reading){true, pages->pages[0].lease, pages->pages[0].count};
}

/* Reads the children of a node under a lease. */
static struct reading read_page(int i, const char *ref)
{
    struct key k = key(ref);
    struct call_read_args args = {.parent = key_slice(&k), .lease = true};
    struct reading r = {0};

    call_read(clients[i], &args, on_pages, &r);
    await(&r.done);
    return r;
}

static bool was_asked(int i)
{
    for (unsigned n = 0; !asked[i] && n < STEPS; n++)
        cr_assert(world_step(world));
    return asked[i];
}

/* ---- Tests ---- */

Test(server_lease_session, an_update_waits_for_the_other_reader_and_reads_do_not)
{
    struct doing d;

    set(0, "^A(1)");
    cr_assert_eq(marked, 0);
    cr_assert_neq(read_page(1, "^A").lease, 0);
    cr_assert_eq(marked, 1);
    change(0, UPDATE_SET, "^A(2)", &d);
    cr_assert(was_asked(1));
    struct reading r = read_page(2, "^A");
    cr_assert_eq(r.count, 1, "the old state");
    cr_assert_eq(r.lease, 0, "and not to be kept");
    cr_assert_not(d.done);
    client_invalidated(clients[1], asked[1]);
    await(&d.done);
    cr_assert_eq(d.touches, 0);
    r = read_page(2, "^A");
    cr_assert_eq(r.count, 2);
    cr_assert_neq(r.lease, 0);
}

Test(server_lease_session, the_writer_is_told_what_changed_of_its_own_pages)
{
    struct doing d;

    read_page(0, "^A");
    change(0, UPDATE_SET, "^A(1)", &d);
    await(&d.done);
    cr_assert_eq(asked[0], 0);
    cr_assert_gt(d.touches, 0);
}

Test(server_lease_session, a_later_batch_does_not_overtake_one_that_waits)
{
    struct doing first, second, other;

    set(0, "^A(1)");
    set(0, "^B(1)");
    read_page(1, "^A(1)");
    read_page(1, "^A");
    change(0, UPDATE_SET, "^A(1)", &first);
    change(0, UPDATE_SET, "^B(1)", &second);
    cr_assert(was_asked(1));
    change(2, UPDATE_SET, "^B(2)", &other);
    await(&other.done); /* another session's does not wait */
    pass(LOOP_SEC);
    cr_assert_not(first.done || second.done);
    client_invalidated(clients[1], asked[1]);
    await(&second.done);
    cr_assert(first.done);
}

Test(server_lease_session, one_that_pings_but_does_not_answer_is_cut_off)
{
    uint64_t begin = loop_now(loop);
    struct doing d;

    set(0, "^A(1)");
    read_page(1, "^A");
    change(0, UPDATE_SET, "^A(1)", &d);
    cr_assert(was_asked(1));
    await(&d.done);
    cr_assert_eq(client_state(clients[1]), CLIENT_LOST);
    cr_assert_geq(d.at - begin, TERM, "its lease had gone on");
    cr_assert_leq(d.at - begin, 2 * TERM + LOOP_SEC);
}

/* ---- A client by hand, which can be lost ---- */

static struct conn *hand;
static struct msg_welcome hand_welcome;
static bool welcomed, got_page;
static uint64_t hand_asked; /* serial of the last INVALIDATE */

static void hand_frame(void *cookie, const struct frame *frame)
{
    if (frame->type == MSG_WELCOME) {
        cr_assert_eq(msg_get_welcome(frame->payload, &hand_welcome), 0);
        welcomed = true;
    }
    got_page |= frame->type == MSG_PAGES;
    if (frame->type == MSG_INVALIDATE)
        hand_asked = frame->id;
}

static void hand_closed(void *cookie, int error, const char *why)
{
    conn_close(hand);
    hand = NULL;
}

static const struct conn_events hand_events = {.frame = hand_frame, .closed = hand_closed};

static void hand_connected(void *cookie, struct stream *stream, int error, const char *why)
{
    struct msg_hello hello = {.version_min = 1,
                              .version_max = 1,
                              .resume_session = hand_welcome.session,
                              .resume_secret = hand_welcome.secret,
                              .namespace = slice_str("USER")};
    struct buf b = {0};
    size_t mark = frame_begin(&b, MSG_HELLO, 1);

    cr_assert_eq(error, 0);
    msg_put_hello(&b, &hello);
    frame_end(&b, mark);
    hand = conn_new(loop, stream, FRAME_MAX_PAYLOAD, &hand_events, NULL);
    conn_send(hand, &b);
    buf_free(&b);
}

static void hand_connect(void)
{
    welcomed = false;
    network_connect(&process->network, "server:1", hand_connected, NULL);
    await(&welcomed);
}

static void hand_read(const char *ref)
{
    struct key k = key(ref);
    struct msg_read m = {.parent = key_slice(&k), .lease = true};
    struct buf b = {0};
    size_t mark = frame_begin(&b, MSG_READ, 2);

    msg_put_read(&b, &m);
    frame_end(&b, mark);
    conn_send(hand, &b);
    buf_free(&b);
    await(&got_page);
}

Test(server_lease_session, a_lost_client_delays_until_its_lease_end)
{
    uint64_t begin;
    struct doing d;

    set(0, "^A(1)");
    hand_connect();
    hand_read("^A");
    begin = loop_now(loop);
    conn_close(hand);
    pass(TERM / 2);
    change(0, UPDATE_SET, "^A(1)", &d);
    await(&d.done);
    cr_assert_geq(d.at - begin, TERM - 20 * LOOP_MS);
    cr_assert_leq(d.at - begin, TERM + 20 * LOOP_MS);
}

/* An invalidation that was lost with the connection comes again with the next. */
Test(server_lease_session, a_client_that_comes_back_ends_the_delay)
{
    uint64_t begin;
    struct doing d;
    struct buf b = {0};

    set(0, "^A(1)");
    hand_connect();
    hand_read("^A");
    begin = loop_now(loop);
    conn_close(hand);
    change(0, UPDATE_SET, "^A(1)", &d);
    pass(TERM / 4);
    cr_assert_not(d.done);
    hand_connect();
    while (!hand_asked)
        cr_assert(world_step(world));
    pass(LOOP_MS);
    cr_assert_not(d.done, "it is heard, but has not answered");
    frame_end(&b, frame_begin(&b, MSG_INVALIDATED, hand_asked));
    conn_send(hand, &b);
    buf_free(&b);
    await(&d.done);
    cr_assert_lt(d.at - begin, TERM);
    conn_close(hand);
}

Test(server_lease_session, a_goodbye_ends_the_wait_and_drops_what_waits)
{
    struct doing mine, dropped;
    uint64_t begin = loop_now(loop);

    set(0, "^A(1)");
    read_page(1, "^A");
    read_page(2, "^B");
    change(0, UPDATE_SET, "^A(1)", &mine);
    cr_assert(was_asked(1));
    change(1, UPDATE_SET, "^B(1)", &dropped);
    cr_assert(was_asked(2));
    client_free(clients[1]); /* its lease ends, and its update is dropped */
    client_begin(1);
    await(&mine.done);
    cr_assert_eq(mine.error, 0);
    cr_assert_leq(mine.at - begin, TERM / 2);
    client_invalidated(clients[2], asked[2]);
    cr_assert_eq(read_page(0, "^B").count, 0);
    cr_assert_not(dropped.done);
}

#define STREAMS 8 /* clients that write all the time, */
#define AHEAD   4 /* with so many updates under way each */

static void set_one(int i, int k, struct doing *d)
{
    char ref[16];

    snprintf(ref, sizeof(ref), "^X(%d,%d)", i, k);
    change(i, UPDATE_SET, ref, d);
}

/* One event, and every update that is done is made again. */
static void stream_step(struct doing sets[STREAMS][AHEAD])
{
    for (int i = 0; i < STREAMS; i++)
        for (int k = 0; k < AHEAD; k++)
            if (sets[i][k].done)
                set_one(i, k, &sets[i][k]);
    cr_assert(world_step(world));
}

Test(server_lease_session, a_kill_gets_through_a_stream_of_sets)
{
    static struct doing sets[STREAMS][AHEAD];
    struct doing kill;

    for (int i = 0; i < CLIENTS; i++)
        obliging[i] = true;
    for (int i = 0; i < STREAMS; i++)
        for (int k = 0; k < AHEAD; k++)
            set_one(i, k, &sets[i][k]);
    read_page(CLIENTS - 2, "^Y"); /* so that batches are planned exactly */
    for (int i = 0; i < 10000; i++)
        stream_step(sets);
    change(CLIENTS - 1, UPDATE_KILL, "^X", &kill);
    for (unsigned n = 0; !kill.done; n++) {
        cr_assert_lt(n, 1500, "the KILL starves"); /* 3000 and more if it waits for luck */
        stream_step(sets);
    }
    for (int i = 0; i < STREAMS; i++)
        for (int k = 0; k < AHEAD; k++)
            await(&sets[i][k].done);
}

Test(server_lease_session, updates_wait_for_leases_of_before_the_start)
{
    uint64_t begin = loop_now(loop);
    struct doing d;

    server_set_grace(server, "USER", 2 * TERM);
    change(0, UPDATE_SET, "^A(1)", &d);
    cr_assert_eq(read_page(1, "^A").count, 0);
    await(&d.done);
    cr_assert_geq(d.at - begin, 2 * TERM);
}

static void on_stopped(void *cookie)
{
    stopped = true;
}

Test(server_lease_session, a_clean_end_takes_all_leases_back_after_the_last_update)
{
    struct doing d;

    set(0, "^A(1)");
    read_page(1, "^A");
    read_page(2, "^B");
    obliging[1] = obliging[2] = true;
    change(0, UPDATE_SET, "^A(1)", &d);
    pass(20 * LOOP_MS);
    server_shutdown(server, on_stopped, NULL);
    await(&stopped);
    pass(10 * LOOP_MS);
    cr_assert(d.done);
    cr_assert_eq(d.error, 0);
    cr_assert_neq(asked[1], 0);
    cr_assert_neq(asked[2], 0);
    cr_assert_eq(unmarked, 1);
}

Test(server_lease_session, an_end_with_a_lease_out_leaves_it_marked)
{
    uint64_t begin;

    read_page(1, "^A");
    begin = loop_now(loop);
    server_shutdown(server, on_stopped, NULL);
    await(&stopped);
    cr_assert_neq(asked[1], 0);
    cr_assert_eq(unmarked, 0);
    cr_assert_leq(loop_now(loop) - begin, 5 * LOOP_SEC);
}
