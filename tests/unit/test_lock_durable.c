/* SPDX-License-Identifier: Apache-2.0 */
/* A lock passes to another session when what its holder wrote is on disk, also where updates are
 * answered before. The disk's sync stops, or fails, as the tests say. */
#include <pthread.h>

#include "store/io.h"
#include "tests/unit/test_relay.h"

/* ---- The disk ---- */

static struct io_ops ops;
static struct io disk = {.ops = &ops};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int allowed = -1; /* syncs; negative: all */
static bool broken;

static int sync_file(struct io *io, struct io_file *file)
{
    bool fails;
    pthread_mutex_lock(&mutex);
    while (allowed == 0)
        pthread_cond_wait(&changed, &mutex);
    allowed -= allowed > 0;
    fails = broken;
    pthread_mutex_unlock(&mutex);
    return fails ? ECP_EIO : io_posix()->ops->sync(io, file);
}

static void disk_set(int allow, bool fail)
{
    pthread_mutex_lock(&mutex);
    allowed = allow;
    broken = fail;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* ---- A holder that has written, and one who waits ---- */

static struct waiter a = {.owner = 1}, b = {.owner = 1};

static void on_update(void *cookie, int error, const struct call_applied *applied)
{
    cr_assert_eq(error, 0, "%s", error_text(error));
    happened(cookie);
}

static void on_done(void *cookie, int error)
{
    struct waiter *w = cookie;
    w->error = error;
    happened(&w->done);
}

static void write_by(struct client *client, bool *done)
{
    struct update set = {.kind = UPDATE_SET, .key = key_slice(&name), .value = slice_str("new")};
    *done = false;
    call_update(client, &set, 1, on_update, done);
}

static void write_something(void)
{
    bool done;
    write_by(a.client, &done);
    until(&done);
}

static void start_server(uint64_t window)
{
    struct store_options options = {.io = &disk, .directory = directory};
    ops = *io_posix()->ops;
    ops.sync = sync_file;
    start((struct server_limits){.recovery_time = window}, &options);
    a.client = clients[0];
    b.client = clients[1];
}

/* The disk stops; the holder's update is answered all the same. */
static void hold_and_write(bool exclusive)
{
    write_something(); /* the journal is there, and idle */
    call_sync(a.client, on_done, &a);
    until(&a.done);
    ask(&a, true);
    until(&a.done);
    cr_assert_eq(a.error, 0);
    ask_mode(&b, true, exclusive);
    until_waiting(1);
    disk_set(0, false);
    write_something();
}

static void begin(bool exclusive)
{
    start_server(3600 * LOOP_SEC);
    hold_and_write(exclusive);
}

/* The server has served all that it would: answers to both come after what else it had to say. */
static void not_passed(struct client *client)
{
    waiting_at(client);
    cr_assert_eq(waiting_at(b.client), 1);
    cr_assert(!b.done, "the lock passed before the disk had what was written under it");
}

static void passes(int syncs)
{
    disk_set(syncs, false);
    until(&b.done);
    cr_assert_eq(b.error, 0);
}

static void end(void)
{
    disk_set(-1, false);
    teardown();
}

TestSuite(lock_durable, .init = setup, .fini = end, .timeout = 60);

Test(lock_durable, unlock_waits_for_the_disk)
{
    bool unlocked;
    begin(true);
    unlock(&a, &unlocked);
    not_passed(a.client);
    cr_assert(!unlocked);
    passes(-1);
    until(&unlocked);
}

/* What is written after the unlock does not keep the lock back. */
Test(lock_durable, later_updates_do_not_count)
{
    bool unlocked;
    begin(true);
    unlock(&a, &unlocked);
    write_something();
    not_passed(a.client);
    passes(1);
    until(&unlocked);
}

Test(lock_durable, lock_that_becomes_shared_waits_for_the_disk)
{
    struct waiter shared = {.owner = 1};
    begin(false);
    shared.client = a.client;
    ask_mode(&shared, true, false);
    not_passed(a.client);
    passes(-1);
    until(&shared.done);
    cr_assert_eq(shared.error, 0);
}

Test(lock_durable, end_of_a_session_waits_for_the_disk)
{
    begin(true);
    client_free(clients[0]);
    clients[0] = NULL;
    while (server_sessions(server) == CLIENTS)
        waiting_at(clients[2]);
    not_passed(clients[2]);
    passes(-1);
}

/* What cannot become durable must not be acted upon. */
Test(lock_durable, lock_stays_when_the_disk_fails)
{
    begin(true);
    a.done = false;
    call_unlock(a.client, a.owner, NULL, 0, on_done, &a);
    not_passed(a.client);
    disk_set(-1, true);
    until(&a.done);
    cr_assert_eq(a.error, ECP_EIO);
    not_passed(a.client);
}

/* Messages behind an unlock that waits keep their order. */
Test(lock_durable, messages_keep_their_order)
{
    struct waiter again = {.owner = 1};
    bool unlocked;
    begin(true);
    again.client = a.client;
    unlock(&a, &unlocked);
    ask(&again, true); /* behind b */
    not_passed(a.client);
    passes(-1);
    until(&unlocked);
    cr_assert(!again.done);
    unlock(&b, &unlocked);
    until(&again.done);
    cr_assert_eq(again.error, 0);
}

/* ---- And the holder's connection is lost on the way ---- */

static void on_session_lost(void *cookie)
{
    cr_assert(false, "the session was lost");
}

static void begin_far(uint64_t window)
{
    struct client_config config = {.session_lost = window > 60 * LOOP_SEC ? on_session_lost : NULL};
    start_server(window);
    relay_start();
    a.client = relay_client(&config);
    hold_and_write(true);
}

static void end_far(void)
{
    client_free(a.client);
    relay_stop();
}

static void until_away(void)
{
    for (int i = 0; !figure_at(clients[2], "lock_sessions_lost"); i++)
        cr_assert_lt(i, 20000, "the server does not notice that the connection is lost");
}

static void cut_off(void)
{
    relay.down = true;
    relay_cut(false);
    until_away();
}

/* It comes back while the disk still does nothing; also where the server had not noticed that it
 * was gone. */
Test(lock_durable, unlock_of_a_session_that_is_resumed)
{
    bool unlocked;
    begin_far(3600 * LOOP_SEC);
    unlock(&a, &unlocked);
    not_passed(a.client);
    for (unsigned round = 0; round < 4; round++) {
        relay_cut(round % 2);
        until_connections(2 + round);
        until_connected(a.client);
        not_passed(a.client);
        cr_assert(!unlocked);
    }
    passes(-1);
    until(&unlocked);
    end_far();
}

/* It had not come to the server yet. */
Test(lock_durable, unlock_that_is_sent_again)
{
    bool unlocked;
    uint64_t sent;
    begin_far(3600 * LOOP_SEC);
    relay.deaf = true;
    sent = client_round_trips(a.client);
    unlock(&a, &unlocked);
    until_sent(a.client, sent + 1);
    relay_cut(false);
    relay.deaf = false;
    until_connections(2);
    until_connected(a.client);
    not_passed(a.client);
    cr_assert(!unlocked);
    passes(-1);
    until(&unlocked);
    end_far();
}

/* Nobody waits for the session, and it hears of it; then it has no lock any more. */
Test(lock_durable, lock_passes_while_its_session_is_away)
{
    struct waiter again = {.owner = 1};
    bool unlocked, passed_on;
    begin_far(3600 * LOOP_SEC);
    again.client = a.client;
    unlock(&a, &unlocked);
    ask(&again, true); /* behind b, and behind the unlock that waits */
    not_passed(a.client);
    cut_off();
    not_passed(clients[2]);
    passes(-1);
    cr_assert(!unlocked);
    relay.down = false;
    until(&unlocked);
    until_waiting(1);
    cr_assert(!again.done);
    unlock(&b, &passed_on);
    until(&again.done);
    cr_assert_eq(again.error, 0);
    end_far();
}

Test(lock_durable, disk_fails_while_the_session_is_away)
{
    begin_far(3600 * LOOP_SEC);
    a.done = false;
    call_unlock(a.client, a.owner, NULL, 0, on_done, &a);
    not_passed(a.client);
    cut_off();
    disk_set(-1, true);
    not_passed(clients[2]);
    relay.down = false;
    until(&a.done);
    cr_assert_eq(a.error, ECP_EIO);
    not_passed(a.client);
    end_far();
}

/* The session ends while its unlock waits: that changes nothing for who is next. */
Test(lock_durable, session_that_does_not_come_back)
{
    begin_far(100 * LOOP_MS);
    a.done = false;
    call_unlock(a.client, a.owner, NULL, 0, on_done, &a);
    not_passed(clients[2]);
    cut_off();
    while (figure_at(clients[2], "sessions_away"))
        ;
    not_passed(clients[2]);
    until(&a.done);
    cr_assert_eq(a.error, ECP_EDISCONNECTED, "%s", error_text(a.error));
    passes(-1);
    end_far();
}

static void on_failing(void *cookie, int error, const struct call_applied *applied)
{
    on_done(cookie, error);
}

static void write_failing(struct client *client, struct waiter *w)
{
    struct update set = {.kind = UPDATE_SET, .key = key_slice(&name), .value = slice_str("new")};
    call_update(client, &set, 1, on_failing, w);
}

/* Who comes back after a crash must then be known if it was told of anything; others need not wait.
 */
Test(lock_durable, first_update_of_a_session_that_resumes)
{
    struct client *far;
    bool first, second, other;
    begin_far(3600 * LOOP_SEC);
    far = relay_client(&(struct client_config){.session_lost = on_session_lost});
    write_by(far, &first);
    write_by(far, &second);
    until_waiting(1);
    waiting_at(far);
    write_by(clients[2], &other);
    until(&other);
    waiting_at(far);
    cr_assert(!first && !second, "answered before the session was on disk");
    disk_set(2, false); /* what the holder wrote, and what came while that was written */
    until(&first);
    until(&second);
    write_by(far, &first);
    until(&first); /* no sync is left */
    client_free(far);
    disk_set(-1, false);
    end_far();
}

Test(lock_durable, first_updates_while_the_disk_fails)
{
    struct client *far;
    struct waiter w[2] = {0};
    begin_far(3600 * LOOP_SEC);
    far = relay_client(&(struct client_config){.session_lost = on_session_lost});
    write_failing(far, &w[0]);
    write_failing(far, &w[1]);
    waiting_at(far);
    disk_set(-1, true);
    for (int i = 0; i < 2; i++) {
        until(&w[i].done);
        cr_assert_eq(w[i].error, ECP_EIO, "%s", error_text(w[i].error));
    }
    client_free(far);
    end_far();
}

/* ---- What waits when the connection is lost ---- */

/* The second waits for the first alone: when that gives up its place, it must not get the lock. */
Test(lock_durable, requests_of_a_lost_connection_give_up_their_places_together)
{
    struct waiter holder = {.owner = 1}, first = {.owner = 1}, second = {.owner = 2};
    bool unlocked;
    start_server(3600 * LOOP_SEC);
    relay_start();
    a.client = relay_client(&(struct client_config){.session_lost = on_session_lost});
    holder.client = clients[1];
    first.client = second.client = a.client;
    ask_mode(&holder, true, false);
    until(&holder.done);
    ask_mode(&first, true, true);
    ask_mode(&second, true, false);
    until_waiting(2);
    relay.down = true;
    relay_cut(false);
    until_waiting(0);
    relay.down = false;
    until_connections(2);
    until_connected(a.client);
    until_waiting(2);
    cr_assert(!first.done && !second.done);
    unlock(&holder, &unlocked);
    until(&unlocked);
    until(&first.done);
    cr_assert_eq(first.error, 0);
    unlock(&first, &unlocked);
    until(&unlocked);
    until(&second.done);
    cr_assert_eq(second.error, 0);
    end_far();
}

static void on_tested(void *cookie, int error, uint64_t stamp)
{
}

/* Whoever got the lock so would not see what was written under it. */
Test(lock_durable, test_that_releases_first_waits_for_the_disk)
{
    struct call_lock_item item = {.name = key_slice(&name)};
    struct call_lock_args args = {.who = {.owner = 1, .text = slice_str("test")},
                                  .items = &item,
                                  .count = 1,
                                  .replace = true,
                                  .test = true};
    begin(true);
    call_lock(a.client, &args, on_tested, NULL);
    not_passed(a.client);
    passes(-1);
}

static void on_forced(void *cookie, int error, uint64_t count)
{
    cr_assert_eq(error, 0);
    happened(cookie);
}

/* A message waits for a sync, and then no longer, since its lock was taken by force. What comes
 * behind it was written later than the sync began. */
Test(lock_durable, sync_of_a_message_that_is_gone_says_nothing_of_the_next)
{
    struct waiter weaker = {.owner = 1}, next = {.owner = 2}, synced = {0};
    bool forced = false, written, unlocked;
    begin(false);
    weaker.client = a.client;
    next.client = clients[2];
    ask_mode(&weaker, true, false); /* waits for the disk */
    waiting_at(a.client);
    call_sync(clients[3], on_done, &synced);
    waiting_at(clients[3]);
    call_lock_force(clients[2], key_slice(&name), false, on_forced, &forced);
    until(&forced);
    until(&b.done);
    write_by(a.client, &written);
    until(&written);
    until(&weaker.done);
    cr_assert_eq(weaker.error, 0);
    unlock(&b, &unlocked);
    until(&unlocked);
    ask(&next, true);
    until_waiting(1);
    write_by(a.client, &written);
    until(&written);
    unlock(&weaker, &unlocked);
    waiting_at(a.client);
    disk_set(1, false);
    until(&synced.done);
    waiting_at(a.client);
    cr_assert_eq(waiting_at(next.client), 1);
    cr_assert(!next.done, "the lock passed before the disk had what was written under it");
    disk_set(-1, false);
    until(&next.done);
    until(&unlocked);
}

#define BIG 40 /* requests of 1.6 MB */

static void on_big(void *cookie, int error, uint64_t stamp)
{
    static unsigned count;
    if (++count == BIG)
        happened(cookie);
}

/* Until the client has not sent anything for a while. */
static void until_still(struct client *client)
{
    uint64_t sent = 0;
    for (int still = 0; still < 200; still++) {
        waiting_at(clients[2]);
        if (client_round_trips(client) != sent)
            still = 0;
        sent = client_round_trips(client);
    }
}

/* A session that asks for ever more, behind a message that waits, is read from no more. */
Test(lock_durable, messages_that_wait_have_a_bound)
{
    static struct call_lock_item items[4096];
    static uint8_t text[400];
    struct key long_name = name;
    struct call_lock_args args = {.who = {.owner = 3}, .items = items, .count = 4096, .wait = true};
    bool unlocked, all = false;
    uint64_t sent;
    memset(text, 'x', sizeof text);
    key_append(&long_name, slice_of(text, sizeof text));
    for (size_t i = 0; i < 4096; i++)
        items[i] = (struct call_lock_item){.name = key_slice(&long_name)};
    start_server(3600 * LOOP_SEC);
    hold_and_write(true);
    unlock(&a, &unlocked);
    not_passed(a.client);
    sent = client_round_trips(a.client);
    for (unsigned i = 1; i <= BIG; i++)
        call_lock(a.client, &args, on_big, &all);
    until_still(a.client);
    cr_assert_lt(client_round_trips(a.client), sent + BIG, "the server takes all there is");
    passes(-1);
    until(&unlocked);
    unlock(&b, &unlocked);
    until(&all);
}
