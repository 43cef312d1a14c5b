/* SPDX-License-Identifier: Apache-2.0 */
/* A lock passes to another session when what its holder wrote is on disk, also where updates are
 * answered before. The disk's sync stops, or fails, as the tests say. */
#include <pthread.h>

#include "store/io.h"
#include "tests/unit/test_lock_util.h"

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

static void write_something(void)
{
    struct update set = {.kind = UPDATE_SET, .key = key_slice(&name), .value = slice_str("new")};
    bool done = false;
    call_update(a.client, &set, 1, on_update, &done);
    until(&done);
}

/* The disk stops; the holder's update is answered all the same. */
static void begin(bool exclusive)
{
    struct store_options options = {.io = &disk, .directory = directory};
    ops = *io_posix()->ops;
    ops.sync = sync_file;
    start((struct server_limits){.recovery_time = 3600 * LOOP_SEC}, &options);
    a.client = clients[0];
    b.client = clients[1];
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
