/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that go on over a new connection. */
#include <stdio.h>
#include <stdlib.h>

#include "store/io.h"
#include "tests/unit/test_relay.h"

#define WINDOW (60 * LOOP_SEC)
#define LOCKS  120000
#define PIECE  4000 /* locks asked for at a time */

static unsigned lost_sessions;

static void on_session_lost(void *cookie)
{
    lost_sessions++;
}

static struct client *declarer; /* declares the lock when the server was started anew */

static void on_declared(void *cookie, int error, uint64_t stamp)
{
    cr_assert(error == 0 || error == ECP_ECANCELED, "%s", error_text(error));
    happened(cookie);
}

static void on_reclaim(void *cookie)
{
    static bool done;
    struct call_lock_item item = {.name = key_slice(&name), .exclusive = true};
    struct call_lock_args args = {
        .who = {.owner = 1, .text = slice_str("far")}, .items = &item, .count = 1, .reclaim = true};

    if (declarer && *(struct client **)cookie == declarer)
        call_lock(declarer, &args, on_declared, &done);
}

static struct client *far_client(void)
{
    static struct client *made[16];
    static unsigned count;
    struct client **slot = &made[count++ % 16];
    struct client_config config = {
        .reclaim = on_reclaim, .session_lost = on_session_lost, .cookie = slot};

    return *slot = relay_client(&config);
}

static void begin(uint64_t window)
{
    struct store_options options = {.io = io_posix(),
                                    .directory = directory,
                                    .durability = DURABILITY_COMMIT,
                                    .wait_durable = true};

    start((struct server_limits){.recovery_time = window,
                                 .max_locks = 4 * LOCKS + 1000,
                                 .lease_time = LOOP_SEC},
          &options);
    relay_start();
}

static void end(struct client *client)
{
    client_free(client);
    relay_stop();
}

TestSuite(net_resume, .init = setup, .fini = teardown, .timeout = 120);

/* ---- Updates ---- */

#define UPDATES 4000
#define AHEAD   50

struct counting {
    struct client *client;
    struct key key;
    unsigned sent, done;
    bool all;
};

static void count_more(struct counting *c);

static void counted(void *cookie, int error, const struct call_applied *applied)
{
    struct counting *c = cookie;
    char *value;

    cr_assert_eq(error, 0, "%s", error_text(error));
    cr_assert_eq(applied->count, 1);
    value = xasprintf("%.*s", (int)applied->values[0].len, (const char *)applied->values[0].data);
    cr_assert_eq((unsigned)atoi(value), ++c->done, "%s is the answer to the %uth increment", value,
                 c->done);
    free(value);
    if (c->done == UPDATES)
        happened(&c->all);
    count_more(c);
}

static void count_more(struct counting *c)
{
    struct update u = {
        .kind = UPDATE_INCREMENT, .key = key_slice(&c->key), .value = slice_str("1")};

    while (c->sent < UPDATES && c->sent - c->done < AHEAD) {
        c->sent++;
        call_update(c->client, &u, 1, counted, c);
    }
}

static void counting_begin(struct counting c[3])
{
    for (int i = 0; i < 3; i++) {
        c[i].client = far_client();
        key_root(&c[i].key);
        key_append(&c[i].key, slice_str("COUNT"));
        key_append(&c[i].key, slice_str(i == 0 ? "a" : i == 1 ? "b" : "c"));
        count_more(&c[i]);
    }
}

Test(net_resume, updates_are_applied_once_and_in_order)
{
    struct counting c[3] = {0};

    relay.cut_below = 60000;
    begin(WINDOW);
    counting_begin(c);
    for (int i = 0; i < 3; i++)
        until(&c[i].all);
    cr_assert_eq(lost_sessions, 0);
    cr_assert_gt(relay.connections, 20);
    client_free(c[0].client);
    client_free(c[1].client);
    end(c[2].client);
}

static void tick(void *cookie)
{
    happened(cookie);
}

/* The answers that a restart took with it are given again. */
Test(net_resume, updates_are_applied_once_over_restarts)
{
    struct counting c[3] = {0};
    unsigned restarts = 0;

    begin(WINDOW);
    counting_begin(c);
    while (!c[0].all || !c[1].all || !c[2].all) {
        unsigned wanted = c[0].done + c[1].done + c[2].done + 1 + relay_draw(1000);
        while (c[0].done + c[1].done + c[2].done < wanted && wanted <= 3 * UPDATES) {
            bool ticked = false;
            loop_timer(loop, LOOP_MS, tick, &ticked);
            until(&ticked);
        }
        restart();
        restarts++;
    }
    cr_assert_eq(lost_sessions, 0);
    cr_assert_gt(restarts, 2);
    client_free(c[0].client);
    client_free(c[1].client);
    end(c[2].client);
}

