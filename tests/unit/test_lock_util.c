/* SPDX-License-Identifier: Apache-2.0 */
/* A server and clients in one process, for tests of locks. */
#include <stdio.h>
#include <stdlib.h>

#include "store/engine_lmdb.h"
#include "tests/unit/test_lock_util.h"

char directory[] = "/tmp/test_lock.XXXXXX", address[64], tcp[64];
struct loop *loop;
struct network *network;
struct client *clients[CLIENTS];
struct key name;
static struct store *store;
struct server *server;

static void step(void *cookie)
{
    event_loop_stop(loop);
}

void until(const bool *flag)
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
void happened(bool *flag)
{
    *flag = true;
    event_loop_stop(loop);
}

struct losses losses;

static void on_lock_said(void *cookie, bool lost, uint64_t owner, struct slice of)
{
    if (!lost)
        return;
    cr_assert(slice_equal(of, key_slice(&name)));
    losses.count++;
    losses.owner = owner;
    happened(&losses.any);
}

static struct client *connect_to(const char *to)
{
    struct client_config config = {
        .address = to, .namespace = "USER", .program = "test", .lock = on_lock_said};
    return client_new(loop, network, &config);
}

static struct server_limits limits_now;
static struct store_options options_now;

static void open_server(void)
{
    const struct store_options *options = options_now.io ? &options_now : NULL;
    struct engine *engine;
    struct listener *listener;
    char *why = NULL;
    server = server_new(loop, &limits_now);
    cr_assert_eq(engine_lmdb_open(directory, 64u << 20, &engine, &why), 0, "%s", why);
    cr_assert_eq(store_open(loop, engine, options, &store, &why), 0, "%s", why);
    cr_assert_eq(server_add_namespace(server, "USER", store, NULL, NULL), 0);
    cr_assert_eq(server_listen(server, network, address, &listener, &why), 0, "%s", why);
    cr_assert_eq(server_listen(server, network, "127.0.0.1:0", &listener, &why), 0, "%s", why);
    snprintf(tcp, sizeof tcp, "127.0.0.1:%d", event_listener_port(listener));
}

static void on_closed(void *cookie)
{
    happened(cookie);
}

void restart(void)
{
    bool closed = false;
    server_free(server);
    store_close(store, on_closed, &closed);
    until(&closed);
    open_server();
}

void start(struct server_limits limits, const struct store_options *options)
{
    limits_now = limits;
    options_now = options ? *options : (struct store_options){0};
    open_server();
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(i % 2 ? tcp : address);
}

void setup(void)
{
    cr_assert(mkdtemp(directory));
    snprintf(address, sizeof address, "unix:%s/socket", directory);
    loop = event_loop_new();
    network = event_network_new(loop);
    key_root(&name);
    key_append(&name, slice_str("L"));
}

void teardown(void)
{
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i])
            client_free(clients[i]);
    server_free(server);
    store_close(store, step, NULL);
    event_loop_run(loop);
    char *command = xasprintf("rm -rf %s", directory);
    cr_assert_eq(system(command), 0);
    free(command);
}

static void on_lock(void *cookie, int error, uint64_t stamp)
{
    struct waiter *w = cookie;
    w->error = error;
    w->stamp = stamp;
    happened(&w->done);
}

void ask_mode(struct waiter *w, bool wait, bool exclusive)
{
    struct call_lock_item item = {.name = key_slice(&name), .exclusive = exclusive};
    struct call_lock_args args = {.who = {.owner = w->owner, .text = slice_str("test")},
                                  .items = &item,
                                  .count = 1,
                                  .wait = wait};
    w->done = false;
    w->call = call_lock(w->client, &args, on_lock, w);
}

void ask(struct waiter *w, bool wait)
{
    ask_mode(w, wait, true);
}

static void on_unlock(void *cookie, int error)
{
    cr_assert_eq(error, 0);
    happened(cookie);
}

void unlock(struct waiter *w, bool *done)
{
    *done = false;
    call_unlock(w->client, w->owner, NULL, 0, on_unlock, done);
}

struct figure {
    const char *name;
    unsigned value;
    bool done;
};

static void on_stats(void *cookie, int error, struct slice text)
{
    struct figure *f = cookie;
    char *copy = xasprintf("\n%.*s", (int)text.len, (const char *)text.data);
    char *wanted = xasprintf("\n%s ", f->name), *at = strstr(copy, wanted);
    cr_assert(at, "no figure \"%s\"", f->name);
    f->value = (unsigned)atoi(at + strlen(wanted));
    free(wanted);
    free(copy);
    happened(&f->done);
}

unsigned figure_at(struct client *client, const char *figure)
{
    struct figure f = {.name = figure};
    call_stats(client, on_stats, &f);
    until(&f.done);
    return f.value;
}

unsigned waiting_at(struct client *client)
{
    return figure_at(client, "locks_waiting");
}

void until_waiting(unsigned count)
{
    unsigned waiting = 0;
    for (int i = 0; i < 2000; i++)
        if ((waiting = waiting_at(clients[0])) == count)
            return;
    cr_assert(false, "%u wait, not %u", waiting, count);
}