static void on_first(void *cookie, int error, const struct call_applied *applied)
{
    cr_assert_eq(error, 0, "%s", error_text(error));
    happened(cookie);
}

/* The crash took all that the server knew of the session; but nobody was told of any of it. */
Test(net_resume, a_session_that_left_no_trace)
{
    struct client *client;
    struct update u = {.kind = UPDATE_SET, .key = key_slice(&name), .value = slice_str("1")};
    bool first = false, second = false;
    uint64_t sent;

    begin(WINDOW);
    client = far_client();
    until_connected(client);
    relay.deaf = true;
    sent = client_round_trips(client) + 2;
    call_update(client, &u, 1, on_first, &first);
    call_update(client, &u, 1, on_first, &second);
    until_sent(client, sent);
    restart();
    relay.deaf = false;
    until(&first);
    until(&second);
    cr_assert_eq(lost_sessions, 0);
    end(client);
}

/* ---- Locks ---- */

struct many {
    unsigned answered;
    bool all;
};

static void locked_piece(void *cookie, int error, uint64_t stamp)
{
    struct many *m = cookie;

    cr_assert_eq(error, 0);
    if (++m->answered == LOCKS / PIECE)
        happened(&m->all);
}

static void lock_many(struct client *client, struct many *m)
{
    static struct key keys[PIECE];
    static struct call_lock_item items[PIECE];
    char text[16];

    for (int at = 0; at < LOCKS; at += PIECE) {
        for (int i = 0; i < PIECE; i++) {
            key_root(&keys[i]);
            key_append(&keys[i], slice_str("L"));
            snprintf(text, sizeof text, "%d", at + i + 1);
            key_append(&keys[i], slice_str(text));
            items[i] = (struct call_lock_item){
                .name = key_slice(&keys[i]), .exclusive = true, .counted = true};
        }
        struct call_lock_args args = {.who = {.owner = 1, .text = slice_str("far")},
                                      .items = items,
                                      .count = PIECE,
                                      .wait = true};
        call_lock(client, &args, locked_piece, m);
    }
}

/* The lock of one of those names, by a client nearby. */
static int try_one(int number)
{
    struct waiter w = {.client = clients[1], .owner = 7};
    char text[16];

    key_root(&name);
    key_append(&name, slice_str("L"));
    snprintf(text, sizeof text, "%d", number);
    key_append(&name, slice_str(text));
    ask(&w, false);
    until(&w.done);
    return w.error;
}

Test(net_resume, a_hundred_thousand_locks_survive)
{
    struct client *client;
    struct many m = {0};
    bool unlocked;
    struct waiter far = {.owner = 1};

    begin(WINDOW);
    far.client = client = far_client();
    lock_many(client, &m);
    until(&m.all);
    for (int round = 0; round < 3; round++) {
        relay_cut(round == 2); /* at last the server is not told */
        cr_assert_eq(try_one(1 + (int)relay_draw(LOCKS)), ECP_EBUSY);
        until_connections(2 + (unsigned)round);
        until_connected(client);
        for (int i = 0; i < 100; i++)
            cr_assert_eq(try_one(1 + (int)relay_draw(LOCKS)), ECP_EBUSY);
    }
    unlock(&far, &unlocked);
    until(&unlocked);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(try_one(1 + (int)relay_draw(LOCKS)), 0);
    cr_assert_eq(lost_sessions, 0);
    end(client);
}

/* Whatever is cut, each is granted once, nobody twice at a time, and none is forgotten. */
Test(net_resume, locks_go_round_over_bad_connections)
{
    struct waiter w[4];
    int turns[4] = {0}, holder = -1;
    bool unlocked;

    relay.cut_below = 3000;
    begin(WINDOW);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct waiter){.client = far_client(), .owner = 1};
        ask(&w[i], true);
    }
    for (int turn = 0; turn < 400; turn++) {
        bool granted = false;
        while (!granted) {
            for (int i = 0; i < 4; i++)
                granted |= w[i].done;
            if (!granted)
                event_loop_run(loop);
        }
        holder = -1;
        for (int i = 0; i < 4; i++) {
            if (!w[i].done)
                continue;
            cr_assert_eq(holder, -1, "two hold it");
            cr_assert_eq(w[i].error, 0);
            holder = i;
        }
        turns[holder]++;
        w[holder].done = false;
        unlock(&w[holder], &unlocked);
        until(&unlocked);
        ask(&w[holder], true);
    }
    for (int i = 0; i < 4; i++)
        cr_assert_gt(turns[i], 10);
    cr_assert_gt(relay.connections, 20);
    cr_assert_eq(lost_sessions, 0);
    for (int i = 0; i < 3; i++)
        client_free(w[i].client);
    end(w[3].client);
}

/* Declared again by who holds it, and nobody else gets it before. */
Test(net_resume, locks_survive_a_restart)
{
    struct waiter held = {.owner = 1}, other = {.owner = 1}, late = {.owner = 1};
    struct client *first, *second, *third;
    bool unlocked;

    begin(WINDOW);
    held.client = first = far_client();
    other.client = second = far_client();
    late.client = third = far_client();
    ask(&held, true);
    until(&held.done);
    ask(&other, true); /* so that it is known, too */
    until_waiting(1);
    ask(&late, false);
    until(&late.done);
    declarer = first;
    for (int i = 0; i < 3; i++) {
        restart();
        until_connected(second);
        ask(&late, false);
        until(&late.done);
        cr_assert_eq(late.error, ECP_EBUSY, "%s", error_text(late.error));
        cr_assert(!other.done, "%d: %s", i, error_text(other.error));
    }
    declarer = NULL;
    unlock(&held, &unlocked);
    until(&unlocked);
    until(&other.done);
    cr_assert_eq(other.error, 0);
    cr_assert_eq(lost_sessions, 0);
    client_free(first);
    client_free(second);
    end(third);
}

/* The LOCK is not asked for again: nobody would end it. */
Test(net_resume, a_cancellation_that_did_not_come_before_a_restart)
{
    struct waiter held = {.owner = 1}, other = {.owner = 1};

    begin(WINDOW);
    held.client = declarer = far_client();
    other.client = far_client();
    ask(&held, true);
    until(&held.done);
    ask(&other, true);
    until_waiting(1);
    relay.deaf = true;
    call_lock_cancel(other.call);
    restart();
    relay.deaf = false;
    until(&other.done);
    cr_assert_eq(other.error, ECP_ECANCELED, "%s", error_text(other.error));
    cr_assert_eq(lost_sessions, 0);
    declarer = NULL;
    client_free(other.client);
    end(held.client);
}

/* Who does not come back keeps others waiting for as long as the window, and no longer. */
Test(net_resume, a_holder_that_is_gone_after_a_restart)
{
    struct waiter held = {.owner = 1}, other = {.owner = 1};
    struct client *first, *second;
    uint64_t begun;

    begin(400 * LOOP_MS);
    held.client = first = far_client();
    ask(&held, true);
    until(&held.done);
    relay.down = true;
    relay_cut(false);
    while (client_state(first) == CLIENT_NORMAL) {
        bool ticked = false;
        loop_timer(loop, LOOP_MS, tick, &ticked);
        until(&ticked);
    }
    client_free(first);
    relay.down = false;
    restart();
    begun = loop_now(loop);
    other.client = second = far_client();
    ask(&other, true);
    until(&other.done);
    cr_assert_eq(other.error, 0);
    cr_assert_geq(loop_now(loop) - begun, 350 * LOOP_MS);
    end(second);
}

/* ---- The end ---- */

static void on_node(void *cookie, int error, const struct node *node)
{
    cr_assert_eq(error, 0);
    happened(cookie);
}

Test(net_resume, after_the_window_it_is_another_session)
{
    struct waiter held = {.owner = 1}, other = {.owner = 1};
    bool read = false;

    begin(50 * LOOP_MS);
    held.client = far_client();
    other.client = clients[1];
    ask(&held, true);
    until(&held.done);
    cr_assert_eq(held.error, 0);
    relay.down = true;
    relay_cut(false);
    ask(&other, true);
    until(&other.done);
    cr_assert_eq(other.error, 0, "its lock is free");
    relay.down = false;
    call_node(held.client, key_slice(&name), VIEW_GLOBALS, 0, on_node, &read);
    until(&read);
    cr_assert_eq(lost_sessions, 1);
    end(held.client);
}
